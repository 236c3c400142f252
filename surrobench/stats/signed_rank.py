"""Compute Wilcoxon's signed-rank test of many samples at once, with its estimate and interval.

Zeros are ranked, and their ranks are split evenly (Demšar 2006). Dropping them would throw away evidence for
equality, and let a method that ties almost everywhere look decided.

The p-values are exact up to n = 50, with or without ties: those of all signs of the differences, given their
sizes. Beyond, they come from the normal approximation with ties corrected, as in ``scipy.stats.wilcoxon``.
(scipy's own exact p ends at n = 13 where there are ties; from there on, its approximation may say 0.042 where
the exact p is 0.070.)

Sources: F. Wilcoxon, Biometrics Bulletin 1 (1945); J. L. Hodges & E. L. Lehmann, Annals of Mathematical
Statistics 34 (1963); M. Hollander & D. A. Wolfe, Nonparametric Statistical Methods (1999), chapter 3.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from surrobench.arrays import Floats

EXACT = 50
"""The largest n with an exact p-value."""
CHUNK = 4_000_000
"""How many probabilities are held at a time, 32 MB."""

Alternative = Literal["two-sided", "greater"]


def signed_rank(
    values: ArrayLike, alternative: Alternative = "two-sided", *, exact_with_ties: int = EXACT
) -> tuple[Floats, Floats]:
    """Return p-values and rank-biserial correlations, each of shape (...), of differences (..., n).

    Args:
        values: the differences; positive is favourable.
        alternative: "greater" for the probability of a rank sum of the positive differences as large.
        exact_with_ties: the largest n with an exact p-value where there are ties or zeros. A simulation of
            thousands of studies, whose resamples all have ties, may do with less.

    Raises:
        ValueError: there are no differences, or some are NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim < 1 or values.size == 0 or np.isnan(values).any():
        raise ValueError(f"values must be differences without NaN, but got shape {values.shape}")
    n = values.shape[-1]
    rows = values.reshape(-1, n)
    ranks = stats.rankdata(np.abs(rows), axis=1)
    favourable = (ranks * ((rows > 0) + 0.5 * (rows == 0))).sum(axis=1)
    squares = np.square(ranks).sum(axis=1)
    # Ties, and nothing else, make the sum of squares smaller. All terms are multiples of 1/4, hence exact.
    plain = (squares == n * (n + 1) * (2 * n + 1) / 6) & (rows != 0).all(axis=1)
    middle, two_sided = n * (n + 1) / 4, alternative == "two-sided"
    distance = (favourable - middle) / np.sqrt(squares / 4)
    p = 2 * special.ndtr(-np.abs(distance)) if two_sided else special.ndtr(-distance)
    if n <= EXACT and plain.any():
        below = np.cumsum(null_distribution(n))
        # The distribution is symmetric: a sum as large as this is as probable as the opposite sum as small.
        least = 2 * middle - favourable[plain]
        if two_sided:
            least = np.minimum(favourable[plain], least)
        p[plain] = np.minimum(1, (1 + two_sided) * below[least.astype(np.intp)])
    if n <= min(EXACT, exact_with_ties) and not plain.all():
        tied = np.flatnonzero(~plain)
        step = max(1, CHUNK // (n * (n + 1) + 1))
        for start in range(0, len(tied), step):
            some = tied[start : start + step]
            p[some] = _exact_with_ties(rows[some], ranks[some], two_sided=two_sided)
    effect = (favourable - middle) / middle
    return p.reshape(values.shape[:-1]), effect.reshape(values.shape[:-1])


def _exact_with_ties(rows: Floats, ranks: Floats, *, two_sided: bool) -> Floats:
    """Return the p over all signs of the differences, given their sizes. Zeros have no sign."""
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
    least = doubled.sum(axis=1) - found
    if two_sided:
        least = np.minimum(found, least)
    tail = np.take_along_axis(chance.cumsum(axis=1), least[:, None], axis=1)[:, 0]
    return np.asarray(np.minimum(1, (1 + two_sided) * tail))


@cache
def null_distribution(n: int) -> Floats:
    """Return the probability of each rank sum under the null without ties, shape (n (n + 1) / 2 + 1,)."""
    chance = np.ones(1)
    for rank in range(1, n + 1):
        longer = np.zeros(len(chance) + rank)
        longer[: len(chance)] += chance / 2
        longer[rank:] += chance / 2
        chance = longer
    return chance


@cache
def lower_rank(n: int, alpha: float) -> int:
    """Return which ordered Walsh average is the lower end of an interval for the pseudomedian.

    There are n (n + 1) / 2 averages. The one-sided test at level ``alpha`` rejects exactly the values below
    the one that is returned; the result is 0 where it can reject nothing. The upper end is as far from the
    other end.
    """
    if n <= EXACT:
        return int(np.count_nonzero(np.cumsum(null_distribution(n)) <= alpha))
    middle, deviation = n * (n + 1) / 4, np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return max(0, int(np.floor(middle + special.ndtri(alpha) * deviation)) + 1)


def walsh_averages(values: ArrayLike) -> Floats:
    """Return the means of all pairs, of each value with itself too, from (..., n) to (..., n (n + 1) / 2)."""
    values = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(values.shape[-1])
    return np.asarray((values[..., first] + values[..., second]) / 2)


def walsh_rank(values: ArrayLike, rank: int) -> Floats:
    """Return the ``rank``-th smallest mean of a pair, of each value with itself too, from (..., n) to (...).

    The result is the ``rank``-th of the sorted ``walsh_averages``, but means whose place is known to differ
    are left out. Of sorted values, the mean of the values i and j is at least that of any two that stand no
    later.

    Args:
        values: shape (..., n), without NaN.
        rank: the rank of the mean, from 1 to n (n + 1) / 2.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)
    first, second, place = _places(ordered.shape[-1], rank)
    means = np.take(ordered, first, axis=-1)
    means += np.take(ordered, second, axis=-1)
    return np.asarray(np.partition(means, place, axis=-1)[..., place] / 2)


@cache
def _places(n: int, rank: int) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Return the pairs of n sorted values whose mean may be the rank-th smallest, and its place, from 0. The
    place is that among the means of these pairs.
    """
    total = n * (n + 1) // 2
    if not 1 <= rank <= total:
        raise ValueError(f"1 <= rank <= {total} must hold, but got {rank}")
    i, j = np.triu_indices(n)
    # The least place of a pair is the number of pairs that stand no later, the pair itself included.
    least = (i + 1) * (j + 1) - i * (i + 1) // 2
    most = total + 1 - ((n - j) * (n - i) - (n - 1 - j) * (n - j) // 2)
    open_ = (least <= rank) & (most >= rank)
    return i[open_], j[open_], rank - 1 - int(np.count_nonzero(most < rank))


def pseudomedian(values: ArrayLike) -> Floats:
    """Return Hodges and Lehmann's estimate, the median of the Walsh averages, from (..., n) to (...)."""
    return np.asarray(np.median(walsh_averages(values), axis=-1))
