"""Drives a method that asks a language model, with made-up replies and losses; keeps what it asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from surrobench.benchmarks import benchmark
from surrobench.llm.view import shown_card
from surrobench.optimizers import OPTIMIZERS
from surrobench.optimizers.base import Task
from surrobench.requests import Complete, Completion, Evaluate, Evaluated, Waste
from surrobench.space import Matrix

Reply = Callable[[Complete], str | Completion]
"""Called once per completion."""


def task_on(
    id_: str, X: Matrix | None = None, losses: Any = (), *, invalid: str = "waste", variant: Any = "full"
) -> Task:
    """A task on a benchmark, with a granted initial design."""
    where = benchmark(id_)
    return Task(
        space=where.space,
        objective=where.objective,
        card=shown_card(where.card, variant),
        default=where.scenario.default(),
        initial=Evaluated(
            np.empty((0, where.space.d)) if X is None else X, np.asarray(losses, dtype=np.float64)
        ),
        horizon=100,
        invalid=invalid,
        variant=variant,
    )


def written(task: Task, x: Matrix) -> str:
    """A configuration, shape (d,), as prompts show it."""
    return json.dumps(task.shown.write(x))


def fresh(task: Task, seed: int = 0) -> Reply:
    """Replies with new random configurations."""
    rng = np.random.default_rng(seed)
    return lambda request: written(task, task.space.sample(1, rng)[0])


def in_turn(*texts: str | Completion) -> Reply:
    """Replies with these one after the other, again and again."""
    position = iter(_forever(texts))
    return lambda request: next(position)


def _forever(texts: Any) -> Iterator[Any]:
    while True:
        yield from texts


class Chat:
    """A method at work.

    Attributes:
        asked: the requests for completions so far, each by itself.
        batches: how many of them went out together.
        trials: the requests for trials so far.
    """

    def __init__(
        self,
        name: str,
        task: Task,
        propose: Reply,
        *,
        predict: Reply = lambda request: "0.5",
        classify: Reply = lambda request: "1",
        loss: Callable[[int], float] = lambda i: -0.5,
        seed: int = 0,
        **parameters: Any,
    ) -> None:
        entry = OPTIMIZERS[name]
        self.task = task
        self.program = entry.function(task, np.random.default_rng(seed), **entry.resolve(parameters))
        self.replies = {"propose": propose, "predict": predict, "classify": classify}
        self.loss = loss
        self.asked: list[Complete] = []
        self.batches: list[int] = []
        self.trials: list[Evaluate | Waste] = []
        self._answer: Any = None

    def run(self, n: int = 1) -> list[Evaluate | Waste]:
        """The next n trials."""
        while n > 0:
            request: Any = self.program.send(self._answer)
            if isinstance(request, Evaluate | Waste):
                n -= 1
                self._answer = self._evaluated(request)
                self.trials.append(request)
            elif isinstance(request, Complete):
                self._answer = self._completed([request])[0]
            else:
                self._answer = self._completed(request)
        return self.trials

    def of(self, purpose: str) -> list[Complete]:
        """What was asked with this purpose."""
        return [request for request in self.asked if request.purpose == purpose]

    def prompts(self, purpose: str) -> list[str]:
        """The same, as texts."""
        return [request.messages[0].content for request in self.of(purpose)]

    def _completed(self, requests: list[Complete]) -> list[list[Completion]]:
        self.asked += requests
        self.batches.append(len(requests))
        return [[self._reply(request, i) for i in range(request.n)] for request in requests]

    def _reply(self, request: Complete, i: int) -> Completion:
        reply = self.replies[request.purpose](request)
        if isinstance(reply, Completion):
            return reply
        return Completion(reply, "stop", 1, 1, 0.0, where=f"{len(self.batches)}.{request.attempt}.{i}")

    def _evaluated(self, request: Evaluate | Waste) -> Evaluated:
        if isinstance(request, Waste):
            return Evaluated(np.full((1, self.task.space.d), np.nan), np.array([np.nan]))
        assert len(request.configurations) == 1
        assert self.task.space.legal(request.configurations).all()
        return Evaluated(request.configurations, np.array([self.loss(len(self.trials))]))
