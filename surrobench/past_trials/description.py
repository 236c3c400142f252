"""Write past trials to two files, a table and a description of its search space that a person can correct.

``ours.parquet`` has the rows, see ``PastTrials.frame``. ``ours.toml`` says which file that is, and what each
hyperparameter is: its kind, its range or values, its scale, and when it is active.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl
from ConfigSpace import (
    CategoricalHyperparameter,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    InCondition,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)
from ConfigSpace.conditions import AndConjunction
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from surrobench.errors import DataError, in_one_line
from surrobench.past_trials.infer import active_where
from surrobench.past_trials.trials import FAILED, REPETITION, PastTrials
from surrobench.plain_files import read_parquet
from surrobench.space.hyperparameter import bounds_of, is_log, supported, values_of
from surrobench.untrusted import load_toml

SUFFIX = ".toml"
Value = bool | int | float | str


class HyperparameterText(BaseModel):
    """A hyperparameter as the description has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["float", "integer", "category", "ordered", "constant"]
    lower: int | float | None = None
    upper: int | float | None = None
    log: bool = False
    """Whether the range, or the distance between ordered numbers, is on a log scale."""
    values: list[Value] = Field(default_factory=list)
    """The categories, the ordered values in their order, or the one value of a constant."""
    active_if: dict[str, list[Value]] = Field(default_factory=dict)
    """Hyperparameter -> its values with which this one is active; all of them must hold."""

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> HyperparameterText:
        ranged = self.type in {"float", "integer"}
        if ranged and (self.lower is None or self.upper is None or not self.lower < self.upper):
            raise ValueError(f"a {self.type} needs lower and upper, lower being smaller")
        if ranged and self.log and self.lower is not None and self.lower <= 0:
            raise ValueError("a log scale has no number that is 0 or less")
        if not ranged and not self.values:
            raise ValueError(f"type {self.type!r} needs values")
        return self


class Description(BaseModel):
    """The description of a table of past trials."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    trials: str
    """The Parquet file with the rows, relative to the folder of the description."""
    space: dict[str, HyperparameterText] = Field(min_length=1)


def write(trials: PastTrials, path: Path) -> list[Path]:
    """Write past trials to ``path``, a TOML file, and to a Parquet file beside it; return both.

    Raises:
        DataError: a file cannot be written.
    """
    table = path.with_suffix(".parquet")
    try:
        trials.frame.write_parquet(table)
        path.write_text(text_of(trials, table.name), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.") from None
    return [path, table]


def text_of(trials: PastTrials, table: str) -> str:
    """Return the description of past trials whose rows are in the file ``table``."""
    lines = [f"# {sentence}" for sentence in trials.summary()]
    lines += ["# Correct what is wrong below, then use this file in place of the source.", ""]
    lines += [f"title = {_text(trials.title)}", f"trials = {_text(table)}"]
    for name in trials.space:
        lines += ["", f"[space.{_text(name)}]", *_described(trials.space, name)]
    return "\n".join(lines) + "\n"


def read(path: Path) -> PastTrials:
    """Return the past trials that a description names.

    Raises:
        DataError: a file is missing or damaged, or they do not fit together; one line.
    """
    try:
        described = Description.model_validate(load_toml(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise DataError(f"{path.name}: {where}: {problem['msg']}.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    table = path.parent / described.trials
    try:
        frame = read_parquet(table)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{table} cannot be read: {in_one_line(error)}.") from None
    space = _space(described.space, path.name)
    found = PastTrials(described.title, space, frame, {}, ())
    missing = [name for name in (FAILED, REPETITION, *(f"config.{n}" for n in space)) if name not in frame]
    if missing or not found.columns("minimize", "maximize"):
        raise DataError(f"{table} has no column {missing[0] if missing else 'minimize.NAME'!r}.")
    return found


# ---------------------------------------------------------------------- TOML


def _text(value: Any) -> str:
    """Return a text, a number, a truth value or a list of these in TOML, which writes them as JSON does."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _described(space: ConfigurationSpace, name: str) -> list[str]:
    """Return the lines of a hyperparameter's table."""
    hyperparameter = supported(space[name])
    values = values_of(hyperparameter)
    kinds: dict[type, str] = {
        UniformFloatHyperparameter: "float",
        UniformIntegerHyperparameter: "integer",
        CategoricalHyperparameter: "category",
        OrdinalHyperparameter: "ordered",
        Constant: "constant",
    }
    lines = [f'type = "{kinds[type(hyperparameter)]}"']
    if values is None:
        low, high = bounds_of(hyperparameter)
        lines += [f"lower = {_text(low)}", f"upper = {_text(high)}"]
    else:
        lines.append(f"values = {_text(list(values))}")
    if is_log(hyperparameter):
        lines.append("log = true")
    parts = [
        f"{_text(condition.parent.name)} = {_text(list(_values(condition)))}"
        for condition in _conditions(space, name)
    ]
    return [*lines, f"active_if = {{ {', '.join(parts)} }}"] if parts else lines


def _conditions(space: ConfigurationSpace, name: str) -> list[Any]:
    """Return the conditions of a hyperparameter, all of which must hold.

    Raises:
        DataError: one of them has no form here.
    """
    found: list[Any] = []
    for condition in space.parent_conditions_of[name]:
        found += condition.components if isinstance(condition, AndConjunction) else [condition]
    for condition in found:
        if not isinstance(condition, EqualsCondition | InCondition):
            raise DataError(f"The condition of {name!r} is neither that a value is equal nor in a list.")
    return found


def _values(condition: Any) -> list[Any]:
    return [condition.value] if isinstance(condition, EqualsCondition) else list(condition.values)


def _space(described: Mapping[str, HyperparameterText], name: str) -> ConfigurationSpace:
    """Return the space that a description states.

    Raises:
        DataError: a condition names what is not there, or ConfigSpace refuses something.
    """
    space = ConfigurationSpace()
    try:
        made = {key: _hyperparameter(key, text) for key, text in described.items()}
        space.add(list(made.values()))
        for key, text in described.items():
            conditions = [active_where(made[key], made[of], values) for of, values in text.active_if.items()]
            if conditions:
                space.add(conditions[0] if len(conditions) == 1 else AndConjunction(*conditions))
    except KeyError as error:
        raise DataError(f"{name}: a condition names {error.args[0]!r}, which is not in the space.") from None
    except Exception as error:  # ConfigSpace has errors of many kinds
        raise DataError(f"{name}: the search space is not possible: {in_one_line(error)}.") from None
    return space


def _hyperparameter(name: str, text: HyperparameterText) -> Any:
    values: Any = text.values
    if text.lower is not None and text.upper is not None:
        ranged = UniformIntegerHyperparameter if text.type == "integer" else UniformFloatHyperparameter
        return ranged(name, text.lower, text.upper, log=text.log)
    if text.type == "category":
        return CategoricalHyperparameter(name, values)
    if text.type == "ordered":
        return OrdinalHyperparameter(name, values, meta={"log": text.log})
    return Constant(name, values[0])
