"""The registry entry of an optimizer: its function, its parameters and what it needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from surrobench.errors import UnknownName, located_at
from surrobench.libraries import Library
from surrobench.optimizers.first_parameters import FIRST_PARAMETERS
from surrobench.optimizers.parameters import annotated, check, is_json, settled
from surrobench.seeding import canonical
from surrobench.system import installed_versions

if TYPE_CHECKING:
    from surrobench.optimizers.base import Steps

EVERY = ("numpy", "ConfigSpace")
"""The libraries that every method's trials depend on: they draw, and define search spaces."""
_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY


@dataclass(frozen=True)
class Optimizer:
    """A registry entry, which says where the generator is and what the engine must know before it runs."""

    target: str
    """``module:function`` below ``surrobench.optimizers``."""
    summary: str
    version: int | str = 1
    """A number that counts up when the same seed would give other trials. It is part of every run's identity.
    For a user's file, it is the digits of its content. For a package, it is the package's version."""
    seconds: float = 1e-5
    """The rough cost of one trial in seconds, for sizing shards and for ``--dry-run``."""
    lockstep: bool = False
    """Whether the method asks for computing, which costs less a run the more runs advance together."""
    uses_horizon: bool = False
    """Whether the trials depend on the budget, which then is part of a run's identity."""
    prompts: str | None = None
    """The method's folder in ``prompts/``. A method that has one needs a language model."""
    multi_fidelity: bool = False
    """Whether the method varies the first fidelity, and so needs a benchmark that has one."""
    reads: str | None = None
    """The parameter that names a file of configurations. It must be set.
    See ``benchmarks.configuration_file``."""
    then: str | None = None
    """The parameter that names the method to hand over to. That method's parameters are in
    ``THEN_parameters``."""
    follower: Callable[[str], Optimizer] | None = None
    """The function that finds the method that ``then`` names, see ``registry.follower``. It is set together
    with ``then``."""
    libraries: tuple[str, ...] = ()
    """The packages, beside those of every method, whose versions can change the method's trials. A run's
    record says which they were."""
    needs: Library | None = None
    """An optional library, without which the method is unavailable."""
    user_defined: bool = False
    """Whether the user brought the optimizer. Such an optimizer may ask a language model without a
    folder in ``prompts/``."""
    file: str | None = None
    """The absolute path of the user's file. Runs know the optimizer as ``target``, which is the same
    in every folder."""

    def library_versions(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """Return the versions of the libraries that the method's trials depend on.

        Args:
            parameters: those of the run; the method that it hands over to counts, too.
        """
        after = self.after(parameters)
        return installed_versions((*EVERY, *self.libraries, *(after.libraries if after else ())))

    @property
    def version_1(self) -> int | str:
        """Return the version that was part of a run's identity under scheme 1, see ``plan.identity_1``."""
        return self.version

    @property
    def available(self) -> bool:
        """Return whether the optional library that the optimizer needs, if any, is installed.

        Nothing is imported to find out.
        """
        return self.needs is None or self.needs.installed

    @property
    def remedy(self) -> str:
        """Return how to get the optional library that the optimizer needs."""
        return self.needs.remedy if self.needs else ""

    @cached_property
    def function(self) -> Callable[..., Steps]:
        """Return the generator function."""
        module, name = self.target.split(":")
        function: Callable[..., Steps] = getattr(import_module(f"surrobench.optimizers.{module}"), name)
        return function

    def signature(self) -> dict[str, inspect.Parameter]:
        """Return the keyword parameters."""
        parameters = annotated(self.function).parameters.values()
        return {parameter.name: parameter for parameter in parameters if parameter.kind is _KEYWORD_ONLY}

    def parameters(self) -> dict[str, Any]:
        """Return the keyword parameters with their defaults."""
        return {name: parameter.default for name, parameter in self.signature().items()}

    def resolve(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return all keyword parameters, with defaults for those that ``parameters`` lacks.

        Raises:
            UsageError: the function takes no such parameter, or not this value (see ``parameters.check``).
                ``keys`` name the parameter.
        """
        known = self.signature()
        for name, value in parameters.items():
            with located_at(name):
                if name not in known:
                    kind = f"parameter of {self.target.rpartition(':')[2]}"
                    raise UnknownName(kind, name, known, "" if known else "It takes none.")
                check(known[name], value)
        given = {name: parameter.default for name, parameter in known.items()} | dict(parameters)
        resolved = {name: settled(known[name], value) for name, value in given.items()}
        if after := self.after(resolved):
            then = f"{self.then}_parameters"
            with located_at(then):
                resolved[then] = after.resolve(resolved[then] or {})
        return resolved

    def after(self, parameters: Mapping[str, Any]) -> Optimizer | None:
        """Return the method that this one hands over to, or None if it hands over to none.

        A parameter that ``parameters`` lacks has its default.

        Raises:
            UsageError: that method cannot go on after another, see ``registry.follower``.
        """
        if self.then is None or self.follower is None:
            return None
        with located_at(self.then):
            return self.follower({**self.parameters(), **parameters}[self.then])

    def first(self) -> dict[str, Any]:
        """Return the parameters that the method had at first, with their defaults."""
        return dict(FIRST_PARAMETERS.get(self.target, {}))

    def as_written(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as runs of identity scheme 1 had them: numbers as the suite writes them."""
        found = {**self.first(), **parameters}
        if after := self.after(found):
            then = f"{self.then}_parameters"
            found[then] = after.as_written(found[then] or {})
        return found

    def changed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that differ from their defaults; those of the follower likewise.

        Args:
            parameters: all of them, as ``resolve`` returns them.
        """
        known = self.signature()
        defaults = {name: settled(known[name], known[name].default) for name in parameters}
        found = {
            name: value
            for name, value in parameters.items()
            if not is_json(defaults[name]) or canonical(value) != canonical(defaults[name])
        }
        if after := self.after(parameters):
            then = f"{self.then}_parameters"
            if of_follower := after.changed(found.pop(then, None) or {}):
                found[then] = of_follower
        return found

    def stream(self, name: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return what the method's random stream is named after: its name and its parameters.

        A parameter that the method did not have at first counts only where it differs from its default, see
        ``first_parameters``.

        Args:
            name: the name by which runs know the method.
            parameters: all of them, as ``resolve`` returns them.
        """
        return name, self.as_written(self.changed(parameters))

    def knows_horizon(self, parameters: Mapping[str, Any]) -> bool:
        """Return whether the method, or the one that it hands over to, depends on the budget."""
        after = self.after(parameters)
        return self.uses_horizon or (after is not None and after.uses_horizon)
