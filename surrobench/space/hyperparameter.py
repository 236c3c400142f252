"""Search spaces as arrays.

A space is *defined* with ConfigSpace and *worked on* as matrices: a batch of configurations is a float64
matrix of shape (m, d) in ConfigSpace's own vector encoding (numeric hyperparameters in [0, 1] after the
logarithm where they have one, categorical and ordinal ones as their index, NaN where a conditional
hyperparameter is inactive). No function here builds a ``Configuration`` object: one costs 0.7 ms.

Two encodings occur:

- *vector*: ConfigSpace's encoding, which benchmarks look up and results are decoded from;
- *unit cube*: the encoding that model-based optimizers search. Continuous hyperparameters are the same in
  both. The values of a discrete one are bins of equal width, so that a uniform draw from the cube is a draw
  from the space's prior.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)
from numpy.typing import NDArray

from surrobench.errors import DataError, UsageError

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Configuration = dict[str, Any]

ROUNDING = 1e-9  # of the vector encoding: ConfigSpace maps the largest integer of a log range to 1 + 2e-16

Hyperparameter = (
    UniformFloatHyperparameter
    | UniformIntegerHyperparameter
    | CategoricalHyperparameter
    | OrdinalHyperparameter
    | Constant
)


# ---------------------------------------------------------------------- one hyperparameter


def supported(hp: object) -> Hyperparameter:
    """Return a hyperparameter whose kind is supported.

    Raises:
        DataError: its kind is not supported.
    """
    if isinstance(hp, Hyperparameter):
        return hp
    raise DataError(
        f"Hyperparameter {getattr(hp, 'name', hp)!r} is a {type(hp).__name__}, which is not supported.",
        "Use uniform, log-uniform, categorical, ordinal or constant ones.",
    )


def values_of(hp: Hyperparameter) -> list[Any] | None:
    """Return the list of a hyperparameter's values in the order of their indices; None for a range."""
    if isinstance(hp, CategoricalHyperparameter):
        return list(hp.choices)
    if isinstance(hp, OrdinalHyperparameter):
        return list(hp.sequence)
    if isinstance(hp, Constant):
        return [hp.value]
    return None


def bounds_of(hp: Hyperparameter) -> tuple[float, float]:
    """Return the lowest and the highest value of a range (integers as integers), or of a list of numbers."""
    if isinstance(hp, UniformFloatHyperparameter | UniformIntegerHyperparameter):
        return hp.lower, hp.upper
    choices = values_of(hp) or []
    return min(choices), max(choices)


def is_integer(hp: Hyperparameter) -> bool:
    """Return whether a hyperparameter is a range of integers."""
    return isinstance(hp, UniformIntegerHyperparameter)


def is_log(hp: Hyperparameter) -> bool:
    """Return whether a hyperparameter has a log scale; an ordinal one says so in ``meta={"log": True}``."""
    if isinstance(hp, OrdinalHyperparameter):
        return bool((hp.meta or {}).get("log", False))
    return bool(getattr(hp, "log", False))


_MISTAKABLE = re.compile(
    r"""\s*([-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|null|None|true|false|True|False|NaN|[-+]?Infinity)?\s*
    |.*[\[\]{}"',:\x00-\x1f\x7f].*""",
    re.VERBOSE | re.DOTALL,
)
"""A word that may be read as a number, as nothing, as a truth value, or as more than one word."""


def words(values: Sequence[Any]) -> list[str]:
    """Return the values of a list as a sentence lists them.

    Numbers are plain, and so are words. If a word may be mistaken for something else, or if words stand
    beside other values, all values are written as JSON, with quotation marks around text.
    """
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    plain = all(isinstance(value, str) and not _MISTAKABLE.fullmatch(value) for value in values)
    if numbers or plain:
        return [str(value) for value in values]
    return [json.dumps(value, ensure_ascii=False, default=str) for value in values]


def describe(hp: Hyperparameter) -> str:
    """Describe a hyperparameter's range in words, for error messages and tables."""
    choices = values_of(hp)
    if choices is not None:
        return f"one of {', '.join(words(choices))}"
    low, high = bounds_of(hp)
    kind = "an integer" if is_integer(hp) else "a number"
    return f"{kind} in [{low}, {high}]{' on a log scale' if is_log(hp) else ''}"


def nearest(hp: Hyperparameter, value: Any) -> float:
    """Return, in the vector encoding, the legal value nearest to ``value`` on the hyperparameter's own scale.

    Raises:
        UsageError: ``value`` is an unknown category, or no number although the hyperparameter is numeric.
    """
    choices = values_of(hp)
    origin = first_code(hp)
    for i, choice in enumerate(choices or ()):
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):  # 1 is not True
            return origin + i
    numeric = choices is None or all(
        isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices
    )
    number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    if not (numeric and number):
        raise UsageError(f"{hp.name} = {value!r} is not in the space.", f"It is {describe(hp)}.")
    if choices is not None:
        grid = np.asarray(choices, dtype=np.float64)
        if is_log(hp) and value > 0:
            return origin + float(np.argmin(np.abs(np.log(grid) - math.log(value))))
        return origin + float(np.argmin(np.abs(grid - value)))
    low, high = bounds_of(hp)
    inside = min(max(value, low), high)
    ranged: Any = hp  # its class decides between int and float
    return float(ranged.to_vector(round(inside) if is_integer(hp) else inside))


def value_of(hp: Hyperparameter, x: float) -> Any:
    """Return the plain Python value that a hyperparameter has at ``x`` in the vector encoding."""
    return values_at(hp, np.array([x])).tolist()[0]


def first_code(hp: Hyperparameter) -> float:
    """Return the vector encoding of a hyperparameter's first value."""
    # ConfigSpace numbers a constant's only value 1, all others from 0.
    return float(isinstance(hp, Constant))


def level_count(hp: Hyperparameter) -> int:
    """Return how many values a hyperparameter has; 0 if it is continuous."""
    choices = values_of(hp)
    if choices is not None:
        return len(choices)
    return hp.upper - hp.lower + 1 if isinstance(hp, UniformIntegerHyperparameter) else 0


def values_at(hp: Hyperparameter, column: Matrix) -> NDArray[Any]:
    """Return the values, shape (m,), of a column in the vector encoding."""
    choices = values_of(hp)
    if choices is None:
        return np.asarray(hp.to_value(column))
    numbers = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices)
    index = np.zeros(len(column)) if isinstance(hp, Constant) else np.rint(column)
    return np.array(choices, dtype=None if numbers else object)[index.astype(np.intp)]
