"""Decide what a language model is shown of a task: words and search space, by prompt variant.

A variant separates what a model knows from how it searches. ``full`` shows real names, data set and metric.
``no-dataset`` leaves the data set out. ``anonymous`` shows hyperparameters x1, x2, ... scaled to [0, 1],
categories c1, c2, ... and a metric y. ``misleading`` permutes the hyperparameters' names, while ranges stay
in place. (A single hyperparameter keeps its name: ``plan.planning.plan`` refuses such a study.) Methods write
and read configurations through a ``ShownSpace`` alone, so that each works with every variant.

No name and no range is left of an anonymous task, but not everything is hidden. A model still sees:

- the values of the metric, and targets, in natural units, and which direction is better: values such as 0.93
  that should rise look like an accuracy;
- how many hyperparameters there are, in their order; which of them are categorical, with how many categories,
  or constant; and which of them depend on which values of others;
- which configurations were tried, the granted ones included, scaled like all; values that recur show that a
  hyperparameter has a grid;
- the words of the method itself, which are the same in all variants: ``hyperparameters``, and in places what
  happens to them, as in the first prompt of ``llambo`` after failures ("training failed").
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.conditions import (
    AndConjunction,
    Conjunction,
    EqualsCondition,
    GreaterThanCondition,
    InCondition,
    LessThanCondition,
    NotEqualsCondition,
)
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Constant, UniformFloatHyperparameter

from surrobench.benchmarks.base import TaskCard
from surrobench.errors import UnknownName, UsageError, in_one_line
from surrobench.foreign_code import Raised, foreign_code
from surrobench.llm.prompts import DIGITS, TEXT_RULES, number
from surrobench.llm.shown_values import MOST_DIGITS, ShownValues
from surrobench.seeding import stream
from surrobench.space.hyperparameter import ROUNDING, Hyperparameter, Matrix, value_of
from surrobench.space.search_space import SearchSpace

Variant = Literal["full", "no-dataset", "anonymous", "misleading"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
GROUP = "surrobench.prompt_variants"
"""Entry points of this group offer prompt variants: name -> a folder of templates, as a path or a package."""


def is_folder(variant: str) -> bool:
    """Return whether a variant is written as a folder of the user's, such as ``./mystyle``."""
    return variant.startswith((".", "~")) or "/" in variant or os.sep in variant


def variant_name(variant: str) -> str:
    """Return the name of a variant in runs and tables: for a folder, it is the last part of its path."""
    return Path(variant).name if is_folder(variant) else variant


def variant_folder(variant: str) -> Path | None:
    """Return the folder of templates that replaces those of a method; None for a variant of surrobench.

    Such a variant shows words and search space as ``full`` does. See ``prompts.user_templates`` for the files
    that the folder holds.

    Raises:
        UnknownName: there is no such variant, neither here nor in an installed package.
        UsageError: a package offers something else than a folder.
    """
    if variant in VARIANTS:
        return None
    if is_folder(variant):
        return Path(variant)
    offered = {point.name: point for point in entry_points(group=GROUP)}
    if variant not in offered:
        raise UnknownName("prompt variant", variant, [*VARIANTS, *offered])
    try:
        with foreign_code():
            made = offered[variant].load()
            return Path(made.__path__[0] if isinstance(made, ModuleType) else made)
    except Raised as raised:
        why = in_one_line(raised.error)
        raise UsageError(
            f"Prompt variant {variant!r} ({offered[variant].value}) cannot be used: {why}.",
            "Its entry point must name a folder, as a path or a package.",
        ) from None


def shown_card(card: TaskCard, variant: Variant) -> TaskCard:
    """Return the task card as a variant shows it: hidden facts are None, and an anonymous metric is y."""
    if variant == "no-dataset":
        return replace(card, dataset=None, rows=None, features=None, classes=None)
    if variant == "anonymous":
        hidden = dict.fromkeys(("learner", "dataset", "task", "rows", "features", "classes"))
        return replace(card, **hidden, metric="y")  # type: ignore[arg-type]
    return card


class ShownSpace:
    """A search space as prompts show it; its columns are those of the space.

    Attributes:
        space: the search space itself.
        hyperparameters: the hyperparameters as they are shown: other names, other ranges, without conditions.
        others: of a part (``only``), the names of the other hyperparameters as they would be shown -> their
            own.
        rules: how values are written and replies are read, see ``prompts.TEXT_RULES``.
    """

    def __init__(self, space: SearchSpace, variant: Variant = "full", rules: int = TEXT_RULES) -> None:
        self.space, self.variant, self.rules = space, variant, rules
        if variant == "anonymous":
            self.hyperparameters = tuple(map(_anonymous, range(space.d), space.hyperparameters))
        elif variant == "misleading":
            self.hyperparameters = _with_permuted_names(space)
        else:
            self.hyperparameters = space.hyperparameters
        self.names = tuple(hp.name for hp in self.hyperparameters)
        self.others: dict[str, str] = {}

    @cached_property
    def columns(self) -> dict[str, int]:
        """Return the column of each shown name."""
        return {name: j for j, name in enumerate(self.names)}

    @cached_property
    def values(self) -> tuple[ShownValues, ...]:
        """Return how the values of each hyperparameter are written."""
        return tuple(ShownValues(hp, self.rules) for hp in self.hyperparameters)

    @cached_property
    def abouts(self) -> tuple[str, ...]:
        """Return what is said of each hyperparameter: its range, and when it is used."""
        return tuple(shown.describe() + self._when(j) for j, shown in enumerate(self.values))

    def only(self, columns: Sequence[int]) -> ShownSpace:
        """Return the shown space of some hyperparameters alone, under the names that they have here.

        Its space has only these hyperparameters, without conditions. Its columns are in the order of that
        space's ``names``.
        """
        part = ConfigurationSpace()
        part.add(*(copy.copy(self.space.hyperparameters[j]) for j in columns))
        view = ShownSpace(SearchSpace(part), self.variant, self.rules)
        places = [self.space.column(name) for name in view.space.names]
        view.hyperparameters = tuple(self.hyperparameters[j] for j in places)
        view.names = tuple(self.names[j] for j in places)
        view.others = {self.names[j]: self.space.names[j] for j in range(self.space.d) if j not in places}
        return view

    def write(self, x: Matrix, more: int = 0) -> dict[str, Any]:
        """Return a configuration, shape (d,), as prompts show it: name -> value, if active.

        Args:
            x: the configuration.
            more: how many more digits the values of ranges have than they need in general.
        """
        u = self.space.to_unit(x[None, :])[0] if self.variant == "anonymous" else x
        return {
            self.names[j]: self._written(j, x[j], u[j], more)
            for j in range(self.space.d)
            if not np.isnan(x[j])
        }

    def to_vector(self, j: int, shown: float) -> float:
        """Return a hyperparameter's value in the space's vector encoding, from the value that is shown."""
        if self._scaled(j):
            return float(self.space.column_from_unit(j, np.array([shown]))[0])
        return shown

    def is_conditional(self, j: int) -> bool:
        """Return whether a hyperparameter may be inactive."""
        return bool(self.space.conditions(j))

    def _scaled(self, j: int) -> bool:
        return self.variant == "anonymous" and not isinstance(
            self.space.hyperparameters[j], CategoricalHyperparameter | Constant
        )

    def _written(self, j: int, x: float, u: float, more: int) -> Any:
        if not self._scaled(j):
            return self.values[j].write(value_of(self.hyperparameters[j], x), more)
        digits = DIGITS + more
        if self.rules > 1 and self.space.levels[j]:  # as many as lead back to this value
            while digits < MOST_DIGITS and abs(self.to_vector(j, number(float(u), digits)) - x) > ROUNDING:
                digits += 1
        return number(float(u), digits)

    def _when(self, j: int) -> str:
        conditions = [self._condition(condition) for condition in self.space.conditions(j)]
        return f", only if {' and '.join(conditions)}" if conditions else ""

    def _condition(self, condition: Any) -> str:
        if isinstance(condition, Conjunction):
            word = " and " if isinstance(condition, AndConjunction) else " or "
            return f"({word.join(map(self._condition, condition.components))})"
        j = self.space.column(condition.parent.name)

        def shown(value: Any) -> str:
            x = np.full(self.space.d, np.nan)
            x[j] = self.space.nearest(condition.parent.name, value)
            if self._scaled(j):
                return str(self.write(x)[self.names[j]])
            return self.values[j].word(value_of(self.hyperparameters[j], x[j]))

        if isinstance(condition, InCondition):
            values = sorted(condition.values, key=lambda v: self.space.nearest(condition.parent.name, v))
            return f"{self.names[j]} is {' or '.join(map(shown, values))}"
        relation = {
            EqualsCondition: "is",
            NotEqualsCondition: "is not",
            GreaterThanCondition: "is greater than",
            LessThanCondition: "is less than",
        }[type(condition)]
        return f"{self.names[j]} {relation} {shown(condition.value)}"


def _anonymous(j: int, hp: Hyperparameter) -> Hyperparameter:
    name = f"x{j + 1}"
    if isinstance(hp, CategoricalHyperparameter):
        return CategoricalHyperparameter(name, [f"c{i + 1}" for i in range(len(hp.choices))])
    if isinstance(hp, Constant):
        return Constant(name, "c1")
    return UniformFloatHyperparameter(name, 0.0, 1.0)


def _with_permuted_names(space: SearchSpace) -> tuple[Hyperparameter, ...]:
    """Return the hyperparameters with each other's names, so that none has its own.

    The result is the same for the space everywhere. A single hyperparameter keeps its name.
    """
    names, rng = list(space.names), stream("misleading", list(space.names))
    order = rng.permutation(space.d)
    given = {int(j): names[int(k)] for j, k in zip(order, np.roll(order, 1), strict=True)}  # one cycle
    return tuple(_renamed(hp, given[j]) for j, hp in enumerate(space.hyperparameters))


def _renamed(hp: Hyperparameter, name: str) -> Hyperparameter:
    renamed = copy.copy(hp)
    renamed.name = name
    return renamed


def method_name(method: str, model: str | None, variant: str | None = None) -> str:
    """Return a method's name in tables: its label, its model, and the prompt variant unless it is "full"."""
    if model is None:
        return method
    return f"{method} ({model})" if variant in (None, "full") else f"{method} ({model}, {variant})"
