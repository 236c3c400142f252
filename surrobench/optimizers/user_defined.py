"""An optimizer that the user brings: a file (``./mine.py:my_optimizer``) or an installed package.

The optimizer is one of three things:

- It is what ``base.py`` describes, a generator function ``(task, rng, *, parameter=default)``.
- It is a class or function, called in the same way, that makes something with the two verbs ``ask()`` and
  ``tell(configurations, losses)``. These may speak matrices, as ``ask_tell.AskTell`` does. They may also
  speak mappings of name to value, one or a list.
- It is a class or function ``(task, rng, *, ...)`` or ``(seed, *, ...)`` that makes a sampler of Optuna.

A file is known by its name and the digits of its content. Its folder is no part of a run's identity, so that
a study gives the same trials wherever it lies.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from surrobench.errors import UsageError, in_one_line
from surrobench.foreign_code import Raised, foreign_code
from surrobench.optimizers.ask_tell import Translated, ask_tell
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.optuna_study import OptunaStudy
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.optuna_samplers import is_sampler
from surrobench.optimizers.parameters import annotated, is_json
from surrobench.paths import find_file
from surrobench.plain_files import read_bytes
from surrobench.source_files import Sources, sources_of_file, sources_of_module

GROUP = "surrobench.optimizers"
"""Entry points of this group offer optimizers: the name of a method -> its function or class."""

_FILE = re.compile(r"(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)")


@dataclass(frozen=True)
class UserOptimizer(Optimizer):
    """An optimizer that the user brings, after it was imported."""

    made_by: Callable[..., Any] = lambda: None
    """What the user wrote."""
    before: str = ""
    """The version under identity scheme 1: of a package, its name and version."""
    sources: Sources | None = None
    """The source files of the optimizer, whose digits are the version; None if there are none."""

    @property
    def version_1(self) -> str:
        """Return the version that was part of a run's identity under scheme 1."""
        return self.before

    @property
    def function(self) -> Callable[..., Steps]:
        """Return the generator function, made of what the user wrote."""
        return _as_steps(self.target, self.made_by)

    def library_versions(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """Return the versions of what the source files import."""
        return super().library_versions(parameters) | (self.sources.versions if self.sources else {})

    def signature(self) -> dict[str, inspect.Parameter]:
        """Return all parameters after task and generator; each has a default.

        Raises:
            UsageError: a parameter has no default, or the optimizer cannot be called with task and generator.
        """
        try:
            signature = annotated(self.made_by)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.target} is no function or class: {error}.") from None
        if _takes_seed(signature):
            return _keywords(self.target, list(signature.parameters.values())[1:])
        positional = [p for p in signature.parameters.values() if p.kind in _BY_POSITION]
        takes_all = any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values())
        if len(positional) < 2 and not takes_all:
            raise UsageError(
                f"{self.target} takes {signature}.",
                "Its first parameters must be task and rng, or seed alone if it makes a sampler of Optuna.",
            )
        return _keywords(self.target, [p for p in signature.parameters.values() if p not in positional[:2]])

    def first(self) -> dict[str, Any]:
        """Return the parameters, with their defaults."""
        return self.parameters()

    def stream(self, name: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return what the random stream is named after: the name, and all parameters."""
        return name, dict(parameters)


_BY_POSITION = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def _takes_seed(signature: inspect.Signature) -> bool:
    """Return whether something is called with a seed alone.

    A function that makes a sampler of Optuna may be called so.
    """
    first = next(iter(signature.parameters.values()), None)
    return first is not None and first.name == "seed"


def _keywords(target: str, parameters: list[inspect.Parameter]) -> dict[str, inspect.Parameter]:
    """Return the parameters that can be set by keyword.

    Raises:
        UsageError: a parameter has no default, or a default that JSON does not have.
    """
    known = {}
    for p in parameters:
        if p.kind in {p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY}:
            continue
        if p.default is p.empty:
            raise UsageError(f"Parameter {p.name!r} of {target} has no default.", "Give it one.")
        if not is_json(p.default):
            raise UsageError(
                f"Parameter {p.name!r} of {target} has the default {p.default!r}.",
                "It must be a value that JSON has: it is part of a run's identity.",
            )
        known[p.name] = p
    return known


# ---------------------------------------------------------------------- from a file


def is_file(name: str) -> bool:
    """Return whether an optimizer is named by its file, ``FILE.py:NAME``."""
    return _FILE.fullmatch(name) is not None


def from_file(name: str) -> UserOptimizer:
    """Import and return the optimizer ``FILE.py:NAME``.

    Raises:
        UsageError: the file is missing, fails when it is imported, or has no such function. The message is
            one line.
    """
    file, _, function = name.rpartition(":")
    path = find_file(file)
    try:
        source = read_bytes(path)
    except OSError as error:
        raise UsageError(f"The optimizer's file {path} cannot be read: {error.strerror}.") from None
    sources = sources_of_file(path, source)
    module, version_1 = _module(path, source, sources.digits)
    made_by = getattr(module, function, None)
    if made_by is None:
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        near = difflib.get_close_matches(function, own, n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{path} has no {function!r}.{guess}", f"It has {', '.join(own) or 'no function'}.")
    summary = (inspect.getdoc(made_by) or "").partition("\n")[0]
    return _entry(f"{path.name}:{function}", summary, sources.digits, version_1, made_by, sources, str(path))


@cache
def _module(path: Path, source: bytes, version: str) -> tuple[ModuleType, str]:
    """Return a user's file as a module, and its version under identity scheme 1.

    That version is the digits of its content and of the neighbours that it imports at once.

    The module is in a package made for it. ``from . import neighbour`` therefore works, and neither module
    takes the name of another. The file is compiled from the bytes that were hashed, since bytecode left
    beside it could be older.

    Raises:
        UsageError: the file raises an error when it is imported.
    """
    digits = hashlib.blake2b(f"{path}\0{version}".encode(), digest_size=8).hexdigest()
    package = ModuleType(f"surrobench_user_{digits}")
    package.__path__ = [str(path.parent)]
    sys.modules[package.__name__] = package
    spec = importlib.util.spec_from_file_location(f"{package.__name__}.{path.stem}", path)
    assert spec is not None, "its name ends in .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    try:
        with foreign_code():
            exec(compile(source, path, "exec"), module.__dict__)
    except Raised as raised:
        for name in [name for name in sys.modules if name.startswith(package.__name__)]:
            del sys.modules[name]
        raise UsageError(
            f"{path} cannot be imported: {in_one_line(raised.error)}.", "Mend it, and try again."
        ) from None
    digest = hashlib.blake2b(source, digest_size=8)
    for name in sorted(name for name in sys.modules if name.startswith(f"{package.__name__}.")):
        neighbour = getattr(sys.modules[name], "__file__", None)
        if neighbour and name != spec.name:
            digest.update(Path(neighbour).read_bytes())
    return module, digest.hexdigest()


# ---------------------------------------------------------------------- from a package


def offered() -> dict[str, EntryPoint]:
    """Return the optimizers that installed packages offer, by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def from_package(point: EntryPoint) -> UserOptimizer:
    """Import and return the optimizer of an entry point.

    Raises:
        UsageError: the optimizer cannot be imported. The message is one line.
    """
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.module
    try:
        with foreign_code():
            made_by = point.load()
    except Raised as raised:
        raise UsageError(
            f"Optimizer {point.name!r} of {package} cannot be imported: {in_one_line(raised.error)}.",
            f"Upgrade that package, or uninstall it ({point.value}).",
        ) from None
    summary = (inspect.getdoc(made_by) or "").partition("\n")[0]
    sources = sources_of_module(point.module)
    version = package if sources is None else sources.digits
    return _entry(point.name, f"{summary} ({package})".lstrip(), version, package, made_by, sources)


def _entry(
    target: str,
    summary: str,
    version: str,
    version_1: str,
    made_by: Callable[..., Any],
    sources: Sources | None,
    file: str | None = None,
) -> UserOptimizer:
    entry = UserOptimizer(
        target,
        summary,
        version,
        seconds=1e-3,
        uses_horizon=_uses_horizon(target, made_by),
        user_defined=True,
        file=file,
        made_by=made_by,
        before=version_1,
        sources=sources,
    )
    entry.signature()  # refuse now what cannot be called
    return entry


def _uses_horizon(target: str, made_by: Callable[..., Any]) -> bool:
    """Return whether the trials of a user's optimizer depend on the budget.

    The optimizer says so by its attribute ``uses_horizon``. If it says nothing, it may look at the budget,
    and another budget is another run. Only what is called with a seed alone never sees the budget.

    Raises:
        UsageError: the attribute is neither true nor false.
    """
    said = getattr(made_by, "uses_horizon", None)
    if said is None:
        try:
            return not _takes_seed(annotated(made_by))
        except (TypeError, ValueError):  # it cannot be called, as ``UserOptimizer.signature`` will say
            return True
    if not isinstance(said, bool):
        raise UsageError(f"{target}.uses_horizon is {said!r}.", "It must be True or False.")
    return said


# ---------------------------------------------------------------------- as a generator


@cache
def _as_steps(name: str, made_by: Callable[..., Any]) -> Callable[..., Steps]:
    """Return what a user wrote as the generator function that the engine drives."""

    def steps(task: Task, rng: Any, **parameters: Any) -> Steps:
        source = name.rpartition(":")[2]
        with task.library.running():
            if _takes_seed(annotated(made_by)):
                method = made_by(seed=int(rng.integers(2**32)), **parameters)
            else:
                method = made_by(task, rng, **parameters)
        if inspect.isgenerator(method):
            yield from method
            return
        if is_sampler(method):
            yield from ask_tell(task, source, lambda: OptunaStudy(task, method))
            return
        if not (hasattr(method, "ask") and hasattr(method, "tell")):
            raise UsageError(
                f"{name} made a {type(method).__name__}, which is no optimizer.",
                "It must be a generator, a sampler of Optuna, or something with ask() and tell().",
            )
        yield from ask_tell(task, source, lambda: Translated(method, task.space))

    return steps
