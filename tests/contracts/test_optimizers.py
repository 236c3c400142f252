"""What every optimizer of the registry that needs no model promises; a new one needs no test of its own."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest

from surrobench.benchmarks import benchmark
from surrobench.benchmarks.base import Objective, TaskCard
from surrobench.engine import drive
from surrobench.optimizers import OPTIMIZERS
from surrobench.optimizers.base import Task
from surrobench.requests import Evaluate, Evaluated
from surrobench.runs import Run
from surrobench.seeding import stream
from surrobench.space import Matrix, SearchSpace

NAMES = [name for name, entry in OPTIMIZERS.items() if entry.prompts is None]
HERE = [name for name in NAMES if OPTIMIZERS[name].available]
SLOW = {"smac": 12, "gp": 4}
"""Trials in a run here of a method that takes long: enough for its model to propose some of them."""
TABLES = ("hpobench/mlp/car", "hpolib/fcnet/protein_structure", "nasbench201/cell/cifar10")
PLACES = (*TABLES, "mixed")
N = 20


def length(name) -> int:
    """Trials in a run here."""
    return SLOW.get(name, N)


def seen(name) -> tuple[str, ...]:
    """Where a method is tried: everywhere, or, if it takes long, on one table and on the hardest space."""
    return (TABLES[0], "mixed") if name in SLOW else PLACES


@dataclass(frozen=True)
class Place:
    """Somewhere to optimize: a benchmark, or a made-up function of a made-up space."""

    space: SearchSpace
    objective: Objective
    card: TaskCard
    default: Matrix
    loss: Callable[[Matrix], Matrix]


@cache
def place(name: str) -> Place:
    if name == "mixed":
        return mixed()
    where = benchmark(name)

    def loss(X):
        return where.objective.sign * where.evaluate(X)[where.objective.name]

    return Place(where.space, where.objective, where.card, where.scenario.default(), loss)


def mixed() -> Place:
    """Every kind of hyperparameter, two of them conditional, one of these on the other."""
    config_space = CS.ConfigurationSpace()
    booster = CS.CategoricalHyperparameter("booster", ["tree", "linear", "dart"])
    drop = CS.UniformFloatHyperparameter("drop", 0.1, 0.5)
    skip = CS.UniformIntegerHyperparameter("skip", 1, 5)
    config_space.add(
        CS.UniformFloatHyperparameter("subsample", 0.1, 1.0),
        CS.UniformFloatHyperparameter("eta", 1e-4, 1.0, log=True),
        CS.UniformIntegerHyperparameter("depth", 1, 15),
        CS.UniformIntegerHyperparameter("rounds", 3, 2000, log=True),
        CS.OrdinalHyperparameter("batch", [16, 32, 64, 128], meta={"log": True}),
        CS.Constant("threads", 4),
        booster,
        drop,
        skip,
    )
    config_space.add(
        CS.EqualsCondition(drop, booster, "dart"),
        CS.GreaterThanCondition(skip, drop, 0.2),
    )
    space = SearchSpace(config_space)

    def loss(X):
        return np.nansum((space.to_unit(X) - 0.3) ** 2, axis=1)

    card = TaskCard("boosting", "made up", "regression", 100, 3, None, "loss", True)
    return Place(space, Objective("loss", True, "loss"), card, space.default, loss)


def proposals(name, where, n=None, *, seed=0, horizon=None, initial=None, fails=None) -> Matrix:
    """Up to n configurations that an optimizer proposes; ``fails`` tells which trials observe nothing."""
    at, entry = place(where), OPTIMIZERS[name]
    n = n or length(name)
    task = Task(
        space=at.space,
        objective=at.objective,
        card=at.card,
        default=at.default,
        initial=initial or Evaluated(np.empty((0, at.space.d)), np.empty(0)),
        horizon=horizon or n,
    )
    program = entry.function(task, stream("optimizer", where, name, seed), **entry.resolve({}))
    X, answer = np.empty((0, at.space.d)), None
    while len(X) < n:
        try:
            request = program.send(answer)
        except StopIteration:
            break
        assert isinstance(request, Evaluate)
        assert request.configurations.ndim == 2
        assert len(request.configurations) > 0
        asked = request.configurations
        losses = at.loss(asked)
        if fails:
            losses[[fails(len(X) + i, n) for i in range(len(asked))]] = np.nan
        X = np.concatenate([X, asked])
        answer = Evaluated(asked, losses)
    program.close()
    return X[:n]


@cache
def usual(name, where) -> Matrix:
    """What the optimizer proposes when nothing is special."""
    return proposals(name, where)


def design(where, n, seed=9) -> Evaluated:
    at = place(where)
    X = at.space.sample(n, np.random.default_rng(seed))
    return Evaluated(X, at.loss(X))


def digest(X) -> str:
    return hashlib.sha256(np.where(np.isnan(X), -1.0, X).tobytes()).hexdigest()


def digests() -> dict[str, str]:
    return {f"{name} on {where}": digest(proposals(name, where)) for name in HERE for where in seen(name)}


def case(name, *more):
    """A case of a test, skipped with the reason where the method's library is not installed."""
    entry = OPTIMIZERS[name]
    missing = pytest.mark.skipif(not entry.available, reason=f"{name} is unavailable: {entry.remedy}")
    return pytest.param(name, *more, marks=missing)


each_optimizer = pytest.mark.parametrize("name", [case(name) for name in NAMES])
each_optimizer_and_place = pytest.mark.parametrize(
    ("name", "where"), [case(name, where) for where in PLACES for name in NAMES if where in seen(name)]
)


@each_optimizer_and_place
def test_only_legal_configurations_are_proposed(name, where):
    X = usual(name, where)
    assert 0 < len(X) <= length(name)
    assert place(where).space.legal(X).all()


@each_optimizer_and_place
def test_the_same_seed_gives_the_same_trials_and_another_seed_others(name, where):
    first = digest(usual(name, where))
    assert digest(proposals(name, where)) == first
    assert digest(proposals(name, where, seed=1)) != first


@pytest.fixture(scope="module")
def in_fresh_processes():
    """What two other processes propose, each with a hash seed of its own."""
    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.contracts.test_optimizers"],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    printed = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return [json.loads(text) for text in printed]


@each_optimizer_and_place
def test_the_same_seed_gives_the_same_trials_in_a_fresh_process(name, where, in_fresh_processes):
    here = digest(usual(name, where))
    assert [found[f"{name} on {where}"] for found in in_fresh_processes] == [here, here]


@pytest.mark.parametrize("name", [case(name) for name in NAMES if not OPTIMIZERS[name].uses_horizon])
@pytest.mark.parametrize("where", PLACES)
def test_a_larger_budget_extends_the_trials_of_a_smaller_one(name, where):
    short, long = usual(name, where), proposals(name, where, N + 6, horizon=3 * N)
    assert np.array_equal(long[: len(short)], short, equal_nan=True)
    assert len(long) > len(short)


@each_optimizer_and_place
@pytest.mark.parametrize(
    "fails",
    [lambda i, n: i % 3 == 0, lambda i, n: i < 0.6 * n, lambda i, n: True],
    ids=["some", "first", "all"],
)
def test_failed_evaluations_are_survived(name, where, fails):
    X = proposals(name, where, fails=fails)
    assert len(X) == len(usual(name, where))
    assert place(where).space.legal(X).all()


@each_optimizer_and_place
@pytest.mark.parametrize("granted", [1, 12])
def test_a_granted_initial_design_is_accepted(name, where, granted):
    initial = design(where, granted)
    before = initial.configurations.copy(), initial.losses.copy()
    X = proposals(name, where, initial=initial)
    assert 0 < len(X) <= length(name)
    assert place(where).space.legal(X).all()
    assert np.array_equal(initial.configurations, before[0], equal_nan=True)
    assert np.array_equal(initial.losses, before[1])


@each_optimizer
@pytest.mark.parametrize("failed", [[1], [0, 1, 2]], ids=["one", "all"])
def test_an_initial_design_that_failed_is_accepted(name, failed):
    initial = design("mixed", 3)
    initial.losses[failed] = np.nan
    assert place("mixed").space.legal(proposals(name, "mixed", initial=initial)).all()


@each_optimizer
@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_the_smallest_budgets_are_spent(name, horizon):
    assert len(proposals(name, "hpobench/mlp/car", horizon)) == horizon


@each_optimizer
def test_its_parameters_are_keywords_with_defaults_that_json_can_hold(name):
    parameters = OPTIMIZERS[name].resolve({})
    assert json.loads(json.dumps(parameters)) == parameters
    assert OPTIMIZERS[name].summary
    assert OPTIMIZERS[name].version >= 1


def test_in_the_engine_every_run_spends_its_budget_or_says_that_it_stopped():
    runs = [
        Run(
            id=f"{name}-{where}-{initial}",
            benchmark=where,
            method=name,
            optimizer=name,
            parameters=OPTIMIZERS[name].resolve({}),
            model=None,
            seed=0,
            trials=length(name) + 5,
            initial=initial,
            noise="seeded",
            invalid="waste",
        )
        for name in HERE
        for where in seen(name)
        if where in TABLES
        for initial in ("default", "random:5", "none")
    ]
    outcomes = []
    drive(runs, outcomes.append)
    assert {outcome.run.id for outcome in outcomes} == {run.id for run in runs}
    for outcome in outcomes:
        assert (outcome.state, outcome.n) == ("ok", outcome.run.trials) or (
            outcome.state == "exhausted" and 0 < outcome.n < outcome.run.trials
        ), f"{outcome.run.id}: {outcome.state} after {outcome.n} trials. {outcome.error}"


if __name__ == "__main__":
    print(json.dumps(digests()))
