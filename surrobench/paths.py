"""Where things are: the folders that the checkout or the wheel carries, and the cache."""

from __future__ import annotations

import os
from pathlib import Path

from surrobench.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Find a folder of surrobench's own: beside the package in a checkout, inside the package in a wheel.

    Args:
        name: ``prompts``, ``suites``, ``results/published`` or ``results/recordings``.
    """
    inside = _PACKAGE / "_data" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


RECORDINGS = "results/recordings"
"""The recordings that surrobench carries; each folder in it is one."""


def recordings() -> list[str]:
    """Return the names of the recordings that surrobench carries."""
    return sorted(manifest.parent.name for manifest in data_dir(RECORDINGS).glob("*/manifest.json"))


def find_results(path: Path) -> Path:
    """Find a results folder, or what was recorded in one.

    Args:
        path: where it is; or the name of a recording that surrobench carries (``default-seed``, and
            ``results/recordings/default-seed`` in a folder that has no such recording).

    Returns:
        The folder of the recording where there is nothing at ``path``, and else ``path``.
    """
    if path.exists() or path.parent.as_posix() not in {".", "recordings", RECORDINGS}:
        return path
    return data_dir(RECORDINGS) / path.name if path.name in recordings() else path


def cache_dir() -> Path:
    """Where converted tables are kept: ``SURROBENCH_CACHE``, or the user's cache folder."""
    if own := os.environ.get("SURROBENCH_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "surrobench"


def _path(name: str) -> Path:
    """Return the path that a user's file names.

    Raises:
        UsageError: no file system has such a name.
    """
    if "\0" in name:
        raise UsageError(f"{name!r} is no name of a file.", "It has a character that ends names.")
    return Path(name).expanduser()


def find_folder(name: str, folder: Path | None = None) -> Path:
    """Return a user's folder, absolute: beside the suite, or else, if it is there, in the current folder."""
    path = _path(name)
    beside = folder / path if folder else path
    return (path if path.is_dir() and not beside.is_dir() else beside).resolve()


def find_file(name: str, folder: Path | None = None) -> Path:
    """A user's file, absolute: in ``folder`` (the suite's), or else, if it is there, in the current one."""
    path = _path(name)
    beside = folder / path if folder else path
    return (path if path.is_file() and not beside.is_file() else beside).resolve()
