"""What a failed evaluation counts as, where a method needs a number for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class WorstSeen:
    """The worst loss seen so far: a failed evaluation counts as that, never as a fixed number."""

    def __init__(self) -> None:
        self._worst = -np.inf

    def see(self, losses: NDArray[np.float64]) -> None:
        """Take note of losses; NaN for a failed evaluation."""
        if np.isfinite(losses).any():
            self._worst = max(self._worst, float(np.nanmax(losses)))

    def fill(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same losses, a number in place of each that failed; while nothing was seen, all are equal."""
        return np.where(np.isfinite(losses), losses, self._worst if np.isfinite(self._worst) else 0.0)
