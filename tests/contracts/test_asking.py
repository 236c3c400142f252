"""What every optimizer that asks a language model promises; a new one needs no test of its own.

A slot control answers for the model (``optimizers.llm.control``), or somebody whose replies are of no use.
"""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.benchmarks.yahpo.family import available
from surrobench.engine.loop import drive as drive_in_engine
from surrobench.llm.prompt_variants import VARIANTS
from surrobench.optimizers.base import Task
from surrobench.optimizers.llm.control import controlled
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.protocol.requests import Completion, Evaluate, Waste
from surrobench.seeding import stream
from surrobench.space.hyperparameter import Matrix
from tests.optimizers.chatting import engine_run, in_turn, losses_of, play, task_of

NAMES = [name for name, entry in OPTIMIZERS.items() if entry.prompts]
TABLES = ("hpobench/mlp/car", "hpolib/fcnet/protein_structure", "nasbench201/cell/cifar10")
SURROGATES = ("yahpo/lcbench/167168", "yahpo/rbv2_xgboost/16")
NO_NUMBERS = ("llambo-optunahub", "nasbench201/cell/cifar10")
"""It hides categorical hyperparameters from the model, and there are no others; tested elsewhere."""
N = 16
USELESS = ("", "no", "{}", "[1, 2", '{"x1": 1e999, "width": "wide"}', "0.1.2", '{"a": {"a": 1}} 17', "\ud7ff")


def places(name):
    return [where for where in (*TABLES, *SURROGATES) if (name, where) != NO_NUMBERS]


def task_in(where, initial=None, losses=(), **more) -> Task:
    return task_of(where, initial, losses, horizon=N, **more)


def design(where, n) -> tuple[Matrix, Matrix]:
    """Configurations and losses of a granted design."""
    X = benchmark(where).space.sample(n, np.random.default_rng(9))
    return X, losses_of(where, X)


def trials_of(program, task, where, n, fails=lambda i, source: False) -> list[Evaluate | Waste]:
    """Its first n trials, all legal; a completion that nobody has answered gets one that is of no use."""
    return play(program, task, useless(), n, lambda X: losses_of(where, X), fails).trials


def useless():
    """Each text with each reason why it ends there."""
    finishes = ("stop", "length", "refusal")
    return in_turn(
        *(Completion(USELESS[i % len(USELESS)], finishes[i % 3], 1, 1, 0.0) for i in range(3 * len(USELESS)))
    )


def at_work(name, task, where, seed=0, control="random"):
    entry = OPTIMIZERS[name]
    steps = entry.function(task, stream("optimizer", where, name, seed), **entry.resolve({}))
    if control is None:
        return steps
    return controlled(steps, task, control, stream("control", where, name, seed))


def digest(trials) -> str:
    X = np.concatenate([trial.configurations for trial in trials])
    return hashlib.sha256(np.where(np.isnan(X), -1.0, X).tobytes()).hexdigest()


@cache
def usual(name, where, seed=0) -> str:
    task = task_in(where)
    return digest(trials_of(at_work(name, task, where, seed), task, where, N))


def pairs(*among):
    return pytest.mark.parametrize(
        ("name", "where"),
        [
            pytest.param(name, where, marks=[pytest.mark.yahpo] if where in SURROGATES else [])
            for name in NAMES
            for where in places(name)
            if where in among
        ],
    )


each_optimizer = pytest.mark.parametrize("name", NAMES)
in_three_kinds_of_space = pairs(TABLES[0], TABLES[2], SURROGATES[1])
"""A grid of numbers; categories alone; ranges, categories and conditions."""
in_two_kinds_of_space = pairs(TABLES[0], SURROGATES[1])
"""A grid of numbers; ranges, categories and conditions."""


@in_three_kinds_of_space
def test_the_same_seed_gives_the_same_trials_and_another_seed_others(name, where):
    task = task_in(where)
    again = digest(trials_of(at_work(name, task, where), task, where, N))
    assert again == usual(name, where) != usual(name, where, seed=1)


def test_the_same_seed_gives_the_same_trials_in_a_fresh_process():
    printed = subprocess.run(
        [sys.executable, "-m", "tests.contracts.test_asking"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    ).stdout
    assert json.loads(printed) == {name: usual(name, TABLES[0]) for name in NAMES}


@in_two_kinds_of_space
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_prompt_variant_is_understood(name, where, variant):
    task = task_in(where, variant=variant)
    trials = trials_of(at_work(name, task, where), task, where, N)
    assert all(isinstance(trial, Evaluate) for trial in trials)
    assert {verdict.rpartition(":")[2] for verdict in task.answers} <= {"valid", "duplicate"}


@in_two_kinds_of_space
@pytest.mark.parametrize("invalid", ["waste", "retry:2", "clip"])
def test_a_model_whose_replies_are_of_no_use_costs_the_budget_and_is_never_credited(name, where, invalid):
    task = task_in(where, invalid=invalid)
    trials = trials_of(at_work(name, task, where, control=None), task, where, N)
    evaluated = [trial for trial in trials if isinstance(trial, Evaluate)]
    if invalid != "clip":
        assert "llm" not in {trial.source for trial in evaluated}
    assert not [kind for kind in task.answers if kind == "propose:valid" and invalid != "clip"]


@each_optimizer
def test_the_speakers_of_a_chat_alternate_and_say_something(name):
    task = task_in(TABLES[0], invalid="retry:2")
    chat = play(at_work(name, task, TABLES[0], control=None), task, useless(), N)
    chats = [question.messages for question in chat.questions]
    assert any(question.attempt for question in chat.questions) == (name != "llambo-optunahub")
    for messages in chats:
        assert all(message.content.strip() for message in messages)
        assert all(one.role != other.role for one, other in itertools.pairwise(messages))
        assert messages[-1].role == "user"


@in_two_kinds_of_space
@pytest.mark.parametrize(
    "fails",
    [lambda i, source: i % 3 == 0, lambda i, source: i < 7, lambda i, source: True],
    ids=["some", "first", "all"],
)
def test_failed_evaluations_are_survived(name, where, fails):
    task = task_in(where)
    assert len(trials_of(at_work(name, task, where), task, where, N, fails)) == N


@in_three_kinds_of_space
@pytest.mark.parametrize("granted", [1, 12])
def test_a_granted_initial_design_is_accepted(name, where, granted):
    X, losses = design(where, granted)
    task = task_in(where, X.copy(), losses.copy())
    trials_of(at_work(name, task, where), task, where, N)
    assert np.array_equal(task.initial.configurations, X, equal_nan=True)
    assert np.array_equal(task.initial.losses, losses)


@each_optimizer
def test_an_initial_design_that_failed_is_accepted(name):
    X, losses = design(TABLES[0], 3)
    task = task_in(TABLES[0], X, np.full_like(losses, np.nan))
    assert len(trials_of(at_work(name, task, TABLES[0]), task, TABLES[0], N)) == N


@each_optimizer
@pytest.mark.parametrize("initial", ["default", "random:3", "none"])
def test_in_the_engine_every_run_spends_its_budget(name, initial):
    there = [where for where in places(name) if where in TABLES or where.split("/")[1] in available()]
    runs = [engine_run(name, where, "random", 9, initial) for where in there]
    outcomes = []
    drive_in_engine(runs, outcomes.append)
    assert [(outcome.state, outcome.share.sum()) for outcome in outcomes] == [("ok", 9.0)] * len(there)


@each_optimizer
def test_its_parameters_are_keywords_with_defaults_that_json_can_hold(name):
    parameters = OPTIMIZERS[name].resolve({})
    assert json.loads(json.dumps(parameters)) == parameters
    assert OPTIMIZERS[name].summary


if __name__ == "__main__":  # a fresh process, for the test above
    print(json.dumps({name: usual(name, TABLES[0]) for name in NAMES}))
