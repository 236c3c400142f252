"""Find the incumbents of runs after numbers of trials, and what to do where a run is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.benchmarks.registry import benchmark
from surrobench.errors import ResultsError
from surrobench.report.data.load import Portion
from surrobench.results.folder import Results
from surrobench.stats.curves import areas
from surrobench.stats.regret import quantile_regret
from surrobench.stats.steps import Steps, Unit


def spent_for_area(plan: pl.DataFrame) -> Unit:
    """Return the unit over which the area below a curve is taken: trials, or what else limits the runs."""
    if not plan["trials"].null_count():
        return "trials"
    return "equivalents" if plan["equivalents"].null_count() < len(plan) else "seconds"


def without_gaps(
    incumbents: pl.DataFrame,
    usable: pl.Series,
    folders: Sequence[Results],
    *,
    partial: bool,
    failed: pl.Series,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the incumbents without the benchmarks of missing runs, and these runs.

    Args:
        incumbents: of all runs.
        usable: the runs that did not fail and are finished.
        folders: the results.
        partial: whether benchmarks may be left out.
        failed: the runs whose benchmarks may be left out, even so.

    Raises:
        ResultsError: other runs are missing, and ``partial`` is false; or nothing is left.
    """
    missing = _missing_runs(incumbents, usable)
    left = incumbents.filter(~pl.col("benchmark").is_in(missing["benchmark"].unique().implode()))
    unexpected = missing if partial else missing.filter(~pl.col("run").is_in(failed.implode()))
    if len(missing) and (left.is_empty() or (not partial and len(unexpected))):
        raise missing_error(folders, unexpected if len(unexpected) else missing)
    return left, missing


def on_what_is_left(missing: pl.DataFrame, plan: pl.DataFrame) -> list[str]:
    """Return a note on the benchmarks that are left out; nothing where none are."""
    if missing.is_empty():
        return []
    gone = missing["benchmark"].unique(maintain_order=True).to_list()
    methods = ", ".join(sorted(missing["method"].unique()))
    return [
        f"{len(gone)} of {plan['benchmark'].n_unique()} benchmarks are left out, as runs are missing there: "
        f"{', '.join(gone)}. Missing are runs of {methods}. Runs do not fail at random: what is left favours "
        "the methods that failed elsewhere."
    ]


def _missing_runs(incumbents: pl.DataFrame, usable: pl.Series) -> pl.DataFrame:
    """Return the runs that failed, are not finished, or observed nothing, a row each."""
    absent = pl.col("score").is_null() | ~pl.col("run").is_in(usable.implode())
    return incumbents.filter(absent).unique("run", maintain_order=True)


def on_most_benchmarks(incumbents: pl.DataFrame) -> pl.DataFrame:
    """Return the incumbents on the benchmarks with the most runs; other benchmarks may lack some of them."""
    cells = incumbents.group_by("benchmark").agg(pl.struct("method", "seed").n_unique().alias("cells"))
    whole = cells.filter(pl.col("cells") == pl.col("cells").max())["benchmark"]
    return incumbents.filter(pl.col("benchmark").is_in(whole.implode()))


def incumbents_of(plan: pl.DataFrame, found: Portion, area: Unit | None) -> pl.DataFrame:
    """Return a row per run and number of trials after which it can be compared; see ``StudyData.incumbents``.

    Args:
        plan: the planned runs.
        found: the steps of these runs.
        area: the unit over which the area below a curve is taken, where trials are not limited; None for no
            area.
    """
    parts = []
    for most in plan["trials"].unique().sort():
        unlimited = pl.col("trials").is_null()
        runs = plan.filter(unlimited if most is None else unlimited | (pl.col("trials") >= most))
        columns = {"score": _at(found.steps["trials"], most, found.rows, len(plan))}
        if found.tests is not None:
            columns["test"] = _at(found.tests, most, found.rows, len(plan))
        if area is not None:
            unit: Unit = area if most is None else "trials"
            end = float(found.steps[unit].end.max()) if most is None else float(most)
            columns["area"] = _areas(found, plan, unit, end)
        rows = runs["row"].to_numpy()
        parts.append(
            runs.select("run", "benchmark", "method", "seed", trials=pl.lit(most, pl.Int64)).with_columns(
                pl.Series(name, values[rows], nan_to_null=True) for name, values in columns.items()
            )
        )
    return pl.concat(parts)


def _at(steps: Steps, most: int | None, rows: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Return, by row of the plan, each curve after ``most`` trials, shape (n,); NaN if it has no value."""
    out = np.full(n, np.nan)
    out[rows] = np.append(steps.score, np.nan)[steps.at(np.inf if most is None else most)]
    return out


def _areas(found: Portion, plan: pl.DataFrame, unit: Unit, most: float) -> NDArray[np.float64]:
    """Return, by row of the plan, the area below each run's curve of quantile regret, shape (n,)."""
    steps = found.steps[unit]
    codes = plan["benchmark"].cast(pl.Enum(plan["benchmark"].unique())).to_physical().to_numpy()
    of_step = codes[found.rows][steps.of_run]
    quantile = np.empty(len(steps.score))
    for code, name in zip(*np.unique(codes, return_index=True), strict=True):
        mine = np.flatnonzero(of_step == code)
        losses = benchmark(plan["benchmark"][int(name)]).reference.sorted_losses
        quantile[mine] = quantile_regret(steps.score[mine], losses)
    out = np.full(len(plan), np.nan)
    out[found.rows] = areas(steps, quantile, np.ones(len(found.rows)), most, unit)
    return out


def missing_error(folders: Sequence[Results], missing: pl.DataFrame) -> ResultsError:
    """Return the error that lists missing runs."""
    rows = [
        f"{row['method']} on {row['benchmark']} seed {row['seed']}" for row in missing.iter_rows(named=True)
    ]
    listed = "; ".join(rows[:5]) + (f"; and {len(rows) - 5} more" if len(rows) > 5 else "")
    return ResultsError(
        f"{len(rows)} runs are missing, failed or observed nothing: {listed}.",
        f"See surrobench status {folders[0].folder}; --partial leaves their benchmarks out, and --failed "
        "says how failed runs count.",
    )
