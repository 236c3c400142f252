"""A plan: the runs of a suite, and everything that their names stand for."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from surrobench.benchmarks.base import Benchmark, Scenario
from surrobench.llm.models import ModelSpec
from surrobench.llm.prompts import TEXT_RULES
from surrobench.optimizers.entry import Optimizer
from surrobench.plan.identity import identified
from surrobench.plan.identity_1 import identified_1
from surrobench.plan.run import Run
from surrobench.suite.schema import Suite
from surrobench.suite.selection import Selection

CONTROL_SECONDS = 5e-3
"""Rough seconds of a trial that a slot control proposes: its answers cost next to nothing."""


@dataclass(frozen=True)
class PlannedSuite:
    """The suite that a plan was made from.

    Attributes:
        suite: the whole suite, models as they are asked.
        part: which part of it was planned.
        methods: label -> the registry entry of its optimizer, of all methods of the suite.
        benchmarks: ids of the whole suite's benchmarks whose data is here.
        complete: whether these are all benchmarks of the suite.
        text_rules: the rules by which its prompts write values and its replies are read.
    """

    suite: Suite
    part: Selection
    methods: Mapping[str, Optimizer]
    benchmarks: frozenset[str]
    complete: bool
    text_rules: int = TEXT_RULES


@dataclass(frozen=True, eq=False)
class Plan(Sequence[Run]):
    """Runs in their order, and the things that their names stand for, each resolved once.

    Attributes:
        runs: one optimizer on one benchmark with one seed each.
        benchmarks: id -> benchmark, opened.
        optimizers: name, as runs know it -> registry entry.
        origin: the suite they come from; None where the plan was made of the plain data of runs.
    """

    runs: tuple[Run, ...]
    benchmarks: Mapping[str, Benchmark]
    optimizers: Mapping[str, Optimizer]
    origin: PlannedSuite | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: Any) -> Any:
        return self.runs[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    @cached_property
    def scenarios(self) -> dict[str, Scenario]:
        """The scenarios by their key, ``family/scenario``."""
        return {where.scenario.key: where.scenario for where in self.benchmarks.values()}

    def only(self, runs: Iterable[Run]) -> Plan:
        """Return the plan with some of its runs."""
        return replace(self, runs=tuple(runs))

    def with_models(self, suite: Suite) -> Plan:
        """Return the plan with the models of another version of its suite; runs get the identities of those.

        Args:
            suite: the same suite, some of its models asked in another way.
        """
        assert self.origin is not None, "only the plan of a suite has models"
        before = self.origin.suite.models
        changed = {label: spec for label, spec in suite.models.items() if spec != before.get(label)}
        runs = tuple(
            self._identified(run, changed[run.model])
            if run.model in changed and run.model is not None and run.asks_model
            else run
            for run in self.runs
        )
        return replace(self, runs=runs, origin=replace(self.origin, suite=suite))

    def as_held(self, held: Container[str], models: Mapping[str, Mapping[str, Any]]) -> Plan:
        """Return the plan in which runs have the ids that a results folder or a recording knows them by.

        A run that is held under the id of an older scheme, and not under its own, keeps that id. All that
        belongs to the id then stays as it was: its completions, and the seeds sent to the model.

        Args:
            held: ids of the runs that the folder holds something of.
            models: label of a model -> its settings, as the folder has them. Older ids do not tell weights
                apart, but these settings do.
        """
        assert self.origin is not None, "only the plan of a suite can be another one's"
        suite = self.origin.suite
        runs = []
        for run in self:
            before = run
            spec = suite.models[run.model] if run.model and run.asks_model else None
            known = models.get(run.model or "", {})
            if run.id not in held and (spec is None or known.get("weights", spec.weights) == spec.weights):
                version = self.benchmarks[run.benchmark].scenario.version_1
                written = suite.optimizers[run.method].parameters
                before = identified_1(run, version, self.optimizers[run.optimizer], written, spec)
            runs.append(before if before.id in held else run)
        return replace(self, runs=tuple(runs))

    def with_versions(self, recorded: Mapping[str, Mapping[str, str]]) -> Plan:
        """Return the plan of a replay: the runs that are recorded were made under the libraries of then.

        Args:
            recorded: id of a run -> the versions of its libraries.
        """
        runs = (replace(run, versions=dict(recorded[run.id])) if run.id in recorded else run for run in self)
        return self.only(runs)

    def expected_trials(self, run: Run) -> int:
        """Guess how many trials a run will make, for progress bars and for sharing out the work."""
        if run.trials is not None:
            return run.trials
        lower_fidelities = 4 if self.optimizers[run.optimizer].multi_fidelity else 1
        return min(run.budget.horizon, 250) * lower_fidelities

    def expected_seconds(self, run: Run) -> float:
        """Guess how many seconds a run will take."""
        seconds = CONTROL_SECONDS if run.control else self.optimizers[run.optimizer].seconds
        return self.expected_trials(run) * seconds

    def _identified(self, run: Run, model: ModelSpec) -> Run:
        where = self.benchmarks[run.benchmark].scenario
        [identity] = identified(run, where, self.optimizers[run.optimizer], model, [run.seed])
        return identity
