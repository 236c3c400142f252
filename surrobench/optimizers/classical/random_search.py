"""Random search: Bergstra & Bengio, JMLR 13, 2012."""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.requests import Evaluate

_BATCH = 1024


def random_search(task: Task, rng: Generator) -> Steps:
    """Draw configurations independently from the space's prior, with repetitions possible on a table."""
    while True:  # more than one part only where time alone is limited
        yield Evaluate(task.space.sample(min(task.horizon, _BATCH), rng), source="random")
