"""A table of a reproduction: cells that may bear a mark, and what a reader must know of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from surrobench.errors import DataError
from surrobench.paths import data_dir

Mark = Literal["matches", "differs", "unknown"]
"""How a published figure compares with the recomputed one: the same to the printed digits, another one, or
public data cannot give it."""
SIGNS: dict[Mark, str] = {"matches": "✓", "differs": "✗", "unknown": "?"}
LEGEND = "✓ the same to the printed digits, ✗ differs, ? cannot be checked with public data."


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


def against(printed: str, value: float | None, shown: str | None = None) -> tuple[Cell, Cell]:
    """A published figure, and the recomputed one with its mark.

    Args:
        printed: as published; its digits decide how exactly the two must agree.
        value: recomputed; None where that is not possible.
        shown: format of both for people, where there are more digits than they want; the mark is about all
            printed ones.
    """
    decimals = len(printed.partition(".")[2])
    published = Cell(format(float(printed), shown) if shown else printed, float(printed))
    if value is None:
        return published, Cell("", None, "unknown")
    agrees = format(round(value, decimals) + 0.0, f".{decimals}f") == format(float(printed), f".{decimals}f")
    text = format(value, shown or f".{decimals}f")
    return published, Cell(text, value, "matches" if agrees else "differs")


def published(paper: str, name: str, *, words: bool = False) -> pl.DataFrame:
    """A file of ``results/published``.

    Args:
        paper: its folder.
        name: the file's name.
        words: keep all values as they are printed.

    Raises:
        DataError: it is missing or damaged.
    """
    path = published_path(paper, name)
    try:
        return pl.read_csv(path, infer_schema=not words, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        what = " ".join(str(error).split())
        raise DataError(f"The published figures in {path} cannot be read: {what}.") from None


def published_path(paper: str, name: str) -> Path:
    """Where a file of published figures is."""
    return data_dir("results/published") / paper / name
