"""CMA-ES with margin, through the ``cmaes`` library.

The sources are:

- Hansen, arXiv 1604.00772, for the method;
- Hamano et al., GECCO 2022, for the margin of integers (``CMAwM``);
- Hamano et al., GECCO 2025, for categories (``CatCMAwM``);
- Auger & Hansen, CEC 2005, for the IPOP restarts;
- Hansen, arXiv 1110.4181, for the length to which a foreign point is clipped.

The state is read from private attributes of the library (``_mean``, ``_sigma``, ``_C``, ``_A``, ``_q``). None
of them is written.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from surrobench.optimizers.ask_tell import ask_tell
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.failures import WorstSeen
from surrobench.space.hyperparameter import Matrix, is_integer, is_log
from surrobench.space.search_space import SearchSpace

MOST_LEVELS = 10_000
"""The most values of a number that the library is told are discrete. No benchmark that comes with surrobench
has as many."""


def cma_es(task: Task, rng: Generator, *, sigma: float = 1 / 6) -> Steps:
    """Search the unit cube with CMA-ES, one generation at a time.

    The defaults are Optuna's. The mean starts at the centre, ``sigma`` is a sixth of the range, and the
    population is 4 + floor(3 ln d). A granted initial design moves the mean to its best configuration. It
    also gives half of each category's probability to the value chosen there.

    Integers and ordinals have a margin (CMAwM). A space with categories uses CatCMAwM. So does a space with
    integers on a log scale, because CMAwM takes them for evenly spaced. Categories start equally probable,
    whatever their weights. A range of more than ``MOST_LEVELS`` integers counts as continuous, because the
    library lists all values of a discrete one, and a step of the search passes many of them anyway.

    A failed evaluation counts as the worst value seen. Where the library's stop rule fires, the search
    restarts with a doubled population from a uniformly drawn mean (IPOP). A table with gaps evaluates the
    nearest configuration that it has. The library is then told the loss at the point drawn, because it takes
    no other point.
    """
    yield from ask_tell(task, "cma-es", lambda: Restarting(task, rng, sigma))


class State(NamedTuple):
    """The state of CMA-ES, which draws from N(mean, sigma^2 C) in unit-cube coordinates.

    The margin of a discrete hyperparameter widens its steps beyond that distribution. The margin is not part
    of C.

    Attributes:
        columns: shape (n,), the columns of the space that are numeric and searched, ascending.
        mean: shape (n,), the mean.
        sigma: the step size.
        covariance: shape (n, n), the matrix C, without sigma^2.
        probabilities: the probability of each value of a category, by column.
    """

    columns: NDArray[np.intp]
    mean: Matrix
    sigma: float
    covariance: Matrix
    probabilities: dict[int, Matrix]


class Drawn(NamedTuple):
    """One sample that CMA-ES drew itself.

    Attributes:
        x: shape (d,), the configuration that the sample stands for.
        u: shape (searched,), the same configuration in the unit cube.
        told: what the library is told of the sample.
    """

    x: Matrix
    u: Matrix
    told: Any


class Restarting:
    """This class runs CMA-ES with restarts and an increasing population.

    It can be driven by ``ask`` and ``tell``, one generation at a time. It can also be driven by ``draw`` and
    ``take``, one sample at a time. Both make the same search.
    """

    def __init__(self, task: Task, rng: Generator, sigma: float) -> None:
        self._space, self._rng, self._sigma = task.space, rng, sigma
        self._searched = task.space.levels != 1
        self._values = [_values(task.space, int(j)) for j in np.flatnonzero(self._searched)]
        self._worst = WorstSeen()
        mean = np.full(task.space.d, 0.5)
        start = None
        if np.isfinite(task.initial.losses).any():
            best = int(np.nanargmin(task.initial.losses))
            start = task.space.to_unit(task.initial.configurations[[best]])[0]
            mean = np.where(np.isnan(start), mean, start)
            self._worst.see(task.initial.losses)
        self.population = 4 + int(3 * np.log(max(self._searched.sum(), 1)))
        self._asked: list[Any] = []
        self._taken: list[tuple[Any, float]] = []
        self.strategy = self._open(mean, known=start is not None)

    def ask(self) -> Matrix:
        """Return one generation, shape (population, d)."""
        X, _, self._asked = self._draw(self.population)
        return X

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Take the losses of a generation, and restart if the strategy has stopped."""
        for told, loss in zip(self._asked, losses.tolist(), strict=True):
            self.take(told, loss)

    def draw(self) -> Drawn:
        """Return the next sample of the generation."""
        X, U, told = self._draw(1)
        return Drawn(X[0], U[0], told[0])

    def take(self, told: Any, loss: float) -> None:
        """Count a sample, or what is told in its place, towards the generation.

        A loss that is NaN counts as the worst value seen. A full generation is told to the library, which may
        then restart.
        """
        self._taken.append((told, loss))
        if len(self._taken) < self.population:
            return
        losses = np.array([loss for _, loss in self._taken])
        self._worst.see(losses)
        self.strategy.tell([told for told, _ in self._taken], self._worst.fill(losses))
        self._taken = []
        if self.strategy.should_stop():
            self.population *= 2
            self.strategy = self._open(self._rng.random(self._space.d), known=False)

    def instead(self, drawn: Drawn, x: Matrix, clip: bool = False) -> Any:
        """Return what to tell of a foreign configuration that was evaluated in the place of a sample.

        The sample's own coordinate stays as it was drawn in two cases: where both have the same value, and
        where a hyperparameter is inactive. Telling the sample's own configuration is therefore the same as
        telling the sample. Elsewhere the coordinate is that of the foreign value, as seen from the mean with
        the library's margin. The coordinate of a discrete value is the middle of its bin.

        Args:
            drawn: the sample.
            x: shape (d,), the configuration that was evaluated instead.
            clip: whether to shorten the numeric step from the mean to Mahalanobis length sqrt(n) + 2n / (n +
                2) if it is longer (arXiv 1110.4181, table 2). Categories stay as they are.
        """
        u = self._space.to_unit(x[None, :])[0, self._searched]
        kept = np.isnan(u) | np.isclose(u, drawn.u, rtol=0, atol=1e-9)
        if kept.all():
            return drawn.told
        return self.strategy.instead(drawn, np.where(kept, drawn.u, u), kept, clip)

    def state(self) -> State:
        """Return a copy of the strategy's present state."""
        mean, sigma, covariance, columns, probabilities = self.strategy.state()
        searched = np.flatnonzero(self._searched)
        order = np.argsort(columns)
        return State(
            searched[columns[order]],
            mean[order],
            sigma,
            covariance[np.ix_(order, order)],
            {int(searched[j]): q for j, q in probabilities.items()},
        )

    def _draw(self, n: int) -> tuple[Matrix, Matrix, list[Any]]:
        U = np.full((n, self._space.d), 0.5)
        U[:, self._searched], told = self.strategy.ask(n)
        return self._space.from_unit(U), U[:, self._searched], told

    def _open(self, mean: Matrix, known: bool) -> Strategy:
        seed = int(self._rng.integers(2**32))
        searched = self._searched
        settings = (self._values, mean[searched], self._sigma, self.population, seed)
        categorical = self._space.is_categorical[searched]
        log_integer = [is_integer(hp) and is_log(hp) for hp in self._space.hyperparameters]
        if categorical.any() or any(log_integer):
            return _Mixed(*settings, categorical, known)
        return _Numeric(*settings)


Held = tuple[Matrix, float, Matrix, NDArray[np.intp], dict[int, Matrix]]
"""The mean, sigma, C, the coordinates of these, and the categories' probabilities by coordinate."""


class Strategy(Protocol):
    """One of the library's classes, in unit-cube coordinates of the hyperparameters that are searched."""

    def ask(self, n: int) -> tuple[Matrix, list[Any]]:
        """Return n points, shape (n, searched), and what the library is to be told of each."""

    def tell(self, told: list[Any], losses: NDArray[np.float64]) -> None:
        """Take a whole generation and its losses."""

    def instead(self, drawn: Drawn, u: Matrix, kept: NDArray[np.bool_], clip: bool) -> Any:
        """Return what to tell in the place of a sample, as ``Restarting.instead`` does.

        The arguments ``u`` and ``kept`` have shape (searched,).
        """

    def state(self) -> Held:
        """Return copies of what the strategy holds."""

    def should_stop(self) -> bool:
        """Return whether the library's own stop rule fires."""


class _Numeric:
    """A strategy that uses ``CMAwM``, or plain ``CMA`` where every hyperparameter is continuous."""

    def __init__(self, values: list[Matrix], mean: Matrix, sigma: float, population: int, seed: int) -> None:
        from cmaes import CMA, CMAwM

        levels = np.array([len(column) for column in values])
        n = np.maximum(levels, 1)
        margin = np.where(levels > 0, 0.5 / n, 0.0)  # the outermost bins' middles bound a discrete one
        bounds = np.stack([margin, 1 - margin], axis=1)
        common: dict[str, Any] = {"bounds": bounds, "seed": seed, "population_size": population}
        mean = np.clip(mean, bounds[:, 0], bounds[:, 1])
        if (levels > 0).any():
            self.library = CMAwM(mean, sigma, steps=np.where(levels > 0, 1.0 / n, 0.0), **common)
        else:
            self.library = CMA(mean, sigma, **common)
        self._discrete = levels > 0
        self._with_margin = bool(self._discrete.any())

    def ask(self, n: int) -> tuple[Matrix, list[Any]]:
        if self._with_margin:
            pairs = [self.library.ask() for _ in range(n)]
            return np.stack([evaluated for evaluated, _ in pairs]), [told for _, told in pairs]
        asked = [self.library.ask() for _ in range(n)]
        return np.stack(asked), asked

    def tell(self, told: list[Any], losses: NDArray[np.float64]) -> None:
        self.library.tell(list(zip(told, losses.tolist(), strict=True)))

    def instead(self, drawn: Drawn, u: Matrix, kept: NDArray[np.bool_], clip: bool) -> Matrix:
        mean, sigma, covariance, _, _ = self.state()
        # The library encodes v as the value nearest to mean + A (v - mean). This is a v that it encodes as u.
        A = np.where(self._discrete, self.library._A, 1.0) if self._with_margin else 1.0
        v = np.where(kept, drawn.told, mean + (u - mean) / A)
        return mean + _clipped(v - mean, sigma, covariance) if clip else v

    def state(self) -> Held:
        core = self.library._cma if self._with_margin else self.library
        return core._mean.copy(), float(core._sigma), core._C.copy(), np.arange(len(core._mean)), {}

    def should_stop(self) -> bool:
        return bool(self.library.should_stop())


class _Mixed:
    """A strategy that uses ``CatCMAwM`` for continuous, discrete and categorical coordinates side by side.

    ``values`` are the unit-cube coordinates of each hyperparameter's values. A continuous hyperparameter has
    none.
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
        self.library = CatCMAwM(population_size=population, seed=seed, **spaces)
        self._has_stop_rule = len(numeric) > 0  # the library has none for a purely categorical space

    def _leaning_towards(self, mean: Matrix) -> Matrix:
        """Return probabilities, shape (categories, most values).

        Half of each category's probability is on the start's own value.
        """
        sizes = [len(self._values[j]) for j in self._c]
        q = np.zeros((len(self._c), max(sizes)))
        for row, (j, size) in enumerate(zip(self._c, sizes, strict=True)):
            q[row, :size] = 0.5 / size
            q[row, np.argmin(np.abs(self._values[j] - mean[j]))] += 0.5
        return q

    def ask(self, n: int) -> tuple[Matrix, list[Any]]:
        asked = [self.library.ask() for _ in range(n)]
        U = np.empty((n, len(self._values)))
        for row, solution in enumerate(asked):
            if len(self._x):
                U[row, self._x] = solution.x
            if len(self._z):
                U[row, self._z] = solution.z
            for j, chosen in zip(self._c, () if solution.c is None else solution.c, strict=True):
                U[row, j] = self._values[j][np.argmax(chosen)]
        return U, asked

    def tell(self, told: list[Any], losses: NDArray[np.float64]) -> None:
        # Before the first generation whose losses differ (all may have failed) the library takes the median
        # of nothing as the weight of its penalty for leaving the range: NaN, which leaves its ranking alone.
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            self.library.tell(list(zip(told, losses.tolist(), strict=True)))

    def instead(self, drawn: Drawn, u: Matrix, kept: NDArray[np.bool_], clip: bool) -> Any:
        from cmaes import CatCMAwM

        numeric = np.concatenate([self._x, self._z])
        v = chosen = None
        if len(numeric):
            mean, sigma, covariance, _, _ = self.state()
            v = np.where(kept[numeric], drawn.told._v_raw, u[numeric])  # here the margin is in what is told
            if clip:
                A = self.library._A
                v = mean + A * _clipped((v - mean) / A, sigma, covariance)
        if len(self._c):
            chosen = np.zeros_like(drawn.told.c)
            nearest = [np.argmin(np.abs(self._values[j] - u[j])) for j in self._c]
            chosen[np.arange(len(self._c)), nearest] = True
        return CatCMAwM.Solution(
            u[self._x] if len(self._x) else None, u[self._z] if len(self._z) else None, chosen, v
        )

    def state(self) -> Held:
        held, numeric = self.library, np.concatenate([self._x, self._z])
        probabilities = {int(j): held._q[row, : len(self._values[j])].copy() for row, j in enumerate(self._c)}
        if not len(numeric):
            return np.empty(0), 0.0, np.empty((0, 0)), numeric, probabilities
        return held._mean.copy(), float(held._sigma), held._C.copy(), numeric, probabilities

    def should_stop(self) -> bool:
        return self._has_stop_rule and bool(self.library.should_stop())


def _values(space: SearchSpace, j: int) -> Matrix:
    """Return the unit-cube coordinates of a hyperparameter's values; none where it counts as continuous."""
    few = space.levels[j] <= MOST_LEVELS or space.is_categorical[j]
    return space.middles(j) if few else np.empty(0)


def _clipped(step: Matrix, sigma: float, covariance: Matrix) -> Matrix:
    """Return a step from the mean, shape (n,), no longer than sqrt(n) + 2n / (n + 2) by Mahalanobis."""
    n = len(step)
    y = step / sigma
    length = float(np.sqrt(y @ np.linalg.solve(covariance, y)))
    limit = np.sqrt(n) + 2 * n / (n + 2)
    return step * (limit / length) if length > limit else step
