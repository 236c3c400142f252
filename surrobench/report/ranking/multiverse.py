"""Rank a study in every way that could have been chosen, and say in how many of them each verdict is the
same.

An analysis is a choice of the metric, of the budget, of the test, and of the data sets: all of them, or all
but one. Whoever chooses among so many after looking finds a difference nearly always. The share of analyses
that agree says how much a verdict owes to the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from surrobench.arrays import Floats
from surrobench.report.data.study_data import StudyData
from surrobench.report.ranking.model import DECIMALS, METRICS, Finding, Ranking
from surrobench.report.ranking.pipeline import Wanted, rank_study
from surrobench.stats.clusters import average_within
from surrobench.stats.correction import correct
from surrobench.stats.paired import wilcoxon
from surrobench.stats.permutation import sign_flip

Test = Literal["wilcoxon", "sign-flip"]
TESTS: tuple[Test, ...] = ("wilcoxon", "sign-flip")
SHARES = (0.25, 0.5, 1.0)
"""The parts of the common number of trials that are tried as budgets."""


@dataclass(frozen=True)
class Analysis:
    """One way to analyse a study, and what it finds of each method against the control.

    Attributes:
        metric, trials, test: the choices; ``trials`` is None where the budget has another unit.
        without: the data set that is left out; empty for none.
        findings: method -> "better", "worse", or empty where the test does not tell it from the control.
    """

    metric: str
    trials: int | None
    test: Test
    without: str
    findings: Mapping[str, Finding]


@dataclass(frozen=True)
class Multiverse:
    """All analyses of a study.

    Attributes:
        control: the method that the others are compared with.
        usual: the analysis as it was asked for.
        analyses: every analysis.
        alpha: the level of each.
    """

    control: str
    usual: Analysis
    analyses: tuple[Analysis, ...]
    alpha: float

    def share(
        self, method: str, finding: Finding, of: Callable[[Analysis], bool] = lambda one: True
    ) -> float:
        """Return the share of some analyses that find this of a method."""
        chosen = [one.findings[method] == finding for one in self.analyses if of(one)]
        return float(np.mean(chosen)) if chosen else float("nan")

    def alone(self, choice: str) -> Callable[[Analysis], bool]:
        """Return whether an analysis differs from the usual one in this choice at most."""
        others = [name for name in ("metric", "trials", "test", "without") if name != choice]
        return lambda one: all(getattr(one, name) == getattr(self.usual, name) for name in others)


def budgets(study: StudyData) -> Sequence[int | None]:
    """Return the numbers of trials to try; only None where runs are not limited by trials."""
    most = study.common_trials
    if most is None:
        return [None]
    return sorted({max(1, round(share * most)) for share in SHARES})


def multiverse(studies: Mapping[int | None, StudyData], wanted: Wanted | None = None) -> Multiverse:
    """Analyse a study in every way.

    Args:
        studies: number of trials -> the study after so many, see ``budgets``; with the areas below the
            curves. The largest number is the usual budget.
        wanted: the analysis as it was asked for.

    Raises:
        SurrobenchError: see ``rank_study``.
    """
    wanted = replace(wanted or Wanted(), intervals=False, target=None, test_metric=False, extra_tests=())
    most = max(studies, key=lambda trials: trials or 0)
    analyses: list[Analysis] = []
    for trials, study in studies.items():
        for metric in METRICS:
            ranking = rank_study(study, replace(wanted, metric=metric))
            analyses += _of_ranking(ranking, trials)
    usual = next(
        one
        for one in analyses
        if (one.metric, one.trials, one.test, one.without) == (wanted.metric, most, "wilcoxon", "")
    )
    control = studies[most].control
    return Multiverse(control, usual, tuple(analyses), wanted.alpha)


def _of_ranking(ranking: Ranking, trials: int | None) -> Iterator[Analysis]:
    """Yield the analyses of one metric after one number of trials: both tests, with and without each data
    set.
    """
    blocks, names = average_within(ranking.measured.means, ranking.clusters)
    everything = np.ones(len(names), dtype=bool)
    for without in ("", *(names if len(names) > 2 else ())):
        kept = everything if not without else np.array([name != without for name in names])
        for test in TESTS:
            found = _findings(ranking, blocks[kept], test)
            yield Analysis(ranking.metric, trials, test, str(without), found)


def _findings(ranking: Ranking, blocks: Floats, test: Test) -> dict[str, Finding]:
    """Return what a test finds of each method except the control, corrected for all of them."""
    control = ranking.methods.index(ranking.control)
    others = [j for j in range(len(ranking.methods)) if j != control]
    if test == "wilcoxon":
        compared = wilcoxon(blocks, control, ranking.settings.correction, DECIMALS).comparisons
        p: Sequence[float] = [one.p_corrected for one in compared]
        gains: Sequence[float] = [one.effect for one in compared]
    else:
        flips = [
            sign_flip((blocks[:, control] - blocks[:, j]).round(DECIMALS), np.random.default_rng(0), 10_000)
            for j in others
        ]
        p = correct([one.p for one in flips], ranking.settings.correction).tolist()
        gains = [one.mean for one in flips]
    return {
        ranking.methods[j]: "" if not one <= ranking.alpha or gain == 0 else "better" if gain > 0 else "worse"
        for j, one, gain in zip(others, p, gains, strict=True)
    }
