"""Grid search: the full factorial design."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.requests import Evaluate

_SPARE = 20


def grid(task: Task, rng: Generator) -> Steps:
    """Full factorial over k values of each numeric hyperparameter and all categories, shuffled.

    k is the largest number with k^d <= budget over the d numeric hyperparameters, but at least 2; values
    stand in the middle of k equal parts of the range, which keeps a coarse grid off the corners. The order
    is shuffled by the seed: a lexicographic one, cut off by the budget, would explore one corner only. A
    grid smaller than the budget ends the run early. Of a grid much larger than the budget only the points
    visited are drawn.
    """
    space = task.space
    numeric = ~space.is_categorical & (space.levels != 1)
    k = max(2, int((task.horizon + 0.5) ** (1 / max(numeric.sum(), 1))))
    # A discrete hyperparameter with fewer than k values contributes what it has.
    sizes = np.where(numeric, np.where(space.levels > 0, np.minimum(space.levels, k), k), space.levels)
    total = int(np.prod(sizes.astype(object)))
    # Conditional hyperparameters that are inactive make points of the factorial coincide: visit each once,
    # and draw more than the budget, so that it is spent all the same.
    drawn = task.horizon * (_SPARE if space.is_conditional else 1)
    visited = rng.choice(total, size=min(total, drawn), replace=False, shuffle=True)
    places = np.stack(np.unravel_index(visited, sizes), axis=1)
    points = space.from_unit((places + 0.5) / sizes)
    # NaN equals itself only outside of rows: any number outside the cube marks the inactive instead.
    first = np.sort(np.unique(np.nan_to_num(points, nan=-1.0), axis=0, return_index=True)[1])
    yield Evaluate(points[first[: task.horizon]], source="grid")
