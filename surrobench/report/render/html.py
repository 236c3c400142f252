"""Render tables as HTML for notebooks: plain tables that can be read on a light and on a dark page."""

from __future__ import annotations

import html as standard
from collections.abc import Sequence

from surrobench.printable import printable
from surrobench.report.render.table import Cell, Column, Table, Tone

_TONES: dict[Tone, str] = {
    "good": "font-weight:bold;color:#2a9d5c",
    "bad": "font-weight:bold;color:#e0524c",
    "doubt": "color:#b8860b",
    "faint": "opacity:0.7",
    "": "",
}
_RULE = "1px solid rgba(128,128,128,0.5)"
SHOWN_NOTES = 5
"""Notes that stand below a table; the others unfold."""


def escape(text: str) -> str:
    """Return the text as HTML that shows it as it is."""
    return standard.escape(printable(text))


def html(tables: Sequence[Table]) -> str:
    """Return the tables as one HTML fragment that ends in a newline."""
    return '<div class="surrobench">\n' + "".join(map(_table, tables)) + "</div>\n"


def _table(table: Table) -> str:
    table = table.without_empty_columns()
    lead = f"<p>{escape(table.lead)}</p>\n" if table.lead else ""
    subtitle = f'<br><span style="opacity:0.7">{escape(table.subtitle)}</span>' if table.subtitle else ""
    rows = "".join(
        "<tr>"
        + "".join(_cell(cell, column) for column, cell in zip(table.columns, row, strict=True))
        + "</tr>\n"
        for row in table.rows
    )
    headings = "".join(
        f'<th scope="col" style="{_alignment(column)};border-bottom:{_RULE}">{escape(column.title)}</th>'
        for column in table.columns
    )
    return (
        f'{lead}<table style="border-collapse:collapse;background:transparent;color:inherit">\n'
        '<caption style="text-align:left;caption-side:top;color:inherit">'
        f"<strong>{escape(table.title)}</strong>{subtitle}</caption>\n"
        f"<thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n" + _notes(table)
    )


def _alignment(column: Column) -> str:
    return f"text-align:{'left' if column.words else 'right'};padding:2px 8px;vertical-align:top"


def _cell(cell: Cell, column: Column) -> str:
    styles = (
        _alignment(column),
        "" if column.sentences else "white-space:nowrap",
        "font-weight:bold" if cell.bold else "",
        _TONES[cell.tone],
    )
    return f'<td style="{";".join(filter(None, styles))}">{escape(cell.shown)}</td>'


def _notes(table: Table) -> str:
    def listed(notes: Sequence[str]) -> str:
        items = "".join(f"<li>{escape(note)}</li>\n" for note in notes)
        return f'<ul style="font-size:85%;opacity:0.8;max-width:60em">\n{items}</ul>\n'

    notes = table.all_notes
    more = max(len(table.more_notes), len(notes) - SHOWN_NOTES)
    if more <= 1:
        return listed(notes) if notes else ""
    shown, folded = notes[: len(notes) - more], notes[len(notes) - more :]
    summary = f'<summary style="font-size:85%">{len(folded)} more notes</summary>'
    return (listed(shown) if shown else "") + f"<details>{summary}\n{listed(folded)}</details>\n"
