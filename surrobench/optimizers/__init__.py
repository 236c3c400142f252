"""The registry of optimizers: name to the generator function, one line each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from surrobench.errors import MissingLibrary, UnknownName

if TYPE_CHECKING:
    from surrobench.optimizers.base import Steps


@dataclass(frozen=True)
class Optimizer:
    """A registry entry: where the generator is, and what the engine must know before it runs."""

    target: str
    """``module:function`` below ``surrobench.optimizers``."""
    summary: str
    version: int = 1
    """Counts up when the same seed would give other trials; part of every run's identity."""
    seconds: float = 1e-5
    """Rough cost of one trial, for sizing shards and for ``--dry-run``."""
    uses_horizon: bool = False
    """Whether its trials depend on the budget, which then is part of a run's identity."""
    prompts: str | None = None
    """Folder in ``prompts/``; a method that has one needs a language model."""
    multi_fidelity: bool = False
    """Whether it varies the first fidelity, and so needs a benchmark that has one."""
    needs: tuple[str, str] | None = None
    """An optional library as (module, extra to install); the method is unavailable without it."""

    @property
    def available(self) -> bool:
        """Whether the optional library it needs, if any, is installed; nothing is imported to find out."""
        return self.needs is None or find_spec(self.needs[0]) is not None

    @property
    def remedy(self) -> str:
        """How to get the optional library it needs."""
        return f"pip install 'surrobench[{self.needs[1]}]'" if self.needs else ""

    @cached_property
    def function(self) -> Callable[..., Steps]:
        """The generator function."""
        module, name = self.target.split(":")
        function: Callable[..., Steps] = getattr(import_module(f"surrobench.optimizers.{module}"), name)
        return function

    def resolve(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All keyword parameters, those not given with their defaults.

        Raises:
            UsageError: the function takes no such parameter.
        """
        known = {
            name: parameter.default
            for name, parameter in inspect.signature(self.function).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        for name in parameters:
            if name not in known:
                raise UnknownName(
                    f"parameter of {self.target.split(':')[1]}",
                    name,
                    known,
                    "" if known else "It takes none.",
                )
        return {**known, **parameters}


OPTIMIZERS: dict[str, Optimizer] = {
    "random": Optimizer("random_search:random_search", "independent draws from the prior"),
    "grid": Optimizer("grid:grid", "full factorial, visited in a shuffled order", uses_horizon=True),
    "sobol": Optimizer("sobol:sobol", "scrambled Sobol' sequence (scipy)", seconds=2e-5),
    "tpe": Optimizer("tpe:tpe", "tree-structured Parzen estimator (Optuna)", seconds=4e-3),
    "tpe-multivariate": Optimizer(
        "tpe:tpe_multivariate",
        "TPE, jointly also for hyperparameters under conditions (Optuna)",
        seconds=4e-3,
    ),
    "tpe-univariate": Optimizer(
        "tpe:tpe_univariate", "TPE, each hyperparameter for itself (Optuna)", seconds=6e-3
    ),
    "cma-es": Optimizer("cma_es:cma_es", "covariance matrix adaptation with margin (cmaes)", seconds=8e-4),
    "smac": Optimizer(
        "smac:smac", "Bayesian optimization, random forest (SMAC3)", seconds=7e-2, uses_horizon=True
    ),
    "gp": Optimizer(
        "gp:gp", "Bayesian optimization, Gaussian process (SMAC3)", seconds=8e-1, uses_horizon=True
    ),
    "optuna-gp": Optimizer(
        "optuna_gp:optuna_gp",
        "Bayesian optimization, Gaussian process (Optuna)",
        seconds=3e-1,
        needs=("torch", "gp"),
    ),
    "ngopt": Optimizer(
        "ngopt:ngopt",
        "a method chosen by space and budget (Nevergrad)",
        seconds=5e-3,
        uses_horizon=True,
        needs=("nevergrad", "nevergrad"),
    ),
    "karpathy-agent": Optimizer(
        "karpathy_agent:karpathy_agent",
        "a language model sees space and history and proposes the next configuration",
        seconds=1.5,
        prompts="karpathy-agent",
    ),
}


LEFT_OUT = {"hebo": "HEBO 0.3.6 (PyPI) needs numpy < 1.25, all else here numpy 2"}
"""Methods that one may look for, with the reason why they are not here."""


def optimizer(name: str) -> Optimizer:
    """The registry entry of an optimizer.

    Raises:
        UnknownName: there is none of that name; the message names the nearest.
    """
    if name not in OPTIMIZERS:
        reason = f"It cannot be had: {LEFT_OUT[name]}." if name in LEFT_OUT else ""
        raise UnknownName("optimizer", name, OPTIMIZERS, reason)
    return OPTIMIZERS[name]


def require(name: str) -> None:
    """Check that an optimizer can be run on this machine.

    Raises:
        UnknownName: there is none of that name.
        MissingLibrary: the optional library it needs is not installed.
    """
    entry = optimizer(name)
    if entry.needs and not entry.available:
        raise MissingLibrary(
            f"Optimizer {name!r} needs {entry.needs[0]}, which is not installed.", entry.remedy
        )
