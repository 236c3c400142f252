"""ASHA, asynchronous successive halving: Li et al., MLSys 2020 (arXiv 1810.05934), algorithm 2."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.multi_fidelity.brackets import Ladder, granted
from surrobench.protocol.requests import Finished, Next
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace

_BLOCK = 32


def asha(task: Task, rng: Generator, *, eta: int = 3, min_fidelity: float | None = None) -> Steps:
    """Let each free worker promote a configuration of the top 1/eta of its rung, or else start a new one.

    The defaults are the paper's. They are eta = 3 and no early-stopping offset (s = 0: all configurations
    start on the lowest rung). There are as many workers as the task has. Higher rungs are looked at first.
    Ties go to the configuration drawn first. A failed evaluation counts as the worst of its rung and is never
    promoted. The granted initial design starts on the lowest rung before anything is drawn, best first. It is
    not evaluated again at full fidelity.
    """
    ladder = Ladder.of(task, "asha", eta, min_fidelity)
    start = granted(task, len(task.initial.losses) if ladder.top else 0)
    state = _Rungs(ladder, start, _draws(task.space, rng))
    under_way: dict[int, tuple[int, int]] = {}  # ticket -> (number of the configuration, level)
    while True:
        while len(under_way) < task.workers:
            number, level = state.next_job()
            request = ladder.submit(state.configurations[number], level, "asha", promoted=level > 0)
            ticket: int = yield request
            under_way[ticket] = number, level
        finished: Finished = yield Next()
        number, level = under_way.pop(finished.ticket)
        state.configurations[number] = finished.configuration
        state.add(number, level, finished.loss)


def _draws(space: SearchSpace, rng: Generator) -> Iterator[Matrix]:
    """Yield independent draws, shape (d,) each.

    The draws are made in blocks, which take a fraction of the time.
    """
    while True:
        yield from space.sample(_BLOCK, rng)


class _Rungs:
    """This class records what has finished on each rung, and what was promoted from there."""

    def __init__(self, ladder: Ladder, start: Matrix, draws: Iterator[Matrix]) -> None:
        self.configurations: list[Matrix] = list(start)
        self._known = self._waiting = len(start)
        self._ladder, self._draws = ladder, draws
        # Each rung below the top one has its (loss, number) pairs, ascending, with failed ones last.
        self._finished: list[list[tuple[float, int]]] = [[] for _ in range(ladder.top)]
        self._promoted: list[set[int]] = [set() for _ in range(ladder.top)]

    def next_job(self) -> tuple[int, int]:
        """Return number and level of the configuration to run next: promoted, or new on the lowest rung."""
        for level in range(self._ladder.top - 1, -1, -1):
            rung, promoted = self._finished[level], self._promoted[level]
            for loss, number in rung[: len(rung) // self._ladder.eta]:
                if number in promoted or not np.isfinite(loss):
                    continue
                promoted.add(number)
                if level + 1 < self._ladder.top or number >= self._known:
                    return number, level + 1
        if self._waiting:
            self._waiting -= 1
            return self._known - self._waiting - 1, 0
        self.configurations.append(next(self._draws))
        return len(self.configurations) - 1, 0

    def add(self, number: int, level: int, loss: float) -> None:
        """Record that a configuration has finished on a rung."""
        if level < self._ladder.top:
            insort(self._finished[level], (loss if np.isfinite(loss) else np.inf, number))
