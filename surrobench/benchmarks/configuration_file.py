"""Read configurations from a file: the start that every method gets, or the proposals of anybody's method.

The file is a CSV file (``.csv``, ``.csv.gz``) or a Parquet file. It has a row per configuration and the
columns

    benchmark       the id of the benchmark
    seed            the seed of the run that the configuration is for
    trial           integers that give the order within a run
    config.NAME     a hyperparameter; empty if it is inactive. Or all hyperparameters in one column:
    config          the configuration as a JSON object
    method          the method that proposed the configuration (optional)

Further columns are ignored. A run identifies a file by the digits of its content. The folder that holds the
file is no part of the run's identity.
"""

from __future__ import annotations

import difflib
import hashlib
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from surrobench.benchmarks.base import Benchmark
from surrobench.errors import UsageError
from surrobench.plain_files import read_bytes
from surrobench.space.hyperparameter import Configuration, Matrix
from surrobench.untrusted import load_json

SUFFIXES = (".csv", ".csv.gz", ".parquet")
KEYS = ("benchmark", "seed", "trial")
_FORM = "Its columns are benchmark, seed, trial, and config.NAME for each hyperparameter or config as JSON."


class ConfigurationFile:
    """The configurations in a file.

    Attributes:
        path: the absolute path of the file.
        digits: the digits of its content.
    """

    def __init__(self, path: str) -> None:
        """Read the file and check it.

        Raises:
            UsageError: the file cannot be read, lacks a column, or has two rows for one trial; the message is
                one line.
        """
        self.path = path
        content = _content(path)
        self.digits = hashlib.blake2b(content, digest_size=8).hexdigest()
        self._frame = _frame(path, content)

    def configurations(self, benchmark: str, seed: int, method: str = "") -> list[Configuration]:
        """Return the configurations of one run, in the order of their trials.

        Args:
            benchmark: the id of the run's benchmark.
            seed: the run's seed.
            method: the method that proposed them, if the file has several methods.

        Raises:
            UsageError: the file has none for the run, or it is not clear which method is meant; the message
                is one line.
        """
        frame, name = self._of(method), Path(self.path).name
        whose = f" of {method}" if method else ""
        mine = frame.filter(pl.col("benchmark") == benchmark)
        if mine.is_empty():
            near = difflib.get_close_matches(benchmark, frame["benchmark"].unique().sort().to_list(), n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{name} has no configurations{whose} for {benchmark}.{guess}")
        rows = mine.filter(pl.col("seed") == seed).sort("trial")
        if rows.is_empty():
            seeds = ", ".join(map(str, mine["seed"].unique().sort()))
            raise UsageError(
                f"{name} has no configurations{whose} for {benchmark}, seed {seed}.", f"It has seeds {seeds}."
            )
        return _decoded(rows, name)

    def largest(self) -> int:
        """Return how many configurations the longest run has."""
        return int(self._frame.group_by("benchmark", "seed").len()["len"].max())  # type: ignore[arg-type]

    def _of(self, method: str) -> pl.DataFrame:
        frame, name = self._frame, Path(self.path).name
        if "method" not in frame.columns:
            if method:
                raise UsageError(f"{name} has no column 'method'.", f"Leave out {method!r}.")
            return frame
        methods = frame["method"].unique().sort().to_list()
        if method not in methods and (method or len(methods) > 1):
            what = f"no method {method!r}" if method else f"{len(methods)} methods"
            raise UsageError(f"{name} has {what}.", f'Name one as of = "NAME": {", ".join(methods)}.')
        return frame.filter(pl.col("method") == method) if method else frame


def configuration_file(path: str) -> ConfigurationFile:
    """Return the configurations in a file, as the file is now.

    Raises:
        UsageError: see ``ConfigurationFile``.
    """
    try:
        state = Path(path).stat()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    return _cached(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _cached(path: str, changed: int, size: int) -> ConfigurationFile:
    return ConfigurationFile(path)


def granted_start(path: str, benchmark: Benchmark, seed: int) -> Matrix:
    """Return the start that a file grants every method on one benchmark with one seed, shape (k, d).

    Raises:
        UsageError: the file has none, or a configuration is not in the search space; the message is one line.
    """
    found = configuration_file(path).configurations(benchmark.id, seed)
    try:
        return benchmark.space.encode(found)
    except UsageError as error:
        raise UsageError(
            f"{Path(path).name}, {benchmark.id}, seed {seed}: {error.message}", error.remedy
        ) from None


def _content(path: str) -> bytes:
    if not path.endswith(SUFFIXES):
        raise UsageError(f"{path} holds no configurations.", f"Name a file {', '.join(SUFFIXES)}.")
    try:
        return read_bytes(Path(path))
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None


def _unreadable(path: str, reason: str) -> UsageError:
    return UsageError(f"The configurations in {path} cannot be read: {' '.join(reason.split()).rstrip('.')}.")


def _frame(path: str, content: bytes) -> pl.DataFrame:
    name = Path(path).name
    try:
        if name.endswith(".parquet"):
            frame = pl.read_parquet(io.BytesIO(content))
        else:
            frame = pl.read_csv(io.BytesIO(content), infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, str(error)) from None
    frame = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    for column in KEYS:
        if column not in frame.columns:
            near = difflib.get_close_matches(column, frame.columns, n=1)
            raise UsageError(f"{name} has no column {column!r}{f', but {near[0]!r}' if near else ''}.", _FORM)
        integers = frame[column].dtype.is_integer()
        if frame[column].has_nulls() or (column != "benchmark" and not integers and len(frame)):
            raise UsageError(
                f"{name}: {column} must be {'an id' if column == 'benchmark' else 'an integer'} in every row."
            )
    if not any(column == "config" or column.startswith("config.") for column in frame.columns):
        raise UsageError(f"{name} has no configurations.", _FORM)
    if frame.is_empty():
        raise UsageError(f"{name} has no rows.")
    keys = [*KEYS, *({"method"} & set(frame.columns))]
    doubled = frame.filter(pl.struct(keys).is_duplicated())
    if len(doubled):
        first = doubled.row(0, named=True)
        raise UsageError(
            f"{name} has two rows for {first['benchmark']}, seed {first['seed']}, trial {first['trial']}."
        )
    return frame


def _decoded(rows: pl.DataFrame, name: str) -> list[Configuration]:
    if "config" not in rows.columns:
        columns = [column for column in rows.columns if column.startswith("config.")]
        return [
            {
                column.removeprefix("config."): value
                for column, value in row.items()
                if value is not None
            }
            for row in rows.select(columns).iter_rows(named=True)
        ]  # fmt: skip
    out = []
    for row in rows.iter_rows(named=True):
        try:
            value: Any = load_json(row["config"])
        except (TypeError, ValueError):
            value = None
        if not isinstance(value, dict):
            where = f"{row['benchmark']}, seed {row['seed']}, trial {row['trial']}"
            raise UsageError(f"{name}, {where}: config is no JSON object.")
        out.append(value)
    return out
