"""Turn results folders into what a ranking needs: incumbents, step curves, references, names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from surrobench.benchmarks.base import Reference
from surrobench.benchmarks.registry import benchmark
from surrobench.errors import UsageError
from surrobench.optimizers.llm.control import control_named
from surrobench.protocol.budget import Budget
from surrobench.report.data.comparability import check_settings
from surrobench.report.data.external_results import Beside, others_beside
from surrobench.report.data.failed_runs import FailedRuns
from surrobench.report.data.incumbents import (
    incumbents_of,
    missing_error,
    on_most_benchmarks,
    on_what_is_left,
    spent_for_area,
    without_gaps,
)
from surrobench.report.data.load import (
    Portion,
    RunFilter,
    joint_plan,
    limited,
    missing_parts,
    read_steps,
    usable_runs,
)
from surrobench.report.data.made_with import mixed_makings
from surrobench.report.data.replicates import replicate_notes
from surrobench.results.folder import Results
from surrobench.stats.curves import Anytime, anytime
from surrobench.stats.regret import Anchor
from surrobench.stats.steps import Steps, Unit

Blocks = Literal["data-set", "instance"]
"""What tests count: the benchmarks of one data set as one block, or each benchmark separately."""


@dataclass(frozen=True)
class StudyData:
    """The data that a ranking is made of.

    Attributes:
        incumbents: a table with the columns benchmark, method, seed, trials and score (the loss of the
            incumbent's configuration). It has a row per run and number of trials, see ``load_study``. Where
            asked for, it has ``area`` (below the run's anytime curve of quantile regret) and ``test`` (the
            incumbent's test metric; null where not available).
        references: benchmark -> its reference values.
        models: method -> its language model as people read it.
        control: the method that the suite compares the other methods with.
        runs: a table with the columns benchmark, method, seed, and a row per run of ``steps``.
        steps: unit -> every change of incumbent.
        notes: what a reader must know of how the data came about.
        left_out: the benchmarks that are left out because a run is missing on them.
        failed: how many failed runs count by a rule, see ``failed_runs``.
        untested: why methods may not be tested against each other; empty where they may.
        selected: the suites, and what was read of them, as JSON values.
        test_metrics: benchmark -> the name of its test metric; None where it has none.
        data_sets: benchmark -> its data set, see ``Scenario.data_set``. A benchmark is absent where no other
            benchmark is on its data set.
        after: number of trials -> unit -> the steps of that many trials of each run. It is filled where runs
            were given different numbers of trials. A number is absent where no run has more.
    """

    incumbents: pl.DataFrame
    references: dict[str, Reference]
    models: dict[str, str]
    control: str
    runs: pl.DataFrame = field(default_factory=pl.DataFrame)
    steps: Mapping[Unit, Steps] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    data_sets: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[int, Mapping[Unit, Steps]] = field(default_factory=dict)
    test_metrics: Mapping[str, str | None] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    failed: int = 0
    untested: str = ""
    selected: Mapping[str, Any] = field(default_factory=dict)

    def anytime(self, anchor: Anchor = "median", after: int | None = None) -> Anytime:
        """Return the step curves of the seeds common to all methods, with both regrets.

        Args:
            anchor: the reference value whose normalised regret is 1.
            after: how many of each run's trials count, a number that some run was given; None for all trials.
        """
        steps = self.steps
        if after is not None:
            # A study in which no run has more trials has nothing to cut.
            steps = self.after.get(after, steps)
            if steps["trials"].end.max() > after:
                raise ValueError(f"No run was given {after} trials.")
        return anytime(self.runs, steps, self.references, anchor=anchor)

    @property
    def by_outcome(self) -> bool:
        """Return whether runs that failed or are missing were left out, or count by a rule."""
        return bool(self.left_out or self.failed)

    @property
    def common_trials(self) -> int | None:
        """Return the number of trials after which all runs can be compared; None without such a number."""
        trials = pl.col("trials")
        given = (
            self.incumbents.group_by("benchmark", "method", "seed")
            .agg(most=pl.when(trials.null_count() == 0).then(trials.max()))
            .get_column("most")
            .drop_nulls()
            .to_list()
        )
        return min(given, default=None)

    @property
    def blocks(self) -> dict[str, str]:
        """Return benchmark -> its block in tests: its data set if other benchmarks share it, else itself."""
        of = {name: self.data_sets.get(name, name) for name in self.references}
        shared = Counter(of.values())
        return {name: data_set if shared[data_set] > 1 else name for name, data_set in of.items()}

    def split(self, key: Callable[[str], str]) -> Iterator[tuple[str, StudyData]]:
        """Yield the parts of the study by a key of the benchmark's id, each with its name, in order."""
        keys = {name: key(name) for name in self.references}
        for part in sorted(set(keys.values())):
            yield part, self.on([name for name, of in keys.items() if of == part])

    def on(self, benchmarks: Sequence[str]) -> StudyData:
        """Return the part of the study on some benchmarks."""
        mine = pl.col("benchmark").is_in(list(benchmarks))
        rows = self.runs.with_row_index("row").filter(mine)
        return replace(
            self,
            incumbents=self.incumbents.filter(mine),
            references={name: self.references[name] for name in self.references if name in benchmarks},
            runs=rows.drop("row"),
            steps={unit: steps.take(rows["row"].to_numpy()) for unit, steps in self.steps.items()},
            after={
                most: {unit: steps.take(rows["row"].to_numpy()) for unit, steps in of.items()}
                for most, of in self.after.items()
            },
        )


def load_study(
    results: Results | Sequence[Results],
    limit: Budget | None = None,
    *,
    partial: bool = False,
    choice: RunFilter | None = None,
    control: str | None = None,
    units: Sequence[Unit] = ("trials",),
    area: bool = False,
    test_metric: bool = False,
    others: pl.DataFrame | None = None,
    mixed_settings: bool = False,
    failed: str | None = None,
) -> StudyData:
    """Read the incumbents of all runs that suites name, within ``limit`` (default: the suites' budgets).

    Where methods differ in how many trials they were given, a run has a row for each number of trials after
    which it can be compared with others.

    Args:
        results: one folder or several; a run that stands in two of them counts once.
        limit: the budget within which results count, in any of a budget's units.
        partial: whether benchmarks on which a run is missing are left out, instead of refused.
        choice: the part of the study to read.
        control: the method to compare with; by default the suites'.
        units: the units of the step curves.
        area: whether incumbents have the column ``area``.
        test_metric: whether incumbents have the column ``test``.
        others: external results, see ``external_results.read_others``.
        mixed_settings: whether runs under different settings are accepted. Then nothing is tested.
        failed: the rule by which failed runs count, see ``failed_runs.Failed``; None if they are missing.

    Raises:
        ResultsError: runs were made under different settings, and ``mixed_settings`` is false; runs are
            missing, failed, or observed nothing (the error lists them); or folders contradict each other.
        UsageError: the limit is more than the suites' budgets.
        UnknownName: a pattern of the choice matches nothing.
    """
    folders = [results] if isinstance(results, Results) else list(results)
    limit, choice = limit or Budget(), choice or RunFilter()
    whole = joint_plan(folders)
    plan, others = _chosen(whole, others, choice, limit)
    untested = check_settings(folders, plan, mixed=mixed_settings)
    usable = usable_runs(folders, plan)
    by_rule = FailedRuns.of(folders, plan, failed)
    notes = [*_notes(folders, whole, limit), *_on_runs(folders, plan), *by_rule.notes(plan)]
    beside: Beside | None = None
    spent = spent_for_area(plan)
    wanted: tuple[Unit, ...] = tuple(dict.fromkeys(("trials", *units, spent)))
    if others is not None:
        beside = others_beside(others, plan, wanted, limit)
        plan = pl.concat([plan, beside.runs], how="diagonal")
        usable = pl.concat([usable, beside.runs["run"]])
        notes += beside.notes
        untested = untested or beside.untested
    found = by_rule.curves(_portions(folders, plan, wanted, beside, tests=test_metric), plan)
    usable, incumbents = by_rule.counted(usable, incumbents_of(plan, found, spent if area else None))
    incumbents, missing = without_gaps(incumbents, usable, folders, partial=partial, failed=by_rule.ids)
    notes += _on_lower_fidelity(found) + on_what_is_left(missing, plan)
    if partial and others is not None:
        incumbents = on_most_benchmarks(incumbents)
    study = _study(folders, plan, incumbents.drop("run"), found, control or _control(folders), notes)
    selected = {
        "selection": asdict(choice), "budget": asdict(limit), "partial": partial,
        "mixed_settings": mixed_settings, "failed": by_rule.rule, "external": others is not None,
        "suites": [_suite(folder) for folder in folders],
    }  # fmt: skip
    left_out = tuple(missing["benchmark"].unique(maintain_order=True))
    study = replace(study, left_out=left_out, failed=len(by_rule.ids), untested=untested, selected=selected)
    return study.on(list(study.references)) if left_out or partial else study


def _suite(folder: Results) -> dict[str, Any]:
    """Return what JSON says of the suite of a folder."""
    return {"name": folder.suite_name, "hash": folder.manifest["suite"].get("hash")}


def _portions(
    folders: Sequence[Results],
    plan: pl.DataFrame,
    units: Sequence[Unit],
    beside: Beside | None,
    *,
    tests: bool,
) -> Portion:
    """Return the runs of the plan, external ones included, as step curves.

    Raises:
        ResultsError: there are none.
    """
    given = plan["trials"].unique()
    # Where all runs were given the same number of trials, nothing is cut, and a large study is read only
    # once.
    after = given.drop_nulls().to_list() if len(given) > 1 else []
    portions = _read(folders, plan, units, tests, after)
    portions += [_like(beside.portion, tests=tests)] if beside else []
    if not portions:
        raise missing_error(folders, plan)
    return Portion.concat(portions)


def _on_lower_fidelity(found: Portion) -> list[str]:
    """Return a note on the runs without a trial at full fidelity; nothing where there are none."""
    if not found.below:
        return []
    return [
        f"{found.below} of {len(found.rows)} runs have no trial at full fidelity: their incumbents are the "
        "best at the highest fidelity they reached, scored at the full one."
    ]


def _on_runs(folders: Sequence[Results], plan: pl.DataFrame) -> list[str]:
    """Return what is to be said of how the runs were made, and of runs that only repeat each other."""
    return [*mixed_makings(folders, plan), *replicate_notes(folders, plan)]


def _notes(folders: Sequence[Results], whole: pl.DataFrame, limit: Budget) -> list[str]:
    """Return what a reader must know about which runs count.

    Args:
        folders: the results.
        whole: all runs of the folders.
        limit: the budget within which results count.
    """
    part = missing_parts(folders, whole)
    notes = [f"A part of the suite was run: {part}."] if part else []
    return notes + ([f"Only what was reached within {limit} counts."] if limit != Budget() else [])


def _study(
    folders: Sequence[Results],
    plan: pl.DataFrame,
    incumbents: pl.DataFrame,
    found: Portion,
    control: str,
    notes: Sequence[str],
) -> StudyData:
    """Return the study that consists of the data that were read and of what the benchmarks state."""
    names = incumbents["benchmark"].unique(maintain_order=True).to_list()
    benchmarks = {name: benchmark(name) for name in names}
    return StudyData(
        incumbents=incumbents,
        references={name: one.reference for name, one in benchmarks.items()},
        models=_models(folders, plan),
        control=control,
        runs=plan.select("benchmark", "method", "seed")[found.rows],
        steps=found.steps,
        notes=tuple(notes),
        data_sets={name: one.data_set for name, one in benchmarks.items()},
        after=found.after,
        test_metrics={name: one.scenario.test_objective for name, one in benchmarks.items()},
    )


def _read(
    folders: Sequence[Results], plan: pl.DataFrame, units: Sequence[Unit], tests: bool, after: Sequence[int]
) -> list[Portion]:
    """Return the runs of the plan, one portion for each scenario of each folder."""
    portions: list[Portion] = []
    for number, folder in enumerate(folders):
        mine = plan.filter(pl.col("folder") == number)
        for key in sorted({str(name).rpartition("/")[0] for name in mine["benchmark"].unique()}):
            portions += read_steps(folder, mine, key, units, tests, after)
    return portions


def _chosen(
    plan: pl.DataFrame, others: pl.DataFrame | None, choice: RunFilter, limit: Budget
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the runs within a limit, numbered, and the external trials that a filter selects."""
    theirs = [] if others is None else sorted(others["method"].unique())
    if others is not None:
        others = others.filter(pl.col("method").is_in(choice.external(theirs)))
    return limited(choice.of(plan, theirs), limit).with_row_index("row"), others


def _like(theirs: Portion, *, tests: bool) -> Portion:
    """Return external results with an empty test metric, which they lack, where the study has one."""
    if not tests:
        return theirs
    trials = theirs.steps["trials"]
    return replace(theirs, tests=replace(trials, score=np.full(len(trials.score), np.nan)))


def _models(folders: Sequence[Results], plan: pl.DataFrame) -> dict[str, str]:
    """Return method -> its language model as people read it, or the slot control that takes its place."""
    rows = plan.filter(pl.col("llm").is_not_null()).unique("method").iter_rows(named=True)
    models = {}
    for row in rows:
        if control_named(row["llm"]):
            models[row["method"]] = row["llm"]
            continue
        spec = folders[row["folder"]].manifest["models"][row["llm"]]
        name = f"{spec['model']} ({spec['size']})" if spec["size"] else str(spec["model"])
        models[row["method"]] = name
    return models


def _control(folders: Sequence[Results]) -> str:
    """Return the common control of all suites.

    Raises:
        UsageError: the suites have different controls.
    """
    controls = {str(folder.manifest["suite"]["control"]): folder.folder for folder in folders}
    if len(controls) > 1:
        listed = ", ".join(f"{control} ({folder})" for control, folder in controls.items())
        raise UsageError(f"The suites differ in their control: {listed}.", "Choose one with --control.")
    return next(iter(controls))
