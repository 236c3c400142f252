"""How far a command is: a progress bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from surrobench.cli import output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from surrobench.study.progress import Status

HEARTBEAT_SECONDS = 60.0
"""How long a program that writes into a file stays silent at most."""


def bar(what: str) -> Callable[[Sequence[int]], Iterator[int]]:
    """Return a function that passes numbers on and shows how far it is, on a terminal only.

    Args:
        what: is done, for the bar.
    """

    def pass_on(numbers: Sequence[int]) -> Iterator[int]:
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True)
        hidden = output.is_quiet() or not console.is_terminal
        yield from track(numbers, what, console=console, transient=True, disable=hidden)

    return pass_on


class Display:
    """Shows the counters of a study while it runs: a live bar on a terminal, else a line a minute.

    Args:
        status: the counters.
        console: standard error.
        interval: seconds between two lines where standard error is no terminal.
    """

    def __init__(self, status: Status, console: Console, interval: float | None = None) -> None:
        self._status, self._console = status, console
        self._interval = HEARTBEAT_SECONDS if interval is None else interval
        self._start = time.monotonic()
        self._stop: Callable[[], None] = lambda: None

    def __enter__(self) -> None:
        if output.is_quiet():
            return
        self._stop = self._start_bar() if self._console.is_terminal else self._start_heartbeat()

    def __exit__(self, *exception: object) -> None:
        self._stop()

    # ------------------------------------------------------------------ a live bar

    def _start_bar(self) -> Callable[[], None]:
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(None), TaskProgressColumn()
        shown = Progress(*columns, TimeRemainingColumn(), expand=True)
        task = shown.add_task("starting", total=None)

        def render() -> Progress:
            shown.update(
                task,
                description=" · ".join(self._rates()),
                total=self._status.work or None,
                completed=self._work_done(),
            )
            return shown

        live = Live(get_renderable=render, console=self._console, refresh_per_second=4, transient=True)
        live.start()
        return live.stop

    def _rates(self) -> list[str]:
        """Return what the bar says: runs, trials and tokens a second."""
        status = self._status
        seconds = max(time.monotonic() - self._start, 1e-9)
        trials = status.trials + status.live.trials
        parts = [f"{status.done:,}/{status.total:,} runs", f"{trials / seconds:,.0f} trials/s"]
        clients = [model.client for model in status.models if model.client is not None]
        if clients:
            flying = sum(client.in_flight for client in clients)
            tokens = sum(client.tokens_in + client.tokens_out for client in clients)
            parts += [f"{flying} in flight", f"{tokens / seconds:,.0f} tokens/s"]
        return parts

    # ------------------------------------------------------------------ a line a minute

    def _start_heartbeat(self) -> Callable[[], None]:
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self._interval):
                output.say(self.line())

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()

        def stop() -> None:
            ended.set()
            thread.join()

        return stop

    def line(self) -> str:
        """Return the counters as one line: runs, trials, completions and the time that is left."""
        status = self._status
        if not status.total:
            return "Preparing the study."
        parts = [
            f"{status.done:,} of {status.total:,} runs",
            f"{status.trials + status.live.trials:,} trials",
        ]
        if clients := [model.client for model in status.models if model.client is not None]:
            parts.append(f"{sum(client.completions for client in clients):,} completions")
        done, elapsed = self._work_done(), time.monotonic() - self._start
        if done:
            left = elapsed * (status.work - done) / done
            parts.append(f"about {output.duration(left)} left")
        return f"{', '.join(parts)}."

    def _work_done(self) -> float:
        """Return how many of the estimated seconds of work are done."""
        return min(self._status.work_done + self._status.live_work(), self._status.work)
