"""Where runs without a language model are executed: one ``concurrent.futures.Executor`` seam.

A shard is a list of runs on one scenario. A process pool executes shards for ``--jobs N``, the workers of a
Dask cluster for ``--cluster`` (``cluster.py``): executing a shard twice gives the same outcomes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any

from surrobench.desk import Recorded
from surrobench.engine import Timing, drive
from surrobench.errors import UsageError
from surrobench.given import given
from surrobench.optimizers import optimizer
from surrobench.runs import Run
from surrobench.trial import Outcome

SHARD_SECONDS = 3.0
"""Estimated length of a shard: short enough to balance the cores, long enough to be worth sending."""
SHARD_RUNS = 250
"""At most this many runs in a shard, so that a killed study loses little."""

ENVIRONMENT = {"PYTHONHASHSEED": "0"} | dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
"""Of every worker. Python's hash seed is fixed, since some libraries iterate over sets; their linear algebra
keeps to one thread each."""


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
    runs: Sequence[Run], recorded: Recorded | None = None, *, reevaluate: bool = False
) -> tuple[list[Outcome], Timing]:
    """Execute a shard; what a worker is sent. See ``engine.drive`` for ``recorded`` and ``reevaluate``."""
    for name, file, version in {(run.optimizer, run.file, run.file_version) for run in runs if run.file}:
        if optimizer(f"{file}:{name.rpartition(':')[2]}").version != version:
            raise UsageError(f"{file} was edited while its study ran.", "Repeat the command.")
    for digits, file in {item for run in runs for item in run.given.items()}:
        if given(file).digits != digits:
            raise UsageError(f"{file} was edited while its study ran.", "Repeat the command.")
    outcomes: list[Outcome] = []
    timing = drive(runs, outcomes.append, recorded=recorded, reevaluate=reevaluate)
    return outcomes, timing


class InlineExecutor(Executor):
    """Executes at submission, in this process: for ``--jobs 1``."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` now; exceptions go into the future, except those that mean to stop everything."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def process_pool(jobs: int) -> Executor:
    """A pool of ``jobs`` fresh processes.

    ``spawn``, since forking a process that has Polars' or onnxruntime's threads deadlocks.
    """
    os.environ.update(ENVIRONMENT)
    return ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )


def stop_children() -> None:
    """End this process's workers at once, after an interruption."""
    for child in multiprocessing.active_children():
        child.terminate()


def _start_worker() -> None:
    """Give way to others, leave Ctrl-C to the parent, and end with it however it ends."""
    if hasattr(os, "nice"):
        # The embedded model's threads spin while they wait for each other: one equal beside them makes its
        # answers five times slower (7.0 s instead of 1.4 s on two cores), one that gives way does not.
        os.nice(19)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
