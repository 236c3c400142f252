"""Read the trials of SMAC3: ``runhistory.json`` with ``configspace.json`` beside it.

A trial on several instances or seeds is several rows of one configuration. A budget is a fidelity.
Source: the files that SMAC 2 writes (``smac.runhistory.RunHistory.save``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from surrobench.errors import DataError, in_one_line
from surrobench.past_trials.trials import Asked, Found, PastTrial
from surrobench.untrusted import load_json

HISTORY, SPACE = "runhistory.json", "configspace.json"
_COLUMNS = ("config_id", "instance", "seed", "budget", "cost", "time", "cpu_time", "status")
_RUNNING, _SUCCESS = 0, 1


def recognizes(path: Path) -> bool:
    """Return whether a path is a run history of SMAC3, or a folder that has one."""
    return path.name == HISTORY or (path / HISTORY).is_file()


def read(source: str, asked: Asked) -> list[Found]:
    """Return the trials of a run history.

    Raises:
        DataError: a file is missing or damaged; one line.
    """
    file = Path(source)
    file = file / HISTORY if file.is_dir() else file
    history, space = _loaded(file), _space(file.with_name(SPACE))
    try:
        configurations = {int(number): dict(values) for number, values in history["configs"].items()}
        rows = [_named(row) for row in history["data"]]
        trials, dropped = _trials(rows, configurations)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{file} is no run history of SMAC3: {in_one_line(error)}.") from None
    names = list(dict.fromkeys(name for trial in trials for _, values in trial.curve for name in values))
    budgets = "budget" if any(trial.curve[-1][0] > 0 for trial in trials if trial.curve) else ""
    return [Found(file.parent.name, trials, dict.fromkeys(names, True), space, budgets, dict(dropped))]


def _trials(
    rows: list[Mapping[str, Any]], configurations: Mapping[int, dict[str, Any]]
) -> tuple[list[PastTrial], Counter[str]]:
    """Return a trial for each configuration, instance and seed, measured at its budgets."""
    dropped: Counter[str] = Counter()
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if int(row["status"]) == _RUNNING:
            dropped["they had not ended"] += 1
            continue
        groups.setdefault((row["config_id"], row["instance"], row["seed"]), []).append(row)
    trials = []
    for (number, _, _), members in groups.items():
        members.sort(key=lambda row: row["budget"] or 0.0)
        curve = [
            (float(row["budget"] or 0.0), _costs(row["cost"])) for row in members if row["status"] == _SUCCESS
        ]
        failed = members[-1]["status"] != _SUCCESS
        trials.append(
            PastTrial(
                configurations[int(number)],
                "failed" if failed else "complete",
                curve,
                float(members[-1]["time"]),
            )
        )
    return trials, dropped


def _named(row: Any) -> Mapping[str, Any]:
    """Return a row by the names of its columns; SMAC 2.0 to 2.2 write it as a list."""
    if isinstance(row, dict):
        return row
    names = _COLUMNS if len(row) > 10 else tuple(name for name in _COLUMNS if name != "cpu_time")
    return dict(zip(names, row, strict=False))


def _costs(cost: Any) -> dict[str, float]:
    values = cost if isinstance(cost, list) else [cost]
    names = ["cost"] if len(values) == 1 else [f"cost_{i}" for i in range(len(values))]
    return dict(zip(names, map(float, values), strict=True))


def _loaded(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = load_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    return found


def _space(file: Path) -> ConfigurationSpace:
    values = _loaded(file)
    try:
        return ConfigurationSpace.from_serialized_dict(values)
    except Exception as error:  # a file of others may be anything
        raise DataError(f"{file} is no search space of ConfigSpace: {in_one_line(error)}.") from None
