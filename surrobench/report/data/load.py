"""Put together what results folders hold: one plan of all, and the trials of its runs as step curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.benchmarks.registry import scenario
from surrobench.errors import ResultsError, UsageError
from surrobench.llm.prompt_variants import method_name
from surrobench.patterns import fits, matching
from surrobench.protocol.budget import ROUNDING, Budget
from surrobench.report.data.earlier_ids import CELL, earlier_ids
from surrobench.results.folder import Results
from surrobench.stats.steps import Steps, Unit, spent_by, steps_of

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class RunFilter:
    """The part of a study that is reported. Patterns are those of a shell; no patterns select everything.

    Attributes:
        benchmarks: patterns of benchmark ids.
        methods: patterns of method labels, with or without the model in brackets.
        models: patterns of labels of language models, and of the slot controls. Methods without a model stay.
        variants: patterns of the prompt variants. Methods without a variant, and slot controls, stay.
    """

    benchmarks: Sequence[str] = ()
    methods: Sequence[str] = ()
    models: Sequence[str] = ()
    variants: Sequence[str] = ()

    def of(self, plan: pl.DataFrame, external: Sequence[str] = ()) -> pl.DataFrame:
        """Return the runs of a plan that the filter selects.

        Args:
            plan: the runs.
            external: methods of external results, which patterns of methods may mean, too.

        Raises:
            UnknownName: a pattern matches nothing.
        """
        plan = plan.filter(_matches(plan, "benchmark", self.benchmarks, "benchmark"))
        plan = plan.filter(_matches(plan, "method", self.methods, "method", "optimizer", more=external))
        plan = plan.filter(_matches(plan, "model", self.models, "llm") | pl.col("llm").is_null())
        return plan.filter(_matches(plan, "variant", self.variants, "variant") | pl.col("variant").is_null())

    def external(self, methods: Sequence[str]) -> list[str]:
        """Return which methods of external results count: those that a pattern means, if one means any.

        Where the patterns mean methods of the study only, all external ones are compared with these.
        """
        meant = [name for name in methods if any(fits(name, pattern) for pattern in self.methods)]
        return meant or list(methods)


def _matches(
    plan: pl.DataFrame, kind: str, patterns: Sequence[str], *columns: str, more: Sequence[str] = ()
) -> pl.Expr:
    if not patterns:
        return pl.lit(True)
    known = sorted({name for column in columns for name in plan[column].drop_nulls().unique()} | {*more})
    meant = matching(kind, patterns, known, f"The results have: {', '.join(known) or 'none'}.")
    return pl.any_horizontal(*(pl.col(column).is_in(meant) for column in columns))


def joint_plan(folders: Sequence[Results]) -> pl.DataFrame:
    """Return the runs that the suites name.

    The columns are those of ``Results.plan``, ``method``, and the number of the ``folder``. A run that is in
    several folders counts once, in the folder with most of its trials.

    Raises:
        ResultsError: two folders have different runs of one method on one benchmark with one seed, or a run
            for which a model gave other replies in each.
    """
    plan = pl.concat(
        folder.plan().with_columns(folder=pl.lit(number, pl.UInt32)) for number, folder in enumerate(folders)
    )
    named = ["optimizer", "llm", "variant"]
    names = plan.select(named).unique()
    names = names.with_columns(
        method=pl.Series([method_name(*row) for row in names.iter_rows()], dtype=pl.String)
    )
    plan = plan.join(names, on=named, how="left", nulls_equal=True, maintain_order="left")
    if len(folders) == 1:
        return plan
    recorded = pl.concat(
        folder.recorded_runs().select("run", "spent", pl.lit(number, pl.UInt32).alias("folder"))
        for number, folder in enumerate(folders)
    )
    same = pl.col("run").replace(earlier_ids(folders, plan))
    plan = plan.join(recorded, on=["run", "folder"], how="left", maintain_order="left")
    _refuse_other_replies(folders, plan.filter(pl.col("llm").is_not_null() & pl.col("spent").is_not_null()))
    plan = (
        plan.sort("spent", descending=True, nulls_last=True, maintain_order=True)
        .filter(same.is_first_distinct())
        .sort("benchmark", "folder", maintain_order=True)
        .drop("spent")
    )
    double = plan.filter(pl.struct(CELL).is_duplicated()).sort(*CELL, "folder")
    if len(double):
        raise _not_the_same(folders, double, "its settings differ")
    return plan


def _refuse_other_replies(folders: Sequence[Results], live: pl.DataFrame) -> None:
    """See that a run that asked a model, and stands in several folders, has the same trials in each.

    A replay has. A model that was asked twice may answer otherwise: these are two runs under one id.

    Args:
        folders: the results.
        live: the recorded runs that name a model, of each folder.

    Raises:
        ResultsError: a run has other trials in another folder, as far as it has as many.
    """
    shared = live.filter(pl.col("run").is_duplicated())
    if shared.is_empty():
        return
    observed = ["status", "source", "value"]
    parts = []
    for number in shared["folder"].unique().sort():
        with folders[number].reading():
            trials = folders[number].trials(["run", "trial", *observed])
            parts.append(trials.filter(pl.col("run").is_in(shared["run"].unique().implode())).collect())
    differ = (
        pl.concat(parts)
        .group_by("run", "trial")
        .agg(n=pl.struct(observed).n_unique())
        .filter(pl.col("n") > 1)
    )
    if len(differ):
        double = shared.filter(pl.col("run").is_in(differ["run"].unique().implode()))
        cell = ["benchmark", "method", "seed", "folder"]
        raise _not_the_same(folders, double.sort(cell), "its model was asked again and replied otherwise")


def _not_the_same(folders: Sequence[Results], double: pl.DataFrame, why: str) -> ResultsError:
    """Return the error that folders hold different runs of one method on one benchmark with one seed."""
    cells = double.select("benchmark", "method", "seed").unique(maintain_order=True)
    (name, method, seed), *more = cells.iter_rows()
    numbers = double["folder"].unique(maintain_order=True)
    where = " and ".join(str(folders[number].folder) for number in numbers)
    others = f", like {len(more)} more" if more else ""
    return ResultsError(
        f"{method} on {name} seed {seed} is not the same run in {where}{others}: {why}.",
        "Rank the folders apart, leave one out with --method, or give it another label in its suite.",
    )


def missing_parts(folders: Sequence[Results], plan: pl.DataFrame) -> str:
    """Return how much of their suite the folders are to hold if that is a part of it; else an empty string.

    The result is also empty for folders of several suites, and of older versions.
    """
    wholes = [folder.manifest["suite"].get("whole") for folder in folders]
    if len({folder.suite_name for folder in folders}) > 1 or not all(wholes):
        return ""
    there = {"benchmarks": plan["benchmark"], "methods": plan["optimizer"], "seeds": plan["seed"]}
    counts = {name: (names.n_unique(), wholes[0][name]) for name, names in there.items()}
    parts = [f"{have} of {whole} {name}" for name, (have, whole) in counts.items() if whole and have < whole]
    return ", ".join(parts)


def limited(plan: pl.DataFrame, limit: Budget) -> pl.DataFrame:
    """Return the plan with its budgets cut at a limit.

    Raises:
        UsageError: no run has a budget as large as the limit.
    """
    for unit, most in asdict(limit).items():
        if most is None:
            continue
        given = plan[unit].max()
        if isinstance(given, int | float) and most > given:
            raise UsageError(f"A budget of {most:g} {unit} is more than the suite's {given:g}.")
        plan = plan.with_columns(pl.min_horizontal(unit, pl.lit(most, plan.schema[unit])))
    return plan


def usable_runs(folders: Sequence[Results], plan: pl.DataFrame) -> pl.Series:
    """Return which runs did not fail and are finished, as ``RunRecord.finishes`` for the plan's budgets."""
    parts = []
    units = ("trials", "equivalents", "seconds", "tokens")
    for number, folder in enumerate(folders):
        wanted = plan.filter(pl.col("folder") == number).select("run", *units)
        both = folder.recorded_runs().join(wanted, on="run", suffix="_wanted")
        covers = pl.all_horizontal(  # the same condition as in Budget.covers
            pl.col(unit).is_null() | (pl.col(unit) >= pl.col(f"{unit}_wanted")).fill_null(False)
            for unit in units
        )
        state = pl.col("state")
        parts.append(both.filter((state != "failed") & ((state == "exhausted") | covers))["run"])
    return pl.concat(parts)


@dataclass(frozen=True)
class Portion:
    """Some runs as step curves.

    Attributes:
        rows: shape (r,), the numbers of the runs in the plan (column ``row``).
        steps: unit -> the steps of the runs.
        tests: the steps of the runs by trials, with the test metric, in its natural direction, as the score.
            The score is NaN where the benchmark maps no test metric, or the incumbent is not at the full
            fidelity.
        below: the number of runs that have no trial at full fidelity.
        after: number of trials -> unit -> the steps of that many trials; absent where none of the runs has
            more.
    """

    rows: Rows
    steps: Mapping[Unit, Steps]
    tests: Steps | None
    below: int = 0
    after: Mapping[int, Mapping[Unit, Steps]] = field(default_factory=dict)

    @staticmethod
    def concat(parts: Sequence[Portion]) -> Portion:
        """Return several portions as one; there must be at least one."""
        return Portion(
            np.concatenate([part.rows for part in parts]),
            _joined([part.steps for part in parts]),
            None if parts[0].tests is None else Steps.concat([p.tests for p in parts if p.tests is not None]),
            sum(part.below for part in parts),
            {
                most: _joined([part.after.get(most, part.steps) for part in parts])
                for most in sorted({most for part in parts for most in part.after})
            },
        )


def _joined(parts: Sequence[Mapping[Unit, Steps]]) -> dict[Unit, Steps]:
    return {unit: Steps.concat([part[unit] for part in parts]) for unit in parts[0]}


def read_steps(
    folder: Results, plan: pl.DataFrame, key: str, units: Sequence[Unit], tests: bool, after: Sequence[int]
) -> Iterator[Portion]:
    """Yield the planned runs of one scenario as step curves within their budgets, and after fewer trials.

    Args:
        folder: the results folder that holds the runs.
        plan: the planned runs, with their budgets.
        key: the key of the scenario.
        units: the units of the steps.
        tests: whether the test metric is read, too.
        after: the numbers of trials after which runs with more trials are compared.
    """
    where = scenario(key)
    sign = where.objectives[where.target_index].sign
    limits = [unit for unit in ("equivalents", "seconds") if plan[unit].null_count() < len(plan)]
    of_unit = {"equivalents": ["share"], "seconds": ["finished"], "tokens": ["tokens_in", "tokens_out"]}
    read = [column for unit in dict.fromkeys([*units, *limits]) for column in of_unit.get(unit, [])]
    fidelities = [f"fidelity.{fidelity.name}" for fidelity in where.fidelities]
    counterpart = f"objective.{where.test_objective}" if tests and where.test_objective else None
    read += [*fidelities, *([counterpart] if counterpart else [])]
    # Of several workers' trials, the first that were begun count: a smaller budget would have begun just
    # these.
    in_parallel = folder.manifest["suite"].get("budget", {}).get("workers", 1) > 1
    read += ["proposal"] if in_parallel else []
    for ids, starts, rows in folder.runs_in(key, ["trial", "value", "score", *read]):
        mine = pl.DataFrame({"run": ids}).join(
            plan.select("run", "row", "trials", "equivalents", "seconds"),
            on="run", how="left", maintain_order="left",
        )  # fmt: skip
        known = np.flatnonzero(mine["row"].is_not_null().to_numpy())
        if not len(known):
            continue
        trials = _as_begun(rows, starts) if in_parallel else rows
        trials = trials.with_columns(loss=sign * pl.col("value"), score=sign * pl.col("score"))
        if fidelities:
            of_full = pl.lit(1.0)
            for fidelity in where.fidelities:
                of_full = of_full * pl.col(f"fidelity.{fidelity.name}") / fidelity.full
            trials = trials.with_columns(fidelity=of_full)
        if "tokens" in units:
            trials = trials.with_columns(tokens=pl.col("tokens_in") + pl.col("tokens_out"))
        trials, first = _within(trials, starts, mine, limits)
        below = int(_only_lower(trials, first)[known].sum()) if fidelities else 0
        found = None
        if tests:
            value = pl.col(counterpart) if counterpart else pl.lit(None, pl.Float64)
            if fidelities:
                value = pl.when(pl.col("fidelity") == 1).then(value)
            found = steps_of(trials.with_columns(score=value), first)["trials"]
        steps = steps_of(trials, first, units)
        fewer = {
            most: steps_of(trials, first, units, most) for most in after if (trials["trial"] >= most).any()
        }
        if len(known) < len(ids):
            steps = {unit: of.take(known) for unit, of in steps.items()}
            fewer = {most: {unit: of.take(known) for unit, of in cut.items()} for most, cut in fewer.items()}
            found = found and found.take(known)
        yield Portion(mine["row"].drop_nulls().to_numpy().astype(np.int64), steps, found, below, fewer)


def _as_begun(trials: pl.DataFrame, first: Rows) -> pl.DataFrame:
    """Return the trials of each run, sorted and numbered in the order in which they were begun."""
    of_run = np.repeat(np.arange(len(first) - 1), np.diff(first))
    order = np.lexsort((trials["proposal"].to_numpy(), of_run))
    return trials[order].with_columns(trial=pl.col("proposal"))


def _only_lower(trials: pl.DataFrame, first: Rows) -> NDArray[np.bool_]:
    """Return which runs have observed something, but nothing at the full fidelity, shape (r,)."""
    observed = trials["loss"].is_not_null() & trials["loss"].is_not_nan()
    full = (trials["fidelity"] == 1.0) & observed

    def any_of(rows: pl.Series) -> NDArray[np.bool_]:
        counts = np.concatenate([[0], np.cumsum(rows.fill_null(False).to_numpy())])
        return counts[first[1:]] > counts[first[:-1]]

    return any_of(observed) & ~any_of(full)


def _within(
    trials: pl.DataFrame, first: Rows, plan: pl.DataFrame, limits: Sequence[str]
) -> tuple[pl.DataFrame, Rows]:
    """Return the trials within the budgets of a plan whose rows are the runs, and where each run begins."""
    lengths = np.diff(first)

    def most(unit: str) -> NDArray[np.float64]:
        return plan[unit].cast(pl.Float64).fill_null(np.inf).to_numpy()

    within = np.ones(len(trials), dtype=bool)
    if (lengths > most("trials")).any():
        within &= trials["trial"].to_numpy() < np.repeat(most("trials"), lengths)
    if "equivalents" in limits:
        spent = spent_by(trials, first, "equivalents")
        within &= spent <= np.repeat(most("equivalents"), lengths) + ROUNDING
    if "seconds" in limits:
        within &= trials["finished"].to_numpy() <= np.repeat(most("seconds"), lengths)
    if within.all():
        return trials, first
    return trials.filter(pl.Series(within)), np.concatenate([[0], np.cumsum(within)])[first]
