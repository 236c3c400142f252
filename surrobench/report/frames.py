"""Results folders as Polars frames over all scenarios: runs, trials, incumbents, curves, replies.

Scenarios differ in what they tune, so the trials of each are stored in a file schema of their own. A frame
over all scenarios has the columns that all have in common and, after them, one column for every objective,
fidelity and hyperparameter of any scenario: ``objective.NAME``, ``fidelity.NAME`` and ``config.NAME``. A
column is null in the rows of a scenario that does not have it, and where a conditional hyperparameter is
inactive. Where two scenarios give one name to values of different types, the column has the type that holds
both (numbers and words: words).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.benchmarks.registry import benchmark
from surrobench.llm.journal import Journal
from surrobench.protocol.budget import Budget
from surrobench.report.data.external_results import others_beside
from surrobench.report.data.load import Portion, RunFilter, joint_plan, limited, read_steps
from surrobench.report.data.run_list import run_states
from surrobench.results.folder import Results
from surrobench.results.schema import common_schema
from surrobench.stats.regret import Anchor, normalised_regret, quantile_regret
from surrobench.stats.steps import Steps, Unit

PREFIXES = ("objective.", "fidelity.", "config.")
"""Of the columns that only some scenarios have, in the order of the frame."""
NAMES = ("benchmark", "method", "optimizer", "llm", "variant", "seed")
"""What a run is called: ``method`` is the label in rankings, the optimizer with its model."""


@dataclass(frozen=True)
class Source:
    """What frames are made of.

    Attributes:
        folders: the results.
        choice: which runs of them.
        external: results of others (``external_results``); None: there are none.
    """

    folders: Sequence[Results]
    choice: RunFilter
    external: pl.DataFrame | None = None

    def plan(self) -> pl.DataFrame:
        """Return the runs that the suites name: see ``joint_plan``.

        Raises:
            ResultsError: two folders contradict each other.
            UnknownName: a pattern matches nothing.
        """
        return self.choice.of(joint_plan(self.folders))


def scan_trials(source: Source) -> pl.LazyFrame:
    """Return a row per trial of every recorded run, lazily.

    Rows of results of others have a method, benchmark, seed, trial, value and score; all else is null.

    Raises:
        as ``Source.plan``
    """
    frames = [frame for number in range(len(source.folders)) for frame in _trials(source, number)]
    if source.external is not None:
        external = source.external.lazy().with_columns(pl.col("value").alias("score"))
        frames.append(external.with_columns(optimizer=pl.col("method")))
    empty = pl.LazyFrame(schema={**common_schema(), "method": pl.String})
    trials: pl.LazyFrame = pl.concat([empty, *frames], how="diagonal_relaxed")
    known = trials.collect_schema().names()
    common = ["run", *NAMES]
    common += [name for name in common_schema() if name not in common]
    further = [name for prefix in PREFIXES for name in known if name.startswith(prefix)]
    return trials.select(*common, *further)


def _trials(source: Source, number: int) -> Iterator[pl.LazyFrame]:
    """Yield the trials of one folder, scenario by scenario."""
    folder, plan = source.folders[number], source.plan()
    mine = plan.filter(pl.col("folder") == number).select("run", "benchmark", "method")
    for key in sorted({str(name).rpartition("/")[0] for name in mine["benchmark"].unique()}):
        trials = folder.trials(scenario_key=key)
        yield trials.join(mine.lazy().select("run", "method"), on="run", maintain_order="left")


def runs_frame(source: Source) -> pl.DataFrame:
    """Return a row per run that the suites name, whether it is recorded or not.

    ``state``, ``trials`` and ``error`` are those of ``run_states``; ``error`` is null where there is none.
    Budgets are ``most_trials``, ``most_equivalents``, ``most_seconds`` and ``most_tokens``. Sums over the
    run's trials follow.

    Raises:
        as ``Source.plan``
    """
    plan = source.plan()
    limits = {unit: f"most_{unit}" for unit in ("trials", "equivalents", "seconds", "tokens")}
    runs = run_states(source.folders, source.choice).join(
        plan.select("run", "folder", *limits).rename(limits), on=["run", "folder"], maintain_order="left"
    )
    totals = _totals(source, plan)
    folders = [str(folder.folder) for folder in source.folders]
    return runs.join(totals, on="run", how="left", maintain_order="left").select(
        "run", *NAMES, "state", pl.when(pl.col("error") != "").then("error"), "trials", *limits.values(),
        *totals.columns[1:],
        folder=pl.col("folder").replace_strict(dict(enumerate(folders)), return_dtype=pl.String),
    )  # fmt: skip


def _totals(source: Source, plan: pl.DataFrame) -> pl.DataFrame:
    """Return the sums over the trials of each run of a plan."""
    parts = []
    for number, folder in enumerate(source.folders):
        mine = plan.filter(pl.col("folder") == number).select("run")
        with folder.reading():
            parts.append(
                folder.trials()
                .join(mine.lazy(), on="run", how="semi")
                .group_by("run")
                .agg(
                    pl.col("duplicate").sum().alias("duplicates"),
                    (pl.col("status") == "invalid").sum().alias("invalid"),
                    pl.col("cost").sum(),
                    pl.col("calls", "tokens_in", "tokens_out").cast(pl.UInt64).sum(),
                    pl.col("latency").sum(),
                )
                .collect()
            )
    return pl.concat(parts)


# ---------------------------------------------------------------------- incumbents


def curves_frame(
    source: Source, unit: Unit = "trials", limit: Budget | None = None, anchor: Anchor = "median"
) -> pl.DataFrame:
    """Return a row per change of a run's incumbent: a step curve, which holds its value until the next row.

    Columns: ``run`` and its names; what the run had spent by then, in a column named by the unit; ``trial``,
    the incumbent's; ``value``, the mean of its configuration in the objective's natural direction;
    ``quantile_regret`` and ``normalised_regret``.

    Args:
        source: the runs; of those without a trial nothing is shown.
        unit: what is counted.
        limit: what of each run counts; by default the suites' budgets.
        anchor: the reference value whose normalised regret is 1.

    Raises:
        UsageError: the limit is more than the suites' budgets.
        DataError: a benchmark's reference values are not on this machine.
        as ``Source.plan``
    """
    plan, portions = _steps(source, unit, limit, tests=False)
    parts = [_changes(plan, portion, unit, anchor) for portion in portions]
    return pl.concat([_changes(plan, _NOTHING, unit, anchor), *parts])


def incumbents_frame(source: Source, limit: Budget | None = None, anchor: Anchor = "median") -> pl.DataFrame:
    """Return a row per run with its last incumbent; columns as ``curves_frame``, and ``test``.

    ``test`` is the incumbent's test metric in its natural direction; null where the benchmark has none.

    Raises:
        as ``curves_frame``
    """
    plan, portions = _steps(source, "trials", limit, tests=True)
    parts = [_changes(plan, _NOTHING, "trials", anchor).with_columns(test=pl.lit(None, pl.Float64))]
    for portion in portions:
        first = portion.steps["trials"].first
        last = first[1:][np.diff(first) > 0] - 1
        test = pl.lit(None, pl.Float64)
        found = _changes(plan, portion, "trials", anchor, last).with_columns(test=test)
        if portion.tests is not None:
            scores = portion.tests.score[last]
            found = found.with_columns(test=pl.Series(scores, nan_to_null=True, dtype=pl.Float64))
        parts.append(found)
    return pl.concat(parts)


def _steps(
    source: Source, unit: Unit, limit: Budget | None, *, tests: bool
) -> tuple[pl.DataFrame, list[Portion]]:
    """Return the plan with a column ``row``, results of others below it, and the step curves of its rows."""
    limit = limit or Budget()
    plan = limited(source.plan(), limit).with_row_index("row")
    units: tuple[Unit, ...] = tuple(dict.fromkeys(("trials", unit)))
    portions: list[Portion] = []
    for number, folder in enumerate(source.folders):
        mine = plan.filter(pl.col("folder") == number)
        for key in sorted({str(name).rpartition("/")[0] for name in mine["benchmark"].unique()}):
            portions += read_steps(folder, mine, key, units, tests, ())
    if source.external is not None:
        theirs = others_beside(source.external, plan, units, limit)
        plan = pl.concat([plan, theirs.runs.with_columns(run=pl.lit(None, pl.String))], how="diagonal")
        portions.append(theirs.portion)
    return plan, portions


_NO_STEPS = Steps(np.zeros(1, np.int64), np.empty(0), np.empty(0), np.empty(0, np.int64), np.empty(0))
_NOTHING = Portion(
    np.empty(0, np.int64), dict.fromkeys(("trials", "equivalents", "seconds", "tokens"), _NO_STEPS), None
)
"""Gives a frame its columns where there is no run."""


def _changes(
    plan: pl.DataFrame, portion: Portion, unit: Unit, anchor: Anchor, which: NDArray[np.int64] | None = None
) -> pl.DataFrame:
    """Return the steps of some runs as rows; ``which`` of them, by default all."""
    steps = portion.steps[unit]
    at = np.arange(len(steps.score)) if which is None else which
    runs = plan[portion.rows[steps.of_run[at]]]
    loss = steps.score[at]
    sign, quantile, normalised = (np.full(len(loss), np.nan) for _ in range(3))
    names = runs["benchmark"].to_numpy()
    for name in np.unique(names) if len(names) else ():
        mine, where = names == name, benchmark(name)
        reference = where.reference
        sign[mine] = where.objective.sign
        quantile[mine] = quantile_regret(loss[mine], reference.sorted_losses)
        normalised[mine] = normalised_regret(loss[mine], reference.best, getattr(reference, anchor))
    whole = unit in {"trials", "tokens"}
    return runs.select("run", *NAMES).with_columns(
        pl.Series(unit, steps.spent[at], dtype=pl.Float64).cast(pl.Int64 if whole else pl.Float64),
        pl.Series("trial", steps.trial[at], dtype=pl.Int64),
        pl.Series("value", sign * loss, dtype=pl.Float64),
        pl.Series("quantile_regret", quantile, dtype=pl.Float64),
        pl.Series("normalised_regret", normalised, dtype=pl.Float64),
    )


# ---------------------------------------------------------------------- replies

_REPLY = {
    "reply": pl.String,
    "purpose": pl.String,
    "text": pl.String,
    "thinking": pl.String,
    "finish": pl.String,
    "tokens_in": pl.UInt32,
    "tokens_out": pl.UInt32,
    "tokens_thinking": pl.UInt32,
    "latency": pl.Float64,
}
_PROMPT = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))


def replies_frame(source: Source, *, prompts: bool = False) -> pl.DataFrame:
    """Return a row per reply of a language model: run after run, in the order they were asked for.

    ``reply`` is the name of the reply in its run: trials name it in their column ``reply``. ``finish`` says
    why the reply ended (``stop``, ``length``, ...), ``latency`` is in seconds.

    Args:
        source: the runs.
        prompts: add ``prompt``, the messages that were sent; they are many times as long as the replies.

    Raises:
        ResultsError: a journal is damaged.
        as ``Source.plan``
    """
    plan = source.plan()
    schema = {"run": pl.String, **_REPLY} | ({"prompt": _PROMPT} if prompts else {})
    parts = [pl.DataFrame(schema=schema)]
    parts += [_replies(Journal(folder.journal_path), schema, prompts=prompts) for folder in source.folders]
    replies = pl.concat(parts).unique(["run", "reply"], keep="first", maintain_order=True)
    names = plan.select("run", *NAMES)
    return replies.join(names, on="run", maintain_order="left").select("run", *NAMES, *list(schema)[1:])


def _replies(journal: Journal, schema: dict[str, Any], *, prompts: bool) -> pl.DataFrame:
    """Return all entries of a journal as rows."""
    columns: dict[str, list[object]] = {name: [] for name in schema}
    messages: object = None
    for entry in journal.entries(prompts=prompts):
        done = entry.completion
        row = (
            entry.key.run, entry.where, entry.purpose, done.text, done.thinking, done.finish_reason,
            done.tokens_in, done.tokens_out, done.tokens_thinking, done.latency,
        )  # fmt: skip
        for column, value in zip(columns.values(), row, strict=False):
            column.append(value)
        if prompts:
            if entry.prompt is not None:  # the samples of one request share a prompt
                messages = [{"role": one.role, "content": one.content} for one in entry.prompt]
            columns["prompt"].append(messages)
    return pl.DataFrame(columns, schema=schema)
