"""Call what others wrote (a user's file, an installed package), whatever it raises.

``SystemExit``, and a ``KeyboardInterrupt`` that nobody asked for, are errors of that code like any other. The
user's own Ctrl-C is told apart by its signal.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


class Raised(Exception):
    """Code of others raised ``error``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


@dataclass
class Interrupts:
    """Says whether Ctrl-C has arrived."""

    arrived: bool = False


@contextlib.contextmanager
def noticed_interrupts() -> Iterator[Interrupts]:
    """Notice whether Ctrl-C arrives in the ``with`` block; what it does otherwise stays as it is."""
    noticed = Interrupts()
    before = signal.getsignal(signal.SIGINT)
    # Other threads are never interrupted; and where the signal is ignored or ends the process, none arrives.
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield noticed
        return

    def notice(number: int, frame: Any) -> None:
        noticed.arrived = True
        before(number, frame)

    signal.signal(signal.SIGINT, notice)
    try:
        yield noticed
    finally:
        if signal.getsignal(signal.SIGINT) is notice:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def foreign_code() -> Iterator[None]:
    """Raise ``Raised`` for whatever the ``with`` block raises, the user's Ctrl-C excepted."""
    with noticed_interrupts() as interrupts:
        try:
            yield
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and interrupts.arrived:
                raise
            raise Raised(error) from error
