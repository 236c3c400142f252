"""One adapter for every library that asks and tells: Optuna, cmaes and their like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.requests import Evaluate, Evaluated
from surrobench.space.hyperparameter import Configuration, Matrix, values_of
from surrobench.space.search_space import SearchSpace


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


class Translated:
    """A method that may speak mappings of name to value, as ``AskTell``.

    What it asks for decides how it is told: for a mapping, one and its loss; for a list of them, lists; for a
    matrix, arrays. A number between the values of a grid is moved to the nearest, and told back so.
    """

    def __init__(self, method: Any, space: SearchSpace) -> None:
        self._method, self._space = method, space
        self._asked: Any = None

    def ask(self) -> Matrix:
        """Shape (m, d).

        Raises:
            UsageError: a mapping that is no configuration of the space.
        """
        self._asked = self._method.ask()
        if isinstance(self._asked, Mapping):
            return self._space.encode([self._on_grid(self._asked)])
        if _mappings(self._asked):
            return self._space.encode([self._on_grid(configuration) for configuration in self._asked])
        matrix: Matrix = self._asked  # or anything: the engine says what it must be
        return matrix

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """What came of them, in the form asked."""
        if isinstance(self._asked, Mapping):
            self._method.tell(self._space.decode(configurations)[0], float(losses[0]))
        elif _mappings(self._asked):
            self._method.tell(self._space.decode(configurations), losses.tolist())
        else:
            self._method.tell(configurations, losses)

    def _on_grid(self, configuration: Mapping[str, Any]) -> Configuration:
        values = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in configuration.items()
        }
        for name, value in values.items():
            grid = values_of(self._space[name]) or []
            if _number(value) and grid and all(map(_number, grid)) and min(grid) <= value <= max(grid):
                index = self._space.nearest(name, value) - self._space.origin[self._space.column(name)]
                values[name] = grid[round(index)]
        return values


def _mappings(asked: Any) -> bool:
    return isinstance(asked, list | tuple) and len(asked) > 0 and all(isinstance(c, Mapping) for c in asked)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
