"""Read what a replay serves instead of asking the benchmarks again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns, Scenario
from surrobench.engine.replay import Recording
from surrobench.results.reading import TrialFiles
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
            values = {name: frame[f"config.{name}"].to_list() for name in where.space.names}
            at = [floats(frame[f"fidelity.{fidelity.name}"]) for fidelity in where.fidelities]
            objectives = [frame[f"objective.{objective.name}"] for objective in where.objectives]
            out[str(run)] = _by_proposal(
                frame["proposal"].to_numpy(),
                Recording(
                    where.space.from_columns(values),
                    Columns(
                        np.stack([floats(column) for column in objectives], axis=1),
                        floats(frame["score"]),
                        floats(frame["cost"]),
                        np.stack(at, axis=1) if at else None,
                    ),
                    records[str(run)].thinking,
                ),
            )
    return out


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
    )
