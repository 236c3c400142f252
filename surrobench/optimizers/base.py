"""The contract of an optimizer, which is a generator that yields requests and receives answers.

    def my_method(task, rng, *, strength=0.5):
        best = task.initial                                    # the granted initial design
        while True:
            X = task.space.sample(1, rng)
            answer = yield Evaluate(X, source="my-method")     # one trial per row
            ...                                                # answer.losses: lower is better

An optimizer never calls a benchmark or a model itself, so it can be tested by driving it with made-up
answers. It may go on forever. The engine cuts the last request at the budget and closes the generator. All
its randomness comes from ``rng``. To add an optimizer, copy ``random_search.py`` and add a line to
``OPTIMIZERS`` in ``registry.py``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from surrobench.benchmarks.base import Fidelity, Objective, TaskCard
from surrobench.llm.prompt_variants import ShownSpace, Variant
from surrobench.llm.prompts import TEXT_RULES, render
from surrobench.protocol.requests import Compute, Evaluated, Request
from surrobench.space.hyperparameter import Configuration, Matrix
from surrobench.space.search_space import SearchSpace

Steps = Generator[Request, Any, None]
"""An optimizer at work. What it is sent depends on what it yielded, see ``protocol.requests.Answer``."""


def computed(steps: Steps) -> Steps:
    """Yield what an optimizer asks for, except for what it wants computed, which it gets at once."""
    answer: Any = None
    try:
        while True:
            try:
                request = steps.send(answer)
            except StopIteration:
                return
            answer = request.alone() if isinstance(request, Compute) else (yield request)
    finally:
        steps.close()


def configuration_key(x: Matrix) -> bytes:
    """Return a key that is the same for equal configurations, each of shape (d,)."""
    return np.nan_to_num(x + 0.0, nan=-1.0).tobytes()  # NaN and zero have more than one bit pattern


@dataclass
class Stopwatch:
    """A stopwatch that adds up the seconds spent inside other people's libraries, and in kernels.

    Attributes:
        seconds: so far.
        proposals: the number of proposals that a kernel made in a library's place.
        referred: how many of these the kernel left to the library itself.
    """

    seconds: float = 0.0
    proposals: int = 0
    referred: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the ``with`` block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start


@dataclass(frozen=True)
class Task:
    """Everything that an optimizer is told, which excludes the best value.

    Attributes:
        space: the search space.
        objective: the target objective. Losses are its values times ``objective.sign``.
        card: what may be said about the task in a prompt, by ``variant``.
        default: shape (d,), the benchmark's default configuration.
        initial: the initial design that every method of the study was granted, already evaluated and paid for
            (possibly empty). A method that builds a model puts it into its model.
        horizon: the trials at full fidelity that are left after the initial design; without end for a method
            that says that it does not use it (``uses_horizon = False``).
        invalid: what to do with a model's reply that is no legal configuration (``waste``, ``retry:n``,
            ``clip``), see ``optimizers.llm.propose``.
        variant: how much a prompt may show, see ``llm.prompt_variants``. Prompts show configurations as
            ``shown`` does.
        answers: how many of the model's replies had each verdict, ``PURPOSE:VERDICT``. The verdict is
            ``valid``, ``duplicate`` (valid, but evaluated before), or a defect of ``llm.parse``. A method
            that reads replies by itself counts them here.
        library: the stopwatch for calls into an optimization library.
        fidelities: the fidelities that ``Evaluate.fidelity`` may name. The first is the one to vary, within
            its ``useful`` range.
        workers: the number of trials that can be under way at a time, in simulated time (``Submit``,
            ``Next``). The rows of one ``Evaluate`` are spread over them, and it ends when the last of them
            has finished.
        prompts: the user's prompt templates, which replace the method's own, from file name to text.
        text_rules: how values are written and replies are read, see ``llm.prompts.TEXT_RULES``.
        benchmark, seed: those of the run, for what is recorded of it in a file (``proposals``). A method that
            looks anything up by them knows more than it should.
    """

    space: SearchSpace
    objective: Objective
    card: TaskCard
    default: Matrix
    initial: Evaluated
    horizon: int
    invalid: str = "waste"
    variant: Variant = "full"
    answers: Counter[str] = field(default_factory=Counter)
    library: Stopwatch = field(default_factory=Stopwatch)
    fidelities: tuple[Fidelity, ...] = ()
    workers: int = 1
    prompts: Mapping[str, str] = field(default_factory=dict)
    text_rules: int = TEXT_RULES
    benchmark: str = ""
    seed: int = 0

    def prompt(self, method: str, name: str, **values: Any) -> str:
        """Render a template of a method.

        ``card`` and ``view`` are the task's own where ``values`` does not have them.

        Args:
            method: the folder of the method's templates.
            name: the template's file without ``.jinja``. A file of that name in ``prompts`` takes the place
                of the method's.
            values: the template's variables.

        Raises:
            UsageError: a user's template names a variable that it does not get, or fails otherwise.
        """
        return render(method, name, self.prompts, **{"card": self.card, "view": self.shown, **values})

    @cached_property
    def shown(self) -> ShownSpace:
        """Return the search space as prompts show it."""
        return ShownSpace(self.space, self.variant, self.text_rules)

    def granted(self) -> list[tuple[Configuration, float]]:
        """Return the initial design: mappings of name to value, each with its loss (NaN where it failed)."""
        configurations = self.space.decode(self.initial.configurations)
        return list(zip(configurations, self.initial.losses.tolist(), strict=True))
