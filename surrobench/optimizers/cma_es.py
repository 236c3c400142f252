"""CMA-ES with margin, through the ``cmaes`` library.

Sources: Hansen, arXiv 1604.00772 (the method); Hamano et al., GECCO 2022 (margin for integers, ``CMAwM``);
Hamano et al., GECCO 2025 (categories, ``CatCMAwM``); Auger & Hansen, CEC 2005 (IPOP restarts).
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from surrobench.optimizers.ask_tell import ask_tell
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.failures import WorstSeen
from surrobench.space import Matrix, is_integer, is_log


def cma_es(task: Task, rng: Generator, *, sigma: float = 1 / 6) -> Steps:
    """CMA-ES in the unit cube, a generation at a time.

    Defaults as Optuna's: mean at the centre, ``sigma`` a sixth of the range, population 4 + floor(3 ln d).
    A granted initial design moves the mean to its best configuration, and gives half of each category's
    probability to the one chosen there. Integers and ordinals have a margin (CMAwM); a space with categories,
    or with integers on a log scale, which CMAwM takes for evenly spaced, uses CatCMAwM. Categories start
    equally probable, whatever their weights. A failed evaluation counts as the worst value seen. Where the
    library's stop rule fires, it restarts with a doubled population from a uniformly drawn mean (IPOP). Where
    a table with gaps evaluates the nearest configuration it has, the loss is told at the point drawn: the
    library takes no other.
    """
    yield from ask_tell(task, "cma-es", lambda: Restarting(task, rng, sigma))


class Restarting:
    """CMA-ES with increasing population, as ask and tell."""

    def __init__(self, task: Task, rng: Generator, sigma: float) -> None:
        self._space, self._rng, self._sigma = task.space, rng, sigma
        self._searched = task.space.levels != 1
        self._values = [task.space.middles(int(j)) for j in np.flatnonzero(self._searched)]
        self._worst = WorstSeen()
        mean = np.full(task.space.d, 0.5)
        start = None
        if np.isfinite(task.initial.losses).any():
            best = int(np.nanargmin(task.initial.losses))
            start = task.space.to_unit(task.initial.configurations[[best]])[0]
            mean = np.where(np.isnan(start), mean, start)
            self._worst.see(task.initial.losses)
        self._population = 4 + int(3 * np.log(max(self._searched.sum(), 1)))
        self._strategy = self._open(mean, known=start is not None)

    def ask(self) -> Matrix:
        """Shape (population, d): one generation."""
        U = np.full((self._population, self._space.d), 0.5)
        U[:, self._searched] = self._strategy.ask(self._population)
        return self._space.from_unit(U)

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """The generation's losses; then a restart if the strategy has stopped."""
        self._worst.see(losses)
        self._strategy.tell(self._worst.fill(losses))
        if self._strategy.should_stop():
            self._population *= 2
            self._strategy = self._open(self._rng.random(self._space.d), known=False)

    def _open(self, mean: Matrix, known: bool) -> Strategy:
        seed = int(self._rng.integers(2**32))
        searched = self._searched
        settings = (self._values, mean[searched], self._sigma, self._population, seed)
        categorical = self._space.is_categorical[searched]
        log_integer = [is_integer(hp) and is_log(hp) for hp in self._space.hyperparameters]
        if categorical.any() or any(log_integer):
            return _Mixed(*settings, categorical, known)
        return _Numeric(*settings)


class Strategy(Protocol):
    """One of the library's classes, a generation at a time, in unit-cube coordinates."""

    def ask(self, n: int) -> Matrix:
        """Shape (n, d)."""

    def tell(self, losses: NDArray[np.float64]) -> None:
        """Losses of the generation asked for."""

    def should_stop(self) -> bool:
        """The library's own stop rule."""


class _Numeric:
    """``CMAwM``, or plain ``CMA`` where every hyperparameter is continuous."""

    def __init__(self, values: list[Matrix], mean: Matrix, sigma: float, population: int, seed: int) -> None:
        from cmaes import CMA, CMAwM

        levels = np.array([len(column) for column in values])
        n = np.maximum(levels, 1)
        margin = np.where(levels > 0, 0.5 / n, 0.0)  # the outermost bins' middles bound a discrete one
        bounds = np.stack([margin, 1 - margin], axis=1)
        common: dict[str, Any] = {"bounds": bounds, "seed": seed, "population_size": population}
        mean = np.clip(mean, bounds[:, 0], bounds[:, 1])
        if (levels > 0).any():
            self._library = CMAwM(mean, sigma, steps=np.where(levels > 0, 1.0 / n, 0.0), **common)
        else:
            self._library = CMA(mean, sigma, **common)
        self._with_margin = bool((levels > 0).any())
        self._asked: list[Matrix] = []

    def ask(self, n: int) -> Matrix:
        if self._with_margin:
            pairs = [self._library.ask() for _ in range(n)]
            self._asked = [told for _, told in pairs]
            return np.stack([evaluated for evaluated, _ in pairs])
        self._asked = [self._library.ask() for _ in range(n)]
        return np.stack(self._asked)

    def tell(self, losses: NDArray[np.float64]) -> None:
        self._library.tell(list(zip(self._asked, losses.tolist(), strict=True)))

    def should_stop(self) -> bool:
        return bool(self._library.should_stop())


class _Mixed:
    """``CatCMAwM``: continuous, discrete and categorical coordinates side by side.

    ``values`` are the unit-cube coordinates of each hyperparameter's values, none for a continuous one.
    """

    def __init__(
        self,
        values: list[Matrix],
        mean: Matrix,
        sigma: float,
        population: int,
        seed: int,
        categorical: NDArray[np.bool_],
        known: bool,
    ) -> None:
        from cmaes import CatCMAwM

        self._values = values
        levels = np.array([len(column) for column in values])
        self._x = np.flatnonzero(levels == 0)
        self._z = np.flatnonzero((levels > 0) & ~categorical)
        self._c = np.flatnonzero(categorical)
        numeric = np.concatenate([self._x, self._z])
        spaces: dict[str, Any] = {
            "x_space": [[0.0, 1.0]] * len(self._x) or None,
            "z_space": [values[j].tolist() for j in self._z] or None,
            "c_space": levels[self._c].tolist() or None,
        }
        if len(numeric):
            spaces |= {"mean": mean[numeric], "sigma": sigma, "cov": np.eye(len(numeric))}
        if known and len(self._c):
            spaces["cat_param"] = self._leaning_towards(mean)
        self._library = CatCMAwM(population_size=population, seed=seed, **spaces)
        self._has_stop_rule = len(numeric) > 0  # the library has none for a purely categorical space
        self._asked: list[Any] = []

    def _leaning_towards(self, mean: Matrix) -> Matrix:
        """Shape (categories, most values): half of the probability on the start's own value."""
        sizes = [len(self._values[j]) for j in self._c]
        q = np.zeros((len(self._c), max(sizes)))
        for row, (j, size) in enumerate(zip(self._c, sizes, strict=True)):
            q[row, :size] = 0.5 / size
            q[row, np.argmin(np.abs(self._values[j] - mean[j]))] += 0.5
        return q

    def ask(self, n: int) -> Matrix:
        self._asked = [self._library.ask() for _ in range(n)]
        U = np.empty((n, len(self._values)))
        for row, solution in enumerate(self._asked):
            if len(self._x):
                U[row, self._x] = solution.x
            if len(self._z):
                U[row, self._z] = solution.z
            for j, chosen in zip(self._c, () if solution.c is None else solution.c, strict=True):
                U[row, j] = self._values[j][np.argmax(chosen)]
        return U

    def tell(self, losses: NDArray[np.float64]) -> None:
        # Before the first generation whose losses differ (all may have failed) the library takes the median
        # of nothing as the weight of its penalty for leaving the range: NaN, which leaves its ranking alone.
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            self._library.tell(list(zip(self._asked, losses.tolist(), strict=True)))

    def should_stop(self) -> bool:
        return self._has_stop_rule and bool(self._library.should_stop())
