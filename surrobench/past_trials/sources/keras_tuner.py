"""Read a project of KerasTuner: a folder that has a folder with ``trial.json`` for each trial."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from surrobench.errors import DataError, in_one_line
from surrobench.past_trials.trials import Asked, Found, PastTrial, State
from surrobench.untrusted import load_json

TRIALS = "trial_*/trial.json"
_STATES: dict[str, State] = {
    "COMPLETED": "complete",
    "STOPPED": "pruned",
    "INVALID": "failed",
    "FAILED": "failed",
}


def recognizes(path: Path) -> bool:
    """Return whether a folder holds trials of KerasTuner."""
    return path.is_dir() and any(path.glob(TRIALS))


def read(source: str, asked: Asked) -> list[Found]:
    """Return the trials of a project.

    Raises:
        DataError: a file is damaged; one line.
    """
    folder = Path(source)
    trials, dropped, directions = [], Counter[str](), dict[str, bool | None]()
    for file in sorted(folder.glob(TRIALS)):
        try:
            content = load_json(file.read_bytes())
            state = _STATES.get(content["status"])
            if state is None:
                dropped["they had not ended"] += 1
                continue
            directions |= _directions(content["metrics"]["metrics"])
            trials.append(PastTrial(_active(content["hyperparameters"]), state, _curve(content, state)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise DataError(f"{file} is no trial of KerasTuner: {in_one_line(error)}.") from None
    curves = any(len(trial.curve) > 1 for trial in trials)
    return [Found(folder.name, trials, directions, None, "step" if curves else "", dict(dropped))]


def _active(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """Return the values whose conditions hold; the file has values of all hyperparameters."""
    values = hyperparameters["values"]
    active = {}
    for one in hyperparameters["space"]:
        config = one["config"]
        name = config["name"]
        conditions = [part["config"] for part in config.get("conditions", [])]
        if name in values and all(values.get(part["name"]) in part["values"] for part in conditions):
            active[name] = values[name]
    return active


def _directions(metrics: dict[str, Any]) -> dict[str, bool | None]:
    return {name: metric["direction"] == "min" for name, metric in metrics.items()}


def _curve(content: dict[str, Any], state: State) -> list[tuple[float, dict[str, float]]]:
    """Return the means of what was observed, by step; the result of a complete trial is its best step's."""
    curve: dict[float, dict[str, float]] = {}
    for name, metric in content["metrics"]["metrics"].items():
        for observation in metric["observations"]:
            mean = sum(map(float, observation["value"])) / len(observation["value"])
            curve.setdefault(float(observation["step"]), {})[name] = mean
    if state == "complete" and content.get("best_step") is not None:
        curve = {step: values for step, values in curve.items() if step <= content["best_step"]}
    return sorted(curve.items())
