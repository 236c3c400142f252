"""A further test of every method against the control, as a table that stands beside the ranking's own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from surrobench.report.ranking.model import ExtraTest, Finding
from surrobench.report.render.escape import latex_cell, markdown_cell

_STYLES: Mapping[Finding, str] = {"better": "bold green", "worse": "bold red", "same": "bold", "": ""}


def rich_beside(one: ExtraTest) -> Table:
    """For a terminal, without its note."""
    table = Table(
        title=one.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("method", overflow="fold")
    for number in one.numbers:
        heading = Text(number.heading.replace(" ", "\n", 1), justify="right")
        table.add_column(heading, justify="right", no_wrap=True)
    for method in one.values:
        style = _STYLES[one.findings[method]]
        table.add_row(method, *(Text(cell, style=style) for cell in one.cells(method)))
    return table


def markdown_beside(one: ExtraTest) -> str:
    """For Markdown, a blank line first."""
    rows = [["method", *(number.heading for number in one.numbers)]]
    rows.append([":---", *["---:"] * len(one.numbers)])
    for method in one.values:
        found = bool(one.findings[method])
        rows.append([markdown_cell(method), *(markdown_cell(cell, found) for cell in one.cells(method))])
    lines = [f"\n**{markdown_cell(one.title)}**\n", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join([*lines, "", f"- {markdown_cell(one.note)}"]) + "\n"


def latex_beside(one: ExtraTest) -> str:
    """For a document with booktabs, a blank line first."""
    rows = []
    for method in one.values:
        cells = [latex_cell(cell, bool(one.findings[method])) for cell in one.cells(method)]
        # A minus is one in mathematics only.
        cells = [re.sub(r"[+-][\d.]+(e[+-]\d+)?", r"$\g<0>$", cell) for cell in cells]
        rows.append([latex_cell(method), *cells])
    title = latex_cell(one.title)
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption[{title}]{{{title}. {latex_cell(one.note)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(one.numbers)}}}",
        r"\toprule",
        " & ".join(latex_cell(text) for text in ("method", *(n.heading for n in one.numbers))) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n" + "\n".join(lines) + "\n"
