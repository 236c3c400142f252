"""Grid search: the full factorial design."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.requests import Evaluate
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace

_SPARE = 20
_COUNTABLE = 2**62


def grid(task: Task, rng: Generator) -> Steps:
    """Go through a full grid of k values of each numeric hyperparameter and all categories, shuffled.

    The number k is the largest with k^d <= budget over the d numeric hyperparameters, but at least 2. Values
    stand in the middle of k equal parts of the range, which keeps a coarse grid off the corners. The seed
    shuffles the order. A lexicographic order, cut off by the budget, would explore one corner only.

    A grid smaller than the budget ends the run early. For a grid much larger than the budget, only the points
    that are visited are drawn.
    """
    space = task.space
    numeric = ~space.is_categorical & (space.levels != 1)
    k = max(2, int((task.horizon + 0.5) ** (1 / max(numeric.sum(), 1))))
    values = [_values(space, j, k) for j in range(space.d)]
    sizes = [len(column) for column in values]
    total = math.prod(sizes)
    # Conditional hyperparameters that are inactive make points of the factorial coincide: visit each once,
    # and draw more than the budget, so that it is spent all the same.
    drawn = task.horizon * (_SPARE if space.is_conditional else 1)
    if total <= _COUNTABLE:
        visited = rng.choice(total, size=min(total, drawn), replace=False, shuffle=True)
        places = np.stack(np.unravel_index(visited, sizes), axis=1)
    else:  # too many to number, and too many to draw one twice
        places = rng.integers(sizes, size=(drawn, space.d))
    points = space.from_unit(np.stack([values[j][places[:, j]] for j in range(space.d)], axis=1))
    # NaN equals itself only outside of rows: any number outside the cube marks the inactive instead.
    first = np.sort(np.unique(np.nan_to_num(points, nan=-1.0), axis=0, return_index=True)[1])
    yield Evaluate(points[first[: task.horizon]], source="grid")


def _values(space: SearchSpace, j: int, k: int) -> Matrix:
    """Return the unit-cube coordinates of one hyperparameter's values on the grid.

    A discrete hyperparameter with fewer than k values contributes those that it has.
    """
    levels = int(space.levels[j])
    discrete = space.is_categorical[j] or 0 < levels <= k
    middles = space.middles(j) if discrete else (np.arange(k) + 0.5) / k
    # Equal parts of a log scale may share an integer, which is one value then.
    first = np.unique(space.column_from_unit(j, middles), return_index=True)[1]
    return np.asarray(middles[np.sort(first)])
