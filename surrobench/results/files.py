"""Read and write single files of a results folder: atomically, under a lock, with clear errors."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from surrobench.checksums import NAME, NONE, is_whole_parquet, seal_parquet, sealed
from surrobench.errors import ResultsError

METADATA = "surrobench"
DELETE_AND_REPEAT = "Delete it and repeat the run command: only its runs are run again."


def folder_of(scenario_key: str) -> str:
    """Return the name of the folder that a scenario's files are in: ``FAMILY.SCENARIO``."""
    return scenario_key.replace("/", ".", 1)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a results folder for writing, against another process.

    Raises:
        ResultsError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ResultsError(
                f"{folder} is being written by another process.", "Wait for it, or name another with --out."
            ) from None
        yield


def just_merged(path: Path) -> ResultsError:
    """Return the error that another process has merged a file away."""
    return ResultsError(f"{path} has just been merged by another process.", "Repeat the command.")


def damaged_file(path: Path, remedy: str) -> ResultsError:
    """Return the error that a file is damaged, with what to do about it."""
    return ResultsError(f"{path} is damaged.", remedy)


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about a full or read-only disk into one line.

    Raises:
        ResultsError: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"{folder} cannot be written: {error.strerror or error}.",
            "What is there is whole; free some space, or make it writable, and repeat the command.",
        ) from error


def check_parquet(path: Path, remedy: str) -> None:
    """See that the checksum of a Parquet file holds, if it states one.

    Raises:
        ResultsError: it does not, the file cannot be read, or it has been merged away.
    """
    try:
        whole = is_whole_parquet(path)
    except FileNotFoundError as error:
        raise just_merged(path) from error
    except OSError as error:
        raise damaged_file(path, remedy) from error
    if not whole:
        raise damaged_file(path, remedy)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with a checksum, atomically."""
    write_file(path, [(json.dumps(sealed(value), indent=1) + "\n").encode()])


def write_parquet(frame: pl.DataFrame, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write a Parquet file with its metadata and a checksum, atomically."""
    # In memory first: Polars says of a full disk that the file is "out of specification". A copy of the
    # bytes, not a view: one that outlives a failed write keeps the buffer in use, which crashes Python 3.12.
    data = io.BytesIO()
    frame.write_parquet(data, metadata={METADATA: json.dumps({**metadata, NAME: NONE}, sort_keys=True)})
    write_file(path, [seal_parquet(data.getvalue())])


def write_file(path: Path, blocks: Iterable[bytes]) -> None:
    """Write a file atomically, and return when it is on disk under its name.

    The blocks are written under a temporary name, which an interrupted process leaves behind (see
    ``remove_leftovers``); what was there before stays whole until then.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.writelines(blocks)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk, where the file system can be asked for that."""
    with contextlib.suppress(OSError):  # Windows opens no folder, and some network drives sync none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written; nobody else may be writing there now."""
    for leftover in folder.glob(".*.*"):
        if leftover.suffix[1:].isdigit():
            leftover.unlink()
