"""Timing two ways of doing one thing, so that their ratio holds on any machine."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Pair:
    """Medians over the repeats: seconds of both, and the ratio of two neighbouring measurements.

    A ratio of neighbours holds when other work on the machine comes and goes; a ratio of medians may not.
    """

    ours: float
    theirs: float
    ratio: float


def side_by_side(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> Pair:
    """Time both in turn, ``repeats`` times."""
    times = []
    for repeat in range(repeats):
        if repeat % 2:  # each goes first in turn
            b, a = seconds(theirs), seconds(ours)
        else:
            a, b = seconds(ours), seconds(theirs)
        times.append((a, b))
    return Pair(median(a for a, _ in times), median(b for _, b in times), median(a / b for a, b in times))


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long one call takes, with others' garbage collected before."""
    gc.collect()
    start = clock()
    work()
    return clock() - start


def peak_mb() -> float:
    """The most memory this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss is inherited from the parent
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
