"""``surrobench replies``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from surrobench.cli import output
from surrobench.cli.command import FORMAT, Command
from surrobench.cli.options import FILTERS, MANY_RESULTS, choice, decorated


@click.command("replies", cls=Command)
@decorated(MANY_RESULTS, *FILTERS)
@FORMAT
def command(results: tuple[Path, ...], form: Any, **options: Any) -> None:
    """Count what the replies of language models in RESULTS were, and what they cost.

    A reply is valid, repeated or defective. There is a row for each method, model and prompt variant. To read
    the replies themselves: surrobench show RUN --prompts.

    \b
    Examples:
      surrobench replies results/quick
      surrobench replies results/mine --model 'qwen*' --format latex > replies.tex
    """
    from surrobench.report.llm.reply_statistics import load_replies, tables_of
    from surrobench.report.render.formats import render
    from surrobench.report.render.terminal import terminal
    from surrobench.results.folder import Results

    tables = tables_of(load_replies([Results(folder) for folder in results], choice(options)))
    if form == "table":
        output.console(wide=False).print(terminal(tables))
    else:
        output.write(render(tables, form), nl=False)
