"""A results folder of many trials, made by the product's own writer in its full schema.

``python -m tests.bench.many RESULTS TABLES``: 12 methods x 100 instances x 80 seeds x 100 trials are 9.6
million. The instances are made-up tables, ten scenarios of ten, so that no data has to be there; nothing that
ranking reads depends on where a value comes from.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl

from surrobench.engine.loop import drive
from surrobench.engine.outcome import Outcome
from surrobench.plan.planning import plan
from surrobench.plan.run import Run
from surrobench.report.data.study_data import load_study
from surrobench.report.ranking.build import rank_methods
from surrobench.report.ranking.model import Ranking, RankingSettings
from surrobench.results.folder import Results
from surrobench.results.manifest import make_manifest
from surrobench.seeding import content_hash
from surrobench.stats.curves import Anytime
from surrobench.stats.steps import UNITS, Unit
from surrobench.suite.schema import Method, Suite

SCENARIOS, INSTANCES, SEEDS, TRIALS = 10, 10, 80, 100
LABELS = {
    f"{method}-{letter}" if letter else method: method
    for letter in ("", "b", "c", "d")
    for method in ("random", "sobol", "latin-hypercube")
}
"""Twelve labels of three methods. A copy takes other seeds' trials, so that no two methods tie."""


@contextmanager
def many_trials() -> Iterator[Path]:
    """The results folder, for as long as the block lasts; nothing is left behind."""
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ, SURROBENCH_CACHE=f"{name}/cache"):
        store_many(Path(name) / "results", Path(name))
        yield Path(name) / "results"


def _table(rng: np.random.Generator) -> pl.DataFrame:
    """Five hyperparameters, 400 configurations on ten data sets, one value of each."""
    rate, depth, width = np.meshgrid(10.0 ** np.arange(-5, 0), np.arange(1, 9), 2 ** np.arange(3, 8))
    n = rate.size * 2
    where = {
        "config.learning_rate": np.tile(rate.ravel(), 2),
        "config.depth": np.tile(depth.ravel(), 2),
        "config.width": np.tile(width.ravel(), 2),
        "config.activation": np.repeat(["relu", "tanh"], n // 2),
    }
    parts = [
        pl.DataFrame(where).with_columns(
            pl.lit(f"data{i}").alias("instance"),
            pl.Series("minimize.loss", rng.gamma(2, size=n)),
            pl.Series("maximize.test_accuracy", rng.random(n)),
            pl.Series("cost", rng.gamma(3, 20, size=n)),
        )
        for i in range(INSTANCES)
    ]
    return pl.concat(parts)


def store_many(folder: Path, source: Path) -> None:
    """Run, copy under other labels, write and merge.

    Args:
        folder: of the results.
        source: where the made-up tables are put; what is read later is in the cache.
    """
    rng = np.random.default_rng(0)
    for number in range(SCENARIOS):
        _table(rng).write_parquet(source / f"many{number}.parquet")
    tables = [source / f"many{number}.parquet" for number in range(SCENARIOS)]
    methods = {method: method for method in LABELS.values()}
    runs = plan(_suite(methods, tables))
    everything = [_renamed(run, label) for label in LABELS for run in runs if run.method == LABELS[label]]
    named = plan(_suite(LABELS, tables))
    results = Results.create(folder, make_manifest(named, ""), named.only(everything))
    for benchmark in dict.fromkeys(run.benchmark for run in runs):
        outcomes: list[Outcome] = []
        drive(runs.only(run for run in runs if run.benchmark == benchmark), outcomes.append)
        results.write(
            [
                replace(outcome, run=_renamed(outcome.run, label))
                for label in LABELS
                for outcome in outcomes
                if outcome.run.method == LABELS[label]
            ]
        )
    results.merge()


def _suite(methods: dict[str, str], tables: list[Path]) -> Suite:
    return Suite(
        name="many",
        benchmarks=[f"table:{table}" for table in tables],
        trials=TRIALS,
        seeds=SEEDS,
        initial="none",
        control="random",
        optimizers={label: Method(method=method) for label, method in methods.items()},
    )


def _renamed(run: Run, label: str) -> Run:
    """The run as one of the label's, with a seed so many further as the label stands down the list."""
    seed = (run.seed + list(LABELS).index(label)) % SEEDS
    return replace(run, method=label, seed=seed, id=content_hash([label, run.benchmark, seed]))


# ---------------------------------------------------------------------- what is measured


def rank(folder: Path) -> Ranking:
    """As ``surrobench rank`` does it, less the printing."""
    study = load_study(Results(folder))
    return rank_methods(study.incumbents, study.references, RankingSettings(control=study.control))


def every_curve(folder: Path) -> dict[Unit, float]:
    """The ranking; by every unit, the curves of all runs on a grid and the areas below, as one number."""
    study = load_study(Results(folder), units=UNITS)
    rank_methods(study.incumbents, study.references, RankingSettings(control=study.control))
    curves = study.anytime()
    return {unit: _sum_of(curves, unit) for unit in UNITS}


def _sum_of(curves: Anytime, unit: Unit) -> float:
    on_grid = curves.curves(unit, measures=("quantile",))  # as ``surrobench plot`` asks for one
    return float(on_grid.quantile[..., -1].mean() + curves.area(unit).mean())


if __name__ == "__main__":
    store_many(Path(sys.argv[1]), Path(sys.argv[2]))
