import json
import math
import os
import warnings
from pathlib import Path

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest
from ConfigSpace import (
    AndConjunction,
    ConfigurationSpace,
    EqualsCondition,
    GreaterThanCondition,
    InCondition,
    LessThanCondition,
    NotEqualsCondition,
    OrConjunction,
)
from ConfigSpace.exceptions import ActiveHyperparameterNotSetError, InactiveHyperparameterSetError
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from scipy import stats

from surrobench.errors import DataError, UsageError
from surrobench.space.hyperparameter import bounds_of, describe, is_integer, is_log, values_of
from surrobench.space.search_space import SearchSpace

ROWS = 40


def space_of(*hyperparameters, conditions=()):
    config_space = ConfigurationSpace(seed=0)
    config_space.add(*hyperparameters)
    config_space.add(*conditions)
    return SearchSpace(config_space)


def rng(seed=0):
    return np.random.default_rng(seed)


def mixed():
    """One hyperparameter of each kind, and a conditional one."""
    kind = CS.CategoricalHyperparameter("kind", ["a", "b", "c"])
    momentum = CS.UniformFloatHyperparameter("momentum", 0.1, 0.9)
    return space_of(
        CS.UniformFloatHyperparameter("dropout", -1.0, 3.0),
        CS.UniformFloatHyperparameter("lr", 1e-6, 1.0, log=True),
        CS.UniformIntegerHyperparameter("depth", -2, 7),
        CS.UniformIntegerHyperparameter("width", 2, 1000, log=True),
        kind,
        CS.CategoricalHyperparameter("early", [True, False]),
        CS.CategoricalHyperparameter("rare", ["x", "y", "z"], weights=[0.7, 0.2, 0.1]),
        CS.OrdinalHyperparameter("batch", [16, 32, 64, 128], meta={"log": True}),
        CS.OrdinalHyperparameter("size", ["s", "m", "l"]),
        CS.Constant("solver", "adam"),
        CS.Constant("threads", 4),
        momentum,
        conditions=[EqualsCondition(momentum, kind, "b")],
    )


# ---------------------------------------------------------------------- random spaces

# ConfigSpace evaluates conditions by their shallowest parent first: a child of an inactive and of a shallower
# active parent may stay active in what it samples, and in the default configuration that it makes when a
# condition is added. Its own check then refuses that.
CONTRADICTIONS = (ActiveHyperparameterNotSetError, InactiveHyperparameterSetError)


@st.composite
def hyperparameter(draw, name):
    kind = draw(st.sampled_from(["float", "int", "categorical", "ordinal", "constant"]))
    if kind == "constant":
        return CS.Constant(name, draw(st.sampled_from(["only", 3, 0.5])))
    if kind in ("categorical", "ordinal"):
        values = draw(st.sampled_from([["p", "q", "r", "s"], [1, 2, 4, 8], [0.1, 1.5, 3.0, 7.25]]))
        values = values[: draw(st.integers(2, 4))]
        if kind == "ordinal":
            return CS.OrdinalHyperparameter(name, values)
        weights = draw(st.none() | st.lists(st.integers(1, 9), min_size=len(values), max_size=len(values)))
        return CS.CategoricalHyperparameter(name, values, weights=weights)
    log = draw(st.booleans())
    if kind == "int":
        low = draw(st.integers(1 if log else -20, 20))
        return CS.UniformIntegerHyperparameter(name, low, low + draw(st.integers(1, 300)), log=log)
    low = draw(st.floats(1e-7, 10) if log else st.floats(-100, 100))
    return CS.UniformFloatHyperparameter(name, low, low + draw(st.floats(0.01, 1000)), log=log)


def condition_on(draw, child, parent, *, conditional_parent):
    """Some condition that can hold and can fail."""
    choices = values_of(parent)
    if isinstance(parent, CS.UniformFloatHyperparameter):
        value = float(parent.to_value(0.3))
        return draw(st.sampled_from([GreaterThanCondition, LessThanCondition]))(child, parent, value)
    if choices is None:
        low, high = bounds_of(parent)
        choices = [draw(st.integers(low, high)) for _ in range(2)]
    kinds = [EqualsCondition, InCondition]
    if parent.ORDERABLE:
        kinds += [GreaterThanCondition, LessThanCondition]
    if not conditional_parent:
        # ConfigSpace contradicts itself where the parent is inactive: see the test of chains.
        kinds.append(NotEqualsCondition)
    kind = draw(st.sampled_from(kinds))
    if kind is InCondition:
        return InCondition(child, parent, choices[:2])
    return kind(child, parent, draw(st.sampled_from(choices)))


@st.composite
def random_space(draw):
    """Up to seven hyperparameters, in no particular alphabetical order, some of them conditional."""
    names = draw(st.permutations(["a", "b", "c", "d", "e", "f", "g"]))[: draw(st.integers(1, 7))]
    config_space = ConfigurationSpace(seed=draw(st.integers(0, 2**31)))
    config_space.add(*[draw(hyperparameter(name)) for name in names])
    conditional = set()
    for i, name in enumerate(names):
        n_parents = draw(st.sampled_from([0, 0, 1, 1, 2])) if i else 0
        parents = draw(st.permutations(names[:i]))[:n_parents]
        if not parents:
            continue
        parts = [
            condition_on(
                draw, config_space[name], config_space[parent], conditional_parent=parent in conditional
            )
            for parent in parents
        ]
        joined = draw(st.sampled_from([AndConjunction, OrConjunction]))
        try:
            config_space.add(joined(*parts) if len(parts) > 1 else parts[0])
        except CONTRADICTIONS:
            reject()
        conditional.add(name)
    return config_space


def same_values(ours, theirs):
    """Whether two configurations agree, floats up to rounding; with what they have as Python types."""
    return ours.keys() == theirs.keys() and all(
        math.isclose(value, theirs[name], rel_tol=1e-6, abs_tol=1e-9)
        if isinstance(value, float)
        else value == theirs[name]
        for name, value in ours.items()
    )


def is_valid(configuration):
    """Whether ConfigSpace accepts what it has sampled (see ``CONTRADICTIONS``)."""
    try:
        configuration.check_valid_configuration()
    except CONTRADICTIONS:
        return False
    return True


@given(random_space())
@settings(max_examples=100)
def test_what_config_space_samples_is_legal_and_decodes_to_its_own_values(config_space):
    space = SearchSpace(config_space)
    configurations = config_space.sample_configuration(8)
    X = np.array([configuration.get_array() for configuration in configurations])
    assert space.legal(X).tolist() == [is_valid(configuration) for configuration in configurations]
    for ours, theirs in zip(space.decode(X), configurations, strict=True):
        assert same_values(ours, dict(theirs))
    # ConfigSpace rounds the values that it shows to 13 decimals.
    legal = space.legal(X)
    encoded = space.encode([dict(c) for c, is_legal in zip(configurations, legal, strict=True) if is_legal])
    assert np.allclose(encoded, X[legal], atol=1e-6, equal_nan=True)


@given(random_space(), st.integers(0, 2**32))
@settings(max_examples=100)
def test_what_we_sample_is_legal_to_us_and_to_config_space(config_space, seed):
    space = SearchSpace(config_space)
    X = space.sample(8, rng(seed))
    assert X.shape == (8, space.d)
    assert space.legal(X).all()
    for x, values in zip(X, space.decode(X), strict=True):
        theirs = CS.Configuration(config_space, values=values)  # raises where it is illegal
        assert np.allclose(theirs.get_array(), x, atol=1e-6, equal_nan=True)


@given(random_space(), st.integers(0, 2**32))
@settings(max_examples=100)
def test_every_representation_leads_back_to_the_same_configuration(config_space, seed):
    space = SearchSpace(config_space)
    X = space.sample(8, rng(seed))
    columns = {
        name: [value if on else None for value, on in zip(values.tolist(), active.tolist(), strict=True)]
        for name, (values, active) in space.columns(X).items()
    }
    unit = space.to_unit(X)
    assert np.allclose(space.encode(space.decode(X)), X, atol=1e-9, equal_nan=True)
    assert np.allclose(space.from_columns(columns), X, atol=1e-9, equal_nan=True)
    assert np.array_equal(space.snap(X), X, equal_nan=True)
    assert np.array_equal(np.isnan(unit), np.isnan(X))
    assert np.allclose(space.from_unit(np.where(np.isnan(unit), 0.5, unit)), X, atol=1e-9, equal_nan=True)


@given(random_space(), st.integers(0, 2**32))
@settings(max_examples=100)
def test_a_column_of_the_unit_cube_alone_is_that_of_the_whole(config_space, seed):
    space = SearchSpace(config_space)
    U = rng(seed).random((8, space.d))
    X = space.from_unit(U)
    for j in range(space.d):
        active = ~np.isnan(X[:, j])
        assert np.array_equal(space.column_from_unit(j, U[:, j])[active], X[active, j])
        if levels := int(space.levels[j]):
            middles = space.middles(j)
            assert np.all(np.diff(middles) > 0)
            values = space.column_from_unit(j, middles)
            assert len(set(values)) == len(middles) == levels  # each value once
            assert set(X[active, j]) <= set(values)


@given(random_space())
@settings(max_examples=50)
def test_the_default_is_config_spaces_and_legal(config_space):
    space = SearchSpace(config_space)
    assert space.legal(space.default[None, :]).all()
    assert same_values(space.decode(space.default)[0], dict(config_space.get_default_configuration()))


# ---------------------------------------------------------------------- drawing


def test_the_first_rows_of_a_longer_sample_are_those_of_a_shorter_one():
    space = mixed()
    assert np.array_equal(space.sample(100, rng())[:7], space.sample(7, rng()), equal_nan=True)


def test_rows_drawn_one_after_the_other_are_those_drawn_at_once():
    space, one_by_one = mixed(), rng()
    rows = np.concatenate([space.sample(1, one_by_one) for _ in range(5)])
    assert np.array_equal(rows, space.sample(5, rng()), equal_nan=True)


def test_weighted_categories_follow_their_weights():
    weights = [0.05, 0.6, 0.35]
    space = space_of(CS.CategoricalHyperparameter("rare", ["x", "y", "z"], weights=weights))
    counts = np.bincount(space.sample(4000, rng())[:, 0].astype(int), minlength=3)
    assert stats.chisquare(counts, 4000 * np.array(weights)).pvalue > 1e-4


@pytest.mark.parametrize("name", ["depth", "width", "kind", "early", "rare", "batch", "size"])
def test_discrete_values_are_as_frequent_as_in_config_space(name):
    space = mixed()
    space.config_space.seed(1)
    n, column = 3000, space.column(name)
    theirs = np.array([c.get_array()[column] for c in space.config_space.sample_configuration(n)])
    ours = space.sample(n, rng(2))[:, column]
    # The integers of a log range are many: grouped, so that no cell is nearly empty.
    edges = np.unique(np.quantile(np.concatenate([ours, theirs]), np.linspace(0, 1, 12)[1:-1]))
    table = np.array(
        [np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) for x in (ours, theirs)]
    )
    assert stats.chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue > 1e-4


def test_the_lowest_integers_of_a_log_range_are_as_frequent_as_in_config_space():
    space = space_of(CS.UniformIntegerHyperparameter("n", 1, 8, log=True))
    n = 4000
    theirs = [c["n"] for c in space.config_space.sample_configuration(n)]
    ours = space.columns(space.sample(n, rng()))["n"][0]
    table = np.array([np.bincount(x, minlength=9)[1:] for x in (ours, theirs)])
    assert stats.chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize("name", ["dropout", "lr", "momentum"])
def test_continuous_values_are_uniform_on_their_scale(name):
    space = mixed()
    x = space.sample(4000, rng())[:, space.column(name)]
    assert stats.kstest(x[~np.isnan(x)], "uniform").pvalue > 1e-4


def test_the_ends_of_the_unit_cube_are_the_ends_of_every_range():
    space = mixed()
    U = np.array([np.zeros(space.d), np.ones(space.d), np.full(space.d, 1 - 1e-16)])
    U[:, space.column("kind")] = 0.5
    X = space.from_unit(U)
    lowest, highest, just_below = space.decode(X)
    assert space.legal(X).all()
    assert (lowest["depth"], lowest["width"], lowest["batch"], lowest["rare"]) == (-2, 2, 16, "x")
    assert (highest["depth"], highest["width"], highest["batch"], highest["rare"]) == (7, 1000, 128, "z")
    assert (lowest["dropout"], highest["dropout"]) == (-1.0, 3.0)
    discrete = [name for name, levels in zip(space.names, space.levels, strict=True) if levels]
    assert [just_below[name] for name in discrete] == [highest[name] for name in discrete]


def test_every_value_of_a_discrete_hyperparameter_has_a_bin_of_equal_width():
    space = space_of(
        CS.UniformIntegerHyperparameter("n", 3, 9), CS.OrdinalHyperparameter("o", list(range(7)))
    )
    middles = (np.arange(7) + 0.5) / 7
    X = space.from_unit(np.stack([middles, middles], axis=1))
    assert [row["n"] for row in space.decode(X)] == list(range(3, 10))
    assert [row["o"] for row in space.decode(X)] == list(range(7))
    assert np.allclose(space.to_unit(X), middles[:, None])


# ---------------------------------------------------------------------- conditions

PARENT = CS.UniformIntegerHyperparameter("parent", 0, 6)
CHILD = CS.UniformFloatHyperparameter("child", 0, 1)
OTHER = CS.CategoricalHyperparameter("other", ["on", "off"])


def active_for(condition, *parents):
    """For which values of the first parent the child is active, the second parent being "on"."""
    space = space_of(*parents, CHILD, conditions=[condition])
    U = np.full((700, space.d), 0.25)
    U[:, space.column("parent")] = (np.arange(700) + 0.5) / 700
    rows = space.decode(space.from_unit(U))
    active = {row["parent"] for row in rows if "child" in row}
    assert active.isdisjoint(row["parent"] for row in rows if "child" not in row)
    return active


@pytest.mark.parametrize(
    ("condition", "active"),
    [
        *[(EqualsCondition(CHILD, PARENT, value), {value}) for value in range(7)],
        (NotEqualsCondition(CHILD, PARENT, 5), {0, 1, 2, 3, 4, 6}),
        (InCondition(CHILD, PARENT, [0, 3, 5]), {0, 3, 5}),
        (GreaterThanCondition(CHILD, PARENT, 4), {5, 6}),
        (GreaterThanCondition(CHILD, PARENT, 5), {6}),
        (LessThanCondition(CHILD, PARENT, 3), {0, 1, 2}),
    ],
    ids=str,
)
def test_a_child_is_active_exactly_where_its_condition_holds(condition, active):
    assert active_for(condition, PARENT) == active


@pytest.mark.parametrize(
    ("joined", "active"), [(AndConjunction, {5}), (OrConjunction, {0, 1, 2, 3, 4, 5, 6})]
)
def test_conditions_can_be_joined(joined, active):
    condition = joined(EqualsCondition(CHILD, PARENT, 5), EqualsCondition(CHILD, OTHER, "on"))
    assert active_for(condition, PARENT, OTHER) == active


def test_conditions_on_integers_of_a_log_scale_hold_for_single_values():
    parent = CS.UniformIntegerHyperparameter("parent", 1, 9, log=True)
    for value in range(1, 10):
        assert active_for(EqualsCondition(CHILD, parent, value), parent) == {value}


def test_a_constant_can_be_a_parent():
    parent = CS.Constant("parent", 3)
    assert active_for(EqualsCondition(CHILD, parent, 3), parent) == {3}


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "b", "a")], ids="".join)
def test_an_inactive_parent_deactivates_its_children(names):
    """Also where the condition asks for *another* value.

    (ConfigSpace agrees for values, but its sampler, which compares NaN != value, does not.)
    """
    root = CS.CategoricalHyperparameter(names[0], ["on", "off"])
    middle = CS.CategoricalHyperparameter(names[1], ["x", "y"])
    leaf = CS.UniformFloatHyperparameter(names[2], 0, 1)
    space = space_of(
        root,
        middle,
        leaf,
        conditions=[EqualsCondition(middle, root, "on"), NotEqualsCondition(leaf, middle, "x")],
    )
    found = {
        (row[names[0]], row.get(names[1]), names[2] in row) for row in space.decode(space.sample(200, rng()))
    }
    assert found == {("on", "x", False), ("on", "y", True), ("off", None, False)}


def test_whether_one_column_is_active_follows_from_its_parents():
    space = mixed()
    x = space.encode([{**space.decode(space.default)[0], "kind": "b", "momentum": 0.5}])[0]
    assert space.is_active(space.column("momentum"), x)
    assert space.is_active(space.column("lr"), x)
    x[space.column("kind")] = 0
    assert not space.is_active(space.column("momentum"), x)


# ---------------------------------------------------------------------- legality


def legal_rows():
    space = mixed()
    X = space.sample(ROWS, rng())
    active = ~np.isnan(X[:, space.column("momentum")])
    assert 0 < active.sum() < ROWS
    return space, X, active


@pytest.mark.parametrize("name", [name for name in mixed().names if name not in ("kind", "momentum")])
@pytest.mark.parametrize("value", [-0.01, -1.0, 1000.0, np.inf, -np.inf])
def test_values_out_of_range_are_illegal(name, value):
    space, X, _ = legal_rows()
    X[:, space.column(name)] = value
    assert not space.legal(X).any()


@pytest.mark.parametrize(
    "name", ["depth", "width", "kind", "early", "rare", "batch", "size", "solver", "threads"]
)
def test_values_between_two_neighbours_are_illegal(name):
    space, X, _ = legal_rows()
    X[:, space.column(name)] += 0.004
    assert not space.legal(X).any()


def test_rounding_errors_are_legal():
    space, X, _ = legal_rows()
    assert space.legal(X + 1e-12).all()
    assert space.legal(X - 1e-12).all()


def test_a_missing_value_is_illegal():
    space, X, active = legal_rows()
    for name in space.names:
        rows = X[active].copy()
        rows[:, space.column(name)] = np.nan
        assert not space.legal(rows).any()


def test_a_value_where_the_hyperparameter_is_inactive_is_illegal():
    space, X, active = legal_rows()
    X[:, space.column("momentum")] = 0.5
    assert np.array_equal(space.legal(X), active)


def test_legality_is_told_row_by_row():
    space, X, _ = legal_rows()
    X[3, space.column("lr")] = 2.0
    assert np.flatnonzero(~space.legal(X)).tolist() == [3]


# ---------------------------------------------------------------------- the nearest value


@given(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5), st.floats(-2, 6))
@settings(max_examples=50)
def test_snapping_moves_to_the_nearest_value(depth, width, batch):
    space = mixed()
    names = ["depth", "width", "batch"]
    x = space.default.copy()
    x[[space.column(name) for name in names]] = [depth, width, batch]
    snapped = space.snap(x[None, :])
    assert space.legal(snapped).all()
    for name, value in zip(names, [depth, width, batch], strict=True):
        legal = [space.nearest(name, v) for v in values_of(space[name]) or range(*_range(space[name]))]
        own = snapped[0, space.column(name)]
        if name == "width":  # rounded as an integer, not as its logarithm
            own, legal = space[name].to_value(own), space[name].to_value(np.array(legal))
            low, high = bounds_of(space[name])
            value = low * (high / low) ** min(max(value, 0), 1)  # noqa: PLW2901
        assert abs(own - value) == pytest.approx(np.min(np.abs(np.array(legal) - value)), abs=1e-6)


def _range(hp):
    low, high = bounds_of(hp)
    return low, high + 1


def test_snapping_keeps_what_is_inactive():
    space, X, active = legal_rows()
    assert np.array_equal(np.isnan(space.snap(X)[:, space.column("momentum")]), ~active)


@pytest.mark.parametrize(
    ("name", "value", "nearest"),
    [
        ("depth", 3.4, 3),
        ("depth", 100, 7),
        ("depth", -100, -2),
        ("width", 0, 2),
        ("dropout", 9.5, 3.0),
        ("batch", 90, 64),  # the logarithms' midpoint of 64 and 128 is 90.5
        ("batch", 91, 128),
        ("batch", 0, 16),
        ("batch", 1e9, 128),
        ("threads", 1, 4),
        ("threads", 9, 4),
    ],
)
def test_the_nearest_legal_value_is_found_on_the_hyperparameters_own_scale(name, value, nearest):
    space = mixed()
    x = space.default.copy()
    x[space.column(name)] = space.nearest(name, value)
    assert space.legal(x[None, :]).all()
    assert space.decode(x)[0][name] == pytest.approx(nearest)


def test_a_grid_without_a_log_scale_is_rounded_linearly():
    space = space_of(CS.OrdinalHyperparameter("o", [1, 2, 10, 100]))
    assert [space.nearest("o", value) for value in (5.9, 6.1, 54, 56, -3)] == [1, 2, 2, 3, 0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "d"),
        ("kind", 1),
        ("kind", None),
        ("lr", "0.1"),
        ("lr", True),
        ("lr", math.nan),
        ("early", 1),
        ("early", "True"),
        ("size", 1.0),
        ("batch", "16"),
        ("batch", True),
        ("solver", "sgd"),
    ],
)
def test_what_is_near_no_value_is_refused_with_the_range(name, value):
    space = mixed()
    with pytest.raises(UsageError) as caught:
        space.nearest(name, value)
    assert str(caught.value) == f"{name} = {value!r} is not in the space. It is {describe(space[name])}."


# ---------------------------------------------------------------------- values


def test_values_are_plain_python_of_the_right_type():
    row = mixed().decode(mixed().default)[0]
    assert json.loads(json.dumps(row)) == row
    types = {name: type(value) for name, value in row.items()}
    assert types == {
        "batch": int,
        "depth": int,
        "dropout": float,
        "early": bool,
        "kind": str,
        "lr": float,
        "rare": str,
        "size": str,
        "solver": str,
        "threads": int,
        "width": int,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wdth": 3}, "No hyperparameter 'wdth'"),
        ({"depth": 8}, "depth = 8 is not in the space. It is an integer in [-2, 7]."),
        ({"depth": 0.5}, "depth = 0.5 is not in the space."),
        ({"width": 1001}, "It is an integer in [2, 1000] on a log scale."),
        ({"lr": 1.1}, "It is a number in [1e-06, 1.0] on a log scale."),
        ({"batch": 48}, "It is one of 16, 32, 64, 128."),
        ({"kind": "z"}, "It is one of a, b, c."),
        ({"momentum": 0.5}, "Configuration 0: 'momentum' is inactive and must be left out, or null."),
        ({"momentum": 99}, "Configuration 0: 'momentum' is inactive and must be left out, or null."),
        ({"kind": "b"}, "Configuration 0: 'momentum' is missing."),
        ({"kind": "b", "momentum": None}, "Configuration 0: 'momentum' is missing."),
    ],
)
def test_an_illegal_configuration_is_refused_by_name(change, message):
    space = mixed()
    with pytest.raises(UsageError) as caught:
        space.encode([{**space.decode(space.default)[0], **change}])
    assert message in str(caught.value)


def test_null_stands_for_an_inactive_hyperparameter_unless_it_is_a_value():
    space = mixed()
    [row] = space.decode(space.default)
    assert np.array_equal(space.encode([{**row, "momentum": None}]), space.encode([row]), equal_nan=True)
    choices = ConfigurationSpace()
    choices.add(CS.CategoricalHyperparameter("depth", [None, 3]))
    assert SearchSpace(choices).encode([{"depth": None}]).tolist() == [[0.0]]


def test_a_missing_hyperparameter_is_refused_by_name():
    space = mixed()
    row = space.decode(space.default)[0]
    del row["lr"]
    with pytest.raises(UsageError, match="Configuration 1: 'lr' is missing"):
        space.encode([space.decode(space.default)[0], row])


@given(st.floats(-1e-3, 1e-3))
def test_values_near_zero_of_a_wide_range_are_legal(value):
    space = space_of(CS.UniformFloatHyperparameter("x", -1e4, 1e4))
    assert space.decode(space.encode([{"x": value}]))[0]["x"] == pytest.approx(value, abs=1e-8)


def test_hyperparameters_are_described_by_kind():
    space = mixed()
    assert describe(space["dropout"]) == "a number in [-1.0, 3.0]"
    assert describe(space["solver"]) == "one of adam"
    assert values_of(space["lr"]) is None
    assert values_of(space["threads"]) == [4]
    assert bounds_of(space["batch"]) == (16, 128)
    assert [name for name in space.names if is_log(space[name])] == ["batch", "lr", "width"]
    assert [name for name in space.names if is_integer(space[name])] == ["depth", "width"]
    continuous = [name for name, on in zip(space.names, space.is_continuous, strict=True) if on]
    categorical = [name for name, on in zip(space.names, space.is_categorical, strict=True) if on]
    assert continuous == ["dropout", "lr", "momentum"]
    assert categorical == ["early", "kind", "rare"]
    assert space.is_conditional
    assert not space_of(PARENT).is_conditional


def test_a_prior_without_array_form_is_refused():
    with pytest.raises(DataError, match="NormalFloat"):
        space_of(CS.NormalFloatHyperparameter("x", mu=0, sigma=1, lower=-1, upper=1))


def test_forbidden_clauses_are_refused():
    config_space = ConfigurationSpace({"a": ["x", "y"]})
    config_space.add(CS.ForbiddenEqualsClause(config_space["a"], "y"))
    with pytest.raises(DataError, match="forbidden"):
        SearchSpace(config_space)


# ---------------------------------------------------------------------- YAHPO's own spaces

YAHPO = os.environ.get("SURROBENCH_YAHPO_DATA", "")
SPACES = sorted(Path(YAHPO).glob("*/config_space.json")) if YAHPO else []
NO_YAHPO = pytest.param(None, marks=pytest.mark.skip("SURROBENCH_YAHPO_DATA names no folder"), id="none")


@pytest.mark.skipif(not YAHPO, reason="SURROBENCH_YAHPO_DATA names no folder")
def test_the_yahpo_folder_holds_search_spaces():
    assert SPACES, f"no */config_space.json in {YAHPO}"


@pytest.mark.parametrize("path", [pytest.param(path, id=path.parent.name) for path in SPACES] or [NO_YAHPO])
def test_yahpo_spaces_agree_with_config_space(path):
    with warnings.catch_warnings():  # the files are older than ConfigSpace's present format
        warnings.filterwarnings("ignore", "The field '.*' should be", UserWarning)
        config_space = ConfigurationSpace.from_json(path)
    config_space.seed(0)
    space = SearchSpace(config_space)
    configurations = config_space.sample_configuration(20)
    X = np.array([configuration.get_array() for configuration in configurations])
    assert space.legal(X).all()
    assert all(
        same_values(ours, dict(theirs)) for ours, theirs in zip(space.decode(X), configurations, strict=True)
    )
    drawn = space.sample(20, rng())
    assert space.legal(drawn).all()
    assert np.allclose(space.encode(space.decode(drawn)), drawn, atol=1e-9, equal_nan=True)
    for values in space.decode(drawn):
        CS.Configuration(config_space, values=values)  # raises where it is illegal
