"""Render tables as Markdown."""

from __future__ import annotations

from surrobench.printable import printable
from surrobench.report.render.table import Cell, Table

_SPECIAL = "\\`*_[]<>|"


def escape(text: str, bold: bool = False) -> str:
    """Return the text as Markdown that shows it as it is, in bold if asked to."""
    text = printable(text)
    for special in _SPECIAL:
        text = text.replace(special, "\\" + special)
    return f"**{text}**" if bold and text else text


def markdown(table: Table) -> str:
    """Return the table as Markdown that ends in a newline, its notes as a list."""
    table = table.without_empty_columns()
    rows = [[escape(column.title) for column in table.columns]]
    rows.append([":---" if column.words else "---:" for column in table.columns])
    rows += [list(map(_cell, row)) for row in table.rows]
    blocks = [
        escape(table.lead),
        escape(table.title, bold=True),
        escape(table.subtitle),
        "\n".join("| " + " | ".join(row) + " |" for row in rows),
        "\n".join(f"- {escape(note)}" for note in table.all_notes),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _cell(cell: Cell) -> str:
    return escape(cell.shown, cell.bold)
