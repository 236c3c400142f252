"""``surrobench status``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from surrobench.cli import output
from surrobench.cli.command import Command
from surrobench.cli.options import RESULTS
from surrobench.cli.output import count

if TYPE_CHECKING:
    import polars as pl

    from surrobench.results.folder import Results


@click.command("status", cls=Command)
@RESULTS
def command(results: Path) -> None:
    """Show how far the runs in the folder RESULTS are, by method.

    \b
    Example:
      surrobench status results/quick
    """
    from surrobench.report.data.load import joint_plan, missing_parts
    from surrobench.report.data.run_list import run_states
    from surrobench.results.folder import Results

    folder = Results(results)
    folder.check()
    runs = run_states([folder])
    counts = Counter(runs["state"])
    finished = counts["ok"] + counts["exhausted"]
    console = output.console()

    def write(text: str, style: str = "") -> None:
        console.print(text, style=style, soft_wrap=True)

    write(f"{folder.suite_name}: {finished:,} of {len(runs):,} runs in {results} are finished.")
    if len(runs):
        _print_counts(runs)
    if part := missing_parts([folder], joint_plan([folder])):
        write(f"This is a part of the suite: {part}.")
    if unnamed := len(folder.records().keys() - set(runs["run"])):
        write(f"The folder holds {count(unnamed, 'further run')} that the suite does not name (any more).")
    _print_failures(runs)
    if finished < len(runs):
        write(f"List single runs with: surrobench runs {results} --state PATTERN")
    _print_sessions(folder, write)


def _print_counts(runs: pl.DataFrame) -> None:
    """Print how many runs of each method are in each state that occurs."""
    from surrobench.report.data.run_list import STATES

    present = [state for state in STATES if state in set(runs["state"])]
    table = output.table("method", *(f"{state}>" for state in present))
    for (method,), of_method in runs.group_by("method", maintain_order=True):
        counts = Counter(of_method["state"])
        table.add_row(str(method), *(f"{counts[state]:,}" if counts[state] else "-" for state in present))
    output.console().print(table)


def _print_failures(runs: pl.DataFrame) -> None:
    """Print why runs failed: a line for each reason, with the first run that it befell."""
    console = output.console()
    for _, failed in runs.filter(state="failed").group_by("error", maintain_order=True):
        first = failed.row(0, named=True)
        more = f" and {len(failed) - 1:,} more" if len(failed) > 1 else ""
        where = f"{first['method']} on {first['benchmark']}, seed {first['seed']} (run {first['run']}){more}"
        text = f"Failed: {where}: {first['error']}"
        console.print(text, soft_wrap=True, style="red")


def _print_sessions(folder: Results, write: Callable[..., None]) -> None:
    """Print how often the suite was run, and when last."""
    sessions = folder.manifest["sessions"]
    if sessions:
        ended = datetime.fromisoformat(sessions[-1]["ended"])
        last = f"{ended:%Y-%m-%d at %H:%M} {ended.tzname()}"
        how = "one session, which" if len(sessions) == 1 else f"{len(sessions):,} sessions; the last one"
        write(f"It was run in {how} ended on {last}.", style="dim")
