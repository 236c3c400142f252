"""One adapter for every library that asks and tells, such as Optuna and cmaes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.requests import Evaluate, Evaluated
from surrobench.space.hyperparameter import Configuration, Matrix, values_of
from surrobench.space.search_space import SearchSpace


class AskTell(Protocol):
    """A library behind the two verbs ask and tell, in the vector encoding and in losses."""

    def ask(self) -> Matrix:
        """Return the configurations to evaluate next, shape (m, d); no configurations end the run."""

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Take the losses of the configurations asked for, in their order; NaN for a failed evaluation."""


def ask_tell(task: Task, source: str, start: Callable[[], AskTell]) -> Steps:
    """Run a library as an optimizer; its time is counted by ``task.library``.

    Args:
        task: the task.
        source: who proposes, as recorded with each trial.
        start: the function that opens the library. It is called once, and its time counts as the library's.
    """
    with task.library.running():
        library = start()
    while True:
        with task.library.running():
            configurations = library.ask()
        if len(configurations) == 0:
            return
        answer = yield from _evaluated(configurations, source, getattr(library, "repairs", ()))
        with task.library.running():
            library.tell(answer.configurations, answer.losses)


def _evaluated(
    configurations: Matrix, source: str, repairs: Sequence[tuple[str, ...]]
) -> Generator[Evaluate, Evaluated, Evaluated]:
    """Evaluate a batch in one request, or row by row where a row was repaired.

    Repairs belong to a request, so a repaired row needs its own.
    """
    if not any(repairs):
        return (yield Evaluate(configurations, source=source))
    answers = []
    for x, mended in zip(configurations, repairs, strict=True):
        answers.append((yield Evaluate(x[None, :], source=source, repairs=mended)))
    return Evaluated(
        np.concatenate([answer.configurations for answer in answers]),
        np.concatenate([answer.losses for answer in answers]),
    )


class Translated:
    """A method that may speak mappings of name to value, made into an ``AskTell``.

    The form that the method asks in decides the form it is told in. For a mapping, it is told one mapping and
    its loss. For a list of mappings, it is told lists. For a matrix, it is told arrays. A number between the
    values of a grid is moved to the nearest, and told back so. In a mapping, a hyperparameter whose
    conditions do not hold is left out. A hyperparameter whose conditions hold but that is missing gets its
    default. The method is told what was evaluated.

    Attributes:
        repairs: for each configuration asked for last, which values were filled in (``filled:NAME``).
    """

    def __init__(self, method: Any, space: SearchSpace) -> None:
        self._method, self._space = method, space
        self._asked: Any = None
        self.repairs: list[tuple[str, ...]] = []

    def ask(self) -> Matrix:
        """Return the configurations that the method asks for, shape (m, d).

        Raises:
            UsageError: a mapping is no configuration of the space.
        """
        self._asked = self._method.ask()
        self.repairs = []
        if isinstance(self._asked, Mapping):
            return self._encoded([self._asked])
        if _mappings(self._asked):
            return self._encoded(self._asked)
        matrix: Matrix = self._asked  # may be anything: the engine checks it
        return matrix

    def _encoded(self, configurations: Sequence[Mapping[str, Any]]) -> Matrix:
        completed = [self._completed(self._on_grid(configuration)) for configuration in configurations]
        self.repairs = [repairs for _, repairs in completed]
        return self._space.encode([configuration for configuration, _ in completed])

    def _completed(self, configuration: Configuration) -> tuple[Configuration, tuple[str, ...]]:
        """Make the conditional part of a configuration follow its conditions.

        Returns:
            configuration: the configuration without inactive values, with defaults for active ones that are
                missing.
            repairs: the values that were filled in.
        """
        space, x = self._space, np.full(self._space.d, np.nan)
        kept, repairs = dict(configuration), []
        for j, name in enumerate(space.names):  # parents come before their children
            if space.conditions(j):
                if not space.is_active(j, x):
                    kept.pop(name, None)
                    continue
                if name not in kept:
                    kept[name] = space[name].default_value
                    repairs.append(f"filled:{name}")
            if name in kept:
                x[j] = space.encode_value(name, kept[name])
        return kept, tuple(repairs)

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Tell the method the losses, in the form in which it asked."""
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
