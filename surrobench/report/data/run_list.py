"""The runs of a results folder as a table: who they are, how far they are, and their incumbents."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from surrobench.benchmarks.registry import benchmark
from surrobench.llm.journal import Journal
from surrobench.protocol.budget import Budget
from surrobench.report.data.load import joint_plan, read_steps
from surrobench.results.folder import Results

State = Literal["ok", "exhausted", "failed", "half-finished", "to do"]
"""How far a run is: it used its budget, stopped by itself, failed, was interrupted or has not begun."""
STATES: tuple[State, ...] = get_args(State)
_LIMITS = ("trials", "equivalents", "seconds", "tokens")


def run_states(folder: Results) -> pl.DataFrame:
    """Return a row for each run that the suite of a folder names.

    The columns are ``run`` (its id), ``method`` (its name in tables), ``optimizer`` (its label in the suite),
    ``llm``, ``variant``, ``benchmark``, ``seed``, ``state``, ``trials`` (how many are stored), and ``error``
    (why it failed, else empty).
    """
    records = folder.records()
    begun = Journal(folder.journal_path).runs() - records.keys()
    plan = joint_plan([folder])
    states: list[State] = []
    for row in plan.select("run", *_LIMITS).iter_rows(named=True):
        record = records.get(row["run"])
        if record is not None and record.finishes(Budget(*(row[limit] for limit in _LIMITS))):
            states.append(record.state)  # type: ignore[arg-type] # parked runs are not stored
        else:
            states.append("half-finished" if row["run"] in begun else "to do")
    stored = [records.get(run) for run in plan["run"]]
    return plan.select(
        *("run", "method", "optimizer", "llm", "variant", "benchmark", "seed"),
        state=pl.Series(states, dtype=pl.String),
        trials=pl.Series([record.trials if record else 0 for record in stored], dtype=pl.UInt32),
        error=pl.Series([record.error if record else "" for record in stored], dtype=pl.String),
    )


def with_incumbents(folder: Results, runs: pl.DataFrame) -> pl.DataFrame:
    """Add the incumbents of runs, by what they have stored.

    Args:
        folder: where their trials are.
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
