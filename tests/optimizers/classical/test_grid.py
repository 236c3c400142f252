import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.base import Task
from surrobench.optimizers.classical.grid import grid
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace


def design(space, horizon, seed=0):
    """The one matrix that grid search asks for."""
    none = Evaluated(np.empty((0, space.d)), np.empty(0))
    task = Task(space, None, None, space.default, none, horizon)
    requests = list(grid(task, stream("optimizer", "test_grid", seed)))
    assert len(requests) == 1
    assert requests[0].source == "grid"
    return requests[0].configurations


def distinct(X):
    return {tuple(np.nan_to_num(x, nan=-1.0)) for x in X}


def continuous(d):
    return SearchSpace(CS.ConfigurationSpace({f"x{j}": (0.0, 1.0) for j in range(d)}))


@pytest.mark.parametrize(
    ("d", "horizon", "k"),
    [
        (1, 7, 7),
        (2, 8, 2),
        (2, 9, 3),
        (2, 30, 5),
        (2, 36, 6),
        (3, 26, 2),
        (3, 27, 3),
        (3, 125, 5),
        (5, 4, 2),
        (8, 1, 2),
    ],
)
def test_the_resolution_is_the_largest_whose_factorial_fits_the_budget(d, horizon, k):
    X = design(continuous(d), horizon)
    assert len(X) == len(distinct(X)) == min(horizon, k**d)
    assert set(X.ravel()) <= {(i + 0.5) / k for i in range(k)}
    if k**d <= horizon:
        assert {len(set(column)) for column in X.T} == {k}


def test_a_factorial_smaller_than_the_budget_is_visited_completely():
    space = SearchSpace(CS.ConfigurationSpace({"c": ["a", "b", "c"], "n": (1, 4), "x": (0.0, 1.0)}))
    X = design(space, 100)
    rows = {(row["c"], row["n"], row["x"]) for row in space.decode(X)}
    middles = [(i + 0.5) / 10 for i in range(10)]
    assert len(X) == 100  # 3 categories x 4 integers x 10 values are 120 points
    assert len(rows) == 100
    assert {x for _, _, x in rows} == set(middles)
    small = SearchSpace(CS.ConfigurationSpace({"c": ["a", "b", "c"], "n": (1, 4)}))
    assert {(row["c"], row["n"]) for row in small.decode(design(small, 100))} == {
        (c, n) for c in "abc" for n in range(1, 5)
    }


def test_the_grid_of_a_table_has_all_categories_and_evenly_spaced_values():
    space = benchmark("hpolib/fcnet/protein_structure").space
    X = design(space, 200)
    assert len(distinct(X)) == 200
    for j, levels in enumerate(space.levels):
        found = set(X[:, j])
        # 2 ** 6 <= 200 < 3 ** 6: two values of each of the six numeric hyperparameters
        assert len(found) == (levels if space.is_categorical[j] else 2)
        if not space.is_categorical[j]:
            assert found == {levels // 4, (3 * levels) // 4}


def test_the_order_is_shuffled_by_the_seed():
    space = continuous(2)
    first, second = design(space, 25, seed=0), design(space, 25, seed=1)
    assert distinct(first) == distinct(second)
    assert not np.array_equal(first, second)
    lexicographic = first[np.lexsort(first.T[::-1])]
    assert not np.array_equal(first, lexicographic)


def test_a_grid_cut_off_by_the_budget_is_not_one_corner():
    means = [design(continuous(8), 20, seed).mean(axis=0) for seed in range(10)]
    assert np.allclose(np.mean(means, axis=0), 0.5, atol=0.12)


def conditional():
    """A parent with four categories, each with a child that no other category has."""
    config_space = CS.ConfigurationSpace()
    parent = CS.CategoricalHyperparameter("parent", list("abcd"))
    children = [CS.OrdinalHyperparameter(f"child_{c}", [1, 2, 3]) for c in "abcd"]
    config_space.add(parent, *children)
    config_space.add(*[CS.EqualsCondition(child, parent, child.name[-1]) for child in children])
    return SearchSpace(config_space)


def test_points_that_differ_only_in_inactive_hyperparameters_are_visited_once():
    space = conditional()
    X = design(space, 1000)  # all of the 4 * 3 ** 4 points of the factorial
    assert len(X) == len(distinct(X)) == 4 * 3


def test_such_points_cost_no_budget():
    space = conditional()
    X = design(space, 8)  # of two values each: 4 * 2 ** 4 points, of which 4 * 2 differ
    assert len(X) == len(distinct(X)) == 8


def test_a_grid_too_large_to_list_is_drawn_from():
    X = design(continuous(40), 10)
    assert len(distinct(X)) == 10
    assert set(X.ravel()) == {0.25, 0.75}


def test_every_category_is_on_the_grid_however_rarely_the_prior_draws_it():
    config_space = CS.ConfigurationSpace()
    config_space.add(
        CS.CategoricalHyperparameter("c", list("abc"), weights=[0.9, 0.05, 0.05]),
        CS.OrdinalHyperparameter("o", [1, 2, 4]),
    )
    space = SearchSpace(config_space)
    rows = {(row["c"], row["o"]) for row in space.decode(design(space, 9))}
    assert rows == {(c, o) for c in "abc" for o in (1, 2, 4)}


def test_all_integers_of_a_log_scale_are_on_the_grid_where_there_are_few():
    config_space = CS.ConfigurationSpace()
    config_space.add(CS.UniformIntegerHyperparameter("n", 1, 10, log=True))
    space = SearchSpace(config_space)
    assert sorted(row["n"] for row in space.decode(design(space, 10))) == list(range(1, 11))


def test_equal_parts_of_a_log_scale_that_share_an_integer_are_one_value():
    config_space = CS.ConfigurationSpace()
    config_space.add(CS.UniformIntegerHyperparameter("n", 1, 10, log=True))
    space = SearchSpace(config_space)
    # The middles of nine parts; integer i has the share of the range from i - 1 to i tenths of it.
    expected = {1 + int((10 ** ((i + 0.5) / 9) - 1) / 9 * 10) for i in range(9)}
    assert len(expected) < 9
    assert {row["n"] for row in space.decode(design(space, 9))} == expected
    assert len(design(space, 9)) == len(expected)


def test_a_grid_with_too_many_points_to_number_them_is_drawn_from():
    choices = {f"c{j}": [str(i) for i in range(9)] for j in range(34)}  # 9 ** 34 > 2 ** 63
    X = design(SearchSpace(CS.ConfigurationSpace(choices)), 50)
    assert len(distinct(X)) == 50
    assert {tuple(sorted(set(column))) for column in X.T} == {tuple(range(9))}
