"""List the runs of a results folder as a table: their identity, their progress, and their incumbents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from surrobench.benchmarks.registry import benchmark
from surrobench.llm.journal import Journal
from surrobench.report.data.load import RunFilter, joint_plan, read_steps
from surrobench.results.folder import Results

State = Literal["ok", "exhausted", "failed", "half-finished", "to do"]
"""The state of a run: it used its budget, stopped by itself, failed, was interrupted or has not begun."""
STATES: tuple[State, ...] = get_args(State)
_LIMITS = ("trials", "equivalents", "seconds", "tokens")


def run_states(folders: Sequence[Results], choice: RunFilter | None = None) -> pl.DataFrame:
    """Return a row for each run that the suites of some folders name.

    The columns are ``run`` (its id), ``method`` (its name in tables), ``optimizer`` (its label in the suite),
    ``llm``, ``variant``, ``benchmark``, ``seed``, ``state``, ``trials`` (how many are stored), ``error`` (why
    it failed, else empty), and the number of its ``folder``.

    Args:
        folders: the results.
        choice: the runs to list; by default all.

    Raises:
        ResultsError: two folders contradict each other.
        UnknownName: a pattern of the choice matches nothing.
    """
    plan = (choice or RunFilter()).of(joint_plan(folders))
    recorded = pl.concat(
        folder.recorded_runs().with_columns(folder=pl.lit(number, pl.UInt32))
        for number, folder in enumerate(folders)
    )
    rows = plan.join(recorded, on=["run", "folder"], how="left", maintain_order="left", suffix="_recorded")
    covers = pl.all_horizontal(  # the same condition as in Budget.covers
        pl.col(f"{limit}_recorded").is_null()
        | (pl.col(f"{limit}_recorded") >= pl.col(limit)).fill_null(False)
        for limit in _LIMITS
    )
    finished = (pl.col("state") == "exhausted") | (pl.col("state").is_not_null() & covers)
    begun: set[str] = set()
    if rows.select(finished.fill_null(False).all()).item() is False:  # otherwise no journal needs to be read
        begun = {run for folder in folders for run in Journal(folder.journal_path).runs()}
    begun -= set(recorded["run"])
    return rows.select(
        *("run", "method", "optimizer", "llm", "variant", "benchmark", "seed"),
        state=pl.when(finished.fill_null(False))
        .then("state")
        .when(pl.col("run").is_in(list(begun)))
        .then(pl.lit("half-finished"))
        .otherwise(pl.lit("to do")),
        trials=pl.col("spent").fill_null(0).cast(pl.UInt32),
        error=pl.col("error").fill_null(""),
        folder="folder",
    )


def with_incumbents(folder: Results, runs: pl.DataFrame) -> pl.DataFrame:
    """Add the incumbents of runs, by what they have stored.

    Args:
        folder: the results folder that holds the trials of the runs.
        runs: rows of ``run_states``.

    Returns:
        The rows with ``metric`` (the objective), ``incumbent`` (the mean of the best configuration, in the
        objective's direction) and ``incumbent_trial``; both are null where nothing was observed.
    """
    runs = runs.with_row_index("row")
    nothing = [pl.lit(None, dtype).alias(limit) for limit, dtype in _limits().items()]
    plan = runs.select("run", "row", *nothing)
    value, trial = np.full(len(runs), np.nan), np.full(len(runs), -1, dtype=np.int64)
    scenarios = {name.rpartition("/")[0] for name in runs["benchmark"].unique()}
    metrics = {name: benchmark(name).objective for name in runs["benchmark"].unique()}
    for key in sorted(scenarios):
        for portion in read_steps(folder, plan, key, ("trials",), False, ()):
            steps = portion.steps["trials"]
            observed = np.flatnonzero(np.diff(steps.first))
            last = steps.first[1:][observed] - 1
            value[portion.rows[observed]], trial[portion.rows[observed]] = (
                steps.score[last],
                steps.trial[last],
            )
    signs = np.array([metrics[name].sign for name in runs["benchmark"]], dtype=np.float64)
    return runs.drop("row").with_columns(
        metric=pl.Series([metrics[name].name for name in runs["benchmark"]], dtype=pl.String),
        incumbent=pl.Series(value * signs).fill_nan(None),
        incumbent_trial=pl.Series([None if t < 0 else t for t in trial.tolist()], dtype=pl.UInt32),
    )


def _limits() -> dict[str, Any]:
    return {"trials": pl.UInt32, "equivalents": pl.Float64, "seconds": pl.Float64}
