"""BOHB: Falkner, Klein & Hutter, ICML 2018 (arXiv 1807.01774), as its authors' HpBandSter does it.

The defaults are HpBandSter's. Paper and code differ in how many observations a model needs, and the rule here
is also HpBandSter's. The densities are those of statsmodels' ``KDEMultivariate``, which HpBandSter uses.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.multi_fidelity.brackets import Ladder, granted, promote
from surrobench.protocol.requests import Evaluated
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace


def bohb(
    task: Task,
    rng: Generator,
    *,
    eta: int = 3,
    min_fidelity: float | None = None,
    random_fraction: float = 1 / 3,
    top_percent: int = 15,
    samples: int = 64,
    bandwidth_factor: float = 3.0,
    min_bandwidth: float = 1e-3,
) -> Steps:
    """Run Hyperband with configurations from densities of the good and the bad ones seen (TPE, joint).

    A third of the configurations is drawn at random. Each of the others maximises good / bad density among
    ``samples`` draws from the good density. The densities are those of the largest fidelity with at least d +
    1 good and d + 1 bad observations. The good observations are the best ``top_percent`` of a hundred, but at
    least d + 1.

    On a bracket's lowest rung, as many configurations are drawn at a time as there are workers, each time
    with a new model. Each higher rung is one request. The schedule is Hyperband's algorithm 1. HpBandSter
    rounds the number of configurations differently.

    Failed evaluations count as worst, and are bad. The granted initial design is data at full fidelity. Its
    best configurations take part in the first bracket as in ``hyperband``. Ordinals are integers over their
    index.
    """
    ladder = Ladder.of(task, "bohb", eta, min_fidelity)
    model = _Model(task.space, len(ladder.values), top_percent, min_bandwidth)
    model.add(ladder.top, task.initial)
    start: Matrix | None = None
    for bracket in itertools.cycle(ladder.brackets()):
        start = granted(task, bracket[0] // ladder.eta) if start is None else start[:0]
        level, answers = ladder.start(bracket), []
        for done in range(0, bracket[0], task.workers):
            X = start[done : done + task.workers]
            n = min(task.workers, bracket[0] - done) - len(X)
            model_based = rng.random(n) >= random_fraction
            drawn = task.space.sample(n, rng)
            if model_based.any() and (densities := model.fit(rng)):
                number = int(model_based.sum())
                drawn[model_based] = _propose(task.space, densities, number, samples, bandwidth_factor, rng)
            answer: Evaluated = yield ladder.evaluate(np.concatenate([X, drawn]), level, "bohb")
            model.add(level, answer)
            answers.append(answer)
        lowest = Evaluated(
            np.concatenate([answer.configurations for answer in answers]),
            np.concatenate([answer.losses for answer in answers]),
        )
        higher = yield from promote(ladder, bracket, lowest, "bohb", known=len(start))
        for above, answer in enumerate(higher, start=level + 1):
            model.add(above, answer)


class Density:
    """A product-kernel density: Gaussian for numeric columns, Aitchison-Aitken for categorical ones.

    Bandwidths follow the normal reference rule, 1.06 sigma n^(-1 / (4 + d)). The rule is used for categories
    too, as in statsmodels. A bandwidth is at least ``min_bandwidth``. Two differences for categories keep the
    result a density. A kernel knows all values, not just those that occur. It is also at most flat, which is
    (c - 1) / c for c values.

    Args:
        data: shape (n, d): numbers in [0, 1], or the index of a category.
        categories: shape (d,): number of values, 0 for a number.
        min_bandwidth: the smallest bandwidth.
    """

    def __init__(self, data: Matrix, categories: NDArray[np.int64], min_bandwidth: float) -> None:
        n, d = data.shape
        self.data, self.categories = data, categories
        flat = np.where(categories > 0, 1 - 1 / np.maximum(categories, 1), np.inf)
        self.bandwidths = np.clip(1.06 * data.std(axis=0) * n ** (-1 / (4 + d)), min_bandwidth, flat)

    def __call__(self, points: Matrix) -> NDArray[np.float64]:
        """Return the density at each of m points, shape (m, d), as an array of shape (m,)."""
        log_kernel = np.zeros((len(points), len(self.data)))
        for j, (width, c) in enumerate(zip(self.bandwidths, self.categories, strict=True)):
            x, center = points[:, j, None], self.data[None, :, j]
            if c:
                log_kernel += np.where(x == center, np.log(1 - width), np.log(width / (c - 1)))
            else:
                log_kernel -= ((x - center) / width) ** 2 / 2 + np.log(width * np.sqrt(2 * np.pi))
        return np.asarray(np.exp(log_kernel).mean(axis=1))

    def draw(self, n: int, factor: float, rng: Generator) -> Matrix:
        """Draw n points from the kernels, shape (n, d).

        The kernels of numbers are ``factor`` times wider and are cut to [0, 1].
        """
        from scipy.special import ndtr, ndtri

        center = self.data[rng.integers(len(self.data), size=n)]
        share = rng.random(center.shape)
        width = self.bandwidths * factor
        low, high = ndtr(-center / width), ndtr((1 - center) / width)
        numbers = np.clip(center + width * ndtri(low + share * (high - low)), 0.0, 1.0)
        stays = rng.random(center.shape) < 1 - self.bandwidths
        index = np.where(stays, center, np.floor(share * self.categories))
        return np.where(self.categories > 0, index, numbers)


class _Model:
    """This class holds all observations.

    It makes the two densities of the largest fidelity that has enough observations.
    """

    def __init__(self, space: SearchSpace, levels: int, top_percent: int, min_bandwidth: float) -> None:
        self._space, self._top_percent, self._min_bandwidth = space, top_percent, min_bandwidth
        self._searched = space.levels != 1
        self._categories = np.where(space.is_categorical, space.levels, 0)[self._searched]
        self._data = [np.empty((0, len(self._categories)))] * levels
        self._losses = [np.empty(0)] * levels

    def add(self, level: int, answer: Evaluated) -> None:
        """Add the results of some configurations at a level of the ladder."""
        X = answer.configurations
        numbers = np.where(self._space.is_categorical, X, self._space.to_unit(X))[:, self._searched]
        self._data[level] = np.concatenate([self._data[level], numbers])
        self._losses[level] = np.concatenate([self._losses[level], answer.losses])

    def fit(self, rng: Generator) -> tuple[Density, Density] | None:
        """Return the good and the bad density, or None while no fidelity has enough observations."""
        least = len(self._categories) + 1
        for data, losses in zip(reversed(self._data), reversed(self._losses), strict=True):
            n = len(losses)
            good = max(least, self._top_percent * n // 100)
            bad = max(least, (100 - self._top_percent) * n // 100)
            if n - good < least:
                continue
            order = np.argsort(losses, kind="stable")  # NaN, a failed evaluation, comes last
            parts = order[:good], order[good : good + bad]
            split = [self._impute(data[part], rng) for part in parts]
            first, second = (Density(part, self._categories, self._min_bandwidth) for part in split)
            return first, second
        return None

    def _impute(self, data: Matrix, rng: Generator) -> Matrix:
        """Replace each inactive value by that of a random row where it is active.

        If there is no such row, any value is drawn. This is HpBandSter's rule, applied to one hyperparameter
        at a time.
        """
        data = data.copy()
        for j in np.flatnonzero(np.isnan(data).any(axis=0)):
            inactive = np.isnan(data[:, j])
            n, c = int(inactive.sum()), int(self._categories[j])
            if not inactive.all():
                data[inactive, j] = rng.choice(data[~inactive, j], size=n)
            else:
                data[:, j] = rng.integers(c, size=n) if c else rng.random(n)
        return data


def _propose(
    space: SearchSpace,
    densities: tuple[Density, Density],
    n: int,
    samples: int,
    factor: float,
    rng: Generator,
) -> Matrix:
    """Return n configurations, shape (n, d).

    Each is the draw from the good density whose ratio of good to bad is largest.
    """
    good, bad = densities
    points = good.draw(n * samples, factor, rng)
    ratio = np.maximum(bad(points), 1e-32) / np.maximum(good(points), 1e-32)
    chosen = points.reshape(n, samples, -1)[np.arange(n), ratio.reshape(n, samples).argmin(axis=1)]
    searched = space.levels != 1
    V = np.full((n, space.d), 0.5)
    V[:, searched] = chosen
    # Only the space knows where in the unit cube a category stands.
    index = np.where(space.is_categorical & searched, V, 0.0)
    return space.from_unit(np.where(space.is_categorical & searched, space.to_unit(index), V))
