"""A further test of every method against the control, as a table that stands beside the ranking's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Also = Literal["bayes", "hierarchical", "mixed", "sign-flip"]
"""The Bayesian signed-rank and hierarchical tests, the linear mixed-effects model, the sign-flip test."""
ALSO: tuple[Also, ...] = get_args(Also)

Finding = Literal["better", "worse", "same", ""]
"""What the test says of a method, at the ranking's level; empty: nothing."""


@dataclass(frozen=True)
class Number:
    """A column of numbers: its name in CSV and JSON, its heading, and a value as people read it."""

    key: str
    heading: str
    show: Callable[[float], str]


@dataclass(frozen=True)
class Beside:
    """One test, of all methods but the control.

    Attributes:
        test: which.
        title: of its table.
        numbers: its columns.
        values: method -> its numbers, NaN where there is none; in the ranking's order.
        findings: method -> what the test says.
        facts: n, correction or prior, and what else holds for the table as a whole; JSON values.
        note: the same in words.
    """

    test: Also
    title: str
    numbers: tuple[Number, ...]
    values: Mapping[str, Sequence[float]]
    findings: Mapping[str, Finding]
    facts: Mapping[str, Any]
    note: str

    def cells(self, method: str) -> list[str]:
        """Its numbers as people read them."""
        pairs = zip(self.numbers, self.values[method], strict=True)
        return ["" if math.isnan(value) else number.show(value) for number, value in pairs]

    def document(self) -> dict[str, Any]:
        """All of it as a JSON value."""
        keys = [number.key for number in self.numbers]
        return {
            "test": self.test,
            **self.facts,
            "methods": {
                method: {**dict(zip(keys, values, strict=True)), "finding": self.findings[method] or None}
                for method, values in self.values.items()
            },
            "note": self.note,
        }

    def columns(self) -> list[str]:
        """Names of its columns in CSV."""
        prefix = self.test.replace("-", "_")
        return [f"{prefix}_{number.key}" for number in self.numbers]
