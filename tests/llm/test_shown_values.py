from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    CategoricalHyperparameter,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    Integer,
    OrdinalHyperparameter,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from surrobench.benchmarks.registry import benchmark
from surrobench.errors import UsageError
from surrobench.llm.parse import parse_configuration
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.llm.prompts import TEXT_RULES
from surrobench.llm.proposal import Proposal
from surrobench.llm.schemas import json_schema
from surrobench.llm.shown_values import LEVELS, ShownValues
from surrobench.protocol.requests import Completion
from surrobench.space.hyperparameter import Hyperparameter, bounds_of, value_of
from surrobench.space.search_space import SearchSpace

NEAR_ONE = [0.9999, 0.99992, 0.9999712, 0.99998, 0.99999]


def shown(hp: Hyperparameter, rules: int = TEXT_RULES) -> ShownValues:
    return ShownValues(hp, rules)


def space_of(*hyperparameters: Any) -> SearchSpace:
    space = ConfigurationSpace()
    space.add(*hyperparameters)
    return SearchSpace(space)


def said(space: SearchSpace, configuration: dict[str, Any], **more: Any) -> Proposal:
    reply = Completion(json.dumps(configuration), "stop", 0, 0, 0.0)
    return parse_configuration(reply, ShownSpace(space, **more), clip=False, default=space.default)


# ---------------------------------------------------------------------- lists


def test_a_grid_is_shown_with_the_digits_that_tell_its_values_apart() -> None:
    space = space_of(OrdinalHyperparameter("momentum", NEAR_ONE))
    view = ShownSpace(space)
    assert view.abouts == ("one of 0.9999, 0.99992, 0.99997, 0.99998, 0.99999",)
    assert json_schema(view)["properties"]["momentum"]["enum"] == [0.9999, 0.99992, 0.99997, 0.99998, 0.99999]
    texts = json_schema(view)["properties"]["momentum"]["enum"]
    for index, (value, text) in enumerate(zip(NEAR_ONE, texts, strict=True)):
        for spelled in (value, text):
            proposal = said(space, {"momentum": spelled})
            assert proposal.configuration is not None
            assert proposal.configuration[0] == index
            assert proposal.repairs == ()
    # By the first rules all of them were 1.0.
    assert json_schema(ShownSpace(space, rules=1))["properties"]["momentum"]["enum"] == [1.0] * 5


@given(st.lists(st.floats(-1e30, 1e30), min_size=2, max_size=12, unique=True))
@example([1.0, float(np.nextafter(1.0, 2.0))])
@example([1e-300, 2e-300, 0.0])
def test_every_value_of_a_list_is_written_so_that_it_is_read_again(choices: list[float]) -> None:
    choices = sorted(choices)
    if choices[0] == 0:
        choices[0] = 0.0  # and not its negative
    space = space_of(OrdinalHyperparameter("a", choices))
    view = ShownSpace(space)
    written = [view.write(np.array([float(i)]))["a"] for i in range(len(choices))]
    assert len(set(written)) == len(choices)
    for index, value in enumerate(written):
        proposal = said(space, {"a": json.loads(json.dumps(value))})
        assert (proposal.configuration, proposal.repairs) == (np.array([float(index)]), ())


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        (["relu", "tanh"], "one of relu, tanh"),
        (["impute.mean", "none"], "one of impute.mean, none"),
        (["0.5", "None", "auto"], 'one of "0.5", "None", "auto"'),
        (["1", "2"], 'one of "1", "2"'),
        (["1e-3", "x"], 'one of "1e-3", "x"'),
        (["true", "x"], 'one of "true", "x"'),
        (["null", "x"], 'one of "null", "x"'),
        (["NaN", "x"], 'one of "NaN", "x"'),
        (["", "x"], 'one of "", "x"'),
        (["[relu, tanh]", "[tanh]"], 'one of "[relu, tanh]", "[tanh]"'),
        (["a, b", "c"], 'one of "a, b", "c"'),
        (["a\nb", "c"], 'one of "a\\nb", "c"'),
        ([True, False], "one of true, false"),
        ([1, "auto"], 'one of 1, "auto"'),
        ([1, 2, 0.5], "one of 1, 2, 0.5"),
    ],
)
def test_words_that_may_be_mistaken_are_shown_as_json(choices: list[Any], text: str) -> None:
    hp = CategoricalHyperparameter("a", choices)
    assert shown(hp).describe() == text
    space = space_of(hp)
    for index, choice in enumerate(choices):
        proposal = said(space, {"a": choice})
        assert (proposal.configuration, proposal.repairs) == (np.array([float(index)]), ())


@pytest.mark.parametrize(
    ("choices", "reply", "meant"),
    [
        (["0.5", "None", "auto"], 0.5, "0.5"),
        (["0.5", "None", "auto"], None, "None"),
        (["0.5", "None", "auto"], " auto ", "auto"),
        (["1", "2"], 2, "2"),
        (["1", "2"], 2.0, "2"),
        (["True", "False"], True, "True"),
        (["true", "false"], False, "false"),
        (["null", "x"], None, "null"),
        ([True, False], "true", True),
        ([True, False], "False", False),
        ([0.01, 0.1], "0.01", 0.01),
        ([16, 32], "32", 32),
        ([16, "auto"], "16", 16),
        ([0.0, 0.5], "0", 0.0),
    ],
)
def test_another_type_that_says_the_same_is_mended(choices: list[Any], reply: Any, meant: Any) -> None:
    space = space_of(CategoricalHyperparameter("a", choices))
    proposal = said(space, {"a": reply})
    assert proposal.configuration is not None, proposal.detail
    assert value_of(space["a"], proposal.configuration[0]) == meant
    assert proposal.repairs == ("text:a",)


@pytest.mark.parametrize(
    ("choices", "reply"),
    [(["true", "True"], True), (["0.5", "auto"], 0.6), ([1, 2], True), (["a", "b"], ["a"])],
)
def test_what_may_mean_several_values_or_none_is_refused_in_json(choices: list[Any], reply: Any) -> None:
    hp = CategoricalHyperparameter("a", choices)
    proposal = said(space_of(hp), {"a": reply})
    assert proposal.defect == "out-of-range"
    assert proposal.detail == f"a = {json.dumps(reply)} is not in the space; it is {shown(hp).describe()}"


def test_conditions_and_messages_show_values_as_the_list_does() -> None:
    mode = CategoricalHyperparameter("mode", ["None", "auto"])
    depth = Integer("depth", (1, 9))
    space = space_of(mode, depth, EqualsCondition(depth, mode, "None"))
    about = dict(zip(ShownSpace(space).names, ShownSpace(space).abouts, strict=True))["depth"]
    assert about == 'integer from 1 to 9, only if mode is "None"'
    with pytest.raises(UsageError, match=r'mode = None is not in the space. It is one of "None", "auto".'):
        space.encode_value("mode", None)


# ---------------------------------------------------------------------- ranges


@pytest.mark.parametrize(
    ("hp", "text"),
    [
        (Float("c", (1e-5, 0.33333), log=True), "number from 1e-05 to 0.334, log scale"),
        (Float("d", (0, 1), default=0.7654), "number from 0.0 to 1.0"),
        (Float("m", (0.1, 0.99)), "number from 0.1 to 0.99"),
        (Float("n", (1270.6, 1273.6)), "number from 1270.6 to 1273.6"),
        (Float("o", (0.99990, 0.99999)), "number from 0.9999 to 0.99999"),
        (Float("p", (-1273.61, -1270.58)), "number from -1273.61 to -1270.58"),
        (Float("q", (1000.0, 1001.0), log=True), "number from 1000.0 to 1001.0, log scale"),
        (
            Float("r", (0.0009118819656, 1096.6331584284585), log=True),
            "number from 0.000911 to 1100.0, log scale",
        ),
        (Integer("e", (1, 12345), default=77), "integer from 1 to 12345"),
        (OrdinalHyperparameter("b", [0.00012345, 1]), "one of 0.000123, 1"),
        (Constant("k", "v1"), "one of v1"),
    ],
)
def test_a_range_is_shown_with_type_ends_and_scale_and_without_default(hp: Hyperparameter, text: str) -> None:
    assert shown(hp).describe() == text


@given(st.floats(-1e6, 1e6), st.floats(1e-7, 1e6), st.booleans())
@example(1270.6, 3.0, False)
@example(0.9999, 9e-5, True)
@example(0.1, 0.89, False)
@settings(max_examples=300, deadline=None)
def test_every_range_has_levels_and_lies_in_its_schema(low: float, width: float, log: bool) -> None:
    low = abs(low) + 1e-3 if log else low
    high = low + width
    hp = Float("a", (low, high), log=log)
    space = space_of(hp)
    view = ShownSpace(space)
    schema = json_schema(view)["properties"]["a"]
    low, high = bounds_of(hp)  # ConfigSpace rounds them
    assert schema["minimum"] <= low * (1 + np.sign(low) * 1e-9)
    assert schema["maximum"] >= high * (1 - np.sign(high) * 1e-9)
    X = np.linspace(0, 1, LEVELS // 2 + 1)[:, None]
    written = [view.write(x)["a"] for x in X]
    assert len(set(written)) == len(X)
    assert all(first < second for first, second in pairwise(written))
    assert all(schema["minimum"] <= value <= schema["maximum"] for value in written)
    for value in (*written, schema["minimum"], schema["maximum"]):
        proposal = said(space, {"a": value})
        assert proposal.configuration is not None, proposal.detail
        kept = value_of(hp, proposal.configuration[0])
        tolerance = 1e-9 * (abs(kept) * np.log(high / low) if log else high - low)
        assert (abs(kept - value) <= tolerance) == (proposal.repairs == ())
        assert proposal.repairs in ((), ("snapped:a",))


def test_a_shown_end_beyond_the_range_is_moved_to_the_end_and_recorded() -> None:
    space = space_of(Float("a", (0.0009118819656, 1096.6331584284585), log=True))
    proposal = said(space, {"a": 1100.0})
    assert (proposal.configuration, proposal.repairs) == (np.array([1.0]), ("snapped:a",))
    assert said(space, {"a": 1100.0}, rules=1).repairs == ()
    # However near the end lies to what is shown: 5e-9 is much on the scale of this range.
    near = space_of(Float("a", (1.00049e-5, 1.0), log=True))
    assert said(near, {"a": 1e-5}).repairs == ("snapped:a",)
    beyond = said(space, {"a": 1100.1})
    assert beyond.detail == "a = 1100.1 is out of range; it is between 0.000911 and 1100.0"


# ---------------------------------------------------------------------- anonymous


def test_an_integer_in_the_unit_cube_has_the_digits_that_lead_back_to_it() -> None:
    space = space_of(Integer("units", (1, 3000), log=True), Integer("seed", (0, 99_999)))
    view = ShownSpace(space, "anonymous")
    X = space.sample(300, np.random.default_rng(0))
    for x in X:
        written = view.write(x)
        proposal = said(space, written, variant="anonymous")
        assert proposal.configuration is not None
        assert np.allclose(proposal.configuration, x, rtol=0, atol=1e-9)
        assert all(len(repr(value)) <= 12 for value in written.values())
    few = space_of(OrdinalHyperparameter("batch", [16, 32, 64]))
    assert ShownSpace(few, "anonymous").write(np.array([1.0])) == {"x1": 0.5}


# ---------------------------------------------------------------------- the first rules


@pytest.mark.parametrize(
    "id_", ["hpobench/mlp/car", "hpolib/fcnet/naval_propulsion", "nasbench201/cell/cifar10"]
)
def test_where_three_digits_sufficed_nothing_has_changed(id_: str) -> None:
    space = benchmark(id_).space
    for variant in ("full", "misleading", "no-dataset"):
        old, new = ShownSpace(space, variant, 1), ShownSpace(space, variant)
        assert old.abouts == new.abouts
        assert json_schema(old) == json_schema(new)
        for x in space.sample(100, np.random.default_rng(0)):
            assert old.write(x) == new.write(x)


def test_the_first_rules_merged_narrow_ranges() -> None:
    assert shown(Float("n", (1270.6, 1273.6)), 1).describe() == "number from 1270.0 to 1270.0"
    assert shown(CategoricalHyperparameter("a", ["0.5", "None"]), 1).describe() == "one of 0.5, None"
