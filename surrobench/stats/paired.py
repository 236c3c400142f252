"""Compare pairs of methods on the same blocks: Wilcoxon's signed-rank test, corrected, and an effect size.

The pairs are either each method against one control, or all pairs. The control is fixed in the suite before
looking at the data; it is never the best method of the same data. Losses are lower-is-better; effects are
positive where the method is better.

Sources: J. Demšar, JMLR 7 (2006), section 3.1.3; S. García & F. Herrera, JMLR 9 (2008); D. S. Kerby, The
simple difference formula, Comprehensive Psychology 3 (2014); D. Mohamad et al., Improvements on Tukey's
simultaneous ranking, Journal of Multivariate Analysis (2022) (intervals of ranks).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surrobench.stats.correction import Correction, correct
from surrobench.stats.shapes import complete
from surrobench.stats.signed_rank import signed_rank


@dataclass(frozen=True)
class Comparison:
    """The comparison of one method with another.

    Attributes:
        method: the column of the method.
        against: the column of the other method; that of the control, where there is one.
        statistic: the smaller of the two rank sums.
        p: two-sided p-value, uncorrected, see ``stats.signed_rank``; exact up to n = 50.
        p_corrected: the p-value, corrected for all comparisons of the family.
        effect: the matched-pairs rank-biserial correlation, the favourable minus the unfavourable share of
            the rank sum (Kerby 2014), from -1 to 1; positive where the method is better than ``against``.
        wins, ties, losses: the numbers of blocks in which the method is better, equal, worse.
    """

    method: int
    against: int
    statistic: float
    p: float
    p_corrected: float
    effect: float
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Comparisons:
    """A family of comparisons of k methods over the same n blocks.

    Attributes:
        control: the column of the control; None for all pairs.
        n: the number of blocks.
        k: the number of methods.
        correction: the correction for the number of comparisons.
        comparisons: one comparison for each method except the control, in column order; or one for each pair,
            the earlier column against the later.
        smallest_p: the smallest corrected p that n blocks could give: that of methods that are better (or
            worse) in every block, without ties.
    """

    control: int | None
    n: int
    k: int
    correction: Correction
    comparisons: tuple[Comparison, ...]
    smallest_p: float

    @property
    def p(self) -> NDArray[np.float64]:
        """Return the corrected p of each pair, shape (k, k); 1 on the diagonal, NaN if not compared."""
        p = np.where(np.eye(self.k, dtype=bool), 1.0, np.nan)
        for found in self.comparisons:
            p[found.method, found.against] = p[found.against, found.method] = found.p_corrected
        return p


def rank_intervals(found: Comparisons, alpha: float) -> NDArray[np.int64]:
    """Return between which ranks each method lies, shape (k, 2), from a test of all pairs.

    A method that a test calls worse than m others cannot rank before place m + 1, and one that is called
    better than m others not after place k - m. All intervals hold at once with probability 1 - alpha, as far
    as the correction holds (Mohamad, van Zwet, Goeman & Solari, 2022).

    Args:
        found: the comparisons of all pairs.
        alpha: the level.
    """
    low, high = np.ones(found.k, dtype=np.int64), np.full(found.k, found.k, dtype=np.int64)
    for one in found.comparisons:
        if one.p_corrected <= alpha and one.effect != 0:
            better, worse = (one.method, one.against) if one.effect > 0 else (one.against, one.method)
            low[worse] += 1
            high[better] -= 1
    return np.stack([low, high], axis=1)


def wilcoxon(
    losses: ArrayLike,
    control: int | None = None,
    correction: Correction = "holm",
    decimals: int | None = None,
) -> Comparisons:
    """Compare each method with the control, or all pairs, over n blocks.

    Args:
        losses: shape (n, k), n blocks by k methods, lower is better.
        control: the column of the control; None for all pairs.
        correction: the correction for the number of comparisons.
        decimals: the decimals to which differences are rounded first; None for no rounding. It is meant for
            losses of known scale, because differences that are equal in exact arithmetic (0.3 - 0.2 and 0.2 -
            0.1) must tie.

    Raises:
        ValueError: ``losses`` is not a matrix, is empty, or has a NaN; ``control`` is no column; or the
            correction is unknown.
    """
    losses = complete(losses, "blocks", "methods")
    n, k = losses.shape
    if control is not None and not 0 <= control < k:
        raise ValueError(f"0 <= control < {k} must hold, but got {control}")
    if control is None:
        pairs = list(combinations(range(k), 2))
    else:
        pairs = [(method, control) for method in range(k) if method != control]
    # A gain is positive where the method is better.
    gains = [losses[:, against] - losses[:, method] for method, against in pairs]
    if decimals is not None:
        gains = [gain.round(decimals) for gain in gains]
    tests = [_signed_rank(gain) for gain in gains]
    family = k if control is None else None
    corrected = correct([p for _, p, _ in tests], correction, family)
    comparisons = tuple(
        Comparison(
            method,
            against,
            statistic,
            p,
            float(p_corrected),
            effect,
            wins=int(np.count_nonzero(gain > 0)),
            ties=int(np.count_nonzero(gain == 0)),
            losses=int(np.count_nonzero(gain < 0)),
        )
        for (method, against), gain, (statistic, p, effect), p_corrected in zip(
            pairs, gains, tests, corrected, strict=True
        )
    )
    # All comparisons may be that clear at once. Hommel and Benjamini-Hochberg do not penalise that.
    _, smallest, _ = _signed_rank(np.arange(1.0, n + 1))
    smallest_ps = correct([smallest] * len(pairs), correction, family)
    return Comparisons(control, n, k, correction, comparisons, float(smallest_ps.min(initial=1.0)))


def _signed_rank(gains: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return statistic, two-sided p and rank-biserial correlation of n gains; positive is favourable."""
    total = len(gains) * (len(gains) + 1) / 2
    p, effect = signed_rank(gains)
    # The smaller of the two rank sums; zeros count half to either side.
    return total * (1 - abs(float(effect))) / 2, float(p), float(effect)
