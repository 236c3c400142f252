"""Count failed runs by a stated rule, so that the failure of one method need not remove a data set for all.

To leave out the benchmarks on which a run failed selects by the outcome. What is left then favours the
methods that failed elsewhere. The other two rules keep all benchmarks, and charge the failure to the method
that failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import polars as pl

from surrobench.arrays import Floats
from surrobench.benchmarks.registry import benchmark
from surrobench.errors import UsageError
from surrobench.report.data.load import Portion
from surrobench.results.folder import Results
from surrobench.stats.steps import Steps, Unit

Failed = Literal["incumbent", "worst", "leave out"]
"""``incumbent``: a failed run keeps what it had found, to the end of its budget; the worst value if nothing.
``worst``: it counts with the worst value of its benchmark. ``leave out``: its benchmark is left out."""


@dataclass(frozen=True)
class FailedRuns:
    """Holds the failed runs of a study, and the rule that they count by; without a rule they are missing."""

    rule: Failed | None
    ids: pl.Series

    @classmethod
    def of(cls, folders: Sequence[Results], plan: pl.DataFrame, rule: str | None) -> FailedRuns:
        """Find the failed runs of a plan.

        Args:
            folders: the results.
            plan: the planned runs.
            rule: the name of a rule, in which a hyphen may stand for the space; None for no rule.

        Raises:
            UsageError: there is no such rule.
        """
        if rule is None:
            return cls(None, pl.Series(dtype=pl.String))
        known = {name: name for name in get_args(Failed)}
        named = known.get(rule.replace("-", " "))
        if named is None:
            raise UsageError(f"There is no rule {rule!r} for failed runs.", f"Known: {', '.join(known)}.")
        parts = []
        for number, folder in enumerate(folders):
            mine = plan.filter(pl.col("folder") == number)["run"]
            failed = folder.recorded_runs().filter(state="failed")
            parts.append(failed.filter(pl.col("run").is_in(mine.implode()))["run"])
        return cls(named, pl.concat(parts))

    def curves(self, found: Portion, plan: pl.DataFrame) -> Portion:
        """Return the step curves, in which failed runs have the worst value if that is the rule."""
        if self.rule != "worst":
            return found
        rows = plan[found.rows]
        hit = rows["run"].is_in(self.ids.implode()).to_numpy()
        pairs = zip(rows["benchmark"], hit, strict=True)
        worst = np.array([_worst(name) if bad else np.nan for name, bad in pairs])

        def of_failed(steps: Steps, value: Floats) -> Steps:
            return replace(steps, score=np.where(hit[steps.of_run], value[steps.of_run], steps.score))

        def each(steps: Mapping[Unit, Steps]) -> dict[Unit, Steps]:
            return {unit: of_failed(of, worst) for unit, of in steps.items()}

        tests = None if found.tests is None else of_failed(found.tests, np.full(len(rows), np.nan))
        after = {most: each(of) for most, of in found.after.items()}
        return replace(found, steps=each(found.steps), tests=tests, after=after)

    def counted(self, usable: pl.Series, incumbents: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
        """Return the usable runs and the incumbents, with failed runs that count by a rule among them."""
        if self.rule in (None, "leave out"):
            return usable, incumbents
        empty = pl.col("score").is_null() & pl.col("run").is_in(self.ids.implode())
        names = incumbents.filter(empty)["benchmark"].unique().to_list()
        worst = pl.col("benchmark").replace_strict({name: _worst(name) for name in names}, default=None)
        filled = pl.when(empty).then(worst.cast(pl.Float64)).otherwise("score")
        return pl.concat([usable, self.ids]), incumbents.with_columns(score=filled)

    def notes(self, plan: pl.DataFrame) -> list[str]:
        """Return a note on the failed runs and their rule, if there are any."""
        if self.rule is None or self.ids.is_empty():
            return []
        methods = plan.filter(pl.col("run").is_in(self.ids.implode())).group_by("method").len().sort("method")
        listed = ", ".join(f"{count} of {method}" for method, count in methods.iter_rows())
        runs = "1 run" if len(self.ids) == 1 else f"{len(self.ids)} runs"
        return [f"{runs} failed ({listed}) and count {_COUNT[self.rule]} (failed = {self.rule!r})."]


_COUNT = {
    "incumbent": "with what was found before, or with the worst value of the benchmark where nothing was",
    "worst": "with the worst value of the benchmark",
    "leave out": "nowhere: their benchmarks are left out for all methods, and what is left favours the "
    "methods that failed elsewhere",
}


def _worst(name: str) -> float:
    return benchmark(name).reference.worst
