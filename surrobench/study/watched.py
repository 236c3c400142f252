"""Run a study with a progress bar, in a terminal, a notebook or a running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

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
    display = _display(Status()) if progress else _Display(Status())
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


def _in_thread(study: Callable[[], Result], display: _Display) -> Result:
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


# ---------------------------------------------------------------------- what is shown


class _Display:
    """Shows nothing."""

    def __init__(self, status: Status) -> None:
        self.status = status
        self._start = time.monotonic()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass

    def update(self) -> None:
        """Show the counters as they are now."""

    def said(self) -> str:
        """Return the counters in words."""
        status, seconds = self.status, max(time.monotonic() - self._start, 1e-9)
        trials = status.trials + status.live.trials
        return f"{status.done:,}/{status.total:,} runs · {trials / seconds:,.0f} trials/s"

    def share(self) -> float:
        """Return how much of the work is done."""
        status = self.status
        return min((status.work_done + status.live_work()) / status.work, 1.0) if status.work else 0.0


class _Terminal(_Display):
    """A bar that is gone when the study has ended."""

    def __init__(self, status: Status, console: Any) -> None:
        super().__init__(status)
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(None), TaskProgressColumn()
        bar = Progress(*columns, TimeRemainingColumn(), expand=True)
        task = bar.add_task("starting", total=1.0)

        def render() -> Progress:
            bar.update(task, description=self.said(), completed=self.share())
            return bar

        self._live = Live(get_renderable=render, console=console, refresh_per_second=4, transient=True)
        status.note = lambda line: console.print(line, style="dim", highlight=False, markup=False)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *exception: object) -> None:
        self._live.stop()


class _Notebook(_Display):
    """A bar in the output of a notebook's cell, and a line in its place when the study has ended."""

    def __enter__(self) -> None:
        from IPython import display

        untyped: Any = display
        self._html = untyped.HTML
        self._shown = untyped.display(self._html("starting"), display_id=True)

    def __exit__(self, *exception: object) -> None:
        seconds = time.monotonic() - self._start
        self._show(f"{self.status.done:,} of {self.status.total:,} runs are finished ({seconds:.1f} s).")

    def update(self) -> None:
        self._show(f'<progress value="{self.share():.3f}" max="1"></progress> {self.said()}')

    def _show(self, text: str) -> None:
        if self._shown is not None:
            self._shown.update(self._html(text))


def _display(status: Status) -> _Display:
    """Return what fits where this program runs."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is not None:
        return _Notebook(status)
    from rich.console import Console

    console = Console(stderr=True)
    return _Terminal(status, console) if console.is_terminal else _Display(status)
