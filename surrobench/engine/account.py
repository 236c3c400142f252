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
        trials: how many trials were started, finished or not.
        equivalents: their full-fidelity equivalents.
        tokens: of all completions so far.
        now: simulated seconds since the run started.
    """

    budget: Budget
    workers: int = 1
    trials: int = 0
    equivalents: float = 0.0
    tokens: int = 0
    now: float = 0.0
    _trained: dict[bytes, float] = field(default_factory=dict)

    def allows(self, share: float) -> int:
        """Return how many more trials may be started, each costing ``share`` full-fidelity equivalents."""
        budget = self.budget
        left = (MOST if budget.trials is None else budget.trials) - self.trials
        if budget.equivalents is not None and share > 0:
            left = min(left, int((budget.equivalents - self.equivalents) / share + ROUNDING))
        if budget.seconds is not None and self.now >= budget.seconds:
            return 0
        return left

    @property
    def spent(self) -> bool:
        """Whether no further trial may be started, however cheap."""
        budget = self.budget
        return (
            self.trials >= (MOST if budget.trials is None else budget.trials)
            or (budget.equivalents is not None and self.equivalents >= budget.equivalents - ROUNDING)
            or (budget.seconds is not None and self.now >= budget.seconds)
        )

    @property
    def may_ask(self) -> bool:
        """Whether the tokens allow another call of the language model."""
        return self.budget.tokens is None or self.tokens < self.budget.tokens

    def charge(self, trials: int, share: float) -> int:
        """Charge trials as they start; returns the number of the first of them."""
        first = self.trials
        self.trials += trials
        self.equivalents += trials * share
        return first

    def run_one(self, cost: float) -> float:
        """Let a single trial run its time; returns when it finishes."""
        self.now += cost
        return self.now

    def run_all(self, costs: Floats) -> Floats:
        """Let m trials run their time, each started as soon as a worker is free.

        The clock stands at the last of them afterwards.

        Returns:
            finished: shape (m,), when each trial finishes.
        """
        if self.workers == 1:
            finished = self.now + np.cumsum(costs)
        else:
            free = [self.now] * self.workers  # a heap already
            finished = np.empty(len(costs))
            for i, cost in enumerate(costs.tolist()):
                finished[i] = end = heapq.heappop(free) + cost
                heapq.heappush(free, end)
        self.now = float(finished.max())
        return finished

    # ------------------------------------------------------------------ training that goes on

    def remember(self, configuration: Floats, fidelity: Floats, cost: float) -> None:
        """Keep what training a configuration up to a fidelity costs from its start."""
        self._trained[configuration.tobytes() + fidelity.tobytes()] = cost

    def trained(self, configuration: Floats, fidelity: Floats) -> float | None:
        """Return what training a configuration up to a fidelity has cost; None if that was not done."""
        return self._trained.get(configuration.tobytes() + fidelity.tobytes())
