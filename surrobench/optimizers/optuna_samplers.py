"""Make any sampler of Optuna an optimizer: ``method = "optuna:CmaEsSampler"`` in a suite.

The name is a class of ``optuna.samplers``, or a dotted path to a class below ``optuna.samplers`` or
``optuna_integration``. The ``parameters`` are those of the constructor, as far as TOML can say them. The seed
comes from the run's random stream. See ``OptunaStudy`` for conditions, the granted start and failed trials.

A sampler has the same limits as in Optuna. ``CmaEsSampler`` draws categories, and hyperparameters under
conditions, at random. Multi-objective samplers such as ``NSGAIISampler`` search for the one objective of the
study.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator

from surrobench.errors import MissingLibrary, UnknownName, UsageError, in_one_line
from surrobench.libraries import TORCH, Library
from surrobench.optimizers.ask_tell import ask_tell
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.optuna_study import OptunaStudy
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.parameters import is_json

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

PREFIX = "optuna:"
OWN_FUNCTION = 'Write a function that returns the sampler, and name it as method = "./FILE.py:NAME".'

_PACKAGES = ("optuna.samplers", "optuna_integration")
_NEEDS: dict[str, Library] = {"GPSampler": TORCH}
_SAME_AS_OURS = {
    "TPESampler": ("tpe", {"n_startup_trials": "startup", "n_ei_candidates": "candidates"}),
    "GPSampler": ("optuna-gp", {"n_startup_trials": "startup"}),
}
"""Samplers that a method of this package wraps, with its name and its names of the sampler's parameters.

With the sampler's other parameters at their defaults, both draw from the same random stream. They therefore
make the same trials."""


@dataclass(frozen=True)
class OptunaSampler(Optimizer):
    """An optimizer that is a sampler class of Optuna."""

    sampler: Callable[..., BaseSampler] = lambda: None  # type: ignore[assignment,return-value]
    """The sampler's class."""

    @property
    def _name(self) -> str:
        return self.target.rpartition(".")[2].removeprefix(PREFIX)

    @property
    def function(self) -> Callable[..., Steps]:
        """Return the generator function."""
        return _as_steps(self._name, self.sampler)

    def signature(self) -> dict[str, inspect.Parameter]:
        """Return the constructor's parameters, without the seed."""
        return {name: parameter for name, parameter in _parameters(self.sampler).items() if name != "seed"}

    def parameters(self) -> dict[str, Any]:
        """Return the constructor's parameters with their defaults, as far as JSON has them."""
        known = self.signature().items()
        return {name: parameter.default for name, parameter in known if is_json(parameter.default)}

    def resolve(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters, with defaults for those that ``parameters`` lacks.

        Raises:
            UsageError: the constructor takes no such parameter, needs one that is missing, or refuses a
                value.
        """
        if "seed" in parameters and "seed" in _parameters(self.sampler):
            raise UsageError(f"The seed of {self._name} is the run's.", "Leave it out of the parameters.")
        for name, parameter in self.signature().items():
            if parameter.default is parameter.empty and name not in parameters:
                raise UsageError(f"Parameter {name!r} of {self._name} has no default.", OWN_FUNCTION)
        given = super().resolve(parameters)
        resolved = {name: value for name, value in given.items() if is_json(value)}
        if self.available:
            try:
                _open(self.sampler, resolved, np.random.default_rng(0))
            except Exception as error:  # whatever the library raises
                raise UsageError(
                    f"{self._name} refuses its parameters: {in_one_line(error)}.", OWN_FUNCTION
                ) from None
        return resolved

    def first(self) -> dict[str, Any]:
        """Return the parameters, with their defaults."""
        return self.parameters()

    def stream(self, name: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return what the random stream is named after.

        If a method of this package makes the same trials, the stream is named after that method
        (``_SAME_AS_OURS``).
        """
        ours, names = _SAME_AS_OURS.get(self._name, (name, {}))
        others = {key: value for key, value in self.parameters().items() if key not in names}
        if not names or any(parameters[key] != value for key, value in others.items()):
            return name, dict(parameters)
        return ours, {names[key]: value for key, value in parameters.items() if key in names}


def sampler_entry(name: str) -> OptunaSampler:
    """Return the registry entry of ``optuna:SAMPLER``.

    Raises:
        UnknownName: Optuna has no such sampler. The message names the nearest.
        MissingLibrary: the sampler is one of ``optuna_integration``, which is not installed.
        UsageError: the name is that of something else.
    """
    from optuna import samplers
    from optuna.samplers import BaseSampler

    path = name.removeprefix(PREFIX)
    known = [key for key in samplers.__all__ if key.endswith("Sampler") and not key.startswith("Base")]
    found = _find(path)
    if found is None:
        raise UnknownName("sampler of Optuna", path, known)
    if not (isinstance(found, type) and issubclass(found, BaseSampler)) or inspect.isabstract(found):
        raise UsageError(f"{path} is no sampler class of Optuna.", f"Its samplers are {', '.join(known)}.")
    needs = _NEEDS.get(found.__name__)
    return OptunaSampler(
        target=name,
        summary=f"{found.__name__} of Optuna",
        seconds=3e-1 if needs else 4e-3,
        needs=needs,
        libraries=("optuna", "optuna-integration", "scipy", "cmaes", "torch"),
        sampler=found,
    )


def _find(path: str) -> Any:
    """Return the object that a dotted path names, in one of the packages or below it.

    Return None if there is no such object.
    """
    for package in _PACKAGES:
        below = path.removeprefix(f"{package}.")
        if below == path and path.startswith(_PACKAGES):
            continue  # it names the other package
        if find_spec(package.partition(".")[0]) is None:
            if below != path:
                raise MissingLibrary(
                    f"{path} needs {package}, which is not installed.", "pip install optuna-integration"
                )
            continue
        *modules, name = below.split(".")
        try:
            found = getattr(import_module(".".join([package, *modules])), name, None)
        except ImportError:
            continue
        if found is not None:
            return found
    return None


def is_sampler(made: Any) -> bool:
    """Return whether an object is a sampler of Optuna; the library is not imported to find out."""
    optuna = sys.modules.get("optuna")
    return optuna is not None and isinstance(made, optuna.samplers.BaseSampler)


@cache
def _as_steps(name: str, sampler: Callable[..., BaseSampler]) -> Callable[..., Steps]:
    """Return the generator function that the engine drives."""

    def steps(task: Task, rng: Generator, **parameters: Any) -> Steps:
        yield from ask_tell(task, name, lambda: OptunaStudy(task, _open(sampler, parameters, rng)))

    return steps


def _open(sampler: Callable[..., BaseSampler], parameters: Mapping[str, Any], rng: Generator) -> BaseSampler:
    """Make a sampler, with a seed from the run's random stream where it takes one."""
    from optuna.exceptions import ExperimentalWarning

    seed = {"seed": int(rng.integers(2**32))} if "seed" in _parameters(sampler) else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return sampler(**parameters, **seed)


@cache
def _parameters(sampler: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return a constructor's parameters, each with its annotation where that can be evaluated."""
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    namespace = vars(sys.modules[sampler.__module__])
    found = {}
    for name, parameter in inspect.signature(sampler).parameters.items():
        if parameter.kind not in named:
            continue
        annotation = parameter.annotation
        if isinstance(annotation, str):
            try:
                annotation = eval(annotation, dict(namespace))  # of an installed library
            except Exception:  # a name that is there for type checkers only: the value is not judged here
                annotation = parameter.empty
        found[name] = parameter.replace(annotation=annotation)
    return found
