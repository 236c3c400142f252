"""The ranking of methods over benchmark instances: what every table and diagram shows. No I/O.

Blocks are instances; the seeds of an instance are averaged first, and only seeds that all methods have
count. Quantile regret, being free of scale, gives ranks and tests unless another metric is asked for;
normalised regret is shown beside it. Lower is better in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.errors import ResultsError, UnknownName, UsageError
from surrobench.report.beside import Beside
from surrobench.report.claims import Judged
from surrobench.stats.bootstrap import Interval, bootstrap, interquartile_mean, mean
from surrobench.stats.clusters import average_within
from surrobench.stats.correction import CORRECTIONS, NAMES, Correction
from surrobench.stats.improvement import BOUNDS
from surrobench.stats.improvement import scores as improvement_scores
from surrobench.stats.paired import Comparison, Comparisons, wilcoxon
from surrobench.stats.power import smallest_detectable
from surrobench.stats.ranks import (
    Conover,
    Friedman,
    Nemenyi,
    bars,
    cliques,
    conover,
    friedman,
    nemenyi,
    rank_blocks,
)
from surrobench.stats.regret import (
    Anchor,
    Reference,
    normalised_regret,
    quantile_position,
    random_trials_worth,
)
from surrobench.stats.signed_rank import pseudomedian

Floats = NDArray[np.float64]

POWER = 0.8
"""With which a difference that is called detectable is found."""
Metric = Literal["quantile", "normalised", "log", "auc"]
"""What ranks and tests use, a number per run, seeds averaged: quantile regret, normalised regret, its decimal
logarithm, or the area below the anytime curve of quantile regret."""
METRICS: tuple[Metric, ...] = get_args(Metric)
MEASURES: Mapping[Metric, str] = {
    "quantile": "quantile_regret", "normalised": "normalised_regret", "log": "log_regret", "auc": "area",
}  # fmt: skip
"""What a metric is called in tables."""

LOG_FLOOR = 1e-6
"""The least normalised regret that a logarithm is taken of: a run that found the best has none."""

DECIMALS = 12
"""Quantile regrets differ by multiples of 1 / (seeds x (N + 1)); below this is rounding of floats."""

Posthoc = Literal["nemenyi", "conover", "wilcoxon"]
"""The test of all pairs that a diagram's bars come from."""

RESAMPLES = 1000
"""Of each interval; their generator starts from 0, so that a ranking printed twice is the same."""


@dataclass(frozen=True)
class Ranking:
    """k methods, best mean rank first, over n instances. All arrays are in the order of ``methods``.

    Attributes:
        methods: from best to worst mean rank; equal ranks by mean quantile regret, then by name.
        models: the language model of each method as people read it; absent for methods without one.
        instances: the benchmarks, by name.
        clusters: n, the cluster of each instance, such as a data set; the instance itself where it is alone.
            Mean ranks, tests and intervals take each cluster as one block, the mean of its instances.
        seeds: the common seeds, the same on every instance.
        trials: after how many trials they are compared; None where their budget is another.
        quantile: shape (n, k), quantile regret, mean over seeds.
        normalised: shape (n, k), normalised regret, mean over seeds, unclipped.
        loss: shape (n, k), loss of the incumbents' configurations, mean over seeds.
        best: shape (n,), each instance's best loss.
        anchor_loss: shape (n,), the loss whose normalised regret is 1.
        anchor: which reference value that is.
        control: the method that others are compared with.
        alpha: family-wise level of the tests.
        friedman: Friedman's test, from ``values``.
        nemenyi: Nemenyi's test of all pairs, from ``values``.
        posthoc: the test of all pairs that groups of methods come from.
        pairs: its result, from ``values``; its ``p`` has shape (k, k) and is corrected for all pairs.
        versus_control: Wilcoxon, corrected, from ``values``; None if the control is not among the methods.
        notes: what a reader must know, one sentence or two each, plain text.
        further: methods with more seeds or trials on what is common to them; None if there are none.
        metric: what ranks and tests use.
        values: shape (n, k), that metric, mean over seeds, without the rounding errors of floats.
        by_run: name of a measure -> shape (n, k, s), in the order of ``seeds``.
        extra: key of a column of the table -> shape (k,), NaN where there is no value; see ``extras.py``.
        group: which part of the study this is; empty for all of it.
        claims: of the suite, judged; see ``report.claims``.
        also: further tests against the control; see ``report.also``.
        correction: of p-values.
    """

    methods: tuple[str, ...]
    models: Mapping[str, str]
    instances: tuple[str, ...]
    clusters: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: int | None
    quantile: Floats
    normalised: Floats
    loss: Floats
    best: Floats
    anchor_loss: Floats
    anchor: Anchor
    control: str
    alpha: float
    friedman: Friedman
    nemenyi: Nemenyi
    posthoc: Posthoc
    pairs: Nemenyi | Conover | Comparisons
    versus_control: Comparisons | None
    notes: tuple[str, ...]
    further: Ranking | None = field(default=None)
    metric: Metric = "quantile"
    values: Floats = field(default_factory=lambda: np.empty((0, 0)))
    by_run: Mapping[str, Floats] = field(default_factory=dict)
    extra: Mapping[str, Floats] = field(default_factory=dict)
    group: str = ""
    claims: tuple[Judged, ...] = ()
    also: tuple[Beside, ...] = ()
    correction: Correction = "holm"

    @property
    def further_by(self) -> str:
        """What the further ranking has more of: seeds, trials or both."""
        more = {} if self.further is None else {"seeds": self.seeds != self.further.seeds}
        more |= {} if self.further is None else {"trials": self.trials != self.further.trials}
        return " and ".join(what for what, differs in more.items() if differs)

    @cached_property
    def ranks(self) -> Floats:
        """Shape (n, k): rank of each method on each instance, 1 is the best."""
        return rank_blocks(self.values)

    @property
    def mean_rank(self) -> Floats:
        """Shape (k,)."""
        return self.friedman.mean_ranks

    @property
    def mean_normalised(self) -> Floats:
        """Shape (k,): mean over instances, unclipped."""
        return np.asarray(self.normalised.mean(axis=0))

    @property
    def mean_quantile(self) -> Floats:
        """Shape (k,): mean over instances."""
        return np.asarray(self.quantile.mean(axis=0))

    @property
    def random_trials(self) -> Floats:
        """Shape (k,): random trials that the mean quantile regret is worth."""
        return random_trials_worth(self.mean_quantile)

    @property
    def wins(self) -> NDArray[np.int64]:
        """Shape (k,): instances on which the method is the best, alone or with others."""
        return np.asarray((self.values == self.values.min(axis=1, keepdims=True)).sum(axis=0))

    @property
    def cliques(self) -> list[tuple[int, ...]]:
        """Groups of methods that the post hoc test cannot tell apart."""
        if self.posthoc == "nemenyi":
            return cliques(self.mean_rank, self.nemenyi.critical_difference)
        return bars(self.mean_rank, ~(self.pairs.p > self.alpha))

    @cached_property
    def iqm(self) -> tuple[Interval, ...]:
        """k, the interquartile mean of normalised regret over all runs, unclipped, with its interval."""
        blocks, _ = average_within(self.by_run["normalised_regret"], self.clusters)
        return tuple(
            bootstrap(
                blocks[:, method, :, None],
                interquartile_mean,
                np.random.default_rng(0),
                level=1 - self.alpha,
                resamples=RESAMPLES,
            )
            for method in range(len(self.methods))
        )

    @cached_property
    def improvement(self) -> tuple[Interval | None, ...]:
        """k, the probability of less loss than the control with the same seed, ties half, with its interval.

        None for the control itself, or without one.
        """
        if self.versus_control is None:
            return (None,) * len(self.methods)
        control = self.methods.index(self.control)
        loss = self.by_run["loss"]
        better = improvement_scores(loss, loss[:, [control]])
        blocks, _ = average_within(better, self.clusters)
        return tuple(
            None
            if method == control
            else bootstrap(
                blocks[:, method, :, None],
                mean,
                np.random.default_rng(0),
                level=1 - self.alpha,
                resamples=RESAMPLES,
                bounds=BOUNDS,
            )
            for method in range(len(self.methods))
        )

    @property
    def interval_note(self) -> str:
        """What a reader of ``iqm`` and ``improvement`` must know: shown where they are."""
        of = [interval for interval in (*self.iqm, *self.improvement) if interval]
        doubts = dict.fromkeys(interval.note for interval in of if interval.note)
        improvement = (
            f" Improvement: probability of less loss than {self.control} on the same instance with the same "
            "seed, ties half."
        )
        return (
            "IQM: interquartile mean of normalised regret over all runs, unclipped."
            + (improvement if self.versus_control else "")
            + f" Intervals: bootstrap-t at {1 - self.alpha:.0%}, each by itself, {RESAMPLES} resamples of "
            f"the {blocks_in_words(self.friedman.n, self.clusters)} and of seeds within them; they "
            f"generalise to {of[0].scope}." + "".join(f" Some: {doubt}." for doubt in doubts)
        )

    def comparison(self, method: int) -> Comparison | None:
        """The method's comparison with the control; None for the control itself, or without one."""
        found = self.versus_control.comparisons if self.versus_control else ()
        return next((comparison for comparison in found if comparison.method == method), None)

    def significant(self, method: int) -> bool:
        """Whether the method differs from the control, after correction, at level ``alpha``."""
        comparison = self.comparison(method)
        return comparison is not None and comparison.p_corrected <= self.alpha


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
    how = _How(control, anchor, alpha, metric, correction, posthoc, clusters or {})
    return _rank(runs, _reach(runs), references, how, models or {})


@dataclass(frozen=True)
class _How:
    """How to rank, as ``rank_methods`` was told."""

    control: str
    anchor: Anchor
    alpha: float
    metric: Metric
    correction: Correction
    posthoc: Posthoc
    clusters: Mapping[str, str]


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
    how: _How,
    models: Mapping[str, str],
) -> Ranking:
    """Rank the methods in ``reach`` on what is common to them, and those that have more once more."""
    common = _Reach.common(reach.values())
    if not common.seeds:
        raise ResultsError(
            "No seed is common to all methods: "
            + "; ".join(f"{method} has {_spans(own.seeds)}" for method, own in sorted(reach.items()))
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

    notes = _notes(tests, how, clusters, _extent(seeds, trials))
    if tests.versus and tests.versus.smallest_p <= how.alpha:
        notes += _not_resolved(blocks, methods, tests.versus, how)
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
            f"to all, {_extent(seeds, trials)}: "
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
    how: _How,
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


@dataclass(frozen=True)
class _Tests:
    """What was tested; see ``Ranking`` for the names."""

    overall: Friedman
    nemenyi: Nemenyi
    pairs: Nemenyi | Conover | Comparisons
    versus: Comparisons | None


def _tested(blocks: Floats, methods: Sequence[str], how: _How) -> _Tests:
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
    return _Tests(friedman(ranked), by_nemenyi, pairs, versus)


def _notes(tests: _Tests, how: _How, clusters: Sequence[str], extent: str) -> list[str]:
    """What a table must state: n, tests, corrections, effect size, and what could have been found."""
    overall, pairs, versus = tests.overall, tests.pairs, tests.versus
    n, k, alpha = overall.n, overall.k, how.alpha
    notes = [
        f"n = {blocks_in_words(n, clusters)}, on each the mean of {extent}: two seeds of one instance are "
        "not two data sets.",
        f"Ranks and tests use {_METRIC_NOTES[how.metric]} "
        f"Normalised regret is 0 at the best known loss and 1 at the {how.anchor}; its means are clipped to "
        "[0, 1] where shown. Random trials: 1/q - 1 of the mean quantile regret q.",
    ]
    if n < 2 or k < 2:
        notes.append(f"Friedman and {how.posthoc.capitalize()}: {overall.note}.")
    else:
        notes.append(
            f"Friedman, ties corrected: chi2({k - 1}) = {overall.chi_square:.4g}, p = {overall.p:.3g}; "
            f"Iman-Davenport F({k - 1}, {(k - 1) * (n - 1)}) = {overall.f:.4g}, p = {overall.f_p:.3g}"
            + (f" ({overall.note})." if overall.note else ".")
        )
        # Wilcoxon's pairs need no omnibus test before them: they are corrected for all of them.
        readable = overall.f_p <= alpha or isinstance(pairs, Comparisons)
        notes.append(
            _of_pairs(pairs, k, alpha)
            + ("." if readable else
               ", not to be read: Friedman's test does not reject that all methods rank alike.")
        )  # fmt: skip
    if versus is None:
        if k > 1:
            notes.append(f"The control {how.control} is not among these methods: none is tested against it.")
        return notes
    m = len(versus.comparisons)
    notes.append(
        f"Against the control {how.control}: Wilcoxon signed-rank, two-sided, ranks of zeros split, "
        f"{NAMES[how.correction]} over {m} comparison{'s' if m > 1 else ''}, "
        f"* where p <= {alpha:g}; effect: matched-pairs rank-biserial "
        "correlation, positive where better than the control. Smallest corrected p that "
        f"n = {n} could reach: {versus.smallest_p:.3g}"
        + ("." if versus.smallest_p <= alpha else ", so none can be significant.")
    )
    return notes


def _not_resolved(blocks: Floats, methods: Sequence[str], versus: Comparisons, how: _How) -> list[str]:
    """Which methods cannot be told from the control, and what difference could have been seen."""
    m = len(versus.comparisons)
    parts = []
    for comparison in versus.comparisons:
        if comparison.p_corrected > how.alpha:
            gains = (blocks[:, versus.control] - blocks[:, comparison.method]).round(DECIMALS)
            rng = np.random.default_rng(0)
            least = smallest_detectable(gains, how.alpha / m, POWER, rng)
            parts.append(f"{methods[comparison.method]} {least:.2g} (seen: {pseudomedian(gains):+.2g})")
    if not parts:
        return []
    measure = MEASURES[how.metric].replace("_", " ")
    return [
        f"Not resolved: at this n, {POWER:.0%} power against the control, at the least favourable step of a "
        f"correction, needs a difference in {measure} of about {'; '.join(parts)}. See: surrobench power."
    ]


_QUANTILE_NOTE = "the share of the search space that is better."
_METRIC_NOTES = {
    "quantile": f"quantile regret: {_QUANTILE_NOTE}",
    "normalised": f"normalised regret, unclipped. Quantile regret: {_QUANTILE_NOTE}",
    "log": f"the decimal logarithm of normalised regret, counted as {LOG_FLOOR:g} where it is less. "
    f"Quantile regret: {_QUANTILE_NOTE}",
    "auc": "the area below the anytime curve: the mean quantile regret of the incumbent over what was spent, "
    f"1 before anything was observed. Quantile regret: {_QUANTILE_NOTE}",
}


def blocks_in_words(n: int, clusters: Sequence[str]) -> str:
    """What n counts: instances, or the clusters that they are in."""
    if n == len(clusters):
        return f"{n} instances"
    return f"{n} clusters of {len(clusters)} instances, each averaged to one block"


def _of_pairs(pairs: Nemenyi | Conover | Comparisons, k: int, alpha: float) -> str:
    """The test of all pairs, without a full stop."""
    if isinstance(pairs, Nemenyi):
        return (
            f"Nemenyi: critical difference of mean ranks {pairs.critical_difference:.3f} at alpha = {alpha:g}"
        )
    over = f"{NAMES[pairs.correction]} over all {k * (k - 1) // 2} pairs at alpha = {alpha:g}"
    if isinstance(pairs, Conover):
        return f"Groups: Conover's t of rank sums with {pairs.dof} degrees of freedom, {over}"
    return f"Groups: Wilcoxon signed-rank, {over}"


def _extent(seeds: Sequence[int], trials: int | None) -> str:
    """On what methods are compared, in words."""
    return f"{len(seeds)} seeds ({_spans(seeds)})" + (f" after {trials} trials" if trials else "")


def _spans(seeds: Iterable[int]) -> str:
    """Seeds as spans: 0-9, 12."""
    spans: list[list[int]] = []
    for seed in sorted(seeds):
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
