"""``surrobench runs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option
from surrobench.cli.options import COUNT, RESULTS, patterns

if TYPE_CHECKING:
    import polars as pl

SHORTEST_ID = 8
"""Digits of a run's id that are printed at least."""


@click.command("runs", cls=Command)
@RESULTS
@patterns("--benchmark", "benchmarks", "List only runs on these benchmarks.")
@patterns("--method", "methods", "List only runs of these methods.")
@patterns("--model", "models", "List only runs with these language models.")
@option("--seed", "seeds", type=int, multiple=True, metavar="N", help="List only runs with this seed.")
@patterns("--state", "states", "List only runs that are ok, exhausted, failed, half-finished or to do.")
@option("--limit", type=COUNT, metavar="N", show_default="all", help="List at most N runs.")
@option("--json", "as_json", is_flag=True, help="Print JSON, with full ids and values.")
def command(results: Path, limit: int | None, as_json: bool, **options: Any) -> None:
    """List the runs of the folder RESULTS with their ids, states and incumbents.

    The command surrobench show takes the id of a run, or the beginning of the id. A run is ok when it has
    used its budget. A run is exhausted when its method stopped by itself before that. The column incumbent
    shows the mean value of the best configuration, in the unit of the benchmark's metric.

    \b
    Examples:
      surrobench runs results/quick --state failed
      surrobench runs results/quick --method 'karpathy*' --benchmark '*/car' --seed 0
      surrobench runs results/quick --json > runs.json
    """
    from surrobench.report.data.run_list import run_states, with_incumbents
    from surrobench.results.folder import Results

    folder = Results(results)
    every = run_states([folder]).drop("folder")
    chosen = _chosen(every, options)
    shown = with_incumbents(folder, chosen.head(limit) if limit else chosen)
    if as_json:
        rows = [{"run": row.pop("run"), **row} for row in shown.rename({"llm": "model"}).to_dicts()]
        document = {"schema_version": 1, "results": str(results), "total": len(chosen), "runs": rows}
        output.write(json.dumps(document, indent=2))
        return
    _print(shown, every["run"])
    if len(shown) < len(chosen):
        output.say(f"{len(chosen) - len(shown):,} more runs; list them without --limit.")


def _chosen(runs: pl.DataFrame, options: dict[str, Any]) -> pl.DataFrame:
    """Return the runs that the filters mean.

    Raises:
        UnknownName: a pattern matches no name in the results, or there is no run with a seed.
    """
    import polars as pl

    from surrobench.patterns import matching
    from surrobench.report.data.load import RunFilter
    from surrobench.report.data.run_list import STATES

    runs = RunFilter(options["benchmarks"], options["methods"], options["models"]).of(runs)
    if options["models"]:  # a ranking keeps the methods without a model; who lists runs with one does not
        runs = runs.filter(pl.col("llm").is_not_null())
    if options["states"]:
        runs = runs.filter(pl.col("state").is_in(matching("state", options["states"], STATES)))
    if options["seeds"]:
        known = map(str, sorted(runs["seed"].unique()))
        wanted = matching("seed", map(str, options["seeds"]), known)
        runs = runs.filter(pl.col("seed").cast(pl.String).is_in(wanted))
    return runs


def _print(runs: pl.DataFrame, ids: pl.Series) -> None:
    """Print runs as a table.

    Args:
        runs: the rows.
        ids: of all runs of the folder, among which the printed beginnings are unique.
    """
    digits = shortest(ids.to_list())
    table = output.table("run", "method", "benchmark", "seed>", "state", "trials>", "incumbent>")
    table.padding = (0, 1, 0, 0)
    for row in runs.iter_rows(named=True):
        value = "-" if row["incumbent"] is None else f"{row['incumbent']:.5g}"
        words = row["run"][:digits], row["method"], row["benchmark"], str(row["seed"]), row["state"]
        table.add_row(*words, f"{row['trials']:,}", value)
    output.console().print(table)


def shortest(ids: list[str]) -> int:
    """Return how many digits tell all ids apart, ``SHORTEST_ID`` at least."""
    longest = max(map(len, ids), default=SHORTEST_ID)
    for digits in range(SHORTEST_ID, longest):
        if len({run[:digits] for run in ids}) == len(ids):
            return digits
    return longest
