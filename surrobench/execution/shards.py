"""Divide runs that ask no language model into shards, and execute a shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from surrobench.benchmarks.configuration_file import given
from surrobench.benchmarks.yahpo.data import remember
from surrobench.engine.loop import Timing, drive
from surrobench.engine.outcome import Outcome
from surrobench.engine.replay import Recorded
from surrobench.errors import UsageError
from surrobench.optimizers.registry import optimizer
from surrobench.plan.run import Run

SHARD_SECONDS = 3.0
"""Estimated length of a shard: short enough to balance the cores, long enough to be worth sending."""
SHARD_RUNS = 250
"""At most this many runs in a shard, so that a killed study loses little."""


def make_shards(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs grouped by scenario and method, dearest first, so that the cores finish together."""

    def order(run: Run) -> tuple[float, str, str]:
        return -estimate(run), run.method, run.benchmark

    shards: list[list[Run]] = []
    before: tuple[str, str] | None = None
    spent = 0.0
    for run in sorted(runs, key=order):
        group = (run.benchmark.rpartition("/")[0], run.method)
        if group != before or spent + estimate(run) > SHARD_SECONDS or len(shards[-1]) >= SHARD_RUNS:
            shards.append([])
            before, spent = group, 0.0
        shards[-1].append(run)
        spent += estimate(run)
    return shards


def estimate(run: Run) -> float:
    """Roughly how many seconds a run takes; a slot control's answers cost next to nothing."""
    seconds = 5e-3 if run.control else optimizer(run.optimizer).seconds
    return run.expected_trials * seconds


def execute(
    runs: Sequence[Run],
    recorded: Recorded | None = None,
    *,
    reevaluate: bool = False,
    recording: Path | None = None,
) -> tuple[list[Outcome], Timing]:
    """Execute a shard, as a worker does.

    Args:
        runs: the shard.
        recorded: see ``engine.loop.drive``.
        reevaluate: see ``engine.loop.drive``.
        recording: the folder that ``recorded`` is from; it may carry benchmarks whose data is not here.
    """
    if recording is not None:
        remember(recording)
    for name, file, version in {(run.optimizer, run.file, run.file_version) for run in runs if run.file}:
        if optimizer(f"{file}:{name.rpartition(':')[2]}").version != version:
            raise UsageError(f"{file} was edited while its study ran.", "Repeat the command.")
    for digits, file in {item for run in runs for item in run.given.items()}:
        if given(file).digits != digits:
            raise UsageError(f"{file} was edited while its study ran.", "Repeat the command.")
    outcomes: list[Outcome] = []
    timing = drive(runs, outcomes.append, recorded=recorded, reevaluate=reevaluate)
    return outcomes, timing
