"""TPE in lockstep makes the trials of the Optuna that is installed, on the machine that runs this."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from surrobench.optimizers.classical.tpe_study import (
    LibraryStudy,
    LockstepStudy,
    open_study,
    suggestion,
    tpe_space,
)
from surrobench.optimizers.kernels.tpe import propose
from surrobench.optimizers.kernels.tpe_history import TpeHistory, TpeState, draws_needed
from surrobench.optimizers.kernels.tpe_referred import distribution, proposed_by_optuna
from surrobench.optimizers.kernels.tpe_space import Column, TpeSpace
from surrobench.protocol.requests import Evaluated
from tests.optimizers.kernels.lockstep import (
    METHODS,
    SPACES,
    Loss,
    lockstep,
    loss_of,
    optuna_itself,
    task_on,
    together,
)

pytestmark = pytest.mark.skipif(
    not optuna.__version__.startswith("5."), reason="the kernel makes the trials of Optuna 5"
)


def check(space_name: str, method: str, seeds: int, trials: int, losses: list[Loss] | None = None) -> int:
    """Compare both ways trial by trial; returns how many proposals Optuna decided for the kernel."""
    space = SPACES[space_name]()
    losses = losses or [loss_of(space, seed) for seed in range(seeds)]
    tasks = [task_on(space) for _ in range(seeds)]
    ours = together([lockstep(task, method, seed) for seed, task in enumerate(tasks)], losses, trials)
    theirs = together([optuna_itself(task_on(space), method, s) for s in range(seeds)], losses, trials)
    assert ours.tobytes() == theirs.tobytes()
    assert all(task.library.proposals == trials for task in tasks)
    return sum(task.library.referred for task in tasks)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", SPACES)
def test_the_trials_are_optunas_to_the_last_bit(space, method):
    check(space, method, seeds=2, trials=35)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", SPACES)
def test_the_trials_are_optunas_to_the_last_bit_over_20_seeds_and_100_trials(space, method):
    assert check(space, method, seeds=20, trials=100) <= 0.1 * 20 * 100


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", ["mixed", "conditional"])
def test_failed_trials_are_left_out_as_in_optuna(space, method):
    made = SPACES[space]()
    smooth = loss_of(made)

    def failing(X):
        return np.where(np.round(X.sum() * 1e6) % 3 == 0, np.nan, smooth(X))

    def by_seed(seed):
        return lambda X: np.where(int(np.nansum(X) * 1e6 + seed) % 3 == 0, np.nan, smooth(X))

    check(space, method, 3, 30, [by_seed(seed) for seed in range(3)])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_losses_are_ranked_by_age(value):
    check("int", "tpe", 2, 30, [lambda X: np.full(1, value)] * 2)
    check("categorical", "tpe-univariate", 2, 30, [lambda X: np.floor(X[:, 0])] * 2)


@pytest.mark.parametrize("granted", [1, 12])
@pytest.mark.parametrize("method", METHODS)
def test_granted_trials_and_trials_of_others_are_told_as_to_optuna(granted, method):
    space = SPACES["conditional"]()
    loss = loss_of(space)
    X = space.sample(granted, np.random.default_rng(1))
    X[0] = space.snap(space.deactivate(np.zeros((1, space.d))))[0]  # at the ends of the ranges
    initial = Evaluated(X, loss(X))
    ours, theirs = (
        lockstep(task_on(space, initial), method, 3),
        optuna_itself(task_on(space, initial), method, 3),
    )
    a = together([ours], [loss], 15)
    b = together([theirs], [loss], 15)
    other = space.sample(3, np.random.default_rng(2))
    for study in (ours, theirs):
        study.add(other, np.array([0.1, np.nan, 0.3]))
    assert np.array_equal(a, b, equal_nan=True)
    assert np.array_equal(suggestion(ours), suggestion(theirs), equal_nan=True)
    assert np.array_equal(together([ours], [loss], 8), together([theirs], [loss], 8), equal_nan=True)


def test_a_point_moved_by_a_table_with_gaps_is_told_as_the_one_evaluated():
    space = SPACES["mixed"]()
    loss = loss_of(space)
    ours, theirs = lockstep(task_on(space), "tpe", 0), optuna_itself(task_on(space), "tpe", 0)
    for i in range(25):
        x, y = suggest_and_keep(ours), suggest_and_keep(theirs)
        assert np.array_equal(x, y)
        if i % 2:
            x = x.copy()
            x[0, space.column("width")] = (x[0, space.column("width")] + 1) % 4
        ours.tell(x, loss(x))
        theirs.tell(x, loss(x))


def suggest_and_keep(study):
    steps, answer = study.ask(), None
    while True:
        try:
            answer = steps.send(answer).alone()
        except StopIteration as end:
            return end.value


def test_other_numbers_of_candidates_and_random_trials_are_optunas():
    space = SPACES["mixed"]()
    for candidates, startup in ((1, 10), (7, 0), (40, 3)):
        ours = [lockstep(task_on(space), "tpe", 1, candidates, startup)]
        theirs = [optuna_itself(task_on(space), "tpe", 1, candidates, startup)]
        losses = [loss_of(space)]
        assert np.array_equal(together(ours, losses, 20), together(theirs, losses, 20))


STEPPED = TpeSpace(
    [
        Column("b", -1.0, 3.0, step=0.25),
        Column("a", 10, 90, step=20, integer=True),
        Column("c", 0.0, 1.0, step=0.01),
    ]
)


@pytest.mark.parametrize("multivariate", [True, False])
def test_steps_are_optunas(multivariate):
    """No search space here has floating-point steps, but the kernel covers them."""
    for seed in range(4):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=multivariate))
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        distributions = {column.name: distribution(column) for column in STEPPED.columns}
        history, draws = TpeHistory(STEPPED), np.random.RandomState(seed)
        start = np.random.RandomState(seed)
        blocks = ((1, 0, 2),) if multivariate else ((0,), (1,), (2,))
        for i in range(40):
            trial = study.ask(distributions)
            expected = [trial.params[name] for name in STEPPED.names]
            if i < 10:
                values = np.array([STEPPED.draw(j, start) for j in range(3)])
            else:
                state = TpeState(history, blocks, 24, draws.random_sample(draws_needed(blocks, 24)))
                values = np.empty(3)
                values[[j for block in blocks for j in block]] = propose([state])[0].values
            assert values.tolist() == expected
            loss = float(np.sum((values - [0.3, 40, 0.62]) ** 2))
            study.tell(trial, loss)
            history.add(values, loss)


# ---------------------------------------------------------------------- the contract of a kernel


def states(seed: int = 0) -> list[TpeState]:
    """States of many kinds: other spaces, lengths, blocks, and failures."""
    found = []
    rng = np.random.default_rng(seed)
    for name in ("mixed", "conditional", "categorical", "int"):
        space = SPACES[name]()
        columns, loss = tpe_space(space), loss_of(space, seed)
        block = tuple(sorted(range(3), key=lambda j: columns.names[j]))
        for n in (0, 1, 2, 11, 11, 40):
            history = TpeHistory(columns)
            study = LockstepStudy(task_on(space), 0, startup=0, candidates=24, multivariate=True, group=False)
            study._history = history
            X = space.sample(n, rng)
            study.add(X, loss(X))
            single = tuple((j,) for j in range(space.d) if not columns.columns[j].single)
            found += [
                TpeState(history, blocks, 24, rng.random(draws_needed(blocks, 24)))
                for blocks in ((block,), single)
            ]
    return found


def answer_bytes(answers) -> list[bytes]:
    return [
        answer.values.tobytes() + answer.encoded.tobytes() + bytes([answer.referred]) for answer in answers
    ]


def test_what_a_run_gets_never_depends_on_its_neighbours():
    everyone = states()
    together_ = answer_bytes(propose(everyone))
    assert answer_bytes(propose(everyone[:1]) + propose(everyone[1:])) == together_
    assert [answer_bytes(propose([state]))[0] for state in everyone] == together_
    rng = np.random.default_rng(3)
    for _ in range(3):
        order = rng.permutation(len(everyone))
        mixed_up = answer_bytes(propose([everyone[i] for i in order]))
        assert [mixed_up[i] for i in np.argsort(order)] == together_
    doubled = answer_bytes(propose([state for state in everyone for _ in range(2)]))
    assert doubled[::2] == doubled[1::2] == together_


def test_the_kernel_leaves_its_states_as_they_are():
    everyone = states()
    before = [(state.history.values.tobytes(), state.draws.tobytes()) for state in everyone]
    propose(everyone)
    assert [(state.history.values.tobytes(), state.draws.tobytes()) for state in everyone] == before


def test_optunas_own_classes_propose_the_same_where_the_kernel_is_sure():
    for state in states(1):
        if state.history.n and len(state.blocks) == 1:
            [answer] = propose([state])
            theirs = proposed_by_optuna(state.history, state.blocks[0], 24, state.draws)
            assert answer.values.tolist() == theirs.tolist()


def test_where_two_scores_are_too_near_optuna_decides_and_is_counted(monkeypatch):
    space = SPACES["mixed"]()
    task, plain = task_on(space), task_on(space)
    monkeypatch.setattr("surrobench.optimizers.kernels.tpe.GUARD", 1e9)
    referred = together([lockstep(task, "tpe", 5)], [loss_of(space)], 15)
    monkeypatch.undo()
    sure = together([lockstep(plain, "tpe", 5)], [loss_of(space)], 15)
    assert np.array_equal(referred, sure)
    assert (task.library.proposals, task.library.referred) == (15, 5)
    assert (plain.library.proposals, plain.library.referred) == (15, 0)


def test_what_is_not_covered_is_optunas_own_and_counted(monkeypatch):
    space = SPACES["float"]()
    settings = {"startup": 10, "multivariate": True, "group": False}
    task = task_on(space)
    assert isinstance(open_study(task, 0, candidates=24, **settings), LockstepStudy)
    many = open_study(task, 0, candidates=500, **settings)
    assert isinstance(many, LibraryStudy)
    together([many], [loss_of(space)], 3)
    assert (task.library.proposals, task.library.referred) == (3, 3)
    monkeypatch.setattr("surrobench.optimizers.classical.tpe_study._installed", lambda: "4")
    assert isinstance(open_study(task, 0, candidates=24, **settings), LibraryStudy)
