"""Compute regret: how far a loss is from the best, by value and by rank in the search space.

Losses are lower-is-better, and so are both regrets. The reference values are fixed by the benchmark, never by
the methods that were run. Nothing is clipped: on a surrogate, a run may find a loss below the best value that
was known before.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Anchor = Literal["median", "worst"]
"""The reference value that has a normalised regret of one."""


class Reference(Protocol):
    """The reference values of one benchmark's target objective, as losses."""

    @property
    def best(self) -> float:
        """Return the smallest mean loss of any known configuration."""

    @property
    def median(self) -> float:
        """Return the median loss over the space under its prior."""

    @property
    def worst(self) -> float:
        """Return the largest loss."""

    @property
    def sorted_losses(self) -> NDArray[np.float64]:
        """Return ascending losses, shape (N,), of the space under its prior or of a frozen sample of it."""


def normalised_regret(losses: ArrayLike, best: float, anchor: float) -> NDArray[np.float64]:
    """Return (loss - best) / (anchor - best), elementwise and unclipped: 0 is the best known, 1 the anchor.

    Where the best loss is as large as the anchor, as on a table whose better half ties, regret has no unit,
    and the result is NaN. See ``has_unit``.

    Args:
        losses: losses of any shape.
        best: the benchmark's best loss.
        anchor: its median or worst loss.
    """
    if not best < anchor:
        return np.full(np.shape(losses), np.nan)
    return (np.asarray(losses, dtype=np.float64) - best) / (anchor - best)


def has_unit(reference: Reference, anchor: Anchor) -> bool:
    """Return whether a benchmark has a normalised regret: some configuration is better than the anchor."""
    return reference.best < float(getattr(reference, anchor))


def quantile_position(losses: ArrayLike, reference_losses_sorted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return better + ties/2 + 1: the place of a loss among N reference losses, from 1 (best) to N + 1.

    The place is a multiple of one half, so that sums of places are exact and equal sums compare equal.

    Args:
        losses: losses of any shape, without NaN.
        reference_losses_sorted: shape (N,), ascending.
    """
    losses = np.asarray(losses, dtype=np.float64)
    better = np.searchsorted(reference_losses_sorted, losses, side="left")
    not_worse = np.searchsorted(reference_losses_sorted, losses, side="right")
    return np.asarray((better + not_worse) / 2 + 1)


def quantile_regret(losses: ArrayLike, reference_losses_sorted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (better + ties/2 + 1) / (N + 1), elementwise: about the share of the space that is better.

    The result does not depend on the objective's scale: a strictly increasing transform of all losses changes
    nothing.

    Args:
        losses: losses of any shape, without NaN.
        reference_losses_sorted: shape (N,), ascending.
    """
    return quantile_position(losses, reference_losses_sorted) / (len(reference_losses_sorted) + 1)


def random_trials_worth(mean_q: ArrayLike) -> NDArray[np.float64]:
    """Return 1/q - 1: the number of random trials whose best has the expected quantile regret ``mean_q``.

    The best of t uniform draws lies at the quantile 1 / (t + 1) on average.
    """
    return 1 / np.asarray(mean_q, dtype=np.float64) - 1
