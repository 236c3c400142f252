"""Sobol' sequence: Sobol', USSR Comp. Math. 7, 1967; scrambling: Owen, J. Complexity 14, 1998."""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.requests import Evaluate


def sobol(task: Task, rng: Generator) -> Steps:
    """The first points of a Sobol' sequence scrambled by the seed (``scipy.stats.qmc.Sobol``).

    The budget need not be a power of two; balance is only promised where it is. The granted initial design
    is no part of the sequence.
    """
    from scipy.stats import qmc

    with task.library.running():
        sequence = qmc.Sobol(task.space.d, scramble=True, rng=rng)
        points = sequence.random_base2(max(task.horizon - 1, 0).bit_length())
    yield Evaluate(task.space.from_unit(points[: task.horizon]), source="sobol")
