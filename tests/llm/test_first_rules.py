"""The first rules of reading, by which studies that were begun with them are resumed and replayed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from surrobench.llm.parse import parse_configurations
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.protocol.requests import Completion
from tests.llm.test_parse import LINEAR, MIXED, RBF, configuration, defect, parse


def test_the_first_of_two_objects_counts() -> None:
    assert configuration(parse(json.dumps(LINEAR) + json.dumps(RBF), rules=1)) == LINEAR
    assert defect(parse('{"kernel": "no"} ' + json.dumps(LINEAR), rules=1)) == "out-of-range"


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"configuration": LINEAR}, "unknown-name"),
        ({**LINEAR, "momentum": 0.9}, "unknown-name"),
        ({**LINEAR, "units": "10"}, "out-of-range"),
        ({**LINEAR, "units": None}, "out-of-range"),
        ({**LINEAR, "gamma": None}, "out-of-range"),
        ({**LINEAR, "gamma": 99}, "out-of-range"),
        ("{'units': 3}", "unparsable"),
        (json.dumps(LINEAR)[:-1] + ",}", "unparsable"),
        ({}, "missing"),
    ],
)
def test_what_made_a_reply_invalid(said: Any, what: str) -> None:
    assert defect(parse(said, rules=1)) == what


def test_the_value_of_an_inactive_hyperparameter_was_dropped_where_it_was_legal() -> None:
    proposal = parse({**RBF, "kernel": "linear"}, rules=1)
    assert configuration(proposal) == LINEAR
    assert proposal.repairs == ("dropped:gamma",)


def test_clip_dropped_unknown_names_and_filled_the_rest() -> None:
    proposal = parse({"kernel": "none", "momentum": 0.9, "units": 5000, "grid": 90}, clip=True, rules=1)
    assert configuration(proposal)["units"] == 1000
    assert proposal.repairs[:3] == ("dropped:'momentum'", "clipped:units", "snapped:grid")
    assert set(proposal.repairs[3:]) == {
        f"filled:{name}" for name in ("layers", "shrink", "steps", "version")
    }


@pytest.mark.parametrize("said", [{"all": [LINEAR, 1]}, {"all": []}, {"all": LINEAR, "kernel": "rbf"}])
def test_an_object_that_holds_something_else_was_no_list(said: Any) -> None:
    reply = Completion(json.dumps(said), "stop", 1, 1, 0.0)
    view = ShownSpace(MIXED, rules=1)
    found = parse_configurations(reply, view, 2, clip=False, default=MIXED.default)
    assert [defect(one) for one in found] == ["unknown-name", "unparsable"]
    reply = Completion(json.dumps({"1": LINEAR, "2": RBF}), "stop", 1, 1, 0.0)
    assert len(parse_configurations(reply, view, 2, clip=False, default=MIXED.default)) == 2
