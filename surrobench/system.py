"""Say which version of surrobench this is, and what of this machine may be used."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache

VERSION = "0.1.0"


@cache
def installed_version(name: str) -> str | None:
    """Return the version of an installed package, or None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of some packages that are installed, by name."""
    found = {name: installed_version(name) for name in names}
    return {name: version for name, version in found.items() if version is not None}


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_threads() -> int:
    """Threads a computation may use: ``OMP_NUM_THREADS`` where it is set, else all cores."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else usable_cores()
