"""The value of a failed evaluation, for methods that need a number for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class WorstSeen:
    """This class remembers the worst loss seen so far, as which a failed evaluation counts.

    A failed evaluation never counts as a fixed number.
    """

    def __init__(self) -> None:
        self._worst = -np.inf

    def see(self, losses: NDArray[np.float64]) -> None:
        """Take note of losses, which are NaN for a failed evaluation."""
        if np.isfinite(losses).any():
            self._worst = max(self._worst, float(np.nanmax(losses)))

    def fill(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the same losses with a number in place of each that failed.

        While no loss has been seen, all are equal.
        """
        return np.where(np.isfinite(losses), losses, self._worst if np.isfinite(self._worst) else 0.0)
