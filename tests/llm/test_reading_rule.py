"""The rule of reading as a table of replies: ``docs/concepts/replies.md`` says the same in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from surrobench.llm.lenient_json import Reader
from surrobench.llm.parse import IN_REASONING, parse_configuration
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.protocol.requests import Completion, FinishReason
from tests.llm.test_parse import LINEAR, MIXED, RBF, configuration, defect

GOOD = json.dumps(LINEAR)
OLD = json.dumps({**LINEAR, "units": 99})
"""A configuration that a reply repeats or rejects; it is never the one that is meant."""
BODY = GOOD[1:-1]


def with_value(name: str, written: str, base: dict[str, Any] = LINEAR) -> str:
    """A reply with a value of one hyperparameter as it is written."""
    parts = [f'"{key}": {written if key == name else json.dumps(value)}' for key, value in base.items()]
    return "{" + ", ".join(parts) + "}"


MENDED: list[tuple[str, tuple[str, ...]]] = [
    # Where the object stands.
    (GOOD, ()),
    (f"  \n{GOOD}\n", ()),
    (f"\ufeff{GOOD}", ()),
    (f"```json\n{GOOD}\n```", ()),
    (f"Sure! Here is my proposal:\n\n{GOOD}\n\nGood luck.", ()),
    (f"In code, f{{x}} and {{y}} stand for sets. {GOOD}", ()),
    (json.dumps(LINEAR, indent=4), ()),
    (f"[{GOOD}]", ()),
    (f'{{"configuration": {GOOD}}}', ()),
    (f'{{"reasoning": "small steps", "configuration": {GOOD}}}', ()),
    (f'{{"answer": [{GOOD}]}}', ()),
    (f'{{"result": {{"next": {GOOD}}}}}', ()),
    # The last one that names a hyperparameter counts.
    (f"Best so far: {OLD}\nNext: {GOOD}", ()),
    (f"{OLD} No, that was tried. {GOOD}", ()),
    (f"[{OLD}, {GOOD}]", ()),
    (f'{{"best": {OLD}, "next": {GOOD}}}', ()),
    (f"{{}} {GOOD}", ()),
    (f"{GOOD} {{}}", ()),
    (f'{GOOD} {{"confidence": 0.9}}', ()),
    (f'{{"thoughts": "none"}} {GOOD} {{"done": true}}', ()),
    # Thinking is no reply.
    (f"<think>{OLD}? No.</think>{GOOD}", ()),
    (f"{OLD}? No.</think>{GOOD}"[1:], ()),
    (f"<thinking>\n{OLD}\n</thinking>\n{GOOD}", ()),
    (f"<thought>{OLD}</thought>{GOOD}", ()),
    (f"<reasoning>{OLD}</reasoning>{GOOD}", ()),
    (f"<reflection>{OLD}</reflection>{GOOD}", ()),
    (f"<seed:think>{OLD}</seed:think>{GOOD}", ()),
    (f"<Think>{OLD}</Think>{GOOD}", ()),
    (f"[THINK]{OLD}[/THINK]{GOOD}", ()),
    (f"\u25c1think\u25b7{OLD}\u25c1/think\u25b7{GOOD}", ()),
    (f"<|START_THINKING|>{OLD}<|END_THINKING|>{GOOD}", ()),
    (f"<|begin_of_thought|>{OLD}<|end_of_thought|>{GOOD}", ()),
    (f"<|channel|>analysis<|message|>{OLD}<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}", ()),
    (f"<|channel|>final <|constrain|>json<|message|>{GOOD}<|return|>", ()),
    (f"<|channel|>final<|message|>{GOOD}<|end|><|start|>assistant<|channel|>analysis<|message|>{OLD}", ()),
    (f"analysisWe could try {OLD}assistantfinal{GOOD}", ()),
    (f"Let me think.\n<think>{OLD}</think>\nSo: {GOOD}", ()),
    (f"<think>a</think><think>{OLD}</think>{GOOD}", ()),
    (f'{{"note": "</think>", {BODY}}}', ("dropped:'note'",)),
    # JSON that is slightly wrong.
    (f"{{{BODY},}}", ("json:comma",)),
    (f"{{{BODY} , \n}}", ("json:comma",)),
    (f'{{"configuration": [{GOOD},],}}', ("json:comma",)),
    (f"{{{BODY} // as before\n}}", ("json:comment",)),
    (f"{{ # the next one\n{BODY}}}", ("json:comment",)),
    (f"{{/* {{}} */ {BODY}}}", ("json:comment",)),
    (f"{{{BODY}, // small\n}}", ("json:comment", "json:comma")),
    (GOOD.replace('"', "'"), ("json:quotes",)),
    (GOOD.replace('"kernel"', "'kernel'"), ("json:quotes",)),
    (f"{{'it\\'s': 'a \"new\" one', {BODY}}}", ("json:quotes", '''dropped:"it's"''')),
    (f'{{"sure": True, {BODY}}}', ("json:literal", "dropped:'sure'")),
    (f'{{"old": None, "new": False, {BODY}}}', ("json:literal", "dropped:'old'", "dropped:'new'")),
    (with_value("shrink", ".5"), ("json:number",)),
    (with_value("shrink", "+0.5"), ("json:number",)),
    (with_value("layers", "2."), ("json:number",)),
    (with_value("units", "010"), ("json:number",)),
    (f'{{"why": "a\nb", {BODY}}}', ("json:newline", "dropped:'why'")),
    (f'{{"units": 5, {BODY}}}', ("json:key-twice",)),
    # Values of another type.
    (with_value("shrink", '"0.5"'), ("text:shrink",)),
    (with_value("shrink", '" 5e-1 "'), ("text:shrink",)),
    (with_value("units", '"10"'), ("text:units",)),
    (with_value("units", "10.0"), ()),
    (with_value("grid", '"100"'), ("text:grid",)),
    (with_value("grid", "100.0"), ()),
    (with_value("kernel", '" linear "'), ("text:kernel",)),
    # Numbers between those that exist.
    (with_value("grid", "90"), ("snapped:grid",)),
    (with_value("grid", '"90"'), ("text:grid", "snapped:grid")),
    (with_value("units", "10.2"), ("snapped:units",)),
    # What is inactive does not matter.
    (with_value("gamma", "0.01", {**LINEAR, "gamma": 1}), ("dropped:gamma",)),
    (with_value("gamma", "99", {"gamma": 1, **LINEAR}), ("dropped:gamma",)),
    (with_value("gamma", '"unused"', {**LINEAR, "gamma": 1}), ("dropped:gamma",)),
    (with_value("gamma", "[1]", {**LINEAR, "gamma": 1}), ("dropped:gamma",)),
    (with_value("gamma", "null", {**LINEAR, "gamma": 1}), ()),
    # Unknown names are left out.
    (f'{{"reasoning": "as before", {BODY}}}', ("dropped:'reasoning'",)),
    (f'{{"a": 1, "b": {{"c": []}}, {BODY}}}', ("dropped:'a'", "dropped:'b'")),
]
"""Replies that mean ``LINEAR``, and their repairs."""

INVALID: list[tuple[str, FinishReason, str]] = [
    ("", "stop", "unparsable"),
    ("no idea", "stop", "unparsable"),
    ("42", "stop", "unparsable"),
    ("null", "stop", "unparsable"),
    ("{}", "stop", "unparsable"),
    ("[1, 2]", "stop", "unparsable"),
    (GOOD[:-1], "stop", "unparsable"),
    (GOOD.replace(",", ""), "stop", "unparsable"),
    (GOOD.replace('"kernel"', "kernel"), "stop", "unparsable"),
    (with_value("shrink", "NaN"), "stop", "unparsable"),
    (with_value("shrink", "Infinity"), "stop", "unparsable"),
    (with_value("shrink", "0.1.2"), "stop", "unparsable"),
    (with_value("shrink", "half"), "stop", "unparsable"),
    (f"<think>{GOOD}</think>", "stop", "unparsable"),
    (f"<think>{GOOD}", "stop", "unparsable"),
    (f"[THINK]{GOOD}", "stop", "unparsable"),
    (f"<|channel|>analysis<|message|>{GOOD}<|end|>", "stop", "unparsable"),
    ('{"width": 3}', "stop", "unknown-name"),
    ('{"configuration": {"width": 3}}', "stop", "unknown-name"),
    ('{"kernel": "linear"}', "stop", "missing"),
    (with_value("kernel", '"rbf"'), "stop", "missing"),
    (with_value("gamma", "null", RBF), "stop", "missing"),
    (with_value("units", "null"), "stop", "missing"),
    (with_value("units", "1001"), "stop", "out-of-range"),
    (with_value("units", '"1001"'), "stop", "out-of-range"),
    (with_value("units", "1e999"), "stop", "out-of-range"),
    (with_value("units", '"ten"'), "stop", "out-of-range"),
    (with_value("units", '"10 units"'), "stop", "out-of-range"),
    (with_value("units", "true"), "stop", "out-of-range"),
    (with_value("units", "[10]"), "stop", "out-of-range"),
    (with_value("units", '{"value": 10}'), "stop", "out-of-range"),
    (with_value("kernel", '"Linear"'), "stop", "out-of-range"),
    (with_value("gamma", "11", RBF), "stop", "out-of-range"),
    ('{"units": 1001}', "stop", "out-of-range"),
    (GOOD[:-1], "length", "truncated"),
    (f"Best so far: {OLD} Next: {GOOD[:-9]}", "length", "truncated"),
    (f'Best: {OLD} Next: {{"why": {{"a": 1}}, {BODY[:-9]}', "length", "truncated"),
    (f"<think>{GOOD}", "length", "truncated"),
    ("", "length", "truncated"),
    (GOOD, "refusal", "refused"),
]
"""Replies that are no configuration, and their defects."""


def read(text: str, finish: FinishReason = "stop", thinking: str = "", *, clip: bool = False) -> Any:
    reply = Completion(text, finish, 1, 1, 0.0, thinking)
    return parse_configuration(reply, ShownSpace(MIXED), clip=clip, default=MIXED.default)


def test_the_table_is_long_enough() -> None:
    assert len({text for text, _ in MENDED}) == len(MENDED)
    assert len(MENDED) + len(INVALID) >= 80


@pytest.mark.parametrize(("text", "repairs"), MENDED, ids=range(len(MENDED)))
def test_what_leaves_no_doubt_is_read(text: str, repairs: tuple[str, ...]) -> None:
    proposal = read(text)
    assert configuration(proposal) == {**LINEAR, **({"grid": 100} if "snapped:grid" in repairs else {})}
    assert proposal.repairs == repairs


@pytest.mark.parametrize(("text", "finish", "what"), INVALID, ids=range(len(INVALID)))
def test_what_leaves_a_doubt_stays_invalid(text: str, finish: FinishReason, what: str) -> None:
    assert defect(read(text, finish)) == what


def test_a_reply_that_was_cut_off_after_its_object_counts() -> None:
    assert configuration(read(f"{GOOD} I chose these bec", "length")) == LINEAR
    assert configuration(read(f'{{"configuration": {GOOD}, "why": "bec', "length")) == LINEAR


def test_a_configuration_that_stands_in_the_reasoning_alone_is_said_and_not_taken() -> None:
    proposal = read("", thinking=f"So I answer {GOOD}")
    assert defect(proposal) == "unparsable"
    assert proposal.detail.endswith(f"({IN_REASONING})")
    assert IN_REASONING not in read("", thinking="So I answer {}").detail
    assert IN_REASONING not in read("").detail
    assert configuration(read(GOOD, thinking=OLD)) == LINEAR


def test_clip_mends_the_rest() -> None:
    proposal = read(with_value("units", '"5000"')[:-1] + ', "gamma": 99, "a": 1,}', clip=True)
    assert configuration(proposal) == {**LINEAR, "units": 1000}
    assert set(proposal.repairs) == {
        "json:comma", "text:units", "clipped:units", "dropped:gamma", "dropped:'a'",
    }  # fmt: skip
    assert read('{"kernel": "none", "grid": null}', clip=True).repairs[-1] == "filled:version"


def test_every_repair_and_defect_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "concepts" / "replies.md").read_text()
    for repair in {repair.partition(":")[0] for _, repairs in MENDED for repair in repairs}:
        assert f"`{repair}:" in page
    for mend in {repair for _, repairs in MENDED for repair in repairs if repair.startswith("json:")}:
        assert f"| `{mend}` |" in page
    for what in {what for _, _, what in INVALID}:
        assert f"| `{what}` |" in page


# ---------------------------------------------------------------------- the reader of JSON


@pytest.mark.parametrize(
    ("text", "value", "mends"),
    [
        ('{"a": [1, -2.5e3, "x", null, true]}', {"a": [1, -2500.0, "x", None, True]}, []),
        ("{'a': 'b\\\\n\\u0041\"'}", {"a": 'b\\nA"'}, ["quotes"]),
        ("{'a': '\\\\\"'}", {"a": '\\"'}, ["quotes"]),
        (
            '{"a": .5, "b": -.5, "c": +1, "d": 1.e2,}',
            {"a": 0.5, "b": -0.5, "c": 1, "d": 100.0},
            ["number", "comma"],
        ),
        ('{"a"/**/:/* { */1}', {"a": 1}, ["comment"]),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', {"a": 1, "b": {"c": 2}}, ["key-twice"]),
        ("{'a': 1, 'a': 1}", {"a": 1}, ["quotes", "key-twice"]),
        ("[[], {}, [],]", [[], {}, []], ["comma"]),
        ('{"a": "\t"}', {"a": "\t"}, ["newline"]),
        ("[1" + "0" * 20 + ",]", [10**20], ["comma"]),
    ],
)
def test_the_reader_mends_and_names_what_it_mends(text: str, value: Any, mends: list[str]) -> None:
    reader = Reader(f"x{text}y")
    assert reader.read(1) == (value, 1 + len(text))
    assert reader.mends == mends


@pytest.mark.parametrize(
    "text",
    [
        "{", "[", '{"a"', '{"a":', '{"a": 1', '{"a" 1}', '{"a": 1 "b": 2}', '{"a": 1,, "b": 2}', "{,}", "[,]",
        '{"a": \'b}', '{"a": truth}', '{"a": 1x}', '{"a": 1.2.3}', '{"a": --1}', '{"a": NaN}', "{a: 1}",
        '{"a": "\\x"}', '{1: 2}', '["a" "b"]', "[" * 101 + "]" * 101 + ",", '{"a": undefined}', '{"a": }',
    ],
)  # fmt: skip
def test_the_reader_refuses_what_leaves_a_doubt(text: str) -> None:
    with pytest.raises(ValueError, match=r"^no |nested|does not end|escape"):
        Reader(text.replace("]" * 101 + ",", "," + "]" * 101)).read(0)


def test_the_reader_ends_in_good_time() -> None:
    reader = Reader("[" + "1," * Reader.MOST_TOKENS + ",]")
    with pytest.raises(ValueError, match="too long"):
        reader.read(0)
    with pytest.raises(ValueError, match="too long"):
        reader.read(0)
