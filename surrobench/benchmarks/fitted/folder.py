"""Read and check a folder that ``surrobench fit`` wrote.

``surrogate.json`` says what the surrogate is (``Facts``). Beside it stands an ONNX model for each objective
and each refit, one for the cost, and one for the noise, where it is not constant. Each file's digest is in
``surrogate.json``, so that a folder whose content changed is noticed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from ConfigSpace import ConfigurationSpace
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from surrobench.errors import DataError, in_one_line
from surrobench.untrusted import load_json

FACTS = "surrogate.json"
MEAN = "surrogate"
"""The instance that is the chosen model, fitted to all trials."""


class ObjectiveFacts(BaseModel):
    """An objective: its name, its direction, and the constant part of its noise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    minimize: bool
    sigma: float = Field(ge=0)
    """The standard deviation of an observation where the noise has no model of its own."""
    noise_model: str | None = None
    """The file of the model of the standard deviation, if it differs from place to place."""


class FidelityFacts(BaseModel):
    """The fidelity that trials were measured at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    lower: float = Field(gt=0)
    upper: float
    integer: bool


class Facts(BaseModel):
    """What a fitted surrogate is, and what it rests on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1]
    title: str
    space: dict[str, Any]
    """The search space as ConfigSpace writes it."""
    objectives: list[ObjectiveFacts] = Field(min_length=1)
    """The first one is optimized."""
    fidelity: FidelityFacts | None = None
    models: dict[str, list[str]]
    """Instance -> a file for each objective."""
    cost_model: str | None = None
    """The file of the model of log(seconds); without it, a trial at full fidelity costs 1."""
    learner: str | None = None
    """The learner that is tuned, in words, for prompts."""
    default: list[float | None]
    """The measured configuration that is nearest to the middle of all ranges, in the vector encoding."""
    files: dict[str, str]
    """File -> the hexadecimal BLAKE2b digest of its content, 32 digits."""
    report: dict[str, Any]
    """How good the surrogate is, see ``surrobench.fitting.quality``."""

    def config_space(self) -> ConfigurationSpace:
        """Return the search space."""
        return ConfigurationSpace.from_serialized_dict(self.space)


def digest(content: bytes) -> str:
    """Return 32 hexadecimal digits of a file's content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_facts(folder: Path) -> Facts:
    """Return what a folder says of its surrogate.

    Raises:
        DataError: the folder holds none, or a damaged or newer one; one line.
    """
    file = folder / FACTS
    try:
        return Facts.model_validate(load_json(file.read_bytes()))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise DataError(f"{file} is not understood: {where}: {problem['msg']}.") from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} holds no fitted surrogate: {getattr(error, 'strerror', None) or in_one_line(error)}.",
            "Make one with: surrobench fit SOURCE --out FOLDER",
        ) from None


def read_file(folder: Path, facts: Facts, name: str) -> bytes:
    """Return a file of a folder.

    Raises:
        DataError: the file is missing, or is not what it was when the surrogate was fitted.
    """
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise DataError(f"{folder / name} cannot be read: {error.strerror}.") from None
    if facts.files.get(name) != digest(content):
        raise DataError(f"{folder / name} is damaged, or belongs to another surrogate.", "Fit it again.")
    return content


def identity(facts: Facts) -> str:
    """Return eight hexadecimal digits of all that decides what the surrogate answers."""
    told = facts.model_dump_json(exclude={"report", "title", "learner"})
    return digest(told.encode())[:8]
