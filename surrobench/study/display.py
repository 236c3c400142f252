"""Show how far a study is while it runs: a bar in a terminal or a notebook."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from surrobench.study.progress import Status

if TYPE_CHECKING:
    from surrobench.terminal import Terminal


class Display:
    """Shows nothing; its subclasses show the counters of a study.

    Attributes:
        status: the counters.
    """

    def __init__(self, status: Status) -> None:
        self.status = status
        self._start = time.monotonic()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass

    def update(self) -> None:
        """Show the counters as they are now, where nothing else does."""

    @property
    def seconds(self) -> float:
        """How long the study has been shown; more than 0."""
        return max(time.monotonic() - self._start, 1e-9)

    @property
    def trials(self) -> int:
        """How many trials have been made."""
        return self.status.trials + self.status.live.trials

    @property
    def work_done(self) -> float:
        """How many of the estimated seconds of work are done."""
        return min(self.status.work_done + self.status.live_work(), self.status.work)

    def rates(self) -> str:
        """Return what a bar says: runs, trials and tokens a second."""
        status, seconds = self.status, self.seconds
        parts = [f"{status.done:,}/{status.total:,} runs", f"{self.trials / seconds:,.0f} trials/s"]
        if clients := status.clients:
            flying = sum(client.in_flight for client in clients)
            tokens = sum(client.tokens_in + client.tokens_out for client in clients)
            parts += [f"{flying} in flight", f"{tokens / seconds:,.0f} tokens/s"]
        return " · ".join(parts)


class TerminalBar(Display):
    """A bar that is gone when the study has ended; it updates itself."""

    def __init__(self, status: Status, console: Terminal) -> None:
        super().__init__(status)
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}", markup=False), BarColumn(None), TaskProgressColumn()
        bar = Progress(*columns, TimeRemainingColumn(), expand=True)
        task = bar.add_task("starting", total=None)

        def render() -> Progress:
            total = status.work or None
            bar.update(task, description=self.rates(), total=total, completed=self.work_done)
            return bar

        self._live = Live(get_renderable=render, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *exception: object) -> None:
        self._live.stop()


class NotebookBar(Display):
    """A bar in the output of a notebook's cell, and a line in its place when the study has ended."""

    def __enter__(self) -> None:
        from IPython import display

        untyped: Any = display
        self._html = untyped.HTML
        self._shown = untyped.display(self._html("starting"), display_id=True)

    def __exit__(self, *exception: object) -> None:
        self._show(f"{self.status.done:,} of {self.status.total:,} runs are finished ({self.seconds:.1f} s).")

    def update(self) -> None:
        """Show the counters as they are now."""
        share = self.work_done / self.status.work if self.status.work else 0.0
        self._show(f'<progress value="{share:.3f}" max="1"></progress> {self.rates()}')

    def _show(self, text: str) -> None:
        if self._shown is not None:
            self._shown.update(self._html(text))


def fitting(status: Status) -> Display:
    """Return the display that fits where this program runs: in a notebook, in a terminal, or elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is not None:
        return NotebookBar(status)
    from surrobench.terminal import Terminal

    console = Terminal(stderr=True)
    if not console.is_terminal:
        return Display(status)
    status.note = lambda line: console.print(line, style="dim")
    return TerminalBar(status, console)
