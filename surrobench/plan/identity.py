"""What determines a run's trials, and so its id. The most sensitive page of the package.

Two rules hold for everything that is hashed. What a suite leaves at its default leaves no trace, so that a
setting that is new, or that is written out, changes no id. And a whole number is an integer, so that 1 and
1.0 are the same. A field of ``Run`` that is not listed in ``_NOT_HASHED`` is hashed.

The scheme before is in ``identity_1``. A run that was begun under it keeps its id, see ``Plan.as_held``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from surrobench.benchmarks.base import Scenario
from surrobench.benchmarks.registry import source_digits
from surrobench.llm.models import ModelSpec
from surrobench.llm.prompts import prompts_hash
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.llm.control import CONTROL_VERSION
from surrobench.optimizers.llm.toy_task import Rehearsed, rehearse, toy_task
from surrobench.plan.run import Run
from surrobench.seeding import canonical, plain

SCHEME = 2
"""The version of this page. It counts up when the same run would get another id; see ``identity_1``."""

_DEFAULTS = {"initial": "default", "noise": "seeded", "invalid": "waste"}
"""The suite's defaults of those fields of a run that have none of their own."""

_NOT_HASHED = {
    *("id", "scheme", "seed", "versions", "method", "model", "variant"),
    # The entry and the model say these better.
    *("optimizer", "parameters", "benchmark", "prompts"),
    # What a larger budget adds goes on from a smaller one, unless the method makes use of it.
    *("trials", "equivalents", "seconds", "tokens"),
    # Where the user's files are; their content is hashed.
    *("file", "file_version", "given"),
}
_OF_MODELS = {"invalid"}
"""Fields that matter only where a language model answers."""


def identified(
    run: Run, scenario: Scenario, entry: Optimizer, model: ModelSpec | None, seeds: Iterable[int]
) -> Iterator[Run]:
    """Yield a run with each of some seeds, and with its identity.

    Args:
        run: whose id does not matter.
        scenario: that of its benchmark.
        entry: the registry entry of its optimizer.
        model: its language model; None where it asks none.
        seeds: which.
    """
    identity = canonical(run_identity(run, scenario, entry, model))
    digest = hashlib.blake2b(identity.encode(), digest_size=8)
    _ = run.budget  # which all seeds share
    for seed in seeds:
        of_seed = digest.copy()
        of_seed.update(b"\0%d" % seed)
        yield run.with_seed(seed, of_seed.hexdigest(), SCHEME)


def run_identity(run: Run, scenario: Scenario, entry: Optimizer, model: ModelSpec | None) -> dict[str, Any]:
    """Return all that determines a run's trials, except its seed, as a JSON value.

    The package's version is no part of it.
    """
    asks = run.control is None and bool(entry.prompts or run.model)
    identity: dict[str, Any] = {
        "benchmark": [run.benchmark, scenario.version],
        "optimizer": [run.optimizer, entry.version, entry.changed(run.parameters)],
        **_settings(run, without=set() if asks else _OF_MODELS),
    }
    if source := source_digits(scenario.key):
        identity["source"] = source
    if not scenario.noisy:
        identity.pop("noise", None)
    if after := entry.after(run.parameters):
        identity["then"] = [run.parameters[entry.then], after.version]  # type: ignore[index]
    if entry.knows_horizon(run.parameters):
        identity["trials"] = run.budget.horizon
    if run.control:
        identity["control"] = [run.control, CONTROL_VERSION]
    elif asks:
        rehearsed = _rehearsed(run, entry)
        identity["model"] = _model(model, rehearsed.sampling) if model else None
        # The text of the templates, and what Python writes into them.
        templates = prompts_hash(entry.prompts, run.prompts) if entry.prompts else None
        identity["prompts"] = [templates, rehearsed.digits]
        if run.shows != "full":
            identity["variant"] = run.shows
    found: dict[str, Any] = plain(identity)
    return found


_known: dict[str, Rehearsed] = {}
"""The rehearsals of this process, by what they depend on."""


def _rehearsed(run: Run, entry: Optimizer) -> Rehearsed:
    """Return what the method of a run sends to a model on a fixed task."""
    method = [run.optimizer, entry.version, run.parameters]
    key = canonical([method, run.shows, run.invalid, run.text_rules, run.prompts])
    if key not in _known:
        task = toy_task(run.shows, run.invalid, run.prompts, run.text_rules)
        _known[key] = rehearse(entry, run.parameters, task)
    return _known[key]


def _model(model: ModelSpec, sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of a model, without the sampling parameters that all requests have already."""
    identity = model.identity()
    said = identity.pop("sampling", {})
    own = {name: value for name, value in said.items() if name not in sampling or sampling[name] != value}
    return {**identity, "sampling": own} if own else identity


def _settings(run: Run, without: set[str]) -> dict[str, Any]:
    """Return the hashed fields of a run that differ from their defaults."""
    found = {}
    for field in fields(run):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        value = getattr(run, field.name)
        if field.name not in _NOT_HASHED | without and value != _DEFAULTS.get(field.name, default):
            found[field.name] = value
    return found
