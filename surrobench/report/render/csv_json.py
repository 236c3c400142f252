"""Render tables as CSV and JSON, which keep every column and every digit."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from surrobench.printable import obeyed
from surrobench.report.render.table import Table, finite

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet takes for a formula, and evaluates."""


def to_csv(rows: Iterable[Mapping[str, Any]], keys: Sequence[str], *, guarded: bool = True) -> str:
    """Return rows of named values as CSV with a heading; what a row does not name is empty.

    Args:
        rows: the values.
        keys: the columns.
        guarded: whether a word that a spreadsheet would take for a formula has an apostrophe before it, by
            which spreadsheets show it as a word. Numbers stay as they are.
    """
    if guarded:
        rows = ({key: _guarded(value) for key, value in row.items()} for row in rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(keys), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _guarded(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def to_json(document: Any) -> str:
    """Return a document as JSON that ends in a newline; NaN and infinity become null.

    Characters that a terminal would obey are escaped, all others stand as they are.
    """
    text = json.dumps(_finite(document), indent=2, allow_nan=False, ensure_ascii=False)
    escaped = (json.dumps(c)[1:-1] if obeyed(c) and c != "\n" else c for c in text)
    return (text if text.isascii() else "".join(escaped)) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return finite(value)


def csv_by_row(tables: Sequence[Table]) -> str:
    """Return a line for each row of each table; a column that a table lacks is empty."""
    rows = [
        {"sheet": table.key, **{key: value for key, value, _ in table.values(row)}}
        for table in tables
        for row in table.rows
    ]
    return to_csv(rows, list(dict.fromkeys(key for row in rows for key in row)))


def csv_by_cell(tables: Sequence[Table]) -> str:
    """Return a line for each number of each table, with its mark: the tables have different columns."""
    rows = []
    for table in tables:
        for row in table.rows:
            cells = list(zip(table.columns, row, strict=True))
            name = ", ".join(cell.text for column, cell in cells if column.words and cell.text)
            rows += [
                {
                    "sheet": table.key,
                    "row": name,
                    "column": column.key,
                    "value": finite(cell.value),
                    "mark": cell.mark,
                }
                for column, cell in cells
                if not column.words
            ]
    return to_csv(rows, ["sheet", "row", "column", "value", "mark"])


def document(tables: Sequence[Table]) -> dict[str, Any]:
    """Return the tables by key as a JSON value; a value with a mark is an object of both."""
    return {
        table.key: {
            "title": table.title,
            "rows": [
                {
                    key: {"value": value, "mark": cell.mark} if cell.mark else value
                    for key, value, cell in table.values(row)
                }
                for row in table.rows
            ],
            "notes": list(table.all_notes),
        }
        for table in tables
    }
