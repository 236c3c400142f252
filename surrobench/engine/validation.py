"""Validate every request of an optimizer where it enters the engine, field by field.

What comes out has the types that ``protocol.requests`` names. Nothing behind this module meets a value that
cannot be hashed, stored or sent. What depends on the scenario (the width of a matrix, its fidelities) or
on the state of the run is checked by ``engine.batch`` and ``engine.run_state``.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NoReturn, TypeVar, get_args

import numpy as np

from surrobench.engine.outcome import Origin
from surrobench.protocol.requests import (
    Complete,
    Compute,
    Evaluate,
    Message,
    Next,
    Purpose,
    Request,
    Submit,
    Waste,
)
from surrobench.protocol.text import storable

MOST_COMPLETIONS = 10_000
"""How many completions one request may ask for, and how many configurations one reply may list."""
Trials = TypeVar("Trials", Evaluate | Submit, Waste)
_ROLES = ("system", "user", "assistant")


class ContractViolation(Exception):
    """An optimizer broke its contract; the text, after "The optimizer", says how."""


def validated(request: Any) -> Request:
    """Return a request in which every field has its type, and every text can be stored.

    Raises:
        ContractViolation: the request is none, or a field of it is wrong.
    """
    if isinstance(request, Evaluate | Submit):
        return _trials(request)
    if isinstance(request, Next):
        return request
    if isinstance(request, Compute):
        if not callable(request.kernel) or not isinstance(request.kernel, Hashable):
            _wrong(request, "kernel", "a function of a list of states")
        return request
    if isinstance(request, Waste):
        return _with(request, {name: _text(request, name) for name in ("reason", "source", "reply")})
    if isinstance(request, Complete):
        return _complete(request)
    if isinstance(request, list | tuple) and request and all(isinstance(one, Complete) for one in request):
        return [_complete(one) for one in request]
    raise ContractViolation(f"yielded {brief(request)}, which is no request.")


def origin_of(request: Evaluate | Submit) -> Origin:
    """Return the origin of a validated request's trials, which is one object for all that have the same."""
    repairs = request.repairs if isinstance(request, Evaluate) else ()
    if request.reply:
        return Origin(request.source, repairs=repairs, reply=request.reply)
    return _shared_origin(request.source, repairs)


def brief(value: object) -> str:
    """Return a value's representation on one line, cut where it is long, whatever the value does."""
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = f"a {type(value).__name__}"
    return storable(text if len(text) <= 80 else f"{text[:80]}...")


@lru_cache
def _shared_origin(source: str, repairs: tuple[str, ...]) -> Origin:
    return Origin(source, repairs=repairs)


def _trials(request: Evaluate | Submit) -> Evaluate | Submit:
    changed: dict[str, Any] = {"source": _text(request, "source"), "reply": _text(request, "reply")}
    if request.fidelity is not None:
        changed["fidelity"] = _fidelity(request)
    if request.continued_from is not None and not _is_number(request.continued_from):
        _wrong(request, "continued_from", "a number")
    if isinstance(request, Evaluate):
        if request.repairs != ():
            changed["repairs"] = _repairs(request)
        if type(request.unit) is not bool:
            _wrong(request, "unit", "True or False")
    return _with(request, changed)


def _fidelity(request: Evaluate | Submit) -> dict[str, float]:
    given = request.fidelity
    if not isinstance(given, Mapping) or not all(
        isinstance(name, str) and _is_number(value) for name, value in given.items()
    ):
        _wrong(request, "fidelity", "a mapping of name to number")
    return {storable(name): value for name, value in given.items()}


def _repairs(request: Evaluate) -> tuple[str, ...]:
    given: Any = request.repairs
    if not isinstance(given, tuple) or not all(isinstance(repair, str) for repair in given):
        _wrong(request, "repairs", "a tuple of words")
    return tuple(map(storable, given))


def _complete(request: Complete) -> Complete:
    if not isinstance(request.purpose, str) or request.purpose not in get_args(Purpose):
        _wrong(request, "purpose", f"one of {', '.join(get_args(Purpose))}")
    return replace(
        request,
        messages=_messages(request),
        n=_integer(request, "n", 1, MOST_COMPLETIONS),
        schema=None if request.schema is None else _as_json(request, "schema"),
        sampling=_as_json(request, "sampling"),
        attempt=_integer(request, "attempt", 0, math.inf),
        configurations=_integer(request, "configurations", 1, MOST_COMPLETIONS),
    )


def _messages(request: Complete) -> tuple[Message, ...]:
    wanted = f"a tuple of Message(role, content), the role one of {', '.join(_ROLES)}"
    messages: Any = request.messages
    if not isinstance(messages, tuple | list) or not messages:
        _wrong(request, "messages", wanted)
    for message in messages:
        pair = (
            isinstance(message, tuple)
            and len(message) == 2
            and all(isinstance(part, str) for part in message)
        )
        if not pair or message[0] not in _ROLES:
            _wrong(request, "messages", wanted)
    return tuple(Message(role, storable(content)) for role, content in messages)


def _as_json(request: Complete, name: str) -> Any:
    """Return a mapping that JSON can say, with storable texts."""
    value = getattr(request, name)
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        _wrong(request, name, "a mapping whose keys are words")
    try:
        text = json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        _wrong(request, name, "a mapping of values that JSON has (no NaN, no arrays of NumPy)")
    return dict(value) if storable(text) is text else json.loads(storable(text))


def _text(request: Any, name: str) -> str:
    value = getattr(request, name)
    return storable(value) if isinstance(value, str) else _wrong(request, name, "text")


def _integer(request: Any, name: str, least: int, most: float) -> int:
    value = getattr(request, name)
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number <= most:
        limits = f"at least {least}" if most == math.inf else f"from {least} to {most:,}"
        _wrong(request, name, f"an integer, {limits}")
    return number


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _with(request: Trials, changed: dict[str, Any]) -> Trials:
    """Return a request with changed fields; the request itself where none differs, as nearly always."""
    different = {name: value for name, value in changed.items() if value is not getattr(request, name)}
    return replace(request, **different) if different else request


def _wrong(request: Any, name: str, wanted: str) -> NoReturn:
    given = brief(getattr(request, name))
    raise ContractViolation(f"yielded {type(request).__name__} with {name} = {given}; it must be {wanted}.")
