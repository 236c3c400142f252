"""Compute the permutation distribution of Friedman's statistic and of the range of rank sums.

Where all methods are alike, every order of the ranks of a block is equally likely. Blocks are independent,
and keep the ties that they have. Two numbers of a table of ranks are needed: the sum of the squared
deviations of the k rank sums, of which Friedman's statistic is a multiple, and the largest difference of two
rank sums, on which Nemenyi's test is based.

*Exact*: the distribution of the sorted rank sums is carried from block to block (dynamic programming). A
block in random order does to rank sums in any order what it does to the same sums when they are sorted, so
that only sorted sums are states: 10,461 for 6 methods in 5 blocks.

*Monte Carlo*: where the exact way would take more than ``MOST_STEPS`` steps, tables are drawn at random,
always the same ones. The p-value counts the observed table as one of them, so that the test holds its level
with any number of draws.

Sources: M. Friedman, Journal of the American Statistical Association 32 (1937); D. Eisinga et al., Exact
p-values for pairwise comparison of Friedman rank sums, BMC Bioinformatics 18 (2017); B. Phipson & G. K.
Smyth, Permutation p-values should never be zero, SAGMB 9 (2010).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np

from surrobench.arrays import Floats, Ints

MOST_STEPS = 4_000_000
"""How many sums of a state and an order the exact distribution may take: about a second."""

DRAWS = 19_999
"""How many random tables stand for all of them where there are too many; a p is then at least 1 / 20,000."""
MOST_DRAWN = 40_000_000
"""How many ranks may be drawn; where there are more than 200 blocks or so, fewer tables are."""

Blocks = tuple[tuple[int, ...], ...]
"""The ranks of each block, doubled so that they are integers, sorted; the blocks sorted too."""


@dataclass(frozen=True)
class Tail:
    """The upper tail of a statistic under the null.

    Attributes:
        values: shape (v,), the values that occur, ascending, as integers.
        tail: shape (v,), the probability of each value or a larger one.
        beyond: the p-value of what exceeds all of them: of random tables, the smallest that they can give.
    """

    values: Ints
    tail: Floats
    beyond: float = 0.0

    def __call__(self, observed: int) -> float:
        """Return the probability of the value or a larger one."""
        at = int(np.searchsorted(self.values, observed))
        return float(self.tail[at]) if at < len(self.tail) else self.beyond


@dataclass(frozen=True)
class RankNull:
    """What chance does to the ranks of some blocks.

    Attributes:
        squares: the tail of the sum of the squared deviations of the doubled rank sums from their mean.
        span: the tail of the largest less the smallest doubled rank sum.
        draws: how many random tables stand for all of them; None where all were counted.
    """

    squares: Tail
    span: Tail
    draws: int | None = None

    @property
    def how(self) -> str:
        """Return in words how the distribution was found."""
        return "exact" if self.draws is None else f"{self.draws:,} random tables"


def rank_null(ranks: Floats) -> RankNull:
    """Return the permutation distribution of ranks of shape (n, k), given the ties of each block."""
    doubled = np.sort(np.rint(2 * ranks).astype(np.int64), axis=1)
    return _of_blocks(tuple(sorted(map(tuple, doubled.tolist()))))


@lru_cache(maxsize=64)
def _of_blocks(blocks: Blocks) -> RankNull:
    found = _exact(blocks)
    if found is None:
        sums = _drawn(blocks)
        squares, span = (_drawn_tail(values) for values in _statistics(sums, blocks))
        return RankNull(squares, span, len(sums))
    states, chance = found
    squares, span = (_tail(values, chance) for values in _statistics(states, blocks))
    return RankNull(squares, span)


def _statistics(sums: Ints, blocks: Blocks) -> tuple[Ints, Ints]:
    """Return both statistics of the rank sums of many tables, shape (t, k)."""
    mean = len(blocks) * (len(blocks[0]) + 1)
    return np.square(sums - mean).sum(axis=1), sums.max(axis=1) - sums.min(axis=1)


def _exact(blocks: Blocks) -> tuple[Ints, Floats] | None:
    """Return the sorted rank sums that occur, shape (t, k), and their probabilities; None if too many."""
    k = len(blocks[0])
    orders: dict[tuple[int, ...], Ints] = {}
    steps = 0
    # The block with the most orders comes first: its order names the methods.
    counted = sorted(Counter(blocks).items(), key=lambda one: _orders(one[0]))
    of_blocks = [block for block, times in counted for _ in range(times)]
    sums: Ints = np.array([of_blocks.pop()], dtype=np.int64)
    chance: Floats = np.ones(1)
    base = 2 * k * len(blocks) + 1
    if base**k >= 2**63:
        return None
    weights = base ** np.arange(k, dtype=np.int64)
    for block in of_blocks:
        number = _orders(block)
        steps += len(sums) * number
        if steps > MOST_STEPS:
            return None
        if block not in orders:
            orders[block] = np.array(sorted(set(permutations(block))), dtype=np.int64)
        added = (sums[:, None] + orders[block]).reshape(-1, k)
        added.sort(axis=1)
        keys, first, inverse = np.unique(added @ weights, return_index=True, return_inverse=True)
        of_state = np.repeat(chance / number, number)
        chance = np.asarray(np.bincount(inverse.ravel(), of_state, minlength=len(keys)), dtype=np.float64)
        sums = added[first]
    return sums, chance


def _orders(block: tuple[int, ...]) -> int:
    """Return the number of different orders of a block's ranks."""
    alike = Counter(block).values()
    return math.factorial(len(block)) // math.prod(map(math.factorial, alike))


def _drawn(blocks: Blocks) -> Ints:
    """Return the rank sums of random tables, shape (draws, k)."""
    rng = np.random.default_rng(0)
    k = len(blocks[0])
    draws = min(DRAWS, max(1_999, MOST_DRAWN // (k * len(blocks))))
    sums = np.zeros((draws, k), dtype=np.int64)
    for block in blocks:
        sums += rng.permuted(np.tile(np.array(block), (draws, 1)), axis=1)
    return sums


def _tail(values: Ints, chance: Floats) -> Tail:
    found, inverse = np.unique(values, return_inverse=True)
    of_value = np.bincount(inverse.ravel(), chance)
    return Tail(found, np.minimum(1.0, np.cumsum(of_value[::-1])[::-1]))


def _drawn_tail(values: Ints) -> Tail:
    found, counts = np.unique(values, return_counts=True)
    reached = np.cumsum(counts[::-1])[::-1]
    return Tail(found, (reached + 1) / (len(values) + 1), 1 / (len(values) + 1))
