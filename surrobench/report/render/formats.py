"""Sheets about the methods that ask a language model, in every format of the command line."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from surrobench.report.render.table import Cell, FittedTable, Sheet, finite, heading, latex, markdown

Format = Literal["markdown", "latex", "csv", "json"]
Sign = Literal["better", "worse", ""]


@dataclass(frozen=True)
class Ranged(Cell):
    """A figure with its interval: two more columns of CSV and JSON."""

    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Signed(Cell):
    """A figure that says whether a method is better or worse than what it is compared with; or neither."""

    sign: Sign = ""


NONE = "-"
"""What stands for a share of nothing."""


def render(sheets: Sequence[Sheet], form: Format) -> str:
    """Sheets as text, ending in a newline; CSV and JSON keep every column and every digit."""
    match form:
        case "markdown":
            return "\n".join(markdown(_trimmed(sheet)) for sheet in sheets)
        case "latex":
            return "% Needs \\usepackage{booktabs}.\n" + "\n".join(latex(_trimmed(sheet)) for sheet in sheets)
        case "csv":
            return _csv(sheets)
        case "json":
            return _json(sheets)


def rich_sheet(sheet: Sheet) -> RenderableType:
    """A sheet for a terminal: the first column of words heads a group of rows, the others name a row.

    Where that is too narrow, an interval is a second line below its figure.
    """
    notes = Text("".join(f"{note}\n" for note in sheet.notes), style="dim")
    return Group(Text(sheet.title, style="bold"), FittedTable(partial(_rich_table, _trimmed(sheet))), notes)


def _rich_table(shown: Sheet, stacked: bool) -> Table:
    """The table alone; ``stacked``: intervals on a line of their own, and less space between columns."""
    words = [i for i, column in enumerate(shown.columns) if column.words]
    numbers = [i for i, column in enumerate(shown.columns) if not column.words]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0 if stacked else 1, 0, 0), pad_edge=False)
    table.add_column(", ".join(shown.columns[i].title for i in words[1:]), overflow="fold")
    for i in numbers:
        table.add_column(heading(shown.columns[i]), justify="right", no_wrap=True)
    group = None
    for row in shown.rows:
        name = Text(", ".join(row[i].text for i in words[1:] if row[i].text))
        if row[0].text != group:
            group = row[0].text
            if name:
                table.add_row(Text(group, style="bold"))
        table.add_row(name or Text(group, style="bold"), *(_rich_cell(row[i], stacked) for i in numbers))
    return table


def _rich_cell(cell: Cell, stacked: bool) -> Text:
    estimate, bracket, ends = cell.text.partition(" [")
    if isinstance(cell, Ranged) and bracket:
        return Text.assemble(estimate, ("\n[" if stacked else " [") + ends)
    return Text(cell.text, style=_style(cell))


def _style(cell: Cell) -> str:
    return (
        {"better": "bold green", "worse": "bold red"}.get(cell.sign, "") if isinstance(cell, Signed) else ""
    )


def _trimmed(sheet: Sheet) -> Sheet:
    """Without the columns that say nothing of any row."""
    kept = [
        i
        for i in range(len(sheet.columns))
        if not sheet.rows or any(row[i].text not in ("", NONE) for row in sheet.rows)
    ]
    columns = tuple(sheet.columns[i] for i in kept)
    return replace(sheet, columns=columns, rows=tuple(tuple(row[i] for i in kept) for row in sheet.rows))


def _csv(sheets: Sequence[Sheet]) -> str:
    """A row per row of a sheet; a column that a sheet has not is empty."""
    rows = [{"sheet": sheet.key, **_values(sheet, row)} for sheet in sheets for row in sheet.rows]
    keys = dict.fromkeys(key for row in rows for key in row)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(keys), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _json(sheets: Sequence[Sheet]) -> str:
    document = {
        sheet.key: {
            "title": sheet.title,
            "rows": [_values(sheet, row) for row in sheet.rows],
            "notes": list(sheet.notes),
        }
        for sheet in sheets
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _values(sheet: Sheet, row: Sequence[Cell]) -> dict[str, Any]:
    """Key -> the exact value; an interval's ends as ``KEY_low`` and ``KEY_high``."""
    values: dict[str, Any] = {}
    for column, cell in zip(sheet.columns, row, strict=True):
        values[column.key] = finite(cell.value)
        if isinstance(cell, Ranged):
            values |= {f"{column.key}_low": finite(cell.low), f"{column.key}_high": finite(cell.high)}
    return values
