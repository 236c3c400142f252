"""Judge whether a claim about n differences holds: one-sided tests of their centre, and three verdicts.

A claim says that the centre of the differences lies within an open region. Two one-sided questions are asked
of each bound of the region, at level ``alpha``, corrected by Holm over all claims of the suite:

*holds*: the centre lies within the region. With one bound, the one-sided test that the centre lies beyond it
rejects. With two bounds, both one-sided tests do (TOST: p is the larger of the two).

*does not hold*: the centre lies outside the region. With one bound, the opposite one-sided test rejects. With
two bounds, one of the two opposite tests does (p is twice the smaller).

*not resolved*: neither is shown. There are too few instances, there is too much variation, or the centre is
too close to a bound.

The probability that any claim of a suite is wrongly said to hold is therefore at most ``alpha``. Separately,
the probability that any claim is wrongly said not to hold is at most ``alpha``, too. That two methods are
equal can never be shown without a margin: of two equal methods, "better" stays unresolved.

*wilcoxon* is the signed-rank test. The centre is the pseudomedian (Hodges and Lehmann: the median of all
means of two differences). It is the median and the mean where differences are symmetric about it, as the test
assumes.

*mean* is the sign-flip permutation test of the mean (``stats.permutation``), which is what tables show. Its
statistic is the mean; studentised, it would order the assignments of signs in the same way. Its level is
exact where differences are symmetric, and close with many differences that are not.

*sign* is the sign test of the median, which assumes nothing. Differences that are exactly at a bound count
for neither side.

Sources: F. Wilcoxon, Biometrics Bulletin 1 (1945); J. L. Hodges & E. L. Lehmann, Annals of Mathematical
Statistics 34 (1963); D. J. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987) (TOST); M.
Hollander & D. A. Wolfe, Nonparametric Statistical Methods (1999), sections 3.2, 3.3, 3.4, 3.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from surrobench.arrays import Floats
from surrobench.protocol.claim_test import ClaimTest
from surrobench.stats.correction import holm
from surrobench.stats.looks import e_value
from surrobench.stats.permutation import flipped_above
from surrobench.stats.signed_rank import lower_rank, pseudomedian, signed_rank, walsh_averages

Verdict = Literal["holds", "does not hold", "not resolved"]


@dataclass(frozen=True)
class Evidence:
    """What n differences say about a claim.

    Attributes:
        n: the number of differences, one for each instance.
        estimate: the estimate of their centre.
        low, high: the interval of the centre, the dual of the one-sided tests; infinite where n is too small
            for one.
        level: the level of the interval, 1 - 2 alpha. It is not corrected for the number of claims.
        p_holds: one-sided p-value, uncorrected: how well the data agree with a centre outside the region.
        p_fails: one-sided p-value, uncorrected: how well the data agree with a centre within the region.
        smallest_p: the smallest p-value that n differences could give for either.
        mean: the mean of the differences, which tables show.
        e_holds, e_fails: e-values against the same hypotheses as the p-values, for looks without a limit.
    """

    n: int
    estimate: float
    low: float
    high: float
    level: float
    p_holds: float
    p_fails: float
    smallest_p: float
    mean: float
    e_holds: float
    e_fails: float


def evidence(
    differences: ArrayLike,
    region: tuple[float, float],
    *,
    test: ClaimTest = "wilcoxon",
    alpha: float = 0.05,
    decimals: int | None = None,
) -> Evidence:
    """Test whether the centre of the differences lies in a region.

    Args:
        differences: shape (n,), one for each instance.
        region: where the centre is claimed to lie; one bound may be infinite.
        test: the test, see the module.
        alpha: the one-sided level that the interval corresponds to.
        decimals: the decimals to which differences to a bound are rounded first; None for no rounding. It is
            meant for values of known scale, because values that are equal in exact arithmetic must tie.

    Raises:
        ValueError: ``differences`` is not a vector, is empty, or has a NaN; or the region has no bound or is
            empty.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if differences.ndim != 1 or differences.size == 0 or np.isnan(differences).any():
        raise ValueError(f"differences must be a vector without NaN, but got shape {differences.shape}")
    low, high = region
    if not low < high or (np.isinf(low) and np.isinf(high)):
        raise ValueError(f"a region needs a bound, and low < high, but got {region}")
    above = {"wilcoxon": _wilcoxon_above, "sign": _sign_above, "mean": flipped_above}[test]
    within, outside, inner, outer = [], [], [], []
    for bound, side in ((low, 1), (high, -1)):
        if np.isinf(bound):
            continue
        beyond = side * (differences - bound)
        if decimals is not None:
            beyond = beyond.round(decimals)
        within.append(above(beyond))
        outside.append(above(-beyond))
        sizes = np.sign(beyond) if test == "sign" else beyond
        inner.append(e_value(sizes))
        outer.append(e_value(-sizes))
    n = len(differences)
    estimate, lower, upper = _interval(differences, test, alpha)
    return Evidence(
        n=n,
        estimate=estimate,
        low=lower,
        high=upper,
        level=1 - 2 * alpha,
        p_holds=max(within),
        p_fails=min(1.0, len(outside) * min(outside)),
        smallest_p=0.5**n,
        mean=float(differences.mean()),
        # Both bounds must be shown; that one of two is passed has the mean of both e-values.
        e_holds=min(inner),
        e_fails=float(np.mean(outer)),
    )


def verdicts(
    found: Sequence[Evidence], alpha: float = 0.05, *, of: int | None = None
) -> list[tuple[Verdict, float, float]]:
    """Return the verdict on each claim, with both p-values corrected by Holm over all claims.

    Args:
        found: the evidence for each claim of a suite.
        alpha: the family-wise level, for either kind of mistake.
        of: the number of claims, where some have no evidence; these count as p = 1.
    """
    others = [1.0] * ((of or len(found)) - len(found))
    holding, failing = (
        holm([*of_claims, *others])
        for of_claims in ([one.p_holds for one in found], [one.p_fails for one in found])
    )
    return [
        (_verdict(float(p), float(q), alpha), float(p), float(q))
        for p, q in zip(holding[: len(found)], failing[: len(found)], strict=True)
    ]


def _verdict(p_holds: float, p_fails: float, alpha: float) -> Verdict:
    if min(p_holds, p_fails) > alpha:
        return "not resolved"
    return "holds" if p_holds <= p_fails else "does not hold"


def _wilcoxon_above(values: Floats) -> float:
    return float(signed_rank(values, "greater")[0])


def _sign_above(values: Floats) -> float:
    return float(stats.binom.sf(np.count_nonzero(values > 0) - 1, len(values), 0.5))


def _interval(differences: Floats, test: ClaimTest, alpha: float) -> tuple[float, float, float]:
    """Return the centre, and where the one-sided tests at level ``alpha`` begin to reject."""
    n = len(differences)
    if test == "mean":
        return float(differences.mean()), *_interval_of_mean(differences, alpha)
    if test == "wilcoxon":
        estimate, ordered = float(pseudomedian(differences)), np.sort(walsh_averages(differences))
        rank = lower_rank(n, alpha)
    else:
        estimate, ordered = float(np.median(differences)), np.sort(differences)
        rank = int(stats.binom.ppf(alpha, n, 0.5))
        rank += bool(stats.binom.cdf(rank, n, 0.5) <= alpha)
    if rank < 1:
        return estimate, float("-inf"), float("inf")
    return estimate, float(ordered[rank - 1]), float(ordered[-rank])


def _interval_of_mean(differences: Floats, alpha: float) -> tuple[float, float]:
    """Return where the one-sided sign-flip tests at level ``alpha`` begin to reject, by bisection."""
    if 0.5 ** len(differences) > alpha:
        return float("-inf"), float("inf")
    ends = []
    for side in (1, -1):
        values = side * differences
        # Below the least value all differences are positive: rejected. At the largest, none is.
        low, high = float(values.min()) - 1e-9, float(values.max())
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if flipped_above(values - middle) <= alpha else (low, middle)
        ends.append(side * low)
    return ends[0], ends[1]
