"""Divide runs that ask no language model into shards, and execute a shard."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import Any

from surrobench.benchmarks.yahpo.data import remember
from surrobench.engine.guard import STEP_SECONDS, Guard
from surrobench.engine.loop import drive
from surrobench.engine.outcome import Outcome
from surrobench.engine.replay import Recorded
from surrobench.engine.timing import Timing
from surrobench.errors import ClusterError, ResultsError, SurrobenchError
from surrobench.execution.process_pool import WorkerEnded, stop_workers
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
    step_seconds: float = STEP_SECONDS,
) -> tuple[list[Outcome], Timing]:
    """Execute a shard.

    Args:
        runs: the shard: in a worker as plain runs, whose names are resolved there; in the study's own process
            as a part of its plan.
        recorded: see ``engine.loop.drive``.
        reevaluate: see ``engine.loop.drive``.
        recording: the folder that ``recorded`` is from; it may carry benchmarks whose data is not here.
        step_seconds: see ``engine.guard``. A worker whose optimizer cannot be interrupted ends.

    Returns:
        outcomes: one for each run, in the order they ended.
        timing: where the time went.

    Raises:
        UsageError: a file of the user was edited since the runs were planned.
    """
    if recording is not None:
        remember(recording)
    here = isinstance(runs, Plan)
    if isinstance(runs, Plan):
        check_unedited(runs)
    outcomes: list[Outcome] = []
    guard = Guard(step_seconds, expendable=not here)
    timing = drive(runs, outcomes.append, recorded=recorded, reevaluate=reevaluate, guard=guard)
    return outcomes, timing


async def finished_shards(
    shards: Iterable[list[Run]],
    submit: Callable[[list[Run]], Future[Any]],
    executor: Executor,
    lost: list[SurrobenchError],
) -> AsyncIterator[tuple[list[Run], tuple[list[Outcome], Timing] | WorkerEnded]]:
    """Submit shards, and yield each with what ``execute`` returned as soon as that is there.

    A shard in which a method ends its process is executed again, run by run, to find out which run it is.
    That run comes with ``WorkerEnded``.

    Args:
        shards: the runs.
        submit: has a shard executed.
        executor: where they are executed; its processes end at once where this is cancelled.
        lost: takes an error for each shard whose worker died, or whose cluster was lost.
    """
    waiting: dict[asyncio.Future[Any], list[Run]] = {}
    left = deque(shards)
    while left or waiting:
        while left:
            shard = left.popleft()
            future = submit(shard)
            if future.done():  # inline: it is stored before the next is executed
                yield shard, future.result()
            else:
                waiting[wrapped := asyncio.wrap_future(future)] = shard
                # Where the first error ends the study, nobody asks for those that follow from it.
                wrapped.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.sleep(0)
        if not waiting:
            continue
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            stop_workers(executor)
            raise
        for finished in done:
            shard, error = waiting.pop(finished), finished.exception()
            if isinstance(error, WorkerEnded) and len(shard) > 1:
                left.extend([run] for run in shard)
            elif isinstance(error, WorkerEnded):
                yield shard, error
            elif isinstance(error, ClusterError):
                lost.append(error)
            elif isinstance(error, BrokenExecutor):
                remedy = "Repeat the command, with fewer --jobs if memory is short: it goes on where it was."
                lost.append(ResultsError(str(error), remedy))
            else:
                yield shard, finished.result()
