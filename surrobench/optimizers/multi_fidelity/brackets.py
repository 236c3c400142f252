"""The parts that multi-fidelity methods share: the fidelity ladder, Hyperband's brackets, and promotion.

The source is Li et al., JMLR 18, 2018 (arXiv 1603.06560), algorithm 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator as Rng
from numpy.typing import NDArray

from surrobench.benchmarks.base import Fidelity
from surrobench.errors import UsageError
from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.requests import Evaluate, Evaluated, Request, Submit
from surrobench.space.hyperparameter import Matrix

_ROUNDING = 1e-9  # 0.1 * 3 is a little more than 0.3


@dataclass(frozen=True)
class Ladder:
    """The fidelities at which configurations are compared, each ``eta`` times the one below.

    Attributes:
        fidelity: the fidelity that is varied. All others stay full.
        eta: of the configurations on a rung, one in ``eta`` goes on to the next.
        values: the rungs, ascending. The last is the full fidelity, the only one where an incumbent can be
            found.
    """

    fidelity: Fidelity
    eta: int
    values: tuple[float, ...]

    @classmethod
    def of(cls, task: Task, method: str, eta: int, min_fidelity: float | None) -> Ladder:
        """Return the ladder of a task: R / eta^i for i = 0..s_max, where R is the full fidelity.

        The number s_max is the largest s with r eta^s <= R, where r is ``min_fidelity`` or else the lower end
        of the useful range. It is found by multiplication, which is exact for integers. For a fraction, the
        product may exceed R by 1e-9 of it.

        A rung of an integer fidelity is rounded half up. For example, lcbench (useful from 2, full 52) has 6,
        17 and 52. A share of the data from 0.03 has 1/27, 1/9, 1/3 and 1. As eta is at least 2 and r at least
        1 for integers, rounding never joins two rungs. Where only some values are legal, a rung is the
        nearest of them, and rungs that are the same are one.

        Raises:
            UsageError: the benchmark has no fidelity, or a parameter is not legal.
        """
        if not task.fidelities:
            raise UsageError(f"{method} needs a benchmark with a fidelity, such as yahpo/lcbench/167168.")
        if not isinstance(eta, int) or eta < 2:
            raise UsageError(f"{method} cannot divide by eta = {eta}.", "It is an integer, at least 2.")
        vary = task.fidelities[0]
        lowest = vary.useful[0] if min_fidelity is None else min_fidelity
        legal = max(vary.lower, 0.0) <= lowest <= vary.full and lowest > 0
        if not legal or (vary.integer and lowest != int(lowest)):
            raise UsageError(
                f"{method} cannot start at {vary.name} = {lowest:g}.",
                f"It is {'an integer' if vary.integer else 'a number'} above 0, "
                f"from {vary.lower:g} to {vary.full:g} ({vary.label}).",
            )
        s_max = 0
        while lowest * eta ** (s_max + 1) <= vary.full * (1 + _ROUNDING):
            s_max += 1
        values = [max(vary.full / eta**i, lowest) for i in range(s_max, -1, -1)]
        if vary.values is not None:
            legal_values = np.array(vary.values)
            values = sorted({float(legal_values[np.argmin(np.abs(legal_values - z))]) for z in values})
        elif vary.integer:
            values = [float(math.floor(value + 0.5)) for value in values]
        return cls(vary, eta, tuple(values))

    @property
    def top(self) -> int:
        """Return the level of the full fidelity; the lowest level is 0."""
        return len(self.values) - 1

    def brackets(self) -> list[list[int]]:
        """Return Hyperband's brackets, the widest first.

        Each bracket says how many configurations are on each of its rungs. The last rung of each bracket is
        the top one, so the lowest rung of a bracket is at its ``start``.
        """
        sweep = []
        for s in range(self.top, -1, -1):
            n = -(-(self.top + 1) * self.eta**s // (s + 1))  # rounded up
            sweep.append([n // self.eta**i for i in range(s + 1)])
        return sweep

    def start(self, bracket: Sequence[int]) -> int:
        """Return the level of a bracket's lowest rung."""
        return len(self.values) - len(bracket)

    def evaluate(self, X: Matrix, level: int, source: str, *, promoted: bool = False) -> Evaluate:
        """Request a batch at a level; ``promoted`` says that every row has been on the level below."""
        return Evaluate(X, source=source, **self._at(level, promoted))

    def submit(self, x: Matrix, level: int, source: str, *, promoted: bool = False) -> Submit:
        """Request the evaluation of one configuration, shape (d,), without waiting for it.

        The arguments are otherwise those of ``evaluate``.
        """
        return Submit(x, source=source, **self._at(level, promoted))

    def _at(self, level: int, promoted: bool) -> dict[str, Any]:
        goes_on = promoted and self.fidelity.resumable
        return {
            "fidelity": {self.fidelity.name: self.values[level]},
            "continued_from": self.values[level - 1] if goes_on else None,
        }


def best(losses: NDArray[np.float64], n: int) -> NDArray[np.intp]:
    """Return up to n indices of the lowest losses, best first.

    Ties stay in their order. The index of a failed evaluation (NaN) is never returned.
    """
    order = np.argsort(losses, kind="stable")  # NaN comes last
    return order[: min(n, int(np.isfinite(losses).sum()))]


def granted(task: Task, n: int) -> Matrix:
    """Return up to n configurations of the granted initial design, best first, without those that failed."""
    return task.initial.configurations[best(task.initial.losses, n)]


def promote(
    ladder: Ladder, bracket: Sequence[int], lowest: Evaluated, source: str, known: int = 0
) -> Generator[Request, Evaluated, list[Evaluated]]:
    """Take a bracket from its lowest rung to its highest, each rung in one request.

    A failed configuration is never promoted, so a rung may hold fewer configurations than planned, or end the
    bracket. The first ``known`` rows of the lowest rung were granted with their losses at full fidelity.
    Those of them that reach the full fidelity are not paid for again there.

    Returns:
        The answers of the rungs.
    """
    answers: list[Evaluated] = []
    answer, is_known = lowest, np.arange(len(lowest.losses)) < known
    for level, n in enumerate(bracket[1:], start=ladder.start(bracket) + 1):
        kept = best(answer.losses, n)
        if level == ladder.top:
            kept = kept[~is_known[kept]]
        if not len(kept):
            break
        is_known = is_known[kept]
        answer = yield ladder.evaluate(answer.configurations[kept], level, source, promoted=True)
        answers.append(answer)
    return answers


def run_brackets(
    task: Task, rng: Rng, ladder: Ladder, brackets: Iterable[Sequence[int]], source: str
) -> Steps:
    """Run brackets of independent draws, over and over until the budget ends.

    The granted initial design takes part in the first bracket. Its best configurations stand in for draws on
    the lowest rung, but no more of them than that bracket will promote.
    """
    start: Matrix | None = None
    for bracket in itertools.cycle(brackets):
        start = granted(task, bracket[0] // ladder.eta) if start is None else start[:0]
        X = np.concatenate([start, task.space.sample(bracket[0] - len(start), rng)])
        lowest: Evaluated = yield ladder.evaluate(X, ladder.start(bracket), source)
        yield from promote(ladder, bracket, lowest, source, known=len(start))
