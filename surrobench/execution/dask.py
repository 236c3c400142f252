"""Many machines: a Dask cluster in the place of the process pool, for ``--cluster ADDRESS``.

Results arrive at this process, the one writer. Dask may lose a worker, and execute a shard twice: the
outcomes are the same. That holds only if every worker is set up like a process of our own pool, so each is
asked when we connect and once more with every shard, since workers may join at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from surrobench.errors import ClusterError, SurrobenchError
from surrobench.execution.process_pool import ENVIRONMENT
from surrobench.libraries import DISTRIBUTED
from surrobench.results.manifest import library_versions
from surrobench.system import VERSION

DISTRIBUTED.require("A cluster")
import distributed  # noqa: E402 - what is missing is said first
from distributed.client import ClosedClientError  # noqa: E402
from distributed.scheduler import KilledWorker  # noqa: E402
from distributed.security import Security  # noqa: E402

REACH_SECONDS = 5.0
"""Until a scheduler that does not answer counts as not there."""
WATCH_SECONDS = 5.0
"""Between two looks at how many workers there are."""


def dask_setup(nanny: Any) -> None:
    """Set up a worker: called for ``dask worker --preload-nanny surrobench.execution.dask``.

    The environment alone would not do: for the processes it starts, a nanny puts a hash seed of its own in
    the place of 0.
    """
    nanny.pre_spawn_env.update(ENVIRONMENT)
    nanny.env.update(ENVIRONMENT)


def connect(address: str, note: Callable[[str], None]) -> ClusterExecutor:
    """Connect to a Dask scheduler, and wait until there is a worker.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``.
        note: takes a line worth saying at once.

    Raises:
        ClusterError: nothing answers there, or a worker is not set up as needed.
    """
    # Dask's own messages, tracebacks of a lost scheduler among them, would stand between ours.
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        # A Client that finds nobody hangs for seconds when the program ends: look first.
        kind = asyncio.run(_kind(address))
    except (OSError, ValueError, TypeError) as error:
        reason = "" if isinstance(error, TimeoutError) else f" ({' '.join(str(error).split())})"
        raise ClusterError(
            f"No Dask scheduler answers at {address}{reason}.", "Start one with: dask scheduler"
        ) from error
    if kind != "Scheduler":
        raise ClusterError(f"What answers at {address} is no Dask scheduler but a {kind.lower()}.")
    client = distributed.Client(address, timeout=REACH_SECONDS, set_as_default=False, name="surrobench")
    executor = ClusterExecutor(client, address, note)
    try:
        executor.wait_for_workers()
        executor.check_workers()
    except BaseException:
        executor.shutdown()
        raise
    return executor


class ClusterExecutor(Executor):
    """Sends work to the workers of a Dask scheduler, see ``connect``.

    Attributes:
        workers: how many there were at most.
    """

    def __init__(self, client: distributed.Client, address: str, note: Callable[[str], None]) -> None:
        self._client, self._address, self._note = client, address, note
        self._wanted = _versions()
        # Nothing is tried again: what raises on one worker raises on all. The work of a worker that died is
        # given to others by the scheduler (distributed.scheduler.allowed-failures).
        self._executor = client.get_executor(pure=False, retries=0)
        self._closed = threading.Event()
        self.workers = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def wait_for_workers(self) -> None:
        """Return when there is one: a batch system may take its time."""
        if self._count():
            return
        self._note(f"Waiting for a worker to join {self._address}. {_start(self._address)}")
        while not self._count():
            time.sleep(1)

    def check_workers(self) -> None:
        """See that all workers are set up as needed.

        Raises:
            ClusterError: one is not.
        """
        try:
            found = self._client.run(_problem, self._wanted, on_error="return")
        except OSError as error:
            raise self._lost() from error
        problems = {worker: said for worker, said in found.items() if said is not None}
        for worker, said in problems.items():
            problem = _translated(said)
            if not isinstance(problem, SurrobenchError):
                raise problem
            raise _on(worker, problem, f" and {len(problems) - 1} more" if len(problems) > 1 else "")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have ``fn`` called on a worker."""
        future: Future[Any] = Future()
        # Pickled here, since Dask searches arguments for keys and futures of its own.
        work = pickle.dumps((fn, args, kwargs))
        try:
            inner = self._executor.submit(_work, self._address, self._wanted, work)
        except ClosedClientError as error:
            raise self._lost() from error
        inner.add_done_callback(lambda done: self._pass_on(done, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave; the scheduler forgets what it still had to do for us."""
        self._closed.set()
        with contextlib.suppress(Exception):  # it may be gone
            self._client.close(timeout=REACH_SECONDS)

    def _pass_on(self, done: Future[Any], future: Future[Any]) -> None:
        """Bring a result over, with errors that can be mended as ours."""
        if not future.set_running_or_notify_cancel():
            return
        if done.cancelled():  # by nobody here
            future.set_exception(self._lost())
        elif (error := done.exception()) is not None:
            future.set_exception(_translated(error))
        else:
            future.set_result(done.result())

    def _count(self) -> int:
        try:
            now = len(self._client.nthreads())
        except (
            OSError,
            AttributeError,
            ClosedClientError,
        ) as error:  # of a client that has lost its scheduler
            raise self._lost() from error
        self.workers = max(self.workers, now)
        return now

    def _watch(self) -> None:
        """Say when no worker is left: to wait for one looks like being stuck."""
        some = True
        while not self._closed.wait(WATCH_SECONDS):
            with contextlib.suppress(Exception):  # a lost scheduler is told of by what is pending
                before, some = some, self._count() > 0
                if before and not some and self.workers:
                    self._note(f"No worker is left at {self._address}; waiting. {_start(self._address)}")

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"The Dask scheduler at {self._address} was lost.",
            "Start it and its workers, and repeat the command: it goes on from what is stored.",
        )


# ---------------------------------------------------------------------- on the workers


def _work(address: str, wanted: Mapping[str, str], work: bytes) -> Any:
    """What a worker is sent.

    Raises:
        ClusterError: the worker is not set up as needed, or lacks data.
    """
    worker = distributed.get_worker()
    if (problem := _problem(wanted, worker)) is not None:
        raise _on(worker.address, problem)
    fn, args, kwargs = pickle.loads(work)
    try:
        return fn(*args, **kwargs)
    except SurrobenchError as error:
        raise _on(worker.address, error) from error
    except OSError as error:
        raise _on(worker.address, ClusterError(f"{type(error).__name__}: {error}.")) from error


def _problem(wanted: Mapping[str, str], dask_worker: Any) -> ClusterError | None:
    """Why a worker cannot be used, if it cannot; Dask fills in ``dask_worker``."""
    here = _versions()
    names = [name for name in {**wanted, **here} if wanted.get(name) != here.get(name)]
    if names:
        differ = ", ".join(f"{name} {here.get(name, 'none')} instead of {wanted.get(name)}" for name in names)
        return ClusterError(f"It has {differ}.", "Install the same versions on all machines.")
    wrong = ["a hash seed other than 0"] if sys.flags.hash_randomization else []
    wrong += [
        f"{name}={os.environ.get(name, '')}"
        for name, value in ENVIRONMENT.items()
        if name != "PYTHONHASHSEED" and os.environ.get(name) != value
    ]
    if dask_worker.state.nthreads > 1:
        wrong.append(f"{dask_worker.state.nthreads} threads")
    if not wrong:
        return None
    return ClusterError(f"It was started with {', '.join(wrong)}.", _start(dask_worker.scheduler.address))


def _versions() -> dict[str, str]:
    """What must be the same everywhere."""
    return {"surrobench": VERSION, **library_versions()}


# ---------------------------------------------------------------------- messages


def _start(address: str) -> str:
    return (
        "Start workers with: "
        f"dask worker {address} --nthreads 1 --nworkers -1 --preload-nanny surrobench.execution.dask"
    )


def _on(worker: str, error: SurrobenchError, more: str = "") -> ClusterError:
    return ClusterError(f"Worker {worker}{more}: {error.message}", error.remedy)


def _translated(error: BaseException) -> BaseException:
    """An error that can be mended as one of ours; others are defects, and stay what they are."""
    if isinstance(error, KilledWorker):
        return ClusterError(
            f"{error.allowed_failures + 1} workers died, one after the other, with the same runs.",
            "Give each more memory, or more time, and repeat the command: it goes on from what is stored.",
        )
    if isinstance(error, RuntimeError) and "deserialization of the task graph" in str(error):
        return ClusterError(
            "The Dask scheduler cannot read what it is sent.",
            f"Start it in an environment with surrobench {VERSION}, like the workers.",
        )
    if isinstance(error, ImportError | AttributeError) and "surrobench" in str(error):
        return ClusterError(
            f"It cannot use surrobench: {' '.join(str(error).split())}.",
            f"Install surrobench {VERSION} there.",
        )
    return error


async def _kind(address: str) -> str:
    """What answers at an address: ``Scheduler``, it is hoped."""
    how = Security().get_connection_args("client")
    async with distributed.rpc(address, connection_args=how) as server:
        identity = await asyncio.wait_for(server.identity(), REACH_SECONDS)
    return str(identity["type"])
