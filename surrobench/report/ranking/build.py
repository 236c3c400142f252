"""Make a ranking of incumbents: common seeds, measures, tests. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import polars as pl

from surrobench.errors import ResultsError, UnknownName, UsageError
from surrobench.report.ranking.model import (
    DECIMALS,
    LOG_FLOOR,
    MEASURES,
    METRICS,
    Floats,
    How,
    Metric,
    Posthoc,
    Ranking,
    Tests,
)
from surrobench.report.ranking.notes import extent, not_resolved, notes_of, spans
from surrobench.stats.clusters import average_within
from surrobench.stats.correction import CORRECTIONS, Correction
from surrobench.stats.paired import Comparisons, wilcoxon
from surrobench.stats.ranks import Conover, Nemenyi, conover, friedman, nemenyi, rank_blocks
from surrobench.stats.regret import Anchor, Reference, normalised_regret, quantile_position


def rank_methods(
    incumbents: pl.DataFrame,
    references: Mapping[str, Reference],
    *,
    control: str = "random",
    anchor: Anchor = "median",
    alpha: float = 0.05,
    models: Mapping[str, str] | None = None,
    metric: Metric = "quantile",
    correction: Correction = "holm",
    posthoc: Posthoc = "nemenyi",
    clusters: Mapping[str, str] | None = None,
) -> Ranking:
    """Rank the methods over the benchmarks.

    Args:
        incumbents: one row per run and number of trials after which it can be compared. Columns
            ``benchmark``, ``method`` (strings), ``seed`` (integer) and ``score``, the mean loss of the
            incumbent's configuration, lower is better; null or NaN for a run that observed nothing. Where
            methods differ in their budgets, ``trials`` (integer) too: after so many. For the metric ``auc``,
            ``area`` too.
        references: the reference values of each benchmark.
        control: the method that others are compared with, fixed before looking.
        anchor: the reference value whose normalised regret is 1.
        alpha: family-wise level of the tests, in (0, 1).
        models: the language model of each method that has one, as people read it.
        metric: what ranks and tests use.
        correction: of the comparisons with the control, and of all pairs where these need one.
        posthoc: the test of all pairs that groups of methods come from.
        clusters: of benchmarks that are not independent, as those of one data set in two scenarios: the
            cluster of each. A benchmark that is not in it is a cluster by itself.

    Raises:
        UsageError: ``alpha``, ``anchor``, ``metric``, ``correction`` or ``posthoc`` is none there is, or the
            control is not among the methods.
        ResultsError: there is nothing to rank, a run is missing, empty or double, or no seed is common.
        DataError: a benchmark's best and anchor are equal.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"0 < alpha < 1 must hold, but got {alpha}.", "Usual is 0.05.")
    if anchor not in ("median", "worst"):
        raise UsageError(f"Unknown anchor {anchor!r}.", "Known: median, worst.")
    if metric not in METRICS:
        raise UnknownName("metric", metric, METRICS)
    if correction not in CORRECTIONS:
        raise UsageError(f"Unknown correction {correction!r}.", f"Known: {', '.join(CORRECTIONS)}.")
    if posthoc not in get_args(Posthoc):
        raise UsageError(f"Unknown post hoc test {posthoc!r}.", f"Known: {', '.join(get_args(Posthoc))}.")
    methods = sorted(incumbents["method"].unique())
    if len(methods) < 2:
        raise ResultsError(
            f"A ranking needs two methods, but there is {methods[0] if methods else 'none'}.",
            "Add a method to the suite and run it.",
        )
    if control not in methods:
        raise UnknownName("control", control, methods, f"Ranked are: {', '.join(methods)}.")
    if "trials" not in incumbents.columns:
        incumbents = incumbents.with_columns(trials=pl.lit(None, pl.Int64))
    measured = [pl.col(name).cast(pl.Float64) for name in ("score", "area") if name in incumbents.columns]
    runs = incumbents.select("benchmark", "method", "seed", "trials", *measured)
    how = How(control, anchor, alpha, metric, correction, posthoc, clusters or {})
    return _rank(runs, _reach(runs), references, how, models or {})


@dataclass(frozen=True)
class _Reach:
    """The seeds of a method, and the numbers of trials after which it can be compared."""

    seeds: frozenset[int]
    trials: frozenset[int | None]

    @staticmethod
    def common(of: Iterable[_Reach]) -> _Reach:
        """What all of them have."""
        all_of = list(of)
        return _Reach(
            frozenset.intersection(*(one.seeds for one in all_of)),
            frozenset.intersection(*(one.trials for one in all_of)),
        )

    @property
    def most(self) -> int | None:
        """The largest number of trials; None, the largest of all, where they are not limited."""
        return None if None in self.trials else max(trials for trials in self.trials if trials is not None)

    def exceeds(self, other: _Reach) -> bool:
        """Whether it has all that the other has, and more seeds or more trials."""
        mine, theirs = (math.inf if reach.most is None else reach.most for reach in (self, other))
        more = self.seeds > other.seeds or mine > theirs
        return more and self.seeds >= other.seeds and self.trials >= other.trials


def _reach(incumbents: pl.DataFrame) -> dict[str, _Reach]:
    """What each method has, once it is sure that every run has a value on every benchmark, once."""
    keys = ["benchmark", "method", "seed", "trials"]
    double = incumbents.filter(pl.struct(keys).is_duplicated()).select(keys).unique().sort(keys)
    if double.height:
        raise ResultsError(
            f"{double.height} runs are there more than once: {_some(_cells(double))}.",
            "Keep one configuration of each method apart by name, or select one of them.",
        )
    wanted = incumbents.select("method", "seed", "trials").unique().join(
        incumbents.select("benchmark").unique(), how="cross"
    )  # fmt: skip
    observed = incumbents.filter(pl.col("score").is_not_null() & pl.col("score").is_not_nan())
    missing = wanted.join(observed, on=keys, how="anti", nulls_equal=True).select(keys).sort(keys)
    if missing.height:
        raise ResultsError(
            f"{missing.height} of {wanted.height} runs are missing or observed nothing: "
            f"{_some(_cells(missing))}.",
            "Run the suite again to complete them, or leave out the method, benchmark or seed.",
        )
    of_method = incumbents.group_by("method").agg(pl.col("seed").unique(), pl.col("trials").unique())
    return {
        str(method): _Reach(frozenset(seeds), frozenset(trials))
        for method, seeds, trials in of_method.iter_rows()
    }


def _cells(runs: pl.DataFrame) -> list[str]:
    cells = runs.select("benchmark", "method", "seed").unique(maintain_order=True).iter_rows()
    return [f"{method} on {benchmark} seed {seed}" for benchmark, method, seed in cells]


def _some(items: Sequence[str], most: int = 5) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return "; ".join(items[:most]) + more


def _rank(
    runs: pl.DataFrame,
    reach: Mapping[str, _Reach],
    references: Mapping[str, Reference],
    how: How,
    models: Mapping[str, str],
) -> Ranking:
    """Rank the methods in ``reach`` on what is common to them, and those that have more once more."""
    common = _Reach.common(reach.values())
    if not common.seeds:
        raise ResultsError(
            "No seed is common to all methods: "
            + "; ".join(f"{method} has {spans(own.seeds)}" for method, own in sorted(reach.items()))
            + ".",
            "Methods are compared on common seeds only: run some seed with all of them.",
        )
    names = sorted(reach)
    instances = sorted(runs["benchmark"].unique())
    seeds, trials = sorted(common.seeds), common.most
    found = _measured(runs, instances, names, seeds, trials, references, how)
    clusters = tuple(how.clusters.get(instance, instance) for instance in instances)
    blocks = found.means
    if len(set(clusters)) < len(instances):
        blocks = average_within(found.means, clusters)[0]
    mean_ranks = rank_blocks(blocks.round(DECIMALS)).mean(axis=0)
    means = found.values.mean(axis=0).round(DECIMALS)
    order = sorted(range(len(names)), key=lambda j: (mean_ranks[j], means[j], names[j]))
    methods = tuple(names[j] for j in order)
    found, blocks = found.in_order(order), blocks[:, order]
    tests = _tested(blocks, methods, how)

    notes = notes_of(tests, how, clusters, extent(seeds, trials))
    if tests.versus and tests.versus.smallest_p <= how.alpha:
        notes += not_resolved(blocks, methods, tests.versus, how)
    exceeding = int((found.loss < found.best[:, None, None]).sum())
    if exceeding:
        notes.append(
            f"{exceeding} of {found.loss.size} runs found less than the best loss known before: "
            "their normalised regret is negative."
        )
    longer = {method: own for method, own in reach.items() if own.exceeds(common)}
    further = None
    # What they have more may have nothing in common; then there is no second ranking to show.
    if longer and _Reach.common(longer.values()).exceeds(common):
        theirs = runs.filter(pl.col("method").is_in(list(longer)))
        further = _rank(theirs, longer, references, how, models)
    if longer:
        notes.append(
            f"{', '.join(sorted(longer))} {'has' if len(longer) == 1 else 'have'} more than what is common "
            f"to all, {extent(seeds, trials)}: "
            + ("left out here and shown apart." if further else "left out: none is common to them.")
        )
    return Ranking(
        methods=methods,
        models={method: models[method] for method in methods if models.get(method)},
        instances=tuple(instances),
        clusters=clusters,
        seeds=tuple(seeds),
        trials=trials,
        quantile=found.quantile,
        normalised=found.by_run["normalised_regret"].mean(axis=2),
        loss=found.loss.mean(axis=2),
        best=found.best,
        anchor_loss=found.anchor_loss,
        anchor=how.anchor,
        control=how.control,
        alpha=how.alpha,
        friedman=tests.overall,
        nemenyi=tests.nemenyi,
        posthoc=how.posthoc,
        pairs=tests.pairs,
        versus_control=tests.versus,
        notes=tuple(notes),
        further=further,
        metric=how.metric,
        correction=how.correction,
        values=found.values,
        by_run=found.by_run,
        extra={}
        if how.metric in {"quantile", "normalised"}
        else {MEASURES[how.metric]: found.values.mean(axis=0)},
    )


@dataclass(frozen=True)
class _Measured:
    """What k methods reached on n instances with s seeds; see ``Ranking`` for the names.

    Attributes:
        means: shape (n, k), of the metric, mean over seeds, not rounded.
    """

    best: Floats
    anchor_loss: Floats
    quantile: Floats
    means: Floats
    by_run: Mapping[str, Floats]

    @property
    def values(self) -> Floats:
        """Shape (n, k): what is ranked; means that are equal in exact arithmetic are equal."""
        return self.means.round(DECIMALS)

    @property
    def loss(self) -> Floats:
        """Shape (n, k, s)."""
        return self.by_run["loss"]

    def in_order(self, order: Sequence[int]) -> _Measured:
        """With the methods in this order."""
        return _Measured(
            self.best,
            self.anchor_loss,
            self.quantile[:, order],
            self.means[:, order],
            {name: of_runs[:, order] for name, of_runs in self.by_run.items()},
        )


def _measured(
    runs: pl.DataFrame,
    instances: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    trials: int | None,
    references: Mapping[str, Reference],
    how: How,
) -> _Measured:
    """The regrets of some methods' runs, all in the order given, and the means that are ranked."""
    chosen = runs.filter(
        pl.col("method").is_in(methods)
        & pl.col("seed").is_in(seeds)
        & pl.col("trials").eq_missing(pl.lit(trials, runs.schema["trials"]))
    ).sort("benchmark", "method", "seed")
    shape = len(instances), len(methods), len(seeds)
    scores = chosen["score"].to_numpy().reshape(shape)
    known = [references[instance] for instance in instances]
    best = np.array([reference.best for reference in known])
    anchor_loss = np.array([getattr(reference, how.anchor) for reference in known], dtype=np.float64)
    sizes = np.array([len(reference.sorted_losses) + 1 for reference in known])[:, None]
    positions = np.stack(
        [quantile_position(*pair) for pair in zip(scores, (r.sorted_losses for r in known), strict=True)]
    )
    # Positions are summed, and divided once: methods with equal sums then tie exactly.
    quantile = positions.sum(axis=2) / (len(seeds) * sizes)
    regret = np.stack([normalised_regret(*one) for one in zip(scores, best, anchor_loss, strict=True)])
    by_run = {
        "loss": scores,
        "quantile_regret": positions / sizes[:, None],
        "normalised_regret": regret,
    }
    if how.metric == "log":
        by_run["log_regret"] = np.log10(np.maximum(regret, LOG_FLOOR))
    if how.metric == "auc":
        by_run["area"] = chosen["area"].to_numpy().reshape(shape)
    means = quantile if how.metric == "quantile" else by_run[MEASURES[how.metric]].mean(axis=2)
    return _Measured(best, anchor_loss, quantile, means, by_run)


def _tested(blocks: Floats, methods: Sequence[str], how: How) -> Tests:
    """Friedman, all pairs, and all against the control, on blocks of shape (n, k)."""
    # Ranks need what is equal to be equal. Differences are rounded by themselves: of rounded numbers, those
    # that are equal in exact arithmetic would not tie.
    ranked = blocks.round(DECIMALS)
    versus = None
    if how.control in methods and len(methods) > 1:
        versus = wilcoxon(blocks, methods.index(how.control), how.correction, DECIMALS)
    by_nemenyi = nemenyi(ranked, how.alpha)
    pairs: Nemenyi | Conover | Comparisons = by_nemenyi
    if how.posthoc == "conover":
        pairs = conover(ranked, how.alpha, how.correction)
    elif how.posthoc == "wilcoxon":
        pairs = wilcoxon(blocks, None, how.correction, DECIMALS)
    return Tests(friedman(ranked), by_nemenyi, pairs, versus)
