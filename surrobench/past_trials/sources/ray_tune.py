"""Read an experiment of Ray Tune: a folder that has a folder with ``result.json`` for each trial.

Each line of such a file is a JSON object: the metrics of one training iteration, and ``config``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

from surrobench.errors import DataError
from surrobench.past_trials.sources.table import CONVENTIONS
from surrobench.past_trials.trials import Asked, Found, PastTrial, State
from surrobench.untrusted import load_json

RESULTS = "*/result.json"
_NO_METRIC = next(one.other for one in CONVENTIONS if one.name == "Ray Tune")


def recognizes(path: Path) -> bool:
    """Return whether a folder holds trials of Ray Tune."""
    return path.is_dir() and any(path.glob(RESULTS))


def read(source: str, asked: Asked) -> list[Found]:
    """Return the trials of an experiment. A trial that raised an error has failed.

    A scheduler may have stopped the others early, which no file says. Their curves are then shorter.

    Raises:
        DataError: a file is damaged; one line.
    """
    folder = Path(source)
    trials, dropped, metrics = [], Counter[str](), dict[str, None]()
    for file in sorted(folder.glob(RESULTS)):
        lines = _lines(file)
        failed = (file.parent / "error.txt").exists() or (file.parent / "error.pkl").exists()
        if not lines:
            dropped["they have no result"] += 1
            continue
        for line in lines:
            metrics |= dict.fromkeys(_metrics(line))
        curve = [
            (float(line.get("training_iteration", i + 1)), _metrics(line)) for i, line in enumerate(lines)
        ]
        state: State = "failed" if failed else "complete"
        seconds = lines[-1].get("time_total_s")
        trials.append(PastTrial(_flat(lines[-1].get("config", {})), state, curve, seconds))
    directions = {**dict.fromkeys(metrics), **asked.objectives}
    return [Found(folder.name, trials, directions, None, "training_iteration", dict(dropped))]


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        # Ray writes NaN, which is no JSON, but which Python's reader takes.
        found = [load_json(line) for line in file.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if not all(isinstance(line, dict) for line in found):
        raise DataError(f"{file} is no file of Ray Tune: a line is no JSON object.")
    return found


def _metrics(line: dict[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in line.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and name != "training_iteration"
        and not re.fullmatch(_NO_METRIC, name)
    }


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by the path of their names; lists and the like as words."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}/")
        elif value is not None and not (isinstance(value, float) and math.isnan(value)):
            flat[f"{prefix}{name}"] = value if isinstance(value, int | float | str) else str(value)
    return flat
