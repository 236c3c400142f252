"""Render tables in the format that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from surrobench.errors import UnknownName
from surrobench.printable import printable
from surrobench.report.render import csv_json
from surrobench.report.render.html import html
from surrobench.report.render.latex import PREAMBLE, latex
from surrobench.report.render.markdown import escape, markdown
from surrobench.report.render.table import Table

Format = Literal["markdown", "latex", "csv", "json", "html"]
"""A format of text; a terminal has tables of its own (``render.terminal``)."""
FORMATS: tuple[Format, ...] = get_args(Format)


def render(tables: Sequence[Table], form: Format, citation: str = "") -> str:
    """Return tables as text that ends in a newline; CSV and JSON keep every column and every digit.

    Args:
        tables: what to show.
        form: the format.
        citation: of the paper whose figures the tables compare with; CSV then has a line for each figure.

    Raises:
        UnknownName: there is no such format.
    """
    match form:
        case "markdown":
            return (f"{escape(citation)}\n\n" if citation else "") + "\n".join(map(markdown, tables))
        case "latex":
            cited = f"% {printable(citation)}\n" if citation else ""
            return cited + PREAMBLE + "\n".join(map(latex, tables))
        case "html":
            return html(tables)
        case "csv":
            return csv_json.csv_by_cell(tables) if citation else csv_json.csv_by_row(tables)
        case "json":
            found = csv_json.document(tables)
            return csv_json.to_json({"citation": citation, "sheets": found} if citation else found)
    raise UnknownName("format", form, FORMATS)
