"""What a session of a study did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from surrobench.engine.timing import Timing
from surrobench.llm.journalled_model import JournalledModel
from surrobench.plan.run import Run

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Summary:
    """What a session did.

    Attributes:
        total, finished_before: runs of the suite, and those that were finished when the session began.
        states: how this session's runs ended.
        problems: reason -> runs that failed or are parked for it.
        wall: seconds in all; ``cores``: how many processes shared the work (of a cluster: workers, at most).
        timing: of all processes together.
        storing: seconds of writing results.
        unnamed: runs in the folder that the suite does not name (any more).
    """

    total: int
    finished_before: int
    states: Counter[str]
    problems: dict[str, list[Run]]
    wall: float
    cores: int
    timing: Timing
    storing: float
    trials: int
    unnamed: int
    models: list[JournalledModel]

    @property
    def complete(self) -> bool:
        """Whether every run of the suite is finished and none failed."""
        return not self.problems

    @property
    def parked(self) -> int:
        """Runs to be resumed."""
        return self.states["parked"]
