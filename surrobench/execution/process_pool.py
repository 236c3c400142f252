"""Where runs without a language model are executed: one ``concurrent.futures.Executor`` seam.

A shard is a list of runs on one scenario. A pool of processes executes shards for ``--jobs N``, the workers
of a Dask cluster for ``--cluster`` (``execution/dask.py``): executing a shard twice gives the same outcomes.

The pool is not that of the standard library. A process of ``multiprocessing`` imports the main module of its
parent, so that a script without ``if __name__ == "__main__"`` would run its study again in every worker; the
environment of workers can only be set in that of their parent; and a helper process stays until the parent
ends. Here a worker is a plain ``subprocess`` with an environment of its own, which gets its work on standard
input (``execution/worker.py``).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import IO, Any, NamedTuple

from surrobench.engine.guard import STUCK
from surrobench.execution import worker_start
from surrobench.execution.worker import read_message, write_message

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
    """Return a pool of ``jobs`` fresh processes."""
    return WorkerPool(jobs)


def stop_workers(executor: Executor) -> None:
    """End the processes of a pool at once, after an interruption; other executors have none of their own."""
    if isinstance(executor, WorkerPool):
        executor.stop()


class WorkerDied(BrokenExecutor):
    """A worker process ended while it had work; the message says how it ended."""


class WorkerEnded(Exception):
    """A call ended the worker that it was made in; the message says how. Other calls are not concerned."""


class _Work(NamedTuple):
    """A call to be made in a worker, and where its result goes."""

    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
    future: Future[Any]


class WorkerPool(Executor):
    """Sends calls to fresh processes; each is started when there is work for it.

    A thread per process hands out the work. When one process is killed or cannot start, all work that is left
    fails with ``WorkerDied``. Where a call itself ends its process (it exits, or compiled code crashes), that
    call fails with ``WorkerEnded``, and another process is started for the rest.
    """

    def __init__(self, jobs: int) -> None:
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._broken: WorkerDied | None = None
        self._closed = False
        self._threads = [threading.Thread(target=self._hand_out, daemon=True) for _ in range(jobs)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have ``fn``, a function of a module, called in a worker."""
        if self._closed:
            raise RuntimeError("The pool was shut down.")
        future: Future[Any] = Future()
        self._queue.put(_Work((fn, args, kwargs), future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers end when nothing is left to do."""
        self._closed = True
        if cancel_futures:
            with contextlib.suppress(queue.Empty):
                while True:
                    if (work := self._queue.get_nowait()) is not None:
                        work.future.cancel()
        for _ in self._threads:
            self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def stop(self) -> None:
        """End the workers at once; what they were doing fails."""
        with self._lock:
            self._broken = self._broken or WorkerDied("The workers were stopped.")
            for process in self._processes:
                process.kill()

    def _hand_out(self) -> None:
        """Pass work to one process until there is no more; runs in a thread."""
        process: subprocess.Popen[bytes] | None = None
        try:
            while (work := self._queue.get()) is not None:
                if not work.future.set_running_or_notify_cancel():
                    continue
                try:
                    if self._broken is not None:
                        raise self._broken
                    process = process or self._start()
                    result = _call(process, work.call)
                except Exception as error:
                    if isinstance(error, WorkerEnded) and process is not None:
                        _end(process)
                        process = None
                    work.future.set_exception(error)
                    if isinstance(error, WorkerDied):
                        self._broken = self._broken or error
                else:
                    work.future.set_result(result)
        finally:
            if process is not None:
                _end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a worker, unless the pool is broken."""
        with self._lock:
            if self._broken is not None:
                raise self._broken
            warnings = [f"-W{option}" for option in sys.warnoptions]
            path = [entry for entry in sys.path if isinstance(entry, str)]
            with _interrupts_held():
                process = subprocess.Popen(
                    # It finds what its parent finds, and never imports the parent's main module.
                    [sys.executable, *warnings, "-P", worker_start.__file__, str(os.getpid()), *path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **ENVIRONMENT, "PYTHONUTF8": str(sys.flags.utf8_mode)},
                )
            self._processes.append(process)
        try:
            read_message(_pipe(process.stdout))
        except (OSError, EOFError) as error:
            raise WorkerDied(_how_it_ended(process)) from error
        return process


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back Ctrl-C from processes that are started meanwhile, until they have decided to ignore it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")
"""Signals that a process brings upon itself. Others are sent to it, as by a system that is out of memory."""


def _by_itself(status: int) -> bool:
    return status >= 0 or any(-status == getattr(signal, name, None) for name in _CRASHES)


def _call(process: subprocess.Popen[bytes], call: tuple[Callable[..., Any], Any, Any]) -> Any:
    """Return what a call returns in a worker, or raise what it raises there.

    Raises:
        WorkerDied: the process was killed.
        WorkerEnded: the process ended by itself.
    """
    work = pickle.dumps(call)
    try:
        write_message(_pipe(process.stdin), work)
        raised, result, trace = pickle.loads(read_message(_pipe(process.stdout)))
    except (OSError, EOFError) as error:
        how = _how_it_ended(process)
        raise (WorkerEnded if _by_itself(process.wait()) else WorkerDied)(how) from error
    if raised:
        result.add_note(f"In a worker process:\n{trace}")
        raise result
    return result


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """Say how a worker ended, and no more than is known."""
    status = process.wait()
    if status == STUCK:
        return "Its optimizer took too long, and did not let itself be interrupted."
    if status >= 0:
        return f"A worker process ended by itself, with status {status}."
    name = next((one.name for one in signal.Signals if one == -status), f"signal {-status}")
    why = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"A worker process was killed by {name}{why}."


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a worker without work end: it does when its standard input does."""
    with contextlib.suppress(OSError):
        _pipe(process.stdin).close()
    _pipe(process.stdout).close()
    process.wait()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
