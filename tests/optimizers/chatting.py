"""Drives a method that asks a language model, with scripted replies and a benchmark's or made-up losses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from surrobench.benchmarks import benchmark
from surrobench.llm.view import Variant, shown_card
from surrobench.optimizers.base import Steps, Task
from surrobench.requests import Complete, Completion, Evaluate, Evaluated, Waste
from surrobench.space import Matrix

CAR = "hpobench/mlp/car"
XGBOOST = "yahpo/rbv2_xgboost/16"
EVERYWHERE: tuple[Variant, ...] = ("full", "no-dataset", "anonymous", "misleading")

INVALID = {
    "unparsable": ("I am not sure.", "stop"),
    "missing": ('{"width": 16}', "stop"),
    "unknown-name": ('{"widht": 16}', "stop"),
    "out-of-range": ('{"width": 99999}', "stop"),
    "truncated": ('{"width": ', "length"),
    "refused": ("", "refusal"),
}
"""Replies about ``CAR`` that are no configuration, by their defect."""


def task(
    id_: str = CAR,
    *,
    invalid: str = "waste",
    initial: Matrix | None = None,
    losses: Any = (),
    variant: Variant = "full",
    horizon: int = 100,
) -> Task:
    where = benchmark(id_)
    X = np.empty((0, where.space.d)) if initial is None else initial
    return Task(
        space=where.space,
        objective=where.objective,
        card=shown_card(where.card, variant),
        default=where.scenario.default(),
        initial=Evaluated(X, np.asarray(losses, dtype=float)),
        horizon=horizon,
        invalid=invalid,
        variant=variant,
    )


def samples(of: Task, n: int, seed: int = 0) -> Matrix:
    return of.space.sample(n, np.random.default_rng(seed))


def losses_of(id_: str, X: Matrix) -> Matrix:
    where = benchmark(id_)
    return where.objective.sign * where.evaluate(X)[where.objective.name]


def shown(of: Task, x: Matrix) -> str:
    """A configuration as the model sees and writes it."""
    return json.dumps(of.shown.write(x))


def said(*texts: str, finish: Any = "stop") -> list[Completion]:
    return [Completion(text, finish, 10, 5, 0.1, where=f"0.0.{i}") for i, text in enumerate(texts)]


@dataclass
class Played:
    """What a method asked for: its questions, and its trials, the answers included."""

    questions: list[Complete] = field(default_factory=list)
    trials: list[Evaluate | Waste] = field(default_factory=list)
    X: list[Matrix] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    ended: bool = False

    @property
    def prompts(self) -> list[str]:
        """The last message of every question."""
        return [question.messages[-1].content for question in self.questions]

    @property
    def sources(self) -> list[str]:
        return [trial.source for trial in self.trials]


def play(
    program: Steps,
    of: Task,
    reply: Callable[[Complete], list[Completion]],
    n: int,
    loss: Callable[[Matrix], Matrix] = lambda X: np.nansum(X, axis=1),
) -> Played:
    """Up to n trials; one of several rows counts as so many, cut at n as the engine does."""
    played, answer = Played(), None
    while len(played.X) < n:
        try:
            request = program.send(answer)
        except StopIteration:
            played.ended = True
            return played
        if isinstance(request, Complete):
            played.questions.append(request)
            answer = reply(request)
            assert len(answer) == request.n
            continue
        if isinstance(request, Waste):
            played.trials.append(request)
            X, losses = np.full((1, of.space.d), np.nan), np.full(1, np.nan)
        else:
            assert isinstance(request, Evaluate)
            X = request.configurations
            assert of.space.legal(X).all()
            played.trials += [replace(request, configurations=x[None, :]) for x in X]
            losses = np.asarray(loss(X), dtype=float)
        played.X += list(X)
        played.losses += losses.tolist()
        answer = Evaluated(X, losses)
    program.close()
    del played.X[n:], played.losses[n:], played.trials[n:]
    return played


def drawing(of: Task, seed: int = 0) -> Callable[[Complete], list[Completion]]:
    """A model that proposes at random, always validly, as many configurations as are asked for."""
    rng = np.random.default_rng(seed)

    def reply(request: Complete) -> list[Completion]:
        texts = []
        for _ in range(request.n):
            X = [of.shown.write(x) for x in of.space.sample(request.configurations, rng)]
            texts.append(json.dumps(X if request.configurations > 1 else X[0]))
        return said(*texts)

    return reply
