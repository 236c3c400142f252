"""Say how far a verdict on a claim can be trusted: was the claim fixed before its results, and which look is
this?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from surrobench.protocol.claim_test import Looks
from surrobench.report.data.load import usable_runs
from surrobench.results import ledger
from surrobench.results.folder import Results
from surrobench.seeding import content_hash
from surrobench.stats.looks import level_of_look, power_given_up


@dataclass(frozen=True)
class Look:
    """A look at the verdicts of a study.

    Attributes:
        number: which look this is, from 1. Looks at the same runs are one.
        looks: how many looks the suite states; None for none.
        alpha: the level that the suite states, over all claims and looks.
        level: the level of this look.
        data: the hash of the runs that are looked at.
        earlier: what earlier looks found, by claim.
        statements: the statements of the ledger.
        finished: the number of runs.
    """

    number: int
    looks: Looks | None
    alpha: float
    level: float
    data: str
    earlier: Sequence[Mapping[str, Any]]
    statements: Sequence[Mapping[str, Any]]
    finished: int

    @property
    def unlimited(self) -> bool:
        """Return whether verdicts come from e-values, which hold at every look."""
        return self.looks == "unlimited"

    def e_values(self, claim: str, kind: str) -> list[float]:
        """Return the e-values that earlier looks found for a claim, 0 where a look has none."""
        return [float(look.get("claims", {}).get(claim, {}).get(kind, 0.0)) for look in self.earlier]

    def status(self, name: str, claim: Mapping[str, Any]) -> tuple[str, str]:
        """Return whether a verdict confirms or explores, empty where nobody can know, and why it explores."""
        why = ledger.why_exploratory(self.statements, name, claim)
        if why:
            return "exploratory", why
        if self.looks is None and self.number > 1:
            return (
                "exploratory",
                f"this is look {self.number} at growing results, and the suite states no looks",
            )
        if isinstance(self.looks, int) and self.number > self.looks:
            return "exploratory", f"this is look {self.number}, and the suite states {self.looks}"
        return ("confirmatory", "") if why == "" else ("", "")

    @property
    def note(self) -> str:
        """Return what a reader must know of several looks; empty where the suite states none."""
        if self.unlimited:
            return (
                "Looks without a limit: p is 1 over the weighted sum of the e-values of all looks so far. It "
                f"holds at every look. This is look {self.number}."
            )
        if not isinstance(self.looks, int) or self.number > self.looks:
            return ""
        return (
            f"Look {self.number} of {self.looks}: level {self.level:.2g} of {self.alpha:g} (O'Brien-Fleming "
            f"spending). Where one look at {self.alpha:g} would have 80% power, this one has "
            f"{power_given_up(self.alpha, self.level):.0%}."
        )


def look_at(results: Sequence[Results], plan: pl.DataFrame, alpha: float | None = None) -> Look:
    """Return the look that judging the claims of these results is.

    Args:
        results: the folders; claims, level and looks are those of the first.
        plan: their joint plan.
        alpha: the level; by default the suite's.
    """
    first = results[0]
    suite = first.manifest["suite"]
    alpha = float(suite.get("alpha", 0.05)) if alpha is None else alpha
    looks = suite.get("looks")
    usable = sorted(usable_runs(results, plan).to_list())
    budgets = plan.select("run", "trials", "equivalents", "seconds").sort("run").rows()
    data = content_hash([usable, budgets])
    seen = ledger.read_looks(first.folder)
    before = next((i for i, look in enumerate(seen) if look["data"] == data), len(seen))
    number = before + 1
    level = level_of_look(alpha, number, looks) if isinstance(looks, int) and number <= looks else alpha
    statements = first.manifest.get("ledger", {}).get("statements", ())
    return Look(number, looks, alpha, level, data, seen[:before], statements, len(usable))


def record(results: Sequence[Results], look: Look, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Record a look at verdicts in the first folder, unless these runs were looked at before.

    Args:
        results: the folders that were judged.
        look: the look.
        found: name of a claim -> what was found, with the e-values ``e_holds`` and ``e_fails``.
    """
    suite = results[0].manifest["suite"].get("hash")
    entry = {"data": look.data, "finished": look.finished, "suite": suite, "claims": found}
    ledger.record_look(results[0].folder, entry)


def late_benchmarks(results: Sequence[Results]) -> str:
    """Return a sentence on benchmarks that a suite was given when it had results; empty where there are
    none.
    """
    late = ledger.added_benchmarks(results[0].manifest.get("ledger", {}).get("statements", ()))
    if not late:
        return ""
    more = f" and {len(late) - 5} more" if len(late) > 5 else ""
    return f"{len(late)} benchmarks were added when results existed: {', '.join(late[:5])}{more}."
