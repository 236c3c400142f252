"""What reading a reply comes to: a configuration, or a named defect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from surrobench.space.hyperparameter import Hyperparameter, Matrix, bounds_of, values_of

FALSE_STARTS = 200
"""The number of false starts of an object after which the rest of a reply is not read.

Each false start may be read to the end of the reply. Without a limit, a model that repeats itself costs the
square of its reply's length, while all other runs wait.
"""

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


class Invalid(Exception):
    """The error that makes a proposal invalid."""

    def __init__(self, defect: Defect, detail: str) -> None:
        self.defect: Defect = defect
        self.detail = detail


def inside(hp: Hyperparameter, value: Any) -> Any:
    """Return a number moved into the range, since arithmetic far beyond it overflows or loses the order."""
    choices = values_of(hp)
    numeric = choices is None or all(isinstance(c, int | float) for c in choices)
    if not numeric or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    low, high = bounds_of(hp)
    return min(max(value, low), high)
