"""Turn a reply into a configuration or a named reason.

Model output is untrusted text: it is parsed as JSON and checked value by value, never evaluated. The rules
are written down in ``docs/concepts/replies.md``. ``first_rules`` has those that older studies were begun
with.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from surrobench.errors import UsageError
from surrobench.llm import first_rules
from surrobench.llm.lenient_json import Reader
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.llm.proposal import FALSE_STARTS, Invalid, Proposal, inside
from surrobench.llm.shown_values import ShownValues
from surrobench.llm.thinking import apart
from surrobench.protocol.requests import Completion
from surrobench.space.hyperparameter import (
    Hyperparameter,
    Matrix,
    bounds_of,
    is_integer,
    is_log,
    nearest,
    value_of,
    values_of,
)

LONGEST_NAME = 40
"""The most characters of an unknown name, or of a wrong value, that are recorded."""
MOST_UNKNOWN = 5
"""The most unknown names of an object that are recorded by name."""
DEEPEST = 4
"""How deep in other objects a configuration is looked for."""
ROUNDING = 1e-9
"""The share of a range within which a value counts as the one that was kept."""
_SPACE = r"[ \t\n\r]*"
_BEGIN = re.compile(rf"""\{{(?={_SPACE}(?:["'}}\#]|//|/\*))|\[(?={_SPACE}[\{{\[])""")
"""A bracket with which an object, or a list of objects, can begin."""
_NUMERIC = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*")
_NOTHING = object()

Named = tuple[dict[str, Any], tuple[str, ...]]
"""An object that names hyperparameters, and what was mended in its JSON."""


def parse_configuration(reply: Completion, view: ShownSpace, *, clip: bool, default: Matrix) -> Proposal:
    """Read the configuration that a reply proposes.

    The last complete JSON object after the thinking that names a hyperparameter counts, wherever it stands in
    prose, lists or other objects. Slips that leave no doubt are mended, and recorded as repairs of the
    proposal:

    - ``json:SLIP``: JSON that is slightly wrong, see ``lenient_json``.
    - ``text:NAME``: a value of another type that says the same, such as ``"0.01"`` for 0.01.
    - ``snapped:NAME``: a number between the values that exist. The nearest one is taken.
    - ``dropped:NAME``: a value of a hyperparameter that is inactive in the proposal. Null is no value.
    - ``dropped:'NAME'``: a name that the space does not have.

    Anything else that is wrong makes the reply invalid, unless ``clip`` is set, which is karpathy-agent's
    published rule. A value out of range is then moved to the nearest bound (``clipped:NAME``). A value that
    is missing or is no value at all is filled with the default (``filled:NAME``).

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
    """Read k configurations that a reply lists, each by itself as in ``parse_configuration``.

    The first k of the last list count. Where there is no list, the last k objects count. A list is an array,
    or an object around arrays or objects that name hyperparameters. The result always has k proposals; those
    that are missing are invalid.
    """
    proposals: list[Proposal] = []
    why = _Text("", view)
    if reply.finish_reason != "refusal":
        if view.rules == 1:
            proposals = first_rules.proposals_in(reply.text, view, k, clip=clip, default=default)
        else:
            why = _Text(apart(reply.text)[1], view)
            # The objects of a list that was cut off are whole. A single object that was cut off is not the
            # one before it.
            if k > 1 or not (reply.finish_reason == "length" and why.breaks_off):
                proposals = [_proposal(named, view, clip, default) for named in why.last(k)]
    proposals += [_nothing(reply, len(proposals), k, why)] * (k - len(proposals))
    return [replace(proposal, reply=reply.where) for proposal in proposals]


def _nothing(reply: Completion, found: int, k: int, text: _Text) -> Proposal:
    """Return the invalid proposal that says why a reply has no further configuration."""
    if reply.finish_reason == "refusal":
        return Proposal(None, "refused", "the model refused to answer")
    if reply.finish_reason == "length":
        return Proposal(None, "truncated", "the answer was cut off before its JSON object was complete")
    if text.unknown and not found:
        detail = f"{text.unknown[:LONGEST_NAME]!r} is no hyperparameter, and no other is named"
        return Proposal(None, "unknown-name", detail)
    if k > 1:
        return Proposal(None, "unparsable", f"the answer lists {found} configurations instead of {k}")
    detail = "the answer contains no JSON object"
    if text.view.rules > 1 and reply.thinking and _Text(reply.thinking, text.view).last(1):
        detail += f" ({IN_REASONING})"
    return Proposal(None, "unparsable", detail)


IN_REASONING = "one stands in the reasoning alone"
"""What is said of a reply whose only configuration is where the server puts the model's reasoning."""


# ---------------------------------------------------------------------- which object counts


class _Text:
    """The objects in the text of a reply.

    Attributes:
        groups: for each list or object in the text, in their order, the objects in it that name
            hyperparameters, and whether it is a list of them.
        breaks_off: whether an object begins after the last complete one that names a hyperparameter.
        unknown: a name in an object that names no hyperparameter, if there is any.
    """

    def __init__(self, text: str, view: ShownSpace) -> None:
        self.view = view
        self.groups: list[tuple[bool, list[Named]]] = []
        self.breaks_off, self.unknown = False, ""
        reader, failed, unfinished = Reader(text), 0, False
        begin = _BEGIN.search(text)
        while begin and failed < FALSE_STARTS:
            try:
                value, end = reader.read(begin.start())
            except ValueError:
                self.breaks_off = True
                if begin[0] == "[" and not unfinished:
                    # The objects that follow are those of a list that has no end, or a fault between them.
                    self.groups.append((True, []))
                    unfinished = True
                failed, end = failed + 1, begin.start() + 1
            else:
                unfinished = self._add(value, tuple(reader.mends), unfinished)
            begin = _BEGIN.search(text, end)

    def last(self, k: int) -> list[Named]:
        """Return the objects that count, k at most."""
        if k > 1 and (lists := [objects for is_list, objects in self.groups if is_list and objects]):
            return next((found for found in reversed(lists) if len(found) >= k), lists[-1])[:k]
        return [named for _, objects in self.groups for named in objects][-k:]

    def _add(self, value: Any, mends: tuple[str, ...], unfinished: bool) -> bool:
        """Add what a value names; return whether the list before it is still unfinished."""
        found = [(part, mends) for part in self._named(value, DEEPEST)]
        if not found:
            if isinstance(value, dict) and value:
                self.unknown = next(iter(value))
            return unfinished
        self.breaks_off = False
        is_list = found[0][0] is not value
        if unfinished and not is_list:
            self.groups[-1][1].extend(found)
            return True
        self.groups.append((is_list, found))
        return False

    def _named(self, value: Any, depth: int) -> Iterator[dict[str, Any]]:
        """Yield the objects in a value that name a hyperparameter, and are not within each other."""
        if isinstance(value, dict) and not self.view.columns.keys().isdisjoint(value):
            yield value
        elif isinstance(value, dict | list) and depth:
            for part in value.values() if isinstance(value, dict) else value:
                yield from self._named(part, depth - 1)


# ---------------------------------------------------------------------- one configuration


def _proposal(named: Named, view: ShownSpace, clip: bool, default: Matrix) -> Proposal:
    values, mends = named
    space = view.space
    x = np.full(space.d, np.nan)
    repairs = [*(f"json:{mend}" for mend in mends), *_unknown(values, view)]
    missing: list[str] = []
    try:
        # Parents come before their children, so that it is known of each hyperparameter whether it is active.
        for j, name in enumerate(space.names):
            said = _said(values, view, j)
            if not space.is_active(j, x):
                if said is not _NOTHING:
                    repairs.append(f"dropped:{name}")
                continue
            if said is _NOTHING and not clip:
                missing.append(view.names[j])
                continue
            read = _read(said, view, j, clip)
            if read is not None:
                x[j], mended = read
                repairs += [f"{mend}:{name}" for mend in mended]
                continue
            # A default configuration has no value for a hyperparameter that is inactive in it, but the
            # hyperparameter has.
            own = space.nearest(name, space[name].default_value)
            x[j] = own if np.isnan(default[j]) else default[j]
            repairs.append(f"filled:{name}")
        if missing:
            raise Invalid("missing", f"{missing[0]!r} is missing")
    except Invalid as problem:
        return Proposal(None, problem.defect, problem.detail)
    return Proposal(x, repairs=tuple(repairs))


def _unknown(values: Mapping[str, Any], view: ShownSpace) -> list[str]:
    """Return the repairs that drop names which the space does not have, or of which nothing was asked."""
    others = [f"dropped:{view.others[name]}" for name in values if name in view.others]
    names = [name for name in values if name not in view.columns and name not in view.others]
    dropped = [f"dropped:{name[:LONGEST_NAME]!r}" for name in names[:MOST_UNKNOWN]]
    more = len(names) - len(dropped)
    return [*others, *dropped, *([f"dropped:{more} more names"] if more else [])]


def _said(values: Mapping[str, Any], view: ShownSpace, j: int) -> Any:
    """Return what an object says of a hyperparameter. Null is nothing, unless it means one of the values."""
    said = values.get(view.names[j], _NOTHING)
    choices = values_of(view.hyperparameters[j]) or ()
    if said is None and not any(_spellings(None) & _spellings(choice) for choice in choices):
        return _NOTHING
    return said


def _read(said: Any, view: ShownSpace, j: int, clip: bool) -> tuple[float, list[str]] | None:
    """Return the vector value of an active hyperparameter from what is said of it, and the repairs.

    The result is None where the default is to be taken.

    Raises:
        Invalid: the value is not in the space.
    """
    hp, name, shown = view.hyperparameters[j], view.names[j], view.values[j]
    if said is _NOTHING:
        return None
    value, mended = _meant(said, shown)
    try:
        x = nearest(hp, inside(hp, value))
    except UsageError:
        if clip:
            return None
        detail = f"{name} = {_short(said)} is not in the space; it is {shown.describe()}"
        raise Invalid("out-of-range", detail) from None
    repairs = ["text"] if mended else []
    if beyond := _outside(hp, shown, value):
        if not clip:
            raise Invalid("out-of-range", f"{name} = {_short(said)} is out of range; it is {beyond}")
        repairs.append("clipped")
    elif not _same(hp, value, value_of(hp, x)):
        repairs.append("snapped")
    return view.to_vector(j, x), repairs


def _meant(said: Any, shown: ShownValues) -> tuple[Any, bool]:
    """Return the value that is meant by what is said, and whether what is said had to be mended.

    A value of a list is itself, or is as prompts show it. Else it is the only one that reads the same, be it
    text or not: 0.5 means "0.5", and "true" means true. Text that is a number means that number where numbers
    are wanted.
    """
    choices = values_of(shown.hp)
    if choices is not None:
        for choice in choices:
            if said == choice and isinstance(said, bool) == isinstance(choice, bool):
                return choice, False
        for choice in choices:
            if type(said) is float and said == shown.write(choice):
                return choice, False
        alike = [choice for choice in choices if _spellings(said) & _spellings(choice)]
        if len(alike) == 1:
            return alike[0], True
        if not all(_is_number(choice) for choice in choices):
            return said, False
    if isinstance(said, str) and _NUMERIC.fullmatch(said):
        number = float(said)
        return (int(number) if number.is_integer() and abs(number) < 2**53 else number), True
    return said, False


def _spellings(value: Any) -> set[str]:
    """Return the texts that mean a value."""
    if isinstance(value, str):
        return {value.strip()}
    if not (value is None or isinstance(value, bool | int | float)):
        return set()
    whole = {str(int(value))} if isinstance(value, float) and value.is_integer() else set()
    return {json.dumps(value), str(value)} | whole


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(hp: Hyperparameter, value: Any, kept: Any) -> bool:
    """Return whether a value is the one that was kept, up to the rounding of the vector encoding."""
    if values_of(hp) is not None or is_integer(hp):
        return bool(value == kept)
    low, high = bounds_of(hp)
    width = abs(kept) * math.log(high / low) if is_log(hp) else high - low
    return bool(abs(value - kept) <= ROUNDING * width)


def _outside(hp: Hyperparameter, shown: ShownValues, value: Any) -> str:
    """Return the range in words if a number lies outside of it, else the empty string."""
    choices = values_of(hp)
    if choices is not None and (_is_in(value, choices) or not all(map(_is_number, choices))):
        return ""
    low, high = bounds_of(hp)
    first, last = shown.ends
    # The prompt shows bounds that are rounded, so the shown bounds count as inside.
    return "" if min(low, first) <= value <= max(high, last) else f"between {first} and {last}"


def _is_in(value: Any, choices: list[Any]) -> bool:
    return any(choice == value for choice in choices)


def _short(value: Any) -> str:
    """Return a value as JSON, of a length that fits into a sentence."""
    text = json.dumps(value)
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 3]}..."
