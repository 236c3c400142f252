"""Read a suite from TOML, and say where in the file an error is."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from surrobench.benchmarks.registry import expand, located
from surrobench.errors import DataError, SuiteError, UsageError
from surrobench.llm.address import without_secrets
from surrobench.llm.models import ModelSpec
from surrobench.llm.prompt_variants import is_folder
from surrobench.optimizers import registry as optimizers
from surrobench.paths import data_dir, find_file, find_folder
from surrobench.plain_files import read_text
from surrobench.suite.claims import Claim, Pair
from surrobench.suite.schema import SCHEMA_VERSION, Method, Misfit, Suite, unknown_name
from surrobench.untrusted import load_toml


def load_suite(name: str) -> tuple[Suite, str]:
    """Read a suite from a file, or by the name of a file in ``suites/``.

    Returns:
        suite: the suite.
        text: the text of its file.

    Raises:
        SuiteError: the suite cannot be read or is not valid; the message names the key, its line and the near
            miss.
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
        text = read_text(path)
        return parse_suite(text, str(path), path.parent), text
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from error


def parse_suite(text: str, origin: str = "suite", folder: Path | None = None) -> Suite:
    """Read a suite from its TOML text.

    Args:
        text: the TOML text.
        origin: what errors call the text. The name of a TOML file also names the study, if nothing else does.
        folder: where the user's own files are looked for first; they are found in the current folder, too.

    Raises:
        SuiteError: see ``load_suite``.
    """
    try:
        values = load_toml(text)
    except ValueError as error:
        raise SuiteError(f"{origin} is not TOML: {error}.") from error
    if origin.endswith(".toml"):
        values.setdefault("name", Path(origin).stem)
    return _checked(values, text, origin, folder)


def suite_from_dict(values: Mapping[str, Any], folder: Path | None = None) -> tuple[Suite, str]:
    """Return the suite that a dictionary says, with the content of a TOML file, and that file's text.

    Args:
        values: keys and values as in TOML; keys with the value None count as left out.
        folder: where the user's own files are looked for first.

    Raises:
        SuiteError: it is no valid suite; the message names the key.
    """
    try:
        text = "".join(
            f"{json.dumps(key)} = {_toml(value)}\n" for key, value in values.items() if value is not None
        )
        values = load_toml(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise SuiteError(f"The suite has a value that TOML does not know: {error}.") from None
    return _checked(values, "", "The suite", folder), text


def _toml(value: Any) -> str:
    """Return a value as TOML on one line.

    Raises:
        TypeError: TOML has no such value.
    """
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(str(key))} = {_toml(of)}" for key, of in value.items() if of is not None)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple | range):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, str | int):
        return json.dumps(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def _checked(values: dict[str, Any], text: str, origin: str, folder: Path | None) -> Suite:
    """Return the suite that parsed TOML says; see ``parse_suite`` for arguments and errors."""
    schema = values.get("schema")
    if isinstance(schema, int) and schema > SCHEMA_VERSION:  # before its unknown keys are found wrong
        where = _at(_line(["schema"], text), text).rstrip(".")
        raise SuiteError(f"{origin} is written for a newer surrobench{where}.", "Upgrade surrobench.")
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
    """Name the user's optimizers, tables and other files by absolute paths; ill-formed values are left."""
    methods = values.get("optimizers")
    for label, method in methods.items() if isinstance(methods, dict) else []:
        if not isinstance(method, dict):
            continue
        _locate_prompts(method, folder)
        if isinstance(name := method.get("method", label), str) and "method" in method:
            method["method"] = optimizers.located(name, folder)
        if isinstance(parameters := method.get("parameters"), dict) and isinstance(name, str):
            method["parameters"] = optimizers.with_located_file(name, parameters, folder)
    _locate_prompts(values, folder)
    if isinstance(initial := values.get("initial"), str) and initial.startswith("file:"):
        values["initial"] = f"file:{find_file(initial.removeprefix('file:'), folder)}"
    if isinstance(patterns := values.get("benchmarks"), list):
        values["benchmarks"] = [located(p, folder) if isinstance(p, str) else p for p in patterns]


def _locate_prompts(values: dict[str, Any], folder: Path | None) -> None:
    """Name folders of prompts by absolute paths, in place."""
    if isinstance(prompts := values.get("prompts"), str):
        values["prompts"] = str(find_folder(prompts, folder))
    if isinstance(variants := values.get("variants"), list):
        values["variants"] = [
            str(find_folder(v, folder)) if isinstance(v, str) and is_folder(v) else v for v in variants
        ]


def _first_problem(error: ValidationError, text: str) -> str:
    """Return the first of pydantic's findings as one line: key, what is wrong, near miss, and line."""
    problems = error.errors()
    # A misspelt key comes before the missing one it was meant to be.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    raised = problem.get("ctx", {}).get("error")
    if isinstance(raised, Misfit):
        nearest = (_line(list(raised.keys[:n]), text) for n in range(len(raised.keys), 0, -1))
        return str(raised) + _at(next(filter(None, nearest), None), text)
    # Where a value may be of several types, pydantic names the type after the key.
    keys = [part for part in problem["loc"] if isinstance(part, str) and "[" not in part]
    key = ".".join(keys) or "the suite"
    if problem["type"] == "extra_forbidden":
        message = unknown_name("key", key, _keys_beside(keys))
    elif problem["type"] == "missing":
        message = f"{key} is missing"
    else:
        message = re.sub(r"^Value error, ", "", problem["msg"])
        message = f"{key}: {message}" if keys else message
        if not isinstance(problem["input"], dict) and not message.endswith("."):  # a whole sentence says it
            message += f", not {problem['input']!r}"
        if problem["type"] == "literal_error":
            known = re.findall("'([^']+)'", problem["ctx"]["expected"])
            near = difflib.get_close_matches(str(problem["input"]), known, n=1, cutoff=0.5)
            message += f"; did you mean {near[0]!r}?" if near else ""
    return without_secrets(message.rstrip(".") + _at(_line(keys, text), text))


def _at(number: int | None, text: str) -> str:
    """Return the end of a message: the line that it is about, or a full stop if the line is not known."""
    return f" (line {number}: {text.splitlines()[number - 1].strip()})" if number else "."


def _keys_beside(keys: list[str]) -> list[str]:
    """Return the keys that are allowed where an unknown one was found."""
    tables: dict[str, type[BaseModel]] = {"optimizers": Method, "models": ModelSpec, "claims": Claim}
    owner = tables.get(keys[0], Suite) if len(keys) > 1 else Suite
    if owner is Claim and len(keys) > 3:
        owner = Pair
    return [field.alias or key for key, field in owner.model_fields.items()]


def _line(keys: list[str], text: str) -> int | None:
    """Return the number of the line where a key stands: ``key = ...``, or its table's header."""
    if not keys:
        return None
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[(.+)\]\s*(#.*)?$", line):
            table = header[1].strip().replace('"', "")
            if table == ".".join(keys):
                return number
        elif match := re.match(r"\s*([\w.-]+)\s*=", line):
            here = [*(table.split(".") if table else ()), *match[1].split(".")]
            if here == keys or (here == keys[: len(here)] and len(here) > 1):
                return number
    return None
