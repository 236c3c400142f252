"""Live counters of a study, for a progress bar."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from surrobench.engine.outcome import Progress
from surrobench.llm.journalled_model import CompletionClient, JournalledModel


@dataclass
class Status:
    """Live counters of a study, for a progress bar."""

    total: int = 0
    done: int = 0
    trials: int = 0
    work: float = 0.0
    """Estimated seconds of all pending runs."""
    work_done: float = 0.0
    models: list[JournalledModel] = field(default_factory=list)
    live: Progress = field(default_factory=Progress)
    """Trials of runs that a model drives, counted as they happen."""
    note: Callable[[str], None] = lambda text: None
    """Takes a line worth saying at once."""
    live_stored: int = 0
    """Of those, the ones whose runs are finished."""
    seconds_per_live_trial: float = 0.0

    _interrupted: bool = False
    _stop: Callable[[], None] | None = None

    @property
    def clients(self) -> list[CompletionClient]:
        """The clients of the models that are asked; their counters go on as well."""
        return [model.client for model in self.models if model.client is not None]

    def interrupt(self) -> None:
        """End the study as Ctrl-C does; for a study that runs in another thread than the one that is told."""
        self._interrupted = True
        if self._stop is not None:
            self._stop()

    def begin(self) -> None:
        """Note the running task, which ``interrupt`` cancels; called by the study once it executes runs.

        Raises:
            KeyboardInterrupt: it was interrupted before.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                loop.call_soon_threadsafe(task.cancel)

        self._stop = stop
        if self._interrupted:
            raise KeyboardInterrupt

    def live_work(self) -> float:
        """Estimated seconds of the trials of runs that a model drives and that are not finished."""
        return max(self.live.trials - self.live_stored, 0) * self.seconds_per_live_trial
