"""Samplers of Optuna as optimizers: by name, and made by a function of a user's file."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from surrobench.engine.loop import drive
from surrobench.errors import SuiteError, UnknownName, UsageError
from surrobench.optimizers.registry import optimizer
from surrobench.plan.planning import plan
from surrobench.suite.loading import parse_suite
from tests.studies import MLP, suite_text

CONDITIONAL = "yahpo/rbv2_xgboost/40981"


def outcomes(tables: str, *, folder: Path | None = None, benchmark: str = MLP, trials: int = 25):
    """What each method of a suite came to, by its label."""
    text = suite_text(benchmark, trials=trials, seeds=1, name="samplers") + tables
    ended = []
    drive([run for run in plan(parse_suite(text, folder=folder)) if run.method != "random"], ended.append)
    return {outcome.run.method: outcome for outcome in ended}


def tables(**methods: str) -> str:
    return "".join(f'[optimizers.{label}]\nmethod = "{name}"\n' for label, name in methods.items())


@pytest.mark.parametrize("id_", [MLP, pytest.param(CONDITIONAL, marks=pytest.mark.yahpo)])
def test_tpe_of_optuna_makes_the_trials_of_ours(id_: str) -> None:
    ended = outcomes(tables(tpe="tpe", theirs="optuna:TPESampler"), benchmark=id_, trials=40)
    ours, theirs = ended["tpe"], ended["theirs"]
    assert (theirs.state, theirs.n) == ("ok", 40)
    assert np.isnan(theirs.configurations).any() == (id_ == CONDITIONAL)
    np.testing.assert_array_equal(theirs.configurations, ours.configurations)


@pytest.mark.parametrize("name", ["CmaEsSampler", "NSGAIISampler", "QMCSampler", "RandomSampler"])
@pytest.mark.parametrize("id_", [MLP, pytest.param(CONDITIONAL, marks=pytest.mark.yahpo)])
def test_samplers_fill_their_budget_and_repeat_themselves(name: str, id_: str) -> None:
    first, second = (outcomes(tables(theirs=f"optuna:{name}"), benchmark=id_)["theirs"] for _ in range(2))
    assert (first.state, first.n, first.error) == ("ok", 25, "")
    np.testing.assert_array_equal(first.configurations, second.configurations)


@pytest.mark.yahpo
def test_cma_es_of_optuna_searches() -> None:
    """After a dozen generations its trials are far better than its first ones."""
    ended = outcomes(tables(theirs="optuna:CmaEsSampler"), benchmark="yahpo/lcbench/167168", trials=150)[
        "theirs"
    ]
    accuracies = ended.score
    assert np.median(accuracies[-20:]) > np.median(accuracies[:20]) + 5


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_the_gaussian_process_of_optuna_makes_the_trials_of_ours() -> None:
    ended = outcomes(tables(ours="optuna-gp", theirs="optuna:GPSampler"), trials=14)
    np.testing.assert_array_equal(ended["theirs"].configurations, ended["ours"].configurations)


def test_parameters_reach_the_constructor() -> None:
    names = tables(few="optuna:TPESampler", ours="tpe")
    few = names.replace("[optimizers.ours]", "parameters.n_startup_trials = 3\n[optimizers.ours]")
    ended = outcomes(few + "parameters.startup = 3\n")
    assert ended["few"].run.parameters["n_startup_trials"] == 3
    np.testing.assert_array_equal(ended["few"].configurations, ended["ours"].configurations)


def test_a_granted_start_is_told() -> None:
    """Ten granted trials are the ten that TPE wants before its model: it proposes at once."""
    text = suite_text(trials=11, seeds=1, name="samplers", head='initial = "random:10"')
    text += tables(told="optuna:TPESampler", ours="tpe", blind="optuna:RandomSampler")
    ended = {}
    drive(plan(parse_suite(text)), lambda outcome: ended.update({outcome.run.method: outcome.configurations}))
    np.testing.assert_array_equal(ended["told"], ended["ours"])
    assert not np.array_equal(ended["told"][-1], ended["blind"][-1])


def test_a_sampler_that_has_visited_everything_ends_its_run() -> None:
    ended = outcomes(tables(all="optuna:BruteForceSampler"), benchmark="nasbench201/cell/cifar10", trials=30)
    assert (ended["all"].state, ended["all"].n) == ("ok", 30)
    assert len(np.unique(ended["all"].configurations, axis=0)) == 30


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("optuna:CmaEsSamplr", "", "Unknown sampler of Optuna 'CmaEsSamplr'. Did you mean 'CmaEsSampler'?"),
        ("optuna:BaseSampler", "", "is no sampler class"),
        ("optuna:nsgaii.BaseCrossover", "", "is no sampler class"),
        ("optuna:TPESampler", "n_startup = 3", "Did you mean 'n_startup_trials'?"),
        ("optuna:TPESampler", 'n_startup_trials = "many"', "n_startup_trials must be a whole number"),
        ("optuna:TPESampler", "seed = 3", "The seed of TPESampler is the run's"),
        ("optuna:NSGAIISampler", "population_size = 1", "NSGAIISampler refuses its parameters"),
        ("optuna:GridSampler", "", "'search_space' of GridSampler has no default"),
    ],
)
def test_what_is_wrong_is_said_when_the_suite_is_read(name: str, parameters: str, message: str) -> None:
    text = tables(theirs=name) + (f"parameters.{parameters}\n" if parameters else "")
    with pytest.raises(SuiteError, match=re.escape(message)) as caught:
        outcomes(text)
    assert "\n" not in str(caught.value)


def test_dotted_paths_name_samplers_below_the_package() -> None:
    assert optimizer("optuna:nsgaii._sampler.NSGAIISampler").summary == "NSGAIISampler of Optuna"
    assert optimizer("optuna:optuna.samplers.TPESampler").summary == "TPESampler of Optuna"
    with pytest.raises(UnknownName):
        optimizer("optuna:os.path")


# ---------------------------------------------------------------------- made by a user's function

MAKERS = """\
import optuna

def make_sampler(seed, *, startup=2):
    return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=startup)

def from_task(task, rng):
    return optuna.samplers.TPESampler(seed=int(rng.integers(2**32)))

class Mine(optuna.samplers.RandomSampler):
    pass

def wrapped(seed):
    fixed = {"depth": 1}
    return optuna.samplers.PartialFixedSampler(fixed, optuna.samplers.RandomSampler(seed=seed))
"""


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", ["make_sampler", "from_task", "Mine", "wrapped"])
def test_a_function_of_a_file_makes_a_sampler(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.py").write_text(MAKERS)
    ended = outcomes(tables(mine=f"./mine.py:{name}"), folder=tmp_path)["mine"]
    assert (ended.state, ended.n, ended.error) == ("ok", 25, "")
    assert len(np.unique(ended.configurations, axis=0)) > 20
    if name == "wrapped":  # depth is the third of its hyperparameters; the first trial is the default
        assert set(ended.configurations[1:, 2]) == {1.0}


def test_a_function_that_takes_neither_task_nor_seed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def make(n):\n    return n\n")
    with pytest.raises(UsageError, match="task and rng, or seed alone"):
        optimizer(f"{tmp_path / 'mine.py'}:make")
