"""Define the ranking of methods over benchmark instances, which every table and diagram shows. No I/O.

A block of the tests is an instance, or all instances of one data set. The seeds of an instance are averaged
first, and only seeds that all methods have count. Ranks and tests use quantile regret, which has no scale,
unless another metric is asked for; normalised regret is shown as well. Lower is better in all of them.

The file is long because the whole data model stands on one page, and most of it is documentation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from surrobench.arrays import Floats, Ints
from surrobench.report.claims import Judged
from surrobench.stats.correction import Correction
from surrobench.stats.paired import Comparison, Comparisons
from surrobench.stats.ranks import Conover, Friedman, Nemenyi, bars, cliques, rank_blocks
from surrobench.stats.regret import Anchor, random_trials_worth

Metric = Literal["quantile", "normalised", "log", "auc"]
"""The number per run that ranks and tests use, averaged over seeds: quantile regret, normalised regret, its
decimal logarithm, or the area below the anytime curve of quantile regret."""
METRICS: tuple[Metric, ...] = get_args(Metric)
MEASURES: Mapping[Metric, str] = {
    "quantile": "quantile_regret", "normalised": "normalised_regret", "log": "log_regret", "auc": "area",
}  # fmt: skip
"""The name of each metric in tables."""

LOG_FLOOR = 1e-6
"""The least normalised regret that a logarithm is taken of: a run that found the best loss has regret 0."""

DECIMALS = 12
"""Quantile regrets differ by multiples of 1 / (seeds x (N + 1)); smaller differences are rounding errors."""

Posthoc = Literal["nemenyi", "conover", "wilcoxon"]
"""The test of all pairs that the bars of a diagram come from."""


# ---------------------------------------------------------------------- notes

NoteKind = Literal["scope", "control", "warning", "column", "metric", "overall", "pairs"]
"""The subject of a note: the data that are compared, the test against the control, something that could
mislead a reader, a column that was asked for, the metric, the test that all methods rank alike, or all
pairs.
"""


@dataclass(frozen=True)
class Note:
    """A sentence or two that a reader of a ranking should know, as plain text."""

    kind: NoteKind
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Unresolved:
    """A method that the test cannot tell from the control.

    Attributes:
        method: its name.
        needed: the smallest difference that the test would find with 80% power at this number of blocks, in
            the metric; infinite where no difference is large enough.
        observed: the difference that was observed (pseudomedian), positive where better than the control.
    """

    method: str
    needed: float
    observed: float


# ---------------------------------------------------------------------- extra tests

ExtraTestName = Literal["bayes", "hierarchical", "mixed", "sign-flip"]
"""The Bayesian signed-rank and hierarchical tests, the linear mixed-effects model, the sign-flip test."""
EXTRA_TESTS: tuple[ExtraTestName, ...] = get_args(ExtraTestName)

Finding = Literal["better", "worse", "same", ""]
"""The finding of a test about a method at the ranking's level; empty where the test says nothing."""


@dataclass(frozen=True)
class Number:
    """A column of numbers: its name in CSV and JSON, its heading, and how people read a value."""

    key: str
    heading: str
    show: Callable[[float], str]


@dataclass(frozen=True)
class ExtraTest:
    """The result of one extra test for all methods except the control.

    Attributes:
        test: the name of the test.
        title: the title of its table.
        numbers: the columns of its table.
        values: method -> a value for each column, NaN where there is none; in the ranking's order.
        findings: method -> the finding of the test.
        facts: n, correction or prior, and other facts about the whole table; JSON values.
        note: the facts in words.
    """

    test: ExtraTestName
    title: str
    numbers: tuple[Number, ...]
    values: Mapping[str, Sequence[float]]
    findings: Mapping[str, Finding]
    facts: Mapping[str, Any]
    note: str

    def cells(self, method: str) -> list[str]:
        """Return the numbers of a method as people read them."""
        pairs = zip(self.numbers, self.values[method], strict=True)
        return ["" if math.isnan(value) else number.show(value) for number, value in pairs]

    def document(self) -> dict[str, Any]:
        """Return the whole test as a JSON value."""
        keys = [number.key for number in self.numbers]
        return {
            "test": self.test,
            **self.facts,
            "methods": {
                method: {**dict(zip(keys, values, strict=True)), "finding": self.findings[method] or None}
                for method, values in self.values.items()
            },
            "note": self.note,
        }

    def columns(self) -> list[str]:
        """Return the names of the test's columns in CSV."""
        prefix = self.test.replace("-", "_")
        return [f"{prefix}_{number.key}" for number in self.numbers]


# ---------------------------------------------------------------------- the ranking


@dataclass(frozen=True)
class RankingSettings:
    """The settings by which methods are ranked and tested; see ``rank_methods``.

    Attributes:
        control: the method that the others are compared with.
        anchor: the reference value whose normalised regret is 1.
        alpha: the family-wise level of the tests.
        metric: the metric that ranks and tests use.
        correction: the correction of p-values.
        posthoc: the test of all pairs that groups of methods come from.
        clusters: instance -> the cluster that it counts with, such as its data set; if empty, each instance
            counts separately.
        untested: why methods may not be tested against each other; empty where they may.
    """

    control: str = "random"
    anchor: Anchor = "median"
    alpha: float = 0.05
    metric: Metric = "quantile"
    correction: Correction = "holm"
    posthoc: Posthoc = "wilcoxon"
    clusters: Mapping[str, str] = field(default_factory=dict)
    untested: str = ""


@dataclass(frozen=True)
class Scope:
    """The runs that are compared: all methods on the same n instances with the same seeds.

    Attributes:
        instances: the benchmarks, by name.
        clusters: n names, the cluster of each instance, such as a data set; the instance itself where it is
            alone. Mean ranks, tests and intervals take each cluster as one block, the mean of its instances.
        seeds: the common seeds, the same on every instance.
        trials: the number of trials after which methods are compared; None where their budget has another
            unit.
    """

    instances: tuple[str, ...]
    clusters: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: int | None


@dataclass(frozen=True)
class Measured:
    """The values that k methods reached on n instances with s seeds. Lower is better.

    Attributes:
        best: shape (n,), the best loss of each instance.
        anchor_loss: shape (n,), the loss whose normalised regret is 1.
        quantile: shape (n, k), quantile regret, mean over seeds.
        means: shape (n, k), the metric, mean over seeds, with the rounding errors of floats.
        by_run: name of a measure -> shape (n, k, s), in the order of the seeds.
    """

    best: Floats
    anchor_loss: Floats
    quantile: Floats
    means: Floats
    by_run: Mapping[str, Floats]

    @property
    def values(self) -> Floats:
        """Return what is ranked, shape (n, k); means that are equal in exact arithmetic are equal."""
        return self.means.round(DECIMALS)

    @property
    def loss(self) -> Floats:
        """Return the loss of the incumbents' configurations, mean over seeds, shape (n, k)."""
        return np.asarray(self.by_run["loss"].mean(axis=2))

    @property
    def normalised(self) -> Floats:
        """Return the normalised regret, mean over seeds, unclipped, shape (n, k)."""
        return np.asarray(self.by_run["normalised_regret"].mean(axis=2))

    @property
    def beyond_best(self) -> int:
        """Return the number of runs that found less than the best loss that was known."""
        return int((self.by_run["loss"] < self.best[:, None, None]).sum())

    def in_order(self, order: Sequence[int]) -> Measured:
        """Return the same values with the methods in this order."""
        return Measured(
            self.best,
            self.anchor_loss,
            self.quantile[:, order],
            self.means[:, order],
            {name: of_runs[:, order] for name, of_runs in self.by_run.items()},
        )


@dataclass(frozen=True)
class Tested:
    """The results of the tests, all on the metric.

    Attributes:
        friedman: Friedman's test that all methods rank alike.
        nemenyi: Nemenyi's test of all pairs.
        pairs: the test of all pairs that was asked for; its ``p`` has shape (k, k) and is corrected.
        versus_control: Wilcoxon's test against the control, corrected; None if the control is not ranked, or
            nothing may be tested.
    """

    friedman: Friedman
    nemenyi: Nemenyi
    pairs: Nemenyi | Conover | Comparisons
    versus_control: Comparisons | None


@dataclass(frozen=True)
class Ranking:
    """A ranking of k methods over n instances, with all arrays in the order of ``methods``.

    Attributes:
        methods: the methods from best to worst mean rank. Equal ranks are ordered by mean quantile regret,
            then by name.
        models: method -> its language model as people read it; absent for methods without one.
        settings: how methods are ranked and tested.
        scope: the runs that are compared.
        measured: what the methods reached.
        tested: the results of the tests.
        notes: what a reader should know; ``notes.notes_to_show`` says which notes are shown.
        unresolved: the methods that the test cannot tell from the control, where it could tell any.
        extra: key of a column that was asked for -> shape (k,), NaN where there is no value.
        extra_tests: further tests against the control that were asked for.
        claims: the suite's claims, judged.
        further: a ranking of the methods with more seeds or trials; None if there are none.
        group: which part of the study is ranked; empty for all of it.
        source: the version of surrobench, the suites, and the options of the ranking, as JSON values.
    """

    methods: tuple[str, ...]
    models: Mapping[str, str]
    settings: RankingSettings
    scope: Scope
    measured: Measured
    tested: Tested
    notes: tuple[Note, ...]
    unresolved: tuple[Unresolved, ...] = ()
    extra: Mapping[str, Floats] = field(default_factory=dict)
    extra_tests: tuple[ExtraTest, ...] = ()
    claims: tuple[Judged, ...] = ()
    further: Ranking | None = None
    group: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)

    # The properties below give short names to what nearly every reader of a ranking asks for.

    @property
    def control(self) -> str:
        """Return the method that the others are compared with."""
        return self.settings.control

    @property
    def alpha(self) -> float:
        """Return the family-wise level of the tests."""
        return self.settings.alpha

    @property
    def metric(self) -> Metric:
        """Return the metric that ranks and tests use."""
        return self.settings.metric

    @property
    def instances(self) -> tuple[str, ...]:
        """Return the benchmarks, by name."""
        return self.scope.instances

    @property
    def clusters(self) -> tuple[str, ...]:
        """Return the cluster of each instance."""
        return self.scope.clusters

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the common seeds."""
        return self.scope.seeds

    @property
    def trials(self) -> int | None:
        """Return the number of trials after which methods are compared; None if their budget has another
        unit.
        """
        return self.scope.trials

    @property
    def values(self) -> Floats:
        """Return what is ranked, mean over seeds, shape (n, k)."""
        return self.measured.values

    @property
    def by_run(self) -> Mapping[str, Floats]:
        """Return name of a measure -> values of shape (n, k, s)."""
        return self.measured.by_run

    @property
    def friedman(self) -> Friedman:
        """Return Friedman's test."""
        return self.tested.friedman

    @property
    def versus_control(self) -> Comparisons | None:
        """Return Wilcoxon's test against the control."""
        return self.tested.versus_control

    @property
    def further_by(self) -> str:
        """Return what the further ranking has more of: seeds, trials or both."""
        more = {} if self.further is None else {"seeds": self.seeds != self.further.seeds}
        more |= {} if self.further is None else {"trials": self.trials != self.further.trials}
        return " and ".join(what for what, differs in more.items() if differs)

    @cached_property
    def ranks(self) -> Floats:
        """Return the rank of each method on each instance, shape (n, k); 1 is the best."""
        return rank_blocks(self.values)

    @property
    def mean_rank(self) -> Floats:
        """Return the mean rank over the blocks, shape (k,)."""
        return self.friedman.mean_ranks

    @property
    def mean_normalised(self) -> Floats:
        """Return the normalised regret, mean over instances, unclipped, shape (k,)."""
        return np.asarray(self.measured.normalised.mean(axis=0))

    @property
    def mean_quantile(self) -> Floats:
        """Return the quantile regret, mean over instances, shape (k,)."""
        return np.asarray(self.measured.quantile.mean(axis=0))

    @property
    def random_trials(self) -> Floats:
        """Return the number of random trials that the mean quantile regret is worth, shape (k,)."""
        return random_trials_worth(self.mean_quantile)

    @property
    def wins(self) -> Ints:
        """Return the number of instances on which a method is the best, alone or with others, shape (k,)."""
        values = self.values
        return np.asarray((values == values.min(axis=1, keepdims=True)).sum(axis=0))

    @property
    def cliques(self) -> list[tuple[int, ...]]:
        """Return the groups of methods that the post hoc test cannot tell apart.

        Nemenyi's and Conover's tests are not read where Friedman's test does not reject: all are one group.
        One block groups nothing.
        """
        if self.friedman.n < 2 or self.settings.untested:
            return []
        if self.settings.posthoc != "wilcoxon" and not self.friedman.p <= self.alpha:
            return [tuple(range(len(self.methods)))]
        if self.settings.posthoc == "nemenyi":
            return cliques(self.mean_rank, self.tested.nemenyi.critical_difference)
        return bars(self.mean_rank, ~(self.tested.pairs.p > self.alpha))

    def comparison(self, method: int) -> Comparison | None:
        """Return the method's comparison with the control; None for the control itself, or without one."""
        found = self.versus_control.comparisons if self.versus_control else ()
        return next((comparison for comparison in found if comparison.method == method), None)

    def significant(self, method: int) -> bool:
        """Return whether the method differs from the control, after correction, at level ``alpha``."""
        comparison = self.comparison(method)
        return comparison is not None and comparison.p_corrected <= self.alpha
