"""From a results folder to what figures need beyond a ranking: curves, proposals, origins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.benchmarks import benchmark, scenario
from surrobench.errors import ResultsError, UnknownName
from surrobench.frames import floats
from surrobench.report.figures.proposals import INITIAL, Origins, Proposals
from surrobench.results import Results
from surrobench.space import Hyperparameter, bounds_of, values_of
from surrobench.stats.curves import Anytime, anytime
from surrobench.stats.regret import Anchor
from surrobench.stats.steps import Unit, incumbent_steps


def load_anytime(
    results: Results, unit: Unit, *, anchor: Anchor = "median", partial: bool = False
) -> Anytime:
    """The step curves of all runs that a suite names.

    Args:
        results: the folder.
        unit: what was spent.
        anchor: the reference value whose normalised regret is 1.
        partial: leave out benchmarks on which a run is missing, instead of refusing.

    Raises:
        ResultsError: runs are missing; a list of them.
    """
    runs = planned(results, partial=partial)
    trials = pl.concat(
        [
            _spent(results, key).join(runs.lazy().select("run"), on="run", how="semi")
            for key in scenarios(runs)
        ]
    )
    with results.reading():
        order, steps = incumbent_steps(trials.collect(), [unit])
    rows = pl.DataFrame({"run": order}).join(runs, on="run", how="left", maintain_order="left")
    references = {name: benchmark(name).reference for name in rows["benchmark"].unique()}
    return anytime(rows, steps, references, anchor=anchor)


def planned(results: Results, *, partial: bool = False) -> pl.DataFrame:
    """Run, benchmark, method, seed of the runs that the suite names and that are recorded.

    Raises:
        ResultsError: some are not, and ``partial`` is false; or none is.
    """
    plan = results.plan().with_columns(
        method=pl.when(pl.col("llm").is_null())
        .then("optimizer")
        .otherwise(pl.format("{} ({})", "optimizer", "llm"))  # as runs.method_name
    )
    usable = [run for run, record in results.records().items() if record.state != "failed" and record.trials]
    missing = plan.filter(~pl.col("run").is_in(usable))
    if len(missing):
        rows = [f"{row['method']} on {row['benchmark']} seed {row['seed']}" for row in missing.to_dicts()]
        plan = plan.filter(~pl.col("benchmark").is_in(missing["benchmark"].unique().implode()))
        if not partial or plan.is_empty():
            listed = "; ".join(rows[:5]) + (f"; and {len(rows) - 5} more" if len(rows) > 5 else "")
            raise ResultsError(
                f"{len(rows)} runs are missing or failed: {listed}.",
                f"See surrobench status {results.folder}; --partial leaves their benchmarks out.",
            )
    return plan.select("run", "benchmark", "method", "seed")


def scenarios(runs: pl.DataFrame) -> Sequence[str]:
    """The scenarios of some runs."""
    return sorted({str(name).rpartition("/")[0] for name in runs["benchmark"].unique()})


def _spent(results: Results, key: str) -> pl.LazyFrame:
    """Run, trial, loss, score, fidelity (share of the full one), share, finished, source, tokens."""
    where = scenario(key)
    sign = where.objectives[where.target_index].sign
    of_full = pl.lit(1.0)
    for fidelity in where.fidelities:
        of_full = of_full * pl.col(f"fidelity.{fidelity.name}") / fidelity.full
    return results.trials(scenario_key=key).select(
        "run",
        "trial",
        "share",
        "finished",
        loss=sign * pl.col("value"),
        score=sign * pl.col("score"),
        fidelity=of_full,
        source=pl.col("source"),
        tokens=pl.col("tokens_in") + pl.col("tokens_out"),
    )


def load_proposals(
    results: Results, name: str, *, methods: Sequence[str] = (), seeds: Sequence[int] = ()
) -> Proposals:
    """The trials of some methods on one benchmark.

    Args:
        results: the folder.
        name: of the benchmark.
        methods: which; by default all.
        seeds: which; by default the smallest.

    Raises:
        UnknownName: the study has no such benchmark or method.
        ResultsError: there is no such run.
    """
    runs = planned(results, partial=True)
    if name not in set(runs["benchmark"]):
        raise UnknownName("benchmark", name, sorted(runs["benchmark"].unique()))
    runs = of_methods(runs.filter(pl.col("benchmark") == name), methods)
    wanted = list(seeds) or sorted(runs["seed"].unique())[:1]
    runs = runs.filter(pl.col("seed").is_in(wanted))
    if runs.is_empty():
        raise ResultsError(f"There is no run on {name} with seed {', '.join(map(str, wanted))}.")
    where = benchmark(name)
    space = where.space
    with results.reading():
        trials = (
            results.trials(scenario_key=where.scenario.key)
            .join(runs.lazy().select("run", "method"), on="run")
            .sort("method", "run", "trial")
            .collect()
        )
    X = space.from_columns({hp: trials[f"config.{hp}"].to_list() for hp in space.names})
    return Proposals(
        benchmark=name,
        axes=tuple((hp.name, *_ends(hp)) for hp in space.hyperparameters),
        values=space.to_unit(X),
        bins=np.where(space.levels > 0, 1 / np.maximum(space.levels, 1), 0.0),
        loss=floats(trials["value"]) * where.objective.sign,
        method=trials["method"].to_list(),
        source=trials["source"].to_list(),
        seeds=runs["seed"].n_unique(),
    )


def _ends(hp: Hyperparameter) -> tuple[str, str]:
    """What stands at the lower and at the upper end of a hyperparameter's axis."""
    choices = values_of(hp)
    if choices is not None and not all(isinstance(choice, int | float) for choice in choices):
        return f"{len(choices)} values", f"{len(choices)} values"
    low, high = bounds_of(hp) if choices is None else (choices[0], choices[-1])
    return _number(low), _number(high)


def _number(value: float) -> str:
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e")


def load_origins(results: Results, *, methods: Sequence[str] = (), partial: bool = False) -> Origins:
    """Which source had proposed the incumbents, over trials.

    Args:
        results: the folder.
        methods: which; by default all.
        partial: leave out benchmarks on which a run is missing, instead of refusing.

    Raises:
        ResultsError: runs are missing; a list of them.
        UnknownName: the study has no such method.
    """
    runs = of_methods(planned(results, partial=partial), methods)
    trials = pl.concat(
        [
            _spent(results, key).join(runs.lazy().select("run"), on="run", how="semi")
            for key in scenarios(runs)
        ]
    )
    with results.reading():
        frame = trials.collect()
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
    seeds = runs.group_by("method").agg(pl.col("seed").n_unique())["seed"].min()
    return Origins(names, sources, grid, share / n, n, int(str(seeds)))


def of_methods(runs: pl.DataFrame, methods: Sequence[str]) -> pl.DataFrame:
    """The runs of some methods; of all if none is named.

    Raises:
        UnknownName: there is no such method.
    """
    known = sorted(runs["method"].unique())
    for method in methods:
        if method not in known:
            raise UnknownName("method", method, known)
    return runs.filter(pl.col("method").is_in(list(methods))) if methods else runs


def _checkpoints(most: int, columns: int = 12) -> NDArray[np.int64]:
    """Numbers of trials up to ``most``, close together at first: where incumbents change most."""
    return np.unique(np.rint(np.geomspace(1, most, columns)).astype(np.int64))
