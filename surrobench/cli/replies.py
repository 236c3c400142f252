"""``surrobench replies``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("results", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "latex", "csv", "json"]),
    default="table",
    show_default=True,
)
@click.option("--benchmark", "benchmarks", multiple=True, metavar="PATTERN", help="Only these benchmarks.")
@click.option("--method", "methods", multiple=True, metavar="PATTERN", help="Only these methods.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="PATTERN",
    help="Only these models; 'control:*' are those that stand in for one.",
)
@click.option(
    "--variant", "variants", multiple=True, metavar="PATTERN", help="Only what was shown in these variants."
)
def command(
    results: tuple[Path, ...],
    form: Any,
    benchmarks: tuple[str, ...],
    methods: tuple[str, ...],
    models: tuple[str, ...],
    variants: tuple[str, ...],
) -> None:
    """What the language models' replies in RESULTS came to: valid, repeated or defective, and their cost.

    A row per method, model and prompt variant. To read the replies themselves: surrobench show RUN --prompts.

    \b
    Examples:
      surrobench replies results/quick
      surrobench replies results/mine --model 'qwen*' --format latex > replies.tex
    """
    from rich.console import Console

    from surrobench.report.data.load import RunFilter
    from surrobench.report.llm.reply_statistics import load_replies, tables_of
    from surrobench.report.render.formats import render
    from surrobench.report.render.terminal import terminal
    from surrobench.results.folder import Results

    choice = RunFilter(benchmarks, methods, models, variants)
    tables = tables_of(load_replies([Results(folder) for folder in results], choice))
    if form == "table":
        Console().print(terminal(tables))
    else:
        click.echo(render(tables, form), nl=False)
