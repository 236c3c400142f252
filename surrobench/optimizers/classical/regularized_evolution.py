"""Regularized (aging) evolution: Real, Aggarwal, Huang & Le, AAAI 2019, arXiv 1802.01548, algorithm 1.

The authors' own code is in google-research, ``evolution/regularized_evolution_algorithm``.
"""

from __future__ import annotations

from itertools import count

import numpy as np
from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.failures import WorstSeen
from surrobench.protocol.requests import Evaluate, Evaluated
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace

SOURCE = "regularized-evolution"
_DRAWS = 64


def regularized_evolution(task: Task, rng: Generator, *, population: int = 100, sample: int = 25) -> Steps:
    """Let the best of a random ``sample`` of the population have a child, and let the oldest member die.

    The oldest member dies however good it is. The defaults are those of the paper's experiments, under which
    up to 100 trials are random search. As in algorithm 1, the sample is drawn with replacement, and the first
    population is drawn from the prior. The granted initial design is the oldest part of that population.

    A mutation changes one hyperparameter (``mutate``) where the paper's changes a network. A failed
    evaluation joins the population and counts as the worst value seen so far. Of equals in a sample, the
    first one drawn wins.
    """
    worst = WorstSeen()
    X, losses = task.initial.configurations, task.initial.losses
    if len(X) < population:
        random = task.space.sample(population - len(X), rng)
        answer: Evaluated = yield Evaluate(random, source=SOURCE)
        X, losses = np.concatenate([X, answer.configurations]), np.concatenate([losses, answer.losses])
    worst.see(losses)
    X, losses = X[-population:].copy(), losses[-population:].copy()
    for age in count():
        drawn = rng.integers(population, size=sample)
        parent = drawn[np.argmin(worst.fill(losses[drawn]))]
        answer = yield Evaluate(mutate(task.space, X[parent], rng)[None, :], source=SOURCE)
        worst.see(answer.losses)
        oldest = age % population
        X[oldest], losses[oldest] = answer.configurations[0], answer.losses[0]


def small_regularized_evolution(
    task: Task, rng: Generator, *, population: int = 20, sample: int = 5
) -> Steps:
    """Run ``regularized_evolution`` scaled to budgets of some hundred trials.

    The population and the sample are a fifth of the paper's.
    """
    yield from regularized_evolution(task, rng, population=population, sample=sample)


def mutate(space: SearchSpace, x: Matrix, rng: Generator) -> Matrix:
    """Return ``x`` with another value of one active hyperparameter, shape (d,), drawn from its prior.

    A hyperparameter that this change activates is drawn from the prior too. A hyperparameter that it
    deactivates is dropped. A hyperparameter whose prior gives no other value in 64 draws is passed over, as
    constants always are.
    """
    U = space.to_unit(x[None, :])
    active = ~np.isnan(x)
    U[0, ~active] = rng.random(np.count_nonzero(~active))
    for j in rng.permutation(np.flatnonzero(active & (space.levels != 1))):
        draws = rng.random(_DRAWS)
        others = draws[space.column_from_unit(j, draws) != x[j]]
        if len(others):
            U[0, j] = others[0]
            return np.asarray(space.from_unit(U)[0])
    return np.asarray(space.sample(1, rng)[0])
