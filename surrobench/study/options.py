"""How a suite is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from surrobench.engine.guard import LONGEST_STEP, STEP_SECONDS
from surrobench.errors import UsageError
from surrobench.results.folder import Results
from surrobench.suite.schema import Suite
from surrobench.suite.selection import Selection


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
    step_seconds: float = STEP_SECONDS
    """How long a method may take between two requests, before its run fails."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UsageError(f"jobs = {self.jobs} is no number of processes.", "Give 1 or more.")
        if not 0 < self.step_seconds <= LONGEST_STEP:
            raise UsageError(
                f"The limit of a step cannot be {self.step_seconds} seconds.",
                f"Give more than 0 and at most {LONGEST_STEP:,}.",
            )


def recorded_part(replay: Path, part: Selection, suite: Suite) -> Selection | None:
    """Return which part of a suite a recording can answer; None where it holds the whole.

    Args:
        replay: a results folder or its journal.
        part: what is asked for.
        suite: the suite.

    Raises:
        SurrobenchError: it holds none of what is asked for; see ``Selection.within``.
    """
    folder = replay if replay.is_dir() else replay.parent
    if not (folder / "manifest.json").is_file():
        return None
    recorded = Selection.recorded(Results(folder).manifest)
    if recorded == Selection():
        return None
    return recorded if part == Selection() else part.within(recorded, suite)
