"""Read tables of trials, CSV or Parquet: with the columns of a known tool, or with columns that a user names.

A tool is known by the names of its columns (``CONVENTIONS``). To add one, add its conventions to that list.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from surrobench.errors import DataError, in_one_line
from surrobench.past_trials.trials import Asked, Found, PastTrial, State

SUFFIXES = (".csv", ".parquet", ".zip")
_ENDED: dict[str, State | None] = {
    **dict.fromkeys(("complete", "completed", "finished", "terminated", "success", "succeeded"), "complete"),
    **dict.fromkeys(("pruned", "stopped", "paused", "stop"), "pruned"),
    **dict.fromkeys(("fail", "failed", "crashed", "killed", "error", "errored", "timeout"), "failed"),
}
"""What tools call a trial's state, in small letters. Any other word is a trial that has not ended."""


@dataclass(frozen=True)
class Convention:
    """How the columns of a tool are called.

    Attributes:
        name: the tool.
        needs: columns or prefixes that a table has only if it is of this tool.
        prefix: of hyperparameters.
        metrics: the prefix of objectives; empty if all other columns with numbers are measured.
        other: a pattern of columns that are neither.
        state, seconds, fidelity, trial: columns, empty if the tool has none. Rows with the same ``trial`` are
            one trial, measured several times.
        interval: two columns with the times at which a trial began and ended.
    """

    name: str
    needs: Sequence[str]
    prefix: str
    metrics: str = ""
    other: str = r"(?!)"
    state: str = ""
    seconds: str = ""
    fidelity: str = ""
    trial: str = ""
    interval: Sequence[str] = field(default=())


CONVENTIONS = (
    Convention(
        "Optuna", ("params_", "state", "number"), "params_", "value", state="state", seconds="duration"
    ),
    Convention(
        "Syne Tune", ("config_", "st_"), "config_", other=r"st_.*|trial_id|worker_.*",
        state="", seconds="st_worker_time", fidelity="epoch", trial="trial_id",
    ),
    Convention(
        "Ray Tune", ("config/", "training_iteration"), "config/",
        other=r"time_.*|timestamp|iterations_since_restore|timesteps_.*|pid|done|.*_id|date|hostname|node_ip"
        r"|episodes_total|experiment_tag|warmup_time|should_checkpoint|trial_id|logdir",
        seconds="time_total_s", fidelity="training_iteration", trial="trial_id",
    ),
    Convention(
        "MLflow", ("params.", "metrics.", "status"), "params.", "metrics.", state="status",
        interval=("start_time", "end_time"),
    ),
    Convention(
        "surrobench", ("config.",), "config.", other="", seconds="cost",
    ),
)  # fmt: skip


def recognizes(path: Path) -> bool:
    """Return whether a file is a table."""
    return path.is_file() and path.suffix in SUFFIXES


def read(source: str, asked: Asked) -> list[Found]:
    """Return the trials of a table.

    Raises:
        DataError: the table cannot be read, or nothing says which columns are hyperparameters; one line.
    """
    path = Path(source)
    return [of_frame(read_frame(path), path.name, path.stem, asked)]


def read_frame(path: Path) -> pl.DataFrame:
    """Return a table as it is in its file. A zipped one is the only file of its archive.

    Raises:
        DataError: the table cannot be read; one line.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                [member] = archive.namelist()
                content = archive.read(member)
        if path.suffix == ".parquet":
            return pl.read_parquet(io.BytesIO(content))
        return pl.read_csv(io.BytesIO(content), infer_schema_length=None)
    except (OSError, ValueError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        reason = getattr(error, "strerror", None) or in_one_line(error)
        raise DataError(f"The table {path} cannot be read: {reason}.") from None


def of_frame(frame: pl.DataFrame, name: str, title: str, asked: Asked) -> Found:
    """Return the trials of a table.

    Args:
        frame: the table.
        name: what messages call the table.
        title: what it is called from now on.
        asked: what the user says of the table.

    Raises:
        DataError: nothing says which columns are hyperparameters, or a named column is not there.
    """
    known = next((one for one in CONVENTIONS if _is_of(one, frame.columns)), None)
    convention = known or Convention("", (), "")
    for wanted in (*asked.hyperparameters, *asked.objectives, asked.fidelity, asked.seconds):
        if wanted and wanted not in frame.columns and f"{convention.metrics}{wanted}" not in frame.columns:
            raise DataError(f"{name} has no column {wanted!r}.", f"It has {', '.join(frame.columns)}.")
    hyperparameters = _hyperparameters(frame, convention, asked)
    if not hyperparameters:
        raise DataError(
            f"Nothing says which columns of {name} are hyperparameters.",
            "Name them with --hyperparameter, and what was measured with --objective NAME=min or NAME=max.",
        )
    objectives = _measured(frame, convention, hyperparameters, asked)
    fidelity = asked.fidelity or (convention.fidelity if convention.fidelity in frame.columns else "")
    trials, dropped = _trials(frame, convention, hyperparameters, objectives, fidelity, asked)
    directions = {**dict.fromkeys(objectives.values()), **asked.objectives}
    return Found(title, trials, directions, None, fidelity, dropped)


def _is_of(convention: Convention, columns: Sequence[str]) -> bool:
    return all(any(column.startswith(start) for column in columns) for start in convention.needs)


def _hyperparameters(frame: pl.DataFrame, convention: Convention, asked: Asked) -> dict[str, str]:
    """Return column -> the hyperparameter in it."""
    if asked.hyperparameters:
        return {name: name.removeprefix(convention.prefix) for name in asked.hyperparameters}
    if not convention.prefix:
        return {}
    return {
        column: column.removeprefix(convention.prefix)
        for column in frame.columns
        if column.startswith(convention.prefix) and not frame[column].is_null().all()
    }


def _measured(
    frame: pl.DataFrame, convention: Convention, taken: Mapping[str, str], asked: Asked
) -> dict[str, str]:
    """Return column -> the objective in it."""
    if asked.objectives:
        return {
            name if name in frame.columns else f"{convention.metrics}{name}": name
            for name in asked.objectives
        }
    special = {
        convention.state,
        convention.seconds,
        convention.fidelity,
        convention.trial,
        *convention.interval,
    }
    return {
        column: column if convention.metrics == "value" else column.removeprefix(convention.metrics)
        for column in frame.columns
        if column not in taken
        and column not in special
        and frame[column].dtype.is_numeric()
        and column.startswith(convention.metrics)
        and not re.fullmatch(convention.other, column)
    }


def _trials(
    frame: pl.DataFrame,
    convention: Convention,
    hyperparameters: Mapping[str, str],
    objectives: Mapping[str, str],
    fidelity: str,
    asked: Asked,
) -> tuple[list[PastTrial], dict[str, int]]:
    """Return the trials that ended, and why others are left out."""
    seconds = _seconds(frame, convention, asked)
    state_column = next(
        (name for name in frame.columns if name.lower() in {convention.state, "state", "status"}), ""
    )
    dropped: Counter[str] = Counter()
    groups: dict[Any, list[int]] = {}
    by = convention.trial if convention.trial in frame.columns and fidelity else ""
    for row, key in enumerate(frame[by].to_list() if by else range(len(frame))):
        groups.setdefault(key, []).append(row)
    rows = frame.to_dicts()
    trials = []
    for members in groups.values():
        last = rows[members[-1]]
        word = str(last.get(state_column, "complete")).lower()
        state = _ENDED.get(word.rpartition(".")[2])
        if state is None:
            dropped["they had not ended"] += 1
            continue
        configuration = {
            name: last[column] for column, name in hyperparameters.items() if _is_known(last[column])
        }
        curve = [
            (
                float(rows[row][fidelity]) if fidelity else 0.0,
                {name: _number(rows[row][column]) for column, name in objectives.items()},
            )
            for row in members
        ]
        trials.append(PastTrial(configuration, state, curve, seconds[members[-1]]))
    return trials, dict(dropped)


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value)) and value != ""


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _seconds(frame: pl.DataFrame, convention: Convention, asked: Asked) -> list[float | None]:
    """Return the duration of each row; None where it is not known."""
    column = asked.seconds or next(
        (name for name in (convention.seconds, "Runtime", "duration", "Duration") if name in frame.columns),
        "",
    )
    if column:
        return [duration(value) for value in frame[column].to_list()]
    if all(name in frame.columns for name in convention.interval) and convention.interval:
        first, last = (_as_time(frame[name]) for name in convention.interval)
        return [None if span is None else span.total_seconds() for span in (last - first).to_list()]
    return [None] * len(frame)


def _as_time(column: pl.Series) -> pl.Series:
    if column.dtype.is_numeric():
        return column.cast(pl.Int64).cast(pl.Datetime("ms"))
    if column.dtype == pl.String:
        return column.str.to_datetime(strict=False)
    return column


_CLOCK = re.compile(r"(?:(\d+) days?,? )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_UNITS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def duration(value: Any) -> float | None:
    """Return a duration in seconds, however a tool writes it; None if it is none.

    Example:
        >>> duration("0 days 01:29:45.5"), duration("2.5min"), duration(3)
        (5385.5, 150.0, 3.0)
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    text = str(value).strip()
    if match := _CLOCK.fullmatch(text):
        days, hours, minutes, rest = match.groups()
        return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(rest)
    if match := re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]+)", text):
        return float(match[1]) * _UNITS[match[2]] if match[2] in _UNITS else None
    return None
