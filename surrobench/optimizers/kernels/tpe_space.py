"""A search space as TPE works on it: arrays of bounds, random draws, and values in both encodings.

Every column is what Optuna's ``FloatDistribution``, ``IntDistribution`` or ``CategoricalDistribution`` is.
The arithmetic of each step is that of Optuna 5.0 as observed, operation by operation, since the trials are to
be the same to the last bit. The module ``optimizers.classical.tpe_study`` says what that is good for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surrobench.space.hyperparameter import Matrix

Encoder = Callable[[Matrix], Matrix]


@dataclass(frozen=True)
class Column:
    """One hyperparameter.

    Attributes:
        name: its name.
        low, high: the bounds of a number.
        log: whether a number has a logarithmic scale.
        step: the distance between its values; 0 where it is continuous.
        choices: the number of categories; 0 for a number.
        integer: whether a number is an integer.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float = 0.0
    choices: int = 0
    integer: bool = False

    @property
    def single(self) -> bool:
        """Whether there is one value only."""
        return self.choices == 1 if self.choices else self.high - self.low < (self.step or 1e-300)

    @property
    def levels(self) -> int:
        """The number of values; 0 where it is continuous."""
        if self.choices:
            return self.choices
        return round((self.high - self.low) / self.step) + 1 if self.step else 0


class TpeSpace:
    """Holds the columns of a space as arrays, each of shape (d,).

    Attributes:
        columns: in the order in which they are suggested.
        names: of the columns.
        low, high, step: of the values; log: whether the scale is logarithmic.
        choices: number of categories, 0 for a number.
        levels: number of values, 0 where continuous.
        lower, upper: the ends of the range on the kernels' scale, where the ends of discrete values lie half
            a step further out.
        span, middle: of that range.
        cut_low, cut_high: where the normal distributions are cut off. They differ from ``lower`` and
            ``upper`` in the last bit of a logarithm.
    """

    def __init__(self, columns: Sequence[Column], encoders: Sequence[Encoder] = ()) -> None:
        """Take the columns, and what maps each column's values to the vector encoding, if there is one."""
        self.columns = tuple(columns)
        self._encoders = tuple(encoders)
        self.names = tuple(column.name for column in columns)
        self.low = np.array([float(column.low) for column in columns])
        self.high = np.array([float(column.high) for column in columns])
        self.step = np.array([float(column.step) for column in columns])
        self.log = np.array([column.log for column in columns], dtype=bool)
        self.choices = np.array([column.choices for column in columns], dtype=np.intp)
        self.levels = np.array([column.levels for column in columns], dtype=np.intp)
        half = self.step / 2
        lower, upper = self.low - half, self.high + half
        self.cut_low, self.cut_high = lower.copy(), upper.copy()
        for j in np.flatnonzero(self.log):
            self.cut_low[j], self.cut_high[j] = math.log(lower[j]), math.log(upper[j])
        lower[self.log], upper[self.log] = np.log(lower[self.log]), np.log(upper[self.log])
        self.lower, self.upper = lower, upper
        self.span = upper - lower
        self.middle = 0.5 * (lower + upper)
        self.below_high = np.nextafter(self.high, self.high - 1)

    def to_scale(self, values: Matrix, columns: Sequence[int] | None = None) -> Matrix:
        """Return values of all or some columns, shape (..., columns), on the scale of the kernels."""
        log = self.log if columns is None else self.log[list(columns)]
        scaled: Matrix = values.copy()
        scaled[..., log] = np.log(values[..., log])
        return scaled

    def inside(self, columns: Sequence[int], values: Matrix) -> NDArray[np.bool_]:
        """Return whether all values of some columns lie in their range, shape (R,)."""
        mine = list(columns)
        within = (values >= self.low[mine]) & (values <= self.high[mine])
        return np.asarray((within | (self.choices[mine] > 0)).all(axis=1))

    def encode(self, columns: Sequence[int], values: Matrix) -> Matrix:
        """Return values, shape (R, number of columns), in the vector encoding."""
        if not self._encoders:
            return values
        encoded = [self._encoders[j](values[:, i]) for i, j in enumerate(columns)]
        return np.stack(encoded, axis=1) if encoded else values

    def draw(self, j: int, rng: np.random.RandomState) -> float:
        """Return a value of column ``j`` drawn from its prior, as in the random start."""
        column = self.columns[j]
        if column.choices:
            return float(rng.random_sample(column.choices).argmax())
        low, high = self.cut_low[j], self.cut_high[j]
        place = float(low + (high - low) * rng.random_sample())
        if column.integer:
            if column.log:
                value = float(round(math.exp(place)))
            else:
                value = math.floor((place - column.low) / column.step + 0.5) * column.step + column.low
            return min(max(value, column.low), column.high)
        if column.step:
            on_grid = round((place - column.low) / column.step) * column.step + column.low
            return min(max(on_grid, column.low), column.high)
        if column.log:
            return min(max(math.exp(place), column.low), float(self.below_high[j]))
        return min(place, float(self.below_high[j]))

    def discrete(self, columns: NDArray[np.intp], values: Matrix) -> Matrix:
        """Return values, shape (R, number of columns, ...), of discrete columns on their grids."""
        shape = (-1,) + (1,) * (values.ndim - 2)
        low, high, step = (bound[columns].reshape(shape) for bound in (self.low, self.high, self.step))
        return np.asarray(np.clip(low + np.round((values - low) / step) * step, low, high))
