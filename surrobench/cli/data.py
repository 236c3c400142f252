"""``surrobench data``."""

from __future__ import annotations

import click


@click.group()
def command() -> None:
    """Fetch data and models, or say what is there.

    \b
    Example:
      surrobench data pull smollm2
    """


@command.command()
@click.argument("what", type=click.Choice(["smollm2"]))
def pull(what: str) -> None:
    """Fetch WHAT: smollm2, the embedded language model (90 MB), and the library that runs it."""
    from surrobench.llm.weights import find_weights, pull_weights

    pull_weights()
    click.echo(f"SmolLM2-135M-Instruct is in {find_weights()}")


@command.command()
def status() -> None:
    """Say which data and models are there."""
    from importlib.metadata import version

    from rich.console import Console
    from rich.table import Table

    from surrobench.benchmarks.tables import PACKAGE
    from surrobench.errors import ModelError
    from surrobench.llm.weights import find_weights
    from surrobench.paths import cache_dir

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("data")
    table.add_column("state", overflow="fold")
    table.add_row("tables (HPOBench, HPOlib, NAS-Bench-201)", f"{PACKAGE} {version(PACKAGE)}")
    cached = sorted(path.parent.name for path in cache_dir().glob("tables/*/*/values.npy"))
    table.add_row("  converted", f"{', '.join(cached) or 'none yet'}, in {cache_dir() / 'tables'}")
    try:
        table.add_row("embedded model SmolLM2-135M-Instruct", str(find_weights()))
    except ModelError as error:
        table.add_row("embedded model SmolLM2-135M-Instruct", str(error))
    Console().print(table)
