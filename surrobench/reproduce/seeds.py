"""Compute what a number of seeds can show: intervals, exact tests and their power.

Seeds are blocks here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from surrobench.arrays import Floats
from surrobench.seeding import stream

LEVEL = 0.05
DRAWS = 4000
"""The number of simulated studies behind a power. Its standard error is at most 0.8 per cent."""
MOST = 100
"""The largest number of seeds that is tried to find out how many are needed."""


@dataclass(frozen=True)
class Interval:
    """A mean and half the width of its 95 % interval."""

    mean: float
    half: float

    @property
    def text(self) -> str:
        """Return the mean and the half width with four decimals."""
        return f"{self.mean:.4f} ±{self.half:.4f}"


def t_interval(values: ArrayLike) -> Interval:
    """Return Student's interval of a mean over n >= 2 values."""
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return Interval(float(values.mean()), float(half))


def welch_interval(mean: float, std: float, other: float, other_std: float, n: int) -> Interval:
    """Return Welch's interval of the difference of two independent means over n values each.

    The standard deviations have ddof = 1.
    """
    a, b = std**2 / n, other_std**2 / n
    freedom = (a + b) ** 2 / ((a**2 + b**2) / (n - 1))
    return Interval(mean - other, float(stats.t.ppf(0.975, freedom) * np.sqrt(a + b)))


def smallest_p(n: int, *, two_sided: bool = True) -> float:
    """Return the smallest p of the exact signed-rank test of n pairs.

    It is reached if all differences are on one side.
    """
    alternative = "two-sided" if two_sided else "less"
    return float(stats.wilcoxon(-np.arange(1.0, n + 1), alternative=alternative, method="exact").pvalue)


def exact_p(differences: ArrayLike) -> float:
    """Return the two-sided p of the exact signed-rank test of untied differences."""
    return float(stats.wilcoxon(differences, method="exact").pvalue)


@cache
def critical(n: int) -> int:
    """Return the largest rank sum at which the exact two-sided signed-rank test rejects at 5 %.

    Return -1 if there is none.
    """
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):
        ways[rank:] = ways[rank:] + ways[:-rank]
    # The two-sided p of a rank sum is twice the share of signs that give no more.
    return int(np.count_nonzero(2 * np.cumsum(ways) / 2.0**n <= LEVEL)) - 1


def power(difference: float, std: float, n: int) -> float:
    """Return the chance that n pairs show a difference in the exact signed-rank test, two-sided, at 5 %.

    The chance is simulated with normal differences of this mean and this standard deviation. The draws are
    always the same.
    """
    if critical(n) < 0:
        return 0.0
    drawn = _draws()[:, :n] * std + difference
    ranks = np.argsort(np.argsort(np.abs(drawn), axis=1), axis=1) + 1
    positive = (ranks * (drawn > 0)).sum(axis=1)
    smaller = np.minimum(positive, n * (n + 1) // 2 - positive)
    return float((smaller <= critical(n)).mean())


def seeds_needed(difference: float, std: float, wanted: float = 0.8) -> int | None:
    """Return the fewest pairs that show a difference with this power, or None if ``MOST`` do not."""
    low, high = 5, MOST  # five pairs can show nothing
    if power(difference, std, high) < wanted:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, std, middle) >= wanted else (middle, high)
    return high


@cache
def _draws() -> Floats:
    return stream("power").standard_normal((DRAWS, MOST))
