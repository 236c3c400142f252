"""From a results folder to what a ranking needs: incumbents, references, names."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import polars as pl

from surrobench.benchmarks import benchmark, scenario
from surrobench.benchmarks.base import Reference
from surrobench.budget import ROUNDING, Budget, budget_of
from surrobench.errors import ResultsError, UsageError
from surrobench.results import Results
from surrobench.runs import method_name
from surrobench.stats.incumbent import final_incumbents


@dataclass(frozen=True)
class Study:
    """What a ranking is made of.

    Attributes:
        incumbents: benchmark, method, seed, trials, score (loss of the incumbent's configuration); a row per
            run and number of trials, see ``load_study``.
        references: benchmark -> its reference values.
        models: method -> its language model as people read it.
        control: the method the suite compares with.
    """

    incumbents: pl.DataFrame
    references: dict[str, Reference]
    models: dict[str, str]
    control: str


def load_study(results: Results, limit: Budget | None = None, *, partial: bool = False) -> Study:
    """The incumbents of all runs a suite names, within ``limit`` (default: the suite's budget).

    Where methods differ in how many trials they were given, a run has a row for each number of trials after
    which it can be compared with others.

    Args:
        results: the folder.
        limit: what counts, in any of a budget's units.
        partial: leave out benchmarks on which a run is missing, instead of refusing.

    Raises:
        ResultsError: runs are missing, failed, or observed nothing; a list of them.
        UsageError: the limit is more than the suite's budget.
    """
    plan = results.plan().with_columns(
        method=pl.when(pl.col("llm").is_null())
        .then("optimizer")
        .otherwise(pl.format("{} ({})", "optimizer", "llm"))  # as runs.method_name
    )
    plan = _limited(plan, limit or Budget())
    trials = pl.concat(_losses(results, key) for key in _scenarios(plan)).join(
        plan.lazy().select("run", "equivalents", "seconds"), on="run"
    )
    trials = trials.filter(
        ~(pl.col("share").cum_sum().over("run", order_by="trial") > pl.col("equivalents") + ROUNDING)
        .fill_null(False),
        ~(pl.col("finished") > pl.col("seconds")).fill_null(False),
    )  # fmt: skip
    usable = _usable(results, plan)
    parts = []
    for most in plan["trials"].unique().sort():
        runs = plan if most is None else plan.filter(pl.col("trials") >= most)
        with results.reading():
            reached = final_incumbents(trials.join(runs.lazy().select("run"), on="run"), most)
        parts.append(
            runs.drop("trials")
            .join(reached.select("run", "score"), on="run", how="left", maintain_order="left")
            .with_columns(trials=pl.lit(most, pl.Int64))
        )
    incumbents = pl.concat(parts)
    absent = pl.col("score").is_null() | ~pl.col("run").is_in(usable)
    missing = incumbents.filter(absent).unique("run", maintain_order=True)
    if len(missing):
        if not partial:
            raise _missing(results, missing)
        incumbents = incumbents.filter(~pl.col("benchmark").is_in(missing["benchmark"].unique().implode()))
        if incumbents.is_empty():
            raise _missing(results, missing)
    return Study(
        incumbents=incumbents.select("benchmark", "method", "seed", "trials", "score"),
        references={
            name: benchmark(name).reference for name in incumbents["benchmark"].unique(maintain_order=True)
        },
        models={
            method_name(row["optimizer"], row["llm"]): _model_name(results, row["llm"])
            for row in plan.filter(pl.col("llm").is_not_null()).unique("method").iter_rows(named=True)
        },
        control=str(results.manifest["suite"]["control"]),
    )


def _limited(plan: pl.DataFrame, limit: Budget) -> pl.DataFrame:
    """The plan with budgets cut at a limit.

    Raises:
        UsageError: no run has as much.
    """
    for unit, most in asdict(limit).items():
        if most is None:
            continue
        given = plan[unit].max()
        if isinstance(given, int | float) and most > given:
            raise UsageError(f"A budget of {most:g} {unit} is more than the suite's {given:g}.")
        plan = plan.with_columns(pl.min_horizontal(unit, pl.lit(most, plan.schema[unit])))
    return plan


def _scenarios(plan: pl.DataFrame) -> list[str]:
    return sorted({str(name).rpartition("/")[0] for name in plan["benchmark"].unique()})


def _losses(results: Results, key: str) -> pl.LazyFrame:
    """Run, trial, loss, score, fidelity (the share of the full one), share, finished of all trials there."""
    where = scenario(key)
    sign = where.objectives[where.target_index].sign
    fidelities = [f"fidelity.{fidelity.name}" for fidelity in where.fidelities]
    columns = ["run", "trial", "value", "score", "share", "finished", *fidelities]
    of_full = pl.lit(1.0)
    for fidelity in where.fidelities:
        of_full = of_full * pl.col(f"fidelity.{fidelity.name}") / fidelity.full
    return results.trials(columns, scenario_key=key).select(
        "run",
        "trial",
        "share",
        "finished",
        loss=sign * pl.col("value"),
        score=sign * pl.col("score"),
        fidelity=of_full,
    )


def _usable(results: Results, plan: pl.DataFrame) -> list[str]:
    """The runs that are finished as far as the plan's budgets go."""
    wanted = {row["run"]: budget_of(row) for row in plan.iter_rows(named=True)}
    return [
        run
        for run, record in results.records().items()
        if run in wanted
        and record.state != "failed"
        and (record.state == "exhausted" or record.finishes(wanted[run]))
    ]


def _missing(results: Results, missing: pl.DataFrame) -> ResultsError:
    rows = [
        f"{row['method']} on {row['benchmark']} seed {row['seed']}" for row in missing.iter_rows(named=True)
    ]
    listed = "; ".join(rows[:5]) + (f"; and {len(rows) - 5} more" if len(rows) > 5 else "")
    return ResultsError(
        f"{len(rows)} runs are missing, failed or observed nothing: {listed}.",
        f"See surrobench status {results.folder}; --partial leaves their benchmarks out.",
    )


def _model_name(results: Results, label: str) -> str:
    spec = results.manifest["models"][label]
    return f"{spec['model']} ({spec['size']})" if spec["size"] else str(spec["model"])
