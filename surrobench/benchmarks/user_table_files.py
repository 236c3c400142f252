"""Read a user's table from a file, CSV or Parquet, check it, and bring it into one form.

In that form a column's name says what it is:

    config.NAME                      a hyperparameter
    minimize.NAME, maximize.NAME     an objective with its direction; the first one is optimized
    fidelity.NAME                    epochs, share of the data, ... (optional; the largest value is full)
    cost                             the seconds that the trial took (optional)
    repetition                       seed or fold, if there are several rows of a configuration (optional)
    instance                         data set, if there are several (optional)

A file whose columns have other names is described by a TOML file beside it (``Description``).
"""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from surrobench.errors import DataError
from surrobench.plain_files import plain, read_csv, read_parquet, read_text
from surrobench.untrusted import load_toml

SUFFIXES = (".csv", ".parquet", ".toml")
PREFIXES = ("config", "minimize", "maximize", "fidelity")
SINGLE = ("cost", "repetition", "instance")
_FORM = (
    "A column is config.NAME, minimize.NAME, maximize.NAME, fidelity.NAME, cost, repetition or instance; "
    "a TOML file can describe a table with other names."
)


class Description(BaseModel):
    """A TOML file that says what the columns of a table mean, if the table has column names of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    """The table's path, relative to the folder of this TOML file."""
    hyperparameters: list[str] = Field(min_length=1)
    objectives: dict[str, Literal["min", "max"]] = Field(min_length=1)
    """Column -> the direction that is better; the first objective is optimized."""
    fidelities: list[str] = Field(default_factory=list)
    """The columns that are fidelities. The first one is the one that multi-fidelity methods vary."""
    cost: str | None = None
    repetition: str | None = None
    instance: str | None = None
    log: list[str] | None = None
    """The hyperparameters on a log scale, if the values themselves should not decide."""
    learner: str | None = None
    """The learner that is tuned, in words, for prompts."""
    test: dict[str, str] = Field(default_factory=dict)
    """Validation objective -> the objective that measures the same on test data, see ``Scenario``."""

    def columns(self) -> dict[str, str]:
        """Return each column of the table -> its name in the one form."""
        names = {name: f"config.{name}" for name in self.hyperparameters}
        names |= {name: f"{way}imize.{name}" for name, way in self.objectives.items()}
        names |= {name: f"fidelity.{name}" for name in self.fidelities}
        for role in SINGLE:
            if (name := getattr(self, role)) is not None:
                names[name] = role
        return names


class Facts(BaseModel):
    """What is known of a table in addition to its rows. It is kept in the Parquet file's metadata."""

    model_config = ConfigDict(frozen=True)

    log: list[str] | None = None
    learner: str | None = None
    test: dict[str, str] = Field(default_factory=dict)


def fingerprint(path: Path) -> str:
    """Return eight hexadecimal digits of all bytes that say what the table is.

    Raises:
        DataError: a file is missing.
    """
    digest = hashlib.blake2b(digest_size=4)
    for part in _parts(path):
        try:
            with plain(part).open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise _unreadable(part, error.strerror or str(error)) from None
    return digest.hexdigest()


def read_table(path: Path) -> tuple[pl.DataFrame, Facts]:
    """Return a user's table in the one form, checked.

    Raises:
        DataError: the table is missing or damaged, a column has no role, or a value is missing or doubled;
            the message is one line.
    """
    if path.suffix == ".toml":
        described = _description(path)
        table = path.parent / described.file
        frame = _renamed(_read(table), described, path)
        facts = Facts(log=described.log, learner=described.learner, test=described.test)
    else:
        frame, facts = _read(path), Facts()
    frame = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    check(frame, path.name)
    return frame, facts


def check(frame: pl.DataFrame, name: str) -> None:
    """Refuse a table in which something is unclear; ``name`` is what the message calls the table.

    Raises:
        DataError: a column has no role, a value is missing, or a row is doubled.
    """
    for column in frame.columns:
        prefix, dot, rest = column.partition(".")
        if column in SINGLE or (dot and rest and prefix in PREFIXES):
            continue
        if prefix == "objective":
            raise DataError(
                f"{name}: which way is {column} better?", f"Call it minimize.{rest} or maximize.{rest}."
            )
        near = difflib.get_close_matches(column, [*SINGLE, *(f"{known}.{rest}" for known in PREFIXES)], n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"{name}: column {column!r} says nothing about what it is.{guess}", _FORM)
    for role, needed in {"hyperparameter": ("config",), "objective": ("minimize", "maximize")}.items():
        if not named(frame, *needed):
            raise DataError(f"{name} has no {role} ({needed[0]}.NAME).", _FORM)
    if frame.is_empty():
        raise DataError(f"{name} has no rows.")
    objectives = [column.partition(".")[2] for column in named(frame, "minimize", "maximize")]
    if len(set(objectives)) < len(objectives) or "cost" in objectives:
        raise DataError(f"{name}: two columns would be called the same objective.", "Rename one of them.")
    for column in frame.columns:
        _check_column(frame[column], name)
    _check_rows(frame, name)


def named(frame: pl.DataFrame, *prefixes: str) -> list[str]:
    """Return the columns with one of these prefixes, in the table's order."""
    return [column for column in frame.columns if "." in column and column.partition(".")[0] in prefixes]


# ---------------------------------------------------------------------- reading


def _parts(path: Path) -> list[Path]:
    return [path, path.parent / _description(path).file] if path.suffix == ".toml" else [path]


def _description(path: Path) -> Description:
    try:
        values = load_toml(read_text(path))
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from None
    for key in values:
        if key not in Description.model_fields:
            near = difflib.get_close_matches(key, Description.model_fields, n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join(Description.model_fields)
            raise DataError(f"{path.name}: unknown key {key!r}.{guess}", f"Known: {known}.")
    try:
        return Description.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise DataError(f"{path.name}: {key}: {problem['msg']}.", "See docs/how-to/own-table.md.") from None


def _read(path: Path) -> pl.DataFrame:
    if path.suffix not in {".csv", ".parquet"}:
        raise DataError(f"{path.name} is no table.", "A table is a .csv or a .parquet file.")
    try:
        if path.suffix == ".csv":
            return read_csv(path, infer_schema_length=None)
        return read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from None


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(f"The table {path} cannot be read: {' '.join(reason.split()).rstrip('.')}.")


def _renamed(frame: pl.DataFrame, described: Description, path: Path) -> pl.DataFrame:
    wanted = [*described.hyperparameters, *described.objectives, *described.fidelities]
    wanted += [name for role in SINGLE if (name := getattr(described, role)) is not None]
    if doubled := [name for name in wanted if wanted.count(name) > 1]:
        raise DataError(f"{path.name} names column {doubled[0]!r} twice.", "A column is one thing.")
    for name in wanted:
        if name not in frame.columns:
            near = difflib.get_close_matches(name, frame.columns, n=1, cutoff=0.5)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"{path.name}: {described.file} has no column {name!r}.{guess}",
                f"It has {', '.join(frame.columns)}.",
            )
    unknown = [name for name in described.log or () if name not in described.hyperparameters]
    if unknown:
        raise DataError(f"{path.name}: log names {unknown[0]!r}, which is no hyperparameter.")
    unknown = [name for pair in described.test.items() for name in pair if name not in described.objectives]
    if unknown:
        raise DataError(f"{path.name}: test names {unknown[0]!r}, which is no objective.")
    return frame.select(pl.col(name).alias(new) for name, new in described.columns().items())


# ---------------------------------------------------------------------- checks


def _check_column(values: pl.Series, table: str) -> None:
    column = values.name
    prefix = column.partition(".")[0]
    number = values.dtype.is_numeric()
    if prefix == "config":
        if not (number or values.dtype in {pl.String, pl.Boolean}):
            raise DataError(f"{table}: {column} holds neither numbers, words nor truth values.")
    elif prefix in {"minimize", "maximize", "fidelity", "cost"} and not number:
        words = values.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False).is_null()
        row = int((words & values.is_not_null()).arg_max() or 0)
        raise DataError(f"{table}: {column} must be numbers, but row {row + 1} has {values[row]!r}.")
    missing = values.is_null()
    if number:
        missing |= ~values.cast(pl.Float64).is_finite().fill_null(False)
    if missing.any():
        remedy = {
            "config": "Hyperparameters that are inactive at times are not supported: give them a value.",
            "minimize": "Leave failed trials out, or give them the value that a failure counts as.",
            "maximize": "Leave failed trials out, or give them the value that a failure counts as.",
        }.get(prefix, "Give it one, or leave the column out.")
        raise DataError(f"{table}: {column} has no value in row {missing.arg_true()[0] + 1}.", remedy)
    if prefix == "fidelity" and (values.n_unique() == 1 or float(values.min()) <= 0):  # type: ignore[arg-type]
        raise DataError(
            f"{table}: {column} must have several values, all positive.", "Leave it out otherwise."
        )
    if column == "cost" and float(values.min()) < 0:  # type: ignore[arg-type]
        raise DataError(f"{table}: cost must be seconds, but the lowest is {values.min()!r}.")
    if column == "instance":
        odd = values.cast(pl.String).str.contains(r"[/*?\[\]\s]|^$")
        if odd.any():
            name = values.filter(odd)[0]
            raise DataError(
                f"{table}: {name!r} is no name of an instance.", "It must have no space, /, *, ? or bracket."
            )


def _check_rows(frame: pl.DataFrame, table: str) -> None:
    keys = [*named(frame, "config", "fidelity"), *({"instance", "repetition"} & set(frame.columns))]
    doubled = frame.select(pl.struct(keys).is_duplicated()).to_series()
    if doubled.any():
        first = int(doubled.arg_true()[0])
        same = frame.select(
            pl.all_horizontal(pl.col(key) == frame[key][first] for key in keys).arg_true()
        ).to_series()
        remedy = (
            "Give each its own number."
            if "repetition" in frame.columns
            else "Number them in a column called repetition, or drop one."
        )
        raise DataError(f"{table}: rows {same[0] + 1} and {same[1] + 1} are the same configuration.", remedy)
