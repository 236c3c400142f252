"""Load what figures need besides a ranking and its curves: proposals and origins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.benchmarks.registry import benchmark, scenario
from surrobench.errors import ResultsError, UsageError
from surrobench.report.data.load import RunFilter, joint_plan, usable_runs
from surrobench.report.figures.proposals import INITIAL, Origins, Proposals
from surrobench.results.folder import Results
from surrobench.results.schema import floats
from surrobench.space.hyperparameter import Hyperparameter, bounds_of, values_of
from surrobench.stats.steps import incumbent_steps


def load_proposals(folders: Sequence[Results], *, choice: RunFilter, seeds: Sequence[int] = ()) -> Proposals:
    """Load the trials of some methods on one benchmark.

    Args:
        folders: the results.
        choice: the benchmark and the methods.
        seeds: the seeds; by default the smallest one.

    Raises:
        UnknownName: the study has no such benchmark or method.
        UsageError: the choice has several benchmarks.
        ResultsError: there is no such run.
    """
    runs, _ = _runs(folders, choice, partial=True)
    names = sorted(runs["benchmark"].unique())
    if len(names) > 1:
        raise UsageError(
            f"Proposals are shown on one benchmark, but these are {len(names)}.",
            f"Choose one with --benchmark, such as {names[0]}.",
        )
    wanted = list(seeds) or sorted(runs["seed"].unique())[:1]
    runs = runs.filter(pl.col("seed").is_in(wanted))
    if runs.is_empty():
        raise ResultsError(f"There is no run on {names[0]} with seed {', '.join(map(str, wanted))}.")
    where = benchmark(names[0])
    space = where.space
    trials = _trials(folders, runs, where.scenario.key).sort("method", "seed", "trial")
    names_of = [f"config.{hp}" for hp in space.names]
    everything = len(trials)
    trials = trials.filter(pl.any_horizontal(pl.col(names_of).is_not_null()))
    X = space.from_columns({hp: trials[f"config.{hp}"].to_list() for hp in space.names})
    return Proposals(
        benchmark=names[0],
        axes=tuple((hp.name, *_ends(hp)) for hp in space.hyperparameters),
        values=space.to_unit(X),
        bins=np.where(space.levels > 0, 1 / np.maximum(space.levels, 1), 0.0),
        loss=floats(trials["value"]) * where.objective.sign,
        method=trials["method"].to_list(),
        source=trials["source"].to_list(),
        seeds=runs["seed"].n_unique(),
        invalid=everything - len(trials),
    )


def _ends(hp: Hyperparameter) -> tuple[str, str]:
    """Return the labels of the lower and the upper end of a hyperparameter's axis."""
    choices = values_of(hp)
    if choices is not None and not all(isinstance(choice, int | float) for choice in choices):
        return f"{len(choices)} values", f"{len(choices)} values"
    low, high = bounds_of(hp) if choices is None else (choices[0], choices[-1])
    return _number(low), _number(high)


def _number(value: float) -> str:
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e")


def load_origins(folders: Sequence[Results], *, choice: RunFilter, partial: bool = False) -> Origins:
    """Load which source had proposed the incumbents, over trials.

    Args:
        folders: the results.
        choice: the part of the study that counts.
        partial: whether to leave out benchmarks on which a run is missing, instead of refusing.

    Raises:
        ResultsError: runs are missing; a list of them.
        UnknownName: the study has no such benchmark or method.
    """
    runs, seeds = _runs(folders, choice, partial=partial)
    keys = sorted({str(name).rpartition("/")[0] for name in runs["benchmark"].unique()})
    frame = pl.concat(_observed(_trials(folders, runs, key), key) for key in keys)
    order, steps = incumbent_steps(frame, ["trials"])
    found = steps["trials"]
    changes = (
        pl.DataFrame({"run": order.gather(found.of_run), "trial": found.trial, "spent": found.spent})
        .join(frame.select("run", pl.col("trial").cast(pl.Int64), "source"), on=["run", "trial"], how="left")
        .join(runs, on="run", how="left")
    )
    grid = _checkpoints(int(found.end.max()))
    points = pl.DataFrame({"point": grid.astype(np.float64)}).lazy()
    each = ["method", "point", "source"]
    runs_of = runs.group_by("method", "benchmark").len("runs")
    shares = (
        changes.lazy()
        .join(points, how="cross")
        .filter(pl.col("spent") <= pl.col("point"))
        .sort("spent")
        .group_by("run", "method", "benchmark", "point")
        .agg(pl.col("source").last())
        .group_by(*each, "benchmark")
        .agg(pl.len().alias("n"))
        .join(runs_of.lazy(), on=["method", "benchmark"])
        .group_by(each)
        .agg((pl.col("n") / pl.col("runs")).sum().alias("share"))
        .collect()
    )
    names = tuple(sorted(runs["method"].unique()))
    sources = tuple(sorted(changes["source"].unique(), key=lambda source: (source != INITIAL, source)))
    share = np.zeros((len(names), len(grid), len(sources)))
    for method, point, source, value in shares.iter_rows():
        share[names.index(method), int(np.searchsorted(grid, point)), sources.index(source)] = value
    n = runs["benchmark"].n_unique()
    control = str(folders[0].manifest["suite"]["control"])
    return Origins(names, sources, grid, share / n, n, seeds, control)


def _runs(folders: Sequence[Results], choice: RunFilter, *, partial: bool) -> tuple[pl.DataFrame, int]:
    """Return the runs that are meant, and how many seeds each method has at least.

    Returns:
        runs: run, folder, benchmark, method and seed.
        seeds: the smallest number of seeds of a method.

    Raises:
        ResultsError: some are missing, and ``partial`` is false; or all are.
    """
    plan = choice.of(joint_plan(folders))
    usable = usable_runs(folders, plan)
    missing = plan.filter(~pl.col("run").is_in(usable.implode()))
    if len(missing):
        found = plan.filter(~pl.col("benchmark").is_in(missing["benchmark"].unique().implode()))
        if not partial or found.is_empty():
            rows = [f"{row['method']} on {row['benchmark']} seed {row['seed']}" for row in missing.to_dicts()]
            listed = "; ".join(rows[:5]) + (f"; and {len(rows) - 5} more" if len(rows) > 5 else "")
            raise ResultsError(
                f"{len(rows)} runs are missing or failed: {listed}.",
                f"See surrobench status {folders[0].folder}; --partial leaves their benchmarks out.",
            )
        plan = found
    seeds = plan.group_by("method").agg(pl.col("seed").n_unique())["seed"].to_list()
    return plan.select("run", "folder", "benchmark", "method", "seed"), min(seeds)


def _trials(folders: Sequence[Results], runs: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return all columns of the trials of these runs on one scenario, and ``method``."""
    parts = []
    for number, folder in enumerate(folders):
        mine = runs.filter(pl.col("folder") == number).select("run", "method")
        trials = folder.trials(scenario_key=key)
        if len(mine) and "run" in trials.collect_schema():
            with folder.reading():
                parts.append(trials.join(mine.lazy(), on="run").collect())
    return pl.concat(parts)


def _observed(trials: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return run, trial, loss, score, fidelity (a share of the full one) and source of some trials."""
    where = scenario(key)
    sign = where.objectives[where.target_index].sign
    of_full = pl.lit(1.0)
    for fidelity in where.fidelities:
        of_full = of_full * pl.col(f"fidelity.{fidelity.name}") / fidelity.full
    return trials.select(
        "run",
        "trial",
        "source",
        loss=sign * pl.col("value"),
        score=sign * pl.col("score"),
        fidelity=of_full,
    )


def _checkpoints(most: int, columns: int = 12) -> NDArray[np.int64]:
    """Return numbers of trials up to ``most``, close together at first, where incumbents change most."""
    return np.unique(np.rint(np.geomspace(1, most, columns)).astype(np.int64))
