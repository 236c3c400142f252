"""Turn a reply into a configuration or a named reason.

Model output is untrusted text: it is parsed as JSON and checked value by value, never evaluated.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from surrobench.errors import UsageError
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.llm.prompts import number
from surrobench.protocol.requests import Completion
from surrobench.space.hyperparameter import (
    Hyperparameter,
    Matrix,
    bounds_of,
    nearest,
    value_of,
    values_of,
)

FALSE_STARTS = 200
"""The number of false starts of an object after which the rest of a reply is not read.

Each false start may be read to the end of the reply. Without a limit, a model that repeats itself costs the
square of its reply's length, while all other runs wait.
"""
_BEGIN = re.compile(r"\{(?=[ \t\n\r]*[\"}])")
"""A brace with which an object can begin: a name or the end of the object follows."""

Defect = Literal["truncated", "refused", "unparsable", "missing", "unknown-name", "out-of-range"]


@dataclass(frozen=True)
class Proposal:
    """The outcome of reading a reply.

    Attributes:
        configuration: the proposed configuration, shape (d,); None if the reply is invalid.
        defect: what is wrong with an invalid reply.
        detail: the defect in words, for the record and for a re-ask.
        repairs: what was changed to make the proposal legal, ``kind:hyperparameter``.
        reply: the completion that the proposal was read from (``Completion.where``).
    """

    configuration: Matrix | None
    defect: Defect | None = None
    detail: str = ""
    repairs: tuple[str, ...] = ()
    reply: str = ""


def parse_configuration(reply: Completion, view: ShownSpace, *, clip: bool, default: Matrix) -> Proposal:
    """Read the configuration that a reply proposes.

    The first JSON object of the text counts, and prose around it is ignored. Values that the space does not
    have but that lie within its range are snapped to the nearest one (``snapped:NAME``), because a grid is
    not visible if a range was shown. Values of hyperparameters that are inactive in the proposal are dropped
    (``dropped:NAME``).

    Anything else that is wrong makes the reply invalid, unless ``clip`` is set, which is karpathy-agent's
    published rule. A value out of range is then moved to the nearest bound (``clipped:NAME``). A value that
    is missing or is no value at all is filled with the default (``filled:NAME``). An unknown name is dropped.

    Args:
        reply: the model's reply.
        view: the space as the model was shown it. Repairs are named after the space's own hyperparameters.
        clip: whether to mend what is wrong.
        default: the default configuration, shape (d,).
    """
    return parse_configurations(reply, view, 1, clip=clip, default=default)[0]


def parse_configurations(
    reply: Completion, view: ShownSpace, k: int, *, clip: bool, default: Matrix
) -> list[Proposal]:
    """Read the first k configurations that a reply lists, each by itself as in ``parse_configuration``.

    The result always has k proposals; those that are missing are invalid.

    If there should be several, an object that holds nothing but objects, or lists of them, is their list. A
    server that lets a model write nothing but an object (``structured = "json_object"``) leaves the model no
    other way. No value of a configuration is an object.
    """
    objects: list[dict[str, Any]] = []
    if reply.finish_reason != "refusal":
        objects = _objects(reply.text, k)
    if k > 1:
        objects = [part for found in objects for part in _listed(found)][:k]
    proposals = [_proposal(values, view, clip, default) for values in objects]
    proposals += [_nothing(reply, len(objects), k)] * (k - len(objects))
    return [replace(proposal, reply=reply.where) for proposal in proposals]


def _proposal(values: dict[str, Any], view: ShownSpace, clip: bool, default: Matrix) -> Proposal:
    space = view.space
    try:
        x, repairs = _values(values, view, clip=clip)
        for j, name in enumerate(space.names):
            active = space.is_active(j, x)
            if active and np.isnan(x[j]):
                if not clip:
                    raise _Invalid("missing", f"{view.names[j]!r} is missing")
                # A default configuration has no value for a hyperparameter that is inactive in it, but the
                # hyperparameter has.
                own = space.nearest(name, space[name].default_value)
                x[j] = own if np.isnan(default[j]) else default[j]
                repairs.append(f"filled:{name}")
            elif not active and not np.isnan(x[j]):
                x[j] = np.nan
                repairs.append(f"dropped:{name}")
    except _Invalid as problem:
        return Proposal(None, problem.defect, problem.detail)
    return Proposal(x, repairs=tuple(repairs))


def _nothing(reply: Completion, found: int, k: int) -> Proposal:
    """Return the invalid proposal that says why a reply has no further configuration."""
    if reply.finish_reason == "refusal":
        return Proposal(None, "refused", "the model refused to answer")
    if reply.finish_reason == "length":
        return Proposal(None, "truncated", "the answer was cut off before its JSON object was complete")
    if k > 1:
        return Proposal(None, "unparsable", f"the answer lists {found} configurations instead of {k}")
    return Proposal(None, "unparsable", "the answer contains no JSON object")


class _Invalid(Exception):
    def __init__(self, defect: Defect, detail: str) -> None:
        self.defect: Defect = defect
        self.detail = detail


def _values(values: dict[str, Any], view: ShownSpace, *, clip: bool) -> tuple[Matrix, list[str]]:
    """Return the named values as a vector, and the repairs.

    The vector has NaN for a hyperparameter whose value is missing or cannot be kept.
    """
    x = np.full(view.space.d, np.nan)
    repairs: list[str] = []
    for name, value in values.items():
        if name not in view.columns:
            if not clip:
                raise _Invalid("unknown-name", f"{name!r} is no hyperparameter")
            repairs.append(f"dropped:{name!r}")
            continue
        j = view.columns[name]
        hp = view.hyperparameters[j]
        try:
            shown = nearest(hp, _inside(hp, value))
        except UsageError as error:
            if not clip:
                raise _Invalid("out-of-range", str(error).rstrip(".")) from None
            continue
        if outside := _outside(hp, value):
            if not clip:
                raise _Invalid("out-of-range", f"{name} = {value!r} is out of range; it is {outside}")
            repairs.append(f"clipped:{view.space.names[j]}")
        elif not _same(value, value_of(hp, shown)):
            repairs.append(f"snapped:{view.space.names[j]}")
        x[j] = view.to_vector(j, shown)
    return x, repairs


def _inside(hp: Hyperparameter, value: Any) -> Any:
    """Return a number moved into the range, since arithmetic far beyond it overflows or loses the order."""
    choices = values_of(hp)
    numeric = choices is None or all(isinstance(c, int | float) for c in choices)
    if not numeric or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    low, high = bounds_of(hp)
    return min(max(value, low), high)


def _same(value: Any, kept: Any) -> bool:
    """Return whether a value is the one that was kept, in full or as prompts write it."""
    if isinstance(kept, float):
        return math.isclose(value, kept, rel_tol=1e-9) or bool(value == number(kept))
    return bool(value == kept)


def _outside(hp: Hyperparameter, value: Any) -> str:
    """Return the range in words if a number lies outside of it, else the empty string."""
    choices = values_of(hp)
    if choices is not None and (value in choices or not all(isinstance(c, int | float) for c in choices)):
        return ""
    low, high = bounds_of(hp)
    # The prompt shows bounds with three digits, so the shown bounds count as inside.
    inside = min(low, number(float(low))) <= value <= max(high, number(float(high)))
    return "" if inside else f"between {number(low)} and {number(high)}"


def _objects(text: str, k: int) -> list[dict[str, Any]]:
    """Return the first k complete JSON objects in a text that are not within each other.

    After ``FALSE_STARTS`` braces that looked like the beginning of an object and were none, the rest is not
    read.
    """
    decoder = json.JSONDecoder(parse_constant=_no_constant, parse_int=_integer)
    found: list[dict[str, Any]] = []
    failed, begin = 0, _BEGIN.search(text)
    while begin and len(found) < k and failed < FALSE_STARTS:
        try:
            value, end = decoder.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            failed, end = failed + 1, begin.start() + 1
        else:
            found.append(value)  # a value that begins with a brace is an object
        begin = _BEGIN.search(text, end)
    return found


def _listed(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that an object holds if it holds nothing else, or else the object itself."""
    parts = [part for held in value.values() for part in (held if isinstance(held, list) else [held])]
    return parts if parts and all(isinstance(part, dict) for part in parts) else [value]


def _integer(digits: str) -> int | float:
    # An integer that no float can hold would overflow in every comparison that needs a float.
    return int(digits) if len(digits) < 300 else float(digits)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
