"""Rank a study with everything that was asked for: what ``rank`` prints and ``plot`` draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

from surrobench.errors import UnknownName
from surrobench.report.data.study_data import Blocks, StudyData
from surrobench.report.ranking.build import rank_methods
from surrobench.report.ranking.extra_columns import with_intervals, with_target, with_test_metric
from surrobench.report.ranking.extra_tests import ROPE, with_extra_tests
from surrobench.report.ranking.model import ExtraTestName, Metric, Note, Posthoc, Ranking, RankingSettings
from surrobench.report.ranking.notes import of_shared_data_sets
from surrobench.stats.correction import Correction
from surrobench.stats.regret import Anchor
from surrobench.stats.steps import Unit
from surrobench.system import VERSION

GroupBy = Literal["family", "scenario"]


@dataclass(frozen=True)
class Wanted:
    """What a ranking shows, and how it tests; ``RankingSettings`` explains the first five fields.

    Attributes:
        blocks: what tests count: the benchmarks of one data set as one block, or each benchmark separately.
        intervals: whether interquartile means and probabilities of improvement are shown.
        target: the quantile regret whose cost is shown; None to show no cost.
        unit: the unit of that cost.
        test_metric: whether the incumbents' test metric is shown.
        extra_tests: further tests against the control.
        rope: half the width of the region of practical equivalence, for the Bayesian tests.
    """

    metric: Metric = "quantile"
    anchor: Anchor = "median"
    alpha: float = 0.05
    correction: Correction = "holm"
    posthoc: Posthoc = "wilcoxon"
    blocks: Blocks = "data-set"
    intervals: bool = False
    target: float | None = None
    unit: Unit = "trials"
    test_metric: bool = False
    extra_tests: Sequence[ExtraTestName] = ()
    rope: float = ROPE


def rank_groups(
    study: StudyData,
    wanted: Wanted,
    by: GroupBy | None = None,
    progress: Callable[[Sequence[int]], Iterator[int]] = iter,
) -> list[Ranking]:
    """Rank the methods on each family or scenario of a study, or on the whole of it.

    Args:
        study: see ``rank_study``.
        wanted: what to show.
        by: what the groups are. With None, the whole study is the only group and has no name.
        progress: see ``with_extra_tests``.

    Raises:
        UnknownName: there are no such groups.
        SurrobenchError: see ``rank_study``.
    """
    if by is None:
        return [rank_study(study, wanted, "", progress)]
    if by not in get_args(GroupBy):
        raise UnknownName("group", by, get_args(GroupBy))
    depth = 1 if by == "family" else 2
    groups = study.split(lambda name: "/".join(name.split("/")[:depth]))
    return [rank_study(part, wanted, group, progress) for group, part in groups]


def rank_study(
    study: StudyData,
    wanted: Wanted | None = None,
    group: str = "",
    progress: Callable[[Sequence[int]], Iterator[int]] = iter,
) -> Ranking:
    """Rank the methods of a study.

    Args:
        study: the data, see ``load_study``, with the units, area and test metric that are wanted.
        wanted: what to show.
        group: the name of the part of a larger study that is ranked; empty for the whole.
        progress: see ``with_extra_tests``.

    Raises:
        SurrobenchError: see ``rank_methods`` and ``with_extra_tests``.
    """
    wanted = wanted or Wanted()
    together = wanted.blocks == "data-set"
    settings = RankingSettings(
        control=study.control,
        anchor=wanted.anchor,
        alpha=wanted.alpha,
        metric=wanted.metric,
        correction=wanted.correction,
        posthoc=wanted.posthoc,
        clusters=study.blocks if together else {},
        untested=study.untested,
    )
    ranking = rank_methods(study.incumbents, study.references, settings, models=study.models)
    if wanted.intervals and not study.untested:
        ranking = with_intervals(ranking)
    if wanted.target:
        curves = study.anytime(wanted.anchor, ranking.trials)
        ranking = with_target(ranking, curves, wanted.target, wanted.unit)
    if wanted.test_metric:
        ranking = with_test_metric(ranking, study.incumbents, study.test_metrics)
    if wanted.extra_tests:
        ranking = with_extra_tests(ranking, wanted.extra_tests, wanted.rope, progress)
    notes = (
        *ranking.notes,
        *of_shared_data_sets(study.blocks, together=together),
        *(Note("warning", text) for text in study.notes),
    )
    options = {name: value for name, value in asdict(wanted).items() if name != "extra_tests"}
    options["extra_tests"] = list(wanted.extra_tests)
    source = {"surrobench": VERSION, **study.selected, "options": options}
    return replace(ranking, group=group, notes=notes, source=source)
