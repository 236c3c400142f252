"""Infer a search space from the configurations of trials, where their source does not state one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from ConfigSpace import (
    CategoricalHyperparameter,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    InCondition,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from surrobench.past_trials.trials import PastTrial

Parent = tuple[str, list[Any]]
"""A hyperparameter, and its values with which another one is active."""

REPEATS = 3
"""A list of numbers is a grid, and no range, if each of them was tried so many times on average."""


def infer_space(
    trials: Sequence[PastTrial], dropped: Counter[str]
) -> tuple[ConfigurationSpace, list[str], list[PastTrial]]:
    """Return the search space that trials span.

    A hyperparameter that some trials lack is active where another one has certain values, if that explains
    all of the trials. Trials that nothing explains are left out, where they are few. Where they are many, a
    hyperparameter that has a list of values has the value None in them.

    Args:
        trials: the trials.
        dropped: gets the trials that are left out.

    Returns:
        space: the space.
        inferred: what was concluded, for the user to confirm, a sentence each.
        trials: the trials that are left, their values of one kind per hyperparameter.
    """
    names = list(dict.fromkeys(name for trial in trials for name in trial.configuration))
    columns = {name: _of_one_kind([trial.configuration.get(name) for trial in trials]) for name in names}
    few = len(trials) / 10
    rare = [name for name, found in parents(columns).items() if not found and columns[name].count(None) < few]
    keep = [i for i in range(len(trials)) if all(columns[name][i] is not None for name in rare)]
    if len(keep) < len(trials):
        dropped[f"they have no value of {', '.join(rare)}"] += len(trials) - len(keep)
        columns = {name: [column[i] for i in keep] for name, column in columns.items()}
    absent = [name for name, found in parents(columns).items() if not found and _is_list(columns[name])]
    columns |= {name: [str(value) for value in columns[name]] for name in absent}
    made = {
        name: _hyperparameter(name, [value for value in column if value is not None])
        for name, column in columns.items()
    }
    space, sentences = with_conditions(made, parents(columns))
    sentences += [f"{name} is taken to have the value None where nothing is written." for name in absent]
    left = [
        replace(
            trials[i],
            configuration={name: columns[name][row] for name in names if columns[name][row] is not None},
        )
        for row, i in enumerate(keep)
    ]
    return space, sentences, left


def parents(columns: Mapping[str, Sequence[Any]]) -> dict[str, Parent | None]:
    """Return what decides whether a hyperparameter is active, of those that some trials lack.

    A hyperparameter decides if no value of it occurs in trials of both kinds. It is itself active in all
    trials, or in all that have the other one. Of several, the first with the fewest values is taken.

    Args:
        columns: hyperparameter -> its value in each trial; None where it is inactive.

    Returns:
        Hyperparameter -> the deciding one and its values with which the other is active; or None, if there is
        no such one.
    """
    return {name: _parent(name, columns) for name, column in columns.items() if None in column}


def with_conditions(
    made: Mapping[str, Any], found: Mapping[str, Parent | None]
) -> tuple[ConfigurationSpace, list[str]]:
    """Return a space of hyperparameters under conditions, and a sentence for each condition.

    Hyperparameters of which nothing says when they are active are left out.
    """
    space = ConfigurationSpace()
    space.add([made[name] for name in made if found.get(name, "always") is not None])
    sentences = []
    for name, parent in found.items():
        if parent is None:
            sentences.append(f"{name} is left out: nothing says when it is active.")
            continue
        of, values = parent
        space.add(active_where(made[name], made[of], values))
        sentences.append(f"{name} is taken to be active where {of} is {' or '.join(map(str, values))}.")
    return space, sentences


def active_where(child: Any, parent: Any, values: Sequence[Any]) -> EqualsCondition | InCondition:
    """Return the condition that a hyperparameter is active where another one has one of some values."""
    return (
        EqualsCondition(child, parent, values[0])
        if len(values) == 1
        else InCondition(child, parent, [*values])
    )


def looks_logarithmic(values: Sequence[float]) -> bool:
    """Return whether the middle of numbers is nearer to the middle of their range on a log scale.

    Args:
        values: numbers in ascending order.
    """
    low, middle, high = values[0], float(np.median(values)), values[-1]
    if low <= 0:
        return False
    if high - low < 1e-9 * low:
        return False  # so near to each other, the logarithms of neighbours are equal
    on_log = np.log(middle / low) / np.log(high / low)
    return bool(abs(on_log - 0.5) < abs((middle - low) / (high - low) - 0.5))


def _is_list(column: Sequence[Any]) -> bool:
    """Return whether values are those of a list, and not drawn from a range."""
    known = [value for value in column if value is not None]
    return isinstance(known[0], bool | str) or len(set(known)) * REPEATS <= len(known)


def _of_one_kind(column: list[Any]) -> list[Any]:
    """Return values of one kind: truth values, integers, real numbers, or else words; None stays."""
    known = [value for value in column if value is not None]
    kinds = {type(value) for value in known}
    if kinds <= {bool} or kinds <= {int}:
        return column
    if kinds <= {int, float} and all(map(math.isfinite, known)):
        return [None if value is None else float(value) for value in column]
    return [None if value is None else str(value) for value in column]


def _parent(name: str, columns: Mapping[str, Sequence[Any]]) -> Parent | None:
    best: Parent | None = None
    fewest = len(columns[name]) // REPEATS
    for parent in sorted(columns, key=lambda other: None in columns[other]):
        pairs = list(zip(columns[parent], columns[name], strict=True))
        if parent == name or any(value is None and own is not None for value, own in pairs):
            continue
        with_it = {value for value, own in pairs if value is not None and own is not None}
        without = {value for value, own in pairs if value is not None and own is None}
        count = len(with_it | without)
        if not without or with_it & without or count > fewest or (best is not None and count == fewest):
            continue
        best, fewest = (parent, sorted(with_it)), count
    return best


def _hyperparameter(name: str, known: list[Any]) -> Any:
    """Return the hyperparameter that values span."""
    values = sorted(set(known))
    if len(values) == 1:
        return Constant(name, values[0])
    if isinstance(values[0], bool | str):
        return CategoricalHyperparameter(name, values)
    log = looks_logarithmic(sorted(known)) and values[-1] >= 10 * values[0]
    if isinstance(values[0], int):
        # A range with gaps that all trials leave is a list.
        gaps = any(high - low > 1 for low, high in pairwise(values))
        if gaps and len(values) * REPEATS <= len(known):
            return OrdinalHyperparameter(name, values, meta={"log": log})
        return UniformIntegerHyperparameter(name, values[0], values[-1], log=log)
    if len(values) * REPEATS <= len(known):
        return OrdinalHyperparameter(name, values, meta={"log": log})
    return UniformFloatHyperparameter(name, values[0], values[-1], log=log)
