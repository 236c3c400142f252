"""From a suite to its runs: one optimizer on one benchmark with one seed, each with a stable identity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from surrobench.benchmarks import benchmark
from surrobench.benchmarks.base import Noise
from surrobench.errors import SuiteError
from surrobench.llm.models import ModelSpec
from surrobench.llm.prompts import prompts_hash
from surrobench.optimizers import optimizer, require
from surrobench.seeding import content_hash
from surrobench.suite import Method, Suite


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
    """The language model's label in the suite."""
    seed: int
    trials: int
    """Budget: how many trials the run may spend, the initial design included."""
    initial: str
    noise: Noise
    invalid: str

    def as_dict(self) -> dict[str, Any]:
        """JSON form, for the results."""
        return asdict(self)


def plan(suite: Suite) -> list[Run]:
    """All runs of a suite, in the order benchmark, method, seed.

    Raises:
        UsageError: an unknown benchmark, optimizer or parameter, or one method under two labels; or the
            suite is only listed.
        DataError: the data of a benchmark is missing.
        MissingLibrary: an optional library that a method needs is not installed.
    """
    if suite.planned:
        raise SuiteError(f"Suite {suite.name!r} cannot be run yet: {suite.planned}")
    for label, method in suite.optimizers.items():
        require(method.method or label)
    runs = [
        _run(suite, benchmark_id, label, model, seed)
        for benchmark_id in suite.benchmark_ids()
        for label, method in suite.optimizers.items()
        for model in _models(method)
        for seed in range(method.seeds or suite.seeds)
    ]
    labels: dict[str, Run] = {}
    for run in runs:
        if (same := labels.setdefault(run.id, run)) is not run:
            one, other = method_name(same.method, same.model), method_name(run.method, run.model)
            raise SuiteError(f"Methods {one!r} and {other!r} are the same.", "Drop one of them.")
    return runs


def _models(method: Method) -> list[str] | list[None]:
    return method.models or [None]


def _run(suite: Suite, benchmark_id: str, label: str, model: str | None, seed: int) -> Run:
    method = suite.optimizers[label]
    name = method.method or label
    parameters = optimizer(name).resolve(method.parameters)
    identity = run_identity(
        benchmark_id=benchmark_id,
        optimizer_name=name,
        parameters=parameters,
        initial=suite.initial,
        noise=suite.noise,
        seed=seed,
        trials=suite.trials,
        model=suite.models[model] if model else None,
        invalid=suite.invalid,
    )
    return Run(
        id=content_hash(identity),
        benchmark=benchmark_id,
        method=label,
        optimizer=name,
        parameters=parameters,
        model=model,
        seed=seed,
        trials=suite.trials,
        initial=suite.initial,
        noise=suite.noise,
        invalid=suite.invalid,
    )


def run_identity(
    *,
    benchmark_id: str,
    optimizer_name: str,
    parameters: dict[str, Any],
    initial: str,
    noise: Noise,
    seed: int,
    trials: int,
    model: ModelSpec | None,
    invalid: str,
) -> dict[str, Any]:
    """All that determines a run's trials, as a JSON value. The package's version is not part of it."""
    entry = optimizer(optimizer_name)
    identity: dict[str, Any] = {
        "benchmark": [benchmark_id, _benchmark_version(benchmark_id)],
        "optimizer": [optimizer_name, entry.version, parameters],
        "initial": initial,
        "noise": noise,
        "seed": seed,
    }
    if entry.uses_horizon:
        identity["trials"] = trials
    if entry.prompts:
        identity |= {
            "prompts": prompts_hash(entry.prompts),
            "model": model.identity() if model else None,
            "invalid": invalid,
        }
    return identity


@cache
def _benchmark_version(benchmark_id: str) -> int:
    return benchmark(benchmark_id).scenario.version


def method_name(method: str, model: str | None) -> str:
    """How a method is called in tables: its label, and its model where it has one."""
    return f"{method} ({model})" if model else method
