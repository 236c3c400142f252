"""Sheets as text: for a terminal, as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from typing import Any, Literal

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from surrobench.reproduce.sheet import Cell, Sheet

Format = Literal["markdown", "latex", "csv", "json"]
_STYLES = {"matches": "green", "differs": "bold red", "unknown": "yellow", None: ""}


def rich_sheet(sheet: Sheet) -> RenderableType:
    """A sheet for a terminal.

    Where that is too narrow, a second column of words (the model) goes below the first (the method).
    """
    # A table's own title would be broken at the table's width.
    notes = Text("".join(f"{note}\n" for note in sheet.notes), style="dim")
    return Group(Text(sheet.title, style="bold"), _Terminal(sheet), notes)


class _Terminal:
    """Chooses the layout once the width is known."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = _rich_table(self.sheet, stacked=False)
        unbounded = options.update(max_width=10_000)
        if Measurement.get(console, unbounded, table).maximum > options.max_width:
            table = _rich_table(self.sheet, stacked=True)
        yield table


def _rich_table(sheet: Sheet, stacked: bool) -> Table:
    """The table alone; ``stacked``: the second of two columns of words is a line below the first."""
    stacked = stacked and sheet.columns[1].words
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, column in enumerate(sheet.columns):
        if column.words and not (stacked and i == 1):
            table.add_column(column.title, overflow="fold")
        elif not column.words:
            # A heading of two words takes two lines, numbers never do.
            heading = Text(column.title.replace(" ", "\n", 1), justify="right")
            table.add_column(heading, justify="right", no_wrap=True)
    for row in sheet.rows:
        cells = [Text(cell.shown, style=_STYLES[cell.mark]) for cell in row]
        if stacked:
            name, below = cells[0], Text(cells[1].plain, style="dim")
            cells[:2] = [Text("\n").join([name, below]) if below else name]
        table.add_row(*cells)
    return table


def render(sheets: Iterable[Sheet], citation: str, form: Format) -> str:
    """All sheets as text, ending in a newline."""
    whole = list(sheets)
    match form:
        case "markdown":
            return f"{_plain(citation)}\n\n" + "\n".join(map(markdown, whole))
        case "latex":
            return f"% {citation}\n% Needs \\usepackage{{booktabs}}.\n" + "\n".join(map(latex, whole))
        case "csv":
            return _csv(whole)
        case "json":
            return _json(whole, citation)


def _plain(text: str) -> str:
    for special in "\\`*_[]<>|":
        text = text.replace(special, "\\" + special)
    return text


def markdown(sheet: Sheet) -> str:
    """A sheet as a Markdown table, its notes as a list."""
    rows = [[_plain(column.title) for column in sheet.columns]]
    rows.append([":---" if column.words else "---:" for column in sheet.columns])
    rows += [[_plain(cell.shown) for cell in row] for row in sheet.rows]
    lines = [f"**{_plain(sheet.title)}**", "", *("| " + " | ".join(row) + " |" for row in rows), ""]
    return "\n".join([*lines, *(f"- {_plain(note)}" for note in sheet.notes)]) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # else an option of the row end before it
    "]": "{]}",
    "✓": r"$\surd$",
    "✗": r"$\times$",
    "±": r"$\pm$",
    **{special: "\\" + special for special in "{}&%$#_"},
}


def latex(sheet: Sheet) -> str:
    """A sheet as a LaTeX table for a document with booktabs, its notes in the caption."""

    def cell(text: str) -> str:
        return "".join(_LATEX.get(character, character) for character in text)

    def figure(one: Cell) -> str:
        text = cell(one.shown)
        return text.replace("-", "$-$") if isinstance(one.value, float) else text

    title = cell(sheet.title)
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption[{title}]{{{title}. {cell(' '.join(sheet.notes))}}}",
        rf"\begin{{tabular}}{{{''.join('l' if column.words else 'r' for column in sheet.columns)}}}",
        r"\toprule",
        " & ".join(cell(column.title) for column in sheet.columns) + r" \\",
        r"\midrule",
        *(" & ".join(map(figure, row)) + r" \\" for row in sheet.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _csv(sheets: list[Sheet]) -> str:
    """A row per cell, since sheets have different columns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["sheet", "row", "column", "value", "mark"])
    for sheet in sheets:
        for row in sheet.rows:
            cells = list(zip(sheet.columns, row, strict=True))
            name = ", ".join(cell.text for column, cell in cells if column.words and cell.text)
            for column, cell in cells:
                if not column.words:
                    writer.writerow([sheet.key, name, column.key, _finite(cell.value), cell.mark])
    return out.getvalue()


def _json(sheets: list[Sheet], citation: str) -> str:
    document = {
        "citation": citation,
        "sheets": {
            sheet.key: {
                "title": sheet.title,
                "rows": [
                    {
                        column.key: (
                            {"value": _finite(cell.value), "mark": cell.mark}
                            if cell.mark
                            else _finite(cell.value)
                        )
                        for column, cell in zip(sheet.columns, row, strict=True)
                    }
                    for row in sheet.rows
                ],
                "notes": list(sheet.notes),
            }
            for sheet in sheets
        },
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
