"""Run a study with a progress bar, in a terminal, a notebook or a running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from surrobench.study.display import Display, fitting
from surrobench.study.progress import Status

_SECONDS = 0.25
"""Between two looks at the counters."""
Result = TypeVar("Result")


def watched(study: Callable[[Status], Result], *, progress: bool) -> Result:
    """Return what a study returns, and show meanwhile how far it is.

    Where an event loop runs in this thread, as in a notebook, the study gets a thread of its own, since its
    own loop cannot run here; this thread waits for it. Ctrl-C ends the study in either case.

    Args:
        study: runs it and keeps the counters up to date.
        progress: whether anything is shown: a bar in a terminal or a notebook.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        as ``study``
    """
    display = fitting(Status()) if progress else Display(Status())
    with display:
        if not _loop_is_running():
            return study(display.status)
        return _in_thread(lambda: study(display.status), display)


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_thread(study: Callable[[], Result], display: Display) -> Result:
    """Call a function in a thread of its own, and wait for it."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(study())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(call,), name="surrobench")
    interrupted = False
    with _default_interrupts():
        thread.start()
        while thread.is_alive():
            try:
                thread.join(_SECONDS)
                display.update()
            except KeyboardInterrupt:
                interrupted = True
                display.status.interrupt()
    if interrupted:
        raise KeyboardInterrupt
    if errors:
        raise errors[0]
    return results[0]


@contextlib.contextmanager
def _default_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt: ``asyncio.run`` would wait for its task, which waits for us."""
    before = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread()
    if not here or not callable(before) or before is signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
