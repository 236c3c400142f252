"""What a recording holds of a run, served in the place of what it would observe anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns
from surrobench.errors import ReplayDiverged
from surrobench.plan.run import Run
from surrobench.protocol.requests import Matrix

if TYPE_CHECKING:
    pass


class Recording(NamedTuple):
    """What a recording holds of one run, by the trials' numbers in the order they were begun.

    A trial that was dropped, unfinished when the time was over, has a cost of NaN. ``thinking``: see
    ``engine.run_state.RunInProgress``; empty where the run does not count it.
    """

    configurations: Matrix
    columns: Columns
    thinking: Sequence[float] = ()

    def has(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Shape (m,): which of some trials it holds."""
        there = numbers < len(self.columns.cost)
        there[there] = ~np.isnan(self.columns.cost[numbers[there]])
        return there

    def ends(self, run: Run) -> ReplayDiverged:
        """Says that it is shorter than the run."""
        return ReplayDiverged(
            f"The recording of run {run.id} ends after {len(self.columns.cost)} trials.",
            "It was made with a smaller budget or cut short; leave out --replay to go on.",
        )


Recorded = Mapping[str, Recording]
"""Run id -> what is recorded of it."""
