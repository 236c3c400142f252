"""A study to its ranking, with all that was asked for: what ``rank`` prints and ``plot`` draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from surrobench.report.data.study_data import Blocks, StudyData
from surrobench.report.ranking.build import rank_methods
from surrobench.report.ranking.extra_columns import with_target, with_tests
from surrobench.report.ranking.extra_tests import ROPE, with_also
from surrobench.report.ranking.intervals import with_intervals
from surrobench.report.ranking.model import Metric, Posthoc, Ranking
from surrobench.report.render.extra_tests import Also
from surrobench.stats.correction import Correction
from surrobench.stats.regret import Anchor
from surrobench.stats.steps import Unit


@dataclass(frozen=True)
class Wanted:
    """What a ranking is to show, and how it tests; see ``rank_methods`` for what is not said here.

    Attributes:
        blocks: what tests count: benchmarks of one data set as one block, or each by itself.
        intervals: show interquartile means and probabilities of improvement.
        target: show what it took to reach this quantile regret; None: do not.
        unit: in which that is counted.
        tests: show the incumbents' test metric.
        also: further tests against the control.
        rope: of the Bayesian ones, half the width of the region of practical equivalence.
    """

    metric: Metric = "quantile"
    anchor: Anchor = "median"
    alpha: float = 0.05
    correction: Correction = "holm"
    posthoc: Posthoc = "nemenyi"
    blocks: Blocks = "data-set"
    intervals: bool = False
    target: float | None = None
    unit: Unit = "trials"
    tests: bool = False
    also: Sequence[Also] = ()
    rope: float = ROPE


def rank_study(
    study: StudyData,
    wanted: Wanted | None = None,
    group: str = "",
    progress: Callable[[Sequence[int]], Iterator[int]] = iter,
) -> Ranking:
    """The ranking of a study.

    Args:
        study: see ``load_study``; with the units, area and test metric that are wanted.
        wanted: what to show.
        group: which part of a larger study it is.
        progress: see ``with_also``.

    Raises:
        as ``rank_methods``, ``with_also``
    """
    wanted = wanted or Wanted()
    ranking = rank_methods(
        study.incumbents,
        study.references,
        control=study.control,
        anchor=wanted.anchor,
        alpha=wanted.alpha,
        models=study.models,
        metric=wanted.metric,
        correction=wanted.correction,
        posthoc=wanted.posthoc,
        clusters=study.blocks if wanted.blocks == "data-set" else None,
    )
    if wanted.intervals:
        ranking = with_intervals(ranking)
    if wanted.target:
        curves = study.anytime(wanted.anchor, ranking.trials)
        ranking = with_target(ranking, curves, wanted.target, wanted.unit)
    if wanted.tests:
        ranking = with_tests(ranking, study.incumbents)
    if wanted.also:
        ranking = with_also(ranking, wanted.also, wanted.rope, progress)
    notes = (*ranking.notes, *_of_blocks(study.blocks, wanted.blocks), *study.notes)
    return replace(ranking, group=group, notes=notes)


def _of_blocks(blocks_of: Mapping[str, str], blocks: Blocks, most: int = 3) -> list[str]:
    """Which benchmarks share a data set, and what was made of it; nothing where none do."""
    of: dict[str, list[str]] = {}
    for benchmark, block in blocks_of.items():
        of.setdefault(block, []).append(benchmark)
    shared = {data_set: members for data_set, members in of.items() if len(members) > 1}
    if not shared:
        return []
    listed = "; ".join(f"{' and '.join(members)} ({name})" for name, members in list(shared.items())[:most])
    more = f"; and {len(shared) - most} more" if len(shared) > most else ""
    what = (
        "the mean of those of one data set is one block of the tests, since what favours a method on one "
        "favours it on the other"
        if blocks == "data-set"
        else "each is a block of its own, as asked for, though they are no independent evidence: p-values "
        "are too small"
    )
    return [f"Benchmarks that share a data set, by its name: {listed}{more}; {what}."]
