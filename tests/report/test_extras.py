import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from surrobench.report import extras
from surrobench.report.extras import with_target, with_tests
from surrobench.report.rank_methods import rank_methods
from surrobench.report.tables import render
from surrobench.stats.curves import anytime
from surrobench.stats.steps import incumbent_steps

REFERENCE = SimpleNamespace(best=0.0, median=0.5, worst=1.0, sorted_losses=np.arange(9) / 10)
LOSSES = {
    "random": [[0.5, 0.5, 0.2], [0.6, 0.1, 0.1]],
    "tpe": [[0.1, 0.1, 0.1], [0.3, 0.3, 0.3]],
}


@pytest.fixture
def studied():
    """Two methods, two seeds, three trials on one instance: the ranking and its curves."""
    rows = [
        (f"{method}{seed}", t, loss, loss)
        for method, runs in LOSSES.items()
        for seed, losses in enumerate(runs)
        for t, loss in enumerate(losses)
    ]
    trials = pl.DataFrame(rows, schema=["run", "trial", "loss", "score"], orient="row")
    runs, steps = incumbent_steps(trials)
    keys = pl.DataFrame(
        {"benchmark": "b", "method": [run[:-1] for run in runs], "seed": [int(run[-1]) for run in runs]}
    )
    scores = [LOSSES[method][seed] for _, method, seed in keys.iter_rows()]
    incumbents = keys.with_columns(score=pl.Series([min(losses) for losses in scores]), trials=pl.lit(3))
    references = {"b": REFERENCE}
    return rank_methods(incumbents, references), anytime(keys, steps, references), incumbents


def test_what_a_target_took_with_runs_that_do_not_reach_it_censored(studied):
    ranking, curves, _ = studied
    shown = with_target(ranking, curves, 0.25)
    # tpe reaches 0.1 at once with one seed and never with the other; random after 2 trials, and never.
    by_method = {
        method: tuple(shown.extra[key][j] for key in ("target_share", "target_median", "target_mean"))
        for j, method in enumerate(shown.methods)
    }
    assert by_method == {"tpe": (0.5, 1, 2), "random": (0.5, 2, 2.5)}
    data = json.loads(render(shown, "json"))
    spent = data["per_instance"][0]["by_seed"]
    assert spent["trials_to_target"] == {"tpe": [1, None], "random": [None, 2]}
    assert spent["trials_spent"]["random"] == [3, 3]
    assert "best of 3 random trials" in shown.notes[-1]
    assert "restricted to 3." in shown.notes[-1]
    never = with_target(ranking, curves, 0.01)
    assert "| 0% | never | 3 |" in render(never, "markdown").replace("**", "")
    assert json.loads(render(never, "json"))["methods"][0]["target_median"] is None


def test_the_test_metric_is_shown_where_benchmarks_map_one(studied, monkeypatch):
    ranking, _, incumbents = studied
    incumbents = incumbents.with_columns(test=pl.Series([0.7, 0.8, 0.9, 0.6]))

    def benchmark(name):
        return SimpleNamespace(scenario=SimpleNamespace(test_objective=mapped))

    monkeypatch.setattr(extras, "benchmark", benchmark)
    mapped = "test_accuracy"
    shown = with_tests(ranking, incumbents)
    means = dict(zip(shown.methods, shown.extra["test"], strict=True))
    assert means == pytest.approx(dict(incumbents.group_by("method").agg(pl.col("test").mean()).iter_rows()))
    assert "test_accuracy, on 1 of 1 instances" in shown.notes[-1]
    by_seed = json.loads(render(shown, "json"))["per_instance"][0]["by_seed"]["test"]
    assert by_seed["random"] == incumbents.filter(method="random").sort("seed")["test"].to_list()
    mapped = None
    shown = with_tests(ranking, incumbents.with_columns(test=pl.lit(None, pl.Float64)))
    assert "test" not in shown.extra
    assert "not available" in shown.notes[-1]
