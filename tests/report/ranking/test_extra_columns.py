import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from surrobench.protocol.budget import Budget
from surrobench.report.data.study_data import load_study
from surrobench.report.ranking.build import rank_methods
from surrobench.report.ranking.extra_columns import with_target, with_test_metric
from surrobench.report.ranking.pipeline import Wanted, rank_study
from surrobench.report.render.ranking_tables import render
from surrobench.results.folder import Results
from surrobench.stats.curves import anytime
from surrobench.stats.steps import incumbent_steps
from tests.studies import MLP, NAS, run, suite_text

REFERENCE = SimpleNamespace(best=0.0, median=0.5, worst=1.0, sorted_losses=np.arange(9) / 10)
LOSSES = {
    "random": [[0.5, 0.5, 0.2], [0.6, 0.1, 0.1]],
    "tpe": [[0.1, 0.1, 0.1], [0.3, 0.3, 0.3]],
}


def made(losses, tokens=None):
    """Methods with the losses of each seed on one instance: the ranking, its curves and the incumbents.

    ``tokens`` is what a trial costs, by method and seed; nothing by default.
    """
    rows = [
        (f"{method}{seed}", t, loss, loss, (tokens or {}).get(method, [0, 0])[seed])
        for method, runs in losses.items()
        for seed, of_run in enumerate(runs)
        for t, loss in enumerate(of_run)
    ]
    trials = pl.DataFrame(rows, schema=["run", "trial", "loss", "score", "tokens"], orient="row")
    runs, steps = incumbent_steps(trials, ["trials", "tokens"])
    keys = pl.DataFrame(
        {"benchmark": "b", "method": [run[:-1] for run in runs], "seed": [int(run[-1]) for run in runs]}
    )
    found = [losses[method][seed] for _, method, seed in keys.iter_rows()]
    incumbents = keys.with_columns(
        score=pl.Series([min(of_run) for of_run in found]), trials=pl.lit(len(found[0]))
    )
    references = {"b": REFERENCE}
    return rank_methods(incumbents, references), anytime(keys, steps, references), incumbents


def hit(at, of):
    """The losses of a run that reaches a quantile regret of 0.25 with trial ``at``; 0: with none."""
    return [0.1 if trial == at else 0.5 for trial in range(1, of + 1)]


@pytest.fixture
def studied():
    """Two methods, two seeds, three trials."""
    return made(LOSSES)


def test_what_a_target_took_with_runs_that_do_not_reach_it_censored(studied):
    ranking, curves, _ = studied
    shown = with_target(ranking, curves, 0.25)
    # tpe reaches 0.1 at once with one seed and never with the other; random after 2 trials, and never.
    by_method = {
        method: tuple(shown.extra[key][j] for key in ("target_share", "target_median", "target_ert"))
        for j, method in enumerate(shown.methods)
    }
    assert by_method == {"tpe": (0.5, 1, 4), "random": (0.5, 2, 5)}
    data = json.loads(render(shown, "json"))
    spent = data["per_instance"][0]["by_seed"]
    assert spent["trials_to_target"] == {"tpe": [1, None], "random": [None, 2]}
    assert spent["trials_spent"]["random"] == [3, 3]
    assert "best of 3 random trials" in shown.notes[-1].text
    never = with_target(ranking, curves, 0.01)
    assert "| 0% | never | never |" in render(never, "markdown").replace("**", "")
    assert json.loads(render(never, "json"))["methods"][0]["target_median"] is None


@pytest.mark.parametrize(("slow", "mean"), [((25, 0), 55), ((25, 27), 26)])
def test_the_cost_of_a_method_does_not_depend_on_who_else_is_ranked(slow, mean):
    ranking, curves, _ = made({"random": [hit(at, 30) for at in slow], "tpe": [hit(1, 30), hit(3, 30)]})
    shown = with_target(ranking, curves, 0.25)
    assert dict(zip(shown.methods, shown.extra["target_ert"], strict=True)) == {"random": mean, "tpe": 2}


def test_a_method_that_spends_no_tokens_has_no_cost_in_them_and_bounds_nobody():
    runs = {"random": [hit(1, 3), hit(2, 3)], "agent": [hit(1, 3), hit(0, 3)], "other": [hit(0, 3)] * 2}
    ranking, curves, _ = made(runs, {"agent": [300, 200], "other": [250, 250]})
    shown = with_target(ranking, curves, 0.25, "tokens")
    found = {
        method: [shown.extra[key][j] for key in ("target_share", "target_median", "target_ert")]
        for j, method in enumerate(shown.methods)
    }
    # One hit after 300 tokens, and 600 tokens of the other run without one.
    assert found["agent"] == [0.5, 300, 900]
    assert found["other"] == [0, np.inf, np.inf]
    assert found["random"] == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    assert "A method that spends no tokens has no cost." in shown.notes[-1].text
    assert "| 100% |  |  |" in render(shown, "markdown").replace("**", "")
    data = json.loads(render(shown, "json"))
    assert next(row for row in data["methods"] if row["method"] == "random")["target_ert"] is None
    spent = data["per_instance"][0]["by_seed"]
    assert spent["tokens_to_target"] == {"random": [None] * 2, "agent": [300, None], "other": [None] * 2}
    nobody = with_target(*made(LOSSES)[:2], 0.25, "tokens")
    assert np.isnan(nobody.extra["target_ert"]).all()


@pytest.mark.parametrize("unit", ["trials", "equivalents", "seconds"])
def test_a_target_counts_after_the_trials_that_all_were_given(tmp_path, unit):
    run(suite_text(MLP, NAS, trials=9, seeds=3) + "[optimizers.sobol]\ntrials = 3\n", tmp_path / "r")
    results, wanted = Results(tmp_path / "r"), Wanted(target=0.1, unit=unit)
    everything, three = (
        rank_study(load_study(results, limit, units=[unit]), wanted) for limit in (None, Budget(trials=3))
    )
    assert everything.methods == three.methods
    assert everything.trials == three.trials == 3
    for key in ("target_share", "target_median", "target_ert"):
        assert everything.extra[key].tolist() == three.extra[key].tolist()
    assert everything.by_run[f"{unit}_spent"].tolist() == three.by_run[f"{unit}_spent"].tolist()
    assert any("not reaching the target within 3 trials counts" in note.text for note in everything.notes)


def test_the_test_metric_is_shown_where_benchmarks_map_one(studied):
    ranking, _, incumbents = studied
    incumbents = incumbents.with_columns(test=pl.Series([0.7, 0.8, 0.9, 0.6]))
    shown = with_test_metric(ranking, incumbents, {"b": "test_accuracy"})
    means = dict(zip(shown.methods, shown.extra["test"], strict=True))
    assert means == pytest.approx(dict(incumbents.group_by("method").agg(pl.col("test").mean()).iter_rows()))
    assert "test_accuracy, on 1 of 1 instances" in shown.notes[-1].text
    by_seed = json.loads(render(shown, "json"))["per_instance"][0]["by_seed"]["test"]
    assert by_seed["random"] == incumbents.filter(method="random").sort("seed")["test"].to_list()
    shown = with_test_metric(ranking, incumbents.with_columns(test=pl.lit(None, pl.Float64)), {"b": None})
    assert "test" not in shown.extra
    assert "not available" in shown.notes[-1].text
