"""A worker process of ``execution/process_pool.py``: makes the calls that it reads from standard input.

A message is its length, eight bytes, and a pickle. The worker ends when standard input does. This file is the
program of the process. Before anything else it asks Linux to end the process with its parent: a thread that
reads standard input has no turn while an import or a call into a library keeps Python's lock.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from typing import IO, Any

_LENGTH = 8
_PR_SET_PDEATHSIG = 1
"""Of ``prctl``, in ``linux/prctl.h``."""


def end_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent ends, where the system can; end if it has ended.

    Args:
        parent: the id of the process that started this one.
    """
    if sys.platform == "linux":
        with contextlib.suppress(
            ImportError, OSError, AttributeError
        ):  # a Python without ctypes, or no prctl
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def read_message(stream: IO[bytes]) -> bytes:
    """Return the next message of a stream.

    Raises:
        EOFError: the stream has ended.
    """
    head = stream.read(_LENGTH)
    size = int.from_bytes(head, "little")
    message = stream.read(size) if len(head) == _LENGTH else b""
    if len(head) < _LENGTH or len(message) < size:
        raise EOFError
    return message


def write_message(stream: IO[bytes], message: bytes) -> None:
    """Send a message."""
    stream.write(len(message).to_bytes(_LENGTH, "little"))
    stream.write(message)
    stream.flush()


def serve() -> None:
    """Answer calls until standard input ends."""
    questions, answers = _own_streams()
    if hasattr(os, "nice"):
        # The embedded model's threads spin while they wait for each other: one equal beside them makes its
        # answers five times slower (7.0 s instead of 1.4 s on two cores), one that gives way does not.
        os.nice(19)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                inbox.put(read_message(questions))
        except (EOFError, OSError):
            os._exit(0)  # in the middle of a call, too: nobody waits for what comes of it

    threading.Thread(target=listen, daemon=True).start()
    while True:
        write_message(answers, _answer(inbox.get()))


def _own_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Keep standard input and output from the code that is called: what it prints goes to standard error."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return questions, answers


def _answer(work: bytes) -> bytes:
    """Make a call; return whether it raised, the result or the exception, and the traceback, as a pickle."""
    try:
        fn, args, kwargs = pickle.loads(work)
        return pickle.dumps((False, fn(*args, **kwargs), ""))
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> bytes:
    trace = traceback.format_exc()
    answer: tuple[bool, Any, str] = (True, error, trace)
    try:
        data = pickle.dumps(answer)
        pickle.loads(data)  # an exception with arguments of its own may not come back
        return data
    except Exception:
        return pickle.dumps((True, RuntimeError(f"{type(error).__name__}: {error}"), trace))


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    sys.path[:] = sys.argv[2:]
    serve()
