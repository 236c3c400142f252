import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest
from scipy import stats

from surrobench.optimizers.classical.random_search import random_search
from surrobench.optimizers.classical.regularized_evolution import (
    mutate,
    regularized_evolution,
    small_regularized_evolution,
)
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace
from tests.optimizers.driving import batches, task


def rng(seed=0):
    return stream("optimizer", "test_regularized_evolution", seed)


def continuous(d=3):
    return SearchSpace(CS.ConfigurationSpace({f"x{j}": (0.0, 1.0) for j in range(d)}))


def conditional():
    """``rate`` belongs to a, ``depth`` and ``width`` to b; ``c`` has no hyperparameter of its own."""
    config_space = CS.ConfigurationSpace()
    model = CS.CategoricalHyperparameter("model", ["a", "b", "c"])
    rate = CS.UniformFloatHyperparameter("rate", 0.0, 1.0)
    depth = CS.UniformIntegerHyperparameter("depth", 1, 9)
    width = CS.OrdinalHyperparameter("width", [1, 2, 4])
    config_space.add(model, rate, depth, width, CS.Constant("k", 1))
    config_space.add(
        CS.EqualsCondition(rate, model, "a"),
        CS.EqualsCondition(depth, model, "b"),
        CS.EqualsCondition(width, model, "b"),
    )
    return SearchSpace(config_space)


class Scripted:
    """A generator whose tournaments are written down; whatever else it is asked for is drawn."""

    def __init__(self, tournaments):
        self._tournaments, self._rng = iter(tournaments), rng()

    def integers(self, high, size):
        drawn = next(self._tournaments)
        assert len(drawn) == size
        assert max(drawn) < high
        return np.array(drawn)

    def __getattr__(self, name):
        return getattr(self._rng, name)


def numbered(n):
    """n configurations of one wide integer: a child is told from its parent."""
    config_space = CS.ConfigurationSpace({"tag": (0, 9), "x": (0.0, 1.0)})
    space = SearchSpace(config_space)
    return space, space.encode([{"tag": i, "x": i / 10} for i in range(n)])


def parents_of(children, candidates):
    """For each child, the candidates that share one of its two coordinates: those it may come from."""
    return [np.flatnonzero((candidates == child).any(axis=1)).tolist() for child in children]


def test_the_first_population_is_granted_and_drawn_and_then_children_come_one_by_one():
    space = continuous()
    granted = Evaluated(space.sample(4, rng(1)), np.arange(4.0))
    program = regularized_evolution(task(space, initial=granted), rng(), population=10, sample=3)
    asked, _ = batches(program, lambda X: X.sum(axis=1), 10)
    assert [len(X) for X in asked] == [6, 1, 1, 1, 1]
    assert np.array_equal(asked[0], space.sample(6, rng()))


def test_the_paper_s_population_makes_the_first_hundred_trials_random_search():
    space = continuous()
    asked, _ = batches(regularized_evolution(task(space), rng()), lambda X: X.sum(axis=1), 101)
    [random], _ = batches(random_search(task(space, 100), rng()), lambda X: X.sum(axis=1), 100)
    assert [len(X) for X in asked] == [100, 1]
    assert np.array_equal(asked[0], random)


def test_the_parent_is_the_best_of_the_sample():
    space, X = numbered(4)
    granted = Evaluated(X, np.array([3.0, 1.0, 2.0, 0.0]))
    script = Scripted([[0, 1, 2]])  # the best of all, 3, is not drawn
    program = regularized_evolution(task(space, initial=granted), script, population=4, sample=3)
    asked, _ = batches(program, lambda X: np.zeros(len(X)), 1)
    assert parents_of(asked[0], X) == [[1]]


def test_the_oldest_dies_however_good_it_is():
    space, X = numbered(3)
    granted = Evaluated(X, np.array([0.0, 5.0, 6.0]))  # the oldest is by far the best
    script = Scripted([[0, 0], [0, 1], [2, 2], [0, 2]])
    losses = iter([9.0, 8.0, 7.0, 6.0])
    program = regularized_evolution(task(space, initial=granted), script, population=3, sample=2)
    asked, _ = batches(program, lambda X: [next(losses)], 4)
    children = np.concatenate(asked)
    ever = np.concatenate([X, children])
    assert 0 in parents_of(children[:1], X)[0]
    # Place 0 is the first child's by now, whose loss is 9: the worst, where the best has died.
    assert 1 in parents_of(children[1:2], ever[:4])[0]
    assert 2 in parents_of(children[2:3], ever[:5])[0]
    # Place 2 is the third child's: 7 is better than the 9 at place 0.
    assert 5 in parents_of(children[3:], ever[:6])[0]


def test_of_a_granted_design_larger_than_the_population_the_latest_are_alive():
    space, X = numbered(6)
    granted = Evaluated(X, np.array([0.0, 0.0, 0.0, 5.0, 4.0, 6.0]))
    script = Scripted([[0, 1, 2]])
    program = regularized_evolution(task(space, initial=granted), script, population=3, sample=3)
    asked, _ = batches(program, lambda X: np.zeros(len(X)), 1)
    assert parents_of(asked[0], X) == [[4]]


def test_a_failed_evaluation_counts_as_the_worst_seen_so_far():
    space, X = numbered(3)
    granted = Evaluated(X, np.array([np.nan, -4.0, -5.0]))
    # Equal to the failed one at -4 is the worst: the first drawn of the two is the parent.
    for drawn, parent in (([0, 1], 0), ([1, 0], 1), ([0, 2], 2)):
        program = regularized_evolution(
            task(space, initial=granted), Scripted([drawn]), population=3, sample=2
        )
        asked, _ = batches(program, lambda X: np.zeros(len(X)), 1)
        assert parents_of(asked[0], X) == [[parent]]


def test_the_worst_seen_so_far_includes_what_has_been_evaluated_since():
    space, X = numbered(3)
    granted = Evaluated(X, np.array([1.0, 2.0, 3.0]))
    script = Scripted([[0, 0], [0, 0], [1, 2]])
    losses = iter([9.0, np.nan, 0.0])
    program = regularized_evolution(task(space, initial=granted), script, population=3, sample=2)
    asked, _ = batches(program, lambda X: [next(losses)], 3)
    # The failed one at place 1 counts as 9, so that 3 at place 2 is better.
    ever = np.concatenate([X, *asked[:2]])
    assert parents_of(asked[2], ever) == [[2]]


def test_a_mutation_changes_one_hyperparameter_of_an_unconditional_space():
    space, generator = continuous(5), rng()
    x = space.sample(1, generator)[0]
    changed = np.array([mutate(space, x, generator) != x for _ in range(500)])
    assert set(changed.sum(axis=1)) == {1}
    assert changed.sum(axis=0).min() > 60  # each as often as another: 100


def test_a_mutation_gives_another_value_drawn_from_the_prior():
    config_space = CS.ConfigurationSpace()
    config_space.add(CS.CategoricalHyperparameter("c", list("abcd"), weights=[0.4, 0.3, 0.2, 0.1]))
    space, generator = SearchSpace(config_space), rng()
    drawn = [int(mutate(space, np.array([1.0]), generator)[0]) for _ in range(700)]
    counts = np.bincount(drawn, minlength=4)
    assert counts[1] == 0
    assert stats.chisquare(counts[[0, 2, 3]], np.array([400, 200, 100])).pvalue > 1e-3


def test_a_mutation_honours_the_conditions():
    space, generator = conditional(), rng()
    b = space.encode([{"model": "b", "depth": 3, "width": 2, "k": 1}])[0]
    rows = space.decode(np.stack([mutate(space, b, generator) for _ in range(300)]))
    assert space.legal(space.encode(rows)).all()
    for row in rows:
        if row["model"] == "b":
            assert (row["depth"] == 3) != (row["width"] == 2)
    of_a = [row["rate"] for row in rows if row["model"] == "a"]
    assert stats.kstest(of_a, "uniform").pvalue > 1e-3  # what is newly active is drawn from the prior
    assert {row["model"] for row in rows} == {"a", "b", "c"}


def test_only_what_is_active_is_mutated():
    space, generator = conditional(), rng()
    c = space.encode([{"model": "c", "k": 1}])[0]
    assert {
        row["model"] for row in space.decode(np.stack([mutate(space, c, generator) for _ in range(50)]))
    } == {
        "a",
        "b",
    }


@pytest.mark.parametrize("weights", [[1, 0], [1, 1e-12]], ids=["never", "hardly ever"])
def test_where_the_prior_has_no_other_value_another_hyperparameter_is_mutated(weights):
    config_space = CS.ConfigurationSpace()
    config_space.add(CS.CategoricalHyperparameter("c", ["a", "b"], weights=weights), CS.Constant("k", 1))
    alone = SearchSpace(config_space)
    assert mutate(alone, alone.default, rng()).tolist() == alone.default.tolist()
    config_space.add(CS.UniformFloatHyperparameter("x", 0.0, 1.0))
    space = SearchSpace(config_space)
    rows = np.stack([mutate(space, space.default, rng(seed)) for seed in range(20)])
    assert (rows != space.default).sum(axis=0).tolist() == [0, 0, 20]


def test_the_small_variant_is_the_same_method_with_a_smaller_population():
    assert OPTIMIZERS["regularized-evolution"].resolve({}) == {"population": 100, "sample": 25}
    assert OPTIMIZERS["regularized-evolution-small"].resolve({}) == {"population": 20, "sample": 5}
    space = continuous()
    small, _ = batches(small_regularized_evolution(task(space), rng()), lambda X: X.sum(axis=1), 60)
    same, _ = batches(
        regularized_evolution(task(space), rng(), population=20, sample=5), lambda X: X.sum(axis=1), 60
    )
    assert np.array_equal(np.concatenate(small), np.concatenate(same))


@pytest.mark.parametrize("population", [20, 100])
def test_it_beats_random_search_on_a_bowl(population):
    space = continuous(6)

    def bowl(X):
        return np.sum((X - 0.3) ** 2, axis=1)

    def best(program):
        return min(losses.min() for losses in batches(program, bowl, 400)[1])

    n = population // 4
    ours = [
        best(regularized_evolution(task(space, 400), rng(seed), population=population, sample=n))
        for seed in range(5)
    ]
    random = [best(random_search(task(space, 400), rng(seed))) for seed in range(5)]
    assert np.mean(ours) < np.mean(random) / 2
