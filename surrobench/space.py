"""Search spaces as arrays.

A space is *defined* with ConfigSpace and *worked on* as matrices: a batch of configurations is a float64
matrix of shape (m, d) in ConfigSpace's own vector encoding (numeric hyperparameters in [0, 1] after the
logarithm where they have one, categorical and ordinal ones as their index, NaN where a conditional
hyperparameter is inactive). No function here builds a ``Configuration`` object: one costs 0.7 ms.

Two encodings occur:

- *vector*: ConfigSpace's, what benchmarks look up and results are decoded from;
- *unit cube*: what model-based optimizers search. Continuous hyperparameters are the same in both; the
  values of a discrete one are bins of equal width, so that uniform in the cube is the space's prior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.conditions import AndConjunction, Conjunction
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)
from numpy.random import Generator
from numpy.typing import NDArray

from surrobench.errors import DataError, UsageError

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Configuration = dict[str, Any]

_ROUNDING = 1e-9  # of the vector encoding: ConfigSpace maps the largest integer of a log range to 1 + 2e-16

Hyperparameter = (
    UniformFloatHyperparameter
    | UniformIntegerHyperparameter
    | CategoricalHyperparameter
    | OrdinalHyperparameter
    | Constant
)


class SearchSpace:
    """A ConfigSpace whose batches are matrices; columns follow ``names``.

    Raises:
        DataError: for what has no array form here (normal or beta priors, forbidden clauses).
    """

    def __init__(self, config_space: ConfigurationSpace) -> None:
        self.config_space = config_space
        self.hyperparameters = tuple(map(_supported, config_space.values()))
        self.names: tuple[str, ...] = tuple(hp.name for hp in self.hyperparameters)
        self.d = len(self.names)
        self._column = {name: j for j, name in enumerate(self.names)}
        if config_space.forbidden_clauses:
            raise DataError(
                "Search spaces with forbidden clauses are not supported.", "Express them as conditions."
            )
        # levels: number of values of a discrete hyperparameter (0: continuous). Value number i stands at
        # origin + i / intervals in the vector encoding (a division, as in ConfigSpace: conditions compare
        # these numbers exactly). Columns that are no evenly spaced list of values (integers on a log scale,
        # weighted categories) are mapped one by one.
        self.levels = np.array([_levels(hp) for hp in self.hyperparameters], dtype=np.int64)
        integer = np.array([isinstance(hp, UniformIntegerHyperparameter) for hp in self.hyperparameters])
        self._intervals = np.where(integer, np.maximum(self.levels - 1, 1), 1).astype(np.float64)
        self.origin = np.array([_origin(hp) for hp in self.hyperparameters])
        self._last = np.maximum(self.levels - 1.0, 0.0)  # index of the last value
        self._bins = np.asarray(self.levels, dtype=np.float64)
        self._uneven = {
            j: hp
            for j, hp in enumerate(self.hyperparameters)
            if (isinstance(hp, UniformIntegerHyperparameter) and hp.log)
            or (isinstance(hp, CategoricalHyperparameter) and len(set(np.ravel(hp.probabilities))) > 1)
        }
        self._log_integers = _LogIntegers(self._uneven, self.hyperparameters)
        self._conditions: dict[int, list[Any]] = {}
        for condition in config_space.conditions:
            self._conditions.setdefault(self._column[condition.child.name], []).append(condition)

    # ------------------------------------------------------------------ what kind of space

    @cached_property
    def is_continuous(self) -> Mask:
        """Shape (d,): floating-point hyperparameters."""
        return np.asarray(self.levels == 0)

    @cached_property
    def is_categorical(self) -> Mask:
        """Shape (d,): hyperparameters without an order."""
        return np.array([isinstance(hp, CategoricalHyperparameter) for hp in self.hyperparameters])

    @cached_property
    def default(self) -> Matrix:
        """Shape (d,): the space's own default configuration."""
        return np.asarray(self.config_space.get_default_configuration().get_array(), dtype=np.float64)

    def __getitem__(self, name: str) -> Hyperparameter:
        return self.hyperparameters[self.column(name)]

    def column(self, name: str) -> int:
        """The column of a hyperparameter in every matrix."""
        if name not in self._column:
            raise UsageError(f"No hyperparameter {name!r}.", f"The space has {', '.join(self.names)}.")
        return self._column[name]

    # ------------------------------------------------------------------ drawing

    def sample(self, n: int, rng: Generator) -> Matrix:
        """Shape (n, d): independent draws from the space's prior.

        Rows are drawn in order: the first rows of a longer sample are those of a shorter one.
        """
        return self.from_unit(rng.random((n, self.d)))

    def from_unit(self, U: Matrix) -> Matrix:
        """Unit cube, shape (m, d), to vector encoding; what is inactive becomes NaN."""
        U = np.asarray(U, dtype=np.float64)
        index = np.minimum(np.floor(U * self._bins), self._last)
        X = np.where(self.is_continuous, U, self.origin + index / self._intervals)
        if len(tabled := self._log_integers.columns):
            X[:, tabled] = self._log_integers.from_unit(U[:, tabled])
        for j, hp in self._uneven.items():
            if j not in tabled:
                X[:, j] = _uneven_from_unit(hp, U[:, j])
        return self.deactivate(X)

    def to_unit(self, X: Matrix) -> Matrix:
        """Vector encoding to unit cube: discrete values at the middle of their bins; NaN stays."""
        X = np.asarray(X, dtype=np.float64)
        index = np.rint((X - self.origin) * self._intervals)
        U = np.where(self.is_continuous, X, (index + 0.5) / np.maximum(self.levels, 1))
        for j, hp in self._uneven.items():
            U[:, j] = _uneven_to_unit(hp, X[:, j])
        return U

    def column_from_unit(self, j: int, u: Matrix) -> Matrix:
        """Shape (m,): column ``j`` of ``from_unit``, as if its conditions held."""
        if (hp := self._uneven.get(j)) is not None:
            return _uneven_from_unit(hp, u)
        if self.levels[j] == 0:
            return u
        index = np.minimum(np.floor(u * self._bins[j]), self._last[j])
        return np.asarray(self.origin[j] + index / self._intervals[j])

    def middles(self, j: int) -> Matrix:
        """Shape (levels of j,): the unit-cube coordinate of every value; empty for a continuous one."""
        index = np.arange(self.levels[j])
        hp = self._uneven.get(j)
        if hp is None:
            return np.asarray((index + 0.5) / self.levels[j])
        if isinstance(hp, CategoricalHyperparameter):
            return _uneven_to_unit(hp, index.astype(np.float64))
        return (_log_edges(hp, index) + _log_edges(hp, index + 1)) / 2

    # ------------------------------------------------------------------ conditions and legality

    @property
    def is_conditional(self) -> bool:
        """Whether any hyperparameter depends on another's value."""
        return bool(self._conditions)

    def conditions(self, j: int) -> list[Any]:
        """The conditions of column ``j``, all of which must hold for it to be active."""
        return self._conditions.get(j, [])

    def deactivate(self, X: Matrix) -> Matrix:
        """The same configurations with NaN for every hyperparameter whose conditions do not hold."""
        if not self._conditions:
            return X
        X = X.copy()
        # ConfigSpace orders hyperparameters so that parents come before their children.
        for j in sorted(self._conditions):
            active = np.ones(len(X), dtype=bool)
            for condition in self._conditions[j]:
                active &= _holds(condition, X)
            X[~active, j] = np.nan
        return X

    def is_active(self, j: int, x: Matrix) -> bool:
        """Whether column ``j`` is active in the partial configuration ``x`` (shape (d,)), parents set."""
        return all(bool(_holds(condition, x[None, :])[0]) for condition in self._conditions.get(j, ()))

    def legal(self, X: Matrix) -> Mask:
        """Shape (m,): rows whose values are all in the space and active exactly where they should be."""
        return self.check(X)[0]

    def check(self, X: Matrix) -> tuple[Mask, Matrix]:
        """``legal`` and ``snap`` at once: shapes (m,) and (m, d)."""
        X = np.asarray(X, dtype=np.float64)
        inactive = np.isnan(X)
        snapped = self.snap(X)
        with np.errstate(invalid="ignore"):  # infinity less infinity is not near
            on_grid = np.abs(X - snapped) <= _ROUNDING
        # Filled with any legal value, an inactive hyperparameter must be deactivated again, and no other.
        if self.is_conditional:
            expected = np.isnan(self.deactivate(np.where(inactive, 0.0, snapped)))
            legal = np.all(inactive | on_grid, axis=1) & np.all(inactive == expected, axis=1)
        else:
            legal = np.all(on_grid, axis=1)
        return np.asarray(legal), snapped

    def snap(self, X: Matrix) -> Matrix:
        """The nearest values that exist: discrete ones rounded, all clipped to their range; NaN stays."""
        X = np.asarray(X, dtype=np.float64)
        index = np.clip(np.rint((X - self.origin) * self._intervals), 0, self._last)
        snapped = np.where(self.is_continuous, np.clip(X, 0.0, 1.0), self.origin + index / self._intervals)
        for j, hp in self._uneven.items():
            if isinstance(hp, UniformIntegerHyperparameter):
                column, active = np.clip(X[:, j], 0.0, 1.0), ~np.isnan(X[:, j])
                snapped[active, j] = hp.to_vector(hp.to_value(column[active]))
        return np.asarray(snapped)

    # ------------------------------------------------------------------ values

    def columns(self, X: Matrix) -> dict[str, tuple[NDArray[Any], Mask]]:
        """For each hyperparameter its typed values, shape (m,), and where it is active.

        The value at an inactive place is arbitrary: use the mask.
        """
        out: dict[str, tuple[NDArray[Any], Mask]] = {}
        for j, hp in enumerate(self.hyperparameters):
            active = ~np.isnan(X[:, j])
            out[hp.name] = (_values(hp, np.where(active, X[:, j], 0.0)), active)
        return out

    def decode(self, X: Matrix) -> list[Configuration]:
        """One mapping per row, name to plain Python value; inactive hyperparameters are left out."""
        X = np.atleast_2d(X)
        rows: list[Configuration] = [{} for _ in range(len(X))]
        for name, (values, active) in self.columns(X).items():
            for row, value, is_active in zip(rows, values.tolist(), active.tolist(), strict=True):
                if is_active:
                    row[name] = value
        return rows

    def encode(self, configurations: Sequence[Mapping[str, Any]]) -> Matrix:
        """Shape (m, d): mappings to vector encoding.

        Raises:
            UsageError: an unknown, missing, inactive or illegal hyperparameter, named.
        """
        X = np.full((len(configurations), self.d), np.nan)
        for i, configuration in enumerate(configurations):
            for name, value in configuration.items():
                X[i, self.column(name)] = self._encode_value(name, value)
            expected = self.deactivate(np.where(np.isnan(X[i]), 0.0, X[i])[None, :])[0]
            for j, name in enumerate(self.names):
                if np.isnan(X[i, j]) != np.isnan(expected[j]):
                    what = "is missing" if np.isnan(X[i, j]) else "is inactive and must be left out"
                    raise UsageError(f"Configuration {i}: {name!r} {what}.")
        return X

    def from_columns(self, columns: Mapping[str, Sequence[Any]]) -> Matrix:
        """Shape (m, d): the inverse of ``columns`` with None where inactive, for values known to be legal."""
        out = []
        for hp in self.hyperparameters:
            values, choices = columns[hp.name], values_of(hp)
            x = np.full(len(values), np.nan)
            active = [i for i, value in enumerate(values) if value is not None]
            if choices is not None:
                index = {choice: i for i, choice in enumerate(choices)}
                x[active] = [self.origin[self.column(hp.name)] + index[values[i]] for i in active]
            elif active:
                ranged: Any = hp
                x[active] = ranged.to_vector(np.array([values[i] for i in active]))
            out.append(x)
        return np.stack(out, axis=1)

    def _encode_value(self, name: str, value: Any) -> float:
        hp = self[name]
        vector = self.nearest(name, value)
        back = _values(hp, np.array([vector]))[0]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # A value near zero is rounded with the width of its range.
        rounding = 1e-12 * abs(bounds_of(hp)[1] - bounds_of(hp)[0]) if values_of(hp) is None else 0.0
        same = (
            math.isclose(float(back), float(value), rel_tol=1e-6, abs_tol=rounding)
            if number
            else back == value
        )
        if not same:
            raise UsageError(f"{name} = {value!r} is not in the space.", f"It is {describe(hp)}.")
        return vector

    def nearest(self, name: str, value: Any) -> float:
        """``nearest`` of one of the hyperparameters."""
        return nearest(self[name], value)


# ---------------------------------------------------------------------- one hyperparameter


def _supported(hp: object) -> Hyperparameter:
    if isinstance(hp, Hyperparameter):
        return hp
    raise DataError(
        f"Hyperparameter {getattr(hp, 'name', hp)!r} is a {type(hp).__name__}, which is not supported.",
        "Use uniform, log-uniform, categorical, ordinal or constant ones.",
    )


def values_of(hp: Hyperparameter) -> list[Any] | None:
    """The list of a hyperparameter's values in the order of their indices; None for ranges."""
    if isinstance(hp, CategoricalHyperparameter):
        return list(hp.choices)
    if isinstance(hp, OrdinalHyperparameter):
        return list(hp.sequence)
    if isinstance(hp, Constant):
        return [hp.value]
    return None


def bounds_of(hp: Hyperparameter) -> tuple[float, float]:
    """Lowest and highest value of a range (integers as integers), or of a list of numbers."""
    if isinstance(hp, UniformFloatHyperparameter | UniformIntegerHyperparameter):
        return hp.lower, hp.upper
    choices = values_of(hp) or []
    return min(choices), max(choices)


def is_integer(hp: Hyperparameter) -> bool:
    """Whether the hyperparameter is a range of integers."""
    return isinstance(hp, UniformIntegerHyperparameter)


def is_log(hp: Hyperparameter) -> bool:
    """Whether the hyperparameter lives on a log scale; ordinal ones say so in ``meta={"log": True}``."""
    if isinstance(hp, OrdinalHyperparameter):
        return bool((hp.meta or {}).get("log", False))
    return bool(getattr(hp, "log", False))


def describe(hp: Hyperparameter) -> str:
    """A hyperparameter's range in words, for error messages and tables."""
    choices = values_of(hp)
    if choices is not None:
        return f"one of {', '.join(map(str, choices))}"
    low, high = bounds_of(hp)
    kind = "an integer" if is_integer(hp) else "a number"
    return f"{kind} in [{low}, {high}]{' on a log scale' if is_log(hp) else ''}"


def nearest(hp: Hyperparameter, value: Any) -> float:
    """Vector value of the legal value nearest to ``value`` on the hyperparameter's own scale.

    Raises:
        UsageError: ``value`` is no number where one is needed, or an unknown category.
    """
    choices = values_of(hp)
    origin = _origin(hp)
    for i, choice in enumerate(choices or ()):
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):  # 1 is not True
            return origin + i
    numeric = choices is None or all(
        isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices
    )
    number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    if not (numeric and number):
        raise UsageError(f"{hp.name} = {value!r} is not in the space.", f"It is {describe(hp)}.")
    if choices is not None:
        grid = np.asarray(choices, dtype=np.float64)
        if is_log(hp) and value > 0:
            return origin + float(np.argmin(np.abs(np.log(grid) - math.log(value))))
        return origin + float(np.argmin(np.abs(grid - value)))
    low, high = bounds_of(hp)
    inside = min(max(value, low), high)
    ranged: Any = hp  # its class decides between int and float
    return float(ranged.to_vector(round(inside) if is_integer(hp) else inside))


def value_of(hp: Hyperparameter, x: float) -> Any:
    """The plain Python value that a hyperparameter has at ``x`` in the vector encoding."""
    return _values(hp, np.array([x])).tolist()[0]


def _origin(hp: Hyperparameter) -> float:
    # ConfigSpace numbers a constant's only value 1, all others from 0.
    return float(isinstance(hp, Constant))


def _levels(hp: Hyperparameter) -> int:
    choices = values_of(hp)
    if choices is not None:
        return len(choices)
    return hp.upper - hp.lower + 1 if isinstance(hp, UniformIntegerHyperparameter) else 0


def _values(hp: Hyperparameter, column: Matrix) -> NDArray[Any]:
    choices = values_of(hp)
    if choices is None:
        return np.asarray(hp.to_value(column))
    numbers = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices)
    index = np.zeros(len(column)) if isinstance(hp, Constant) else np.rint(column)
    return np.array(choices, dtype=None if numbers else object)[index.astype(np.intp)]


def _log_edges(hp: Hyperparameter, index: Any) -> Matrix:
    # ConfigSpace's prior (Optuna's differs): the range is cut into equal parts, one for each integer, and
    # an integer is as probable as its part is long on the log scale. This is where part ``index`` begins.
    low, high = bounds_of(hp)
    starts = low + index * ((high - low) / _levels(hp))
    return np.asarray((np.log(starts) - math.log(low)) / (math.log(high) - math.log(low)))


class _LogIntegers:
    """The integers on a log scale, all at once, with their vector values from a table.

    The same numbers as ``_uneven_from_unit``, for a seventh of the time where a configuration is drawn alone.
    """

    LARGEST = 100_000  # values of a hyperparameter that is worth a table

    def __init__(
        self, uneven: Mapping[int, Hyperparameter], hyperparameters: Sequence[Hyperparameter]
    ) -> None:
        self.columns = [
            j
            for j, hp in uneven.items()
            if isinstance(hp, UniformIntegerHyperparameter) and _levels(hp) <= self.LARGEST
        ]
        mine = [hyperparameters[j] for j in self.columns]
        bounds = np.array([bounds_of(hp) for hp in mine], dtype=np.float64).reshape(-1, 2)
        self._low, high = bounds[:, 0], bounds[:, 1]
        self._ratio, self._span = high / self._low, high - self._low
        self._levels = np.array([float(_levels(hp)) for hp in mine])
        self._first = np.cumsum(self._levels) - self._levels
        tables = [hp.to_vector(np.arange(hp.lower, hp.upper + 1)) for hp in mine]  # type: ignore[union-attr]
        self._vectors = np.concatenate([np.empty(0), *tables])

    def from_unit(self, U: Matrix) -> Matrix:
        """Shape (m, number of columns): unit cube to vector encoding."""
        share = (self._low * self._ratio**U - self._low) / self._span
        index = np.minimum(np.maximum(np.floor(share * self._levels), 0.0), self._levels - 1.0)
        return np.asarray(self._vectors[(index + self._first).astype(np.intp)])


def _uneven_from_unit(hp: Hyperparameter, u: Matrix) -> Matrix:
    if isinstance(hp, CategoricalHyperparameter):
        edges = np.cumsum(hp.probabilities)[:-1]
        return np.searchsorted(edges, u, side="right").astype(np.float64)
    low, high = bounds_of(hp)
    levels = _levels(hp)
    share = (low * (high / low) ** u - low) / (high - low)
    integers = low + np.clip(np.floor(share * levels), 0, levels - 1).astype(np.int64)
    return np.asarray(hp.to_vector(integers), dtype=np.float64)


def _uneven_to_unit(hp: Hyperparameter, x: Matrix) -> Matrix:
    active = ~np.isnan(x)
    u = np.full(len(x), np.nan)
    if isinstance(hp, CategoricalHyperparameter):
        edges = np.concatenate([[0.0], np.cumsum(hp.probabilities)])
        index = x[active].astype(np.intp)
        u[active] = (edges[index] + edges[index + 1]) / 2
    else:
        part = hp.to_value(x[active]) - bounds_of(hp)[0]
        u[active] = (_log_edges(hp, part) + _log_edges(hp, part + 1)) / 2
    return u


# ---------------------------------------------------------------------- conditions


def _holds(condition: Any, X: Matrix) -> Mask:
    """Shape (m,): where a condition holds. A condition on an inactive parent never does."""
    if isinstance(condition, Conjunction):
        parts = [_holds(part, X) for part in condition.components]
        combine = np.logical_and if isinstance(condition, AndConjunction) else np.logical_or
        return np.asarray(combine.reduce(parts))
    parent = X[:, condition.parent_vector_id]
    return np.asarray(condition.satisfied_by_vector_array(X.T)) & ~np.isnan(parent)
