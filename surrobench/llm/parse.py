"""From a space to the JSON schema of a reply, and from a reply to a configuration or a named reason.

Model output is untrusted text: it is parsed as JSON and checked value by value, never evaluated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from surrobench.errors import UsageError
from surrobench.llm.prompts import number
from surrobench.requests import Completion
from surrobench.space import Hyperparameter, Matrix, SearchSpace, UniformIntegerHyperparameter, values_of

Defect = Literal["truncated", "refused", "unparsable", "missing", "unknown-name", "out-of-range"]


@dataclass(frozen=True)
class Proposal:
    """What a reply came to.

    Attributes:
        configuration: shape (d,); None if the reply is invalid.
        defect: what is wrong with it; with ``clip`` the reply may be mended and still have one.
        detail: the defect in words, for the record and for a re-ask.
        repairs: what was changed to make it legal, ``kind:hyperparameter``.
    """

    configuration: Matrix | None
    defect: Defect | None = None
    detail: str = ""
    repairs: tuple[str, ...] = ()


def json_schema(space: SearchSpace) -> dict[str, Any]:
    """The schema of one configuration: choices as enums, ranges as minimum and maximum.

    Values are written as prompts write them (``prompts.number``). Conditional hyperparameters are optional.
    """
    required = [name for j, name in enumerate(space.names) if not _conditional(space, j)]
    return {
        "type": "object",
        "properties": {name: _value_schema(space[name]) for name in space.names},
        "required": required,
        "additionalProperties": False,
    }


def _conditional(space: SearchSpace, j: int) -> bool:
    return space.is_conditional and not space.is_active(j, np.full(space.d, np.nan))


def _value_schema(hp: Hyperparameter) -> dict[str, Any]:
    choices = values_of(hp)
    if choices is not None:
        return {"enum": [number(choice) for choice in choices]}
    kind = "integer" if isinstance(hp, UniformIntegerHyperparameter) else "number"
    return {"type": kind, "minimum": number(hp.lower), "maximum": number(hp.upper)}


def parse_configuration(reply: Completion, space: SearchSpace, *, clip: bool, default: Matrix) -> Proposal:
    """The configuration that a reply proposes.

    The first JSON object of the text counts; prose around it is ignored. Values that the space does not have
    but that lie within its range are snapped to the nearest one (``snapped:NAME``): a grid is not visible
    where a range was shown. Values of hyperparameters that are inactive in the proposal are dropped
    (``dropped:NAME``). All else that is wrong makes the reply invalid, unless ``clip``, which is
    karpathy-agent's published rule: out of range is moved to the nearest bound (``clipped:NAME``), what is
    missing is filled with the default (``filled:NAME``), an unknown name is dropped.
    """
    if reply.finish_reason == "refusal":
        return Proposal(None, "refused", "the model refused to answer")
    values = _first_object(reply.text)
    if values is None:
        if reply.finish_reason == "length":
            return Proposal(None, "truncated", "the answer was cut off before the JSON object was complete")
        return Proposal(None, "unparsable", "the answer contains no JSON object")
    x = np.full(space.d, np.nan)
    repairs: list[str] = []
    for name, value in values.items():
        if name not in space.names:
            if not clip:
                return Proposal(None, "unknown-name", f"{name!r} is no hyperparameter")
            repairs.append(f"dropped:{name}")
            continue
        j = space.column(name)
        try:
            x[j] = space.nearest(name, value)
        except UsageError as error:
            if not clip:
                return Proposal(None, "out-of-range", str(error))
            x[j] = default[j]
            repairs.append(f"filled:{name}")
            continue
        outside = _outside(space[name], value)
        if outside and not clip:
            return Proposal(None, "out-of-range", f"{name} = {value!r} is out of range; it is {outside}")
        if outside:
            repairs.append(f"clipped:{name}")
        elif value != number(space.columns(x[None, :])[name][0][0].item()):
            repairs.append(f"snapped:{name}")
    return _complete(x, space, repairs, clip=clip, default=default)


def _complete(x: Matrix, space: SearchSpace, repairs: list[str], *, clip: bool, default: Matrix) -> Proposal:
    """Fill or reject what is missing, drop what is inactive."""
    for j, name in enumerate(space.names):
        active = space.is_active(j, x)
        if active and np.isnan(x[j]):
            if not clip:
                return Proposal(None, "missing", f"{name!r} is missing")
            x[j] = default[j] if not np.isnan(default[j]) else space.default[j]
            repairs.append(f"filled:{name}")
        elif not active and not np.isnan(x[j]):
            x[j] = np.nan
            repairs.append(f"dropped:{name}")
    return Proposal(x, repairs=tuple(repairs))


def _outside(hp: Hyperparameter, value: Any) -> str:
    """The range in words if a number lies outside of it, else the empty string."""
    choices = values_of(hp)
    if choices is not None:
        if value in choices or not all(isinstance(choice, int | float) for choice in choices):
            return ""
        low, high = min(choices), max(choices)
    else:
        low, high = hp.lower, hp.upper
    # The prompt shows bounds with three digits: those count as inside.
    inside = min(low, number(float(low))) <= value <= max(high, number(float(high)))
    return "" if inside else f"between {number(low)} and {number(high)}"


def _first_object(text: str) -> dict[str, Any] | None:
    """The first complete JSON object in a text; None if there is none."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        return value if isinstance(value, dict) else None
    return None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
