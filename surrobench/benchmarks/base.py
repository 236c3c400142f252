"""What a benchmark is.

A *scenario* is one learner with one search space; its *instances* are data sets. A benchmark is an
instance, named ``family/scenario/instance``. Evaluation happens on the scenario, so that the pending
trials of all runs on all its instances are one array operation.

To add one: copy ``tables.py``, implement ``Scenario`` and add a line to ``SCENARIOS`` in ``__init__.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from surrobench.errors import UnknownName, UsageError
from surrobench.seeding import Keys
from surrobench.space import Matrix, SearchSpace

Noise = Literal["seeded", "fresh", "mean"]
"""Which repetition of a trial is observed, where a table has several.

``seeded``: fixed by benchmark, seed and configuration, the same for every method (common random numbers);
``fresh``: drawn anew at every evaluation; ``mean``: the mean of all repetitions, no noise.
"""


@dataclass(frozen=True)
class Objective:
    """A named objective with its direction."""

    name: str
    minimize: bool
    label: str
    """What the number is, in words, with its unit."""

    @property
    def sign(self) -> int:
        """+1 if smaller is better, else -1: value times sign is a loss."""
        return 1 if self.minimize else -1


@dataclass(frozen=True)
class TaskCard:
    """What a prompt or a table may say about a benchmark."""

    learner: str
    dataset: str
    """Its real name, with its identifier."""
    task: str
    rows: int
    features: int
    classes: int | None
    """None for regression."""
    metric: str
    minimize: bool


@dataclass(frozen=True)
class Reference:
    """Reference values of one benchmark's target objective, as losses: fixed by the benchmark alone.

    Attributes:
        best, median, worst: of the mean losses of all configurations.
        sorted_losses: shape (N,), ascending; the whole space under its prior (a table), or a frozen sample.
        exact: whether ``best`` is known to be the optimum.
    """

    best: float
    median: float
    worst: float
    sorted_losses: NDArray[np.float64]
    exact: bool


@dataclass(frozen=True, slots=True)
class Columns:
    """What a batch of m evaluations observed, in the objectives' natural directions.

    Attributes:
        values: shape (m, number of objectives), in the order of ``Scenario.objectives``.
        score: shape (m,), the target objective of each configuration without noise (its mean).
        cost: shape (m,), simulated seconds.
    """

    values: NDArray[np.float64]
    score: NDArray[np.float64]
    cost: NDArray[np.float64]


class Scenario(ABC):
    """One learner and its search space, on several data sets."""

    key: str
    """``family/scenario``."""
    version: int
    """Counts up when an evaluation would return something else; part of every run's identity."""
    instances: tuple[str, ...]
    objectives: tuple[Objective, ...]
    target: str
    """Name of the objective that is optimized."""
    default_origin: str
    """Where the default configuration comes from."""

    @property
    @abstractmethod
    def space(self) -> SearchSpace:
        """The search space, the same for all instances."""

    @abstractmethod
    def evaluate(self, X: Matrix, instances: NDArray[np.intp], noise: Keys | None) -> Columns:
        """Evaluate m configurations, each on its own instance.

        Args:
            X: shape (m, d), legal configurations.
            instances: shape (m,), indices into ``instances``.
            noise: shape (m,), a key per trial; the same key and configuration observe the same repetition.
                None: the mean of the repetitions.
        """

    @abstractmethod
    def card(self, instance: str) -> TaskCard:
        """The task card of an instance."""

    @abstractmethod
    def default(self) -> Matrix:
        """Shape (d,): the default configuration, see ``default_origin``."""

    @abstractmethod
    def reference(self, instance: str) -> Reference:
        """Reference values of an instance."""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Convert or fetch what evaluation needs, once, before several processes would do it at a time."""

    @cached_property
    def target_index(self) -> int:
        """Column of the target objective."""
        return [objective.name for objective in self.objectives].index(self.target)


@dataclass(frozen=True)
class Benchmark:
    """One instance of a scenario: what a run optimizes."""

    scenario: Scenario
    instance: str

    @property
    def id(self) -> str:
        """``family/scenario/instance``."""
        return f"{self.scenario.key}/{self.instance}"

    @cached_property
    def index(self) -> int:
        """Position of the instance in its scenario.

        Raises:
            UnknownName: the scenario has no such instance.
        """
        if self.instance not in self.scenario.instances:
            raise UnknownName(f"instance of {self.scenario.key}", self.instance, self.scenario.instances)
        return self.scenario.instances.index(self.instance)

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return self.scenario.space

    @cached_property
    def objective(self) -> Objective:
        """The target objective."""
        return self.scenario.objectives[self.scenario.target_index]

    @property
    def card(self) -> TaskCard:
        """What may be said about the task."""
        return self.scenario.card(self.instance)

    @cached_property
    def reference(self) -> Reference:
        """Best, median and worst, fixed by the benchmark."""
        return self.scenario.reference(self.instance)

    def evaluate(
        self, configurations: Matrix | Sequence[Mapping[str, Any]], noise: Keys | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every objective of some configurations, given as mappings or as a matrix of shape (m, d).

        Without ``noise`` (keys, shape (m,)) each value is the mean of the benchmark's repetitions. The
        simulated cost in seconds is the column ``cost``.

        Raises:
            UsageError: a configuration is not in the space.
        """
        if not isinstance(configurations, np.ndarray):
            configurations = self.space.encode(configurations)
        illegal = np.flatnonzero(~self.space.legal(configurations))
        if len(illegal):
            raise UsageError(f"Row {illegal[0]} is not in the search space of {self.id}.")
        where = np.full(len(configurations), self.index, dtype=np.intp)
        columns = self.scenario.evaluate(configurations, where, noise)
        named = {objective.name: columns.values[:, j] for j, objective in enumerate(self.scenario.objectives)}
        return {**named, "cost": columns.cost}
