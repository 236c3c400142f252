"""Live counters of a study, for a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from surrobench.engine.outcome import Progress
from surrobench.llm.journalled_model import JournalledModel

if TYPE_CHECKING:
    pass


@dataclass
class Status:
    """Live counters of a study, for a progress bar."""

    total: int = 0
    done: int = 0
    trials: int = 0
    work: float = 0.0
    """Estimated seconds of all pending runs."""
    work_done: float = 0.0
    models: list[JournalledModel] = field(default_factory=list)
    live: Progress = field(default_factory=Progress)
    """Trials of runs that a model drives, counted as they happen."""
    note: Callable[[str], None] = lambda text: None
    """Takes a line worth saying at once."""
    live_stored: int = 0
    """Of those, the ones whose runs are finished."""
    seconds_per_live_trial: float = 0.0

    def live_work(self) -> float:
        """Estimated seconds of the trials of runs that a model drives and that are not finished."""
        return max(self.live.trials - self.live_stored, 0) * self.seconds_per_live_trial
