"""Find the listed configuration that is nearest to another one, in a table with gaps.

The distance is that in the unit cube, where two different categories have the distance 1. Of equally near
configurations, the first in the list is taken.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surrobench.seeding import mix
from surrobench.space.hyperparameter import Mask, Matrix
from surrobench.space.search_space import SearchSpace

if TYPE_CHECKING:
    from scipy.spatial import cKDTree


class ListedConfigurations:
    """The configurations of a table. Each of them is present for some of the table's instances."""

    def __init__(self, space: SearchSpace, configurations: Matrix, present: Mask) -> None:
        """Keep the listed configurations.

        Args:
            space: the search space.
            configurations: the configurations, shape (configurations, d), all different.
            present: whether the table has a configuration for an instance, shape (instances, configurations).
        """
        self._space, self._configurations, self._present = space, configurations, present
        self._trees: dict[int, tuple[NDArray[np.intp], cKDTree]] = {}

    def rows(self, X: Matrix, instances: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the number of the listed configuration that is nearest to each one, shape (m,).

        Args:
            X: the configurations, shape (m, d).
            instances: the instance that each configuration is evaluated on, shape (m,).
        """
        X = np.nan_to_num(np.asarray(X, dtype=np.float64))  # illegal values are refused elsewhere
        rows, missed = self._exact(X, instances)
        for instance in np.unique(instances[missed]).tolist():
            mine = np.flatnonzero(missed & (instances == instance))
            rows[mine] = self._nearest(X[mine], instance)
        return rows

    def _exact(self, X: Matrix, instances: NDArray[np.intp]) -> tuple[NDArray[np.intp], Mask]:
        """Return the number of each configuration, and whether it is not listed; both have shape (m,)."""
        digests, order = self._digests
        place = np.minimum(np.searchsorted(digests, row_digest(X)), len(digests) - 1)
        rows = order[place]
        same = (self._configurations[rows] == X).all(axis=1)
        return rows, ~same | ~self._present[instances, rows]

    @cached_property
    def _digests(self) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
        """Return the digests of the listed configurations, ascending, and their numbers.

        Both have shape (configurations,).
        """
        digests = row_digest(self._configurations)
        order = np.argsort(digests)
        return digests[order], order

    def _nearest(self, X: Matrix, instance: int) -> NDArray[np.intp]:
        """Return the number of the nearest configuration that an instance has, shape (m,)."""
        if instance not in self._trees:
            from scipy.spatial import cKDTree

            mine = np.flatnonzero(self._present[instance])
            self._trees[instance] = mine, cKDTree(self._features(self._configurations[mine]))
        mine, tree = self._trees[instance]
        points = self._features(X)
        distances, found = tree.query(points, k=2)  # infinity where there is no second
        nearest = found[:, 0]
        reach = distances[:, 0] * (1 + 1e-9) + 1e-12
        # The tree does not promise which of equally near points it finds.
        for i in np.flatnonzero(distances[:, 1] <= reach).tolist():
            nearest[i] = min(tree.query_ball_point(points[i], reach[i]))
        return np.asarray(mine[nearest])

    def _features(self, X: Matrix) -> Matrix:
        """Return coordinates, shape (m, .), whose Euclidean distance is that between configurations."""
        categorical = self._space.is_categorical
        parts = [self._space.to_unit(X)[:, ~categorical]]
        for j in np.flatnonzero(categorical):
            chosen = np.arange(self._space.levels[j]) == np.rint(X[:, [j]])
            parts.append(chosen * np.sqrt(0.5))
        return np.concatenate(parts, axis=1)


def row_digest(X: Matrix) -> NDArray[np.uint64]:
    """Return a number for each row, by which equal rows are found.

    Rows that differ may have the same number.
    """
    bits = np.ascontiguousarray(X + 0.0).view(np.uint64)  # zero has one form, not two
    factors = mix(np.zeros(X.shape[1], dtype=np.uint64), np.arange(X.shape[1], dtype=np.uint64))
    # The low bits of round numbers are zeros, and would remain zeros.
    return np.asarray(
        ((bits ^ (bits >> np.uint64(33))) * (factors | np.uint64(1))).sum(axis=1, dtype=np.uint64)
    )
