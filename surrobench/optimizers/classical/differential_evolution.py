"""Differential evolution, rand/1/bin: Storn & Price, J. Global Optimization 11, 1997.

The population, the factors and the rule at the boundary are those of DEHB (Awad et al., IJCAI 2021).
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from surrobench.errors import UsageError
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.failures import WorstSeen
from surrobench.protocol.requests import Evaluate, Evaluated
from surrobench.space.hyperparameter import Mask, Matrix

SOURCE = "differential-evolution"


def differential_evolution(
    task: Task, rng: Generator, *, population: int = 20, factor: float = 0.5, crossover: float = 0.5
) -> Steps:
    """Evolve a population in the unit cube, one generation at a time.

    One trial vector challenges every member, and all replacements happen at once. A trial vector replaces its
    target if it is at least as good, as in DEHB, so that the population moves on a plateau. The paper asks
    for a better one.

    Genotypes are points of the whole cube. A discrete value is a bin of the cube, and an inactive
    hyperparameter keeps its coordinate. The granted initial design begins the first population, and its
    inactive coordinates are drawn. If it is larger than the population, its best members are taken, and ties
    are broken arbitrarily. The rest of the population comes from the prior. A failed evaluation counts as the
    worst value seen so far.

    Raises:
        UsageError: the population is too small to draw three others from.
    """
    if population < 4:
        raise UsageError(f"differential-evolution: population >= 4 must hold, but got {population}.")
    space, worst = task.space, WorstSeen()
    searched = space.levels != 1
    losses = task.initial.losses
    worst.see(losses)
    order = rng.permutation(len(losses))
    order = order[np.argsort(worst.fill(losses[order]), kind="stable")][:population]
    U, losses = space.to_unit(task.initial.configurations[order]), losses[order]
    U = np.where(np.isnan(U), rng.random(U.shape), U)
    if len(U) < population:
        drawn = rng.random((population - len(U), space.d))
        answer: Evaluated = yield Evaluate(space.from_unit(drawn), source=SOURCE)
        worst.see(answer.losses)
        U, losses = np.concatenate([U, drawn]), np.concatenate([losses, answer.losses])
    while True:
        trials = trial_vectors(U, searched, rng, factor, crossover)
        answer = yield Evaluate(space.from_unit(trials), source=SOURCE)
        worst.see(answer.losses)
        won = worst.fill(answer.losses) <= worst.fill(losses)
        U, losses = np.where(won[:, None], trials, U), np.where(won, answer.losses, losses)


def trial_vectors(U: Matrix, searched: Mask, rng: Generator, factor: float, crossover: float) -> Matrix:
    """Return one trial vector for each target, shape (n, d).

    The mutant is a + factor * (b - c), where a, b and c are three other members, all different. About a share
    ``crossover`` of the coordinates comes from the mutant. At least one coordinate that is searched comes
    from it. A coordinate that leaves the cube is drawn anew, uniformly.
    """
    n, d = U.shape
    lots = rng.random((n, n))
    np.fill_diagonal(lots, np.inf)  # the target is no parent of its own mutant
    a, b, c = np.argsort(lots, axis=1)[:, :3].T
    mutants = U[a] + factor * (U[b] - U[c])
    crossed = rng.random((n, d)) < crossover
    crossed[np.arange(n), rng.choice(np.flatnonzero(searched), size=n)] = True
    trials = np.where(crossed, mutants, U)
    outside = (trials < 0.0) | (trials > 1.0)
    trials[outside] = rng.random(np.count_nonzero(outside))
    return np.asarray(trials)
