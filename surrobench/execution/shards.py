"""Divide runs that ask no language model into shards, and execute a shard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from pathlib import Path
from typing import Any

from surrobench.benchmarks.yahpo.data import remember
from surrobench.engine.loop import drive
from surrobench.engine.outcome import Outcome
from surrobench.engine.replay import Recorded
from surrobench.engine.timing import Timing
from surrobench.errors import ClusterError, ResultsError, SurrobenchError
from surrobench.execution.process_pool import stop_workers
from surrobench.plan.plan import Plan
from surrobench.plan.planning import check_unedited
from surrobench.plan.run import Run

SHARD_SECONDS = 3.0
"""Estimated length of a shard: short enough to balance the cores, long enough to be worth sending."""
LOCKSTEP_RUNS = 32
"""At least that many runs in a shard, if there are, of a method whose runs are computed together."""
SHARD_RUNS = 250
"""At most this many runs in a shard, so that a killed study loses little."""


def make_shards(plan: Plan) -> list[list[Run]]:
    """Group runs by scenario and method, dearest first, so that the cores finish together."""

    def order(run: Run) -> tuple[float, str, str]:
        return -plan.expected_seconds(run), run.method, run.benchmark

    shards: list[list[Run]] = []
    before: tuple[str, str] | None = None
    filled = 0.0
    for run in sorted(plan, key=order):
        group = (run.benchmark.rpartition("/")[0], run.method)
        seconds = plan.expected_seconds(run)
        least = LOCKSTEP_RUNS if plan.optimizers[run.optimizer].lockstep else 1
        if (
            group != before
            or (filled + seconds > SHARD_SECONDS and len(shards[-1]) >= least)
            or len(shards[-1]) >= SHARD_RUNS
        ):
            shards.append([])
            before, filled = group, 0.0
        shards[-1].append(run)
        filled += seconds
    return shards


def execute(
    runs: Sequence[Run],
    recorded: Recorded | None = None,
    *,
    reevaluate: bool = False,
    recording: Path | None = None,
) -> tuple[list[Outcome], Timing]:
    """Execute a shard.

    Args:
        runs: the shard: in a worker as plain runs, whose names are resolved there; in the study's own process
            as a part of its plan.
        recorded: see ``engine.loop.drive``.
        reevaluate: see ``engine.loop.drive``.
        recording: the folder that ``recorded`` is from; it may carry benchmarks whose data is not here.

    Returns:
        outcomes: one for each run, in the order they ended.
        timing: where the time went.

    Raises:
        UsageError: a file of the user was edited since the runs were planned.
    """
    if recording is not None:
        remember(recording)
    if isinstance(runs, Plan):
        check_unedited(runs)
    outcomes: list[Outcome] = []
    timing = drive(runs, outcomes.append, recorded=recorded, reevaluate=reevaluate)
    return outcomes, timing


async def finished_shards(
    waiting: set[asyncio.Future[Any]], executor: Executor, lost: list[SurrobenchError]
) -> AsyncIterator[tuple[list[Outcome], Timing]]:
    """Yield what ``execute`` returned for each shard, as the shards are finished.

    Args:
        waiting: the shards under way.
        executor: where they are executed; its processes end at once where this is cancelled.
        lost: takes an error for each shard whose worker died, or whose cluster was lost.
    """
    while waiting:
        try:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            stop_workers(executor)
            raise
        for finished in done:
            try:
                result = finished.result()
            except ClusterError as error:
                lost.append(error)
            except BrokenExecutor as error:
                lost.append(
                    ResultsError(
                        str(error),
                        "Repeat the command, with fewer --jobs if memory is short: it goes on where it was.",
                    )
                )
            else:
                yield result
