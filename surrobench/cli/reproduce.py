"""``surrobench reproduce``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from surrobench.cli import output
from surrobench.cli.command import FORMAT, Command, option
from surrobench.cli.options import FILE, JOBS


@click.command("reproduce", cls=Command)
@click.argument("name", metavar="[PAPER]", required=False)
@FORMAT
@option(
    "--out",
    type=FILE,
    metavar="DIR",
    show_default="the user's cache",
    help="Keep our own runs in this folder.",
)
@JOBS
def command(name: str | None, form: str, out: Path | None, jobs: int | None) -> None:
    """Recompute the tables of PAPER and print them beside the published figures.

    Without PAPER, the papers are listed. A paper that is compared with runs of ours needs them once; they are
    kept. The exit status is 1 if a figure differs.

    \b
    Examples:
      surrobench reproduce ferreira2026
      surrobench reproduce llambo2024 --format latex > llambo.tex
    """
    if name is None:
        _list()
        return
    from surrobench.cli.heartbeat import display
    from surrobench.report.render.formats import render
    from surrobench.report.render.terminal import terminal
    from surrobench.reproduce import Means, paper
    from surrobench.study.progress import Status
    from surrobench.system import usable_cores

    entry = paper(name)
    console, errors = output.console(wide=False), output.errors()
    status = Status(note=lambda line: errors.print(line, style="dim"))
    tables = entry.function(Means(out, jobs or usable_cores(), status))
    if form == "table":
        console.print(f"{entry.citation}\n", style="dim")
    made = []
    while True:
        # The bar is gone before a table is printed.
        with display(status, errors):
            table = next(tables, None)
        if table is None:
            break
        made.append(table)
        if form == "table":
            console.print(terminal(table))
    if form != "table":
        output.write(render(made, form, entry.citation), nl=False)  # type: ignore[arg-type] # click has checked it
    sys.exit(1 if any(table.count("differs") for table in made) else 0)


def _list() -> None:
    """Print which papers there are, what is recomputed of each, and how long that takes."""
    from surrobench.reproduce import PAPERS

    console = output.console()
    table = output.table("paper", "what is recomputed", "takes")
    table.columns[0].no_wrap = True
    for name, entry in PAPERS.items():
        table.add_row(name, entry.summary, entry.takes)
    console.print(table)
    for name, entry in PAPERS.items():
        console.print(f"\n{name}: {entry.citation}", style="dim")
