"""Slot controls: what stands in for the language model, in the same turns of any method.

A slot control shows what the model itself adds. A method that is run with ``control:random`` in the place of
a model keeps its loop, its surrogates and its schedule. Only the proposals come from elsewhere:

- ``control:random`` draws independently from the space's prior.
- ``control:default`` draws from the default's neighbourhood. It changes each hyperparameter with probability
  1/d, by a normal step of a fifth of its range or to any other category. It draws until the configuration is
  not the default itself.
- ``control:tpe`` is TPE, which is told every trial of the run.

All three controls answer questions that ask for no configuration without knowledge. A prediction is one of
the losses observed so far, a class is a coin's toss, and a reflection is empty.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.random import Generator as Draws

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.tpe import tpe_study
from surrobench.optimizers.classical.tpe_study import Study, suggestion
from surrobench.optimizers.llm.history import History
from surrobench.protocol.requests import Complete, Completion, Evaluate, Evaluated, Finished, Submit, Waste
from surrobench.space.hyperparameter import Matrix

Control = Literal["random", "default", "tpe"]
CONTROLS: tuple[Control, ...] = get_args(Control)
PREFIX = "control:"
CONTROL_VERSION = 2
"""This number counts up when a control would answer something else. It is part of every run's identity."""
LIBRARIES = ("optuna", "scipy")
"""The libraries that the trials of ``control:tpe`` depend on."""


def control_named(model: str) -> Control | None:
    """Return the control that a model's label names, such as ``control:random``.

    Return None if the label names a model.
    """
    name = model.removeprefix(PREFIX)
    return next((control for control in CONTROLS if control == name and name != model), None)


def controlled(steps: Steps, task: Task, control: Control, rng: Draws) -> Steps:
    """Run a method with a control in the language model's place.

    The source that the method calls ``llm`` is recorded under the control's name.
    """
    stand_in = StandIn(task, control, rng)
    answer: Any = None
    try:
        while True:
            try:
                request = steps.send(answer)
            except StopIteration:
                return
            if isinstance(request, Complete):
                answer = stand_in.answer(request)
            elif isinstance(request, list | tuple) and all(isinstance(part, Complete) for part in request):
                answer = [stand_in.answer(part) for part in request]
            else:
                answer = yield _renamed(request, PREFIX + control)
                stand_in.tell(answer)
    finally:
        steps.close()


def _renamed(request: Any, source: str) -> Any:
    if isinstance(request, Evaluate | Submit | Waste) and request.source == "llm":
        return replace(request, source=source, reply="")
    return request


class StandIn:
    """A control that answers completions in the place of a model; its proposals are always valid."""

    def __init__(self, task: Task, control: Control, rng: Draws) -> None:
        self._task, self._control, self._rng = task, control, rng
        self._history = History(task)
        self._study: Study | None = None
        if control == "tpe":
            with task.library.running():
                self._study = tpe_study(task, rng)

    def answer(self, request: Complete) -> list[Completion]:
        """Return the ``n`` replies to a request, free of charge."""
        return [Completion(self._reply(request), "stop", 0, 0, 0.0) for _ in range(request.n)]

    def tell(self, answer: Any) -> None:
        """Take note of the result of a trial."""
        if isinstance(answer, Finished):
            answer = Evaluated(answer.configuration[None, :], np.array([answer.loss]))
        if not isinstance(answer, Evaluated):
            return
        self._history.add(answer)
        if self._study is not None:
            with self._task.library.running():
                self._study.add(answer.configurations, answer.losses)

    def _reply(self, request: Complete) -> str:
        if request.purpose == "propose":
            configurations = [
                self._task.shown.write(self._configuration()) for _ in range(request.configurations)
            ]
            return json.dumps(configurations if request.configurations > 1 else configurations[0])
        if request.purpose == "predict":
            losses = self._history.observed()[1]
            return self._history.value(float(self._rng.choice(losses))) if len(losses) else "0"
        return str(self._rng.integers(2)) if request.purpose == "classify" else ""

    def _configuration(self) -> Matrix:
        """Return a configuration, shape (d,)."""
        if self._study is not None:
            with self._task.library.running():
                return suggestion(self._study)
        if self._control == "random":
            drawn: Matrix = self._task.space.sample(1, self._rng)[0]
            return drawn
        return self._beside_the_default()

    def _beside_the_default(self) -> Matrix:
        space, rng = self._task.space, self._rng
        own = np.array([space.nearest(name, space[name].default_value) for name in space.names])
        default = np.where(np.isnan(self._task.default), own, self._task.default)
        start = space.to_unit(default[None, :])
        same: Matrix = space.from_unit(start)[0]
        free = np.flatnonzero(space.levels != 1)
        while len(free):
            u = start[0].copy()
            for j in free[rng.random(len(free)) < 1 / len(free)]:
                if space.is_categorical[j]:
                    middles = space.middles(int(j))
                    u[j] = rng.choice(middles[~np.isclose(middles, u[j])])
                else:
                    u[j] = np.clip(u[j] + 0.2 * rng.standard_normal(), 0.0, 1.0)
            beside: Matrix = space.from_unit(u[None, :])[0]
            # Draw again: no value was drawn, or it is inactive, or the step is too small for the grid.
            if not np.array_equal(beside, same, equal_nan=True):
                return beside
        return same
