"""From a suite to its runs: one optimizer on one benchmark with one seed, each with a stable identity."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from surrobench.benchmarks import benchmark
from surrobench.benchmarks.base import Noise
from surrobench.budget import Budget
from surrobench.errors import SuiteError, UsageError
from surrobench.given import given, start
from surrobench.llm.models import ModelSpec
from surrobench.llm.prompts import prompts_hash
from surrobench.llm.view import Variant
from surrobench.optimizers import optimizer, require
from surrobench.optimizers.control import CONTROL_VERSION, Control, control_named
from surrobench.seeding import content_hash
from surrobench.suite import Suite


@dataclass(frozen=True)
class Run:
    """One run, as data: it is sent to workers and stored with its trials.

    ``id`` is a hash of all that determines the trials (``run_identity``), not of labels and budget.
    """

    id: str
    benchmark: str
    method: str
    """The optimizer's label in the suite."""
    optimizer: str
    parameters: dict[str, Any]
    model: str | None
    """The language model's label in the suite, or the slot control that stands in for one."""
    seed: int
    trials: int | None
    """Budget: how many trials the run may spend, the initial design included; see ``budget.Budget``."""
    initial: str
    noise: Noise
    invalid: str
    equivalents: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    workers: int = 1
    """Trials that can be under way at a time, in simulated time."""
    overhead: bool = False
    """Whether the optimizer's thinking and the model's latency count as simulated time."""
    file: str | None = None
    """The user's file that the optimizer is in, absolute; workers import it. No part of the identity."""
    file_version: str | None = None
    """What it was when the run was planned: the digits of its content."""
    variant: Variant | None = None
    """What the language model is shown; None where there is none, or a slot control in its place."""
    given: dict[str, str] = field(default_factory=dict)
    """Files of configurations that the run reads: the digits of a file's content, which stand for it in
    ``initial`` and ``parameters``, to its absolute path. No part of the identity."""

    @cached_property
    def budget(self) -> Budget:
        """What the run may spend."""
        return Budget(self.trials, self.equivalents, self.seconds, self.tokens)

    @property
    def control(self) -> Control | None:
        """The slot control that stands in for a language model."""
        return control_named(self.model) if self.model else None

    @property
    def asks_model(self) -> bool:
        """Whether a language model answers: its run is driven where the model's client is."""
        return self.model is not None and self.control is None

    @property
    def shows(self) -> Variant:
        """The prompt variant."""
        return self.variant or "full"

    @property
    def name(self) -> str:
        """How its method is called in tables."""
        return method_name(self.method, self.model, self.variant)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the optimizer is called with: the parameters, files by their paths."""
        return {
            name: self.given.get(value, value) if isinstance(value, str) else value
            for name, value in self.parameters.items()
        }

    @property
    def expected_trials(self) -> int:
        """A guess at how many trials it will make, for progress bars and for sharing out the work."""
        if self.trials is not None:
            return self.trials
        lower_fidelities = 4 if optimizer(self.optimizer).multi_fidelity else 1
        return min(self.budget.horizon, 250) * lower_fidelities

    def as_dict(self) -> dict[str, Any]:
        """JSON form, for the results."""
        return asdict(self)


def plan(suite: Suite) -> list[Run]:
    """All runs of a suite, in the order benchmark, method, seed.

    Raises:
        UsageError: an unknown benchmark, optimizer or parameter, one method under two labels, or a method or
            prompt variant that a benchmark has no use for; or the suite is only listed.
        DataError: the data of a benchmark is missing.
        MissingLibrary: an optional library that a method needs is not installed.
    """
    if suite.planned:
        raise SuiteError(f"Suite {suite.name!r} cannot be run yet: {suite.planned}")
    for label, method in suite.optimizers.items():
        require(method.method or label, method.parameters)
    runs = [
        _run(suite, benchmark_id, label, model, variant, seed)
        for benchmark_id in suite.benchmark_ids()
        for label, method in suite.optimizers.items()
        for model, variant in suite.askings(method)
        for seed in range(method.seeds or suite.seeds)
    ]
    labels: dict[str, Run] = {}
    for run in runs:
        if optimizer(run.optimizer).multi_fidelity and not benchmark(run.benchmark).scenario.fidelities:
            raise SuiteError(
                f"optimizers.{run.method} varies a fidelity, and {run.benchmark} has none.",
                "Leave one of them out: yahpo/* have fidelities.",
            )
        if run.variant == "misleading" and benchmark(run.benchmark).space.d == 1:
            # It would see what "full" shows, and a study of the two would find no difference.
            raise SuiteError(
                f"Nothing on {run.benchmark} can mislead {run.method}: it has one hyperparameter, "
                "and so no names to permute.",
                f'Leave out {run.benchmark}, or the variant "misleading".',
            )
        if (same := labels.setdefault(run.id, run)) is not run:
            raise SuiteError(f"Methods {same.name!r} and {run.name!r} are the same.", "Drop one of them.")
    _check_files(runs)
    return runs


def _check_files(runs: list[Run]) -> None:
    """See that every run finds its configurations, before the first of them begins.

    Raises:
        UsageError: a file has none for a run, or a start that is not in the search space; one line.
    """
    for run in runs:
        if not run.given:
            continue
        where = benchmark(run.benchmark)
        if (digits := run.initial.removeprefix("file:")) in run.given:
            start(run.given[digits], where, run.seed)
        if reads := optimizer(run.optimizer).reads:
            file = given(run.arguments[reads])
            found = file.configurations(where.id, run.seed, run.parameters["of"])
            unknown = [sorted(values.keys() - set(where.space.names)) for values in found]
            if all(unknown):  # a column of another name; what one proposal has wrong is that trial's affair
                raise UsageError(
                    f"{file.path}: {unknown[0][0]!r} is no hyperparameter of {where.scenario.key}.",
                    f"It has {', '.join(where.space.names)}.",
                )


def _run(
    suite: Suite, benchmark_id: str, label: str, model: str | None, variant: Variant | None, seed: int
) -> Run:
    method = suite.optimizers[label]
    name = method.method or label
    entry = optimizer(name)
    if entry.file:
        name = entry.target
    parameters, initial, files = entry.resolve(method.parameters), suite.initial, {}
    if entry.reads:
        found = given(parameters[entry.reads])
        files[found.digits] = found.path
        parameters[entry.reads] = found.digits
    if initial.startswith("file:"):
        found = given(initial.removeprefix("file:"))
        files[found.digits] = found.path
        initial = f"file:{found.digits}"
    run = Run(
        id="",
        benchmark=benchmark_id,
        method=label,
        optimizer=name,
        parameters=parameters,
        model=model,
        seed=seed,
        initial=initial,
        noise=suite.noise,
        invalid=suite.invalid,
        workers=suite.workers,
        overhead=suite.overhead,
        variant=variant,
        **asdict(suite.budget(method)),
        file=entry.file,
        file_version=str(entry.version) if entry.file else None,
        given=files,
    )
    identity = run_identity(run, suite.models[model] if model and run.asks_model else None)
    return replace(run, id=content_hash(identity))


def run_identity(run: Run, model: ModelSpec | None) -> dict[str, Any]:
    """All that determines a run's trials, as a JSON value. The package's version is not part of it."""
    entry = optimizer(run.optimizer)
    identity: dict[str, Any] = {
        "benchmark": [run.benchmark, _benchmark_version(run.benchmark)],
        "optimizer": [run.optimizer, entry.version, run.parameters],
        "initial": run.initial,
        "noise": run.noise,
        "seed": run.seed,
    }
    if after := entry.after(run.parameters):
        identity["then"] = [run.parameters[entry.then], after.version]  # type: ignore[index]
    if entry.knows_horizon(run.parameters):
        identity["trials"] = run.budget.horizon
    if run.workers > 1 or run.overhead:
        identity["clock"] = [run.workers, run.overhead]
    if run.control:
        identity["control"] = [run.control, CONTROL_VERSION]
    elif entry.prompts or run.model:
        identity |= {
            "prompts": prompts_hash(entry.prompts) if entry.prompts else None,
            "model": model.identity() if model else None,
            "invalid": run.invalid,
            "variant": run.shows,
        }
    return identity


@cache
def _benchmark_version(benchmark_id: str) -> int:
    return benchmark(benchmark_id).scenario.version


def method_name(method: str, model: str | None, variant: str | None = None) -> str:
    """How a method is called in tables: its label, its model, and what that is shown where not all."""
    if model is None:
        return method
    return f"{method} ({model})" if variant in (None, "full") else f"{method} ({model}, {variant})"
