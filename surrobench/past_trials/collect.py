"""Make one table of the trials that one or several sources have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from ConfigSpace import ConfigurationSpace

from surrobench.errors import DataError, UsageError
from surrobench.past_trials.infer import infer_space
from surrobench.past_trials.trials import COST, FAILED, REPETITION, Asked, Found, PastTrial, PastTrials
from surrobench.space.search_space import SearchSpace


def collect(sources: Sequence[Found], asked: Asked) -> PastTrials:
    """Return the trials of sources that are about one problem.

    Trials of the same configuration are repetitions. A trial fails if its tool says so, or if one of its
    objectives is no finite number. A trial whose configuration is not in the search space is left out.

    Args:
        sources: what readers found; all of them have the same hyperparameters.
        asked: what the user says of them.

    Raises:
        DataError: the sources are about different problems, no direction of an objective is known, or no
            trial is left; one line.
    """
    _check_same_spaces(sources)
    objectives = _objectives(sources, asked)
    dropped: Counter[str] = Counter()
    for source in sources:
        dropped.update(source.dropped)
    trials = [trial for source in sources for trial in source.trials]
    if not trials:
        raise DataError(f"{sources[0].title} has no trial that ended.", _counted(dropped))
    if sources[0].space is not None:
        space, inferred = sources[0].space, list(sources[0].inferred)
    else:
        space, inferred, trials = infer_space(trials, dropped)
    trials = _of_the_space(trials, space, dropped)
    fidelity = next((source.fidelity for source in sources if source.fidelity), "")
    frame = _frame(trials, space, objectives, fidelity, dropped)
    if frame.is_empty():
        raise DataError(f"{sources[0].title} has no trial that can be used.", _counted(dropped))
    title = sources[0].title + (f" and {len(sources) - 1} more" if len(sources) > 1 else "")
    return PastTrials(title, space, frame, dict(dropped), inferred)


def _counted(dropped: Mapping[str, int]) -> str:
    reasons = "; ".join(f"{count:,}: {reason}" for reason, count in dropped.items())
    return f"Left out: {reasons}." if reasons else "It is empty."


def _check_same_spaces(sources: Sequence[Found]) -> None:
    """Refuse sources whose search spaces differ, and say in what.

    Raises:
        DataError: see above.
    """
    first = sources[0]
    for other in sources[1:]:
        if (first.space is None) != (other.space is None) or first.space != other.space:
            names = [set(_names(source)) for source in (first, other)]
            only = sorted(names[0] ^ names[1])
            differ = f"only one of them has {only[0]!r}" if only else "their ranges or conditions differ"
            raise DataError(
                f"{first.title} and {other.title} have different search spaces: {differ}.",
                "Import each by itself.",
            )


def _names(source: Found) -> list[str]:
    if source.space is not None:
        return list(source.space)
    return list(dict.fromkeys(name for trial in source.trials for name in trial.configuration))


def _objectives(sources: Sequence[Found], asked: Asked) -> dict[str, bool]:
    """Return objective -> whether smaller is better; the first one is optimized.

    Raises:
        DataError: a direction is not known, sources differ in it, or an objective is in no source.
    """
    known = dict(sources[0].objectives)
    for other in sources[1:]:
        for name, minimize in other.objectives.items():
            if known.setdefault(name, minimize) not in {minimize, None}:
                raise DataError(
                    f"{sources[0].title} and {other.title} differ in the direction of {name!r}.",
                    "Import each by itself.",
                )
    if asked.objectives:
        if unknown := [name for name in asked.objectives if name not in known]:
            raise DataError(
                f"{sources[0].title} has no objective {unknown[0]!r}.", f"It has {', '.join(known)}."
            )
        return dict(asked.objectives)
    directed = {name: minimize for name, minimize in known.items() if minimize is not None}
    if not directed:
        raise DataError(
            f"{sources[0].title} does not say what is optimized, nor in which direction.",
            f"Write --objective NAME=min or NAME=max; it has {', '.join(known) or 'no numbers'}.",
        )
    return directed


def _of_the_space(
    trials: Sequence[PastTrial], space: ConfigurationSpace, dropped: Counter[str]
) -> list[PastTrial]:
    """Return the trials whose configurations are in the space, inactive values left out of them."""
    kept = []
    searched = SearchSpace(space)
    for trial in trials:
        values = {name: value for name, value in trial.configuration.items() if name in space}
        vector = np.full((1, searched.d), np.nan)
        try:
            for name, value in values.items():
                vector[0, searched.column(name)] = searched.encode_value(name, value)
        except UsageError:
            dropped["their configuration is not in the search space"] += 1
            continue
        active = ~np.isnan(searched.deactivate(np.nan_to_num(vector)))[0]
        if missing := [
            name for name, on in zip(searched.names, active, strict=True) if on and name not in values
        ]:
            dropped[f"they have no value of {missing[0]}"] += 1
            continue
        used = {name: values[name] for name, on in zip(searched.names, active, strict=True) if on}
        kept.append(replace(trial, configuration=used))
    return kept


def _frame(
    trials: Sequence[PastTrial],
    space: ConfigurationSpace,
    objectives: Mapping[str, bool],
    fidelity: str,
    dropped: Counter[str],
) -> pl.DataFrame:
    """Return the rows of ``PastTrials.frame``."""
    curves = bool(fidelity) and any(len(trial.curve) > 1 for trial in trials)
    rows: list[dict[str, Any]] = []
    seen: Counter[tuple[Any, ...]] = Counter()
    for trial in trials:
        if trial.state == "pruned" and not curves:
            dropped["a pruner stopped them, and their intermediate values are not known"] += 1
            continue
        config = {f"config.{name}": trial.configuration.get(name) for name in space}
        key = tuple(config.values())
        shared = config | {REPETITION: seen[key]}
        points = _points(trial, objectives)
        if not points and trial.state == "pruned":
            dropped["a pruner stopped them before anything was measured"] += 1
            continue
        seen[key] += 1
        if not points:
            failed = {_column(name, way): None for name, way in objectives.items()}
            rows.append(shared | failed | {COST: trial.seconds, FAILED: True, "at": math.nan})
            continue
        for at, values in points if curves else points[-1:]:
            measured = {_column(name, way): values[name] for name, way in objectives.items()}
            share = at / points[-1][0] if points[-1][0] > 0 else 1.0
            cost = None if trial.seconds is None else trial.seconds * (share if curves else 1.0)
            rows.append(shared | measured | {COST: cost, FAILED: False, "at": at})
    frame = pl.DataFrame(rows, infer_schema_length=None, strict=False)
    if not rows:
        return frame
    numbers = [_column(name, way) for name, way in objectives.items()]
    frame = frame.with_columns(pl.col(*numbers, COST, "at").cast(pl.Float64))
    return _with_fidelity(frame, fidelity) if curves else frame.drop("at")


def _with_fidelity(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return the frame with its positive fidelity in the place of ``at``; failed trials get the full one."""
    at = pl.col("at")
    lowest = frame["at"].drop_nans().min()
    assert isinstance(lowest, float), "a curve has a point"
    shifted = at - lowest + 1 if lowest <= 0 else at  # Optuna's first step is number 0
    filled = pl.when(at.is_nan()).then(shifted.drop_nans().max()).otherwise(shifted)
    whole = bool((frame["at"].drop_nans() % 1 == 0).all())
    return frame.with_columns(filled.cast(pl.Int64 if whole else pl.Float64).alias(f"fidelity.{name}")).drop(
        "at"
    )


def _column(name: str, minimize: bool) -> str:
    return f"{'minimize' if minimize else 'maximize'}.{name}"


def _points(trial: PastTrial, objectives: Mapping[str, bool]) -> list[tuple[float, Mapping[str, float]]]:
    """Return what was measured of all objectives, in the order of fidelity; nothing if the trial failed."""
    if trial.state == "failed":
        return []
    finite = {
        at: values for at, values in trial.curve if all(_is_finite(values.get(name)) for name in objectives)
    }
    if trial.state == "complete" and trial.curve and trial.curve[-1][0] not in finite:
        return []
    return sorted(finite.items())


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and math.isfinite(value)
