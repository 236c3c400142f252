import numpy as np
import pytest

from surrobench.errors import UsageError
from surrobench.optimizers.multi_fidelity import dehb as module
from surrobench.optimizers.multi_fidelity.dehb import _offspring, _parents, _Population, dehb
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from tests.optimizers.driving import epochs, rungs
from tests.optimizers.multi_fidelity.test_brackets import LCBENCH, by_request, run, square, task_with


def population(losses, seed=0):
    made = _Population(np.random.default_rng(seed).random((len(losses), 2)))
    made.losses[:] = losses
    return made


# ---------------------------------------------------------------------- the schedule


def test_the_schedule_is_that_of_hyperband():
    first = [*[(9, 6), (3, 17), (1, 52)], *[(4, 17), (1, 17), (1, 52)], (3, 52)]
    later = [*[(4, 6), (4, 6), (1, 6), (3, 17), (1, 52)], *first[3:]]
    assert rungs(run(dehb, task_with(LCBENCH, workers=4), 22 + 2 * 22)) == [*first, *later, *later]


def test_populations_are_as_large_as_the_widest_rung(monkeypatch):
    made = []

    class Spy(_Population):
        def __init__(self, U):
            super().__init__(U)
            made.append(self)

    monkeypatch.setattr(module, "_Population", Spy)
    run(dehb, task_with(epochs(81)), 1)
    assert [len(one.U) for one in made] == [81, 34, 15, 8, 5]


def test_the_first_sweep_promotes_what_the_rung_above_does_not_have():
    trials = by_request(run(dehb, task_with(epochs(9), workers=9), 22))
    bottom, middle, top, mutants, second, last = trials
    order = sorted(bottom, key=lambda trial: trial.loss)
    assert [trial.x.tolist() for trial in middle] == [trial.x.tolist() for trial in order[:3]]
    assert [trial.x.tolist() for trial in top] == [order[0].x.tolist()]
    # The second bracket's promotion: the best of the middle rung's eight trials but the one that was there.
    order = sorted([*middle, *mutants], key=lambda trial: trial.loss)
    expected = next(trial for trial in order if trial.x.tolist() != top[0].x.tolist())
    assert [trial.x.tolist() for trial in second] == [expected.x.tolist()]
    assert [trial.continued_from for trial in (*middle, *top, *second)] == [1, 1, 1, 3, 3]
    assert {trial.continued_from for trial in (*bottom, *mutants, *last)} == {None}


def test_after_the_first_sweep_every_trial_is_new_and_starts_anew():
    trials = run(dehb, task_with(epochs(9)), 66)
    assert {trial.continued_from for trial in trials[22:]} == {None}
    assert len({trial.x.tobytes() for trial in trials[22:]}) == 44


@pytest.mark.parametrize("resumable", [True, False])
def test_training_goes_on_only_where_it_can(resumable):
    trials = run(dehb, task_with(epochs(9, resumable=resumable)), 22)
    assert {trial.continued_from for trial in trials} == ({None, 1, 3} if resumable else {None})


def test_the_parents_of_each_rung_are_the_best_of_the_rung_below(monkeypatch):
    asked = []

    def spy(below, n, populations, m, rng):
        asked.append((populations.index(below), n, m))
        return _parents(below, n, populations, m, rng)

    monkeypatch.setattr(module, "_parents", spy)
    run(dehb, task_with(epochs(9), workers=9), 44)
    first, later = asked[:2], asked[2:]
    assert first == [(1, 5, 5), (2, 3, 3)]  # the lowest rungs of the second and third bracket: their own
    assert later == [(0, 9, 9), (0, 3, 3), (1, 1, 1), (1, 5, 5), (1, 1, 1), (2, 3, 3)]


# ---------------------------------------------------------------------- evolution


def test_a_mutants_parents_are_three_different_ones_of_the_pool():
    below = population([5.0, 1.0, np.nan, 2.0, 3.0, 4.0])
    base, one, other = _parents(below, 4, [below], 200, np.random.default_rng(0))
    pool = {tuple(row) for row in below.U[[1, 3, 4, 5]]}
    assert {tuple(row) for row in np.concatenate([base, one, other])} == pool
    assert not (base == one).all(axis=1).any()
    assert not (base == other).all(axis=1).any()
    assert not (one == other).all(axis=1).any()


def test_a_pool_of_fewer_than_three_is_filled_from_all_populations():
    below, above = population([1.0, 2.0, 3.0]), population([1.0, 2.0], seed=1)
    rng = np.random.default_rng(0)
    seen = [np.concatenate(_parents(below, 1, [below, above], 1, rng)) for _ in range(200)]
    assert all((rows == below.U[0]).all(axis=1).any() for rows in seen)
    everyone = {tuple(row) for row in np.concatenate([below.U, above.U])}
    assert {tuple(row) for rows in seen for row in rows} == everyone


def test_offspring_is_the_mutant_where_crossed_and_the_target_elsewhere():
    rng = np.random.default_rng(0)
    base, one, other, targets = rng.random((4, 1000, 6)) * 0.4 + 0.3  # no mutant leaves the cube
    mutants = base + 0.5 * (one - other)
    U = _offspring(targets, (base, one, other), 0.5, 0.5, rng)
    crossed = mutants == U
    assert np.array_equal(U[~crossed], targets[~crossed])
    assert crossed.any(axis=1).all()
    assert crossed.mean() == pytest.approx(0.5 + 0.5 / 6, abs=0.02)
    U = _offspring(targets, (base, one, other), 0.5, 0.0, rng)
    assert ((mutants == U).sum(axis=1) == 1).all()  # one value always is


def test_a_value_that_leaves_the_cube_is_drawn_anew():
    far = np.ones((1000, 2))
    U = _offspring(far, (far, far, 0 * far), 0.5, 1.0, np.random.default_rng(0))
    assert U.mean() == pytest.approx(0.5, abs=0.03)
    assert ((U >= 0) & (U < 1)).all()


def test_a_trial_takes_its_place_if_it_is_not_worse_and_did_not_fail():
    own = population([1.0, 1.0, 1.0, np.nan, np.nan, 1.0])
    before = own.U.copy()
    U, losses = np.full((5, 2), 0.5), np.array([0.5, 1.0, 1.5, 9.0, np.nan])
    own.select(np.arange(5), U, losses)
    taken = (own.U == 0.5).all(axis=1)
    assert taken.tolist() == [True, True, False, True, False, False]
    assert np.array_equal(own.U[~taken], before[~taken])
    assert np.array_equal(own.losses, [0.5, 1.0, 1.0, 9.0, np.nan, 1.0], equal_nan=True)


def test_what_lost_its_place_or_never_had_one_is_no_newcomer():
    own, below = population([np.nan] * 2), population([4.0, 3.0, 2.0, 1.0, np.nan], seed=1)
    own.join(below.U[[3]], np.array([5.0]))
    own.select(np.array([0]), below.U[[2]], np.array([4.0]))
    own.select(np.array([0]), below.U[[1]], np.array([6.0]))
    assert np.array_equal(own.newcomers(below, 3), below.U[[0]])


def test_individuals_compete_in_turn():
    own = population([1.0] * 5)
    assert [own.next(3).tolist() for _ in range(3)] == [[0, 1, 2], [3, 4, 0], [1, 2, 3]]


# ---------------------------------------------------------------------- the method


def test_it_finds_what_random_draws_do_not():
    def loss(X, fidelity):
        return ((X - 0.7) ** 2).sum(axis=1)

    found = [trial.loss for trial in run(dehb, task_with(epochs(9)), 300, loss=loss)]
    assert np.mean(found[200:]) < 0.25 * np.mean(found[:9])


def test_the_granted_design_is_in_the_populations():
    X = np.array([[0.2, 0.5], [0.0, 0.1], [0.1, 0.6], [0.3, 0.7], [0.05, 0.8], [0.0, 0.9]])
    initial = Evaluated(X, np.where(np.arange(6) == 1, np.nan, X[:, 0]))
    trials = run(dehb, task_with(epochs(9), initial, workers=9), 22)
    assert [trial.x.tolist() for trial in trials[:3]] == X[[5, 4, 2]].tolist()  # as many as are promoted
    granted = [row.tobytes() for row in X]
    assert not any(trial.x.tobytes() in granted for trial in trials if trial.continued_from == 3)


def test_what_failed_is_never_promoted():
    trials = run(dehb, task_with(epochs(9)), 40, fails=lambda i: True)
    assert {trial.continued_from for trial in trials} == {None}


def test_one_fidelity_is_not_enough():
    with pytest.raises(UsageError, match="dehb needs at least two fidelities"):
        next(dehb(task_with(epochs(9)), stream("optimizer", "test"), min_fidelity=9))


def test_the_trials_are_in_the_space_whose_cube_it_searches():
    X = np.array([trial.x for trial in run(dehb, task_with(epochs(9)), 60)])
    assert square().legal(X).all()
