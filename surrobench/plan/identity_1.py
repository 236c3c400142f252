"""The ids that runs had up to schema version 4 of the results: to find the runs that were begun under them.

This page is never changed, except where something that it reads is called otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from surrobench.llm.models import ModelSpec
from surrobench.llm.prompts import prompts_hash
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.llm.control import CONTROL_VERSION
from surrobench.plan.run import Run
from surrobench.seeding import content_hash


def identified_1(
    run: Run,
    version: int | str,
    entry: Optimizer,
    written: Mapping[str, Any],
    model: ModelSpec | None,
) -> Run:
    """Return a run as it was under scheme 1: with its id, and the parameters as the suite writes them.

    Args:
        run: the run under the present scheme.
        version: that of its scenario.
        entry: the registry entry of its optimizer.
        written: the parameters that the suite sets.
        model: its language model; None where it asks none.
    """
    parameters = entry.as_written(written)
    if entry.reads:
        parameters[entry.reads] = run.parameters[entry.reads]
    before = replace(run, parameters=parameters, scheme=1)
    return replace(before, id=content_hash(_identity(before, version, entry, model)))


def _identity(run: Run, version: int | str, entry: Optimizer, model: ModelSpec | None) -> dict[str, Any]:
    identity: dict[str, Any] = {
        "benchmark": [run.benchmark, version],
        "optimizer": [run.optimizer, entry.version_1, run.parameters],
        "initial": run.initial,
        "noise": run.noise,
        "seed": run.seed,
    }
    if after := entry.after(run.parameters):
        identity["then"] = [run.parameters[entry.then], after.version]  # type: ignore[index]
    if entry.user_defined or entry.knows_horizon(run.parameters):
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
            "model": _of_model(model) if model else None,
            "invalid": run.invalid,
            "variant": run.shows,
        }
    return identity


def _of_model(model: ModelSpec) -> dict[str, Any]:
    identity: dict[str, Any] = {
        "model": model.model,
        "revision": model.revision,
        "sampling": dict(model.sampling),
        "structured": model.structured,
        "seed": model.seed,
    }
    if model.dtype != "auto":
        identity["dtype"] = model.dtype
    if model.extra:
        identity["extra"] = list(model.extra)
    return identity
