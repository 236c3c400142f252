"""Each method against one control: Wilcoxon's signed-rank test with Holm's correction, and an effect size.

The control is fixed before looking (in the suite), never the best of the same data. Losses are
lower-is-better; effects are positive where the method is better than the control.

Sources: J. Demšar, JMLR 7 (2006), section 3.1.3; S. Holm, A simple sequentially rejective multiple test
procedure, Scandinavian Journal of Statistics 6 (1979); S. García & F. Herrera, JMLR 9 (2008);
D. S. Kerby, The simple difference formula, Comprehensive Psychology 3 (2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

ZERO_METHOD = "zsplit"
"""Blocks where method and control tie are ranked, and their ranks are split evenly (Demšar 2006).

Dropping them, scipy's default, would throw away evidence for equality and let a method that ties almost
everywhere look decided. With zeros kept, every comparison of a table also has the same n.
"""


@dataclass(frozen=True)
class Comparison:
    """One method against the control.

    Attributes:
        method: column of the method.
        statistic: the smaller of the two rank sums.
        p: two-sided, uncorrected. Exact without ties up to n = 50 and with ties up to n = 13, else the
            normal approximation with ties corrected (``scipy.stats.wilcoxon``, method "auto").
        p_holm: corrected for all comparisons with the control.
        effect: matched-pairs rank-biserial correlation, the favourable minus the unfavourable share of the
            rank sum (Kerby 2014), from -1 to 1; positive: better than the control.
        wins, ties, losses: number of blocks in which the method is better, equal, worse.
    """

    method: int
    statistic: float
    p: float
    p_holm: float
    effect: float
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class ManyToOne:
    """All methods against one control, over the same n blocks.

    Attributes:
        control: column of the control.
        n: number of blocks.
        comparisons: one for each other method, in column order.
        smallest_p: the smallest p, corrected for the number of comparisons, that n blocks could give: that
            of a method better (or worse) than the control in every block, without ties.
    """

    control: int
    n: int
    comparisons: tuple[Comparison, ...]
    smallest_p: float


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down correction (1979): shape (m,) of p-values to shape (m,) of corrected ones.

    The i-th smallest of m is multiplied by m - i + 1, and none may be below a smaller one's.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected


def wilcoxon_holm(losses: ArrayLike, control: int, decimals: int | None = None) -> ManyToOne:
    """Compare each method with the control over n blocks.

    Args:
        losses: shape (n, k), n blocks by k methods, lower is better.
        control: column of the control.
        decimals: round the differences first; None: do not. Of losses of known scale, since differences
            that are equal in exact arithmetic (0.3 - 0.2 and 0.2 - 0.1) must tie.

    Raises:
        ValueError: not a matrix, empty, or a loss is NaN; or ``control`` is no column.
    """
    losses = np.asarray(losses, dtype=np.float64)
    if losses.ndim != 2 or losses.size == 0 or np.isnan(losses).any():
        raise ValueError(
            f"losses must be a non-empty (blocks, methods) matrix without NaN, but got shape {losses.shape}"
        )
    n, k = losses.shape
    if not 0 <= control < k:
        raise ValueError(f"0 <= control < {k} must hold, but got {control}")
    # Positive: the method is better.
    gains = losses[:, [control]] - losses
    if decimals is not None:
        gains = gains.round(decimals)
    others = [method for method in range(k) if method != control]
    tests = [_signed_rank(gains[:, method]) for method in others]
    corrected = holm([p for _, p, _ in tests])
    comparisons = tuple(
        Comparison(
            method,
            statistic,
            p,
            float(p_holm),
            effect,
            wins=int(np.count_nonzero(gains[:, method] > 0)),
            ties=int(np.count_nonzero(gains[:, method] == 0)),
            losses=int(np.count_nonzero(gains[:, method] < 0)),
        )
        for method, (statistic, p, effect), p_holm in zip(others, tests, corrected, strict=True)
    )
    _, smallest, _ = _signed_rank(np.arange(1.0, n + 1))
    return ManyToOne(control, n, comparisons, min(1.0, smallest * len(others)))


def _signed_rank(gains: NDArray[np.float64]) -> tuple[float, float, float]:
    """Statistic, two-sided p and rank-biserial correlation of n differences, positive is favourable."""
    n = len(gains)
    ranks = stats.rankdata(np.abs(gains))
    # Zeros count half to either side: nothing in the difference, their share in the total.
    effect = float((ranks * np.sign(gains)).sum() / (n * (n + 1) / 2))
    if not gains.any():
        return n * (n + 1) / 4, 1.0, 0.0  # scipy divides 0 by 0 here
    result = stats.wilcoxon(gains, zero_method=ZERO_METHOD)
    return float(result.statistic), float(result.pvalue), effect
