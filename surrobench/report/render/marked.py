"""Sheets as text: for a terminal, as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from functools import partial
from typing import Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from surrobench.report.render.escape import markdown_cell
from surrobench.report.render.table import FittedTable, Sheet, finite, heading, latex, markdown

Format = Literal["markdown", "latex", "csv", "json"]
_STYLES = {"matches": "green", "differs": "bold red", "unknown": "yellow", None: ""}


def rich_sheet(sheet: Sheet) -> RenderableType:
    """A sheet for a terminal.

    Where that is too narrow, a second column of words (the model) goes below the first (the method).
    """
    # A table's own title would be broken at the table's width.
    notes = Text("".join(f"{note}\n" for note in sheet.notes), style="dim")
    return Group(Text(sheet.title, style="bold"), FittedTable(partial(_rich_table, sheet)), notes)


def _rich_table(sheet: Sheet, stacked: bool) -> Table:
    """The table alone; ``stacked``: the second of two columns of words is a line below the first."""
    stacked = stacked and sheet.columns[1].words
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, column in enumerate(sheet.columns):
        if column.words and not (stacked and i == 1):
            table.add_column(column.title, overflow="fold")
        elif not column.words:
            table.add_column(heading(column), justify="right", no_wrap=True)
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
            return f"{markdown_cell(citation)}\n\n" + "\n".join(map(markdown, whole))
        case "latex":
            return f"% {citation}\n% Needs \\usepackage{{booktabs}}.\n" + "\n".join(map(latex, whole))
        case "csv":
            return _csv(whole)
        case "json":
            return _json(whole, citation)


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
                    writer.writerow([sheet.key, name, column.key, finite(cell.value), cell.mark])
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
                            {"value": finite(cell.value), "mark": cell.mark}
                            if cell.mark
                            else finite(cell.value)
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
