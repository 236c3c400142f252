"""The registry of optimizers: each name and its entry.

Optimizers that a user brings, in a file or in an installed package, come through ``user_defined``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surrobench.errors import UnknownName, UsageError
from surrobench.libraries import NEVERGRAD, SKLEARN, SMAC, TORCH
from surrobench.optimizers.entry import Optimizer
from surrobench.paths import find_file


def follower(name: str) -> Optimizer:
    """Return a method that can go on after another one's start, which enters its initial design.

    Raises:
        UnknownName: the registry has no method of that name.
        UsageError: the method needs a model, a file, or lower fidelities, which the first method does not
            use.
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


OPTIMIZERS: dict[str, Optimizer] = {
    "random": Optimizer(
        "classical.random_search:random_search", "draws every configuration at random from the prior"
    ),
    "grid": Optimizer(
        "classical.grid:grid", "goes through a full grid in random order", version=2, uses_horizon=True
    ),
    "sobol": Optimizer(
        "classical.sobol:sobol",
        "takes the points of a scrambled Sobol' sequence (scipy)",
        seconds=2e-5,
        libraries=("scipy",),
    ),
    "latin-hypercube": Optimizer(
        "classical.latin_hypercube:latin_hypercube",
        "evaluates one Latin hypercube design that fills the budget (scipy)",
        seconds=1e-5,
        uses_horizon=True,
        libraries=("scipy",),
    ),
    "local-search": Optimizer(
        "classical.local_search:local_search",
        "changes one hyperparameter at a time, keeps the first improvement, and restarts at random",
        seconds=1.5e-4,
        libraries=("scipy",),
    ),
    "regularized-evolution": Optimizer(
        "classical.regularized_evolution:regularized_evolution",
        "mutates the best of 25 members of a population of 100; the oldest dies (as in its paper)",
        seconds=1.5e-4,
    ),
    "regularized-evolution-small": Optimizer(
        "classical.regularized_evolution:small_regularized_evolution",
        "regularized evolution for small budgets: the best of 5 members of a population of 20",
        seconds=1.5e-4,
    ),
    "differential-evolution": Optimizer(
        "classical.differential_evolution:differential_evolution",
        "evolves 20 members by differences between members (rand/1/bin, F = CR = 0.5)",
        seconds=1e-5,
    ),
    "tpe": Optimizer(
        "classical.tpe:tpe",
        "tree-structured Parzen estimator: models where good and bad trials lie (Optuna)",
        seconds=3e-4,
        lockstep=True,
        libraries=("optuna", "scipy"),
    ),
    "tpe-multivariate": Optimizer(
        "classical.tpe:tpe_multivariate",
        "TPE that models all hyperparameters jointly, conditional ones included (Optuna)",
        seconds=3e-4,
        lockstep=True,
        libraries=("optuna", "scipy"),
    ),
    "tpe-univariate": Optimizer(
        "classical.tpe:tpe_univariate",
        "TPE that models each hyperparameter by itself (Optuna)",
        seconds=6e-4,
        lockstep=True,
        libraries=("optuna", "scipy"),
    ),
    "cma-es": Optimizer(
        "classical.cma_es:cma_es",
        "CMA-ES with margin: adapts a normal distribution to good trials (cmaes)",
        version=2,
        seconds=8e-4,
        libraries=("cmaes",),
    ),
    "smac": Optimizer(
        "classical.smac:smac",
        "Bayesian optimization with a random forest (SMAC3)",
        seconds=7e-2,
        uses_horizon=True,
        needs=SMAC,
        libraries=("smac", "scikit-learn", "scipy"),
    ),
    "gp": Optimizer(
        "classical.gp:gp",
        "Bayesian optimization with a Gaussian process (SMAC3)",
        seconds=8e-1,
        uses_horizon=True,
        needs=SMAC,
        libraries=("smac", "scikit-learn", "scipy"),
    ),
    "optuna-gp": Optimizer(
        "classical.optuna_gp:optuna_gp",
        "Bayesian optimization with a Gaussian process (Optuna)",
        seconds=3e-1,
        needs=TORCH,
        libraries=("optuna", "torch", "scipy"),
    ),
    "ngopt": Optimizer(
        "classical.ngopt:ngopt",
        "chooses a method by search space and budget (Nevergrad)",
        seconds=5e-3,
        uses_horizon=True,
        needs=NEVERGRAD,
        libraries=("nevergrad", "cma", "scipy"),
    ),
    "successive-halving": Optimizer(
        "multi_fidelity.successive_halving:successive_halving",
        "starts many configurations at low fidelity; the best third goes on at three times the fidelity",
        multi_fidelity=True,
    ),
    "hyperband": Optimizer(
        "multi_fidelity.hyperband:hyperband",
        "repeats successive halving, from many cheap configurations to few at full fidelity",
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
        "Hyperband that draws configurations where good trials are dense",
        seconds=5e-4,
        multi_fidelity=True,
        libraries=("scipy",),
    ),
    "dehb": Optimizer(
        "multi_fidelity.dehb:dehb",
        "Hyperband that evolves the configurations of each fidelity (differential evolution)",
        seconds=1e-4,
        multi_fidelity=True,
    ),
    "proposals": Optimizer(
        "classical.proposals:proposals",
        "evaluates configurations from a file, such as those that another program proposed",
        version=2,
        seconds=2e-4,
        reads="file",
    ),
    "karpathy-agent": Optimizer(
        "llm.karpathy_agent:karpathy_agent",
        "a language model sees the search space and past trials, and proposes the next configuration",
        version=2,
        seconds=1.5,
        prompts="karpathy-agent",
    ),
    "zero-shot": Optimizer(
        "llm.zero_shot:zero_shot",
        "a language model proposes the first configurations; a classical method goes on from there",
        seconds=0.3,
        prompts="zero-shot",
        then="then",
        follower=follower,
    ),
    "opro": Optimizer(
        "llm.opro:opro",
        "a language model sees the best trials, worst first, and proposes: 8 replies to each prompt",
        seconds=1.5,
        prompts="opro",
    ),
    "opro-1": Optimizer(
        "llm.opro:opro_1",
        "a language model sees the best trials, worst first, and proposes: 1 reply to each prompt",
        seconds=1.5,
        prompts="opro",
    ),
    "sllmbo": Optimizer(
        "llm.sllmbo:sllmbo",
        "a coin decides for each trial whether a language model, in one chat, or TPE proposes it",
        seconds=0.8,
        prompts="sllmbo",
        libraries=("optuna", "scipy"),
    ),
    "centaur": Optimizer(
        "llm.centaur:centaur",
        "CMA-ES, in which a language model that sees its state proposes every third trial",
        seconds=5e-1,
        prompts="centaur",
        libraries=("cmaes",),
    ),
    "centaur-tpe": Optimizer(
        "llm.centaur_tpe:centaur_tpe",
        "TPE, in which a language model that sees its state proposes every third trial",
        seconds=5e-1,
        prompts="centaur-tpe",
        libraries=("optuna", "scipy"),
    ),
    "llinbo": Optimizer(
        "llm.llinbo:llinbo",
        "a language model proposes; a Gaussian process takes over, overrules it, or takes its hint",
        seconds=1.0,
        uses_horizon=True,
        prompts="llinbo",
        needs=SKLEARN,
        libraries=("scikit-learn", "scipy"),
    ),
    "llambo": Optimizer(
        "llm.llambo:llambo",
        "a language model samples candidates towards a target and predicts which is best",
        seconds=100.0,
        prompts="llambo",
        libraries=("scipy",),
    ),
    "llambo-optunahub": Optimizer(
        "llm.llambo_optunahub:llambo_optunahub",
        "LLAMBO as on OptunaHub: starts at random, classifies candidates, draws categories",
        seconds=15.0,
        prompts="llambo-optunahub",
        libraries=("scipy",),
    ),
}


def located(name: str, folder: Path | None) -> str:
    """Return an optimizer's name, with the absolute path of its file where it is ``FILE.py:NAME``.

    See ``paths.find_file``.
    """
    file, colon, function = name.rpartition(":")
    return f"{find_file(file, folder)}:{function}" if colon and file.endswith(".py") else name


def with_located_file(name: str, parameters: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Return an optimizer's parameters, with the absolute path of the file that it reads."""
    reads = OPTIMIZERS[name].reads if name in OPTIMIZERS else None
    if reads is None or not isinstance(file := parameters.get(reads), str) or not file:
        return parameters
    return {**parameters, reads: str(find_file(file, folder))}


_brought: dict[str, Optimizer] = {}
"""The user's optimizers that were asked for, by the name by which runs know them."""

LEFT_OUT = {"hebo": "HEBO 0.3.6 (PyPI) needs numpy < 1.25, and surrobench needs numpy 2"}
"""Methods that one may look for, with the reason why they are not here."""


def optimizer(name: str) -> Optimizer:
    """Return the registry entry of an optimizer.

    Args:
        name: a name of this package or of an installed package, ``FILE.py:NAME``, or ``optuna:SAMPLER``.

    Raises:
        UnknownName: there is no optimizer of that name. The message names the nearest.
        UsageError: the optimizer is the user's, and cannot be imported.
    """
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    if name in _brought:
        return _brought[name]
    # These modules import ConfigSpace, which takes a second.
    from surrobench.optimizers import optuna_samplers, user_defined

    if name.startswith(optuna_samplers.PREFIX):
        _brought[name] = optuna_samplers.sampler_entry(name)
        return _brought[name]
    if user_defined.is_file(name):
        entry = user_defined.from_file(name)
        _brought[entry.target] = entry
        return entry
    offered = user_defined.offered()
    if name not in offered and ".py" in name:
        raise UsageError(f"{name!r} names no optimizer in a file.", "Write FILE.py:NAME.")
    if name not in offered:
        reason = f"It cannot be had: {LEFT_OUT[name]}." if name in LEFT_OUT else ""
        raise UnknownName("optimizer", name, [*OPTIMIZERS, *offered], reason)
    _brought[name] = user_defined.from_package(offered[name])
    return _brought[name]


def require(name: str, entry: Optimizer, parameters: Mapping[str, Any]) -> None:
    """Check that an optimizer, with the method it hands over to, can be run on this machine.

    Args:
        name: the optimizer's name, for the error.
        entry: its registry entry.
        parameters: the parameters that the suite sets.

    Raises:
        MissingLibrary: the optional library it needs is not installed.
    """
    for part in (entry, entry.after(parameters)):
        if part and part.needs:
            part.needs.require(f"Optimizer {name!r}")
