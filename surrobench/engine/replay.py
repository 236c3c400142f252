"""Serve what a recording holds of a run in the place of what the run would observe anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns
from surrobench.engine.outcome import RunState
from surrobench.errors import ModelUnavailable, RecordingEnds, ReplayDiverged, SurrobenchError
from surrobench.plan.run import Run
from surrobench.protocol.requests import Matrix


class Recording(NamedTuple):
    """What a recording holds of one run, by the trials' numbers in the order they were started.

    A trial that was dropped, unfinished when the time was over, has a cost of NaN. ``thinking``: see
    ``engine.run_state.RunInProgress``; empty where the run does not count it. ``failed``: why the run failed;
    empty where it did not.
    """

    configurations: Matrix
    columns: Columns
    thinking: Sequence[float] = ()
    failed: str = ""

    def has(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some trials the recording holds, shape (m,)."""
        there = numbers < len(self.columns.cost)
        there[there] = ~np.isnan(self.columns.cost[numbers[there]])
        return there

    def ends(self, run: Run) -> RecordingEnds:
        """Return the error that the recording is shorter than the run."""
        return RecordingEnds(
            f"The recording of run {run.id} ends after {len(self.columns.cost)} trials.",
            "It was made with a smaller budget or cut short; leave out --replay to go on.",
        )


def ending(recording: Recording | None, error: SurrobenchError) -> tuple[RunState, str]:
    """Return how a run ends that got an error instead of an answer, and the reason.

    Where a recorded run failed, its recording ends: a server's refusal, say, is in no journal. Its replay
    fails there for the same reason.
    """
    if isinstance(error, RecordingEnds) and recording is not None and recording.failed:
        return "failed", recording.failed
    return ("parked" if isinstance(error, ModelUnavailable | ReplayDiverged) else "failed"), str(error)


Recorded = Mapping[str, Recording]
"""Run id -> what is recorded of the run."""


def replay(
    recording: Recording,
    run: Run,
    numbers: NDArray[np.int64],
    X: Matrix,
    columns: Columns,
    *,
    may_lack: bool,
    compare: bool,
) -> None:
    """Put what was recorded for a run's trials in the place of what they observed anew.

    Args:
        recording: of the run.
        run: whose trials they are.
        numbers: shape (m,), the trials' numbers in the run.
        X: shape (m, d), as evaluated.
        columns: of these trials, changed in place.
        may_lack: whether trials may be missing from the recording, since some were dropped when the time was
            over. They stay as they are; whether the recording is complete is checked when the run ends.
        compare: whether observations that differ from the recorded ones are an error.

    Raises:
        ReplayDiverged: other configurations or fidelities were recorded there, or, with ``compare``, other
            values.
    """
    there = recording.has(numbers)
    if not there.all() and not may_lack:
        raise recording.ends(run)
    numbers = numbers[there]
    same = np.isclose(recording.configurations[numbers], X[there], rtol=0, atol=1e-9, equal_nan=True).all(
        axis=1
    )
    what = "it proposes another configuration"
    was = recording.columns
    if same.all() and was.fidelity is not None and columns.fidelity is not None:
        same = (was.fidelity[numbers] == columns.fidelity[there]).all(axis=1)
        what = "it asks for another fidelity"
    if same.all() and compare:
        a, b = was.values[numbers], columns.values[there]
        same = ((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=1)
        what = "the benchmark gives another value"
    if not same.all():
        raise ReplayDiverged(
            f"Run {run.id} diverged at trial {numbers[np.argmin(same)]}: {what} than was recorded.",
            "Use the library versions of the recording (see its manifest.json).",
        )
    columns.values[there] = was.values[numbers]
    columns.score[there] = was.score[numbers]
    columns.cost[there] = was.cost[numbers]
