"""Read hyperparameters of a published space that exist in steps only.

Older versions of ConfigSpace had ranges with a step ``q``. The present one leaves the step out, and warns.
Such a hyperparameter becomes the list of its values: ``lower``, ``lower + q``, and so on up to ``upper``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from surrobench.errors import DataError

MOST_VALUES = 10_000
"""The most values that a list of steps may have."""


def without_step(entry: dict[str, Any], scenario: str) -> dict[str, Any]:
    """Return an entry of a space as it is, or as the list of its values where it has a step.

    Args:
        entry: a hyperparameter as ``config_space.json`` has it.
        scenario: the name of the scenario, for the message.

    Raises:
        DataError: the step is no positive number within the range, or makes too many values.
    """
    step = entry.get("q")
    plain = {key: value for key, value in entry.items() if key != "q"}
    whole = entry["type"] == "uniform_int"
    if step is None or (whole and step == 1):
        return plain
    low, high = entry["lower"], entry["upper"]
    number = isinstance(step, int | float) and not isinstance(step, bool)
    if not (number and 0 < step <= high - low and (high - low) / step < MOST_VALUES):
        raise DataError(
            f"The search space of yahpo/{scenario} is damaged: {entry['name']} has the step q = {step!r}.",
            f"A step lies between 0 and the range, and makes at most {MOST_VALUES:,} values.",
        )
    first, by = Decimal(repr(low)), Decimal(repr(step))
    count = int((Decimal(repr(high)) - first) / by) + 1
    values = [int(value) if whole else float(value) for value in (first + i * by for i in range(count))]
    default = entry.get("default_value", (low + high) / 2)
    return {
        "name": entry["name"],
        "type": "ordinal",
        "sequence": values,
        "default_value": min(values, key=lambda value: abs(value - default)),
        "meta": {"log": True} if entry.get("log") else None,
    }
