"""Read and check a suite: a study as a TOML file in ``suites/``."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from surrobench import optimizers
from surrobench.benchmarks import expand, located
from surrobench.benchmarks.base import Noise
from surrobench.budget import UNLIMITED, Budget
from surrobench.claims import Claim, Pair
from surrobench.errors import DataError, SuiteError, UsageError
from surrobench.given import given
from surrobench.llm.models import ModelSpec
from surrobench.llm.view import Variant
from surrobench.optimizers import optimizer
from surrobench.optimizers.control import CONTROLS, PREFIX, control_named
from surrobench.paths import data_dir, find_file


class _Misfit(ValueError):
    """A value that is well-formed but fits nothing else in the suite; ``keys`` say where it stands."""

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.keys = keys


class Method(BaseModel):
    """``[optimizers.LABEL]``: one method of the study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str | None = None
    """The optimizer's name; the label itself where not given."""
    seeds: int | None = Field(default=None, ge=1)
    """Fewer or more repetitions than the study's."""
    trials: int | None = Field(default=None, ge=1)
    """Fewer trials than the study's, for a method that is too dear."""
    models: list[str] = Field(default_factory=list)
    """Labels of the language models it is run with; ``control:random``, ``control:default`` and
    ``control:tpe`` let that stand in for the model, in the same turns (``optimizers.control``)."""
    variants: list[Variant] | None = Field(default=None, min_length=1)
    """What the models are shown, each for itself; the study's where not given."""
    parameters: dict[str, Any] = Field(default_factory=dict)


class Suite(BaseModel):
    """A study: which methods, on which benchmarks, with which budget and seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    description: str = ""
    benchmarks: list[str] = Field(min_length=1)
    """Ids or patterns such as ``hpobench/mlp/*``."""
    missing: Literal["error", "skip"] = "error"
    """What happens to benchmarks whose data is not on this machine: ``skip`` leaves them out, and they are
    listed."""
    planned: str = ""
    """Why the suite cannot be run yet, for one that is only listed."""
    trials: int | None = Field(default=None, ge=1)
    """Budget of a run in trials, the initial design included. A run ends at the first limit it reaches."""
    equivalents: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """... in full-fidelity equivalents: a trial at a tenth of the full fidelity counts as a tenth."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """... in simulated seconds on the run's workers."""
    tokens: int | None = Field(default=None, ge=1)
    """... in tokens of the language model, in and out."""
    workers: int = Field(default=1, ge=1)
    """Trials that can be under way at a time, in simulated time."""
    overhead: bool = False
    """Whether the optimizer's thinking and the model's latency count as simulated time."""
    seeds: int = Field(ge=1)
    """Repetitions: seeds 0 .. seeds - 1."""
    initial: str = Field(
        default="default", pattern=r"^(none|default|file:.+|(random|design:sobol):[1-9][0-9]*)$"
    )
    """What every method starts from: ``none``, ``default``, ``random:k``, ``design:sobol:k``, or
    ``file:PATH``, what a file gives for each benchmark and seed (``surrobench.given``)."""
    noise: Noise = "seeded"
    control: str = "random"
    """The method that all others are compared with; fixed here, never chosen by the results."""
    variants: list[Variant] = Field(default=["full"], min_length=1)
    """What language models are shown of a task, each for itself: ``full``, ``no-dataset``, ``anonymous``,
    ``misleading`` (``llm.view``)."""
    invalid: str = Field(default="waste", pattern=r"^(waste|clip|retry:[1-9][0-9]*)$")
    """What happens to a model's reply that is no legal configuration."""
    optimizers: dict[str, Method] = Field(min_length=1)
    models: dict[str, ModelSpec] = Field(default_factory=dict)
    claims: dict[str, Claim] = Field(default_factory=dict)
    """What the study is to decide, stated before it is run; ``surrobench rank`` judges them."""

    @field_validator("optimizers")
    @classmethod
    def _known_optimizers(cls, methods: dict[str, Method]) -> dict[str, Method]:
        files: dict[str, str | None] = {}
        for label, method in methods.items():
            key = "method" if method.method else ""
            try:
                entry = optimizer(method.method or label)
                key = "parameters"
                parameters = entry.resolve(method.parameters)
                if entry.reads and not parameters[entry.reads]:
                    raise UsageError(f'it reads a file: add {entry.reads} = "PATH"')
                if files.setdefault(entry.target, entry.file) != entry.file:
                    key = "method"
                    raise UsageError(f"Two files offer {entry.target}.", "Rename one of the files.")
            except UsageError as error:
                keys = ("optimizers", label, key) if key else ("optimizers", label)
                raise _Misfit(f"{'.'.join(keys)}: {error}", *keys, *error.keys) from error
        return methods

    @field_validator("models")
    @classmethod
    def _no_model_is_a_control(cls, models: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
        for label in models:
            if label.startswith(PREFIX):
                raise _Misfit(f"models.{label}: names that begin with {PREFIX!r} are slot controls", "models")
        return models

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        if self.control not in self.optimizers:
            raise _Misfit(_unknown("control", self.control, self.optimizers), "control")
        for label, method in self.optimizers.items():
            entry = optimizer(method.method or label)
            needs = entry.prompts is not None
            if needs and not method.models:
                raise _Misfit(
                    f'optimizers.{label} needs a language model: add models = ["NAME"]', "optimizers", label
                )
            if method.variants and not method.models:
                message = f"optimizers.{label} has no language model that variants could be shown to"
                raise _Misfit(message, "optimizers", label, "variants")
            if method.models and not needs and not entry.own:
                raise _Misfit(f"optimizers.{label} takes no language model", "optimizers", label, "models")
            for model in method.models:
                if control_named(model) is None and model not in self.models:
                    known = [*self.models, *(f"{PREFIX}{control}" for control in CONTROLS)]
                    message = _unknown(f"model of optimizers.{label}", model, known)
                    raise _Misfit(message, "optimizers", label, "models")
        if self.trials is self.equivalents is self.seconds is None:
            raise _Misfit("a budget is missing: add trials, equivalents or seconds", "trials")
        for label, method in self.optimizers.items():
            entry, horizon = optimizer(method.method or label), self.budget(method).horizon
            if self.granted and self.granted >= horizon:
                raise _Misfit(f"initial = {self.initial!r} leaves nothing of {horizon} trials", "initial")
            if method.models and self.trials is self.equivalents is self.tokens is None:
                # An invalid reply takes no simulated time: it could be asked for ever.
                message = f"optimizers.{label} asks a model: add trials, equivalents or tokens"
                raise _Misfit(message, "optimizers", label)
            if entry.knows_horizon(method.parameters) and not entry.own and horizon == UNLIMITED:
                message = f"optimizers.{label} must know how many trials it has: add trials or equivalents"
                raise _Misfit(message, "optimizers", label)
        return self

    @model_validator(mode="after")
    def _claims_about_the_study(self) -> Suite:
        names = {label: label for label in self.optimizers}
        for label, method in self.optimizers.items():
            for model, variant in self.askings(method):  # as runs.method_name
                shown = "" if variant in (None, "full") else f", {variant}"
                names[f"{label} ({model}{shown})"] = label
        for claim_name, claim in self.claims.items():
            for key, methods in claim.methods.items():
                for name in methods:
                    if name not in names:
                        message = _unknown(f"method of claims.{claim_name}", name, sorted(names))
                        raise _Misfit(message, "claims", claim_name, key)
                    most = self.budget(self.optimizers[names[name]]).trials
                    if claim.after and most and claim.after > most:
                        message = f"claims.{claim_name}: after = {claim.after}, but {name} has {most} trials"
                        raise _Misfit(message, "claims", claim_name, "after")
            if claim.after and claim.after <= self.granted:
                message = f"claims.{claim_name}: after = {claim.after}, but all start with {self.initial!r}"
                raise _Misfit(message, "claims", claim_name, "after")
        return self

    def askings(self, method: Method) -> list[tuple[str | None, Variant | None]]:
        """Each model that a method is run with, and what that is shown; (None, None) if it asks none.

        A slot control reads no prompt: it has no variant.
        """
        if not method.models:
            return [(None, None)]
        return [
            (model, variant)
            for model in method.models
            for variant in ([None] if control_named(model) else (method.variants or self.variants))
        ]

    def budget(self, method: Method) -> Budget:
        """What each run of a method may spend."""
        trials = self.trials if method.trials is None else min(method.trials, self.trials or method.trials)
        return Budget(trials, self.equivalents, self.seconds, self.tokens)

    @property
    def granted(self) -> int:
        """How many trials the initial design has; one from a file: at most."""
        if self.initial.startswith("file:"):
            try:
                return given(self.initial.removeprefix("file:")).largest()
            except UsageError as error:
                raise _Misfit(f"initial: {error}", "initial") from error
        if ":" in self.initial:
            return int(self.initial.rpartition(":")[2])
        return int(self.initial == "default")

    def benchmark_ids(self) -> list[str]:
        """The ids of the study's benchmarks, patterns expanded.

        Raises:
            DataError: data is missing, of any of them, or, with ``missing = "skip"``, of all.
        """
        if self.missing == "error":
            return expand(self.benchmarks)
        here, errors = self.present()
        if not here and errors:
            raise next(iter(errors.values()))
        return expand(here)

    def left_out(self) -> list[str]:
        """Benchmarks and patterns that are left out because their data is missing."""
        return list(self.present()[1]) if self.missing == "skip" else []

    def present(self) -> tuple[list[str], dict[str, DataError]]:
        """The benchmarks whose data is here, and the others with what is missing."""
        here, errors = [], {}
        for pattern in self.benchmarks:
            try:
                expand([pattern])
                here.append(pattern)
            except DataError as error:
                errors[pattern] = error
        return here, errors


def load_suite(name: str) -> tuple[Suite, str]:
    """A suite and its text, from a file or by the name of one in ``suites/``.

    Raises:
        SuiteError: it cannot be read or is not valid; the message names the key, its line and the near miss.
    """
    path = Path(name)
    if not path.is_file():
        own = data_dir("suites") / f"{path.stem}.toml"
        if not own.is_file() or path.suffix not in {"", ".toml"}:
            known = [file.stem for file in sorted(data_dir("suites").glob("*.toml"))]
            near = difflib.get_close_matches(path.stem, known, n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise SuiteError(f"No suite {name!r}.{guess}", f"Name a TOML file, or one of {', '.join(known)}.")
        path = own
    try:
        text = path.read_text()
        return parse_suite(text, str(path), path.parent), text
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from error


def parse_suite(text: str, origin: str = "suite", folder: Path | None = None) -> Suite:
    """A suite from its TOML text.

    Args:
        text: TOML.
        origin: named in errors.
        folder: where the user's own files are looked for first; they are found in the current folder, too.

    Raises:
        SuiteError: see ``load_suite``.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{origin} is not TOML: {error}.") from error
    written = values.get("benchmarks")
    _locate(values, folder)
    try:
        suite = Suite.model_validate(values)
    except ValidationError as error:
        raise SuiteError(f"{origin}: {_first_problem(error, text)}") from None
    for pattern, name in zip(suite.benchmarks, written or (), strict=True):
        try:
            expand([pattern])
        except DataError:
            continue  # the suite is valid; running it says what is missing
        except UsageError as error:
            lines = [number for number, line in enumerate(text.splitlines(), 1) if f'"{name}"' in line]
            where = _at(lines[0] if lines else _line(["benchmarks"], text), text)
            raise SuiteError(f"{origin}: benchmarks: {error.message}{where}", error.remedy) from None
    return suite


def _locate(values: dict[str, Any], folder: Path | None) -> None:
    """Name the user's optimizers, tables and other files by absolute paths; what is ill-formed is left."""
    methods = values.get("optimizers")
    for label, method in methods.items() if isinstance(methods, dict) else []:
        if not isinstance(method, dict):
            continue
        if isinstance(name := method.get("method", label), str) and "method" in method:
            method["method"] = optimizers.located(name, folder)
        if isinstance(parameters := method.get("parameters"), dict) and isinstance(name, str):
            method["parameters"] = optimizers.with_located_file(name, parameters, folder)
    if isinstance(initial := values.get("initial"), str) and initial.startswith("file:"):
        values["initial"] = f"file:{find_file(initial.removeprefix('file:'), folder)}"
    if isinstance(patterns := values.get("benchmarks"), list):
        values["benchmarks"] = [located(p, folder) if isinstance(p, str) else p for p in patterns]


def _first_problem(error: ValidationError, text: str) -> str:
    """The first of pydantic's findings as one line: key, what is wrong, near miss, and where it stands."""
    problems = error.errors()
    # A misspelt key comes before the missing one it was meant to be.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    raised = problem.get("ctx", {}).get("error")
    if isinstance(raised, _Misfit):
        nearest = (_line(list(raised.keys[:n]), text) for n in range(len(raised.keys), 0, -1))
        return str(raised) + _at(next(filter(None, nearest), None), text)
    keys = [str(part) for part in problem["loc"] if isinstance(part, str)]
    key = ".".join(keys) or "the suite"
    if problem["type"] == "extra_forbidden":
        message = _unknown("key", key, _keys_beside(keys))
    elif problem["type"] == "missing":
        message = f"{key} is missing"
    else:
        message = re.sub(r"^Value error, ", "", problem["msg"])
        message = f"{key}: {message}" if keys else message
        if not isinstance(problem["input"], dict):
            message += f", not {problem['input']!r}"
        if problem["type"] == "literal_error":
            known = re.findall("'([^']+)'", problem["ctx"]["expected"])
            near = difflib.get_close_matches(str(problem["input"]), known, n=1, cutoff=0.5)
            message += f"; did you mean {near[0]!r}?" if near else ""
    return message.rstrip(".") + _at(_line(keys, text), text)


def _at(number: int | None, text: str) -> str:
    """The end of a message: the line it is about, or just a full stop where that is not known."""
    return f" (line {number}: {text.splitlines()[number - 1].strip()})" if number else "."


def _keys_beside(keys: list[str]) -> list[str]:
    """The keys that are allowed where an unknown one was found."""
    tables: dict[str, type[BaseModel]] = {"optimizers": Method, "models": ModelSpec, "claims": Claim}
    owner = tables.get(keys[0], Suite) if len(keys) > 1 else Suite
    if owner is Claim and len(keys) > 3:
        owner = Pair
    return list(owner.model_fields)


def _unknown(kind: str, name: str, known: Any) -> str:
    leaf = name.rpartition(".")[2]
    near = difflib.get_close_matches(leaf, list(known), n=1, cutoff=0.5)
    return f"unknown {kind} {name!r}" + (
        f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(known)})"
    )


def _line(keys: list[str], text: str) -> int | None:
    """Number of the line where a key stands: ``key = ...``, or its table's header."""
    if not keys:
        return None
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\]]+)\]", line):
            table = header[1].strip()
            if table == ".".join(keys):
                return number
        elif match := re.match(r"\s*([\w.-]+)\s*=", line):
            here = [*(table.split(".") if table else ()), *match[1].split(".")]
            if here == keys or (here == keys[: len(here)] and len(here) > 1):
                return number
    return None
