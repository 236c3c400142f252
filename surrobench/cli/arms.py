"""``surrobench rank --by variant`` and ``--by model``: the methods that ask a language model, arm by arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from surrobench.results.folder import Results

REFUSED = {
    "target": "--target", "test_metric": "--test", "intervals": "--intervals", "others": "--with",
    "extra_tests": "--also", "rope": "--rope",
}  # fmt: skip
"""Options of ``rank`` that say nothing about arms, which have intervals anyway."""


def print_arms(folders: Sequence[Results], by: Any, form: Any, options: dict[str, Any]) -> None:
    """Compare arms and print both tables.

    Args:
        folders: the results.
        by: ``variant`` or ``model``.
        form: format of the output.
        options: the other options of ``rank``, by their parameters' names.

    Raises:
        UsageError: an option was given that means something for a ranking alone.
    """
    from rich.console import Console

    from surrobench.cli.options import choice, limit
    from surrobench.errors import UsageError
    from surrobench.report.llm.comparison import load_arms
    from surrobench.report.llm.comparison_table import sheets_of
    from surrobench.report.render.formats import render, rich_sheet

    given = [written for name, written in REFUSED.items() if options.get(name)]
    for name, usual in (("metric", "quantile"), ("correction", "holm")):
        given += [f"--{name}"] if options.get(name, usual) != usual else []
    if given:
        raise UsageError(
            f"--by {by} compares quantile regret, Holm-corrected; {', '.join(given)} is of a ranking.",
            f"Leave out {', '.join(given)}, or --by {by}.",
        )
    arms = load_arms(
        folders,
        by,
        alpha=options["alpha"],
        limit=limit(options),
        choice=choice(options),
        partial=options["partial"],
        control=options["control"],
        blocks=options["blocks"],
    )
    sheets = sheets_of(arms)
    if form == "table":
        console = Console()
        for sheet in sheets:
            console.print(rich_sheet(sheet))
    else:
        click.echo(render(sheets, form), nl=False)
