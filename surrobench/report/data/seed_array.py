"""Arrange the runs of a study as an array: blocks by methods by common seeds. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from surrobench.arrays import Floats
from surrobench.errors import DataError, ResultsError, UnknownName
from surrobench.report.data.study_data import StudyData
from surrobench.stats.clusters import average_within
from surrobench.stats.regret import Anchor, has_unit, normalised_regret, quantile_regret
from surrobench.suite.claims import Metric


@dataclass(frozen=True)
class SeedArray:
    """The regret of k methods on n instances with s common seeds; lower is better.

    Instances of one data set are one instance here, with the data set's name: their mean, seed by seed. Where
    they were asked for separately, each instance keeps its own name.

    Attributes:
        methods, instances, seeds: the names and numbers, of lengths k, n and s.
        trials: the number of trials after which methods are compared; None where their budget has another
            unit.
        regret: shape (n, k, s).
    """

    methods: tuple[str, ...]
    instances: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: int | None
    regret: Floats


def cells(
    study: StudyData,
    metric: Metric = "quantile",
    methods: Sequence[str] | None = None,
    *,
    by_data_set: bool = True,
) -> SeedArray:
    """Return the regrets after the most trials, and with all seeds, that are common to some methods.

    Args:
        study: a complete study, as ``load_study`` returns it.
        metric: the regret that is returned.
        methods: the methods; by default all.
        by_data_set: whether instances of one data set are averaged to one.

    Raises:
        ResultsError: the methods have no seed or no number of trials in common.
        DataError: normalised regret is undefined on a benchmark.
    """
    runs = study.incumbents
    names = sorted(runs["method"].unique() if methods is None else methods)
    runs = runs.filter(pl.col("method").is_in(names))
    owned = runs.group_by("method").agg(pl.col("seed").unique(), pl.col("trials").unique())
    seeds = sorted(set.intersection(*(set(own) for own in owned["seed"])))
    trials = set.intersection(*(set(own) for own in owned["trials"]))
    if not seeds or not trials:
        what = "seed" if trials else "number of trials"
        raise ResultsError(f"No {what} is common to {', '.join(names)}.", "Run them on common ones.")
    # Methods without a limit also have values after the other methods' numbers of trials; None means after
    # all trials.
    most = None if None in trials else max(trials)
    instances = sorted(runs["benchmark"].unique())
    if metric == "normalised":
        runs = runs.filter(pl.col("benchmark").is_in(with_unit(study)))
        instances = sorted(runs["benchmark"].unique())
    chosen = runs.filter(
        pl.col("seed").is_in(seeds), pl.col("trials").eq_missing(pl.lit(most, runs.schema["trials"]))
    )
    scores = chosen.sort("benchmark", "method", "seed")["score"].to_numpy()
    scores = scores.reshape(len(instances), len(names), len(seeds))
    known = [study.references[instance] for instance in instances]
    if metric == "normalised":
        regrets = [
            normalised_regret(row, one.best, one.median) for row, one in zip(scores, known, strict=True)
        ]
    else:
        regrets = [quantile_regret(row, one.sorted_losses) for row, one in zip(scores, known, strict=True)]
    regret = np.stack(regrets)
    if metric == "log-quantile":
        regret = np.log10(regret)
    labels = [study.blocks[name] if by_data_set else name for name in instances]
    regret, blocks = average_within(regret, labels)
    return SeedArray(tuple(names), blocks, tuple(seeds), most, regret)


def with_unit(study: StudyData, anchor: Anchor = "median") -> list[str]:
    """Return the benchmarks that have a normalised regret.

    Raises:
        DataError: none has.
    """
    found = [name for name, reference in study.references.items() if has_unit(reference, anchor)]
    if not found:
        raise DataError(
            "No benchmark has a normalised regret: their best losses are as large as the anchor.",
            "Use quantile regret.",
        )
    return found


def cells_beside(study: StudyData, control: str, *, by_data_set: bool = True) -> list[SeedArray]:
    """Return quantile regrets of the control and each other method after the most that both have in common.

    Methods that have the same in common with the control are in one array. What one method lacks therefore
    takes nothing away from the comparisons of the other methods.

    Args:
        study: a complete study, as ``load_study`` returns it.
        control: the method that each array contains.
        by_data_set: whether instances of one data set are averaged to one.

    Returns:
        At least one; all on the same instances, with the control in each and every other method in one.

    Raises:
        UnknownName: the control is not in the study.
        ResultsError: a method has no seed or no number of trials in common with the control.
    """
    owned = study.incumbents.group_by("method").agg(pl.col("seed").unique(), pl.col("trials").unique())
    own = {method: (frozenset(seeds), frozenset(trials)) for method, seeds, trials in owned.iter_rows()}
    if control not in own:
        raise UnknownName("method", control, sorted(own))
    seeds, trials = own.pop(control)
    groups: dict[object, list[str]] = {}
    for method in sorted(own):
        groups.setdefault((own[method][0] & seeds, own[method][1] & trials), []).append(method)
    # Whether a control alone is acceptable is for the caller to judge.
    return [
        cells(study, methods=[control, *group], by_data_set=by_data_set)
        for group in list(groups.values()) or [[]]
    ]
