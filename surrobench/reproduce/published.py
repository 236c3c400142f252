"""Read published figures, and compare recomputed ones with them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from surrobench.errors import DataError
from surrobench.paths import data_dir
from surrobench.plain_files import read_csv
from surrobench.report.render.table import Cell

LEGEND = "✓ the same to the printed digits, ✗ differs, ? cannot be checked with public data."


def against(printed: str, value: float | None, shown: str | None = None) -> tuple[Cell, Cell]:
    """Return the cells of a published figure and of the recomputed one, which bears the mark.

    Args:
        printed: the figure as published. Its digits decide how exactly the two must agree.
        value: the recomputed figure; None if it cannot be recomputed.
        shown: the format of both for people who want fewer digits than are printed. The mark is about all
            printed digits.
    """
    decimals = len(printed.partition(".")[2])
    published = Cell(format(float(printed), shown) if shown else printed, float(printed))
    if value is None:
        return published, Cell("", None, "unknown")
    agrees = format(round(value, decimals) + 0.0, f".{decimals}f") == format(float(printed), f".{decimals}f")
    text = format(value, shown or f".{decimals}f")
    return published, Cell(text, value, "matches" if agrees else "differs")


def published(paper: str, name: str, *, words: bool = False) -> pl.DataFrame:
    """Read a file of ``results/published``.

    Args:
        paper: the folder.
        name: the name of the file.
        words: whether all values are kept as they are printed.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = published_path(paper, name)
    try:
        return read_csv(path, infer_schema=not words, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        what = " ".join(str(error).split())
        raise DataError(f"The published figures in {path} cannot be read: {what}.") from None


def published_path(paper: str, name: str) -> Path:
    """Return the path of a file of published figures."""
    return data_dir("results/published") / paper / name
