"""What a ranking states in words: n, tests, corrections, effect size, and what the tests could have found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surrobench.arrays import Floats
from surrobench.report.ranking.model import (
    DECIMALS,
    LOG_FLOOR,
    MEASURES,
    Note,
    NoteKind,
    Ranking,
    RankingSettings,
    Scope,
    Tested,
    Unresolved,
)
from surrobench.stats.correction import NAMES
from surrobench.stats.paired import Comparisons
from surrobench.stats.power import smallest_detectable
from surrobench.stats.ranks import Conover, Nemenyi
from surrobench.stats.signed_rank import pseudomedian

POWER = 0.8
"""The power with which a difference that is called detectable is found."""

SHOWN = 5
"""The number of notes that are shown unless all are asked for."""

_ORDER: tuple[NoteKind, ...] = ("scope", "control", "warning", "column", "metric", "overall", "pairs")
"""The kinds of notes, the most important first."""

_QUANTILE = "quantile regret, the share of the search space that is better than what a method found"
_METRICS = {
    "quantile": f"{_QUANTILE}.",
    "normalised": f"normalised regret, unclipped. The table also shows {_QUANTILE}.",
    "log": f"the decimal logarithm of normalised regret; regret below {LOG_FLOOR:g} counts as {LOG_FLOOR:g}. "
    f"The table also shows {_QUANTILE}.",
    "auc": "the area below the anytime curve, which is the mean quantile regret of the incumbent over what "
    f"was spent; it is 1 before anything was observed. The table also shows {_QUANTILE}.",
}


_EXCHANGEABLE = (
    "It presumes that all methods are alike: two that vary much among others that do not are told apart too "
    "readily, which Wilcoxon's test of all pairs avoids"
)

# ---------------------------------------------------------------------- which notes are shown


@dataclass(frozen=True)
class ShownNotes:
    """The notes that a table shows.

    Attributes:
        notes: the notes, in the order of the ranking.
        hidden: the number of notes that are left out.
    """

    notes: tuple[Note, ...]
    hidden: int

    @property
    def more(self) -> str:
        """Return the line that says how to see the rest; empty where nothing is hidden."""
        return f"{self.hidden} more note{'s' * (self.hidden != 1)}: --notes" if self.hidden else ""


def notes_to_show(ranking: Ranking, all: bool = False) -> ShownNotes:  # noqa: A002 - says what it does
    """Return the notes that matter most, or all notes.

    Args:
        ranking: whose notes.
        all: whether nothing is left out; else the ``SHOWN`` most important notes are chosen.
    """
    if all:
        return ShownNotes(ranking.notes, 0)
    by_importance = sorted(range(len(ranking.notes)), key=lambda i: _ORDER.index(ranking.notes[i].kind))
    kept = sorted(by_importance[:SHOWN])
    return ShownNotes(tuple(ranking.notes[i] for i in kept), len(ranking.notes) - len(kept))


# ---------------------------------------------------------------------- what is said


def notes_of(tested: Tested, settings: RankingSettings, scope: Scope) -> list[Note]:
    """Return what every ranking states: its data, its metric, and each of its tests."""
    overall = tested.friedman
    return [
        Note(
            "scope",
            f"n = {blocks_in_words(overall.n, scope.clusters)}. The value of an instance is the mean of "
            f"{extent(scope.seeds, scope.trials)}, since two seeds of one instance are not two data sets.",
        ),
        Note(
            "metric",
            f"Ranks and tests use {_METRICS[settings.metric]} Normalised regret is 0 at the best known loss "
            f"and 1 at the {settings.anchor}; its means are clipped to [0, 1] where they are shown. Random "
            "trials: the number of random trials that a mean quantile regret q is worth, 1/q - 1.",
        ),
        *_of_all_methods(tested, settings),
        *_of_control(tested, settings),
    ]


def _of_all_methods(tested: Tested, settings: RankingSettings) -> list[Note]:
    """Return the notes on the test that all methods rank alike, and on the test of all pairs."""
    overall, pairs = tested.friedman, tested.pairs
    n, k = overall.n, overall.k
    if settings.untested:
        return [Note("warning", f"Nothing is tested: {settings.untested}.")]
    if n < 2 or k < 2:
        return [Note("overall", f"Friedman and {settings.posthoc.capitalize()}: {overall.note}.")]
    text = (
        f"Friedman's test, corrected for ties: chi2({k - 1}) = {overall.chi_square:.4g}, permutation p = "
        f"{overall.p:.3g} ({overall.how})" + (f"; {overall.note}." if overall.note else ".")
    )
    # Wilcoxon's pairs need no omnibus test before them, because they are corrected for all pairs.
    readable = overall.p <= settings.alpha or isinstance(pairs, Comparisons)
    doubt = "." if readable else (
        ". Do not read it: Friedman's test does not reject that all methods rank alike."
    )  # fmt: skip
    return [Note("overall", text), Note("pairs", _of_pairs(pairs, k, settings.alpha) + doubt)]


def _of_pairs(pairs: Nemenyi | Conover | Comparisons, k: int, alpha: float) -> str:
    """Return a sentence on the test of all pairs, without a full stop."""
    if isinstance(pairs, Nemenyi):
        return (
            f"Nemenyi's test of all pairs: critical difference of mean ranks {pairs.critical_difference:.3f} "
            f"at alpha = {alpha:g} ({pairs.how}). {_EXCHANGEABLE}"
        )
    over = f"{NAMES[pairs.correction]} over all {k * (k - 1) // 2} pairs at alpha = {alpha:g}"
    if isinstance(pairs, Conover):
        note = f" ({pairs.note})" if pairs.note else ""
        return (
            f"Groups: Conover's t of rank sums with {pairs.dof} degrees of freedom, {over}{note}. "
            f"{_EXCHANGEABLE}"
        )
    return f"Groups: Wilcoxon's signed-rank test, {over}"


def _of_control(tested: Tested, settings: RankingSettings) -> list[Note]:
    """Return the note on the test of each method against the control."""
    versus, alpha = tested.versus_control, settings.alpha
    if versus is None:
        if tested.friedman.k == 1 or settings.untested:
            return []
        text = f"The control {settings.control} is not among these methods: none is tested against it."
        return [Note("control", text)]
    m = len(versus.comparisons)
    none = "." if versus.smallest_p <= alpha else ", so no difference can be significant."
    text = (
        f"Wilcoxon's signed-rank test (two-sided, ranks of zeros split) compares each method with the "
        f"control, {settings.control}. The p-values are corrected for {m} comparison{'s' * (m > 1)} "
        f"({NAMES[settings.correction]}). A star marks p <= {alpha:g}. The effect is the matched-pairs "
        f"rank-biserial correlation, which is positive where a method is better than the control. The "
        f"smallest corrected p that n = {versus.n} could reach is {versus.smallest_p:.3g}{none}"
    )
    return [Note("control", text)]


def not_resolved(
    blocks: Floats, methods: Sequence[str], tested: Tested, settings: RankingSettings
) -> tuple[Unresolved, ...]:
    """Return the methods that the test cannot tell from the control, and the differences it would find.

    Args:
        blocks: shape (n, k), the metric of each method on each block.
        methods: k names.
        tested: the tests of these blocks.
        settings: how they were tested.

    Returns:
        Nothing where so few blocks cannot tell any method from the control.
    """
    versus = tested.versus_control
    if versus is None or versus.smallest_p > settings.alpha:
        return ()
    m = len(versus.comparisons)
    found = []
    for comparison in versus.comparisons:
        if comparison.p_corrected > settings.alpha:
            gains = (blocks[:, versus.control] - blocks[:, comparison.method]).round(DECIMALS)
            # The level is that of the least favourable step of the correction. Each method has a generator of
            # its own, so that their order does not matter.
            needed = smallest_detectable(gains, settings.alpha / m, POWER, np.random.default_rng(0))
            found.append(Unresolved(methods[comparison.method], needed, float(pseudomedian(gains))))
    return tuple(found)


def unresolved_caption(ranking: Ranking) -> str:
    """Return what a reader of the table of unresolved methods must know."""
    measure = MEASURES[ranking.metric].replace("_", " ")
    return (
        f"n = {ranking.friedman.n} is too few to tell these methods from {ranking.control}. "
        f"Needed: the difference in {measure} that the test would find in {POWER:.0%} of such studies, at "
        "the strictest step of the correction. Observed: the pseudomedian of the differences; positive "
        "means better than the control. surrobench power says how many data sets would be enough."
    )


def of_shared_data_sets(block_of: Mapping[str, str], *, together: bool, most: int = 3) -> list[Note]:
    """Return a note on the benchmarks that share a data set; nothing where none do.

    Args:
        block_of: benchmark -> its data set where other benchmarks are on it, too; else the benchmark.
        together: whether the benchmarks of one data set count as one block.
        most: how many data sets are listed.
    """
    members: dict[str, list[str]] = {}
    for benchmark, block in block_of.items():
        members.setdefault(block, []).append(benchmark)
    shared = {data_set: names for data_set, names in members.items() if len(names) > 1}
    if not shared:
        return []
    listed = "; ".join(f"{' and '.join(names)} ({name})" for name, names in list(shared.items())[:most])
    more = f"; and {len(shared) - most} more" if len(shared) > most else ""
    consequence = (
        "Tests count the mean of those as one block, since what favours a method on one of them favours it "
        "on the other."
        if together
        else "Tests count each as a block of its own, as asked for, although these are not independent "
        "evidence: p-values are too small."
    )
    return [Note("warning", f"Benchmarks that share a data set: {listed}{more}. {consequence}")]


def extent(seeds: Sequence[int], trials: int | None) -> str:
    """Return in words on which seeds, and after how many trials, methods are compared."""
    return f"{len(seeds)} seed{'s' * (len(seeds) > 1)} ({spans(seeds)})" + (
        f" after {trials} trials" if trials else ""
    )


def spans(seeds: Iterable[int]) -> str:
    """Return seeds as spans, such as 0-9, 12."""
    found: list[list[int]] = []
    for seed in sorted(seeds):
        if found and seed == found[-1][1] + 1:
            found[-1][1] = seed
        else:
            found.append([seed, seed])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in found)


def blocks_in_words(n: int, clusters: Sequence[str]) -> str:
    """Return what n counts: instances, or the clusters that instances are in."""
    if n == len(clusters):
        return f"{n} instances"
    return f"{n} clusters of {len(clusters)} instances, each averaged to one block"
