"""Write the values of one hyperparameter as prompts and schemas show them.

Different values look different, and what is written is read as the same value. Numbers have three significant
digits where these suffice, because a small model pays for each digit: three digits cost a third of the tokens
of the full representation. Values of a list get the fewest digits that tell them apart. Values of a range get
the fewest with which the range has at least ``LEVELS`` different texts. The ends of a range are rounded
outward, so that a schema encloses all of it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cached_property
from typing import Any

from surrobench.llm.prompts import DIGITS, number
from surrobench.space.hyperparameter import (
    Hyperparameter,
    bounds_of,
    is_integer,
    is_log,
    values_of,
    words,
)

LEVELS = 100
"""How many different texts the values of a range have at least."""
MOST_DIGITS = 17
"""With so many digits every float has a text of its own."""


@dataclass(frozen=True)
class ShownValues:
    """The values of a hyperparameter as they are written.

    Attributes:
        hp: the hyperparameter, as it is shown.
        rules: the version of the rules, see ``prompts.TEXT_RULES``.
    """

    hp: Hyperparameter
    rules: int

    @cached_property
    def digits(self) -> int:
        """Return how many significant digits the hyperparameter's floats have."""
        if self.rules == 1:
            return DIGITS
        choices = values_of(self.hp)
        enough = self._tells_choices_apart if choices is not None else self._tells_levels_apart
        return next((n for n in range(DIGITS, MOST_DIGITS) if enough(n)), MOST_DIGITS)

    def write(self, value: Any, more: int = 0) -> Any:
        """Return a value as the JSON value that is shown; one of a range with some ``more`` digits."""
        return number(value, self.digits if values_of(self.hp) is not None else self.digits + more)

    def word(self, value: Any) -> str:
        """Return a value as it stands in a sentence, as in a condition."""
        choices = values_of(self.hp)
        if choices is None:
            return str(self.write(value))
        return dict(zip(map(_key, choices), self._words(choices), strict=True))[_key(value)]

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Return the ends of the range, or of a list of numbers, as they are shown."""
        low, high = bounds_of(self.hp)
        if self.rules == 1 or values_of(self.hp) is not None or is_integer(self.hp):
            return self.write(low), self.write(high)
        return _outward(low, self.digits, ROUND_FLOOR), _outward(high, self.digits, ROUND_CEILING)

    def describe(self) -> str:
        """Describe the hyperparameter for a prompt: its values or its range, its type and its scale."""
        choices = values_of(self.hp)
        if choices is not None:
            return f"one of {', '.join(self._words(choices))}"
        low, high = self.ends
        kind = "integer" if is_integer(self.hp) else "number"
        return f"{kind} from {low} to {high}{', log scale' if is_log(self.hp) else ''}"

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        choices = values_of(self.hp)
        if choices is not None:
            return {"enum": [self.write(choice) for choice in choices]}
        low, high = self.ends
        return {"type": "integer" if is_integer(self.hp) else "number", "minimum": low, "maximum": high}

    def _words(self, choices: list[Any]) -> list[str]:
        written = [self.write(choice) for choice in choices]
        return list(map(str, written)) if self.rules == 1 else words(written)

    def _tells_choices_apart(self, digits: int) -> bool:
        choices = values_of(self.hp) or []
        return len({_key(number(choice, digits)) for choice in choices}) == len(set(map(_key, choices)))

    def _tells_levels_apart(self, digits: int) -> bool:
        if is_integer(self.hp):
            return True
        low, high = bounds_of(self.hp)
        if is_log(self.hp):  # a text is at most this share of its value from the next
            return 10.0 ** (1 - digits) * LEVELS <= math.log(high / low)
        largest = max(abs(math.nextafter(low, high)), abs(math.nextafter(high, low)))
        return 10.0 ** (Decimal(largest).adjusted() + 1 - digits) * LEVELS <= high - low


def _key(value: Any) -> str:
    """Return a text that is equal for equal values only: 1, 1.0, true and "1" are different."""
    return json.dumps(value, default=str)


def _outward(end: float, digits: int, rounding: str) -> float:
    """Return the nearest value of so many digits that is the end itself or beyond it."""
    near = float(number(float(end), digits))
    if math.isclose(near, end, rel_tol=1e-9 / LEVELS):
        return near + 0.0  # not -0.0
    exact = Decimal(repr(float(end)))
    return float(exact.quantize(Decimal((0, (1,), exact.adjusted() - digits + 1)), rounding))
