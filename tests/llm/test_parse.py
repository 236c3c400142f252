from __future__ import annotations

import json
import math
import time
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

from surrobench.benchmarks.registry import SCENARIOS, scenario
from surrobench.llm.parse import parse_configuration, parse_configurations
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.llm.prompts import TEXT_RULES, number
from surrobench.llm.proposal import Proposal
from surrobench.llm.schemas import json_schema
from surrobench.protocol.requests import Completion, FinishReason
from surrobench.space.hyperparameter import values_of
from surrobench.space.search_space import SearchSpace


def _mixed() -> SearchSpace:
    space = ConfigurationSpace()
    kernel = CategoricalHyperparameter("kernel", ["linear", "rbf", "none"])
    gamma = Float("gamma", (1e-4, 10.0), log=True, default=0.1)
    shrink = Float("shrink", (0.0, 1.0), default=0.25)
    units = Integer("units", (1, 1000), log=True, default=32)
    layers = Integer("layers", (-2, 5), default=1)
    grid = OrdinalHyperparameter("grid", [1, 10, 100, 1000], meta={"log": True}, default_value=10)
    steps = OrdinalHyperparameter("steps", [0.1, 0.2, 0.4], default_value=0.2)
    space.add(kernel, gamma, shrink, units, layers, grid, steps, Constant("version", "v1"))
    space.add(EqualsCondition(gamma, kernel, "rbf"))
    return SearchSpace(space)


MIXED = _mixed()
HUGE = 10**400  # no float can hold it
LINEAR = {
    "kernel": "linear",
    "shrink": 0.5,
    "units": 10,
    "layers": 2,
    "grid": 100,
    "steps": 0.4,
    "version": "v1",
}
RBF = LINEAR | {"kernel": "rbf", "gamma": 0.01}


def parse(
    reply: Any,
    space: SearchSpace = MIXED,
    *,
    clip: bool = False,
    finish: FinishReason = "stop",
    rules: int = TEXT_RULES,
) -> Proposal:
    text = reply if isinstance(reply, str) else json.dumps(reply)
    view = ShownSpace(space, rules=rules)
    return parse_configuration(Completion(text, finish, 1, 1, 0.0), view, clip=clip, default=space.default)


def configuration(proposal: Proposal, space: SearchSpace = MIXED) -> dict[str, Any]:
    assert proposal.configuration is not None, proposal.detail
    assert proposal.defect is None
    assert space.legal(proposal.configuration[None, :]).all()
    [decoded] = space.decode(proposal.configuration)
    return decoded


def defect(proposal: Proposal) -> str | None:
    """What is wrong; nothing may have been put in the place of an invalid reply."""
    assert (proposal.configuration is None) == (proposal.defect is not None)
    assert proposal.configuration is not None or proposal.detail
    return proposal.defect


# ---------------------------------------------------------------------- schema


def test_the_schema_shows_choices_as_enums_and_ranges_as_bounds() -> None:
    properties = json_schema(ShownSpace(MIXED))["properties"]
    assert properties["kernel"] == {"enum": ["linear", "rbf", "none"]}
    assert properties["grid"] == {"enum": [1, 10, 100, 1000]}
    assert properties["version"] == {"enum": ["v1"]}
    assert properties["units"] == {"type": "integer", "minimum": 1, "maximum": 1000}
    assert properties["gamma"] == {"type": "number", "minimum": 1e-4, "maximum": 10.0}


def test_the_schema_requires_all_but_conditional_hyperparameters_and_nothing_else() -> None:
    schema = json_schema(ShownSpace(MIXED))
    assert set(schema["required"]) == set(MIXED.names) - {"gamma"}
    assert list(schema["properties"]) == list(MIXED.names)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("key", SCENARIOS)
def test_the_schema_of_a_table_is_json_and_lists_each_value_as_prompts_show_it(key: str) -> None:
    space = scenario(key).space
    schema = json.loads(json.dumps(json_schema(ShownSpace(space))))
    assert schema["required"] == list(space.names)
    for name in space.names:
        choices = values_of(space[name]) or []
        assert schema["properties"][name] == {"enum": [number(choice) for choice in choices]}


# ---------------------------------------------------------------------- where the object is


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "Sure! Here is my proposal:\n```json\n{}\n```\nGood luck.",
        "<think>maybe {{width}}?</think> {}",
        "[{}]",
        "{} {{}}",
        "\ufeff \n\t{}\x00",
        'He said "{{" and then {}',
    ],
)
def test_prose_around_the_object_is_ignored(around: str) -> None:
    proposal = parse(around.format(json.dumps(LINEAR)))
    assert configuration(proposal) == LINEAR
    assert proposal.repairs == ()


def test_the_last_object_that_names_a_hyperparameter_counts() -> None:
    assert (
        configuration(parse(f"Best so far: {json.dumps(LINEAR)} Next: {json.dumps(RBF)}"))["kernel"] == "rbf"
    )
    assert configuration(parse(json.dumps(LINEAR) + ' {"note": "as above"} {}')) == LINEAR
    assert defect(parse(json.dumps(LINEAR) + ' {"kernel": "no"}')) == "out-of-range"


def test_a_configuration_inside_another_object_is_found_and_one_inside_a_value_is_not() -> None:
    assert configuration(parse({"configuration": LINEAR})) == LINEAR
    assert configuration(parse({"reasoning": {"steps": []}, "next": [LINEAR]})) == LINEAR
    assert defect(parse({**LINEAR, "units": {"value": 3}})) == "out-of-range"
    assert defect(parse({"a": {"b": {"c": {"d": {"e": LINEAR}}}}})) == "unknown-name"


@pytest.mark.parametrize(
    "text",
    ["", "   ", "no idea", "42", "null", "[1, 2]", "{", "}{", '{"units": 3', "{units: 3}", "{}"],
)
def test_a_reply_without_a_json_object_is_unparsable(text: str) -> None:
    assert defect(parse(text)) == "unparsable"
    assert defect(parse(text, clip=True)) == "unparsable"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_only_python_takes_for_json_is_unparsable(constant: str) -> None:
    text = json.dumps(LINEAR).replace("0.5", constant)
    assert constant in text
    assert defect(parse(text)) == "unparsable"


def test_a_truncated_reply_is_called_so() -> None:
    text = json.dumps(LINEAR)[:-1]
    assert defect(parse(text, finish="length")) == "truncated"
    assert defect(parse(text, finish="length", clip=True)) == "truncated"
    assert configuration(parse(json.dumps(LINEAR) + " and furth", finish="length")) == LINEAR


def test_a_refusal_is_never_a_configuration() -> None:
    assert defect(parse(LINEAR, finish="refusal")) == "refused"
    assert defect(parse(LINEAR, finish="refusal", clip=True)) == "refused"


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"units":['])
def test_nesting_without_end_is_unparsable(opening: str) -> None:
    assert defect(parse(opening * 2000)) == "unparsable"


@pytest.mark.parametrize("unit", ["{", "{ ", '{"', '{"a":', '{"a":1,', '{"a":[1,2,', '{"units": }'])
def test_a_flood_of_braces_is_unparsable_in_no_time(unit: str) -> None:
    start = time.process_time()
    assert defect(parse(unit * (400_000 // len(unit)))) == "unparsable"
    assert time.process_time() - start < 2  # it was a minute


def test_an_object_is_found_after_much_prose_with_braces() -> None:
    prose = "In code: f{x} {'a': 2} ${y} {z: {-}z} " * 1000 + '{"units": ..., {"units": <int>} ' * 50
    assert configuration(parse(prose + json.dumps(LINEAR))) == LINEAR


def test_a_number_of_thousands_of_digits_is_out_of_range() -> None:
    # Longer than Python is willing to convert.
    text = json.dumps(LINEAR).replace('"units": 10', '"units": ' + "9" * 6000)
    proposal = parse(text)
    assert defect(proposal) == "out-of-range"
    assert len(proposal.detail) < 100


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize("key", SCENARIOS)
def test_every_value_of_every_table_is_read_back_exactly_as_prompts_show_it(key: str) -> None:
    space = scenario(key).space
    default = space.decode(scenario(key).default())[0]
    for name in space.names:
        for index, value in enumerate(values_of(space[name]) or []):
            for shown in (number(value), value):
                proposal = parse({**default, name: shown}, space)
                assert configuration(proposal, space)[name] == value
                assert proposal.configuration is not None
                assert proposal.configuration[space.column(name)] == index
                assert proposal.repairs == ()


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("grid", 90, 100),
        ("grid", 40, 100),  # on the log scale it is nearer to 100 than to 10
        ("grid", 99.9, 100),
        ("steps", 0.29, 0.2),
        ("steps", 0.31, 0.4),
        ("units", 9.7, 10),
        ("layers", -1.2, -1),
    ],
)
def test_a_value_between_those_that_exist_is_snapped_and_recorded(name: str, value: float, kept: Any) -> None:
    proposal = parse({**LINEAR, name: value})
    assert configuration(proposal)[name] == kept
    assert proposal.repairs == (f"snapped:{name}",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", 0.0123456789),
        ("gamma", 1e-4),
        ("gamma", 10),
        ("shrink", 1 / 3),
        ("shrink", 0),
        ("units", 1000),
        ("units", 10.0),
        ("layers", -2),
        ("steps", 0.2),
    ],
)
def test_a_value_that_exists_is_kept_and_is_no_repair(name: str, value: float) -> None:
    proposal = parse({**RBF, name: value})
    assert configuration(proposal)[name] == pytest.approx(value, rel=1e-9)
    assert proposal.repairs == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grid", 0),
        ("grid", -5),
        ("grid", 1001),
        ("steps", 0.5),
        ("units", 0),
        ("units", 1001),
        ("shrink", -0.1),
        ("shrink", 1e300),
        ("gamma", 11),
        ("layers", HUGE),
        ("gamma", -(HUGE)),
        ("grid", HUGE),
        ("kernel", "sigmoid"),
        ("kernel", "RBF"),
        ("kernel", 1),
        ("kernel", HUGE),
        ("version", "v2"),
        ("units", True),
        ("steps", False),
        ("units", "ten"),
        ("gamma", "0.01.2"),
        ("units", [10]),
        ("kernel", ["rbf"]),
        ("kernel", {}),
        ("kernel", "\ud800"),
    ],
    ids=lambda value: str(value)[:9],
)
def test_a_value_the_space_does_not_have_is_named(name: str, value: Any) -> None:
    proposal = parse({**RBF, name: value})
    assert defect(proposal) == "out-of-range"
    assert name in proposal.detail
    proposal.detail.encode()  # it goes into files and prompts


@pytest.mark.parametrize("text", ["1e999", "-1e999"])
def test_a_number_beyond_all_floats_is_out_of_range(text: str) -> None:
    assert defect(parse(json.dumps(RBF).replace("0.01", text))) == "out-of-range"


def test_a_missing_hyperparameter_is_named() -> None:
    for name in LINEAR:
        proposal = parse({key: value for key, value in LINEAR.items() if key != name})
        assert defect(proposal) == "missing"
        assert name in proposal.detail


def test_a_hyperparameter_that_the_proposal_makes_active_is_missing() -> None:
    proposal = parse({**LINEAR, "kernel": "rbf"})
    assert defect(proposal) == "missing"
    assert "gamma" in proposal.detail


@pytest.mark.parametrize("name", ["momentum", "Units", "units ", "", "\ud800", "a,b\nc"])
@pytest.mark.parametrize("clip", [False, True])
def test_an_unknown_name_is_dropped_and_recorded_as_plain_text(name: str, clip: bool) -> None:
    proposal = parse({**LINEAR, name: 3}, clip=clip)
    assert configuration(proposal) == LINEAR
    assert proposal.repairs == (f"dropped:{name!r}",)
    "".join(proposal.repairs).encode()  # it is stored with the trial


def test_many_unknown_names_are_counted() -> None:
    proposal = parse({**{f"{'x' * 100}{i}": i for i in range(9)}, **LINEAR})
    assert proposal.repairs == ("dropped:" + repr("x" * 40),) * 5 + ("dropped:4 more names",)


def test_an_object_of_unknown_names_alone_is_no_configuration() -> None:
    proposal = parse({"momentum": 0.9})
    assert defect(proposal) == "unknown-name"
    assert proposal.detail == "'momentum' is no hyperparameter, and no other is named"
    assert defect(parse({"momentum": 0.9}, clip=True)) == "unknown-name"


def test_of_a_key_given_twice_the_last_counts() -> None:
    text = json.dumps(LINEAR)[:-1] + ', "units": 77}'
    assert configuration(parse(text)) == {**LINEAR, "units": 77}
    assert parse(text).repairs == ("json:key-twice",)


def test_the_value_of_an_inactive_hyperparameter_is_dropped() -> None:
    proposal = parse({**RBF, "kernel": "linear"})
    assert configuration(proposal) == LINEAR
    assert proposal.repairs == ("dropped:gamma",)


# ---------------------------------------------------------------------- clip


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("units", 5000, 1000),
        ("units", -5000, 1),
        ("units", HUGE, 1000),
        ("layers", -(HUGE), -2),
        ("shrink", 1.5, 1.0),
        ("gamma", 0, 1e-4),
        ("grid", 0, 1),
        ("grid", 1e6, 1000),
        ("grid", 1e300, 1000),
        ("steps", 1e300, 0.4),
        ("steps", -1e300, 0.1),
    ],
    ids=lambda value: str(value)[:9],
)
def test_clip_moves_a_number_to_the_nearest_bound(name: str, value: Any, kept: float) -> None:
    proposal = parse({**RBF, name: value}, clip=True)
    kept_all = {key: number(value) for key, value in configuration(proposal).items()}
    assert kept_all == {**RBF, name: kept}
    assert proposal.repairs == (f"clipped:{name}",)


def test_clip_moves_an_infinite_number_to_the_bound_on_its_side() -> None:
    text = json.dumps({**LINEAR, "steps": 12345})
    assert configuration(parse(text.replace("12345", "1e999"), clip=True))["steps"] == 0.4
    assert configuration(parse(text.replace("12345", "-1e999"), clip=True))["steps"] == 0.1


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [("kernel", "sigmoid", "linear"), ("units", "ten", 32), ("units", True, 32), ("steps", None, 0.2)],
)
def test_clip_fills_what_is_no_value_with_the_default(name: str, value: Any, default: Any) -> None:
    proposal = parse({**LINEAR, name: value}, clip=True)
    assert configuration(proposal) == {**LINEAR, name: default}
    assert proposal.repairs == (f"filled:{name}",)


def test_clip_fills_only_what_is_active() -> None:
    proposal = parse({"kernel": "rbf"}, clip=True)
    assert configuration(proposal)["gamma"] == pytest.approx(0.1)
    assert set(proposal.repairs) == {f"filled:{name}" for name in MIXED.names if name != "kernel"}
    assert "gamma" not in configuration(parse({"kernel": "none"}, clip=True))


def test_clip_fills_with_the_benchmarks_default() -> None:
    space = scenario("hpobench/mlp").space
    default = scenario("hpobench/mlp").default()
    [name, *_] = space.names
    text = json.dumps({name: space.decode(default)[0][name]})
    filled = parse_configuration(
        Completion(text, "stop", 1, 1, 0.0), ShownSpace(space), clip=True, default=default
    )
    assert filled.configuration is not None
    assert np.array_equal(filled.configuration, default)
    assert not np.array_equal(default, space.default)


# ---------------------------------------------------------------------- whatever a model may say

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**320)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["linear", "rbf", "none", "v1", "10", 10, 0.4, 100, 0.5])
    | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
almost = st.builds(
    lambda base, changes, gone: {k: v for k, v in {**base, **changes}.items() if k not in gone},
    st.sampled_from([LINEAR, RBF]),
    st.dictionaries(st.sampled_from(MIXED.names) | st.text(max_size=5), json_values, max_size=3),
    st.sets(st.sampled_from(MIXED.names), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["stop", "length", "refusal"]))
@example('{"kernel": "rbf"', "stop")
def test_arbitrary_text_never_raises_and_is_no_configuration(text: str, finish: FinishReason) -> None:
    assert defect(parse(text, finish=finish)) is not None


@settings(max_examples=300, deadline=None)
@given(st.text('{}[]",:0123456789.eE-+ntrufalsk\\ \n', max_size=60), st.booleans())
def test_text_that_looks_like_json_never_raises(text: str, clip: bool) -> None:
    proposal = parse(text, clip=clip)
    if defect(proposal) is None:
        assert clip  # so little text names no complete configuration
        configuration(proposal)


@settings(max_examples=500, deadline=None)
@given(almost)
def test_an_accepted_configuration_is_legal_and_made_of_what_the_reply_says(reply: dict[str, Any]) -> None:
    proposal = parse(reply)
    if defect(proposal) is None:
        for name, kept in configuration(proposal).items():
            said = reply[name]
            if f"text:{name}" in proposal.repairs:
                assert str(kept) == said.strip() or kept == float(said)
            elif kept != said and not math.isclose(kept, said, rel_tol=1e-9):
                assert f"snapped:{name}" in proposal.repairs
                low, high = (
                    min(values_of(MIXED[name]) or [-2]),
                    max(values_of(MIXED[name]) or [1000]),
                )
                assert low <= said <= high


@settings(max_examples=500, deadline=None)
@given(almost)
def test_clip_makes_every_object_legal_and_records_all_that_it_changed(reply: dict[str, Any]) -> None:
    proposal = parse(reply, clip=True)
    if defect(proposal) is not None:
        assert reply.keys().isdisjoint(MIXED.names)
        return
    changed = {repair.partition(":")[2] for repair in proposal.repairs}
    for name, kept in configuration(proposal).items():
        said = reply.get(name)
        number_kept = isinstance(kept, float) and isinstance(said, int | float)
        same = math.isclose(kept, said, rel_tol=1e-9) if number_kept and abs(said) < 1e9 else kept == said
        assert same or name in changed


# ---------------------------------------------------------------------- several at once


@pytest.mark.parametrize(
    "said",
    [
        [LINEAR, RBF],
        {"configurations": [LINEAR, RBF]},  # all that a server with json_object alone lets a model write
        {"1": LINEAR, "2": RBF},
        {"first": [LINEAR], "then": [RBF, LINEAR]},
    ],
)
def test_several_configurations_are_read_in_an_array_or_in_an_object_that_holds_nothing_else(
    said: Any,
) -> None:
    reply = Completion(json.dumps(said), "stop", 1, 1, 0.0)
    found = parse_configurations(reply, ShownSpace(MIXED), 2, clip=False, default=MIXED.default)
    assert [configuration(one)["kernel"] for one in found] == ["linear", "rbf"]


@pytest.mark.parametrize(
    "text",
    [
        f"Best so far: {json.dumps({**LINEAR, 'units': 99})}\n{json.dumps([LINEAR, RBF])}",
        f"{json.dumps([RBF, RBF])} No. {json.dumps([LINEAR, RBF, LINEAR])}",
        f"Best so far: {json.dumps(RBF)}\n1. {json.dumps(LINEAR)}\n2. {json.dumps(RBF)}",
        f"{json.dumps([LINEAR, RBF])} I like {json.dumps(RBF)} best.",
        f"[{json.dumps(LINEAR)}, 1, {json.dumps(RBF)}]",
        f"[{json.dumps(LINEAR)}\n{json.dumps(RBF)}]",  # the comma is missing
        json.dumps({"reasoning": ["both"], "configurations": [LINEAR, RBF]}),
    ],
)
def test_the_last_list_counts_and_else_the_last_objects(text: str) -> None:
    assert [one["kernel"] for one in map(configuration, several(text, 2))] == ["linear", "rbf"]


def test_the_whole_configurations_of_a_list_that_was_cut_off_count() -> None:
    text = json.dumps(RBF) + json.dumps([LINEAR, RBF, LINEAR])[:-20]
    found = several(text, 3, "length")
    assert [defect(one) for one in found] == [None, None, "truncated"]
    assert configuration(found[0]) == LINEAR


def test_fewer_than_asked_for_is_said() -> None:
    found = several(json.dumps([LINEAR]), 2)
    assert [defect(one) for one in found] == [None, "unparsable"]
    assert found[1].detail == "the answer lists 1 configurations instead of 2"


def several(text: str, k: int, finish: FinishReason = "stop") -> list[Proposal]:
    reply = Completion(text, finish, 1, 1, 0.0)
    return parse_configurations(reply, ShownSpace(MIXED), k, clip=False, default=MIXED.default)
