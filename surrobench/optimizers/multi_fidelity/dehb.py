"""DEHB: Awad, Mallik & Hutter, IJCAI 2021 (arXiv 2105.09821).

The implementation is written from the paper. Details that the paper leaves open follow the authors' package
``dehb`` 0.1.2. That package needs a numpy before 2 and so cannot be used itself.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from surrobench.errors import UsageError
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.multi_fidelity.brackets import Ladder, best, granted
from surrobench.protocol.requests import Evaluated
from surrobench.space.hyperparameter import Matrix

_PARENTS = 3  # the number of parents of a mutant, rand/1


def dehb(
    task: Task,
    rng: Generator,
    *,
    eta: int = 3,
    min_fidelity: float | None = None,
    mutation: float = 0.5,
    crossover: float = 0.5,
) -> Steps:
    """Run differential evolution (rand/1/bin) on each rung of Hyperband's brackets.

    Every fidelity has a population, as large as the widest rung there. In the first sweep, the lowest rung of
    the first bracket evaluates its random population. The higher rungs of a bracket get the best of the rung
    below that were never on them, as in successive halving. Their training is continued where that is
    possible.

    All other trials are mutants crossed with the next individual, in turn, of the rung's own population. A
    trial that is not worse than this individual takes its place. The parents of mutants are the best of the
    rung below, as many as the rung has trials. On a bracket's lowest rung they come from its own population.
    If they are fewer than three, the rest comes from all populations. As many trials are made at a time as
    there are workers, each time with the results of those before. The defaults of paper and package are eta =
    3, F = CR = 0.5. A value that leaves its range is drawn anew.

    The schedule is Hyperband's algorithm 1. The package rounds the number of configurations differently.
    Individuals live in the unit cube, inactive values included. A promoted individual competes with the next
    in turn, too. A failed evaluation never takes a place and is never promoted. The best of the granted
    initial design join the population at full fidelity with their losses. They also join the first population
    on the lowest rung, but no more of them than the first bracket promotes.

    Raises:
        UsageError: there is no lower fidelity than the full one.
    """
    ladder = Ladder.of(task, "dehb", eta, min_fidelity)
    if ladder.top == 0:
        raise UsageError("dehb needs at least two fidelities.", "Lower min_fidelity, or eta.")
    brackets = ladder.brackets()
    # A fidelity's widest rung is the lowest one of the bracket that starts there.
    populations = [_Population(rng.random((bracket[0], task.space.d))) for bracket in brackets]
    known = granted(task, len(populations[-1].losses))
    populations[-1].join(_in_cube(task, known), np.sort(task.initial.losses)[: len(known)])
    starters = _in_cube(task, known[: brackets[0][0] // eta])
    populations[0].U[: len(starters)] = starters

    for sweep in itertools.count():
        for bracket in brackets:
            for level, n in enumerate(bracket, start=ladder.start(bracket)):
                own, is_lowest = populations[level], level == ladder.start(bracket)
                below = own if is_lowest else populations[level - 1]
                if sweep == 0 and (level == 0 or not is_lowest):
                    U = own.U if is_lowest else own.newcomers(below, n)
                    yield from _evaluate(task, ladder, level, own, own.next(len(U)), U, promoted=level > 0)
                    continue
                wave = min(task.workers, len(own.losses))
                for done in range(0, n, wave):
                    slots = own.next(min(wave, n - done))
                    parents = _parents(below, n, populations, len(slots), rng)
                    U = _offspring(own.U[slots], parents, mutation, crossover, rng)
                    yield from _evaluate(task, ladder, level, own, slots, U)


class _Population:
    """The individuals of one fidelity, shape (n, d) in the unit cube.

    A loss of NaN means that none was observed at that fidelity.
    """

    def __init__(self, U: Matrix) -> None:
        self.U = U
        self.losses = np.full(len(U), np.nan)
        self._seen: list[Matrix] = []  # what was evaluated there, also if it has lost its place since
        self._turn = 0

    def next(self, n: int) -> NDArray[np.intp]:
        """Return the n individuals whose turn it is."""
        slots = (self._turn + np.arange(n)) % len(self.U)
        self._turn = (self._turn + n) % len(self.U)
        return slots

    def join(self, U: Matrix, losses: NDArray[np.float64]) -> None:
        """Put individuals whose losses are known into the next places."""
        self.select(self.next(len(U)), U, losses)

    def select(self, slots: NDArray[np.intp], U: Matrix, losses: NDArray[np.float64]) -> None:
        """Let each trial that is not worse than the individual in its place take that place.

        A failed trial never takes a place.
        """
        self._seen.append(U)
        known = np.isfinite(self.losses[slots])
        wins = np.isfinite(losses) & (~known | (losses <= np.where(known, self.losses[slots], np.inf)))
        self.U[slots[wins]], self.losses[slots[wins]] = U[wins], losses[wins]

    def newcomers(self, below: _Population, n: int) -> Matrix:
        """Return up to n of the best of another population that were never evaluated for this one."""
        U = below.U[best(below.losses, len(below.losses))]
        seen = np.concatenate([U[:0], *self._seen])
        is_new = ~(U[:, None, :] == seen).all(axis=2).any(axis=1)
        return np.asarray(U[is_new][:n])


def _evaluate(
    task: Task,
    ladder: Ladder,
    level: int,
    own: _Population,
    slots: NDArray[np.intp],
    U: Matrix,
    promoted: bool = False,
) -> Steps:
    """Evaluate trials that compete for ``slots`` in one request, or in none if there are no trials."""
    if len(U):
        X = task.space.from_unit(U)
        answer: Evaluated = yield ladder.evaluate(X, level, "dehb", promoted=promoted)
        own.select(slots, U, answer.losses)


def _parents(
    below: _Population, n: int, populations: list[_Population], m: int, rng: Generator
) -> tuple[Matrix, ...]:
    """Return three matrices, shape (m, d).

    Each of m mutants has three different members of the parent pool.
    """
    pool = below.U[np.argsort(below.losses, kind="stable")[:n]]
    if len(pool) < _PARENTS:
        everyone = np.concatenate([population.U for population in populations])
        filler = rng.choice(len(everyone), size=_PARENTS - len(pool), replace=False)
        pool = np.concatenate([pool, everyone[filler]])
    picked = rng.random((m, len(pool))).argsort(axis=1)[:, :_PARENTS]
    return tuple(pool[column] for column in picked.T)


def _offspring(
    targets: Matrix, parents: tuple[Matrix, ...], mutation: float, crossover: float, rng: Generator
) -> Matrix:
    """Return rand/1 mutants, shape (m, d), crossed (binomially) with their targets."""
    base, one, other = parents
    mutants = base + mutation * (one - other)
    m, d = targets.shape
    crossed = rng.random((m, d)) < crossover
    crossed[np.arange(m), rng.integers(d, size=m)] = True  # at least one value is the mutant's
    U = np.where(crossed, mutants, targets)
    return np.where((U >= 0) & (U <= 1), U, rng.random((m, d)))


def _in_cube(task: Task, X: Matrix) -> Matrix:
    """Return configurations in the unit cube, shape (m, d).

    An inactive value is the default configuration's, as in the package.
    """
    usual = task.space.to_unit(task.default[None, :])
    U = task.space.to_unit(X)
    return np.where(np.isnan(U), np.where(np.isnan(usual), 0.5, usual), U)
