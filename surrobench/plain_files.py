"""Read files whose names and content somebody else chose.

A name means one file: Polars would read ``a[1].csv`` as a pattern, a folder as all files in it, and ``x=1/``
as a column. A pipe or a device in the place of a file would never end. Here a folder, a pipe and a device are
an ``OSError``, as a file that is not there. Every read of a table goes through here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl


def plain(path: Path) -> Path:
    """Return the path of a regular file.

    Raises:
        OSError: there is none: nothing, a folder, a pipe, a device, or a link to itself.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        OSError: it is no file, or cannot be read.
        UnicodeDecodeError: it is not in UTF-8.
    """
    return plain(path).read_text(encoding="utf-8")


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: it is no file, or cannot be read.
    """
    return plain(path).read_bytes()


def read_csv(path: Path, **options: Any) -> pl.DataFrame:
    """Return a CSV file as a frame; ``options`` are those of Polars.

    Raises:
        OSError, PolarsError: it is no file, or cannot be read.
    """
    return pl.read_csv(plain(path), glob=False, **options)


def read_parquet(path: Path) -> pl.DataFrame:
    """Return a Parquet file as a frame.

    Raises:
        OSError, PolarsError: it is no file, or cannot be read.
    """
    with panics_as_errors(path):
        return pl.read_parquet(plain(path), glob=False, hive_partitioning=False)


def scan_parquet(path: Path) -> pl.LazyFrame:
    """Return a Parquet file as a lazy frame.

    Raises:
        OSError, PolarsError: it is no file, or cannot be read.
    """
    return pl.scan_parquet(plain(path), glob=False, hive_partitioning=False)


def parquet_metadata(path: Path) -> dict[str, str]:
    """Return the key-value metadata of a Parquet file.

    Raises:
        OSError, PolarsError: it is no file, or cannot be read.
    """
    with panics_as_errors(path):
        return pl.read_parquet_metadata(plain(path))


@contextlib.contextmanager
def panics_as_errors(what: object) -> Iterator[None]:
    """Turn what Polars raises over some damaged files, which is no ``Exception``, into one of its errors.

    Raises:
        PolarsError: a panic.
    """
    try:
        yield
    except pl.exceptions.PanicException as panic:
        raise pl.exceptions.ComputeError(f"{what} cannot be read") from panic
