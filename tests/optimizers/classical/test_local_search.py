import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest
from ConfigSpace.util import get_one_exchange_neighbourhood
from scipy import stats

from surrobench.optimizers.classical.local_search import local_search, neighbourhood
from surrobench.optimizers.classical.random_search import random_search
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace
from tests.optimizers.driving import batches, task


def rng(seed=0):
    return stream("optimizer", "test_local_search", seed)


def space_of(*hyperparameters, conditions=()):
    config_space = CS.ConfigurationSpace()
    config_space.add(*hyperparameters)
    config_space.add(*conditions)
    return SearchSpace(config_space)


def ladder(n=7):
    """Ordinals: the neighbours of a rung are the one below and the one above."""
    return space_of(CS.OrdinalHyperparameter("rung", list(range(n))))


def around(space, configuration, seeds=1):
    """The neighbours of a configuration, decoded; all of several draws."""
    x = space.encode([configuration])[0]
    defaults = np.array([space.nearest(hp.name, hp.default_value) for hp in space.hyperparameters])
    found = [neighbourhood(space, x, defaults, rng(seed)) for seed in range(seeds)]
    assert space.legal(np.concatenate(found)).all()
    return space.decode(np.concatenate(found))


def path(space, losses, n, granted=None):
    """What is evaluated in a space of one hyperparameter whose values are indices into ``losses``."""
    initial = None
    if granted is not None:
        initial = Evaluated(np.array([[float(i)] for i in granted]), np.array([losses[i] for i in granted]))
    asked, _ = batches(
        local_search(task(space, initial=initial), rng()), lambda X: [losses[int(x[0])] for x in X], n
    )
    assert {len(X) for X in asked} == {1}
    return [int(X[0, 0]) for X in asked]


# ---------------------------------------------------------------------- the path


def test_it_climbs_from_the_best_that_was_granted():
    losses = [0, 1, 2, 3, 4, 5, 9]
    taken = path(ladder(), losses, 4, granted=[6, 4, 5])
    assert taken == [3, 2, 1, 0]  # 5 is known already


def test_the_first_neighbour_that_is_better_is_moved_to():
    space = space_of(*[CS.OrdinalHyperparameter(name, list(range(8))) for name in "abc"])
    start = Evaluated(np.array([[7.0, 7.0, 7.0]]), np.array([21.0]))
    asked, _ = batches(local_search(task(space, initial=start), rng()), lambda X: X.sum(axis=1), 21)
    centre, moves = start.configurations[0], 0
    for [x] in asked:
        assert np.abs(x - centre).sum() == 1  # a neighbour of the latest that was better
        if x.sum() < centre.sum():
            centre, moves = x, moves + 1
    assert moves > 5


def test_a_neighbour_that_is_equal_or_failed_is_not_moved_to():
    losses = [0, 1, 5, np.nan, 3, 3, 0]
    taken = path(ladder(), losses, 3, granted=[4])
    assert sorted(taken[:2]) == [3, 5]
    # What comes next is the restart: the same numbers drawn by hand.
    space, generator = ladder(), rng()
    generator.choice([0])
    neighbourhood(space, np.array([4.0]), np.array([0.0]), generator)
    assert taken[2] == space.sample(1, generator)[0, 0]


def test_where_no_neighbour_is_better_it_restarts_at_random():
    losses = [4, 5, 4, 5, 4, 5, 4]  # every even rung is a summit
    taken = path(ladder(), losses, 40, granted=[2])
    assert sorted(taken[:2]) == [1, 3]
    assert set(taken) == set(range(7))


def test_whatever_did_not_fail_is_better_than_what_did():
    losses = [7, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan]
    taken = path(ladder(), losses, 60)
    assert 0 in taken
    assert path(ladder(), [8, 7, 6, 5, 4, 3, np.nan], 1, granted=[6]) != [6]


def test_where_nothing_or_nothing_good_was_granted_it_starts_at_random():
    space = space_of(CS.UniformFloatHyperparameter("x", 0.0, 1.0))
    starts = set()
    for seed in range(5):
        for initial in (None, Evaluated(np.array([[0.5]]), np.array([np.nan]))):
            asked, _ = batches(local_search(task(space, initial=initial), rng(seed)), lambda X: X[:, 0], 1)
            assert np.array_equal(asked[0], space.sample(1, rng(seed)))
            starts.add(asked[0][0, 0])
    assert len(starts) == 5


def test_of_granted_equals_any_may_be_the_start():
    space = ladder(9)
    initial = Evaluated(np.array([[1.0], [4.0], [7.0]]), np.array([2.0, 2.0, 2.0]))
    firsts = set()
    for seed in range(30):
        asked, _ = batches(local_search(task(space, initial=initial), rng(seed)), lambda X: X[:, 0], 1)
        firsts.add(int(asked[0][0, 0]))
    assert firsts == {0, 2, 3, 5, 6, 8}


def test_nothing_is_evaluated_twice_in_a_climb():
    taken = path(ladder(), [6, 5, 4, 3, 2, 1, 0], 6, granted=[0])
    assert taken == [1, 2, 3, 4, 5, 6]


def test_a_space_without_neighbours_is_drawn_from():
    space = space_of(CS.Constant("k", 1))
    asked, _ = batches(local_search(task(space), rng()), lambda X: np.zeros(len(X)), 5)
    assert np.concatenate(asked).tolist() == [[1.0]] * 5


# ---------------------------------------------------------------------- the neighbourhood


def mixed():
    model = CS.CategoricalHyperparameter("model", ["a", "b", "c"], weights=[0.8, 0.15, 0.05])
    rate = CS.UniformFloatHyperparameter("rate", 1e-4, 1.0, log=True, default_value=0.5)
    return space_of(
        model,
        rate,
        CS.OrdinalHyperparameter("width", [1, 2, 4, 8]),
        CS.UniformIntegerHyperparameter("layers", 1, 4),
        CS.UniformIntegerHyperparameter("units", 1, 500),
        CS.UniformFloatHyperparameter("x", 0.0, 1.0),
        CS.Constant("k", 1),
        conditions=[CS.EqualsCondition(rate, model, "c")],
    )


def changes(rows, centre):
    """Name of what changed -> its new values. One hyperparameter changes, those that depend on it aside."""
    out = {}
    for row in rows:
        names = [name for name in {**row, **centre} if row.get(name) != centre.get(name)]
        if "model" in names:
            names = ["model"]
        assert len(names) == 1
        out.setdefault(names[0], []).append(row[names[0]])
    return out


def test_the_neighbours_by_kind():
    centre = {"model": "a", "width": 2, "layers": 2, "units": 250, "x": 0.5, "k": 1}
    found = changes(around(mixed(), centre), centre)
    assert sorted(found.pop("model")) == ["b", "c"]
    assert sorted(found.pop("width")) == [1, 4]
    assert sorted(found.pop("layers")) == [1, 3, 4]  # there are no more than four
    assert len(set(found["units"])) == 4
    assert 250 not in found.pop("units")
    assert len(set(found.pop("x"))) == 4
    assert found == {}


def test_an_ordinal_at_its_end_has_one_neighbour():
    assert [row["rung"] for row in around(ladder(), {"rung": 0})] == [1]
    assert [row["rung"] for row in around(ladder(), {"rung": 6})] == [5]


def test_what_a_change_activates_has_its_default_and_what_it_deactivates_is_gone():
    space = mixed()
    centre = {"model": "a", "width": 2, "layers": 2, "units": 250, "x": 0.5, "k": 1}
    [of_c] = [row for row in around(space, centre) if row["model"] == "c"]
    assert of_c["rate"] == pytest.approx(0.5)
    rows = around(space, {**centre, "model": "c", "rate": 0.01})
    assert all(("rate" in row) == (row["model"] == "c") for row in rows)
    assert len({row["rate"] for row in rows if "rate" in row} - {0.01}) == 5  # rounding aside, four others


def test_numbers_are_normal_around_the_value_and_truncated_to_the_range():
    space = space_of(CS.UniformFloatHyperparameter("x", 0.0, 1.0))
    for centre in (0.0, 0.1, 0.5, 1.0):
        found = [row["x"] for row in around(space, {"x": centre}, seeds=300)]
        expected = stats.truncnorm(-centre / 0.2, (1 - centre) / 0.2, centre, 0.2)
        assert len(found) == 1200
        assert stats.kstest(found, expected.cdf).pvalue > 1e-3


def test_integers_are_as_far_away_as_config_space_s():
    hp = CS.UniformIntegerHyperparameter("n", 0, 60)
    space = space_of(hp)
    ours = [row["n"] for row in around(space, {"n": 20}, seeds=300)]
    centre = CS.Configuration(space.config_space, values={"n": 20})
    theirs = [
        neighbour["n"] for seed in range(300) for neighbour in get_one_exchange_neighbourhood(centre, seed)
    ]
    assert len(ours) == len(theirs) == 1200
    assert 20 not in ours
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-3


def test_as_many_neighbours_per_hyperparameter_as_config_space_has():
    space = mixed()
    values = {"model": "c", "rate": 0.01, "width": 2, "layers": 2, "units": 250, "x": 0.5, "k": 1}
    centre = CS.Configuration(space.config_space, values=values)
    theirs = [dict(neighbour) for neighbour in get_one_exchange_neighbourhood(centre, 1)]
    values = dict(centre)
    ours = around(space, values)

    def sizes(rows):
        names = ["model", "width", "layers", "units", "x"]
        return {name: sum(row[name] != values[name] for row in rows) for name in names}

    assert sizes(ours) == sizes(theirs)
    assert len(ours) == len(theirs)


def test_the_order_is_random():
    centre = {"model": "a", "width": 2, "layers": 2, "units": 250, "x": 0.5, "k": 1}
    firsts = set()
    for seed in range(40):
        space = mixed()
        x = space.encode([centre])[0]
        X = neighbourhood(space, x, x, rng(seed))
        firsts |= set(changes(space.decode(X[:1]), centre))
    assert firsts == {"model", "width", "layers", "units", "x"}


# ---------------------------------------------------------------------- is it any good


def test_it_beats_random_search_on_a_bowl():
    space = space_of(*[CS.UniformFloatHyperparameter(f"x{j}", 0.0, 1.0) for j in range(6)])

    def bowl(X):
        return np.sum((X - 0.3) ** 2, axis=1)

    def best(program):
        return min(losses.min() for losses in batches(program, bowl, 400)[1])

    ours = [best(local_search(task(space, 400), rng(seed))) for seed in range(5)]
    random = [best(random_search(task(space, 400), rng(seed))) for seed in range(5)]
    assert np.mean(ours) < np.mean(random) / 5
