"""What determines a run's trials, and so its identity. The most sensitive page of the package."""

from __future__ import annotations

from functools import cache
from typing import Any

from surrobench.benchmarks.registry import benchmark
from surrobench.llm.models import ModelSpec
from surrobench.llm.prompts import prompts_hash
from surrobench.optimizers.llm.control import CONTROL_VERSION
from surrobench.optimizers.registry import optimizer
from surrobench.plan.run import Run


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
            "prompts": prompts_hash(entry.prompts, run.prompts) if entry.prompts else None,
            "model": model.identity() if model else None,
            "invalid": run.invalid,
            "variant": run.shows,
        }
    return identity


@cache
def _benchmark_version(benchmark_id: str) -> int:
    return benchmark(benchmark_id).scenario.version
