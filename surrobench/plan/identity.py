"""What determines a run's trials, and so its identity. The most sensitive page of the package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from surrobench.llm.models import ModelSpec
from surrobench.llm.prompts import prompts_hash
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.llm.control import CONTROL_VERSION
from surrobench.plan.run import Run
from surrobench.seeding import content_hash


def identified(
    run: Run, benchmark_version: int, entry: Optimizer, model: ModelSpec | None, seeds: Iterable[int]
) -> Iterator[Run]:
    """Yield a run with each of some seeds, and with its identity.

    Args:
        run: whose id does not matter.
        benchmark_version: version of its scenario.
        entry: the registry entry of its optimizer.
        model: its language model; None where it asks none.
        seeds: which.
    """
    identity = run_identity(run, benchmark_version, entry, model)
    for seed in seeds:
        yield replace(run, seed=seed, id=content_hash({**identity, "seed": seed}))


def run_identity(
    run: Run, benchmark_version: int, entry: Optimizer, model: ModelSpec | None
) -> dict[str, Any]:
    """Return all that determines a run's trials, as a JSON value. The package's version is no part of it."""
    identity: dict[str, Any] = {
        "benchmark": [run.benchmark, benchmark_version],
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
    if run.text_rules > 1:
        identity["text"] = run.text_rules
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
