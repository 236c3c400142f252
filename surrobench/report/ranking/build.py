"""Build a ranking from incumbents: common seeds, measures, tests. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import polars as pl

from surrobench.arrays import Floats
from surrobench.errors import ResultsError, UnknownName, UsageError
from surrobench.report.ranking.model import (
    DECIMALS,
    LOG_FLOOR,
    MEASURES,
    METRICS,
    Measured,
    Note,
    Posthoc,
    Ranking,
    RankingSettings,
    Scope,
    Tested,
)
from surrobench.report.ranking.notes import extent, not_resolved, notes_of, spans
from surrobench.stats.clusters import average_within
from surrobench.stats.correction import CORRECTIONS
from surrobench.stats.paired import Comparisons, wilcoxon
from surrobench.stats.ranks import Conover, Friedman, Nemenyi, conover, friedman, nemenyi, rank_blocks
from surrobench.stats.regret import Reference, normalised_regret, quantile_position


def rank_methods(
    incumbents: pl.DataFrame,
    references: Mapping[str, Reference],
    settings: RankingSettings | None = None,
    *,
    models: Mapping[str, str] | None = None,
) -> Ranking:
    """Rank the methods over the benchmarks.

    Args:
        incumbents: a table with one row per run and number of trials after which it can be compared. The
            columns are ``benchmark``, ``method`` (strings), ``seed`` (integer) and ``score``. The score is
            the mean loss of the incumbent's configuration, lower is better; it is null or NaN for a run that
            observed nothing. Where methods differ in their budgets, the column ``trials`` (integer) holds the
            number of trials. The metric ``auc`` needs the column ``area``.
        references: the reference values of each benchmark.
        settings: how methods are ranked and tested. The control was fixed before looking at the results.
        models: the language model of each method that has one, as people read it.

    Raises:
        UsageError: a setting is unknown or out of range, or the control is not among the methods.
        ResultsError: there is nothing to rank; a run is missing, empty or occurs twice; or no seed is common.
        DataError: the best value and the anchor of a benchmark are equal.
    """
    settings = settings or RankingSettings()
    _check(settings)
    methods = sorted(incumbents["method"].unique())
    if len(methods) < 2:
        raise ResultsError(
            f"A ranking needs two methods, but there is {methods[0] if methods else 'none'}.",
            "Add a method to the suite and run it.",
        )
    if settings.control not in methods:
        raise UnknownName("control", settings.control, methods, f"Ranked are: {', '.join(methods)}.")
    if "trials" not in incumbents.columns:
        incumbents = incumbents.with_columns(trials=pl.lit(None, pl.Int64))
    measured = [pl.col(name).cast(pl.Float64) for name in ("score", "area") if name in incumbents.columns]
    runs = incumbents.select("benchmark", "method", "seed", "trials", *measured)
    return _rank(runs, _reach(runs), references, settings, models or {})


def _check(settings: RankingSettings) -> None:
    if not 0 < settings.alpha < 1:
        raise UsageError(f"0 < alpha < 1 must hold, but got {settings.alpha}.", "Usual is 0.05.")
    if settings.anchor not in ("median", "worst"):
        raise UsageError(f"Unknown anchor {settings.anchor!r}.", "Known: median, worst.")
    if settings.metric not in METRICS:
        raise UnknownName("metric", settings.metric, METRICS)
    if settings.correction not in CORRECTIONS:
        known = ", ".join(CORRECTIONS)
        raise UsageError(f"Unknown correction {settings.correction!r}.", f"Known: {known}.")
    if settings.posthoc not in get_args(Posthoc):
        known = ", ".join(get_args(Posthoc))
        raise UsageError(f"Unknown post hoc test {settings.posthoc!r}.", f"Known: {known}.")


@dataclass(frozen=True)
class _Reach:
    """The seeds of a method, and the numbers of trials after which it can be compared."""

    seeds: frozenset[int]
    trials: frozenset[int | None]

    @staticmethod
    def common(of: Iterable[_Reach]) -> _Reach:
        """Return the seeds and numbers of trials that all methods have."""
        all_of = list(of)
        return _Reach(
            frozenset.intersection(*(one.seeds for one in all_of)),
            frozenset.intersection(*(one.trials for one in all_of)),
        )

    @property
    def most(self) -> int | None:
        """Return the largest number of trials; None, which is above all numbers, if trials have no limit."""
        return None if None in self.trials else max(trials for trials in self.trials if trials is not None)

    def exceeds(self, other: _Reach) -> bool:
        """Return whether it has all that the other has, and more seeds or more trials."""
        mine, theirs = (math.inf if reach.most is None else reach.most for reach in (self, other))
        more = self.seeds > other.seeds or mine > theirs
        return more and self.seeds >= other.seeds and self.trials >= other.trials


def _reach(incumbents: pl.DataFrame) -> dict[str, _Reach]:
    """Return the reach of each method, after a check that every run has one value on every benchmark."""
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
    settings: RankingSettings,
    models: Mapping[str, str],
) -> Ranking:
    """Rank the methods in ``reach`` on what they have in common; rank those that have more a second time."""
    common = _Reach.common(reach.values())
    if not common.seeds:
        raise ResultsError(
            "No seed is common to all methods: "
            + "; ".join(f"{method} has {spans(own.seeds)}" for method, own in sorted(reach.items()))
            + ".",
            "Methods are compared on common seeds only: run some seed with all of them.",
        )
    ranking = _ranked(runs, sorted(reach), common, references, settings, models)
    longer = {method: own for method, own in reach.items() if own.exceeds(common)}
    if not longer:
        return ranking
    further = None
    # What these methods have more of may not be common to them; then there is no second ranking to show.
    if _Reach.common(longer.values()).exceeds(common):
        theirs = runs.filter(pl.col("method").is_in(list(longer)))
        further = _rank(theirs, longer, references, settings, models)
    note = Note(
        "warning",
        f"{', '.join(sorted(longer))} {'has' if len(longer) == 1 else 'have'} more than what is common "
        f"to all, {extent(ranking.seeds, ranking.trials)}. The rest is left out here"
        + (" and ranked apart." if further else ": none is common to them."),
    )
    return replace(ranking, notes=(*ranking.notes, note), further=further)


def _ranked(
    runs: pl.DataFrame,
    names: Sequence[str],
    common: _Reach,
    references: Mapping[str, Reference],
    settings: RankingSettings,
    models: Mapping[str, str],
) -> Ranking:
    """Return the ranking of some methods on the seeds and trials that are common to them."""
    instances = sorted(runs["benchmark"].unique())
    scope = Scope(
        tuple(instances),
        tuple(settings.clusters.get(instance, instance) for instance in instances),
        tuple(sorted(common.seeds)),
        common.most,
    )
    found = _measured(runs, names, scope, references, settings)
    blocks = found.means
    if len(set(scope.clusters)) < len(instances):
        blocks = average_within(found.means, scope.clusters)[0]
    mean_ranks = rank_blocks(blocks.round(DECIMALS)).mean(axis=0)
    means = found.values.mean(axis=0).round(DECIMALS)
    order = sorted(range(len(names)), key=lambda j: (mean_ranks[j], means[j], names[j]))
    methods = tuple(names[j] for j in order)
    found, blocks = found.in_order(order), blocks[:, order]
    tested = _tested(blocks, methods, settings)
    notes = notes_of(tested, settings, scope)
    if found.beyond_best:
        notes.append(
            Note(
                "warning",
                f"{found.beyond_best} of {found.by_run['loss'].size} runs found less than the best loss "
                "known before: their normalised regret is negative.",
            )
        )
    shown = settings.metric in {"quantile", "normalised"}
    return Ranking(
        methods=methods,
        models={method: models[method] for method in methods if models.get(method)},
        settings=settings,
        scope=scope,
        measured=found,
        tested=tested,
        notes=tuple(notes),
        unresolved=not_resolved(blocks, methods, tested, settings),
        extra={} if shown else {MEASURES[settings.metric]: found.values.mean(axis=0)},
    )


def _measured(
    runs: pl.DataFrame,
    methods: Sequence[str],
    scope: Scope,
    references: Mapping[str, Reference],
    settings: RankingSettings,
) -> Measured:
    """Return the regrets of the runs of some methods, in their order, and the means that are ranked."""
    chosen = runs.filter(
        pl.col("method").is_in(list(methods))
        & pl.col("seed").is_in(list(scope.seeds))
        & pl.col("trials").eq_missing(pl.lit(scope.trials, runs.schema["trials"]))
    ).sort("benchmark", "method", "seed")
    shape = len(scope.instances), len(methods), len(scope.seeds)
    scores = chosen["score"].to_numpy().reshape(shape)
    known = [references[instance] for instance in scope.instances]
    best = np.array([reference.best for reference in known])
    anchor_loss = np.array([getattr(reference, settings.anchor) for reference in known], dtype=np.float64)
    sizes = np.array([len(reference.sorted_losses) + 1 for reference in known])[:, None]
    positions = np.stack(
        [quantile_position(*pair) for pair in zip(scores, (r.sorted_losses for r in known), strict=True)]
    )
    # Positions are summed, and divided once, so that methods with equal sums tie exactly.
    quantile = positions.sum(axis=2) / (len(scope.seeds) * sizes)
    regret = np.stack([normalised_regret(*one) for one in zip(scores, best, anchor_loss, strict=True)])
    by_run = {
        "loss": scores,
        "quantile_regret": positions / sizes[:, None],
        "normalised_regret": regret,
    }
    if settings.metric == "log":
        by_run["log_regret"] = np.log10(np.maximum(regret, LOG_FLOOR))
    if settings.metric == "auc":
        by_run["area"] = chosen["area"].to_numpy().reshape(shape)
    means = quantile if settings.metric == "quantile" else by_run[MEASURES[settings.metric]].mean(axis=2)
    return Measured(best, anchor_loss, quantile, means, by_run)


def _tested(blocks: Floats, methods: Sequence[str], settings: RankingSettings) -> Tested:
    """Return the tests of all methods, of all pairs, and against the control, on blocks of shape (n, k)."""
    # Ranks need equal values to be exactly equal. Differences are rounded separately: differences of rounded
    # numbers that are equal in exact arithmetic would not tie.
    ranked = blocks.round(DECIMALS)
    if settings.untested:
        ranks = rank_blocks(ranked).mean(axis=0)
        nothing = Nemenyi.without(len(methods))
        return Tested(Friedman.without(ranks, len(blocks)), nothing, nothing, None)
    versus = None
    if settings.control in methods and len(methods) > 1:
        versus = wilcoxon(blocks, methods.index(settings.control), settings.correction, DECIMALS)
    by_nemenyi = nemenyi(ranked, settings.alpha)
    pairs: Nemenyi | Conover | Comparisons = by_nemenyi
    if settings.posthoc == "conover":
        pairs = conover(ranked, settings.alpha, settings.correction)
    elif settings.posthoc == "wilcoxon":
        pairs = wilcoxon(blocks, None, settings.correction, DECIMALS)
    return Tested(friedman(ranked), by_nemenyi, pairs, versus)
