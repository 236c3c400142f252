"""Local search: first-improvement hill climbing, one hyperparameter at a time, with random restarts.

The neighbourhood is that of Hutter, Hoos & Leyton-Brown, LION 5, 2011. ConfigSpace defines it in
``get_one_exchange_neighbourhood``, whose defaults are kept.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task, configuration_key
from surrobench.protocol.requests import Evaluate, Evaluated
from surrobench.space.hyperparameter import Matrix, is_integer
from surrobench.space.search_space import SearchSpace

SOURCE = "local-search"


def local_search(task: Task, rng: Generator, *, neighbours: int = 4, spread: float = 0.2) -> Steps:
    """Climb from the best configuration granted, and from a random one whenever no neighbour improves.

    Neighbours are tried in a random order, and the search moves to the first that is strictly better. Without
    a granted initial design the start is random too. The default configuration would be a head start that
    other methods do not have. Configurations that the run has already evaluated are passed over, because
    their losses are known. A failed evaluation is no improvement, and every evaluation that did not fail
    improves on it.
    """
    space = task.space
    defaults = np.array([space.nearest(hp.name, hp.default_value) for hp in space.hyperparameters])
    seen = {configuration_key(x) for x in task.initial.configurations}
    x, loss = _best(task.initial, rng)
    while True:
        if x is None:
            answer: Evaluated = yield Evaluate(space.sample(1, rng), source=SOURCE)
            x, loss = answer.configurations[0], _rank(answer)
            seen.add(configuration_key(x))
        for neighbour in neighbourhood(space, x, defaults, rng, neighbours, spread):
            if configuration_key(neighbour) in seen:
                continue
            seen.add(configuration_key(neighbour))
            answer = yield Evaluate(neighbour[None, :], source=SOURCE)
            seen.add(
                configuration_key(answer.configurations[0])
            )  # a table with gaps evaluates its nearest configuration
            if _rank(answer) < loss:
                x, loss = answer.configurations[0], _rank(answer)
                break
        else:
            x = None


def neighbourhood(
    space: SearchSpace,
    x: Matrix,
    defaults: Matrix,
    rng: Generator,
    neighbours: int = 4,
    spread: float = 0.2,
) -> Matrix:
    """Return configurations that differ from ``x`` in one active hyperparameter, shape (n, d).

    They are in a random order.

    - A category's neighbours are all its other values.
    - An ordinal's neighbours are the value below and the value above.
    - A number's neighbours are ``neighbours`` different numbers. They are normally distributed around the
      value with standard deviation ``spread`` in the unit cube, truncated to the range. An integer that has
      no more than ``neighbours`` other values has all of them as neighbours. Otherwise its
      neighbours are those that four times as many draws meet, and no more than ``neighbours`` of them.

    A hyperparameter that a change activates gets its value from ``defaults``, shape (d,).
    """
    active = ~np.isnan(x)
    u = space.to_unit(np.where(active, x, defaults)[None, :])[0]
    columns = np.flatnonzero(active & (space.levels != 1))
    places = [_places(space, int(j), x[j], u[j], rng, neighbours, spread) for j in columns]
    changed = np.repeat(columns, [len(found) for found in places])
    U = np.tile(u, (len(changed), 1))
    U[np.arange(len(changed)), changed] = np.concatenate([np.empty(0), *places])
    return space.from_unit(rng.permutation(U))


def _places(
    space: SearchSpace, j: int, value: float, u: float, rng: Generator, neighbours: int, spread: float
) -> Matrix:
    """Return the unit-cube coordinates of one hyperparameter's neighbours."""
    from scipy.special import ndtr, ndtri

    hp, levels = space.hyperparameters[j], int(space.levels[j])
    integer = is_integer(hp)
    if space.is_categorical[j] or (integer and levels <= neighbours + 1):
        middles = space.middles(j)
        return np.asarray(middles[space.column_from_unit(j, middles) != value])
    if levels and not integer:
        index = int(value)
        beside = [i for i in (index - 1, index + 1) if 0 <= i < levels]
        return np.asarray(space.middles(j)[beside])
    low, high = ndtr(-u / spread), ndtr((1 - u) / spread)
    draws = low + rng.random(4 * neighbours if integer else neighbours) * (high - low)
    draws = np.clip(u + spread * ndtri(draws), 0.0, 1.0)
    if not integer:
        return np.asarray(draws)
    values = space.column_from_unit(j, draws)
    first = np.sort(np.unique(values, return_index=True)[1])
    return np.asarray(draws[first[values[first] != value][:neighbours]])


def _best(initial: Evaluated, rng: Generator) -> tuple[Matrix | None, float]:
    """Return the best configuration granted and its loss, with ties broken at random.

    The configuration is None where all granted trials failed or none was granted.
    """
    if not np.isfinite(initial.losses).any():
        return None, np.inf
    loss = float(np.nanmin(initial.losses))
    return initial.configurations[rng.choice(np.flatnonzero(initial.losses == loss))], loss


def _rank(answer: Evaluated) -> float:
    return float(answer.losses[0]) if np.isfinite(answer.losses[0]) else np.inf
