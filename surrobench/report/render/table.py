"""The one table of all reports: rows of cells with a title and notes. A module per format renders it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Value = float | int | str | None
Mark = Literal["matches", "differs", "unknown"]
"""How a recomputed figure compares with the published one: it is the same to the printed digits, it differs,
or public data cannot give it."""
SIGNS: dict[Mark, str] = {"matches": "✓", "differs": "✗", "unknown": "?"}
Tone = Literal["good", "bad", "doubt", "faint", ""]
"""What a colour says where a format has colours: better or confirmed; worse or refuted; open; secondary."""

NONE = "-"
"""The text of a cell that holds a share of nothing."""


@dataclass(frozen=True)
class Cell:
    """One figure or one word.

    Attributes:
        text: the value as people read it, without the mark.
        value: the value with every digit, for CSV and JSON.
        mark: how the figure compares with the published one, if it stands for one.
        bold: whether every format sets the text in bold.
        tone: the colour, in formats that have colours; a tone that is good or bad is bold there, too.
        interval: the ends of the figure's interval, which CSV and JSON hold as ``KEY_low`` and ``KEY_high``.
    """

    text: str = ""
    value: Value = None
    mark: Mark | None = None
    bold: bool = False
    tone: Tone = ""
    interval: tuple[float, float] | None = None

    @property
    def shown(self) -> str:
        """The text with its mark."""
        return f"{self.text} {SIGNS[self.mark]}".strip() if self.mark else self.text


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: the column's name in CSV and JSON.
        title: the heading.
        words: whether the cells hold words, which are aligned left, and not numbers.
        sentences: whether the cells hold whole sentences, which are wrapped.
        part: where a terminal is too narrow for all columns, those of each part make a table of their own.
    """

    key: str
    title: str
    words: bool = False
    sentences: bool = False
    part: int = 0


@dataclass(frozen=True)
class Table:
    """A table as data.

    Attributes:
        key: the table's name in CSV and JSON.
        title: one line.
        columns: the columns; the first ones, of words, name the row.
        rows: a cell for each column.
        notes: what a reader must know, one sentence or two each, plain text.
        more_notes: further notes, which a terminal shows only when it is asked to.
        subtitle: what holds for all rows, such as the name of their language model.
        lead: a line before the title.
        row_notes: a sentence for each row, or nothing.
        grouped: whether a terminal uses the first column as a heading above a group of rows.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    more_notes: tuple[str, ...] = ()
    subtitle: str = ""
    lead: str = ""
    row_notes: tuple[str, ...] = ()
    grouped: bool = False

    @property
    def all_notes(self) -> tuple[str, ...]:
        """All notes: those of the rows, each after its row's name, then those of the table."""
        of_rows = (f"{row[0].text}: {note}" for row, note in zip(self.rows, self.row_notes, strict=False))
        return (*of_rows, *self.notes, *self.more_notes)

    @property
    def names(self) -> tuple[int, ...]:
        """The positions of the leading columns of words, which name a row."""
        first_number = next((i for i, c in enumerate(self.columns) if not c.words), len(self.columns))
        return tuple(range(first_number))

    def count(self, mark: Mark) -> int:
        """Return how many cells bear a mark."""
        return sum(cell.mark == mark for row in self.rows for cell in row)

    def select(self, positions: Sequence[int]) -> Table:
        """Return the table with only the columns at these positions."""
        return replace(
            self,
            columns=tuple(self.columns[i] for i in positions),
            rows=tuple(tuple(row[i] for i in positions) for row in self.rows),
        )

    def without_empty_columns(self) -> Table:
        """Return the table without the columns that say nothing of any row."""
        kept = [
            i
            for i in range(len(self.columns))
            if not self.rows or any(row[i].shown not in ("", NONE) for row in self.rows)
        ]
        return self.select(kept)

    def values(self, row: Sequence[Cell]) -> Iterator[tuple[str, Value, Cell]]:
        """Yield the key, the value as CSV and JSON can hold it, and the cell of everything in a row."""
        for column, cell in zip(self.columns, row, strict=True):
            yield column.key, finite(cell.value), cell
            if cell.interval:
                for end, value in zip(("low", "high"), cell.interval, strict=True):
                    yield f"{column.key}_{end}", finite(value), Cell()


def word(text: str | None) -> Cell:
    """Return a cell that holds a word."""
    return Cell(text or "", text or None)


def number(value: float, form: str) -> Cell:
    """Return a cell that holds a number, formatted."""
    return Cell(format(value, form), value)


def small(value: float) -> str:
    """Return three decimals, or two digits with an exponent where that would hide the value."""
    return f"{value:.3f}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def finite(value: Any) -> Any:
    """Return a value as JSON and CSV can hold it: NaN and infinity become None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
