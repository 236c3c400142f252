"""The registry of optimizers: name to the generator function, one line each.

Beside these there are those that a user brings, in a file or in an installed package: see ``own``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrobench.errors import UnknownName, UsageError, located_at
from surrobench.libraries import NEVERGRAD, SKLEARN, SMAC, TORCH, Library
from surrobench.optimizers.parameters import annotated, check
from surrobench.paths import find_file

if TYPE_CHECKING:
    from surrobench.optimizers.base import Steps

_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY


@dataclass(frozen=True)
class Optimizer:
    """A registry entry: where the generator is, and what the engine must know before it runs."""

    target: str
    """``module:function`` below ``surrobench.optimizers``."""
    summary: str
    version: int | str = 1
    """Counts up when the same seed would give other trials; part of every run's identity. Of a user's file:
    the digits of its content; of a package: its version."""
    seconds: float = 1e-5
    """Rough cost of one trial, for sizing shards and for ``--dry-run``."""
    uses_horizon: bool = False
    """Whether its trials depend on the budget, which then is part of a run's identity."""
    prompts: str | None = None
    """Folder in ``prompts/``; a method that has one needs a language model."""
    multi_fidelity: bool = False
    """Whether it varies the first fidelity, and so needs a benchmark that has one."""
    reads: str | None = None
    """The parameter that names a file of configurations; it must be given.
    See ``benchmarks.configuration_file``."""
    then: str | None = None
    """The parameter that names the method it hands over to (see ``follower``), whose parameters are in
    ``THEN_parameters``."""
    needs: Library | None = None
    """An optional library; the method is unavailable without it."""
    own: bool = False
    """Whether the user brought it. It may ask a language model without a folder in ``prompts/``."""
    file: str | None = None
    """The user's file, absolute. Runs know the optimizer as ``target``, which is the same in every folder."""

    @property
    def available(self) -> bool:
        """Whether the optional library it needs, if any, is installed; nothing is imported to find out."""
        return self.needs is None or self.needs.installed

    @property
    def remedy(self) -> str:
        """How to get the optional library it needs."""
        return self.needs.remedy if self.needs else ""

    @cached_property
    def function(self) -> Callable[..., Steps]:
        """The generator function."""
        module, name = self.target.split(":")
        function: Callable[..., Steps] = getattr(import_module(f"surrobench.optimizers.{module}"), name)
        return function

    def signature(self) -> dict[str, inspect.Parameter]:
        """The keyword parameters."""
        parameters = annotated(self.function).parameters.values()
        return {parameter.name: parameter for parameter in parameters if parameter.kind is _KEYWORD_ONLY}

    def parameters(self) -> dict[str, Any]:
        """The keyword parameters with their defaults."""
        return {name: parameter.default for name, parameter in self.signature().items()}

    def resolve(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All keyword parameters, those not given with their defaults.

        Raises:
            UsageError: the function takes no such parameter, or not this value (see ``parameters.check``);
                ``keys`` name the parameter.
        """
        known = self.signature()
        for name, value in parameters.items():
            with located_at(name):
                if name not in known:
                    kind = f"parameter of {self.target.rpartition(':')[2]}"
                    raise UnknownName(kind, name, known, "" if known else "It takes none.")
                check(known[name], value)
        resolved = {name: parameter.default for name, parameter in known.items()} | dict(parameters)
        if after := self.after(resolved):
            then = f"{self.then}_parameters"
            with located_at(then):
                resolved[then] = after.resolve(resolved[then] or {})
        return resolved

    def after(self, parameters: Mapping[str, Any]) -> Optimizer | None:
        """The method that it hands over to with these parameters (not given: the defaults), if it does.

        Raises:
            UsageError: that cannot go on, see ``follower``.
        """
        if self.then is None:
            return None
        with located_at(self.then):
            return follower({**self.parameters(), **parameters}[self.then])

    def knows_horizon(self, parameters: Mapping[str, Any]) -> bool:
        """Whether it, or the method that it hands over to, depends on the budget."""
        after = self.after(parameters)
        return self.uses_horizon or (after is not None and after.uses_horizon)


OPTIMIZERS: dict[str, Optimizer] = {
    "random": Optimizer("classical.random_search:random_search", "independent draws from the prior"),
    "grid": Optimizer(
        "classical.grid:grid", "full factorial, visited in a shuffled order", version=2, uses_horizon=True
    ),
    "sobol": Optimizer("classical.sobol:sobol", "scrambled Sobol' sequence (scipy)", seconds=2e-5),
    "latin-hypercube": Optimizer(
        "classical.latin_hypercube:latin_hypercube",
        "one Latin hypercube of the size of the budget (scipy)",
        seconds=1e-5,
        uses_horizon=True,
    ),
    "local-search": Optimizer(
        "classical.local_search:local_search",
        "hill climbing in one hyperparameter at a time, first improvement, random restarts",
        seconds=1.5e-4,
    ),
    "regularized-evolution": Optimizer(
        "classical.regularized_evolution:regularized_evolution",
        "aging evolution: population 100, sample 25 as in its paper",
        seconds=1.5e-4,
    ),
    "regularized-evolution-small": Optimizer(
        "classical.regularized_evolution:small_regularized_evolution",
        "aging evolution for small budgets: population 20, sample 5",
        seconds=1.5e-4,
    ),
    "differential-evolution": Optimizer(
        "classical.differential_evolution:differential_evolution",
        "rand/1/bin, F = CR = 0.5, population 20",
        seconds=1e-5,
    ),
    "tpe": Optimizer("classical.tpe:tpe", "tree-structured Parzen estimator (Optuna)", seconds=4e-3),
    "tpe-multivariate": Optimizer(
        "classical.tpe:tpe_multivariate",
        "TPE, jointly also for hyperparameters under conditions (Optuna)",
        seconds=4e-3,
    ),
    "tpe-univariate": Optimizer(
        "classical.tpe:tpe_univariate", "TPE, each hyperparameter for itself (Optuna)", seconds=6e-3
    ),
    "cma-es": Optimizer(
        "classical.cma_es:cma_es", "covariance matrix adaptation with margin (cmaes)", version=2, seconds=8e-4
    ),
    "smac": Optimizer(
        "classical.smac:smac",
        "Bayesian optimization, random forest (SMAC3)",
        seconds=7e-2,
        uses_horizon=True,
        needs=SMAC,
    ),
    "gp": Optimizer(
        "classical.gp:gp",
        "Bayesian optimization, Gaussian process (SMAC3)",
        seconds=8e-1,
        uses_horizon=True,
        needs=SMAC,
    ),
    "optuna-gp": Optimizer(
        "classical.optuna_gp:optuna_gp",
        "Bayesian optimization, Gaussian process (Optuna)",
        seconds=3e-1,
        needs=TORCH,
    ),
    "ngopt": Optimizer(
        "classical.ngopt:ngopt",
        "a method chosen by space and budget (Nevergrad)",
        seconds=5e-3,
        uses_horizon=True,
        needs=NEVERGRAD,
    ),
    "successive-halving": Optimizer(
        "multi_fidelity.successive_halving:successive_halving",
        "the best third of a rung goes on to three times the fidelity, in repeated brackets",
        multi_fidelity=True,
    ),
    "hyperband": Optimizer(
        "multi_fidelity.hyperband:hyperband",
        "successive halving in brackets from many cheap configurations to few at full fidelity",
        multi_fidelity=True,
    ),
    "asha": Optimizer(
        "multi_fidelity.asha:asha",
        "successive halving without waiting for a rung to fill",
        seconds=4e-5,
        multi_fidelity=True,
    ),
    "bohb": Optimizer(
        "multi_fidelity.bohb:bohb",
        "Hyperband with configurations from kernel densities of good and bad ones",
        seconds=5e-4,
        multi_fidelity=True,
    ),
    "dehb": Optimizer(
        "multi_fidelity.dehb:dehb",
        "differential evolution on each rung of Hyperband's brackets",
        seconds=1e-4,
        multi_fidelity=True,
    ),
    "proposals": Optimizer(
        "classical.proposals:proposals",
        "configurations recorded elsewhere, from a file; no optimizer",
        seconds=2e-4,
        reads="file",
    ),
    "karpathy-agent": Optimizer(
        "llm.karpathy_agent:karpathy_agent",
        "a language model sees space and history and proposes the next configuration",
        version=2,
        seconds=1.5,
        prompts="karpathy-agent",
    ),
    "zero-shot": Optimizer(
        "llm.zero_shot:zero_shot",
        "a language model proposes the first configurations, a classical method goes on with them",
        seconds=0.3,
        prompts="zero-shot",
        then="then",
    ),
    "opro": Optimizer(
        "llm.opro:opro",
        "a language model proposes from the best trials, worst first: 8 replies to each prompt",
        seconds=1.5,
        prompts="opro",
    ),
    "opro-1": Optimizer(
        "llm.opro:opro_1",
        "a language model proposes from the best trials, worst first: 1 reply to each prompt",
        seconds=1.5,
        prompts="opro",
    ),
    "sllmbo": Optimizer(
        "llm.sllmbo:sllmbo",
        "a coin decides for each trial whether a language model, in one chat, or TPE proposes it",
        seconds=0.8,
        prompts="sllmbo",
    ),
    "centaur": Optimizer(
        "llm.centaur:centaur",
        "CMA-ES; a language model that sees its state proposes every third trial",
        seconds=5e-1,
        prompts="centaur",
    ),
    "centaur-tpe": Optimizer(
        "llm.centaur_tpe:centaur_tpe",
        "TPE; a language model that sees its state proposes every third trial",
        seconds=5e-1,
        prompts="centaur-tpe",
    ),
    "llinbo": Optimizer(
        "llm.llinbo:llinbo",
        "a language model proposes; a Gaussian process takes over, overrules it, or takes its hint",
        seconds=1.0,
        uses_horizon=True,
        prompts="llinbo",
        needs=SKLEARN,
    ),
    "llambo": Optimizer(
        "llm.llambo:llambo",
        "a language model samples candidates towards a target and predicts which is best",
        seconds=100.0,
        prompts="llambo",
    ),
    "llambo-optunahub": Optimizer(
        "llm.llambo_optunahub:llambo_optunahub",
        "LLAMBO as ported to OptunaHub: random start, candidates classified, categoricals drawn",
        seconds=15.0,
        prompts="llambo-optunahub",
    ),
}


def located(name: str, folder: Path | None) -> str:
    """An optimizer's name; ``FILE.py:NAME`` with its absolute path, see ``paths.find_file``."""
    file, colon, function = name.rpartition(":")
    return f"{find_file(file, folder)}:{function}" if colon and file.endswith(".py") else name


def with_located_file(name: str, parameters: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """An optimizer's parameters, the file that it reads with its absolute path, see ``paths.find_file``."""
    reads = OPTIMIZERS[name].reads if name in OPTIMIZERS else None
    if reads is None or not isinstance(file := parameters.get(reads), str) or not file:
        return parameters
    return {**parameters, reads: str(find_file(file, folder))}


_brought: dict[str, Optimizer] = {}
"""Those of the user that were asked for, by the name that runs know them by."""

LEFT_OUT = {"hebo": "HEBO 0.3.6 (PyPI) needs numpy < 1.25, all else here numpy 2"}
"""Methods that one may look for, with the reason why they are not here."""


def optimizer(name: str) -> Optimizer:
    """The registry entry of an optimizer: a name of ours, of an installed package, or ``FILE.py:NAME``.

    Raises:
        UnknownName: there is none of that name; the message names the nearest.
        UsageError: it is the user's, and cannot be imported.
    """
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    if name in _brought:
        return _brought[name]
    from surrobench.optimizers import user_defined as own

    if own.is_file(name):
        entry = own.from_file(name)
        _brought[entry.target] = entry
        return entry
    offered = own.offered()
    if name not in offered and ".py" in name:
        raise UsageError(f"{name!r} names no optimizer in a file.", "Write FILE.py:NAME.")
    if name not in offered:
        reason = f"It cannot be had: {LEFT_OUT[name]}." if name in LEFT_OUT else ""
        raise UnknownName("optimizer", name, [*OPTIMIZERS, *offered], reason)
    _brought[name] = own.from_package(offered[name])
    return _brought[name]


def follower(name: str) -> Optimizer:
    """A method that can go on after another one's start, which enters its initial design.

    Raises:
        UnknownName: there is none of that name in the registry.
        UsageError: it needs a model, a file, or lower fidelities, which the first method does not use.
    """
    if not isinstance(name, str) or name not in OPTIMIZERS:
        raise UnknownName("optimizer", str(name), [key for key in OPTIMIZERS if _follows(key)])
    if not _follows(name):
        entry = OPTIMIZERS[name]
        needs = "a language model" if entry.prompts else "a file" if entry.reads else "lower fidelities"
        raise UsageError(
            f"{name} cannot go on after another method: it needs {needs}.",
            f"Use one of {', '.join(key for key in OPTIMIZERS if _follows(key))}.",
        )
    return OPTIMIZERS[name]


def _follows(name: str) -> bool:
    entry = OPTIMIZERS[name]
    return entry.prompts is None and entry.reads is None and not entry.multi_fidelity


def require(name: str, entry: Optimizer, parameters: Mapping[str, Any]) -> None:
    """Check that an optimizer, with the method it hands over to, can be run on this machine.

    Args:
        name: of the optimizer, for the error.
        entry: its registry entry.
        parameters: those given.

    Raises:
        MissingLibrary: the optional library it needs is not installed.
    """
    for part in (entry, entry.after(parameters)):
        if part and part.needs:
            part.needs.require(f"Optimizer {name!r}")
