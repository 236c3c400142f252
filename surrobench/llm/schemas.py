"""Turn a search space into the JSON schema of a reply, and schemas into what strict servers take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surrobench.llm.prompt_variants import ShownSpace

WRAPPER = "answer"
"""The key of the object that ``strict_shape`` wraps around an array, a number or a class."""
BOUNDS = ("minimum", "maximum", "minItems", "maxItems")
"""The keywords of a schema that some servers refuse."""


def json_schema(view: ShownSpace, configurations: int = 1) -> dict[str, Any]:
    """Return the schema of a configuration, or of an array of configurations.

    Choices are enums, and ranges have their ends. Values are written as prompts write them
    (``shown_values``). Conditional hyperparameters are optional.
    """
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {shown.hp.name: shown.schema() for shown in view.values},
        "required": [name for j, name in enumerate(view.names) if not view.is_conditional(j)],
        "additionalProperties": False,
    }
    if configurations == 1:
        return schema
    return {"type": "array", "items": schema, "minItems": configurations, "maxItems": configurations}


def strict_shape(schema: Mapping[str, Any], *, bounds: bool = True) -> dict[str, Any]:
    """Return a schema in the shape that strict servers take, such as OpenAI's strict mode.

    Such a server wants an object at the root, and every property required. An array, a number or a class is
    wrapped in an object with the one key ``WRAPPER``. A property that was optional is required, and may be
    null. Replies in this shape are read by the same rules as others: null stands for a hyperparameter that is
    inactive, and an object around a list or a number is unwrapped.

    Args:
        schema: the schema of a request of this package.
        bounds: whether the ends of ranges and the lengths of arrays stay; some servers refuse them.
    """
    strict = _strict(schema, bounds)
    if schema.get("type") == "object":
        return strict
    return {
        "type": "object",
        "properties": {WRAPPER: strict},
        "required": [WRAPPER],
        "additionalProperties": False,
    }


def _strict(schema: Mapping[str, Any], bounds: bool) -> dict[str, Any]:
    strict = {key: value for key, value in schema.items() if bounds or key not in BOUNDS}
    if schema.get("type") == "array":
        strict["items"] = _strict(schema["items"], bounds)
    if schema.get("type") == "object":
        required = schema.get("required", ())
        strict["properties"] = {
            name: part if name in required else _nullable(part)
            for name, value in schema["properties"].items()
            for part in [_strict(value, bounds)]
        }
        strict["required"] = list(schema["properties"])
    return strict


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "enum" in schema:
        return {**schema, "enum": schema["enum"] if None in schema["enum"] else [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}
