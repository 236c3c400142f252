"""The ranking of methods over benchmark instances: what every table and diagram shows. No I/O.

Blocks are instances; the seeds of an instance are averaged first, and only seeds that all methods have
count. Quantile regret, being free of scale, gives ranks and tests unless another metric is asked for;
normalised regret is shown beside it. Lower is better in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from surrobench.report.claims import Judged
from surrobench.report.render.extra_tests import Beside
from surrobench.stats.bootstrap import Interval, bootstrap, interquartile_mean, mean
from surrobench.stats.clusters import average_within
from surrobench.stats.correction import Correction
from surrobench.stats.improvement import BOUNDS, score_tables, unpaired_interval
from surrobench.stats.improvement import scores as improvement_scores
from surrobench.stats.paired import Comparison, Comparisons
from surrobench.stats.ranks import (
    Conover,
    Friedman,
    Nemenyi,
    bars,
    cliques,
    rank_blocks,
)
from surrobench.stats.regret import (
    Anchor,
    random_trials_worth,
)

Floats = NDArray[np.float64]

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

    @cached_property
    def improvement_unpaired(self) -> tuple[Interval | None, ...]:
        """k, the probability of less loss than the control with any seed, ties half, with its interval.

        Every run is compared with every run of the control on the same instance, as rliable does: the one to
        read where equal seeds share nothing. None for the control itself, or without one.
        """
        if self.versus_control is None:
            return (None,) * len(self.methods)
        control = self.methods.index(self.control)
        loss = self.by_run["loss"]

        def of(method: int) -> Interval:
            tables, _ = average_within(score_tables(loss[:, method], loss[:, control]), self.clusters)
            return unpaired_interval(
                tables, np.random.default_rng(0), level=1 - self.alpha, resamples=RESAMPLES
            )

        return tuple(None if method == control else of(method) for method in range(len(self.methods)))

    @property
    def interval_note(self) -> str:
        """What a reader of ``iqm`` and both ``improvement`` must know: shown where they are."""
        found = (*self.iqm, *self.improvement, *self.improvement_unpaired)
        of = [interval for interval in found if interval]
        doubts = dict.fromkeys(interval.note for interval in of if interval.note)
        improvement = (
            f" Improvement: probability of less loss than {self.control} on the same instance, ties half; "
            "paired: with the same seed, hence from the same start, which results of others do not share; "
            "unpaired: any seed of one against any of the other, as rliable (Agarwal et al. 2021)."
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


@dataclass(frozen=True)
class How:
    """How to rank, as ``rank_methods`` was told."""

    control: str
    anchor: Anchor
    alpha: float
    metric: Metric
    correction: Correction
    posthoc: Posthoc
    clusters: Mapping[str, str]


@dataclass(frozen=True)
class Tests:
    """What was tested; see ``Ranking`` for the names."""

    overall: Friedman
    nemenyi: Nemenyi
    pairs: Nemenyi | Conover | Comparisons
    versus: Comparisons | None


def blocks_in_words(n: int, clusters: Sequence[str]) -> str:
    """What n counts: instances, or the clusters that they are in."""
    if n == len(clusters):
        return f"{n} instances"
    return f"{n} clusters of {len(clusters)} instances, each averaged to one block"
