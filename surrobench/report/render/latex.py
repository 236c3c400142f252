"""Render tables as LaTeX for a document with booktabs: a short caption, the notes in small print below."""

from __future__ import annotations

import re
from collections.abc import Sequence

from surrobench.printable import printable
from surrobench.report.render.table import Cell, Column, Table

PREAMBLE = "% Needs \\usepackage{booktabs}.\n"

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "*": r"\textsuperscript{*}",
    '"': "''",
    "[": "{[}",  # else it would be an option of the row end before it
    "]": "{]}",
    "±": r"$\pm$",  # the character is known to new engines only
    "✓": r"$\surd$",
    "✗": r"$\times$",
    **{special: "\\" + special for special in "&%$#_"},
}
_NUMBER = re.compile(r"(?<![\w.])([+-]?\d[\d.]*(?:,\d{3})*)(?:e([+-]?)0*(\d+))?")


def escape(text: str, bold: bool = False) -> str:
    """Return the text as LaTeX that shows it as it is, in bold if asked to."""
    escaped = "".join(_LATEX.get(character, character) for character in printable(text))
    return rf"\textbf{{{escaped}}}" if bold and escaped else escaped


def latex(
    table: Table,
    *,
    label: str | None = None,
    caption: str | None = None,
    notes: Sequence[str] | bool = True,
) -> str:
    r"""Return the table as LaTeX that ends in a newline.

    Args:
        table: what to show.
        label: the name for ``\ref``; by default there is none.
        caption: plain text instead of the table's title and subtitle.
        notes: whether the table's notes stand below it; or other notes, as plain text.
    """
    table = table.without_empty_columns()
    if caption is None:
        caption = ". ".join(part for part in (table.title, table.subtitle) if part)
    below = table.all_notes if notes is True else tuple(notes or ())
    lines = [
        *([f"% {printable(table.lead)}"] if table.lead else []),
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(caption)}}}",
        *([rf"\label{{{_label(label)}}}"] if label else []),
        rf"\begin{{tabular}}{{{''.join(map(_alignment, table.columns))}}}",
        r"\toprule",
        " & ".join(escape(column.title) for column in table.columns) + r" \\",
        r"\midrule",
        *(
            " & ".join(_cell(cell, column) for column, cell in zip(table.columns, row, strict=True)) + r" \\"
            for row in table.rows
        ),
        r"\bottomrule",
        r"\end{tabular}",
        *_below(below),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _alignment(column: Column) -> str:
    return r"p{0.32\linewidth}" if column.sentences else "l" if column.words else "r"


def _label(label: str) -> str:
    """Return a label without the characters that would end it."""
    return re.sub(r"[\\{}%#~$&^\s]", "-", printable(label))


def _cell(cell: Cell, column: Column) -> str:
    """Return a cell as LaTeX; the signs and exponents of numbers are set as mathematics."""
    text = escape(cell.shown)
    if not column.words:
        text = _NUMBER.sub(_mathematics, text)
    return rf"\textbf{{{text}}}" if cell.bold and text else text


def _mathematics(number: re.Match[str]) -> str:
    """Return a number as mathematics where it needs that: a minus is one there only."""
    digits, sign, exponent = number.groups()
    if exponent:
        return rf"${digits} \cdot 10^{{{sign.strip('+')}{exponent}}}$"
    return f"${digits}$" if digits[0] in "+-" else digits


def _below(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    return [
        r"\par\medskip",
        r"\begin{minipage}{\linewidth}",
        r"\scriptsize\raggedright",
        *(escape(note) + (r"\par" if i < len(notes) - 1 else "") for i, note in enumerate(notes)),
        r"\end{minipage}",
    ]
