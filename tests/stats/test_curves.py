import math
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from surrobench.errors import ResultsError
from surrobench.stats.curves import (
    Curves,
    anytime,
    expected_running_time,
    median_needed,
    ratio_profile,
    score_profile,
    share_won,
)
from surrobench.stats.steps import incumbent_steps

REFERENCE = SimpleNamespace(best=0.0, median=0.5, worst=1.0, sorted_losses=np.arange(9) / 10)
"""A loss of i / 10 has the quantile regret (i + 1.5) / 10 up to 0.8, and twice the loss as normalised."""


def study(runs, *, benchmarks=None, seconds=None):
    """Curves of losses given by (benchmark, method, seed)."""
    rows, keys = [], []
    for number, (key, losses) in enumerate(runs.items()):
        keys.append((f"r{number}", *key))
        cost = (seconds or {}).get(key, [1.0] * len(losses))
        finished = np.cumsum(cost).tolist()
        rows += [(f"r{number}", t, loss, loss, finished[t]) for t, loss in enumerate(losses)]
    schema = {"run": pl.String, "trial": pl.UInt32, "loss": pl.Float64, "score": pl.Float64}
    trials = pl.DataFrame(rows, schema={**schema, "finished": pl.Float64}, orient="row")
    names, steps = incumbent_steps(trials, ("trials", "seconds"))
    frame = pl.DataFrame(keys, schema=["run", "benchmark", "method", "seed"], orient="row")
    ordered = names.to_frame().join(frame, on="run", how="left", maintain_order="left")
    return anytime(ordered, steps, dict.fromkeys({key[0] for key in runs}, REFERENCE))


TWO = {
    ("b", "x", 0): [0.4, 0.6, 0.2, 0.2],
    ("b", "x", 1): [None, 0.8, 0.8, 0.1],
    ("b", "y", 0): [0.3, 0.3],
    ("b", "y", 1): [0.5, 0.0],
}


def test_curves_are_steps_carried_forward_and_undefined_before_anything_was_observed():
    curves = study(TWO).curves("trials")
    assert (curves.instances, curves.methods, curves.seeds) == (("b",), ("x", "y"), (0, 1))
    assert curves.grid.tolist() == [1, 2, 3, 4]
    nan = math.nan
    assert curves.normalised[0] == pytest.approx(
        np.array([[[0.8, 0.8, 0.4, 0.4], [nan, 1.6, 1.6, 0.2]], [[0.6] * 4, [1.0, 0, 0, 0]]]), nan_ok=True
    )
    assert curves.quantile[0, 0] == pytest.approx(
        np.array([[0.55, 0.55, 0.35, 0.35], [nan, 0.95, 0.95, 0.25]]), nan_ok=True
    )
    assert curves.end[0].tolist() == [[4, 4], [2, 2]]


def test_over_time_a_value_holds_until_the_next_incumbent_is_known():
    found = study(TWO, seconds={("b", "x", 0): [2.0, 1.0, 4.0, 1.0]})
    curves = found.curves("seconds", [1, 2, 6.999, 7, 100])
    assert curves.normalised[0, 0, 0] == pytest.approx([math.nan, 0.8, 0.8, 0.4, 0.4], nan_ok=True)
    assert curves.end[0, 0, 0] == 8
    assert (np.diff(found.grid("seconds")) > 0).all()
    assert found.grid("seconds")[[0, -1]] == pytest.approx([1, 8])


def test_three_thirds_of_a_trial_are_one():
    found = study(
        {("b", "x", 0): [0.4], ("b", "y", 0): [0.4]}, seconds={("b", "x", 0): [1 / 3 + 1 / 3 + 1 / 3]}
    )
    assert not np.isnan(found.curves("seconds", [1]).quantile).any()


def test_the_area_is_the_mean_over_what_was_spent_with_the_worst_before_the_first_value():
    found = study(TWO, seconds={("b", "x", 0): [2.0, 1.0, 4.0, 1.0]})
    assert found.area()[0] == pytest.approx(
        np.array([[(2 * 0.55 + 2 * 0.35) / 4, (1 + 2 * 0.95 + 0.25) / 4], [0.45, (0.65 + 3 * 0.15) / 4]])
    )
    assert found.area(measure="normalised")[0, 0] == pytest.approx([0.6, (2 + 2 * 1.6 + 0.2) / 4])
    # 2 s of nothing, 5 s of 0.55 and a second of 0.35; within 4 s, as much of nothing as of 0.55.
    assert found.area("seconds")[0, 0, 0] == pytest.approx((2 + 5 * 0.55 + 0.35) / 8)
    assert found.area("seconds", most=4)[0, 0, 0] == pytest.approx((2 + 2 * 0.55) / 4)


def test_a_run_that_observed_nothing_counts_as_the_worst_and_reaches_nothing():
    found = study({("b", "x", 0): [None, None], ("b", "y", 0): [0.3, 0.2]})
    assert found.area()[0, 0, 0] == 1
    assert found.area(measure="normalised")[0, 0, 0] == 2
    assert np.isnan(found.final()[0, 0, 0])
    assert np.isnan(found.curves("trials").quantile[0, 0]).all()
    assert found.reached(1.0).censored.ravel().tolist() == [True, False]


def test_what_a_target_took_or_all_that_was_spent_in_vain():
    found = study(TWO).reached(0.35)
    assert found.spent[0].tolist() == [[3, 4], [2, 2]]
    assert found.censored[0].tolist() == [[False, False], [True, False]]
    shares = study(TWO).targets_reached([0.35, 0.65], grid=[1, 2, 3, 4])
    # Of x's two runs and two targets: after one trial one, after three two, after four all but none.
    assert shares.tolist() == [[0.25, 0.25, 0.5, 1.0], [0.5, 0.75, 0.75, 0.75]]


def test_only_common_seeds_count_and_gaps_are_an_error():
    runs = {**TWO, ("b", "x", 7): [0.1]}
    assert study(runs).seeds == (0, 1)
    with pytest.raises(ResultsError, match="8, but there are 6"):
        study({**TWO, ("c", "x", 0): [0.1], ("c", "x", 1): [0.1]})
    with pytest.raises(ResultsError, match="No seed"):
        study({("b", "x", 0): [0.1], ("b", "y", 1): [0.1]})


def test_ill_shaped_curves_are_refused():
    with pytest.raises(ValueError, match=r"quantile must have shape \(1, 1, 1, 2\)"):
        Curves(("b",), ("x",), (0,), "trials", np.arange(2.0), np.ones(2), np.ones(2), np.ones(1))


losses = st.lists(st.sampled_from([None, 0.0, 0.1, 0.25, 0.6, 0.9]), min_size=1, max_size=6)


@settings(deadline=None)
@given(st.lists(losses, min_size=4, max_size=4), st.integers(1, 8))
def test_curves_and_areas_agree_with_a_loop(runs, most):
    keys = [("b", "x", 0), ("b", "x", 1), ("b", "y", 0), ("b", "y", 1)]
    found = study(dict(zip(keys, runs, strict=True)))
    grid = np.arange(1, most + 1)
    curves = found.curves("trials", grid)
    for index, run in enumerate(runs):
        j, s = divmod(index, 2)
        values = []
        for t in grid:
            seen = [loss for loss in run[:t] if loss is not None]
            values.append(2 * min(seen) if seen else math.nan)
        assert curves.normalised[0, j, s] == pytest.approx(values, nan_ok=True)
        area = np.where(np.isnan(values), 2.0, values).mean()
        assert found.area(measure="normalised", most=most)[0, j, s] == pytest.approx(area)


def test_what_half_of_the_runs_needed_takes_a_run_without_a_hit_for_one_that_never_has_one():
    assert median_needed([1, 2, 3, 4], [False, True, False, True]) == 3
    assert median_needed([1, 1, 1], [True] * 3) == math.inf
    assert median_needed([5, 7], [False, False]) == 5
    # Eleven of 23 runs hit, and those without ended early: Kaplan and Meier would say 12.
    spent = np.concatenate([np.arange(1, 12), np.zeros(12)])
    assert median_needed(spent, np.arange(23) >= 11) == math.inf


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=12))
def test_ert_is_that_of_restarting_after_each_miss(runs):
    spent, censored = map(np.array, zip(*runs, strict=True))
    hits = spent[~censored]
    if not len(hits):
        assert expected_running_time(spent, censored) == math.inf
        return
    # COCO: with p the share of hits, E[hit] + (1 - p) / p E[miss].
    p, misses = len(hits) / len(runs), spent[censored]
    expected = hits.mean() + ((1 - p) / p * misses.mean() if len(misses) else 0)
    assert expected_running_time(spent, censored) == pytest.approx(expected)


def test_ties_share_a_win():
    assert share_won([[1, 1, 2], [3, 2, 1], [0, 1, 1], [5, 5, 5]]) == pytest.approx(
        np.array([0.5 + 1 + 1 / 3, 0.5 + 1 / 3, 1 + 1 / 3]) / 4
    )


def test_profiles_of_scores_and_of_ratios():
    values = np.array([[[0.1, 0.2], [0.3, 0.3]], [[0.4, 0.1], [0.3, 0.5]]])
    assert score_profile(values, [0.1, 0.25, 0.3]).tolist() == [[0.5, 0.75, 0.75], [0, 0, 0.75]]
    assert score_profile(values, [0.25])[0, 0] == stats.ecdf(values[:, 0].ravel()).cdf.evaluate(0.25)
    costs = [[10, 20], [30, 10], [math.inf, 5], [math.inf, math.inf]]
    assert ratio_profile(costs, [1, 2, 3]).tolist() == [[0.25, 0.25, 0.5], [0.5, 0.75, 0.75]]


def test_where_trials_finish_in_another_order_their_regrets_are_in_it_too():
    rows = [("r", 0, 0.2, 0.2, 5.0), ("r", 1, 0.5, 0.5, 3.0), ("r", 2, 0.1, 0.1, 6.0)]
    trials = pl.DataFrame(rows, schema=["run", "trial", "loss", "score", "finished"], orient="row")
    _, steps = incumbent_steps(trials, ("trials", "seconds"))
    runs = pl.DataFrame({"benchmark": ["b"], "method": ["x"], "seed": [0]})
    found = anytime(runs, steps, {"b": REFERENCE})
    assert found.normalised["trials"] == pytest.approx([0.4, 0.2])
    assert found.normalised["seconds"] == pytest.approx([1.0, 0.4, 0.2])


def test_a_measure_that_was_not_asked_for_is_nan_and_takes_no_memory():
    both, one = study(TWO).curves("trials"), study(TWO).curves("trials", measures=["normalised"])
    assert np.array_equal(one.normalised, both.normalised, equal_nan=True)
    assert np.isnan(one.quantile).all()
    assert not any(one.quantile.strides)
