"""Keep a run's account: what it has spent of its budget, and its simulated clock."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from surrobench.protocol.budget import MOST, ROUNDING, Budget, Floats


@dataclass(slots=True)
class Account:
    """What one run has spent, and its simulated clock.

    Attributes:
        budget: its limits.
        workers: how many trials can be under way at a time.
        begun: trials begun, finished or not.
        equivalents: full-fidelity equivalents of those begun.
        tokens: of all completions so far.
        now: simulated seconds since the run began.
    """

    budget: Budget
    workers: int = 1
    begun: int = 0
    equivalents: float = 0.0
    tokens: int = 0
    now: float = 0.0
    _trained: dict[bytes, float] = field(default_factory=dict)

    def allows(self, share: float) -> int:
        """How many more trials may be begun, each costing ``share`` full-fidelity equivalents."""
        budget = self.budget
        left = (MOST if budget.trials is None else budget.trials) - self.begun
        if budget.equivalents is not None and share > 0:
            left = min(left, int((budget.equivalents - self.equivalents) / share + ROUNDING))
        if budget.seconds is not None and self.now >= budget.seconds:
            return 0
        return left

    @property
    def spent(self) -> bool:
        """Whether nothing more may be begun, however cheap."""
        budget = self.budget
        return (
            self.begun >= (MOST if budget.trials is None else budget.trials)
            or (budget.equivalents is not None and self.equivalents >= budget.equivalents - ROUNDING)
            or (budget.seconds is not None and self.now >= budget.seconds)
        )

    def begin(self, trials: int, share: float) -> int:
        """Book trials as begun; returns the number of the first of them."""
        first = self.begun
        self.begun += trials
        self.equivalents += trials * share
        return first

    def run_one(self, cost: float) -> float:
        """``run_all`` for a single trial."""
        self.now += cost
        return self.now

    def run_all(self, costs: Floats) -> Floats:
        """Shape (m,): when each of m trials finishes, begun in order as workers get free.

        The clock stands at the last of them afterwards.
        """
        if self.workers == 1:
            finished = self.now + np.cumsum(costs)
        else:
            free = [self.now] * self.workers  # a heap already
            finished = np.empty(len(costs))
            for i, cost in enumerate(costs.tolist()):
                finished[i] = begun = heapq.heappop(free) + cost
                heapq.heappush(free, begun)
        self.now = float(finished.max())
        return finished

    # ------------------------------------------------------------------ training that goes on

    def remember(self, configuration: Floats, fidelity: Floats, cost: float) -> None:
        """Keep what training a configuration up to a fidelity costs from its start."""
        self._trained[configuration.tobytes() + fidelity.tobytes()] = cost

    def trained(self, configuration: Floats, fidelity: Floats) -> float | None:
        """What training a configuration up to a fidelity has cost; None if that has not been done."""
        return self._trained.get(configuration.tobytes() + fidelity.tobytes())
