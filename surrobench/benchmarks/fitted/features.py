"""Turn configurations into the numbers that a fitted model reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.fitted.folder import FidelityFacts
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace

_LOG = 10
"""A fidelity whose range spans this factor is read on a log scale."""


class Features:
    """The features of a search space and a fidelity.

    A hyperparameter with an order is its coordinate in the unit cube. One without an order is a column for
    each value. Where a conditional hyperparameter is inactive, its coordinate is 0.5 and a column of its own
    says so. A constant has no column. The fidelity is the last column, in [0, 1].
    """

    def __init__(self, space: SearchSpace, fidelity: FidelityFacts | None) -> None:
        self._space, self._fidelity = space, fidelity
        self._ordered = [
            j for j in range(space.d) if not space.is_categorical[j] and int(space.levels[j]) != 1
        ]
        self._words = [j for j in range(space.d) if space.is_categorical[j]]
        self._conditional = [j for j in self._ordered if space.conditions(j)]

    def __call__(self, X: Matrix, at: NDArray[np.float64] | None = None) -> Matrix:
        """Return the features of m configurations, shape (m, number of features).

        Args:
            X: configurations in the vector encoding, shape (m, d).
            at: fidelities, shape (m,); None stands for the full one.
        """
        U = self._space.to_unit(X)
        inactive = np.isnan(X)
        parts = [np.where(inactive, 0.5, U)[:, self._ordered]]
        parts += [
            (np.arange(self._space.levels[j]) == np.rint(X[:, [j]])).astype(np.float64) for j in self._words
        ]
        parts.append(inactive[:, self._conditional].astype(np.float64))
        if self._fidelity is not None:
            parts.append(self._scaled(np.full(len(X), self._fidelity.upper) if at is None else at)[:, None])
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def _scaled(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        assert self._fidelity is not None
        low, high = self._fidelity.lower, self._fidelity.upper
        if high >= _LOG * low:
            return np.asarray(np.log(at / low) / np.log(high / low))
        return np.asarray((at - low) / (high - low))
