"""How far a study is: a live bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from surrobench.cli import output
from surrobench.study.display import Display, TerminalBar
from surrobench.study.progress import Status

if TYPE_CHECKING:
    from surrobench.terminal import Terminal

SECONDS = 60.0
"""How long a program that writes into a file stays silent at most."""


def display(status: Status, console: Terminal) -> Display:
    """Return what shows the counters of a study; with ``-q`` it shows nothing.

    Args:
        status: the counters.
        console: standard error.
    """
    if output.is_quiet():
        return Display(status)
    return TerminalBar(status, console) if console.is_terminal else Heartbeat(status)


class Heartbeat(Display):
    """Prints the counters as a line, every ``SECONDS``."""

    def __enter__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(SECONDS):
            output.say(self.line())

    def line(self) -> str:
        """Return the counters as one line: runs, trials, completions and the time that is left."""
        status, done = self.status, self.work_done
        if not status.total:
            return "Preparing the study."
        parts = [f"{status.done:,} of {status.total:,} runs", f"{self.trials:,} trials"]
        if clients := status.clients:
            parts.append(f"{sum(client.completions for client in clients):,} completions")
        if done:
            parts.append(f"about {output.duration(self.seconds * (status.work - done) / done)} left")
        return f"{', '.join(parts)}."
