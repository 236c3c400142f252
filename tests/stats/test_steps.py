import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrobench.stats import steps as steps_module
from surrobench.stats.steps import UNITS, Steps, incumbent_steps
from tests.incumbent import final_incumbents

SCHEMA = {
    "run": pl.String,
    "trial": pl.UInt32,
    "loss": pl.Float64,
    "score": pl.Float64,
    "fidelity": pl.Float64,
    "share": pl.Float64,
    "finished": pl.Float64,
    "tokens": pl.UInt32,
}


def frame(rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def run(losses, name="a", **columns):
    """A frame of one run; the score of a trial is 10 times its loss unless given."""
    n = len(losses)
    given_columns = {
        "score": [10 * (loss or 0) for loss in losses],
        "fidelity": [1.0] * n,
        "share": [1.0] * n,
    }
    given_columns |= {"finished": [float(t + 1) for t in range(n)], "tokens": [0] * n} | columns
    rows = {"run": [name] * n, "trial": list(range(n)), "loss": losses, **given_columns}
    return pl.DataFrame(rows, schema=SCHEMA)


def listed(steps):
    """Per run: (trial, spent, score) of each step."""
    columns = list(zip(steps.trial.tolist(), steps.spent.tolist(), steps.score.tolist(), strict=True))
    return [columns[low:high] for low, high in zip(steps.first[:-1], steps.first[1:], strict=True)]


def test_a_step_is_a_smaller_loss_scored_by_its_mean_which_may_rise():
    trials = run([0.5, 0.6, 0.3, 0.3, 0.1], score=[0.5, 0.0, 0.9, 0.1, 0.2])
    runs, found = incumbent_steps(trials)
    assert runs.to_list() == ["a"]
    assert listed(found["trials"]) == [[(0, 1, 0.5), (2, 3, 0.9), (4, 5, 0.2)]]
    assert found["trials"].end.tolist() == [5]


def test_what_was_spent_is_counted_in_every_unit():
    trials = run(
        [0.5, 0.7, 0.3, 0.4], share=[1.0, 0.5, 0.5, 1.0], finished=[2.0, 3.0, 7.0, 9.0], tokens=[10, 0, 5, 1]
    )
    _, found = incumbent_steps(trials, UNITS)
    assert {unit: steps.spent.tolist() for unit, steps in found.items()} == {
        "trials": [1, 3],
        "equivalents": [1, 2],
        "seconds": [2, 7],
        "tokens": [10, 15],
    }
    assert [found[unit].end.tolist() for unit in UNITS] == [[4], [3], [9], [16]]


def test_the_highest_fidelity_reached_counts_whatever_lower_ones_promise():
    trials = run([0.1, 0.9, 0.2, 0.8, 0.05, 0.8], fidelity=[0.1, 0.5, 0.1, 1.0, 0.5, 1.0])
    _, found = incumbent_steps(trials)
    assert [trial for trial, *_ in listed(found["trials"])[0]] == [0, 1, 3]


def test_by_seconds_the_trials_count_in_the_order_they_finished():
    # Two workers: the second trial of a request is done before the first.
    trials = run([0.2, 0.5, 0.1], finished=[5.0, 3.0, 6.0])
    _, found = incumbent_steps(trials, ("trials", "seconds"))
    assert listed(found["trials"]) == [[(0, 1, 2.0), (2, 3, 1.0)]]
    assert listed(found["seconds"]) == [[(1, 3.0, 5.0), (0, 5.0, 2.0), (2, 6.0, 1.0)]]
    assert found["seconds"].end.tolist() == [6]


def test_after_fewer_trials_a_run_has_spent_what_those_cost_in_every_unit():
    # The third trial, better than the second, finishes before it: by seconds only it is a step.
    trials = run(
        [0.5, 0.3, 0.2, 0.1],
        share=[1.0, 0.5, 0.5, 1.0],
        finished=[2.0, 6.0, 4.0, 8.0],
        tokens=[10, 7, 5, 1],
    )
    _, found = incumbent_steps(trials, UNITS, 2)
    assert {unit: steps.spent.tolist() for unit, steps in found.items()} == {
        "trials": [1, 2],
        "equivalents": [1, 1.5],
        "seconds": [2, 6],
        "tokens": [10, 17],
    }
    assert [found[unit].end.tolist() for unit in UNITS] == [[2], [1.5], [6], [17]]


@pytest.mark.parametrize("most", [1, 2, 3, 4, 9])
def test_after_fewer_trials_runs_are_as_if_they_had_ended_there(most):
    trials = pl.concat(
        [
            run([0.5, None, 0.3, 0.1], finished=[4.0, 3.0, 2.0, 5.0], tokens=[3, 1, 4, 1]),
            run([None, None, 0.2], "b", share=[0.5, 0.25, 1.0], fidelity=[0.5, 0.25, 1.0]),
            run([0.3], "c", tokens=[9]),
        ]
    )
    ended = trials.filter(pl.col("trial") < most)
    (names, found), (expected_names, expected) = (
        incumbent_steps(trials, UNITS, most),
        incumbent_steps(ended, UNITS),
    )
    assert names.to_list() == expected_names.to_list()
    for unit in UNITS:
        assert listed(found[unit]) == listed(expected[unit])
        assert found[unit].end.tolist() == expected[unit].end.tolist()


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_a_run_that_observed_nothing_has_no_step(nothing):
    trials = pl.concat([run([nothing, nothing]), run([nothing, 0.5], "b"), run([nothing], "c")])
    runs, found = incumbent_steps(trials)
    assert runs.to_list() == ["a", "b", "c"]
    assert listed(found["trials"]) == [[], [(1, 2, 5.0)], []]
    assert found["trials"].end.tolist() == [2, 2, 1]


def test_no_trials_give_no_runs():
    runs, found = incumbent_steps(frame([]), UNITS)
    assert runs.to_list() == []
    assert all(len(steps.end) == len(steps.spent) == 0 for steps in found.values())


def test_runs_can_be_taken_and_put_together():
    _, found = incumbent_steps(pl.concat([run([0.5, 0.4]), run([None], "b"), run([0.3], "c")]))
    steps = found["trials"]
    swapped = steps.take(np.array([2, 1, 0]))
    assert listed(swapped) == listed(steps)[::-1]
    assert swapped.of_run.tolist() == [0, 2, 2]
    both = Steps.concat([steps, swapped])
    assert listed(both) == listed(steps) + listed(swapped)
    assert both.end.tolist() == [2, 1, 1, 1, 1, 2]


trial = st.tuples(
    st.sampled_from([0.1, 0.2, 0.3, math.inf, math.nan, None]),  # loss
    st.sampled_from([0.25, 0.5, 1.0]),  # fidelity, share
    st.integers(0, 3),  # tokens
)


@given(
    st.lists(st.lists(trial, min_size=1, max_size=9), min_size=1, max_size=5),
    st.booleans(),
    st.randoms(use_true_random=False),
    st.sampled_from([4, 1 << 20]),
)
def test_agrees_with_a_loop_in_every_unit_and_ignores_the_order_of_rows(runs, varied, random, cells):
    rows, expected = [], {unit: [] for unit in UNITS}
    for i, one in enumerate(runs):
        done = []
        for t, (loss, at, tokens) in enumerate(one):
            at = at if varied else 1.0  # noqa: PLW2901
            before = done[-1] if done else {"equivalents": 0.0, "tokens": 0}
            spent = {
                "trials": t + 1,
                "equivalents": before["equivalents"] + at,
                "seconds": float(random.randint(0, 9) if varied else t // 2),
                "tokens": before["tokens"] + tokens,
            }
            done.append({"trial": t, "loss": loss, "at": at, **spent})
            rows.append((f"r{i}", t, loss, 10.0 * i + t, at, at, spent["seconds"], tokens))
        for unit in UNITS:
            steps, best = [], None
            for this in sorted(done, key=lambda trial, unit=unit: (trial[unit], trial["trial"])):
                if this["loss"] is None or math.isnan(this["loss"]):
                    continue
                if best is None or (-this["at"], this["loss"]) < best:
                    best = (-this["at"], this["loss"])
                    steps.append((this["trial"], this[unit], 10.0 * i + this["trial"]))
            expected[unit].append(steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps_module, "_CELLS", cells)
        names, found = incumbent_steps(frame(rows), UNITS)
        random.shuffle(rows)
        again, shuffled = incumbent_steps(frame(rows), UNITS)
    assert names.to_list() == [f"r{i}" for i in range(len(runs))]
    order = again.arg_sort().to_numpy()
    for unit in UNITS:
        assert listed(found[unit]) == listed(shuffled[unit].take(order)) == expected[unit]
    final = final_incumbents(frame(rows).lazy(), None)
    last = [steps[-1][0] if steps else None for steps in listed(found["trials"])]
    assert last == final["trial"].to_list()
