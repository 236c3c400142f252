"""Where things are: prompts, suites, published figures (in the checkout or in the wheel), and the cache."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """``prompts``, ``suites`` or ``results/published``: beside the package, or inside it in a wheel."""
    inside = _PACKAGE / "_data" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def cache_dir() -> Path:
    """Where converted tables are kept: ``SURROBENCH_CACHE``, or the user's cache folder."""
    if own := os.environ.get("SURROBENCH_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "surrobench"


def find_folder(name: str, folder: Path | None = None) -> Path:
    """Return a user's folder, absolute: beside the suite, or else, if it is there, in the current folder."""
    path = Path(name).expanduser()
    beside = folder / path if folder else path
    return (path if path.is_dir() and not beside.is_dir() else beside).resolve()


def find_file(name: str, folder: Path | None = None) -> Path:
    """A user's file, absolute: in ``folder`` (the suite's), or else, if it is there, in the current one."""
    path = Path(name).expanduser()
    beside = folder / path if folder else path
    return (path if path.is_file() and not beside.is_file() else beside).resolve()
