from __future__ import annotations

import json
from typing import Any

import pytest

from surrobench.llm.prompt_variants import ShownSpace
from surrobench.llm.schemas import WRAPPER, json_schema, strict_shape
from surrobench.optimizers.llm.llambo_steps import SCHEMAS
from tests.llm.test_parse import MIXED


def objects(schema: Any) -> list[dict[str, Any]]:
    """All schemas of objects within a schema."""
    if isinstance(schema, list):
        return [found for part in schema for found in objects(part)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for part in schema.values() for found in objects(part)]


@pytest.mark.parametrize(
    "schema", [json_schema(ShownSpace(MIXED)), json_schema(ShownSpace(MIXED), 3), *SCHEMAS.values()]
)
@pytest.mark.parametrize("bounds", [True, False])
def test_a_strict_shape_is_an_object_that_requires_all_that_it_has(
    schema: dict[str, Any], bounds: bool
) -> None:
    before = json.dumps(schema)
    strict = strict_shape(schema, bounds=bounds)
    assert json.dumps(schema) == before
    assert strict["type"] == "object"
    for part in objects(strict):
        assert part["required"] == list(part["properties"])
        assert part["additionalProperties"] is False
    text = json.dumps(strict)
    assert ('"maximum"' in text, '"maxItems"' in text) == (
        bounds and '"maximum"' in before,
        bounds and '"maxItems"' in before,
    )


def test_what_was_optional_may_be_null_and_nothing_else_may() -> None:
    properties = strict_shape(json_schema(ShownSpace(MIXED)))["properties"]
    assert properties["gamma"] == {"type": ["number", "null"], "minimum": 1e-4, "maximum": 10.0}
    assert properties["units"] == {"type": "integer", "minimum": 1, "maximum": 1000}
    assert properties["kernel"] == {"enum": ["linear", "rbf", "none"]}
    optional = {"type": "object", "properties": {"a": {"enum": ["x"]}, "b": {"enum": [None]}}}
    assert strict_shape(optional)["properties"] == {"a": {"enum": ["x", None]}, "b": {"enum": [None]}}


def test_what_is_no_object_is_wrapped_in_one() -> None:
    wrapped = strict_shape(json_schema(ShownSpace(MIXED), 2))
    assert wrapped["properties"][WRAPPER]["type"] == "array"
    assert wrapped["properties"][WRAPPER]["items"] == strict_shape(json_schema(ShownSpace(MIXED)))
    assert strict_shape({"type": "number"})["properties"] == {WRAPPER: {"type": "number"}}
