"""NGOpt, Nevergrad's choice among its methods: Meunier et al., arXiv 2010.04542.

Nevergrad is an optional library.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.random import Generator, RandomState
from numpy.typing import NDArray

from surrobench.optimizers.ask_tell import ask_tell
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.failures import WorstSeen
from surrobench.space.hyperparameter import Matrix, is_integer, is_log


def ngopt(task: Task, rng: Generator) -> Steps:
    """Run ``nevergrad.optimizers.NGOpt``, which chooses its method by the hyperparameters and the budget.

    Floats are ``Scalar`` in the unit cube, on their log scale where they have one. Integers and ordinals are
    ``Scalar`` with integer casting over their index. Integers on a log scale are ``Scalar`` over their place
    in the cube. Categories are ``Choice``. Nevergrad knows no conditions, so inactive hyperparameters have
    values there that are not evaluated. The granted initial design is told as not asked for. A failed
    evaluation counts as the worst value seen.

    In a continuous space with fewer than 50 trials per hyperparameter NGOpt is Cobyla, which starts from the
    best granted configuration or the centre. Nothing is random then, and seeds differ only by what they were
    granted.
    """
    yield from ask_tell(task, "ngopt", lambda: NGOpt(task, rng))


class NGOpt:
    """This class offers NGOpt through ask and tell."""

    def __init__(self, task: Task, rng: Generator) -> None:
        import nevergrad as ng
        from nevergrad.optimization import metamodel

        # Nevergrad 1.0.12 calls float() on arrays of one element, which numpy 2.4 refuses.
        metamodel.float = lambda x: np.asarray(x, dtype=np.float64).item()
        self._space = task.space
        self._worst = WorstSeen()
        log = np.array([is_integer(hp) and is_log(hp) for hp in task.space.hyperparameters])
        self._binned = ~task.space.is_categorical & (task.space.levels > 1) & ~log
        seeds = rng.integers(2**32, size=2).tolist()
        # Some of its methods draw from numpy's global generator, so they get one of this run's own.
        self._globals = RandomState(seeds[1]).get_state()
        with self._apart():
            parameters = self._parameters(ng.p)
            space = ng.p.Dict(**parameters)
            space.random_state = RandomState(seeds[0])
            self._library = ng.optimizers.NGOpt(space, budget=max(task.horizon, 1))
            for candidate, loss in zip(self._granted(task, parameters), task.initial.losses, strict=True):
                self._tell(candidate, loss)
            self._asked = self._library.ask()

    def ask(self) -> Matrix:
        """Return the next configuration, shape (1, d)."""
        u = np.full(self._space.d, 0.5)
        for key, value in self._asked.value.items():
            j = int(key)
            indexed = self._space.is_categorical[j] or self._binned[j]
            u[j] = (value + 0.5) / self._space.levels[j] if indexed else value
        return self._space.from_unit(u[None, :])

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Tell Nevergrad the loss, and ask for the next configuration at once.

        Some of Nevergrad's methods work in a thread from the time they are told a loss until they have the
        next configuration. In that time they must not draw from the global generator of anyone else.
        """
        with self._apart():
            self._tell(self._asked, losses[0])
            self._asked = self._library.ask()

    def _tell(self, candidate: Any, loss: float) -> None:
        losses = np.array([loss])
        self._worst.see(losses)
        self._library.tell(candidate, float(self._worst.fill(losses)[0]))

    def _parameters(self, kinds: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = {}
        for j in np.flatnonzero(self._space.levels != 1):
            levels = int(self._space.levels[j])
            if self._space.is_categorical[j]:
                parameters[str(j)] = kinds.Choice(list(range(levels)))
            elif self._binned[j]:
                parameters[str(j)] = kinds.Scalar(lower=0, upper=levels - 1).set_integer_casting()
            else:
                parameters[str(j)] = kinds.Scalar(lower=0.0, upper=1.0)
        return parameters

    def _granted(self, task: Task, parameters: dict[str, Any]) -> Iterator[Any]:
        for u in task.space.to_unit(task.initial.configurations):
            value: dict[str, Any] = {}
            for key in parameters:
                j = int(key)
                inside = 0.5 if np.isnan(u[j]) else float(u[j])
                indexed = self._space.is_categorical[j] or self._binned[j]
                value[key] = int(inside * self._space.levels[j]) if indexed else inside
            yield self._library.parametrization.spawn_child(new_value=value)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Hide Nevergrad's warnings, and swap numpy's global generator for this run's."""
        before = np.random.get_state()  # noqa: NPY002 - it is Nevergrad that uses it
        np.random.set_state(self._globals)  # noqa: NPY002
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            self._globals = np.random.get_state()  # noqa: NPY002
            np.random.set_state(before)  # noqa: NPY002
