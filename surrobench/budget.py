"""What a run may spend, and what it has: trials, full-fidelity equivalents, simulated seconds, tokens."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

UNLIMITED = sys.maxsize
"""The horizon where only time or tokens are limited."""
MOST = 1_000_000
"""Trials of a run whose trials are not limited."""
ROUNDING = 1e-9
"""Of sums of equivalents: three thirds make one trial."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of a run; it ends at the first that is reached. None: no limit of that kind.

    Attributes:
        trials: evaluations, of whatever fidelity, the initial design included. Where neither they nor
            equivalents are limited, ``MOST`` of them end a run that takes no simulated time.
        equivalents: the same, each counted as its share of a full-fidelity trial.
        seconds: simulated seconds on the run's workers; what is unfinished then is dropped.
        tokens: of the language model, in and out; no call is begun once they are spent.
    """

    trials: int | None = None
    equivalents: float | None = None
    seconds: float | None = None
    tokens: int | None = None

    def covers(self, other: Budget) -> bool:
        """Whether a run that ended at this budget holds all that one with the ``other`` would."""
        return all(
            mine is None or (theirs is not None and mine >= theirs)
            for mine, theirs in (
                (self.trials, other.trials),
                (self.equivalents, other.equivalents),
                (self.seconds, other.seconds),
                (self.tokens, other.tokens),
            )
        )

    @property
    def horizon(self) -> int:
        """How many full-fidelity trials it allows, ``UNLIMITED`` where only time or tokens are limited."""
        whole = UNLIMITED if self.equivalents is None else int(self.equivalents + ROUNDING)
        return whole if self.trials is None else min(self.trials, whole)

    def __str__(self) -> str:
        """The limits in words."""
        parts = {
            "trials": self.trials,
            "full-fidelity equivalents": self.equivalents,
            "simulated seconds": self.seconds,
            "tokens": self.tokens,
        }
        return ", ".join(f"{value:,g} {name}" for name, value in parts.items() if value is not None)


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


def budget_of(values: Mapping[str, Any]) -> Budget:
    """The budget in a mapping with the keys of ``Budget``, others ignored."""
    return Budget(values["trials"], values["equivalents"], values["seconds"], values["tokens"])
