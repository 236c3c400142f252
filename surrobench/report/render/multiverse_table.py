"""Make the table of a study that was analysed in every way."""

from __future__ import annotations

from surrobench.report.ranking.multiverse import Multiverse
from surrobench.report.render.table import Cell, Column, Table, Tone

_CHOICES = {"metric": "metrics", "trials": "budgets", "test": "tests", "without": "data sets left out"}
_TONES: dict[str, Tone] = {"better": "good", "worse": "bad", "": "doubt"}


def multiverse_table(found: Multiverse) -> Table:
    """Return a row for each method except the control: its usual verdict, and the shares that agree with
    it.
    """
    rows = []
    for method, usual in found.usual.findings.items():
        of_all = [found.share(method, finding) for finding in ("better", "", "worse")]
        agree = found.share(method, usual)
        alone = [found.share(method, usual, found.alone(choice)) for choice in _CHOICES]
        rows.append(
            (
                Cell(method, method),
                Cell(usual or "not shown", usual or "not shown", bold=True, tone=_TONES[usual]),
                Cell(f"{agree:.0%}", agree),
                *(Cell(f"{share:.0%}", share) for share in of_all),
                *(Cell(f"{share:.0%}", share) for share in alone),
            )
        )
    usual_analysis = found.usual
    trials = f" after {usual_analysis.trials} trials" if usual_analysis.trials else ""
    return Table(
        key="multiverse",
        title=f"Against {found.control} in {len(found.analyses):,} analyses",
        columns=(
            Column("method", "method", words=True),
            Column("verdict", "verdict"),
            Column("agree", "agree"),
            Column("better", "better"),
            Column("not_shown", "not shown"),
            Column("worse", "worse"),
            *(Column(f"agree_{choice}", f"other {words}") for choice, words in _CHOICES.items()),
        ),
        rows=tuple(rows),
        notes=(
            f"The verdict is that of Wilcoxon's test of {usual_analysis.metric} regret{trials} on all data "
            f"sets at alpha = {found.alpha:g}. Agree: the share of all analyses with the same verdict, over "
            "all metrics, budgets (a quarter, half and all of the trials), tests (Wilcoxon's, sign-flip) and "
            "data sets (all, and all but each one). The last columns vary one choice alone. Analyses are of "
            "the same data: the shares are no probabilities.",
        ),
    )
