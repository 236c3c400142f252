"""Check what the files of a results folder say before anything is made of it.

A folder may come from anywhere, be damaged, or hold files of another one. Each check names the key or the
column that is wrong; who reads the file adds its name. Folders of all earlier versions pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, get_args

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from surrobench.engine.outcome import RunState
from surrobench.untrusted import load_toml


class Unfit(ValueError):
    """What a file holds is not what its kind of file holds."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)

    benchmarks: list[str]
    methods: list[str]
    seeds: int | None


class _Budget(BaseModel):
    model_config = ConfigDict(strict=True)

    workers: int = Field(default=1, ge=1)


class _Suite(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str = Field(min_length=1)
    control: str
    part: _Part | None = None
    whole: dict[str, int | None] | None = None
    budget: _Budget = _Budget()
    claims: dict[str, dict[str, Any]] = Field(default_factory=dict)
    text: str = ""

    @field_validator("text")
    @classmethod
    def _toml(cls, text: str) -> str:
        load_toml(text)
        return text


class _Model(BaseModel):
    model_config = ConfigDict(strict=True)

    model: str
    size: str


class _Session(BaseModel):
    model_config = ConfigDict(strict=True)

    ended: str

    @field_validator("ended")
    @classmethod
    def _time(cls, ended: str) -> str:
        datetime.fromisoformat(ended)
        return ended


class _Manifest(BaseModel):
    """What the package reads of a manifest; all else in it is for people."""

    model_config = ConfigDict(strict=True)

    schema_version: int = Field(ge=1)
    suite: _Suite
    models: dict[str, _Model] = Field(default_factory=dict)
    sessions: list[_Session] = Field(default_factory=list)
    fallbacks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    id_schemes: list[int] = Field(default=[1], min_length=1)


_OFTEN_LEFT_OUT: Mapping[str, Any] = {"models": {}, "sessions": []}
"""Keys of a manifest that are read as if they were always there."""


def checked_manifest(value: Any) -> dict[str, Any]:
    """Return a manifest whose keys are what they should be.

    Raises:
        Unfit: one is not.
    """
    if not isinstance(value, dict):
        raise Unfit("it is no JSON object")
    try:
        _Manifest.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        said = re.sub("^Value error, ", "", problem["msg"])
        raise Unfit(f"{'.'.join(map(str, problem['loc']))}: {said}") from None
    return {**_OFTEN_LEFT_OUT, **value}


_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "benchmark", "method", "optimizer", "initial", "noise", "invalid"), (str,)),
    **dict.fromkeys(("state", "error"), (str,)),
    **dict.fromkeys(("model", "file", "file_version", "variant"), (str, type(None))),
    **dict.fromkeys(("seed", "spent", "workers", "text_rules", "scheme"), (int,)),
    **dict.fromkeys(("trials", "tokens"), (int, type(None))),
    **dict.fromkeys(("equivalents", "seconds"), (int, float, type(None))),
    **dict.fromkeys(("parameters", "given", "answers"), (dict,)),
    **dict.fromkeys(("prompts", "versions"), (dict, type(None))),
    "served": (list, type(None)),
    "overhead": (bool,),
    "thinking": (list,),
}
_NEEDED = ("id", "benchmark", "method", "optimizer", "seed", "state", "error", "spent")


def check_records(columns: Any) -> None:
    """Check the records of a file's runs, as columns.

    Raises:
        Unfit: a column is missing, unknown, of another length or of another type.
    """
    for name in _NEEDED:
        if name not in columns:
            raise Unfit(f"its records have no {name}")
    n = len(columns["id"])
    for name, column in columns.items():
        if name not in _TYPES:
            raise Unfit(f"its records have an unknown field {name!r}")
        if not isinstance(column, list) or len(column) != n:
            raise Unfit(f"its records do not all have {name}")
        _check_types(name, column)
    if len(set(columns["id"])) < n:
        raise Unfit("it records a run twice")
    for name, known in {"state": set(get_args(RunState))}.items():
        if unknown := set(columns[name]) - known:
            raise Unfit(f"its records have the {name} {sorted(unknown)[0]!r}")
    for name in ("seed", "spent"):
        if n and not 0 <= min(columns[name]) <= max(columns[name]) < 2**32:
            raise Unfit(f"its records have an impossible {name}")


def _check_types(name: str, column: Iterable[Any]) -> None:
    allowed = _TYPES[name]
    for found in set(map(type, column)):
        if found not in allowed:
            raise Unfit(f"its records have a {name} that is a {found.__name__}")


def typed(frame: pl.DataFrame, schema: Mapping[str, Any], needed: Iterable[str]) -> pl.DataFrame:
    """Return a table of a results folder with the types that its columns must have.

    Args:
        frame: the table.
        schema: column -> its type; columns that the table lacks are left to the caller.
        needed: columns that must be there, and without gaps.

    Raises:
        Unfit: a column is missing, or holds something else.
    """
    for name in needed:
        if name not in frame.columns:
            raise Unfit(f"it has no column {name!r}")
        if frame[name].has_nulls():
            raise Unfit(f"its column {name!r} has gaps")
    try:
        return frame.with_columns(
            pl.col(name).cast(kind) for name, kind in schema.items() if _differs(frame, name, kind)
        )
    except pl.exceptions.PolarsError:
        wrong = [name for name, kind in schema.items() if not _casts(frame, name, kind)]
        raise Unfit(f"its column {wrong[0] if wrong else '?'!r} holds something else") from None


def check_types(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Check that a table has some columns, each of the kind that it must have.

    Args:
        found: column -> type, of the table.
        wanted: column -> type.

    Raises:
        Unfit: a column is missing, or of another kind: words instead of numbers, say.
    """
    for name, kind in wanted.items():
        if name not in found:
            raise Unfit(f"it has no column {name!r}")
        if found[name] != pl.Null and _kind(found[name]) != _kind(kind):
            raise Unfit(f"its column {name!r} holds {str(found[name]).lower()}")


def _kind(dtype: Any) -> str:
    if dtype.is_integer():
        return "integer"
    return "number" if dtype.is_float() else str(dtype)


def _differs(frame: pl.DataFrame, name: str, kind: Any) -> bool:
    return name in frame.columns and frame.schema[name] != kind


def _casts(frame: pl.DataFrame, name: str, kind: Any) -> bool:
    try:
        frame.select(pl.col(name).cast(kind)) if name in frame.columns else None
    except pl.exceptions.PolarsError:
        return False
    return True
