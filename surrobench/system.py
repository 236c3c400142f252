"""Say which version of surrobench this is, and what of this machine may be used."""

from __future__ import annotations

import os

VERSION = "0.1.0"


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_threads() -> int:
    """Threads a computation may use: ``OMP_NUM_THREADS`` where it is set, else all cores."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else usable_cores()
