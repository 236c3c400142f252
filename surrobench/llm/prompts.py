"""Prompt templates: Jinja2 files in ``prompts/<method>/``, hashed into the identity of every run."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import jinja2

from surrobench.errors import DataError
from surrobench.paths import data_dir
from surrobench.space.hyperparameter import Hyperparameter, bounds_of, is_integer, is_log, values_of

COMMON = "common"
"""Folder of the templates that all methods share: how a task and a space are described."""


@cache
def prompts_hash(method: str) -> str:
    """Hash of all templates of a method and of the common ones, names included.

    Raises:
        DataError: there are none.
    """
    digest = hashlib.blake2b(digest_size=8)
    files = sorted((data_dir("prompts") / method).glob("*.jinja"))
    common = sorted((data_dir("prompts") / COMMON).glob("*.jinja"))
    if not (files and common):
        raise DataError(
            f"No prompt templates in {data_dir('prompts') / method}.", "Install surrobench again."
        )
    for file in [*files, *common]:
        digest.update(f"{file.parent.name}/{file.name}\0{file.read_text()}\0".encode())
    return digest.hexdigest()


@cache
def template(method: str, name: str) -> jinja2.Template:
    """One template. A variable it does not get is an error, never an empty place in the prompt."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([data_dir("prompts") / folder for folder in (method, COMMON)]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["number"] = number
    return environment.get_template(f"{name}.jinja")


def number(value: Any) -> Any:
    """A value as prompts show it: floats with three significant digits, everything else as it is.

    One serializer for all methods (``METHODS.md``, confound 10). Three digits tell all grid values of the
    tables apart and cost a small model a third of the tokens of the full representation.
    """
    return float(f"{value:.3g}") if isinstance(value, float) else value


def describe(hp: Hyperparameter) -> str:
    """One hyperparameter for a prompt: its values or range, its type and its scale."""
    choices = values_of(hp)
    if choices is not None:
        listed = ", ".join(str(number(choice)) for choice in choices)
        return f"one of {listed}"
    low, high = bounds_of(hp)
    kind = "integer" if is_integer(hp) else "number"
    return f"{kind} from {number(low)} to {number(high)}{', log scale' if is_log(hp) else ''}"
