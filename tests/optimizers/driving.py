"""Drives an optimizer with made-up answers, in simulated time, and checks that it keeps to its contract."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from surrobench.benchmarks.base import Fidelity
from surrobench.optimizers.base import Steps, Task, computed
from surrobench.protocol.requests import Evaluate, Evaluated, Finished, Next, Submit
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace

Loss = Callable[[Matrix, Mapping[str, float] | None], Matrix]


@dataclass(frozen=True)
class Trial:
    """What was asked for: at which request, which configuration, and at which value of the first fidelity."""

    request: int
    x: Matrix
    fidelity: float | None
    continued_from: float | None
    loss: float
    source: str


def drive(
    program: Steps, task: Task, loss: Loss, n: int, fails: Callable[[int], bool] = lambda i: False
) -> list[Trial]:
    """Up to n trials in the order asked; ``fails`` tells which of them observe nothing."""
    trials: list[Trial] = []
    trained: set[tuple[bytes, float]] = set()  # a configuration has finished at a fidelity
    under_way: list[tuple[float, int, Matrix, float]] = []
    clock, answer, requests = 0.0, None, 0
    program = computed(program)
    while len(trials) < n:
        try:
            request = program.send(answer)
        except StopIteration:
            break
        requests += 1
        if isinstance(request, Next):
            assert under_way, "nothing is under way"
            clock, ticket, x, value = heapq.heappop(under_way)
            finish(trials[ticket], trained)
            answer = Finished(ticket, x, value)
            continue
        single = isinstance(request, Submit)
        if not single:
            assert isinstance(request, Evaluate)
            assert request.configurations.ndim == 2
            assert len(request.configurations) > 0
        asked = request.configuration[None, :] if single else request.configurations
        if not single and request.unit:
            asked = task.space.from_unit(asked)
        at, start = check(task, request.fidelity), request.continued_from
        if start is not None:
            assert task.fidelities[0].resumable
            assert start < at
            assert all((x.tobytes(), start) in trained for x in asked), "it has never been there"
        losses = np.array(loss(asked, request.fidelity))
        losses[[fails(len(trials) + i) for i in range(len(asked))]] = np.nan
        new = [
            Trial(requests, x, at, start, value, request.source)
            for x, value in zip(asked, losses, strict=True)
        ]
        trials += new
        if single:
            x, ticket = asked[0], len(trials) - 1
            seconds = 1.0 if at is None else (at - (start or 0.0)) * (1 + np.nanmean(x))
            heapq.heappush(under_way, (clock + seconds, ticket, x, losses[0]))
            assert len(under_way) <= task.workers
            answer = ticket
        else:
            for trial in new:
                finish(trial, trained)
            answer = Evaluated(asked, losses)
    program.close()
    return trials[:n]


def batches(program: Steps, loss: Callable[[Matrix], Matrix], n: int) -> tuple[list[Matrix], list[Matrix]]:
    """Of an optimizer that only evaluates: the matrices asked for and their losses, until n trials."""
    asked: list[Matrix] = []
    told: list[Matrix] = []
    answer, program = None, computed(program)
    while sum(map(len, asked)) < n:
        try:
            request = program.send(answer)
        except StopIteration:
            break
        assert isinstance(request, Evaluate)
        asked.append(request.configurations)
        told.append(np.asarray(loss(request.configurations), dtype=np.float64))
        answer = Evaluated(asked[-1], told[-1])
    program.close()
    return asked, told


def task(space: SearchSpace, horizon: int = 100, initial: Evaluated | None = None) -> Task:
    """A task on a space, without an objective or a card."""
    nothing = Evaluated(np.empty((0, space.d)), np.empty(0))
    return Task(space, None, None, space.default, initial or nothing, horizon)  # type: ignore[arg-type]


def check(task: Task, fidelity: Mapping[str, float] | None) -> float | None:
    """The value of the first fidelity, if it is legal and the only one named."""
    if fidelity is None:
        return None
    ((name, value),) = fidelity.items()
    known = task.fidelities[0]
    assert name == known.name
    assert known.lower <= value <= known.full
    assert not known.integer or value == int(value)
    return value


def finish(trial: Trial, trained: set[tuple[bytes, float]]) -> None:
    if trial.fidelity is not None:
        trained.add((trial.x.tobytes(), trial.fidelity))


def epochs(full: int = 81, lowest: int = 1, resumable: bool = True) -> Fidelity:
    """A made-up fidelity of integers."""
    return Fidelity("epochs", "epochs of training", 1, full, full, True, (lowest, full), resumable)


def share(lowest: float = 0.03) -> Fidelity:
    """A made-up share of the training data."""
    return Fidelity("share", "share of the data", lowest, 1.0, 1.0, False, (lowest, 1.0))


def rungs(trials: list[Trial]) -> list[tuple[int, float | None]]:
    """(Number of trials, fidelity) of each request."""
    order: dict[int, list[Trial]] = {}
    for trial in trials:
        order.setdefault(trial.request, []).append(trial)
    return [(len(group), group[0].fidelity) for group in order.values()]
