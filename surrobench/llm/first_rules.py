"""Read replies by the first version of the rules, for studies that were begun with it.

See ``prompts.TEXT_RULES``. The present rules are in ``parse``.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np

from surrobench.errors import UsageError
from surrobench.llm.lenient_json import integer
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.llm.prompts import number
from surrobench.llm.proposal import FALSE_STARTS, Invalid, Proposal, inside
from surrobench.space.hyperparameter import Hyperparameter, Matrix, bounds_of, nearest, value_of, values_of

_BEGIN = re.compile(r"\{(?=[ \t\n\r]*[\"}])")
"""A brace with which an object can begin: a name or the end of the object follows."""


def proposals_in(text: str, view: ShownSpace, k: int, *, clip: bool, default: Matrix) -> list[Proposal]:
    """Return the proposals that a text makes, k at most.

    The first JSON object of the text counts, or the first k. If there should be several, an object that holds
    nothing but objects, or lists of them, is their list. An unknown name, and whatever is wrong with a value,
    makes a proposal invalid, unless ``clip`` is set.
    """
    objects = _objects(text, k)
    if k > 1:
        objects = [part for found in objects for part in _listed(found)][:k]
    return [_proposal(values, view, clip, default) for values in objects]


def _proposal(values: dict[str, Any], view: ShownSpace, clip: bool, default: Matrix) -> Proposal:
    space = view.space
    try:
        x, repairs = _values(values, view, clip=clip)
        for j, name in enumerate(space.names):
            active = space.is_active(j, x)
            if active and np.isnan(x[j]):
                if not clip:
                    raise Invalid("missing", f"{view.names[j]!r} is missing")
                # A default configuration has no value for a hyperparameter that is inactive in it, but the
                # hyperparameter has.
                own = space.nearest(name, space[name].default_value)
                x[j] = own if np.isnan(default[j]) else default[j]
                repairs.append(f"filled:{name}")
            elif not active and not np.isnan(x[j]):
                x[j] = np.nan
                repairs.append(f"dropped:{name}")
    except Invalid as problem:
        return Proposal(None, problem.defect, problem.detail)
    return Proposal(x, repairs=tuple(repairs))


def _values(values: dict[str, Any], view: ShownSpace, *, clip: bool) -> tuple[Matrix, list[str]]:
    """Return the named values as a vector, and the repairs.

    The vector has NaN for a hyperparameter whose value is missing or cannot be kept.
    """
    x = np.full(view.space.d, np.nan)
    repairs: list[str] = []
    for name, value in values.items():
        if name not in view.columns:
            if not clip:
                raise Invalid("unknown-name", f"{name!r} is no hyperparameter")
            repairs.append(f"dropped:{name!r}")
            continue
        j = view.columns[name]
        hp = view.hyperparameters[j]
        try:
            shown = nearest(hp, inside(hp, value))
        except UsageError as error:
            if not clip:
                raise Invalid("out-of-range", str(error).rstrip(".")) from None
            continue
        if outside := _outside(hp, value):
            if not clip:
                raise Invalid("out-of-range", f"{name} = {value!r} is out of range; it is {outside}")
            repairs.append(f"clipped:{view.space.names[j]}")
        elif not _same(value, value_of(hp, shown)):
            repairs.append(f"snapped:{view.space.names[j]}")
        x[j] = view.to_vector(j, shown)
    return x, repairs


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
    decoder = json.JSONDecoder(parse_constant=_no_constant, parse_int=integer)
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


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
