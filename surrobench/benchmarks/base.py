"""Define what a benchmark is.

A *scenario* is one learner with one search space; its *instances* are data sets. A benchmark is an instance,
named ``family/scenario/instance``. Evaluation happens on the scenario, so that the pending trials of all runs
on all its instances are one array operation.

To add a scenario, copy ``tables.py``, implement ``Scenario`` and add a line to ``SCENARIOS`` in
``registry.py``.

The file is long because the whole contract stands on one page, and most of it is documentation.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.context import without_context
from surrobench.errors import UnknownName, UsageError
from surrobench.seeding import Keys
from surrobench.space.hyperparameter import Mask, Matrix
from surrobench.space.search_space import SearchSpace

Noise = Literal["seeded", "fresh", "mean"]
"""Which repetition of a trial is observed in a table that has several.

``seeded``: the repetition is fixed by benchmark, seed and configuration. It is the same for every method
(common random numbers).
``fresh``: the repetition is drawn anew at every evaluation.
``mean``: the mean of all repetitions is observed, so that there is no noise.
"""


@dataclass(frozen=True)
class Objective:
    """An objective that has a name and a direction."""

    name: str
    minimize: bool
    label: str
    """What the number means, in words and with its unit."""

    @property
    def sign(self) -> int:
        """Return +1 if smaller is better, else -1: the value times the sign is a loss."""
        return 1 if self.minimize else -1


@dataclass(frozen=True)
class TaskCard:
    """A task card holds what a prompt or a table may say about a benchmark.

    A field is None if its value is not known, or is not shown.
    """

    learner: str | None
    dataset: str | None
    """The real name of the data set, with its identifier."""
    task: str | None
    rows: int | None
    features: int | None
    classes: int | None
    """The number of classes. It is None for regression, too."""
    metric: str
    minimize: bool


@dataclass(frozen=True)
class Reference:
    """Reference values of one benchmark's target objective, as losses.

    They are fixed by the benchmark alone.

    Attributes:
        best, median, worst: the best, median and worst of the mean losses of all configurations.
        sorted_losses: the losses in ascending order, shape (N,). For a table they are those of the whole
            space under its prior; otherwise they are those of a frozen sample.
        exact: whether ``best`` is known to be the optimum.
    """

    best: float
    median: float
    worst: float
    sorted_losses: NDArray[np.float64]
    exact: bool


@dataclass(frozen=True)
class Fidelity:
    """A fidelity is a setting that trades precision for time."""

    name: str
    label: str
    """What the number means, in words and with its unit."""
    lower: float
    """The smallest legal value."""
    upper: float
    """The largest legal value."""
    full: float
    """The value at which the real objective is measured. It is also the default."""
    integer: bool
    useful: tuple[float, float]
    """The part of the legal range that a multi-fidelity method should vary."""
    resumable: bool = False
    """Whether training can go on from a lower value (epochs), or has to start anew (share of the data)."""
    values: tuple[float, ...] | None = None
    """The only legal values, in ascending order; None if the whole range is legal."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The observations of a batch of m evaluations, in the objectives' natural directions.

    Attributes:
        values: the observed values, shape (m, number of objectives), in the order of ``Scenario.objectives``.
        score: the target objective of each configuration without noise (its mean), shape (m,), at the
            fidelity that was asked for.
        cost: simulated seconds, shape (m,).
        fidelity: the fidelities, shape (m, number of fidelities), in the order of ``Scenario.fidelities``;
            None if there are none.
    """

    values: NDArray[np.float64]
    score: NDArray[np.float64]
    cost: NDArray[np.float64]
    fidelity: NDArray[np.float64] | None = None

    def rows(self, part: slice) -> Columns:
        """Return some of the rows."""
        fidelity = None if self.fidelity is None else self.fidelity[part]
        return Columns(self.values[part], self.score[part], self.cost[part], fidelity)


class FittedScenario(Protocol):
    """What the search for reference values needs of a fitted scenario.

    Anyone may evaluate such a scenario, anywhere.
    """

    key: str
    name: str
    instances: tuple[str, ...]
    objectives: tuple[Objective, ...]

    @property
    def space(self) -> SearchSpace:
        """Return the search space."""

    @property
    def checksum(self) -> str:
        """Return digits that identify the fitted model; cached reference values belong to them."""

    @property
    def published(self) -> Mapping[tuple[str, str], tuple[float, float]]:
        """Return (instance, objective) -> the smallest and the largest value published."""

    def evaluate(self, X: Matrix, instances: NDArray[np.intp], noise: Keys | None) -> Columns:
        """Evaluate configurations at full fidelity, see ``Scenario.evaluate``."""


class Scenario(ABC):
    """A scenario is one learner and its search space, on several data sets."""

    key: str
    """The scenario's name, ``family/scenario``."""
    version: int | str
    """A number that counts up when an evaluation would return something else.

    It is part of every run's identity. The version of data that users bring is the digits of its content.
    """
    instances: tuple[str, ...]
    objectives: tuple[Objective, ...]
    target: str
    """The name of the objective that is optimized."""
    default_origin: str
    """The source of the default configuration."""
    can_evaluate: bool = True
    """Whether the data that evaluation needs is here. Without it, only recorded values are available."""
    libraries: tuple[str, ...] = ()
    """The packages whose versions can change what is observed. A run's record says which they were."""
    noisy: bool = True
    """Whether a configuration may have several repetitions. Where none has, the suite's ``noise`` changes
    nothing, and is no part of a run's identity."""
    instance_key: str | None = None
    """The name under which configurations may say of which instance they are, if there is one."""
    fidelities: tuple[Fidelity, ...] = ()
    """The fidelities. The first one is the one that multi-fidelity methods vary."""
    test_counterpart: Mapping[str, str] = MappingProxyType({})
    """Validation objective -> the objective that measures the same on test data. No other place says this.

    Optimizers see validation objectives only. The test value is reported for the incumbent. It is not
    available if the target has no entry here.
    """

    @property
    def version_1(self) -> int | str:
        """Return the version that was part of a run's identity under scheme 1, see ``plan.identity_1``."""
        return self.version

    @property
    @abstractmethod
    def space(self) -> SearchSpace:
        """Return the search space, which is the same for all instances."""

    @abstractmethod
    def evaluate(
        self,
        X: Matrix,
        instances: NDArray[np.intp],
        noise: Keys | None,
        fidelity: Matrix | None = None,
    ) -> Columns:
        """Evaluate m configurations, each on its own instance and at its own fidelity.

        Args:
            X: legal configurations, shape (m, d).
            instances: indices into ``instances``, shape (m,).
            noise: a key for each trial, shape (m,). The same key and configuration observe the same
                repetition. None stands for the mean of the repetitions.
            fidelity: legal values, shape (m, number of fidelities), in the order of ``fidelities``. None
                stands for full fidelity.
        """

    @abstractmethod
    def card(self, instance: str) -> TaskCard:
        """Return the task card of an instance."""

    def data_set(self, instance: str) -> str:
        """Return the name of an instance's data set, which is equal in all scenarios that have it.

        The name is that of the task card, in small letters.

        Versions of one name count as one data set. They have rows in common, and what matters here is whether
        results on them are independent. Data sets of different names are assumed to be different.
        """
        name = self.card(instance).dataset
        if name is None:  # nothing is known of the data set that another scenario could share
            return f"{self.key}/{instance}"
        return re.sub("[^a-z0-9]+", "-", name.partition(" (")[0].lower()).strip("-")

    @abstractmethod
    def default(self) -> Matrix:
        """Return the default configuration, shape (d,); see ``default_origin``."""

    @abstractmethod
    def reference(self, instance: str) -> Reference:
        """Return the reference values of an instance."""

    def snap(self, X: Matrix, instances: NDArray[np.intp]) -> tuple[Mask, Matrix]:
        """Snap configurations to those that the benchmark has.

        An optimizer is told which configuration is evaluated. Legal values may be a rounding error off the
        grid. A table with gaps takes the nearest configuration that it has for the instance.

        Returns:
            Which configurations are legal, shape (m,), and the configurations that are evaluated in their
            place, shape (m, d).
        """
        return self.space.check(X)

    def lacks(self, X: Matrix, instances: NDArray[np.intp], fidelity: Matrix | None = None) -> str:
        """Say in a sentence which value the benchmark does not have, although it may be asked for.

        In a study, such a trial observes nothing. The arguments are those of ``evaluate``. The sentence is
        empty where the benchmark has all values, as nearly all have.
        """
        return ""

    def remarks(self, instance: str) -> list[str]:
        """Say in sentences what a study on an instance should know beforehand; mostly nothing."""
        return []

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Convert or fetch what evaluation needs, once, before several processes would do it."""

    @cached_property
    def target_index(self) -> int:
        """Return the column of the target objective."""
        return [objective.name for objective in self.objectives].index(self.target)

    @property
    def test_objective(self) -> str | None:
        """Return the test counterpart of the target objective, or None if it is not available."""
        return self.test_counterpart.get(self.target)

    @cached_property
    def full_fidelity(self) -> NDArray[np.float64]:
        """Return the fidelities at which the real objective is measured, shape (number of fidelities,)."""
        return np.array([fidelity.full for fidelity in self.fidelities])

    def fidelity_row(self, fidelity: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the fidelities that are asked for by name, and full values for the others.

        The result has shape (number of fidelities,).

        Raises:
            UsageError: a fidelity is unknown, or a value is not legal; the message says which values are
                legal.
        """
        row = self.full_fidelity.copy()
        names = [known.name for known in self.fidelities]
        for name, value in fidelity.items():
            if name not in names:
                has = f"It has {', '.join(names)}." if names else "It has none."
                raise UsageError(f"{self.key} has no fidelity {name!r}.", has)
            known = self.fidelities[names.index(name)]
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            legal = number and known.lower <= value <= known.upper  # NaN is not legal
            if not legal or (known.integer and value != int(value)):
                kind = "an integer" if known.integer else "a number"
                raise UsageError(
                    f"{name} = {value} is no fidelity of {self.key}.",
                    f"It is {kind} from {known.lower:g} to {known.upper:g} ({known.label}).",
                )
            if known.values is not None and value not in known.values:
                raise UsageError(
                    f"{name} = {value} is no fidelity of {self.key}.",
                    f"It is one of {', '.join(f'{legal:g}' for legal in known.values)}.",
                )
            row[names.index(name)] = value
        return row


@dataclass(frozen=True)
class Benchmark:
    """A benchmark is one instance of a scenario; a run optimizes it."""

    scenario: Scenario
    instance: str

    @property
    def id(self) -> str:
        """Return the benchmark's id, ``family/scenario/instance``."""
        return f"{self.scenario.key}/{self.instance}"

    @cached_property
    def index(self) -> int:
        """Return the position of the instance in its scenario.

        Raises:
            UnknownName: the scenario has no such instance.
        """
        if self.instance not in self.scenario.instances:
            raise UnknownName(f"instance of {self.scenario.key}", self.instance, self.scenario.instances)
        return self.scenario.instances.index(self.instance)

    @property
    def space(self) -> SearchSpace:
        """Return the search space."""
        return self.scenario.space

    @cached_property
    def objective(self) -> Objective:
        """Return the target objective."""
        return self.scenario.objectives[self.scenario.target_index]

    @property
    def card(self) -> TaskCard:
        """Return the task card: what may be said about the task."""
        return self.scenario.card(self.instance)

    @property
    def data_set(self) -> str:
        """Return the name of the data set, see ``Scenario.data_set``."""
        return self.scenario.data_set(self.instance)

    @cached_property
    def reference(self) -> Reference:
        """Return the best, median and worst loss, which are fixed by the benchmark."""
        return self.scenario.reference(self.instance)

    def evaluate(
        self,
        configurations: Matrix | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        noise: Keys | None = None,
        *,
        fidelity: Mapping[str, float] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Evaluate configurations: return every objective in its natural direction, shape (m,), by name.

        The simulated cost in seconds is the column ``cost``.

        Args:
            configurations: mappings of name to value, or a matrix of shape (m, d) in the vector encoding of
                ``space`` (as ``space.hyperparameter.sample`` draws them). A single mapping is a batch of one.
            noise: keys, shape (m,), see ``Scenario.evaluate``. Without keys, each value is the mean of the
                benchmark's repetitions.
            fidelity: name to value, such as ``{"epoch": 10}``. A fidelity that is not named is full. A
                mapping may name its fidelity itself, and its instance where the scenario has an
                ``instance_key``, as yahpo-gym's dictionaries do.

        Raises:
            UsageError: a configuration is not in the space or says that it is of another instance or
                fidelity, the fidelity is not legal, or the benchmark does not have the value.
        """
        if isinstance(configurations, Mapping):
            configurations = [configurations]
        if isinstance(configurations, np.ndarray):
            X = self._checked(configurations)
            each = [dict(fidelity or {})] * len(X)
        else:
            names = {known.name for known in self.scenario.fidelities} - set(self.space.names)
            asked = self.scenario.instance_key, self.instance
            bare, each = without_context(configurations, asked, names, fidelity or {})
            X = self.space.encode(bare)
        instances = np.full(len(X), self.index, dtype=np.intp)
        self.scenario.fidelity_row(fidelity or {})
        at = np.array([self.scenario.fidelity_row(of) for of in each]) if any(each) else None
        if lacks := self.scenario.lacks(X, instances, at):
            raise UsageError(lacks, "Ask for a fidelity that it has.")
        columns = self.scenario.evaluate(X, instances, noise, at)
        named = {objective.name: columns.values[:, j] for j, objective in enumerate(self.scenario.objectives)}
        return {**named, "cost": columns.cost}

    def _checked(self, X: Matrix) -> Matrix:
        """Check a matrix that comes from outside, and return it snapped to the grid.

        Raises:
            UsageError: the matrix has another shape, or a row that is not in the space.
        """
        if X.ndim != 2 or X.shape[1] != self.space.d:
            raise UsageError(
                f"An array of shape {X.shape} is no batch of configurations.",
                f"It must be (m, {self.space.d}), with the columns {', '.join(self.space.names)}.",
            )
        legal, snapped = self.space.check(X)
        if not legal.all():
            row = int(np.argmin(legal))
            raise UsageError(f"Row {row} is not in the search space of {self.id}.")
        return snapped
