"""What every optimizer that needs no model proposes is legal, on every search space that we have."""

from functools import cache
from itertools import count
from pathlib import Path

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from surrobench.benchmarks.base import Objective, TaskCard
from surrobench.benchmarks.registry import scenario
from surrobench.benchmarks.yahpo.data import find_folder, read_facts, shipped
from surrobench.benchmarks.yahpo.surrogate import Surrogate
from surrobench.optimizers.base import Task
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.protocol.budget import UNLIMITED
from surrobench.protocol.requests import Compute, Evaluate, Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace
from tests.space.test_search_space import random_space

NAMES = [
    name
    for name, entry in OPTIMIZERS.items()
    if entry.prompts is entry.reads is None and not entry.multi_fidelity and entry.available
]
CHEAP = [name for name in NAMES if OPTIMIZERS[name].seconds <= 1e-3]
TABLES = ("hpobench/mlp", "hpolib/fcnet", "nasbench201/cell")
FOLDER = find_folder() or Path("nowhere")
YAHPO = tuple(
    f"yahpo/{name}" for name in shipped()["scenarios"] if (FOLDER / name / "config_space.json").is_file()
)
MADE_UP = ("awkward", "tiny")
FEW = ("awkward", "yahpo/rbv2_super")  # for methods that take long


@cache
def space_called(name) -> SearchSpace:
    if name in MADE_UP:
        return {"awkward": awkward, "tiny": tiny}[name]()
    if name.startswith("yahpo/"):  # a space is there without a network
        short = name.removeprefix("yahpo/")
        return Surrogate(short, FOLDER, read_facts(FOLDER, short)).space
    return scenario(name).space


def awkward() -> SearchSpace:
    """Every kind of hyperparameter and of condition; names in no helpful order."""
    config_space = CS.ConfigurationSpace()
    model = CS.CategoricalHyperparameter("model", ["linear", "tree", "net"], weights=[0.9, 0.06, 0.04])
    early = CS.CategoricalHyperparameter("early", [True, False])
    depth = CS.UniformIntegerHyperparameter("depth", 1, 10, log=True)
    layers = CS.UniformIntegerHyperparameter("layers", 1, 3)
    width = CS.OrdinalHyperparameter("a_width", [16, 32, 64, 128], meta={"log": True})
    patience = CS.UniformIntegerHyperparameter("patience", 2, 5000, log=True)
    decay = CS.UniformFloatHyperparameter("decay", 1e-6, 1.0, log=True)
    momentum = CS.UniformFloatHyperparameter("momentum", -1.0, 1.0)
    solver = CS.Constant("b_solver", "adam")
    rounds = CS.Constant("rounds", 4)
    config_space.add(model, early, depth, layers, width, patience, decay, momentum, solver, rounds)
    config_space.add(
        CS.InCondition(depth, model, ["tree", "net"]),
        CS.EqualsCondition(layers, model, "net"),
        CS.AndConjunction(CS.EqualsCondition(width, model, "net"), CS.GreaterThanCondition(width, layers, 1)),
        CS.OrConjunction(
            CS.EqualsCondition(patience, early, True), CS.LessThanCondition(patience, decay, 1e-3)
        ),
        CS.EqualsCondition(solver, model, "net"),  # a constant that is not always there
        CS.NotEqualsCondition(momentum, model, "tree"),
    )
    return SearchSpace(config_space)


def tiny() -> SearchSpace:
    """Two configurations."""
    config_space = CS.ConfigurationSpace({"c": ["a", "b"]})
    config_space.add(CS.Constant("k", 1))
    return SearchSpace(config_space)


def proposals(name, space, n, *, granted=0, fails=False, best_at=0.3, seed=0, horizon=None):
    """The first n configurations proposed, or fewer; the losses are made up."""
    rng = np.random.default_rng(seed)

    def evaluate(X):
        losses = np.nanmean((space.to_unit(X) - best_at) ** 2, axis=1)
        losses[rng.random(len(X)) < (1 / 3 if fails else 0)] = np.nan
        return Evaluated(X, losses)

    task = Task(
        space=space,
        objective=Objective("loss", True, "loss"),
        card=TaskCard("made up", "made up", "regression", 100, 3, None, "loss", True),
        default=space.default,
        initial=evaluate(space.sample(granted, rng)),
        horizon=horizon or n,
    )
    entry = OPTIMIZERS[name]
    program = entry.function(task, stream("optimizer", "test_spaces", name, seed), **entry.resolve({}))
    X, answer = np.empty((0, space.d)), None
    for _ in count():
        try:
            request = program.send(answer)
        except StopIteration:
            break
        if isinstance(request, Compute):
            answer = request.alone()
            continue
        assert isinstance(request, Evaluate)
        asked = request.configurations
        asked = space.from_unit(asked) if request.unit else asked
        X = np.concatenate([X, asked])
        if len(X) >= n:
            break
        answer = evaluate(asked)
    program.close()
    return X[:n]


def trials(name) -> int:
    """As many as a tenth of a second allows, by the registry's own figure."""
    return int(np.clip(0.1 / OPTIMIZERS[name].seconds, 6, 60))


def pairs():
    for name in NAMES:
        for where in (*MADE_UP, *TABLES, *YAHPO):
            if OPTIMIZERS[name].seconds < 0.05 or where in FEW:
                marks = [pytest.mark.yahpo] if where in YAHPO else []
                yield pytest.param(name, where, id=f"{name}-{where}", marks=marks)


@pytest.mark.parametrize(("name", "where"), list(pairs()))
@pytest.mark.parametrize("granted", [0, 3])
def test_only_legal_configurations_are_proposed(name, where, granted):
    space, n = space_called(where), trials(name)
    X = proposals(name, space, n, granted=granted, fails=granted > 0)
    assert 0 < len(X) <= n
    assert space.legal(X).all()
    for values in space.decode(X[-4:]):
        CS.Configuration(space.config_space, values=values)  # raises where ConfigSpace calls it illegal


@pytest.mark.parametrize("name", [name for name in NAMES if not OPTIMIZERS[name].uses_horizon])
def test_a_budget_that_limits_nothing_but_time_is_no_obstacle(name):
    assert len(proposals(name, space_called("awkward"), 6, horizon=UNLIMITED)) == 6


@pytest.mark.parametrize("name", CHEAP)
@given(random_space(), st.integers(0, 5), st.integers(0, 2**32))
@settings(max_examples=15)
def test_only_legal_configurations_are_proposed_in_spaces_drawn_at_random(name, config_space, granted, seed):
    space = SearchSpace(config_space)
    assume((space.levels != 1).any())  # or there is nothing to search
    X = proposals(name, space, 40, granted=granted, fails=seed % 2 == 1, seed=seed)
    assert len(X) > 0
    assert space.legal(X).all()


@pytest.mark.parametrize("name", CHEAP)
def test_the_last_value_of_a_hyperparameter_is_found_however_rarely_the_prior_draws_it(name):
    config_space = CS.ConfigurationSpace()
    config_space.add(
        CS.CategoricalHyperparameter("c", list("abc"), weights=[0.7, 0.2, 0.1]),
        CS.UniformIntegerHyperparameter("n", 1, 6, log=True),
        CS.OrdinalHyperparameter("o", [1, 2, 4]),
    )
    space = SearchSpace(config_space)
    X = [proposals(name, space, 60, best_at=0.95, seed=seed) for seed in range(3)]
    columns = space.columns(np.concatenate(X))
    assert {name: values.max() for name, (values, _) in columns.items()} == {"c": "c", "n": 6, "o": 4}
