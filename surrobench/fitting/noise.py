"""Estimate the noise of an observation: from repetitions if there are enough, else from residuals.

Residuals also hold what the model does not know. Noise that was taken from them is thus too large rather
than too small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surrobench.fitting.candidates import Fit
from surrobench.fitting.selection import OUTER, validated
from surrobench.space.hyperparameter import Matrix

ENOUGH_REPETITIONS = 10
"""Degrees of freedom from which repetitions alone decide."""


@dataclass(frozen=True)
class Noise:
    """The noise of one objective.

    Attributes:
        sigma: the standard deviation of an observation, where there is no model of it.
        model: predicts the standard deviation, if it differs from place to place.
        source: what it was estimated from: ``repetitions`` or ``residuals``.
    """

    sigma: float
    model: Fit | None
    source: str

    def at(self, features: Matrix) -> NDArray[np.float64]:
        """Return the standard deviation at features of shape (m, number of features), shape (m,)."""
        if self.model is None:
            return np.full(len(features), self.sigma)
        return np.maximum(self.model(features), 0.0)


def noise(
    features: Matrix,
    y: NDArray[np.float64],
    predicted: NDArray[np.float64],
    group: NDArray[np.intp],
    at: NDArray[np.float64],
) -> Noise:
    """Return the noise of one objective.

    Args:
        features: shape (rows, number of features).
        y: measured values, shape (rows,).
        predicted: predictions of models that have not seen these values, shape (rows,).
        group: the configuration of each row, shape (rows,).
        at: the fidelity of each row, shape (rows,).
    """
    squares, freedom = _within(y, group, at)
    if freedom >= ENOUGH_REPETITIONS:
        return Noise(float(np.sqrt(squares / freedom)), None, "repetitions")
    residuals = y - predicted
    sigma = float(np.sqrt(np.mean(residuals**2)))
    return Noise(sigma, _varying(features, residuals, group, sigma), "residuals")


def _within(y: NDArray[np.float64], group: NDArray[np.intp], at: NDArray[np.float64]) -> tuple[float, int]:
    """Return the sum of squares within equal configurations and fidelities, and its degrees of freedom."""
    _, cell = np.unique(np.stack([group, np.nan_to_num(at)], axis=1), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    counts = np.bincount(cell)
    means = np.bincount(cell, y) / counts
    return float(((y - means[cell]) ** 2).sum()), int((counts - 1).sum())


def _varying(
    features: Matrix, residuals: NDArray[np.float64], group: NDArray[np.intp], sigma: float
) -> Fit | None:
    """Return a model of the standard deviation if it says more than the constant, by two standard errors.

    The two are compared by the normal log-likelihood of residuals that the model has not seen.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    if sigma == 0:
        return None
    leaf = max(10, len(residuals) // 20)
    target = np.abs(residuals) * np.sqrt(np.pi / 2)
    fit = Fit(ExtraTreesRegressor(50, min_samples_leaf=leaf, random_state=0), features, target)
    spread = np.maximum(validated(fit, features, target, group, OUTER, 0), sigma / 20)
    gain = np.log(sigma / spread) + (residuals / sigma) ** 2 / 2 - (residuals / spread) ** 2 / 2
    error = float(np.std(gain)) / np.sqrt(len(gain))
    return fit if gain.mean() > 2 * error else None
