import itertools

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest

from surrobench.benchmarks.base import Fidelity
from surrobench.errors import UsageError
from surrobench.optimizers.base import Task
from surrobench.optimizers.multi_fidelity.brackets import Ladder, best
from surrobench.optimizers.multi_fidelity.hyperband import hyperband
from surrobench.optimizers.multi_fidelity.successive_halving import successive_halving
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace
from tests.optimizers.driving import drive, epochs, rungs, share

LCBENCH = Fidelity("epoch", "epochs", 1.0, 52.0, 52.0, True, (2.0, 51.0), True)
NB301 = Fidelity("epoch", "epochs", 1.0, 98.0, 98.0, True, (1.0, 98.0), True)


def square() -> SearchSpace:
    config_space = CS.ConfigurationSpace()
    config_space.add(CS.UniformFloatHyperparameter(name, 0.0, 1.0) for name in ("a", "b"))
    return SearchSpace(config_space)


def task_with(fidelity: Fidelity | None, initial: Evaluated | None = None, workers: int = 1) -> Task:
    space = square()
    initial = initial or Evaluated(np.empty((0, 2)), np.empty(0))
    fidelities = (fidelity,) if fidelity else ()
    return Task(space, None, None, space.default, initial, 100, fidelities=fidelities, workers=workers)


def first_coordinate(X, fidelity):
    return X[:, 0]


def run(method, task, n, loss=first_coordinate, fails=lambda i: False, **parameters):
    return drive(method(task, stream("optimizer", "test"), **parameters), task, loss, n, fails)


def ladder(fidelity, eta=3, min_fidelity=None):
    return Ladder.of(task_with(fidelity), "hyperband", eta, min_fidelity)


# ---------------------------------------------------------------------- rungs and brackets


@pytest.mark.parametrize(
    ("fidelity", "eta", "lowest", "values"),
    [
        (epochs(81), 3, None, (1, 3, 9, 27, 81)),
        (epochs(80), 3, None, (3, 9, 27, 80)),  # 80 / 27 = 2.96 is the lowest that is at least 1
        (epochs(82), 3, None, (1, 3, 9, 27, 82)),
        (epochs(243), 3, None, (1, 3, 9, 27, 81, 243)),  # log(243) / log(3) is 4.999... in floating point
        (epochs(81), 3, 2, (3, 9, 27, 81)),
        (epochs(81), 3, 81, (81,)),
        (epochs(1000), 10, None, (1, 10, 100, 1000)),
        (epochs(10), 2, None, (1, 3, 5, 10)),  # 1.25 and 2.5, rounded half up
        (epochs(3), 2, None, (2, 3)),
        (LCBENCH, 3, None, (6, 17, 52)),
        (LCBENCH, 3, 1, (2, 6, 17, 52)),
        (NB301, 3, None, (1, 4, 11, 33, 98)),
        (share(0.03), 3, None, (1 / 27, 1 / 9, 1 / 3, 1)),
        (share(0.1), 3, 1 / 9, (1 / 9, 1 / 3, 1)),
        (Fidelity("f", "", 0.1, 0.9, 0.9, False, (0.1, 0.9)), 3, None, (0.1, 0.9 / 3, 0.9)),
        (Fidelity("f", "", 0.1, 0.3, 0.3, False, (0.1, 0.3)), 3, None, (0.1, 0.3)),  # 0.1 * 3 > 0.3
    ],
)
def test_rungs_are_fractions_of_the_full_fidelity(fidelity, eta, lowest, values):
    assert ladder(fidelity, eta, lowest).values == pytest.approx(values, rel=1e-12)
    assert ladder(fidelity, eta, lowest).values[-1] == fidelity.full


def test_rungs_are_legal_and_strictly_ascending_for_all_small_numbers():
    for full, lowest, eta in itertools.product(range(1, 200), range(1, 12), range(2, 6)):
        if lowest <= full:
            values = ladder(epochs(full, lowest), eta).values
            assert values[0] >= lowest
            assert values[-1] == full
            assert all(low < high for low, high in itertools.pairwise(values))
            assert eta ** (len(values) - 1) * lowest <= full < eta ** len(values) * lowest


@pytest.mark.parametrize(
    ("fidelity", "parameters", "message"),
    [
        (None, {}, "needs a benchmark with a fidelity, such as yahpo/lcbench/167168"),
        (LCBENCH, {"eta": 1}, "eta = 1. It is an integer, at least 2"),
        (LCBENCH, {"eta": 2.5}, "eta = 2.5"),
        (LCBENCH, {"min_fidelity": 0}, "epoch = 0. It is an integer above 0, from 1 to 52"),
        (LCBENCH, {"min_fidelity": 53}, "epoch = 53"),
        (LCBENCH, {"min_fidelity": 2.5}, "epoch = 2.5"),
        (share(), {"min_fidelity": 0.01}, "share = 0.01. It is a number above 0, from 0.03 to 1"),
    ],
)
def test_what_cannot_be_a_ladder_is_a_usage_error(fidelity, parameters, message):
    with pytest.raises(UsageError, match=message):
        next(hyperband(task_with(fidelity), stream("optimizer", "test"), **parameters))


def test_the_brackets_are_those_of_table_1_of_the_paper():
    steps = ladder(epochs(81))
    table = [
        [(n, int(z)) for n, z in zip(bracket, steps.values[steps.start(bracket) :], strict=True)]
        for bracket in steps.brackets()
    ]
    assert table == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


def test_the_best_are_in_order_ties_in_theirs_and_failed_ones_never():
    losses = np.array([3.0, np.nan, 1.0, 2.0, 1.0, np.inf])
    assert best(losses, 3).tolist() == [2, 4, 3]
    assert best(losses, 9).tolist() == [2, 4, 3, 0]
    assert best(np.full(3, np.nan), 2).tolist() == []


# ---------------------------------------------------------------------- the two synchronous methods


def test_hyperband_on_lcbench_runs_its_brackets_over_and_over():
    sweep = [(9, 6), (3, 17), (1, 52), (5, 17), (1, 52), (3, 52)]
    trials = run(hyperband, task_with(LCBENCH), 44)
    assert rungs(trials) == [*sweep, *sweep]


def test_successive_halving_repeats_the_widest_bracket():
    trials = run(successive_halving, task_with(epochs(9)), 26)
    assert rungs(trials) == [(9, 1), (3, 3), (1, 9)] * 2


def by_request(trials):
    return [list(group) for _, group in itertools.groupby(trials, lambda trial: trial.request)]


def test_the_best_third_of_each_rung_goes_on():
    for low, high in itertools.pairwise(by_request(run(successive_halving, task_with(epochs(27)), 40))):
        expected = sorted(low, key=lambda trial: trial.loss)[: len(low) // 3]
        assert [trial.x.tolist() for trial in high] == [trial.x.tolist() for trial in expected]


@pytest.mark.parametrize("resumable", [True, False])
def test_training_goes_on_only_where_it_can(resumable):
    trials = run(hyperband, task_with(epochs(9, resumable=resumable)), 22)
    expected = (
        {(1, None), (3, 1), (9, 3), (3, None), (9, None)} if resumable else {(1, None), (3, None), (9, None)}
    )
    assert {(trial.fidelity, trial.continued_from) for trial in trials} == expected


def test_a_failed_configuration_is_never_promoted_and_its_place_stays_empty():
    trials = run(hyperband, task_with(epochs(9)), 30, fails=lambda i: i < 7 or 12 <= i < 17)
    # Two of nine succeeded; all five of the second bracket failed.
    assert rungs(trials)[:5] == [(9, 1), (2, 3), (1, 9), (5, 3), (3, 9)]
    assert all(np.isfinite(trial.loss) for trial in trials[9:11])


def test_the_best_of_the_granted_design_start_in_the_first_bracket_and_are_not_paid_for_twice():
    X = np.array([[0.9, 0.5], [0.0, 0.1], [0.5, 0.5], [0.0, 0.2], [0.001, 0.3]])
    initial = Evaluated(X, np.array([0.9, np.nan, 0.5, 0.0, 0.001]))
    trials = run(hyperband, task_with(epochs(9), initial), 34)
    assert [trial.x.tolist() for trial in trials[:3]] == X[[3, 4, 2]].tolist()
    first = by_request(trials)[:4]
    assert trials[9].x.tolist() == X[3].tolist()  # the best of the lowest rung goes on
    assert [(len(group), group[0].fidelity) for group in first] == [(9, 1), (3, 3), (5, 3), (1, 9)]
    assert not any(trial.fidelity == 9 and trial.x.tolist() in X.tolist() for trial in trials)


def test_a_granted_design_that_is_beaten_does_not_end_the_bracket():
    X = np.array([[0.9, 0.5], [0.95, 0.1], [0.99, 0.5]])
    trials = run(hyperband, task_with(epochs(9), Evaluated(X, X[:, 0])), 13)
    assert [trial.x.tolist() for trial in trials[:3]] == X.tolist()
    assert rungs(trials) == [(9, 1), (3, 3), (1, 9)]


def test_without_a_lower_fidelity_all_are_random_search():
    for method in (hyperband, successive_halving):
        trials = run(method, task_with(epochs(1)), 5)
        assert rungs(trials) == [(1, 1)] * 5
