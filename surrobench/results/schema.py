"""Make the tables of a results folder: a row per trial, a row per planned run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from surrobench.benchmarks.base import Scenario
from surrobench.engine.outcome import Outcome
from surrobench.plan.run import Run

SCHEMA_VERSION = 5
"""Counts up when the columns of trials or the records of runs change; older files stay readable."""


def common_schema() -> dict[str, Any]:
    """Return the columns that every scenario has, in their order, with their types."""
    return {
        "run": pl.String,
        "benchmark": pl.String,
        "optimizer": pl.String,
        "llm": pl.String,
        "variant": pl.String,
        "seed": pl.UInt32,
        "trial": pl.UInt32,
        "source": pl.String,
        "status": pl.String,
        "duplicate": pl.Boolean,
        "repairs": pl.String,
        "reply": pl.String,
        "error": pl.String,
        "value": pl.Float64,
        "score": pl.Float64,
        "cost": pl.Float64,
        "share": pl.Float64,
        "finished": pl.Float64,
        "overhead": pl.Float64,
        "proposal": pl.UInt32,
        "calls": pl.UInt32,
        "tokens_in": pl.UInt32,
        "tokens_out": pl.UInt32,
        "latency": pl.Float64,
    }


def trials_frame(outcomes: Sequence[Outcome], scenario: Scenario) -> pl.DataFrame:
    """Return the trials of some runs of one scenario as rows."""
    n = [outcome.n for outcome in outcomes]
    of_run = np.repeat(np.arange(len(outcomes)), n)
    requests = [(outcome, i) for outcome in outcomes for i in range(len(outcome.lengths))]
    lengths = np.array([outcome.lengths[i] for outcome, i in requests], dtype=np.int64)
    of_request = np.repeat(np.arange(len(requests)), lengths)
    first = np.zeros(len(of_request), dtype=bool)
    first[np.cumsum(lengths) - lengths] = True

    def per_run(values: list[Any], dtype: Any = pl.String) -> pl.Series:
        return pl.Series(values, dtype=dtype).gather(of_run)

    def per_request(values: list[Any], dtype: Any = pl.String) -> pl.Series:
        return pl.Series(values, dtype=dtype).gather(of_request)

    def on_first(values: list[Any], dtype: Any) -> pl.Series:
        # What a request cost is booked on its first trial.
        return per_request(values, dtype).zip_with(
            pl.Series(first), pl.Series([0], dtype=dtype).new_from_index(0, len(first))
        )

    origins = [outcome.origins[i] for outcome, i in requests]
    spent = [outcome.spent[i] for outcome, i in requests]
    X = np.concatenate([outcome.configurations for outcome in outcomes])
    values = np.concatenate([outcome.values for outcome in outcomes])
    value = _series([outcome.values[:, scenario.target_index] for outcome in outcomes])
    status = per_request([origin.status for origin in origins])
    failed = status.eq("ok") & value.is_null()
    columns = {
        "run": per_run([outcome.run.id for outcome in outcomes]),
        "benchmark": per_run([outcome.run.benchmark for outcome in outcomes]),
        "optimizer": per_run([outcome.run.method for outcome in outcomes]),
        "llm": per_run([outcome.run.model for outcome in outcomes]),
        "variant": per_run([outcome.run.variant for outcome in outcomes]),
        "seed": per_run([outcome.run.seed for outcome in outcomes], pl.UInt32),
        "trial": pl.Series(np.concatenate([np.arange(k, dtype=np.uint32) for k in n])),
        "source": per_request([origin.source for origin in origins]),
        "status": pl.select(pl.when(failed).then(pl.lit("failed")).otherwise(status)).to_series(),
        "duplicate": pl.Series(np.concatenate([outcome.duplicate for outcome in outcomes])),
        "repairs": per_request([",".join(origin.repairs) or None for origin in origins]),
        "reply": per_request([origin.reply or None for origin in origins]),
        "error": per_request([origin.error or None for origin in origins]),
        "value": value,
        "score": _series([outcome.score for outcome in outcomes]),
        "cost": _series([outcome.cost for outcome in outcomes]),
        "share": pl.Series(np.concatenate([outcome.share for outcome in outcomes])),
        "finished": pl.Series(np.concatenate([outcome.finished for outcome in outcomes])),
        "overhead": pl.Series(np.concatenate([outcome.overhead for outcome in outcomes])),
        "proposal": pl.Series(np.concatenate([outcome.proposal for outcome in outcomes]), dtype=pl.UInt32),
        "calls": on_first([part.calls for part in spent], pl.UInt32),
        "tokens_in": on_first([part.tokens_in for part in spent], pl.UInt32),
        "tokens_out": on_first([part.tokens_out for part in spent], pl.UInt32),
        "latency": on_first([part.latency for part in spent], pl.Float64),
    }
    for j, objective in enumerate(scenario.objectives):
        columns[f"objective.{objective.name}"] = _series([values[:, j]])
    for j, fidelity in enumerate(scenario.fidelities):
        at = _series([outcome.fidelity[:, j] for outcome in outcomes if outcome.fidelity is not None])
        columns[f"fidelity.{fidelity.name}"] = at.cast(pl.Int64) if fidelity.integer else at
    # One row more than there are: without any, Polars could not tell a column's type.
    for name, (typed, active) in scenario.space.columns(np.vstack([scenario.default(), X])).items():
        inactive = pl.Series(~active)
        typed_series = pl.Series(typed.tolist() if typed.dtype == object else typed)
        columns[f"config.{name}"] = (
            pl.select(pl.when(inactive).then(None).otherwise(typed_series)).to_series().slice(1)
        )
    return pl.DataFrame(columns)


def _series(parts: list[Any]) -> pl.Series:
    """Return floats with null where nothing was observed."""
    return pl.Series(np.concatenate(parts), dtype=pl.Float64).fill_nan(None)


def floats(column: pl.Series) -> Any:
    """Return a column as an array, with NaN where nothing was observed."""
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def plan_frame(runs: Sequence[Run]) -> pl.DataFrame:
    """Return a row per run that a suite names, so that missing runs can be listed."""
    return pl.DataFrame(
        {
            "run": [run.id for run in runs],
            "benchmark": [run.benchmark for run in runs],
            "optimizer": [run.method for run in runs],
            "llm": [run.model for run in runs],
            "variant": [run.variant for run in runs],
            "seed": [run.seed for run in runs],
            "trials": [run.trials for run in runs],
            "equivalents": [run.equivalents for run in runs],
            "seconds": [run.seconds for run in runs],
            "tokens": [run.tokens for run in runs],
        },
        schema_overrides={
            "llm": pl.String,
            "variant": pl.String,
            "seed": pl.UInt32,
            "trials": pl.UInt32,
            "equivalents": pl.Float64,
            "seconds": pl.Float64,
            "tokens": pl.UInt64,
        },
    )
