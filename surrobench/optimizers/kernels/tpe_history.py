"""What TPE remembers of a run, kept so that many runs are stacked without sorting again."""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from typing import NamedTuple

import numpy as np

from surrobench.arrays import Bools, Floats
from surrobench.optimizers.kernels.tpe_space import TpeSpace
from surrobench.space.hyperparameter import Matrix

Block = tuple[int, ...]
"""Columns that are proposed jointly, sorted by name."""


class TpeHistory:
    """The finished trials of one run, in their order.

    Attributes:
        space: the search space.
        n: the number of trials.
        values: shape (n, d), NaN where a hyperparameter was inactive.
        scaled: shape (d, n), the same on the scale of the kernels.
        ranking: the trials by their loss; of equal ones the older first.
        common: shape (d,), which hyperparameters were active in all trials.
    """

    def __init__(self, space: TpeSpace) -> None:
        self.space = space
        self.n = 0
        self.common: Bools = np.ones(len(space.columns), dtype=bool)
        d = len(space.columns)
        self._values, self._scaled = np.empty((16, d)), np.empty((d, 16))
        self._losses: list[float] = []
        self.ranking: list[int] = []

    def _grow(self) -> None:
        self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._scaled = np.concatenate([self._scaled, np.empty_like(self._scaled)], axis=1)

    @property
    def values(self) -> Matrix:  # noqa: D102
        return self._values[: self.n]

    @property
    def scaled(self) -> Matrix:  # noqa: D102
        return self._scaled[:, : self.n]

    def add(self, values: Floats, loss: float, scaled: Floats | None = None) -> None:
        """Add a finished trial: its values, shape (d,), and a finite loss.

        Args:
            values: NaN where a hyperparameter was inactive.
            loss: lower is better.
            scaled: the values on the scale of the kernels, if they are known.
        """
        n = self.n
        if n == len(self._values):
            self._grow()
        self._values[n] = values
        self._scaled[:, n] = self.space.to_scale(values) if scaled is None else scaled
        if scaled is None:
            self.common &= ~np.isnan(values)
        at = bisect_right(self._losses, loss)
        self._losses.insert(at, loss)
        self.ranking.insert(at, n)
        self.n = n + 1


class TpeState(NamedTuple):
    """Holds what the kernel needs of a run.

    Attributes:
        history: the finished trials.
        blocks: what is proposed, one block after the other.
        candidates: how many are compared in each block.
        draws: the uniform numbers of all blocks in order: of each block, ``candidates`` for the choice of
            kernels, as many for each of its categorical columns, then as many for each of its numbers.
    """

    history: TpeHistory
    blocks: tuple[Block, ...]
    candidates: int
    draws: Floats


class TpeProposal(NamedTuple):
    """Holds the kernel's answer.

    Attributes:
        values: the values of the blocks' columns, one block after the other.
        scaled: the same on the scale of the kernels.
        encoded: the same in the vector encoding.
        inside: whether all values lie in their range; the last bit may be outside.
        referred: how many of the blocks Optuna's own classes decided.
    """

    values: Floats
    scaled: Floats
    encoded: Floats
    inside: bool
    referred: int


@cache
def draws_needed(blocks: tuple[Block, ...], candidates: int) -> int:
    """Return the number of uniform numbers that some blocks take."""
    return candidates * sum(1 + len(block) for block in blocks)
