"""From a results folder to what a ranking needs: incumbents, references, names."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from surrobench.benchmarks import benchmark, scenario
from surrobench.benchmarks.base import Reference
from surrobench.errors import ResultsError, UsageError
from surrobench.results import Results
from surrobench.runs import method_name
from surrobench.stats.incumbent import final_incumbents


@dataclass(frozen=True)
class Study:
    """What a ranking is made of.

    Attributes:
        incumbents: one row per run: benchmark, method, seed, score (loss of the incumbent's configuration).
        references: benchmark -> its reference values.
        models: method -> its language model as people read it.
        control: the method the suite compares with.
    """

    incumbents: pl.DataFrame
    references: dict[str, Reference]
    models: dict[str, str]
    control: str


def load_study(results: Results, budget: int | None = None, *, partial: bool = False) -> Study:
    """The incumbents of all runs a suite names, after ``budget`` trials (default: the suite's).

    Args:
        results: the folder.
        budget: trials that count.
        partial: leave out benchmarks on which a run is missing, instead of refusing.

    Raises:
        ResultsError: runs are missing, failed, or observed nothing; a list of them.
        UsageError: the budget is larger than the suite's.
    """
    plan = results.plan().with_columns(
        method=pl.when(pl.col("llm").is_null())
        .then("optimizer")
        .otherwise(pl.format("{} ({})", "optimizer", "llm"))  # as runs.method_name
    )
    most = int(results.manifest["suite"]["trials"])
    if budget is not None and budget > most:
        raise UsageError(f"A budget of {budget} trials is more than the suite's {most}.")
    budget = budget or most
    trials = pl.concat(_losses(results, key) for key in _scenarios(plan))
    with results.reading():
        reached = final_incumbents(trials, budget)
    incumbents = plan.join(reached, on="run", how="left", maintain_order="left")
    incumbents = incumbents.join(_usable(results, plan, budget), on="run", how="left", maintain_order="left")
    missing = incumbents.filter(pl.col("score").is_null() | pl.col("usable").is_null())
    if len(missing):
        if not partial:
            raise _missing(results, missing)
        incumbents = incumbents.filter(~pl.col("benchmark").is_in(missing["benchmark"].unique().implode()))
        if incumbents.is_empty():
            raise _missing(results, missing)
    return Study(
        incumbents=incumbents.select("benchmark", "method", "seed", "score"),
        references={
            name: benchmark(name).reference for name in incumbents["benchmark"].unique(maintain_order=True)
        },
        models={
            method_name(row["optimizer"], row["llm"]): _model_name(results, row["llm"])
            for row in plan.filter(pl.col("llm").is_not_null()).unique("method").iter_rows(named=True)
        },
        control=str(results.manifest["suite"]["control"]),
    )


def _scenarios(plan: pl.DataFrame) -> list[str]:
    return sorted({str(name).rpartition("/")[0] for name in plan["benchmark"].unique()})


def _losses(results: Results, key: str) -> pl.LazyFrame:
    """Run, trial, observed loss and mean loss of all trials on a scenario."""
    where = scenario(key)
    sign = where.objectives[where.target_index].sign
    return results.trials(["run", "trial", "value", "score"], scenario_key=key).select(
        "run", "trial", loss=sign * pl.col("value"), score=sign * pl.col("score")
    )


def _usable(results: Results, plan: pl.DataFrame, budget: int) -> pl.DataFrame:
    """The runs that are finished as far as ``budget`` goes."""
    wanted = {run: min(trials, budget) for run, trials in plan.select("run", "trials").iter_rows()}
    usable = [
        run
        for run, record in results.records().items()
        if run in wanted
        and record.state != "failed"
        and (record.state == "exhausted" or record.trials >= wanted[run])
    ]
    return pl.DataFrame({"run": usable, "usable": True}, schema={"run": pl.String, "usable": pl.Boolean})


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
