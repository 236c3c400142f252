"""Sobol' sequence: Sobol', USSR Comp. Math. 7, 1967; scrambling: Owen, J. Complexity 14, 1998."""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.requests import Evaluate

_BATCH = 1024


def sobol(task: Task, rng: Generator) -> Steps:
    """Evaluate the first points of a Sobol' sequence scrambled by the seed (``scipy.stats.qmc.Sobol``).

    The budget need not be a power of two, but balance is only promised where it is. The granted initial
    design is no part of the sequence.
    """
    from scipy.stats import qmc

    with task.library.running():
        sequence = qmc.Sobol(task.space.d, scramble=True, rng=rng)
        points = sequence.random_base2(max(min(task.horizon, _BATCH) - 1, 0).bit_length())
    while True:  # in parts, each as long as all before it: where only time is limited the horizon is endless
        yield Evaluate(task.space.from_unit(points[: task.horizon]), source="sobol")
        with task.library.running():
            points = sequence.random_base2(sequence.num_generated.bit_length() - 1)
