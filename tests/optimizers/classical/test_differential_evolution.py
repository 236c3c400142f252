from itertools import pairwise

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest

from surrobench.errors import UsageError
from surrobench.optimizers.classical.differential_evolution import differential_evolution, trial_vectors
from surrobench.optimizers.classical.random_search import random_search
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace
from tests.optimizers.driving import batches, task


def rng(seed=0):
    return stream("optimizer", "test_differential_evolution", seed)


def continuous(d=3):
    return SearchSpace(CS.ConfigurationSpace({f"x{j}": (0.0, 1.0) for j in range(d)}))


def bowl(X):
    return np.sum((X - 0.3) ** 2, axis=1)


class Scripted:
    """A generator whose numbers are written down."""

    def __init__(self, *numbers):
        self._numbers = iter(numbers)

    def random(self, shape):
        drawn = np.array(next(self._numbers), dtype=np.float64)
        assert drawn.shape == (shape if isinstance(shape, tuple) else (shape,))
        return drawn

    def choice(self, among, size):
        drawn = np.array(next(self._numbers))
        assert set(drawn) <= set(among.tolist())
        assert len(drawn) == size
        return drawn


U4 = np.array([[0.1, 0.2], [0.3, 0.9], [0.5, 0.4], [0.9, 0.0]])
# The lots of three others are ranked: the lowest is a, then b, then c; one's own lot is left out.
LOTS = [[0.0, 0.1, 0.2, 0.3], [0.3, 0.0, 0.1, 0.2], [0.2, 0.3, 0.0, 0.1], [0.1, 0.2, 0.3, 0.0]]


def test_trial_vectors_by_hand():
    # Parents (a, b, c): of 0 (1, 2, 3), of 1 (2, 3, 0), of 2 (3, 0, 1), of 3 (0, 1, 2).
    crossed = [[0.4, 0.6], [0.6, 0.6], [0.5, 0.4], [0.4, 0.4]]  # below 0.5: from the mutant
    forced = [0, 1, 1, 0]
    script = Scripted(LOTS, crossed, forced, [0.77])
    trials = trial_vectors(U4, np.array([True, True]), script, factor=0.5, crossover=0.5)
    expected = [
        [0.3 + 0.5 * (0.5 - 0.9), 0.2],
        [0.3, 0.4 + 0.5 * (0.0 - 0.2)],
        [0.5, 0.77],  # 0.0 + 0.5 * (0.2 - 0.9) is below the cube and drawn anew
        [0.1 + 0.5 * (0.3 - 0.5), 0.2 + 0.5 * (0.9 - 0.4)],
    ]
    assert np.allclose(trials, expected)


def test_the_coordinate_that_always_changes_is_one_that_is_searched():
    U = rng().random((20, 4))
    searched = np.array([True, False, True, False])
    trials = trial_vectors(U, searched, rng(), factor=0.5, crossover=0.0)
    changed = trials != U
    assert changed.sum(axis=1).tolist() == [1] * 20
    assert not changed[:, ~searched].any()
    assert changed[:, searched].any(axis=0).all()


def test_the_share_of_coordinates_from_the_mutant_is_the_crossover_rate():
    U = rng().random((400, 30))
    trials = trial_vectors(U, np.ones(30, dtype=bool), rng(1), factor=0.5, crossover=0.5)
    assert np.mean(trials != U) == pytest.approx(0.5 + 0.5 / 30, abs=0.02)  # and the forced one


def test_what_leaves_the_cube_is_drawn_anew():
    U = np.round(rng().random((300, 5)))  # corners: half of the mutants' steps lead out
    trials = trial_vectors(U, np.ones(5, dtype=bool), rng(1), factor=0.5, crossover=1.0)
    inner = trials[(trials % 0.5) != 0]
    assert len(inner) > 200
    assert ((trials >= 0) & (trials <= 1)).all()
    assert np.histogram(inner, 4, (0, 1))[0].min() > 0.18 * len(inner)


def test_the_parents_are_three_others_all_different():
    n = 7
    marks = np.diag(10.0 ** np.arange(n))  # member i has 10 ** i in coordinate i alone
    U = marks / 10.0**n
    seen = set()
    for seed in range(40):
        lots = rng(seed).random((n, n))
        np.fill_diagonal(lots, np.inf)
        a, b, c = np.argsort(lots, axis=1)[:, :3].T
        trials = trial_vectors(U, np.ones(n, dtype=bool), rng(seed), factor=0.5, crossover=1.0)
        for i in range(n):
            assert len({i, a[i], b[i], c[i]}) == 4
            assert trials[i, i] == 0  # nothing of the target is in its mutant
            assert trials[i, a[i]] == U[a[i], a[i]]
            assert trials[i, b[i]] == U[b[i], b[i]] / 2
            seen.add((a[i], b[i]))
    assert len(seen) == n * (n - 1)


def test_a_generation_is_asked_for_at_once_and_its_winners_replace_their_targets():
    space = continuous()
    asked, told = batches(differential_evolution(task(space), rng(), population=6), bowl, 30)
    assert [len(X) for X in asked] == [6] * 5
    # By hand: the same numbers, and targets replaced only after the whole generation.
    generator = rng()
    generator.permutation(0)
    U, losses = asked[0], told[0]
    assert np.array_equal(U, generator.random((6, 3)))
    for X, values in zip(asked[1:], told[1:], strict=True):
        assert np.array_equal(X, trial_vectors(U, np.ones(3, dtype=bool), generator, 0.5, 0.5))
        U = np.array([new if v <= old else u for u, new, old, v in zip(U, X, losses, values, strict=True)])
        losses = np.minimum(losses, values)


def test_a_trial_vector_as_good_as_its_target_replaces_it():
    space = continuous()
    asked, _ = batches(
        differential_evolution(task(space), rng(), population=5), lambda X: np.ones(len(X)), 15
    )
    generator = rng()
    generator.permutation(0)
    generator.random((5, 3))
    trial_vectors(asked[0], np.ones(3, dtype=bool), generator, 0.5, 0.5)
    second = trial_vectors(asked[1], np.ones(3, dtype=bool), generator, 0.5, 0.5)
    assert np.array_equal(asked[2], second)


def test_a_failed_evaluation_counts_as_the_worst_seen_so_far():
    space = continuous()
    losses = iter([np.array([1.0, 3.0, np.nan, 2.0]), np.array([np.nan, np.nan, 9.0, 2.5]), np.ones(4)])
    asked, _ = batches(differential_evolution(task(space), rng(), population=4), lambda X: next(losses), 12)
    # 0: failed against 1. 1: failed against 3 when 9 is the worst. 2: 9 is as bad as the failed. 3: worse.
    members = np.stack([asked[0][0], asked[0][1], asked[1][2], asked[0][3]])
    generator = rng()
    generator.permutation(0)
    generator.random((4, 3))
    trial_vectors(asked[0], np.ones(3, dtype=bool), generator, 0.5, 0.5)
    assert np.array_equal(asked[2], trial_vectors(members, np.ones(3, dtype=bool), generator, 0.5, 0.5))


def first_generation(space, initial, population):
    """How many are drawn, and the trial vectors of the first population, none of it crossed."""
    program = differential_evolution(
        task(space, initial=initial), rng(), population=population, crossover=0.0
    )
    asked, _ = batches(program, lambda X: np.zeros(len(X)), max(population - len(initial.losses), 0) + 1)
    return [len(X) for X in asked], asked[-1]


def test_the_granted_design_is_in_the_first_population():
    space = continuous(8)
    granted = space.sample(3, rng(1))
    sizes, trials = first_generation(space, Evaluated(granted, np.array([0.5, 0.3, 0.1])), 10)
    assert sizes == [7, 10]
    # Each trial vector differs from its target in one coordinate only: the granted are there, best first.
    assert [(trials[i] == granted[k]).sum() for i, k in enumerate([2, 1, 0])] == [7, 7, 7]


def test_of_a_granted_design_larger_than_the_population_the_best_are_in_it():
    space = continuous(8)
    granted = space.sample(6, rng(1))
    losses = np.array([0.5, 0.2, np.nan, 0.1, 0.9, 0.3])
    sizes, trials = first_generation(space, Evaluated(granted, losses), 4)
    assert sizes == [4]
    assert [(trials[i] == granted[k]).sum() for i, k in enumerate([3, 1, 5, 0])] == [7, 7, 7, 7]


def test_an_inactive_hyperparameter_keeps_its_coordinate():
    config_space = CS.ConfigurationSpace()
    model = CS.CategoricalHyperparameter("model", ["a", "b"])
    rate = CS.UniformFloatHyperparameter("rate", 0.0, 1.0)
    config_space.add(model, rate)
    config_space.add(CS.EqualsCondition(rate, model, "a"))
    space = SearchSpace(config_space)
    column = space.column("rate")
    program = differential_evolution(task(space), rng(), population=12, crossover=0.0)
    asked, _ = batches(program, lambda X: np.zeros(len(X)), 12 * 9)
    generator = rng()
    generator.permutation(0)
    U = generator.random((12, 2))
    back = 0
    for before, X in pairwise(asked):
        assert np.array_equal(before, space.from_unit(U), equal_nan=True)
        U = trial_vectors(U, np.ones(2, dtype=bool), generator, 0.5, 0.0)
        returned = np.isnan(before[:, column]) & ~np.isnan(X[:, column])
        assert np.array_equal(X[returned, column], U[returned, column])
        back += returned.sum()
    assert back > 5


def test_a_population_that_has_no_three_others_is_refused():
    with pytest.raises(UsageError, match="population >= 4 must hold, but got 3"):
        next(differential_evolution(task(continuous()), rng(), population=3))


def test_it_beats_random_search_on_a_bowl():
    space = continuous(6)

    def best(program):
        return min(losses.min() for losses in batches(program, bowl, 400)[1])

    ours = [best(differential_evolution(task(space, 400), rng(seed))) for seed in range(5)]
    random = [best(random_search(task(space, 400), rng(seed))) for seed in range(5)]
    assert np.mean(ours) < np.mean(random) / 5
