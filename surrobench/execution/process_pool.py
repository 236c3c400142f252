"""Where runs without a language model are executed: one ``concurrent.futures.Executor`` seam.

A shard is a list of runs on one scenario. A process pool executes shards for ``--jobs N``, the workers of a
Dask cluster for ``--cluster`` (``execution.dask.py``): executing a shard twice gives the same outcomes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any

ENVIRONMENT = {"PYTHONHASHSEED": "0"} | dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
"""Of every worker. Python's hash seed is fixed, since some libraries iterate over sets; their linear algebra
keeps to one thread each."""


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
