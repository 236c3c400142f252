"""What every optimizer of the registry that needs no model promises; a new one needs no test of its own."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest

from surrobench.benchmarks.base import Fidelity, Objective, TaskCard
from surrobench.benchmarks.registry import benchmark
from surrobench.benchmarks.yahpo.family import available
from surrobench.engine.loop import drive as drive_in_engine
from surrobench.errors import UsageError
from surrobench.optimizers.base import Task
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.plan.run import Run
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace
from tests.optimizers.driving import Loss, drive, epochs, share

NAMES = [name for name, entry in OPTIMIZERS.items() if entry.prompts is entry.reads is None]
VARIES = [name for name in NAMES if OPTIMIZERS[name].multi_fidelity]
HERE = [name for name in NAMES if OPTIMIZERS[name].available]
SLOW = {"smac": 12, "gp": 4}
"""Trials in a run here of a method that takes long: enough for its model to propose some of them."""
TABLES = ("hpobench/mlp/car", "hpolib/fcnet/protein_structure", "nasbench201/cell/cifar10")
SURROGATES = ("yahpo/lcbench/167168", "yahpo/rbv2_xgboost/16")
MADE_UP = {"mixed": (), "mixed with epochs": (epochs(9),), "mixed with a share": (share(),)}
N = 20


def places(name: str) -> tuple[str, ...]:
    """Where an optimizer is tried: a slow one in two places, one that varies a fidelity where one is."""
    if name in VARIES:
        return ("mixed with epochs", "mixed with a share", *SURROGATES)
    return (TABLES[0], "mixed") if name in SLOW else (*TABLES, "mixed")


def length(name: str) -> int:
    """How many trials show what an optimizer does: with fidelities, more than one sweep of its brackets."""
    return 80 if name in VARIES else SLOW.get(name, N)


@dataclass(frozen=True)
class Place:
    """Somewhere to optimize: a benchmark, or a made-up function of a made-up space."""

    space: SearchSpace
    objective: Objective
    card: TaskCard
    default: Matrix
    loss: Loss
    fidelities: tuple[Fidelity, ...] = ()


@cache
def place(name: str) -> Place:
    if name in MADE_UP:
        return mixed(MADE_UP[name])
    where = benchmark(name)

    def loss(X, fidelity=None):
        return where.objective.sign * where.evaluate(X, fidelity=fidelity)[where.objective.name]

    default, fidelities = where.scenario.default(), where.scenario.fidelities
    return Place(where.space, where.objective, where.card, default, loss, fidelities)


def mixed(fidelities: tuple[Fidelity, ...]) -> Place:
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

    def loss(X, fidelity=None):
        U = space.to_unit(X)
        error = np.nanmean(U, axis=1) / sum(fidelity.values()) if fidelity else 0.0
        return np.nansum((U - 0.3) ** 2, axis=1) + error

    card = TaskCard("boosting", "made up", "regression", 100, 3, None, "loss", True)
    return Place(space, Objective("loss", True, "loss"), card, space.default, loss, fidelities)


def proposals(name, where, n=None, *, seed=0, horizon=None, initial=None, fails=None) -> Matrix:
    """Up to n configurations that an optimizer proposes; ``fails`` tells which trials observe nothing.

    Legal fidelities, and training that goes on only from where it has been, are checked by ``drive``.
    """
    at, entry = place(where), OPTIMIZERS[name]
    n = n or length(name)
    task = Task(
        space=at.space,
        objective=at.objective,
        card=at.card,
        default=at.default,
        initial=initial or Evaluated(np.empty((0, at.space.d)), np.empty(0)),
        horizon=horizon or n,
        fidelities=at.fidelities,
        workers=4,
    )
    program = entry.function(task, stream("optimizer", where, name, seed), **entry.resolve({}))
    trials = drive(program, task, at.loss, n, lambda i: bool(fails) and fails(i, n))
    return np.array([trial.x for trial in trials])


@cache
def usual(name, where) -> Matrix:
    """What the optimizer proposes when nothing is special."""
    return proposals(name, where)


def design(where, n, seed=9) -> Evaluated:
    at = place(where)
    X = at.space.sample(n, np.random.default_rng(seed))
    return Evaluated(X, at.loss(X, None))


def digest(X) -> str:
    return hashlib.sha256(np.where(np.isnan(X), -1.0, X).tobytes()).hexdigest()


def tried_here() -> list[tuple[str, str]]:
    """Each optimizer that is available with each of its places whose data is here."""
    there = {where for where in SURROGATES if where.split("/")[1] in available()}
    return [
        (name, where) for name in HERE for where in places(name) if where in there or where not in SURROGATES
    ]


def case(name, *more, marks=()):
    """A case of a test, skipped with the reason where the method's library is not installed."""
    entry = OPTIMIZERS[name]
    missing = pytest.mark.skipif(not entry.available, reason=f"{name} is unavailable: {entry.remedy}")
    return pytest.param(name, *more, marks=[missing, *marks])


def pairs(names: list[str]) -> pytest.MarkDecorator:
    """Each optimizer in each of its places."""
    return pytest.mark.parametrize(
        ("name", "where"),
        [
            case(name, where, marks=[pytest.mark.yahpo] if where in SURROGATES else [])
            for name in names
            for where in places(name)
        ],
    )


each_optimizer = pytest.mark.parametrize("name", [case(name) for name in NAMES])
each_pair = pairs(NAMES)


@each_pair
def test_only_legal_configurations_are_proposed(name, where):
    X = usual(name, where)
    assert 0 < len(X) <= length(name)
    assert place(where).space.legal(X).all()


@each_pair
def test_the_same_seed_gives_the_same_trials_and_another_seed_others(name, where):
    first = digest(usual(name, where))
    assert digest(proposals(name, where)) == first
    assert digest(proposals(name, where, seed=1)) != first


def test_the_same_seed_gives_the_same_trials_in_a_fresh_process():
    printed = subprocess.run(
        [sys.executable, "-m", "tests.contracts.test_optimizers"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "1"},  # here it is another, drawn at random
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=200,
    ).stdout
    here = {f"{name} on {where}": digest(usual(name, where)) for name, where in tried_here()}
    assert json.loads(printed) == here


@pairs([name for name in NAMES if not OPTIMIZERS[name].uses_horizon])
def test_a_larger_budget_extends_the_trials_of_a_smaller_one(name, where):
    short, long = usual(name, where), proposals(name, where, length(name) + 6, horizon=3 * length(name))
    assert np.array_equal(long[: len(short)], short, equal_nan=True)
    assert len(long) > len(short)


@each_pair
@pytest.mark.parametrize(
    "fails",
    [lambda i, n: i % 3 == 0, lambda i, n: i < 0.6 * n, lambda i, n: True],
    ids=["some", "first", "all"],
)
def test_failed_evaluations_are_survived(name, where, fails):
    X = proposals(name, where, fails=fails)
    assert len(X) == len(usual(name, where))
    assert place(where).space.legal(X).all()


@each_pair
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
    where = "mixed with epochs" if name in VARIES else "mixed"
    initial = design(where, 3)
    initial.losses[failed] = np.nan
    assert place(where).space.legal(proposals(name, where, initial=initial)).all()


@each_optimizer
@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_the_smallest_budgets_are_spent(name, horizon):
    where = "mixed with epochs" if name in VARIES else "hpobench/mlp/car"
    assert len(proposals(name, where, horizon)) == horizon


@pytest.mark.parametrize("name", VARIES)
def test_a_method_that_varies_a_fidelity_says_so_where_there_is_none(name):
    with pytest.raises(UsageError, match=f"^{name} needs a benchmark with a fidelity, such as yahpo/"):
        proposals(name, "mixed")


@pytest.mark.parametrize("name", VARIES)
@pytest.mark.parametrize("workers", [1, 7])
def test_a_method_that_varies_a_fidelity_reaches_the_full_one_with_any_number_of_workers(name, workers):
    at, entry = place("mixed with epochs"), OPTIMIZERS[name]
    nothing = Evaluated(np.empty((0, at.space.d)), np.empty(0))
    task = Task(at.space, at.objective, at.card, at.default, nothing, 100)
    task = replace(task, fidelities=at.fidelities, workers=workers)
    trials = drive(entry.function(task, stream("optimizer", name), **entry.resolve({})), task, at.loss, 100)
    assert len(trials) == 100
    assert {trial.fidelity for trial in trials} == {1, 3, 9}
    assert {trial.source for trial in trials} == {name}


@each_optimizer
def test_its_parameters_are_keywords_with_defaults_that_json_can_hold(name):
    parameters = OPTIMIZERS[name].resolve({})
    assert json.loads(json.dumps(parameters)) == parameters
    assert OPTIMIZERS[name].summary
    assert OPTIMIZERS[name].version >= 1


@each_optimizer
@pytest.mark.parametrize("workers", [1, 4])
def test_in_the_engine_every_run_spends_its_budget_or_says_that_it_stopped(name, workers):
    there = [where for where in SURROGATES if where.split("/")[1] in available()]
    if name in VARIES and not there:
        pytest.skip("no data of YAHPO Gym")
    trials = SLOW.get(name, N) + 5
    usual = TABLES[:1] if name in SLOW else TABLES
    runs = [
        Run(
            id=f"{where}-{initial}",
            benchmark=where,
            method=name,
            optimizer=name,
            parameters=OPTIMIZERS[name].resolve({}),
            model=None,
            seed=0,
            trials=None if name in VARIES else trials,
            equivalents=float(trials),
            initial=initial,
            noise="seeded",
            invalid="waste",
            workers=workers,
        )
        for where in (there if name in VARIES else usual)
        for initial in (("default",) if name in SLOW else ("default", "random:5", "none"))
    ]
    outcomes = []
    drive_in_engine(runs, outcomes.append)
    assert {outcome.run.id for outcome in outcomes} == {run.id for run in runs}
    for outcome in outcomes:
        spent = outcome.share.sum()
        what = f"{outcome.run.id}: {outcome.state} after {spent} equivalents. {outcome.error}"
        if outcome.state == "exhausted":
            assert 0 < spent < trials, what
        else:
            # Less than a full trial may be left where a fidelity varies.
            assert outcome.state == "ok", what
            assert trials - (1 if name in VARIES else 0) <= spent <= trials + 1e-9, what


if __name__ == "__main__":
    print(json.dumps({f"{name} on {where}": digest(proposals(name, where)) for name, where in tried_here()}))
