"""A table of figures as data, and as Markdown and LaTeX: what every report that is no ranking is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from surrobench.report.render.escape import latex_cell, markdown_cell

Mark = Literal["matches", "differs", "unknown"]
"""How a published figure compares with the recomputed one: the same to the printed digits, another one, or
public data cannot give it."""
SIGNS: dict[Mark, str] = {"matches": "✓", "differs": "✗", "unknown": "?"}


@dataclass(frozen=True)
class Cell:
    """One figure, or a word.

    Attributes:
        text: as people read it, without the mark.
        value: with every digit.
        mark: how it compares with the published figure, where it stands for one.
    """

    text: str = ""
    value: float | int | str | None = None
    mark: Mark | None = None

    @property
    def shown(self) -> str:
        """The text with its mark."""
        return f"{self.text} {SIGNS[self.mark]}".strip() if self.mark else self.text


@dataclass(frozen=True)
class Column:
    """A column: its name in CSV and JSON, its heading, and whether it holds words."""

    key: str
    title: str
    words: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        key: its name in CSV and JSON.
        title: one line.
        columns: the first one, of words, names the row.
        rows: a cell for each column.
        notes: one sentence or two each, plain text.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def count(self, mark: Mark) -> int:
        """How many cells bear a mark."""
        return sum(cell.mark == mark for row in self.rows for cell in row)


def word(text: str | None) -> Cell:
    """A cell that holds a word."""
    return Cell(text or "", text or None)


def number(value: float, form: str) -> Cell:
    """A cell that holds a number, formatted."""
    return Cell(format(value, form), value)


def markdown(sheet: Sheet) -> str:
    """A sheet as a Markdown table, its notes as a list."""
    rows = [[markdown_cell(column.title) for column in sheet.columns]]
    rows.append([":---" if column.words else "---:" for column in sheet.columns])
    rows += [[markdown_cell(cell.shown) for cell in row] for row in sheet.rows]
    lines = [f"**{markdown_cell(sheet.title)}**", "", *("| " + " | ".join(row) + " |" for row in rows), ""]
    return "\n".join([*lines, *(f"- {markdown_cell(note)}" for note in sheet.notes)]) + "\n"


def latex(sheet: Sheet) -> str:
    """A sheet as a LaTeX table for a document with booktabs, its notes in the caption."""

    def figure(one: Cell) -> str:
        text = latex_cell(one.shown)
        return text.replace("-", "$-$") if isinstance(one.value, float) else text

    title = latex_cell(sheet.title)
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption[{title}]{{{title}. {latex_cell(' '.join(sheet.notes))}}}",
        rf"\begin{{tabular}}{{{''.join('l' if column.words else 'r' for column in sheet.columns)}}}",
        r"\toprule",
        " & ".join(latex_cell(column.title) for column in sheet.columns) + r" \\",
        r"\midrule",
        *(" & ".join(map(figure, row)) + r" \\" for row in sheet.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


class FittedTable:
    """A table for a terminal that chooses its layout once the width is known.

    Args:
        made: makes the table; if it is told so, ``stacked``, in which fewer things are side by side.
    """

    def __init__(self, made: Callable[[bool], Table]) -> None:
        self.made = made

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self.made(False)
        unbounded = options.update(max_width=10_000)
        if Measurement.get(console, unbounded, table).maximum > options.max_width:
            table = self.made(True)
        yield table


def heading(column: Column) -> Text:
    """That of a column of numbers, on a terminal: one of two words takes two lines, numbers never do."""
    return Text(column.title.replace(" ", "\n", 1), justify="right")


def finite(value: Any) -> Any:
    """A cell's value as JSON and CSV can hold it: NaN and infinity are None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
