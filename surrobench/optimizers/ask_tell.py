"""One adapter for every library that asks and tells: Optuna, cmaes and their like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from surrobench.optimizers.base import Steps, Task
from surrobench.requests import Evaluate, Evaluated
from surrobench.space import Matrix


class AskTell(Protocol):
    """A library behind two verbs, in the vector encoding and in losses."""

    def ask(self) -> Matrix:
        """Shape (m, d): the configurations to evaluate next (one, or a generation); none to end the run."""

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """What came of them, in the order asked; NaN for a failed evaluation."""


def ask_tell(task: Task, source: str, start: Callable[[], AskTell]) -> Steps:
    """Run a library as an optimizer; its time is counted by ``task.library``.

    Args:
        task: the task.
        source: who proposes, as recorded with each trial.
        start: opens the library; called once, its time counts as the library's.
    """
    with task.library.running():
        library = start()
    while True:
        with task.library.running():
            configurations = library.ask()
        if len(configurations) == 0:
            return
        answer: Evaluated = yield Evaluate(configurations, source=source)
        with task.library.running():
            library.tell(answer.configurations, answer.losses)
