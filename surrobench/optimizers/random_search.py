"""Random search: Bergstra & Bengio, JMLR 13, 2012."""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.requests import Evaluate


def random_search(task: Task, rng: Generator) -> Steps:
    """Independent draws from the space's prior; on a table, repetitions may occur."""
    yield Evaluate(task.space.sample(task.horizon, rng), source="random")
