"""Render prompts from Jinja2 templates, and hash the templates into the identity of every run.

The templates of a method are in ``prompts/METHOD/``; those in ``prompts/common/`` are shared by all methods.
A user may replace any of them by files of the same names in a folder of the user's own: see
``user_templates``.

Templates are rendered in a sandbox: one that comes from somebody else cannot reach Python through the objects
that it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from surrobench.errors import DataError, UnknownName, UsageError
from surrobench.paths import data_dir
from surrobench.plain_files import read_text

COMMON = "common"
"""The folder of the templates that all methods share. They say how a task and a space are described."""
SUFFIX = ".jinja"
TEXT_RULES = 2
"""The version of the rules by which prompts write values and replies are read. It counts up when either
changes, because both shape the trials of a run that asks a model. It is part of the identity of such runs.

A study keeps the rules that it was begun with (``results.manifest.text_rules_of``), and so does its replay.

1. Numbers have three digits, metrics four. The first object of a reply counts, and little in it is mended
   (``first_rules``).
2. Numbers have as many more digits as it takes to tell values apart, and replies are read as
   ``docs/concepts/replies.md`` says.
"""

Replaced = Mapping[str, str]
"""The user's templates, which replace those of a method: file name -> text."""


def prompts_hash(method: str, replaced: Replaced | None = None) -> str:
    """Hash all templates of a method and the common ones, names included.

    Args:
        method: the folder of the method's templates.
        replaced: the user's templates. Only the text counts: a copy of the method's own changes nothing.

    Raises:
        DataError: the method has no templates.
    """
    return _hash(method, _items(replaced))


@cache
def _hash(method: str, replaced: tuple[tuple[str, str], ...]) -> str:
    digest, users = hashlib.blake2b(digest_size=8), dict(replaced)
    for folder, files in _files(method).items():
        for name, file in files.items():
            digest.update(f"{folder}/{name}\0{users[name] if name in users else file.read_text()}\0".encode())
    return digest.hexdigest()


def user_templates(folder: Path, method: str) -> dict[str, str]:
    """Read the templates of a user's folder, which replace those of a method.

    The folder holds files with the names of the method's own templates, or of the common ones. In a folder
    for several methods, a template that is meant for one method alone is in a subfolder ``METHOD/``. Hidden
    files are ignored.

    Args:
        folder: the user's folder.
        method: the folder of the method's own templates.

    Returns:
        Name of a file -> its text.

    Raises:
        UsageError: there is no such folder, it replaces nothing, a file in it is no template of the method
            (the message names the nearest), or a template has a syntax error.
    """
    known = [name for files in _files(method).values() for name in files]
    listed = f"The templates of {method} are {', '.join(known)}."
    found = {}
    for path in _visible(folder):
        if not path.is_dir():
            found[path.name] = path
        elif path.name not in (methods := [known.name for known in _visible(data_dir("prompts"))]):
            raise UnknownName(f"folder in {folder}", path.name, methods)
    if (folder / method).is_dir():
        found |= {path.name: path for path in _visible(folder / method)}
    if not found:
        raise UsageError(f"{folder} replaces no prompt template of {method}.", listed)
    texts = {}
    for name, path in found.items():
        if name not in known:
            raise UnknownName(f"prompt template in {folder}", name, known, listed)
        try:
            texts[name] = read_text(path)
            _environment(method, ()).parse(texts[name])
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The prompt template {path} cannot be read: {error}.") from None
        except jinja2.TemplateSyntaxError as error:
            raise UsageError(f"The prompt template {path}:{error.lineno} is wrong: {error.message}") from None
    return texts


def _visible(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    except OSError as error:
        raise UsageError(f"The folder of prompts {folder} cannot be read: {error.strerror}.") from None


def render(method: str, name: str, replaced: Replaced | None = None, **values: Any) -> str:
    """Render a template of a method, or the user's template in its place.

    Args:
        method: the folder of the method's templates.
        name: the template's file without ``.jinja``.
        replaced: the user's templates.
        values: the template's variables.

    Raises:
        UsageError: a user's template names a variable that it does not get, or fails otherwise.
    """
    try:
        return _template(method, name, _items(replaced)).render(values)
    except Exception as error:
        if not replaced:  # the defect is in a template of surrobench
            raise
        raise UsageError(
            f"The prompt {name}{SUFFIX} of {method} cannot be rendered: {error}.",
            f"It gets the variables {', '.join(sorted(values))}.",
        ) from error


@cache
def _template(method: str, name: str, replaced: tuple[tuple[str, str], ...]) -> jinja2.Template:
    return _environment(method, replaced).get_template(f"{name}{SUFFIX}")


@cache
def _environment(method: str, replaced: tuple[tuple[str, str], ...]) -> jinja2.Environment:
    folders = [data_dir("prompts") / folder for folder in (method, COMMON)]
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.ChoiceLoader([jinja2.DictLoader(dict(replaced)), jinja2.FileSystemLoader(folders)]),
        undefined=jinja2.StrictUndefined,  # a missing variable is an error, never an empty place in a prompt
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["number"] = number
    return environment


def _files(method: str) -> dict[str, dict[str, Path]]:
    """Return the templates of a method and the common ones, by folder and name, in the order of the hash.

    Raises:
        DataError: there are no templates.
    """
    files: dict[str, dict[str, Path]] = {
        folder: {file.name: file for file in sorted((data_dir("prompts") / folder).glob(f"*{SUFFIX}"))}
        for folder in (method, COMMON)
    }
    if not all(files.values()):
        raise DataError(
            f"No prompt templates in {data_dir('prompts') / method}.", "Install surrobench again."
        )
    return files


def _items(replaced: Replaced | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((replaced or {}).items()))


DIGITS = 3
"""How many significant digits a number has at least, if it has so many."""


def number(value: Any, digits: int = DIGITS) -> Any:
    """Return a float with so many significant digits; return any other value as it is."""
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
