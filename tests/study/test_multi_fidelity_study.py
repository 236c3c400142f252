"""What the multi-fidelity methods are for: better configurations earlier, in simulated time."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.stats.regret import normalised_regret
from tests.incumbent import final_incumbents
from tests.studies import run, suite_text, trials

pytestmark = pytest.mark.yahpo

LCBENCH = [f"yahpo/lcbench/{task}" for task in ("3945", "34539", "167168", "189873", "189906")]
METHODS = ("random", "hyperband", "asha")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """All trials of twenty seeds, each run with four workers and twenty trials' worth of training."""
    folder = tmp_path_factory.mktemp("study")
    head = 'workers = 4\ninitial = "none"'
    text = suite_text(*LCBENCH, methods=METHODS, seeds=20, head=head)
    assert run(text.replace("trials = 4", "equivalents = 20.0"), folder).complete
    return trials(folder, "yahpo/lcbench")


def regrets(of_one: pl.DataFrame, id_: str, times: list[float]) -> dict[str, list[float]]:
    """Of each method on one instance: mean normalised regret of its seeds' incumbents after some times."""
    where = benchmark(id_)
    methods = dict(of_one.select("run", "optimizer").unique().iter_rows())
    out: dict[str, list[float]] = {method: [] for method in METHODS}
    for time in times:
        reached = final_incumbents(
            of_one.lazy()
            .filter(pl.col("finished") <= time)
            .select(
                "run",
                "trial",
                loss=where.objective.sign * pl.col("value"),
                score=where.objective.sign * pl.col("score"),
                fidelity=pl.col("fidelity.epoch") / 52,
            ),
            None,
        )
        assert reached.height == len(methods), "by then every run has finished a trial"
        loss = reached["score"].to_numpy()
        regret = normalised_regret(loss, where.reference.best, where.reference.median)
        of_run = reached["run"].replace_strict(methods)
        for method in METHODS:
            out[method].append(float(regret[(of_run == method).to_numpy()].mean()))
    return out


def test_hyperband_and_asha_beat_random_search_over_simulated_time(study: pl.DataFrame) -> None:
    better = dict.fromkeys(METHODS[1:], 0)
    for id_ in LCBENCH:
        of_one = study.filter(benchmark=id_)
        ends = of_one.group_by("run").agg(first=pl.col("finished").min(), last=pl.col("finished").max())
        # From when every run has finished its first trial until the first run ends.
        times = np.linspace(float(ends["first"].max()), float(ends["last"].min()), 15).tolist()
        mean = {method: np.mean(curve) for method, curve in regrets(of_one, id_, times).items()}
        for method in better:
            better[method] += bool(mean[method] < mean["random"])
    assert better == {"hyperband": len(LCBENCH), "asha": len(LCBENCH)}


def test_workers_are_kept_busy_by_asha_and_wait_at_the_rungs_of_hyperband(study: pl.DataFrame) -> None:
    busy = (
        study.group_by("run", "optimizer")
        .agg(share=pl.col("cost").sum() / (4 * pl.col("finished").max()))
        .group_by("optimizer")
        .agg(pl.col("share").mean())
    )
    share = dict(busy.iter_rows())
    assert share["asha"] > share["hyperband"] + 0.1
    assert share["asha"] > 0.8
    assert all(0 < value <= 1 + 1e-9 for value in share.values())
