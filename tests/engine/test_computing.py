"""Requests to compute: all runs' together, and what a run gets is its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from surrobench.engine.answers import answers_of
from surrobench.engine.guard import Guard
from surrobench.engine.loop import drive
from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.requests import Compute, Evaluate, one_by_one
from tests.engine.test_loop import CAR, Register, only, outcomes, register, run_of

__all__ = ["register"]
CALLS: list[int] = []


def halved(states: Any) -> list[float]:
    CALLS.append(len(states))
    if any(state < 0 for state in states):
        raise ValueError("negative")
    return [state / 2 for state in states]


def drawn(states: Any) -> list[Any]:
    return [space.from_unit(draws) for space, draws in states]


@pytest.fixture(autouse=True)
def counted():
    CALLS.clear()


def computes(task: Task, rng: np.random.Generator) -> Steps:
    while True:
        assert (yield Compute(halved, 3.0)) == 1.5
        x = yield Compute(drawn, (task.space, rng.random((1, task.space.d))))
        yield Evaluate(x, source="computed")


def test_the_requests_of_all_runs_are_one_call(register: Register) -> None:
    name = register(computes)
    runs = [run_of(name, seed=seed, trials=4) for seed in range(5)]
    together = outcomes(runs)
    assert {outcome.state for outcome in together.values()} == {"ok"}
    assert CALLS == [5] * 4
    for run in runs:
        alone = only(run)
        assert alone.configurations.tobytes() == together[run.id].configurations.tobytes()
        assert alone.values.tobytes() == together[run.id].values.tobytes()


def test_scenarios_have_calls_of_their_own(register: Register) -> None:
    name = register(computes)
    outcomes([run_of(name, id_=where, trials=2) for where in (CAR, "hpolib/fcnet/protein_structure")])
    assert [1] * len(CALLS) == CALLS


def test_a_run_whose_state_fails_alone_fails_alone(register: Register) -> None:
    def fails(task: Task, rng: np.random.Generator) -> Steps:
        yield Evaluate(task.space.sample(1, rng))
        yield Compute(halved, -1.0)

    good, bad = run_of(register(computes), trials=2), run_of(register(fails), trials=2)
    finished = outcomes([good, bad])
    assert finished[good.id].state == "ok"
    assert finished[bad.id].state == "failed"
    assert finished[bad.id].error.startswith("ValueError: negative (test_computing.py:")
    assert "halved" in finished[bad.id].traceback


def test_a_kernel_that_forgets_a_run_is_a_violation() -> None:
    [answer] = answers_of(lambda states: [], [1], Guard())
    assert "kernel gave 0 answers to 1 states" in str(answer.error)


def test_a_kernel_without_a_form_for_many_is_a_loop() -> None:
    assert [answer.value for answer in answers_of(one_by_one(abs), [-1, 2, -3], Guard())] == [1, 2, 3]
    assert Compute(one_by_one(abs), -4).alone() == 4


def test_computing_is_the_librarys_time_and_thinking(register: Register) -> None:
    run = run_of(register(computes), trials=3)
    finished: list[Any] = []
    timing = drive([replace(run, overhead=True)], finished.append)
    assert timing.library > 0
    assert finished[0].library_seconds == timing.library
    assert finished[0].overhead.sum() >= timing.library * 0.5
