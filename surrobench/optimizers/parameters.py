"""Read the legal values of a method's keyword parameters off their annotations.

These annotations are judged: text, numbers, true and false, tables, a ``Literal``'s choices, and unions of
these and None. Any other annotation, or none, lets every value pass.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from surrobench.errors import UnknownName, UsageError
from surrobench.seeding import plain

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Mapping: "a table",
}


@cache  # every run of a study asks
def annotated(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature, with annotations evaluated from their text where that is possible.

    A user's annotations may name anything.
    """
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:  # evaluating a user's annotations may raise anything; they are then not judged
        return inspect.signature(function)


def check(parameter: inspect.Parameter, value: Any) -> None:
    """Check that a parameter may have this value.

    A whole number is a number. True and false are no numbers. None, which TOML cannot say, passes.

    Raises:
        UnknownName: the value is no choice of a ``Literal``. The message names the nearest.
        UsageError: the value is of another type than the annotation says.
    """
    kinds = _kinds(parameter.annotation)
    if not kinds or value is None or any(_is_of(value, kind) for kind in kinds):
        return
    choices = [kind for kind in kinds if kind not in _WORDS]
    if choices and isinstance(value, str) and str not in kinds:
        raise UnknownName(parameter.name, value, map(str, choices))
    words = [*map(repr, choices), *(word for kind, word in _WORDS.items() if kind in kinds)]
    raise UsageError(f"{parameter.name} must be {' or '.join(words)}, but got {value!r}.")


def settled(parameter: inspect.Parameter, value: Any) -> Any:
    """Return a parameter's value in the one form that equal values have, so that they give the same trials.

    A parameter that is a number gets a float, whether the suite says 1 or 1.0. Any other parameter gets whole
    numbers as integers. Only where the annotation says ``int | float``, the value stays as it is written,
    since the method tells the two apart. A parameter without an annotation is of its default's type.
    """
    kinds = _kinds(parameter.annotation) or [type(parameter.default)]
    if {int, float} <= set(kinds):
        return value
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value if float in kinds and isinstance(value, float) else plain(value)


def is_json(value: Any) -> bool:
    """Return whether a value can be written as JSON, and so can be part of a run's identity."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _kinds(annotation: Any) -> list[Any] | None:
    """Return the types and choices that an annotation allows, beside None.

    Return None if the annotation says something else.
    """
    if get_origin(annotation) in (Union, UnionType):
        parts = [_kinds(part) for part in get_args(annotation) if part is not NoneType]
        return None if None in parts else [kind for part in parts for kind in part or ()]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    kind = get_origin(annotation) or annotation
    if kind is dict:
        kind = Mapping
    return [kind] if isinstance(kind, type) and kind in _WORDS else None


def _is_of(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, type):
        return isinstance(value, kind)
    return type(value) is type(kind) and bool(value == kind)
