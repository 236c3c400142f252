import copy
import tempfile
from pathlib import Path

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest
from ConfigSpace import Configuration
from smac import BlackBoxFacade, HyperparameterOptimizationFacade, Scenario
from smac.acquisition.maximizer import local_search
from smac.runhistory import StatusType, TrialInfo, TrialValue

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.base import Task
from surrobench.optimizers.classical.gp import gp
from surrobench.optimizers.classical.smac import smac
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace

TABLE = "hpobench/mlp/car"
CONDITIONAL = "yahpo/rbv2_xgboost/3"
FACADES = {smac: HyperparameterOptimizationFacade, gp: BlackBoxFacade}


def rng():
    return stream("optimizer", "test_smac")


def place(id):  # noqa: A002
    where = benchmark(id)

    def loss(X):
        return where.objective.sign * where.evaluate(X)[where.objective.name]

    return where.space, loss


def none(space):
    return Evaluated(np.empty((0, space.d)), np.empty(0))


def ours(space, loss, n, *, method=smac, initial=None):
    """Shape (at most n, d): what our adapter proposes."""
    task = Task(space, None, None, space.default, initial or none(space), horizon=n)
    program, answer, rows = method(task, rng()), None, []
    while len(rows) < n:
        try:
            request = program.send(answer)
        except StopIteration:
            break
        assert request.source == method.__name__
        [row] = request.configurations
        rows.append(row)
        answer = Evaluated(request.configurations, loss(request.configurations))
    program.close()
    return np.array(rows)


@pytest.fixture
def by_hand(monkeypatch, tmp_path):
    """SMAC as its users drive it, with the seed that our adapter gives it, and all settings as they are."""

    class Ordered(set):
        # The one thing that is not the library's: a set of configurations is listed in a fixed order.
        def __iter__(self):
            return iter(
                sorted(super().__iter__(), key=lambda configuration: configuration.get_array().tobytes())
            )

    def drive(space, loss, n, *, method=smac, granted=(), design=None):
        monkeypatch.setattr(local_search, "set", Ordered, raising=False)
        config_space = copy.deepcopy(space.config_space)
        scenario = Scenario(
            config_space,
            output_directory=tmp_path,
            deterministic=True,
            n_trials=n + len(granted),
            seed=int(rng().integers(2**32)),
        )
        facade = FACADES[method]
        chosen = {"initial_design": facade.get_initial_design(scenario, n_configs=design)} if design else {}
        optimizer = facade(scenario, logging_level=False, overwrite=True, **chosen)
        for x, value in granted:
            optimizer.tell(TrialInfo(Configuration(config_space, vector=x), seed=0), TrialValue(value))
        rows, worst, failed = [], -np.inf, []
        for _ in range(n):
            with np.errstate(invalid="ignore"):
                info = optimizer.ask()
            rows.append(info.config.get_array())
            value = loss(rows[-1][None, :])[0]
            if np.isnan(value):
                failed.append(info)
            else:
                optimizer.tell(info, TrialValue(value))
                worst = max(worst, value)
            for crashed in failed if np.isfinite(worst) else ():
                optimizer.tell(crashed, TrialValue(worst, status=StatusType.CRASHED))
        return np.array(rows)

    return drive


@pytest.mark.parametrize(
    ("id", "n"), [(TABLE, 22), pytest.param(CONDITIONAL, 15, marks=pytest.mark.yahpo)], ids=["table", "yahpo"]
)
@pytest.mark.filterwarnings("ignore:Mean of empty slice")  # by hand, where nothing is searched locally
def test_the_trials_are_those_of_smac_driven_by_hand(id, n, by_hand):  # noqa: A002
    space, loss = place(id)
    expected = by_hand(space, loss, n)
    np.testing.assert_allclose(ours(space, loss, n), expected, rtol=0, atol=1e-12)


def test_the_trials_of_the_gaussian_process_are_those_of_smac_driven_by_hand(by_hand):
    space, loss = place(TABLE)
    expected = by_hand(space, loss, 5, method=gp)
    np.testing.assert_allclose(ours(space, loss, 5, method=gp), expected, rtol=0, atol=1e-12)


def test_a_granted_design_is_told_and_takes_the_place_of_smacs_own(by_hand):
    space, loss = place(TABLE)
    X = space.sample(3, np.random.default_rng(0))
    initial = Evaluated(X, loss(X))
    # A quarter of 3 + 17 trials is 5, of which 3 are granted.
    expected = by_hand(space, loss, 17, granted=list(zip(X, initial.losses, strict=True)), design=2)
    proposed = ours(space, loss, 17, initial=initial)
    np.testing.assert_allclose(proposed, expected, rtol=0, atol=1e-12)
    alone = ours(space, loss, 20)
    assert np.array_equal(proposed[:2], alone[:2])
    assert not np.array_equal(proposed[:5], alone[:5])


def test_a_failed_evaluation_is_told_as_crashed_with_the_worst_loss_seen(by_hand):
    space, loss = place(TABLE)

    def failing():
        seen = 0

        def some(X):
            nonlocal seen
            seen += 1
            return np.full(len(X), np.nan) if seen in (1, 2, 4, 8) else loss(X)

        return some

    expected = by_hand(space, failing(), 14)
    np.testing.assert_allclose(ours(space, failing(), 14), expected, rtol=0, atol=1e-12)
    assert not np.array_equal(ours(space, loss, 14), expected)


def test_a_space_with_nothing_left_in_it_ends_the_run():
    space = SearchSpace(CS.ConfigurationSpace({"a": [1, 2], "b": [1, 2, 3]}))
    proposed = ours(space, lambda X: X.sum(axis=1), 30)
    assert 4 <= len(proposed) <= 6
    assert len(np.unique(proposed, axis=0)) == len(proposed)


def test_nothing_is_left_on_the_disk_and_the_benchmarks_space_is_not_touched(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    space, loss = place(TABLE)
    before = space.config_space.random.get_state()[1].copy()
    ours(space, loss, 8)
    assert list(Path(tmp_path).iterdir()) == []
    assert np.array_equal(space.config_space.random.get_state()[1], before)
