"""Read and check a suite: a study as a TOML file in ``suites/``."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from surrobench.benchmarks.base import Noise
from surrobench.benchmarks.configuration_file import configuration_file
from surrobench.benchmarks.registry import expand
from surrobench.errors import DataError, UsageError
from surrobench.llm.models import ModelSpec
from surrobench.llm.prompt_variants import VARIANTS, method_name, variant_folder, variant_name
from surrobench.llm.prompts import user_templates
from surrobench.optimizers.llm.control import CONTROLS, PREFIX, control_named
from surrobench.optimizers.registry import optimizer
from surrobench.protocol.budget import UNLIMITED, Budget
from surrobench.protocol.claim_test import Looks
from surrobench.suite.claims import Claim

SCHEMA_VERSION = 1
"""Counts up when the keys of a suite change their meaning; older suites stay readable."""


def unknown_name(kind: str, name: str, known: Any) -> str:
    """Say that a name is unknown, and which one was probably meant."""
    leaf = name.rpartition(".")[2]
    near = difflib.get_close_matches(leaf, list(known), n=1, cutoff=0.5)
    return f"unknown {kind} {name!r}" + (
        f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(known)})"
    )


class Misfit(ValueError):
    """A well-formed value does not fit the rest of the suite; ``keys`` say where it stands."""

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.keys = keys


class Method(BaseModel):
    """``[optimizers.LABEL]``: one method of the study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str | None = None
    """The name of the optimizer; if it is not given, the label is the name."""
    seeds: int | None = Field(default=None, ge=1)
    """How many seeds this method has, if not as many as the study."""
    trials: int | None = Field(default=None, ge=1)
    """How many trials this method has, if fewer than the study: for a method that is expensive."""
    models: list[str] = Field(default_factory=list)
    """Labels of the language models that the method is run with, each by itself. The slot controls
    ``control:random``, ``control:default`` and ``control:tpe`` stand in for a model, in the same turns."""
    prompts: str | None = None
    """A folder of prompt templates that take the place of the method's own templates of the same names."""
    variants: list[str] | None = Field(default=None, min_length=1)
    """What the models are shown, each variant by itself; if it is not given, as the study says."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the method that differ from its defaults (``surrobench list optimizers``)."""


class Suite(BaseModel):
    """A study: which methods, on which benchmarks, with which budget and seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # It says how to read the suite, and is no part of what is studied: the suite's hash does without it.
    schema_version: int = Field(default=SCHEMA_VERSION, alias="schema", ge=1, strict=True, exclude=True)
    """The version of the suite format that the file is written in. A newer version than surrobench knows is
    refused."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """The name of the study and of its results folder: small letters, digits, ``-`` and ``_``. A file
    that leaves the key out gives the study its own name."""
    description: str = ""
    """What the study is about, in a sentence."""
    benchmarks: list[str] = Field(min_length=1)
    """Benchmarks by id, or by a pattern such as ``hpobench/mlp/*``."""
    missing: Literal["error", "skip"] = "error"
    """What happens if the data of a benchmark is not on this machine: ``skip`` leaves it out and lists it."""
    planned: str = ""
    """Why the suite cannot be run yet. Such a suite is only listed."""
    trials: int | None = Field(default=None, ge=1)
    """How many trials a run has, the initial design included. It ends at the first limit that it reaches."""
    equivalents: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """How many full-fidelity equivalents a run has: a trial at a tenth of the fidelity counts a tenth."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """How many simulated seconds a run has, on its workers."""
    tokens: int | None = Field(default=None, ge=1)
    """How many tokens of the language model a run has, prompts and replies together."""
    workers: int = Field(default=1, ge=1)
    """How many trials can be under way at a time, in simulated time."""
    overhead: bool = False
    """Whether the time that a method thinks, and the latency of its model, count as simulated time."""
    seeds: int = Field(ge=1)
    """How many repetitions each method has on each benchmark. They are numbered from 0."""
    initial: str = Field(
        default="default", pattern=r"^(none|default|file:.+|(random|design:sobol):[1-9][0-9]*)$"
    )
    """What every method starts from: ``none``, ``default``, ``random:k``, ``design:sobol:k``, or
    ``file:PATH``, what a file gives for each benchmark and seed."""
    noise: Noise = "seeded"
    """Which repetition of a table a trial observes: the same for every method (``seeded``), one that is drawn
    at every evaluation (``fresh``), or the mean of all (``mean``)."""
    alpha: float = Field(default=0.05, gt=0, lt=1, exclude=True)
    """The level at which the claims are judged, over all of them."""
    looks: Looks | None = Field(default=None, exclude=True)
    """How often the claims may be judged while the study grows: a number, or ``"unlimited"``. If it is not
    given, the first look at the verdicts confirms and later ones, on more data, explore."""
    control: str = "random"
    """The method that all others are compared with. It is fixed here, never chosen by the results."""
    variants: list[str] = Field(default=["full"], min_length=1)
    """What language models are shown of a task, each variant by itself: ``full``, ``no-dataset``,
    ``anonymous``, ``misleading``, a variant of an installed package, or a folder of prompt templates such as
    ``./mystyle``."""
    invalid: str = Field(default="waste", pattern=r"^(waste|clip|retry:[1-9][0-9]*)$")
    """What happens if a reply is no configuration: it costs a trial (``waste``), the model is asked again
    with the error (``retry:n``), or its values are mended (``clip``)."""
    optimizers: dict[str, Method] = Field(min_length=1)
    """The methods by their labels, a table each: ``[optimizers.LABEL]``."""
    models: dict[str, ModelSpec] = Field(default_factory=dict)
    """The language models by their labels, a table each: ``[models.NAME]``."""
    claims: dict[str, Claim] = Field(default_factory=dict)
    """What the study is to decide, a table each: ``[claims.NAME]``. ``surrobench rank`` judges the claims."""

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
                raise Misfit(f"{'.'.join(keys)}: {error}", *keys, *error.keys) from error
        return methods

    @field_validator("models")
    @classmethod
    def _no_model_is_a_control(cls, models: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
        for label in models:
            if label.startswith(PREFIX):
                raise Misfit(f"models.{label}: names that begin with {PREFIX!r} are slot controls", "models")
        return models

    @field_validator("looks")
    @classmethod
    def _some_looks(cls, looks: Looks | None) -> Looks | None:
        if isinstance(looks, int) and looks < 1:
            raise Misfit(f"looks = {looks}: at least one look is needed", "looks")
        return looks

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        if self.control not in self.optimizers:
            raise Misfit(unknown_name("control", self.control, self.optimizers), "control")
        for label, method in self.optimizers.items():
            entry = optimizer(method.method or label)
            needs = entry.prompts is not None
            if needs and not method.models:
                raise Misfit(
                    f'optimizers.{label} needs a language model: add models = ["NAME"]', "optimizers", label
                )
            if method.variants and not method.models:
                message = f"optimizers.{label} has no language model that variants could be shown to"
                raise Misfit(message, "optimizers", label, "variants")
            self._check_prompts(label, method, entry.prompts)
            if method.models and not needs and not entry.user_defined:
                raise Misfit(f"optimizers.{label} takes no language model", "optimizers", label, "models")
            for model in method.models:
                if control_named(model) is None and model not in self.models:
                    known = [*self.models, *(f"{PREFIX}{control}" for control in CONTROLS)]
                    message = unknown_name(f"model of optimizers.{label}", model, known)
                    raise Misfit(message, "optimizers", label, "models")
        if self.trials is self.equivalents is self.seconds is None:
            raise Misfit("a budget is missing: add trials, equivalents or seconds", "trials")
        for label, method in self.optimizers.items():
            entry, horizon = optimizer(method.method or label), self.budget(method).horizon
            if self.granted and self.granted >= horizon:
                raise Misfit(f"initial = {self.initial!r} leaves nothing of {horizon} trials", "initial")
            if method.models and self.trials is self.equivalents is self.tokens is None:
                # An invalid reply takes no simulated time: it could be asked for ever.
                message = f"optimizers.{label} asks a model: add trials, equivalents or tokens"
                raise Misfit(message, "optimizers", label)
            if entry.knows_horizon(method.parameters) and not entry.user_defined and horizon == UNLIMITED:
                message = f"optimizers.{label} must know how many trials it has: add trials or equivalents"
                raise Misfit(message, "optimizers", label)
        return self

    def _check_prompts(self, label: str, method: Method, own: str | None) -> None:
        """See that a method's variants are known, and that every folder of templates fits the method.

        Args:
            label: the method's label.
            method: the method.
            own: the folder of the method's own templates, if it has any.

        Raises:
            Misfit: a variant is unknown, or a folder does not fit.
        """
        if method.prompts and own is None:
            message = f"optimizers.{label} has no prompts that could be replaced"
            raise Misfit(message, "optimizers", label, "prompts")
        at = ("optimizers", label, "variants") if method.variants else ("variants",)
        written = (method.variants or self.variants) if method.models else []
        try:
            folders = [variant_folder(variant) for variant in written]
            if method.prompts and own:
                at = ("optimizers", label, "prompts")
                user_templates(Path(method.prompts), own)
            at = ("optimizers", label, "variants") if method.variants else ("variants",)
            names = [variant_name(variant) for variant in written]
            for name, variant, folder in zip(names, written, folders, strict=True):
                if names.count(name) > 1 or (name in VARIANTS and name != variant):
                    raise UsageError(
                        f"Two prompt variants are called {name!r}.",
                        "Name each variant once, and give folders names of their own.",
                    )
                if folder and own is None:
                    raise UsageError(f"{label} has no prompts that {name} could replace.")
                if folder and own:
                    user_templates(folder, own)
        except UsageError as error:
            raise Misfit(f"{'.'.join(at)}: {error}", *at) from error

    def replaced_prompts(self, method: Method, variant: str | None, own: str | None) -> dict[str, str]:
        """Return the user's templates that a method is run with, by file name; those of the variant win.

        Args:
            method: the method.
            variant: the name of the variant, see ``askings``; None for a slot control, which reads no prompt.
            own: the folder of the method's own templates, if it has any.
        """
        if variant is None or own is None:
            return {}
        written = {variant_name(name): name for name in method.variants or self.variants}
        folders = [Path(method.prompts) if method.prompts else None, variant_folder(written[variant])]
        replaced: dict[str, str] = {}
        for folder in filter(None, folders):
            replaced |= user_templates(folder, own)
        return replaced

    @model_validator(mode="after")
    def _claims_about_the_study(self) -> Suite:
        names = {label: label for label in self.optimizers}
        for label, method in self.optimizers.items():
            for model, variant in self.askings(method):
                names[method_name(label, model, variant)] = label
        for claim_name, claim in self.claims.items():
            for key, methods in claim.methods.items():
                for name in methods:
                    if name not in names:
                        message = unknown_name(f"method of claims.{claim_name}", name, sorted(names))
                        raise Misfit(message, "claims", claim_name, key)
                    most = self.budget(self.optimizers[names[name]]).trials
                    if claim.after and most and claim.after > most:
                        message = f"claims.{claim_name}: after = {claim.after}, but {name} has {most} trials"
                        raise Misfit(message, "claims", claim_name, "after")
            if claim.after and claim.after <= self.granted:
                message = f"claims.{claim_name}: after = {claim.after}, but all start with {self.initial!r}"
                raise Misfit(message, "claims", claim_name, "after")
        return self

    def askings(self, method: Method) -> list[tuple[str | None, str | None]]:
        """Return each model that a method is run with, and the prompt variant that the model is shown.

        A method without a model has (None, None). A slot control reads no prompt, and so has no variant.
        """
        if not method.models:
            return [(None, None)]
        return [
            (model, variant)
            for model in method.models
            for variant in (
                [None] if control_named(model) else map(variant_name, method.variants or self.variants)
            )
        ]

    def budget(self, method: Method) -> Budget:
        """Return what each run of a method may spend."""
        trials = self.trials if method.trials is None else min(method.trials, self.trials or method.trials)
        return Budget(trials, self.equivalents, self.seconds, self.tokens)

    @property
    def granted(self) -> int:
        """How many trials the initial design has; if it is from a file, how many it has at most.

        Raises:
            Misfit: the file cannot be read.
        """
        if self.initial.startswith("file:"):
            try:
                return configuration_file(self.initial.removeprefix("file:")).largest()
            except UsageError as error:
                raise Misfit(f"initial: {error}", "initial") from error
        if ":" in self.initial:
            return int(self.initial.rpartition(":")[2])
        return int(self.initial == "default")

    def benchmark_ids(self) -> list[str]:
        """Return the ids of the study's benchmarks, with patterns expanded.

        Raises:
            DataError: the data of a benchmark is missing; with ``missing = "skip"``, the data of all.
        """
        if self.missing == "error":
            return expand(self.benchmarks)
        here, errors = self.present()
        if not here and errors:
            raise next(iter(errors.values()))
        return expand(here)

    def left_out(self) -> list[str]:
        """Return the benchmarks and patterns that are left out because their data is missing."""
        return list(self.present()[1]) if self.missing == "skip" else []

    def present(self) -> tuple[list[str], dict[str, DataError]]:
        """Divide the benchmarks by whether their data is here.

        Returns:
            here: the benchmarks and patterns whose data is here.
            errors: the others, each with the error that says what is missing.
        """
        here, errors = [], {}
        for pattern in self.benchmarks:
            try:
                expand([pattern])
                here.append(pattern)
            except DataError as error:
                errors[pattern] = error
        return here, errors
