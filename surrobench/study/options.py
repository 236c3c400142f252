"""How a suite is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from surrobench.suite.selection import Selection

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Options:
    """How a suite is run; nothing here changes a result."""

    out: Path
    jobs: int = 1
    replay: Path | None = None
    """A results folder or a journal that serves all completions (a folder: objective values, too)."""
    reevaluate: bool = False
    """Replay completions only; compare the benchmarks' values with the recorded ones."""
    retry_failed: bool = False
    """Run again what has failed."""
    discard_unfinished: bool = False
    """Start half-finished runs anew instead of resuming them."""
    cluster: str | None = None
    """Address of a Dask scheduler, whose workers take the place of ``jobs`` processes."""
    part: Selection = field(default_factory=Selection)
    """Which part of the suite is run."""
