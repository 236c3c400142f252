"""A worker process of ``execution/process_pool.py``: makes the calls that it reads from standard input.

A message is its length, eight bytes, and a pickle. The worker ends when standard input does; where Linux ends
it with its parent, see ``execution/worker_start.py``.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from typing import IO, Any

READY = b"ready"
"""What a worker says first. One that ends before could not start, whatever it was to do."""
_LENGTH = 8


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
    write_message(answers, READY)
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
    except BaseException as error:  # Ctrl-C is ignored here, so that even KeyboardInterrupt is the call's own
        return _failure(error)


def _failure(error: BaseException) -> bytes:
    trace = traceback.format_exc()
    answer: tuple[bool, Any, str] = (True, error, trace)
    if isinstance(error, Exception):  # nothing else may reach the parent: it could end it
        try:
            data = pickle.dumps(answer)
            pickle.loads(data)  # an exception with arguments of its own may not come back
            return data
        except Exception:
            pass
    from surrobench.errors import in_one_line

    return pickle.dumps((True, RuntimeError(in_one_line(error)), trace))
