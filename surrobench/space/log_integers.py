"""Map hyperparameters whose values are not equally probable, such as integers on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ConfigSpace.conditions import AndConjunction, Conjunction
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    UniformIntegerHyperparameter,
)

from surrobench.space.hyperparameter import Hyperparameter, Mask, Matrix, bounds_of, level_count


def log_edges(hp: Hyperparameter, index: Any) -> Matrix:
    """Return where the parts of the unit interval begin that stand for the integers ``index``."""
    # ConfigSpace's prior (Optuna's differs): the range is cut into equal parts, one for each integer, and
    # an integer is as probable as its part is long on the log scale. This is where part ``index`` begins.
    low, high = bounds_of(hp)
    starts = low + index * ((high - low) / level_count(hp))
    return np.asarray((np.log(starts) - math.log(low)) / (math.log(high) - math.log(low)))


class LogIntegers:
    """Maps all integers on a log scale at once, with their vector values from a table.

    The numbers are those of ``uneven_from_unit``, in a seventh of the time if a configuration is drawn alone.
    """

    LARGEST = 100_000  # values of a hyperparameter that is worth a table

    def __init__(
        self, uneven: Mapping[int, Hyperparameter], hyperparameters: Sequence[Hyperparameter]
    ) -> None:
        self.columns = [
            j
            for j, hp in uneven.items()
            if isinstance(hp, UniformIntegerHyperparameter) and level_count(hp) <= self.LARGEST
        ]
        mine = [hyperparameters[j] for j in self.columns]
        bounds = np.array([bounds_of(hp) for hp in mine], dtype=np.float64).reshape(-1, 2)
        self._low, high = bounds[:, 0], bounds[:, 1]
        self._ratio, self._span = high / self._low, high - self._low
        self._levels = np.array([float(level_count(hp)) for hp in mine])
        self._first = np.cumsum(self._levels) - self._levels
        tables = [hp.to_vector(np.arange(hp.lower, hp.upper + 1)) for hp in mine]  # type: ignore[union-attr]
        self._vectors = np.concatenate([np.empty(0), *tables])

    def from_unit(self, U: Matrix) -> Matrix:
        """Map the unit cube to the vector encoding, both of shape (m, number of columns)."""
        share = (self._low * self._ratio**U - self._low) / self._span
        index = np.minimum(np.maximum(np.floor(share * self._levels), 0.0), self._levels - 1.0)
        return np.asarray(self._vectors[(index + self._first).astype(np.intp)])


def uneven_from_unit(hp: Hyperparameter, u: Matrix) -> Matrix:
    """Map points of the unit interval, shape (m,), to values that are not equally probable."""
    if isinstance(hp, CategoricalHyperparameter):
        edges = np.cumsum(hp.probabilities)[:-1]
        return np.searchsorted(edges, u, side="right").astype(np.float64)
    low, high = bounds_of(hp)
    levels = level_count(hp)
    share = (low * (high / low) ** u - low) / (high - low)
    integers = low + np.clip(np.floor(share * levels), 0, levels - 1).astype(np.int64)
    return np.asarray(hp.to_vector(integers), dtype=np.float64)


def uneven_to_unit(hp: Hyperparameter, x: Matrix) -> Matrix:
    """Invert ``uneven_from_unit``: map each value to the middle of its part; NaN stays NaN."""
    active = ~np.isnan(x)
    u = np.full(len(x), np.nan)
    if isinstance(hp, CategoricalHyperparameter):
        edges = np.concatenate([[0.0], np.cumsum(hp.probabilities)])
        index = x[active].astype(np.intp)
        u[active] = (edges[index] + edges[index + 1]) / 2
    else:
        part = hp.to_value(x[active]) - bounds_of(hp)[0]
        u[active] = (log_edges(hp, part) + log_edges(hp, part + 1)) / 2
    return u


# ---------------------------------------------------------------------- conditions


def condition_holds(condition: Any, X: Matrix) -> Mask:
    """Return where a condition holds, shape (m,). A condition on an inactive parent never holds."""
    if isinstance(condition, Conjunction):
        parts = [condition_holds(part, X) for part in condition.components]
        combine = np.logical_and if isinstance(condition, AndConjunction) else np.logical_or
        return np.asarray(combine.reduce(parts))
    parent = X[:, condition.parent_vector_id]
    return np.asarray(condition.satisfied_by_vector_array(X.T)) & ~np.isnan(parent)


def condition_parents(condition: Any) -> list[Any]:
    """Return the hyperparameters that a condition depends on."""
    if isinstance(condition, Conjunction):
        return [hp for part in condition.components for hp in condition_parents(part)]
    return [condition.parent]
