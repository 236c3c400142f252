"""Latin hypercube sampling: McKay, Beckman & Conover, Technometrics 21, 1979."""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.requests import Evaluate


def latin_hypercube(task: Task, rng: Generator) -> Steps:
    """Evaluate one design of the size of the budget (``scipy.stats.qmc.LatinHypercube``, its defaults).

    With n trials, each n-th part of every hyperparameter's prior holds one trial. For a conditional
    hyperparameter, trials in which it is inactive count too. The granted initial design is no part of the
    hypercube.
    """
    from scipy.stats import qmc

    with task.library.running():
        points = qmc.LatinHypercube(task.space.d, rng=rng).random(task.horizon)
    yield Evaluate(task.space.from_unit(points), source="latin-hypercube")
