"""Wilcoxon's signed-rank test of many samples at once, and the estimate and interval that belong to it.

Zeros are ranked, and their ranks split evenly, as in ``stats.paired``; p-values are those of
``scipy.stats.wilcoxon`` (method "auto"): exact without ties up to n = 50 and with ties up to n = 13, else the
normal approximation with ties corrected.

Sources: F. Wilcoxon, Biometrics Bulletin 1 (1945); J. L. Hodges & E. L. Lehmann, Annals of Mathematical
Statistics 34 (1963); M. Hollander & D. A. Wolfe, Nonparametric Statistical Methods (1999), chapter 3.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from surrobench.arrays import Floats

EXACT = 50
"""Largest n with an exact p-value where there are neither ties nor zeros."""
EXACT_WITH_TIES = 13
"""Largest n with an exact one where there are."""


def signed_rank(values: ArrayLike) -> tuple[Floats, Floats]:
    """Two-sided p-values and rank-biserial correlations: shape (..., n), n differences each, to shape (...).

    Raises:
        ValueError: no differences, or NaN among them.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim < 1 or values.size == 0 or np.isnan(values).any():
        raise ValueError(f"values must be differences without NaN, but got shape {values.shape}")
    n = values.shape[-1]
    rows = values.reshape(-1, n)
    ranks = stats.rankdata(np.abs(rows), axis=1)
    favourable = (ranks * ((rows > 0) + 0.5 * (rows == 0))).sum(axis=1)
    squares = np.square(ranks).sum(axis=1)
    # Ties, and only they, make the sum of squares smaller. All terms are multiples of 1/4, hence exact.
    plain = (squares == n * (n + 1) * (2 * n + 1) / 6) & (rows != 0).all(axis=1)
    p = 2 * special.ndtr(-np.abs(favourable - n * (n + 1) / 4) / np.sqrt(squares / 4))
    if n <= EXACT:
        below = np.cumsum(null_distribution(n))
        least = np.minimum(favourable[plain], n * (n + 1) / 2 - favourable[plain])
        p[plain] = np.minimum(1, 2 * below[least.astype(np.intp)])
    if n <= EXACT_WITH_TIES and not plain.all():
        p[~plain] = _exact_with_ties(rows[~plain], ranks[~plain])
    effect = favourable / (n * (n + 1) / 4) - 1
    return p.reshape(values.shape[:-1]), effect.reshape(values.shape[:-1])


def _exact_with_ties(rows: Floats, ranks: Floats) -> Floats:
    """Two-sided p over all signs of the differences, given their sizes. Zeros have no sign."""
    doubled = np.rint(2 * ranks).astype(np.intp) * (rows != 0)
    n = rows.shape[1]
    at = np.arange(n * (n + 1) + 1)
    chance = np.zeros((len(rows), len(at)))
    chance[:, 0] = 1
    for rank in doubled.T:
        before = at - rank[:, None]
        moved = np.take_along_axis(chance, np.maximum(before, 0), axis=1)
        chance = (chance + np.where(before >= 0, moved, 0)) / 2
    found = (doubled * (rows > 0)).sum(axis=1)
    least = np.minimum(found, doubled.sum(axis=1) - found)
    tail = np.take_along_axis(chance.cumsum(axis=1), least[:, None], axis=1)[:, 0]
    return np.asarray(np.minimum(1, 2 * tail))


@cache
def null_distribution(n: int) -> Floats:
    """Shape (n (n + 1) / 2 + 1,): the probability of each rank sum where neither side is better, no ties."""
    chance = np.ones(1)
    for rank in range(1, n + 1):
        longer = np.zeros(len(chance) + rank)
        longer[: len(chance)] += chance / 2
        longer[rank:] += chance / 2
        chance = longer
    return chance


@cache
def lower_rank(n: int, alpha: float) -> int:
    """Which of the n (n + 1) / 2 ordered Walsh averages is the lower end of an interval for the pseudomedian.

    The one-sided test at level ``alpha`` rejects exactly what lies below it; 0 where it can reject nothing.
    The upper end is as many from the other end.
    """
    if n <= EXACT:
        return int(np.count_nonzero(np.cumsum(null_distribution(n)) <= alpha))
    middle, deviation = n * (n + 1) / 4, np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return max(0, int(np.floor(middle + special.ndtri(alpha) * deviation)) + 1)


def walsh_averages(values: ArrayLike) -> Floats:
    """The means of all pairs, of each with itself too: shape (..., n) to shape (..., n (n + 1) / 2)."""
    values = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(values.shape[-1])
    return np.asarray((values[..., first] + values[..., second]) / 2)


def walsh_rank(values: ArrayLike, rank: int) -> Floats:
    """The ``rank``-th smallest mean of a pair, of each with itself too: shape (..., n) to shape (...).

    It is that of ``walsh_averages`` in order, but means whose place is known to be another are left out: of
    sorted values, the mean of i and j is at least that of any two that stand no later.

    Args:
        values: without NaN.
        rank: from 1 to n (n + 1) / 2.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)
    first, second, place = _places(ordered.shape[-1], rank)
    means = np.take(ordered, first, axis=-1)
    means += np.take(ordered, second, axis=-1)
    return np.asarray(np.partition(means, place, axis=-1)[..., place] / 2)


@cache
def _places(n: int, rank: int) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Pairs of n sorted values whose mean may be the rank-th smallest, and its place among these, from 0."""
    total = n * (n + 1) // 2
    if not 1 <= rank <= total:
        raise ValueError(f"1 <= rank <= {total} must hold, but got {rank}")
    i, j = np.triu_indices(n)
    least = (i + 1) * (j + 1) - i * (i + 1) // 2  # pairs that stand no later, itself among them
    most = total + 1 - ((n - j) * (n - i) - (n - 1 - j) * (n - j) // 2)
    open_ = (least <= rank) & (most >= rank)
    return i[open_], j[open_], rank - 1 - int(np.count_nonzero(most < rank))


def pseudomedian(values: ArrayLike) -> Floats:
    """Hodges and Lehmann's estimate, the median of the Walsh averages: shape (..., n) to shape (...)."""
    return np.asarray(np.median(walsh_averages(values), axis=-1))
