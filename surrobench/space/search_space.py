"""Search spaces as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    UniformIntegerHyperparameter,
)
from numpy.random import Generator
from numpy.typing import NDArray

from surrobench.errors import DataError, UsageError
from surrobench.space.hyperparameter import (
    ROUNDING,
    Configuration,
    Hyperparameter,
    Mask,
    Matrix,
    bounds_of,
    describe,
    first_code,
    level_count,
    nearest,
    supported,
    values_at,
    values_of,
)
from surrobench.space.log_integers import (
    LogIntegers,
    condition_holds,
    condition_parents,
    log_edges,
    uneven_from_unit,
    uneven_to_unit,
)


class SearchSpace:
    """Wraps a ConfigSpace whose batches are matrices; columns follow ``names``.

    Raises:
        DataError: the space has what has no array form here (normal or beta priors, forbidden clauses).
    """

    def __init__(self, config_space: ConfigurationSpace) -> None:
        self.config_space = config_space
        self.hyperparameters = tuple(map(supported, config_space.values()))
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
        self.levels = np.array([level_count(hp) for hp in self.hyperparameters], dtype=np.int64)
        integer = np.array([isinstance(hp, UniformIntegerHyperparameter) for hp in self.hyperparameters])
        self._intervals = np.where(integer, np.maximum(self.levels - 1, 1), 1).astype(np.float64)
        self.origin = np.array([first_code(hp) for hp in self.hyperparameters])
        self._last = np.maximum(self.levels - 1.0, 0.0)  # index of the last value
        self._bins = np.asarray(self.levels, dtype=np.float64)
        self._uneven = {
            j: hp
            for j, hp in enumerate(self.hyperparameters)
            if (isinstance(hp, UniformIntegerHyperparameter) and hp.log)
            or (isinstance(hp, CategoricalHyperparameter) and len(set(np.ravel(hp.probabilities))) > 1)
        }
        self._log_integers = LogIntegers(self._uneven, self.hyperparameters)
        self._conditions: dict[int, list[Any]] = {}
        for condition in config_space.conditions:
            self._conditions.setdefault(self._column[condition.child.name], []).append(condition)
        self._parents = {
            j: frozenset(self._column[hp.name] for condition in mine for hp in condition_parents(condition))
            for j, mine in self._conditions.items()
        }

    # ------------------------------------------------------------------ what kind of space

    @cached_property
    def is_continuous(self) -> Mask:
        """Which hyperparameters are floating-point numbers, shape (d,)."""
        return np.asarray(self.levels == 0)

    @cached_property
    def is_categorical(self) -> Mask:
        """Which hyperparameters have values without an order, shape (d,)."""
        return np.array([isinstance(hp, CategoricalHyperparameter) for hp in self.hyperparameters])

    @cached_property
    def default(self) -> Matrix:
        """The default configuration that the space itself states, shape (d,)."""
        return np.asarray(self.config_space.get_default_configuration().get_array(), dtype=np.float64)

    def __getitem__(self, name: str) -> Hyperparameter:
        return self.hyperparameters[self.column(name)]

    def column(self, name: str) -> int:
        """Return the column of a hyperparameter in every matrix.

        Raises:
            UsageError: the space has no hyperparameter of that name.
        """
        if name not in self._column:
            raise UsageError(f"No hyperparameter {name!r}.", f"The space has {', '.join(self.names)}.")
        return self._column[name]

    # ------------------------------------------------------------------ drawing

    def sample(self, n: int, rng: Generator) -> Matrix:
        """Draw independent configurations from the space's prior, shape (n, d).

        Rows are drawn in order: the first rows of a longer sample are those of a shorter one.
        """
        return self.from_unit(rng.random((n, self.d)))

    def from_unit(self, U: Matrix) -> Matrix:
        """Map the unit cube, shape (m, d), to the vector encoding; inactive hyperparameters become NaN."""
        U = np.asarray(U, dtype=np.float64)
        index = np.minimum(np.floor(U * self._bins), self._last)
        X = np.where(self.is_continuous, U, self.origin + index / self._intervals)
        if len(tabled := self._log_integers.columns):
            X[:, tabled] = self._log_integers.from_unit(U[:, tabled])
        for j, hp in self._uneven.items():
            if j not in tabled:
                X[:, j] = uneven_from_unit(hp, U[:, j])
        return self.deactivate(X)

    def to_unit(self, X: Matrix) -> Matrix:
        """Map the vector encoding to the unit cube, discrete values to the middle of their bins."""
        X = np.asarray(X, dtype=np.float64)
        index = np.rint((X - self.origin) * self._intervals)
        U = np.where(self.is_continuous, X, (index + 0.5) / np.maximum(self.levels, 1))
        for j, hp in self._uneven.items():
            U[:, j] = uneven_to_unit(hp, X[:, j])
        return U

    def column_from_unit(self, j: int, u: Matrix) -> Matrix:
        """Return column ``j`` of ``from_unit`` as if its conditions held, shape (m,)."""
        if (hp := self._uneven.get(j)) is not None:
            return uneven_from_unit(hp, u)
        if self.levels[j] == 0:
            return u
        index = np.minimum(np.floor(u * self._bins[j]), self._last[j])
        return np.asarray(self.origin[j] + index / self._intervals[j])

    def middles(self, j: int) -> Matrix:
        """Return the unit-cube coordinate of every value of column ``j``; empty if continuous."""
        index = np.arange(self.levels[j])
        hp = self._uneven.get(j)
        if hp is None:
            return np.asarray((index + 0.5) / self.levels[j])
        if isinstance(hp, CategoricalHyperparameter):
            return uneven_to_unit(hp, index.astype(np.float64))
        return (log_edges(hp, index) + log_edges(hp, index + 1)) / 2

    # ------------------------------------------------------------------ conditions and legality

    @property
    def is_conditional(self) -> bool:
        """Whether any hyperparameter depends on another's value."""
        return bool(self._conditions)

    def conditions(self, j: int) -> list[Any]:
        """Return the conditions of column ``j``, all of which must hold for the column to be active."""
        return self._conditions.get(j, [])

    def parents(self, j: int) -> frozenset[int]:
        """Return the columns that the conditions of column ``j`` depend on."""
        return self._parents.get(j, frozenset())

    def deactivate(self, X: Matrix) -> Matrix:
        """Return configurations with NaN for every hyperparameter whose conditions do not hold."""
        if not self._conditions:
            return X
        X = X.copy()
        # ConfigSpace orders hyperparameters so that parents come before their children.
        for j in sorted(self._conditions):
            active = np.ones(len(X), dtype=bool)
            for condition in self._conditions[j]:
                active &= condition_holds(condition, X)
            X[~active, j] = np.nan
        return X

    def is_active(self, j: int, x: Matrix) -> bool:
        """Return whether column ``j`` is active in ``x``, shape (d,), once its parents are set."""
        return all(
            bool(condition_holds(condition, x[None, :])[0]) for condition in self._conditions.get(j, ())
        )

    def legal(self, X: Matrix) -> Mask:
        """Return which rows have values in the space, active exactly where they should be, shape (m,)."""
        return self.check(X)[0]

    def check(self, X: Matrix) -> tuple[Mask, Matrix]:
        """Do ``legal`` and ``snap`` at once.

        Returns:
            legal: which rows are legal, shape (m,).
            snapped: the nearest values that exist, shape (m, d).
        """
        X = np.asarray(X, dtype=np.float64)
        inactive = np.isnan(X)
        snapped = self.snap(X)
        with np.errstate(invalid="ignore"):  # infinity less infinity is not near
            on_grid = np.abs(X - snapped) <= ROUNDING
        # Filled with any legal value, an inactive hyperparameter must be deactivated again, and no other.
        if self.is_conditional:
            expected = np.isnan(self.deactivate(np.where(inactive, 0.0, snapped)))
            legal = np.all(inactive | on_grid, axis=1) & np.all(inactive == expected, axis=1)
        else:
            legal = np.all(on_grid, axis=1)
        return np.asarray(legal), snapped

    def snap(self, X: Matrix) -> Matrix:
        """Return the nearest values that exist, rounded if discrete and clipped to their range; NaN stays."""
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
        """Return, for each hyperparameter, its typed values and where it is active, both of shape (m,).

        The value at an inactive place is arbitrary: use the mask.
        """
        out: dict[str, tuple[NDArray[Any], Mask]] = {}
        for j, hp in enumerate(self.hyperparameters):
            active = ~np.isnan(X[:, j])
            out[hp.name] = (values_at(hp, np.where(active, X[:, j], 0.0)), active)
        return out

    def decode(self, X: Matrix) -> list[Configuration]:
        """Return a mapping per row, name to plain Python value; inactive hyperparameters are left out."""
        X = np.atleast_2d(X)
        rows: list[Configuration] = [{} for _ in range(len(X))]
        for name, (values, active) in self.columns(X).items():
            for row, value, is_active in zip(rows, values.tolist(), active.tolist(), strict=True):
                if is_active:
                    row[name] = value
        return rows

    def encode(self, configurations: Sequence[Mapping[str, Any]]) -> Matrix:
        """Return mappings in the vector encoding, shape (m, d). Null stands for an inactive hyperparameter.

        Raises:
            UsageError: a hyperparameter is unknown, missing, inactive or illegal; the message names it.
        """
        X = np.full((len(configurations), self.d), np.nan)
        for i, (x, configuration) in enumerate(zip(X, configurations, strict=True)):
            for name in configuration:
                self.column(name)
            # Parents come before their children, so that it is known of each whether it is active.
            for j, name in enumerate(self.names):
                said = configuration.get(name)
                given = said is not None or (name in configuration and self._null_is_a_value(j))
                if given != self.is_active(j, x):
                    what = "is inactive and must be left out, or null" if given else "is missing"
                    raise UsageError(f"Configuration {i}: {name!r} {what}.")
                if given:
                    x[j] = self.encode_value(name, said)
        return X

    def _null_is_a_value(self, j: int) -> bool:
        return any(choice is None for choice in values_of(self.hyperparameters[j]) or ())

    def from_columns(self, columns: Mapping[str, Sequence[Any]]) -> Matrix:
        """Invert ``columns``, shape (m, d): values that are known to be legal, and None where inactive."""
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

    def encode_value(self, name: str, value: Any) -> float:
        """Return a value of one of the hyperparameters in the vector encoding.

        Raises:
            UsageError: the value is not in the space.
        """
        hp = self[name]
        vector = self.nearest(name, value)
        back = values_at(hp, np.array([vector]))[0]
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
        """Return the legal value nearest to ``value``, see ``hyperparameter.nearest``."""
        return nearest(self[name], value)
