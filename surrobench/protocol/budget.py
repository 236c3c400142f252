"""What a run may spend, and what it has: trials, full-fidelity equivalents, simulated seconds, tokens."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
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


def budget_of(values: Mapping[str, Any]) -> Budget:
    """The budget in a mapping with the keys of ``Budget``, others ignored."""
    return Budget(values["trials"], values["equivalents"], values["seconds"], values["tokens"])
