"""What a ranking must state in words: n, tests, corrections, effect size, and what could have been found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from surrobench.report.ranking.model import DECIMALS, LOG_FLOOR, MEASURES, Floats, How, Tests, blocks_in_words
from surrobench.stats.correction import NAMES
from surrobench.stats.paired import Comparisons
from surrobench.stats.power import smallest_detectable
from surrobench.stats.ranks import Conover, Nemenyi
from surrobench.stats.signed_rank import pseudomedian

POWER = 0.8
"""With which a difference that is called detectable is found."""


_QUANTILE_NOTE = "the share of the search space that is better."
_METRIC_NOTES = {
    "quantile": f"quantile regret: {_QUANTILE_NOTE}",
    "normalised": f"normalised regret, unclipped. Quantile regret: {_QUANTILE_NOTE}",
    "log": f"the decimal logarithm of normalised regret, counted as {LOG_FLOOR:g} where it is less. "
    f"Quantile regret: {_QUANTILE_NOTE}",
    "auc": "the area below the anytime curve: the mean quantile regret of the incumbent over what was spent, "
    f"1 before anything was observed. Quantile regret: {_QUANTILE_NOTE}",
}


def notes_of(tests: Tests, how: How, clusters: Sequence[str], extent: str) -> list[str]:
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


def not_resolved(blocks: Floats, methods: Sequence[str], versus: Comparisons, how: How) -> list[str]:
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


def _of_pairs(pairs: Nemenyi | Conover | Comparisons, k: int, alpha: float) -> str:
    """The test of all pairs, without a full stop."""
    if isinstance(pairs, Nemenyi):
        return (
            f"Nemenyi: critical difference of mean ranks {pairs.critical_difference:.3f} at alpha = {alpha:g}"
        )
    over = f"{NAMES[pairs.correction]} over all {k * (k - 1) // 2} pairs at alpha = {alpha:g}"
    if isinstance(pairs, Conover):
        note = f" ({pairs.note})" if pairs.note else ""
        return f"Groups: Conover's t of rank sums with {pairs.dof} degrees of freedom, {over}{note}"
    return f"Groups: Wilcoxon signed-rank, {over}"


def extent(seeds: Sequence[int], trials: int | None) -> str:
    """On what methods are compared, in words."""
    return f"{len(seeds)} seed{'s' * (len(seeds) > 1)} ({spans(seeds)})" + (
        f" after {trials} trials" if trials else ""
    )


def spans(seeds: Iterable[int]) -> str:
    """Seeds as spans: 0-9, 12."""
    found: list[list[int]] = []
    for seed in sorted(seeds):
        if found and seed == found[-1][1] + 1:
            found[-1][1] = seed
        else:
            found.append([seed, seed])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in found)
