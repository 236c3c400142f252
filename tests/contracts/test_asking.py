"""What every optimizer that asks a language model promises; a new one needs no test of its own.

A slot control answers for the model (``optimizers.control``), or somebody whose replies are of no use.
"""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from surrobench.benchmarks import benchmark
from surrobench.benchmarks.yahpo import available
from surrobench.engine import drive as drive_in_engine
from surrobench.llm.view import VARIANTS, shown_card
from surrobench.optimizers import OPTIMIZERS
from surrobench.optimizers.base import Task
from surrobench.optimizers.control import CONTROLS, controlled
from surrobench.requests import Complete, Completion, Evaluate, Evaluated, Waste
from surrobench.runs import Run
from surrobench.seeding import stream
from surrobench.space import Matrix

NAMES = [name for name, entry in OPTIMIZERS.items() if entry.prompts]
TABLES = ("hpobench/mlp/car", "hpolib/fcnet/protein_structure", "nasbench201/cell/cifar10")
SURROGATES = ("yahpo/lcbench/167168", "yahpo/rbv2_xgboost/16")
NO_NUMBERS = ("llambo-optunahub", "nasbench201/cell/cifar10")
"""It hides categorical hyperparameters from the model, and there are no others; tested elsewhere."""
N = 16
USELESS = ("", "no", "{}", "[1, 2", '{"x1": 1e999, "width": "wide"}', "0.1.2", '{"a": {"a": 1}} 17', "\ud7ff")


def places(name):
    return [where for where in (*TABLES, *SURROGATES) if (name, where) != NO_NUMBERS]


def task_in(where, initial=None, *, invalid="waste", variant="full") -> Task:
    at = benchmark(where)
    return Task(
        space=at.space,
        objective=at.objective,
        card=shown_card(at.card, variant),
        default=at.scenario.default(),
        initial=initial or Evaluated(np.empty((0, at.space.d)), np.empty(0)),
        horizon=N,
        invalid=invalid,
        variant=variant,
    )


def losses(where, X) -> Matrix:
    at = benchmark(where)
    return at.objective.sign * at.evaluate(X)[at.objective.name]


def design(where, n) -> Evaluated:
    X = benchmark(where).space.sample(n, np.random.default_rng(9))
    return Evaluated(X, losses(where, X))


def trials_of(program, where, n, fails=lambda i: False) -> list[Evaluate | Waste]:
    """Its first n trials, all legal; a completion that nobody has answered gets one that is of no use."""
    space, trials, answer, asked = benchmark(where).space, [], None, 0
    while len(trials) < n:
        request = program.send(answer)
        if isinstance(request, Evaluate):
            assert len(request.configurations) > 0
            assert space.legal(request.configurations).all()
            told = losses(where, request.configurations)
            told[[fails(len(trials) + i) for i in range(len(told))]] = np.nan
            answer = Evaluated(request.configurations, told)
            trials += [request] * len(told)
        elif isinstance(request, Waste):
            assert request.reason
            answer = Evaluated(np.full((1, space.d), np.nan), np.array([np.nan]))
            trials.append(request)
        else:
            batch = [request] if isinstance(request, Complete) else list(request)
            asked += len(batch)
            assert asked < 1000 * n, "it asks for ever"
            replies = [[useless(asked + i) for i in range(part.n)] for part in batch]
            answer = replies[0] if isinstance(request, Complete) else replies
    program.close()
    return trials[:n]


def useless(i) -> Completion:
    finish = ("stop", "length", "refusal")[i % 3]
    return Completion(USELESS[i % len(USELESS)], finish, 1, 1, 0.0)


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
    return digest(trials_of(at_work(name, task_in(where), where, seed), where, N))


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
each_pair = pairs(*TABLES, *SURROGATES)
in_two_kinds_of_space = pairs(TABLES[0], SURROGATES[1])
"""A grid of numbers; ranges, categories and conditions."""


@each_pair
def test_the_same_seed_gives_the_same_trials_and_another_seed_others(name, where):
    again = digest(trials_of(at_work(name, task_in(where), where), where, N))
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
    trials = trials_of(at_work(name, task, where), where, N)
    assert all(isinstance(trial, Evaluate) for trial in trials)
    assert {verdict.rpartition(":")[2] for verdict in task.answers} <= {"valid", "duplicate"}


@in_two_kinds_of_space
@pytest.mark.parametrize("control", CONTROLS)
def test_what_a_slot_control_proposes_is_evaluated_under_its_name(name, where, control):
    trials = trials_of(at_work(name, task_in(where), where, control=control), where, N)
    assert f"control:{control}" in {trial.source for trial in trials}
    assert "llm" not in {trial.source for trial in trials}


@each_pair
@pytest.mark.parametrize("invalid", ["waste", "retry:2", "clip"])
def test_a_model_whose_replies_are_of_no_use_costs_the_budget_and_is_never_credited(name, where, invalid):
    task = task_in(where, invalid=invalid)
    trials = trials_of(at_work(name, task, where, control=None), where, N)
    evaluated = [trial for trial in trials if isinstance(trial, Evaluate)]
    if invalid != "clip":
        assert "llm" not in {trial.source for trial in evaluated}
    assert not [kind for kind in task.answers if kind == "propose:valid" and invalid != "clip"]


@in_two_kinds_of_space
@pytest.mark.parametrize(
    "fails", [lambda i: i % 3 == 0, lambda i: i < 7, lambda i: True], ids=["some", "first", "all"]
)
def test_failed_evaluations_are_survived(name, where, fails):
    trials_of(at_work(name, task_in(where), where), where, N, fails)


@each_pair
@pytest.mark.parametrize("granted", [1, 12])
def test_a_granted_initial_design_is_accepted(name, where, granted):
    initial = design(where, granted)
    before = initial.configurations.copy(), initial.losses.copy()
    trials_of(at_work(name, task_in(where, initial), where), where, N)
    assert np.array_equal(initial.configurations, before[0], equal_nan=True)
    assert np.array_equal(initial.losses, before[1])


@each_optimizer
def test_an_initial_design_that_failed_is_accepted(name):
    initial = design(TABLES[0], 3)
    initial.losses[:] = np.nan
    trials_of(at_work(name, task_in(TABLES[0], initial), TABLES[0]), TABLES[0], N)


@each_optimizer
@pytest.mark.parametrize("initial", ["default", "random:3", "none"])
def test_in_the_engine_every_run_spends_its_budget(name, initial):
    there = [where for where in places(name) if where in TABLES or where.split("/")[1] in available()]
    runs = [
        Run(
            id=where,
            benchmark=where,
            method=name,
            optimizer=name,
            parameters=OPTIMIZERS[name].resolve({}),
            model="control:random",
            seed=0,
            trials=9,
            equivalents=None,
            initial=initial,
            noise="seeded",
            invalid="waste",
        )
        for where in there
    ]
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
