"""Limit what a run may spend: trials, full-fidelity equivalents, simulated seconds, tokens."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

UNLIMITED = sys.maxsize
"""The horizon of a run of which only time or tokens are limited."""
MOST = 1_000_000
"""How many trials end a run whose trials are not limited."""
MOST_WASTED = 100
"""How many wasted trials in a row end a run of which only time or tokens are limited: a reply that is no
configuration takes no simulated time, and a server may not count its tokens."""
MOST_CALLS = 10_000
"""How many calls of the model, without a trial between them, fail a run."""
ROUNDING = 1e-9
"""The rounding error of sums of equivalents: three thirds make one trial."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Holds the limits of a run, which ends at the first that it reaches; None stands for no limit.

    Attributes:
        trials: number of evaluations of any fidelity, the initial design included. If neither trials nor
            equivalents are limited, ``MOST`` trials end a run that takes no simulated time.
        equivalents: number of evaluations, each counted as its share of a full-fidelity trial.
        seconds: simulated seconds on the run's workers; trials that are unfinished then are dropped.
        tokens: tokens of the language model, in and out; no call is begun once they are spent.
    """

    trials: int | None = None
    equivalents: float | None = None
    seconds: float | None = None
    tokens: int | None = None

    def covers(self, other: Budget) -> bool:
        """Return whether a run that ended at this budget holds all that one with the ``other`` would."""
        return self == other or all(
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
        """How many full-fidelity trials fit; ``UNLIMITED`` if only time or tokens are limited."""
        whole = UNLIMITED if self.equivalents is None else int(self.equivalents + ROUNDING)
        return whole if self.trials is None else min(self.trials, whole)

    @property
    def counts_trials(self) -> bool:
        """Whether a wasted trial uses the budget up, too."""
        return self.trials is not None or self.equivalents is not None

    def __str__(self) -> str:
        """Return the limits in words."""
        parts = {
            "trials": self.trials,
            "full-fidelity equivalents": self.equivalents,
            "simulated seconds": self.seconds,
            "tokens": self.tokens,
        }
        return ", ".join(f"{value:,g} {name}" for name, value in parts.items() if value is not None)


def budget_of(values: Mapping[str, Any]) -> Budget:
    """Return the budget in a mapping that has the keys of ``Budget``; other keys are ignored."""
    return Budget(values["trials"], values["equivalents"], values["seconds"], values["tokens"])
