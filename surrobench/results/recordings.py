"""Read what a replay serves instead of asking the benchmarks again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns, Scenario
from surrobench.engine.replay import Recording
from surrobench.results.reading import TrialFiles
from surrobench.results.run_records import RunRecord
from surrobench.results.schema import floats


def read_recordings(files: TrialFiles, scenarios: Mapping[str, Scenario]) -> dict[str, Recording]:
    """Return the configurations and observations of all recorded runs on some scenarios, by the runs' ids.

    Args:
        files: the files of a results folder.
        scenarios: key -> scenario.
    """
    out: dict[str, Recording] = {}
    records = files.records()
    held = {record.run.benchmark.rpartition("/")[0] for record in records.values()}
    for key in sorted(held & scenarios.keys()):
        where = scenarios[key]
        with files.reading():
            trials = files.trials(scenario_key=key).collect()
        for (run,), frame in trials.group_by("run", maintain_order=True):
            out[str(run)] = _recording(frame, where, records[str(run)])
        for run_id, record in records.items():  # those that failed before their first trial
            if record.state == "failed" and not record.trials and record.run.benchmark.startswith(f"{key}/"):
                out[run_id] = _recording(trials.clear(), where, record)
    return out


def _recording(trials: pl.DataFrame, where: Scenario, record: RunRecord) -> Recording:
    """Return what is recorded of a run with these trials."""
    values = {name: trials[f"config.{name}"].to_list() for name in where.space.names}
    at = [floats(trials[f"fidelity.{fidelity.name}"]) for fidelity in where.fidelities]
    objectives = [floats(trials[f"objective.{objective.name}"]) for objective in where.objectives]
    columns = Columns(
        np.stack(objectives, axis=1),
        floats(trials["score"]),
        floats(trials["cost"]),
        np.stack(at, axis=1) if at else None,
    )
    failed = record.error if record.state == "failed" else ""
    recorded = Recording(where.space.from_columns(values), columns, record.thinking, failed)
    return _by_proposal(trials["proposal"].to_numpy(), recorded)


def _by_proposal(proposal: NDArray[np.integer[Any]], recorded: Recording) -> Recording:
    """Return the trials of a run in the order in which they were begun.

    A trial that was dropped, because it was unfinished at the end, is NaN.
    """
    n = len(proposal)
    if np.array_equal(proposal, np.arange(n)):
        return recorded

    def spread(column: Any) -> Any:
        if column is None:
            return None
        out = np.full((proposal.max() + 1, *column.shape[1:]), np.nan)
        out[proposal] = column
        return out

    columns = recorded.columns
    return Recording(
        spread(recorded.configurations),
        Columns(*map(spread, (columns.values, columns.score, columns.cost, columns.fidelity))),
        recorded.thinking,
        recorded.failed,
    )
