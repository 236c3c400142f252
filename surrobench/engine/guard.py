"""Hand control to an optimizer and get it back: whatever the optimizer raises, and however long it takes.

An optimizer may be a user's file, so anything may come out of it: ``SystemExit``, a ``KeyboardInterrupt``
that is not the user's, an exception that is no ``Exception``. All of these end one run. A step that takes too
long is interrupted by a signal, where there is one: in the main thread, on systems that have timers. A step
inside compiled code cannot be interrupted so. There, a process that is made for such work, a worker, ends.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from surrobench.foreign_code import Interrupts, Raised, noticed_interrupts

STEP_SECONDS = 3600.0
"""The default limit of a step: how long an optimizer may think between two requests."""
LONGEST_STEP = 10_000_000
"""The largest limit that can be set."""
STUCK = 113
"""The exit status of a worker whose optimizer cannot be interrupted."""
GRACE = 60.0
"""Seconds that compiled code is given beyond the limit."""
_LOOKS = 4
"""How many times a limit is looked at before it is over."""
_TRIES = 3
"""How many interruptions an optimizer may swallow before its worker ends."""


class StepLimitReached(BaseException):
    """An optimizer did not yield in time. Not an ``Exception``, so that few optimizers swallow it."""


class ProcessLeft(BaseException):
    """An optimizer called ``os._exit``, which would have ended the process without a word."""


class Guard:
    """Calls what belongs to optimizers.

    Args:
        seconds: the limit of a step.
        expendable: whether this process may end where a step cannot be interrupted: a worker's may.
        grace: seconds that compiled code is given beyond the limit.
    """

    def __init__(
        self, seconds: float = STEP_SECONDS, *, expendable: bool = False, grace: float = GRACE
    ) -> None:
        self._seconds, self._expendable, self._grace = seconds, expendable, grace
        self._interrupts = Interrupts()
        self._since: float | None = None
        self._swallowed = 0
        self._leave: Callable[[int], NoReturn] = os._exit

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what a function of an optimizer returns.

        Raises:
            StopIteration: the optimizer's generator has ended.
            Raised: the function raised anything else, or took too long.
            KeyboardInterrupt: the user pressed Ctrl-C.
        """
        try:
            try:
                self._since = time.monotonic()
                return function(*args)
            finally:
                self._since = None
        except StopIteration:
            raise
        except BaseException as error:
            self._since, self._swallowed = None, 0
            if isinstance(error, KeyboardInterrupt) and self._interrupts.arrived:
                raise
            raise Raised(error) from error

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the clock and the door, and notice Ctrl-C, as long as the ``with`` block lasts."""
        with noticed_interrupts() as self._interrupts, self._alarm(), self._closed_door():
            yield

    @contextlib.contextmanager
    def _closed_door(self) -> Iterator[None]:
        """Refuse to end this process from within a step; processes forked from it may end as they like."""
        leave, here, thread = os._exit, os.getpid(), threading.get_ident()

        def refuse(status: int) -> NoReturn:
            if self._since is None or (os.getpid(), threading.get_ident()) != (here, thread):
                leave(status)
            raise ProcessLeft(f"The optimizer called os._exit({status}).")

        os._exit = refuse
        self._leave = leave
        try:
            yield
        finally:
            os._exit = leave

    @contextlib.contextmanager
    def _alarm(self) -> Iterator[None]:
        here = threading.current_thread() is threading.main_thread()
        # A timer of somebody else's is left alone.
        if not here or not hasattr(signal, "setitimer") or any(signal.getitimer(signal.ITIMER_REAL)):
            yield
            return
        before = signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, self._seconds / _LOOKS, self._seconds / _LOOKS)
        self._await_next_look()
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)
            if self._expendable:
                faulthandler.cancel_dump_traceback_later()

    def _look(self, number: int, frame: Any) -> None:
        """Interrupt a step that is over its limit."""
        self._await_next_look()
        if self._since is None or time.monotonic() - self._since < self._seconds:
            return
        self._swallowed += 1
        if self._swallowed > _TRIES and self._expendable:
            self._leave(STUCK)
        raise StepLimitReached(f"The optimizer did not yield a request within {self._seconds:,g} s.")

    def _await_next_look(self) -> None:
        """Have this process ended from outside of Python, unless Python gets to look again."""
        if self._expendable:
            faulthandler.dump_traceback_later(self._seconds * (1 + 2 / _LOOKS) + self._grace, exit=True)
