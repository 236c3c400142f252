"""Whether a claim about n differences holds: one-sided tests of where their centre lies, and three verdicts.

A claim says that the centre of the differences lies within an open region. Two one-sided questions are asked
of each bound of the region, at level ``alpha``, corrected by Holm over all claims of the suite:

*holds*: the centre lies within the region. With one bound, the one-sided test that it lies beyond it rejects;
with two, both one-sided tests do (TOST: p is the larger of the two).
*does not hold*: the centre lies outside the region. With one bound, the opposite one-sided test rejects; with
two, one of the two opposite tests does (p is twice the smaller).
*not resolved*: neither; too few instances, too much variation, or a centre too close to a bound.

So the probability that any claim of a suite is wrongly said to hold is at most ``alpha``, and so is, apart
from it, the probability that any is wrongly said not to hold. That two methods are equal can never be shown
without a margin: of two equal ones, "better" stays unresolved.

*wilcoxon*: the signed-rank test; the centre is the pseudomedian (Hodges and Lehmann: the median of all means
of two differences), which is the median and the mean where differences are symmetric about it, as the test
assumes. *sign*: the sign test of the median, which assumes nothing; differences that are exactly at a bound
speak for neither side.

Sources: F. Wilcoxon, Biometrics Bulletin 1 (1945); J. L. Hodges & E. L. Lehmann, Annals of Mathematical
Statistics 34 (1963); D. J. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987) (TOST);
M. Hollander & D. A. Wolfe, Nonparametric Statistical Methods (1999), sections 3.2, 3.3, 3.4, 3.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from surrobench.arrays import Floats
from surrobench.stats.paired import ZERO_METHOD, holm
from surrobench.stats.signed_rank import lower_rank, pseudomedian, walsh_averages

SignTest = Literal["wilcoxon", "sign"]
Verdict = Literal["holds", "does not hold", "not resolved"]


@dataclass(frozen=True)
class Evidence:
    """What n differences say about a claim.

    Attributes:
        n: number of differences: instances.
        estimate: of their centre.
        low, high: its interval, the dual of the one-sided tests; infinite where n is too small for one.
        level: of the interval: 1 - 2 alpha, not corrected for the number of claims.
        p_holds: one-sided, uncorrected: how well the data agree with a centre outside the region.
        p_fails: one-sided, uncorrected: how well they agree with a centre within it.
        smallest_p: the smallest that n differences could give for either.
    """

    n: int
    estimate: float
    low: float
    high: float
    level: float
    p_holds: float
    p_fails: float
    smallest_p: float


def evidence(
    differences: ArrayLike,
    region: tuple[float, float],
    *,
    test: SignTest = "wilcoxon",
    alpha: float = 0.05,
    decimals: int | None = None,
) -> Evidence:
    """Test whether the centre of the differences lies in a region.

    Args:
        differences: shape (n,), one for each instance.
        region: where the centre is claimed to lie; one bound may be infinite.
        test: see the module.
        alpha: one-sided level that the interval corresponds to.
        decimals: round differences to a bound first; None: do not. Of values of known scale, since what is
            equal in exact arithmetic must tie.

    Raises:
        ValueError: not a vector, empty, or NaN among them; or the region has no bound or is empty.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if differences.ndim != 1 or differences.size == 0 or np.isnan(differences).any():
        raise ValueError(f"differences must be a vector without NaN, but got shape {differences.shape}")
    low, high = region
    if not low < high or (np.isinf(low) and np.isinf(high)):
        raise ValueError(f"a region needs a bound, and low < high, but got {region}")
    above = {"wilcoxon": _wilcoxon_above, "sign": _sign_above}[test]
    within, outside = [], []
    for bound, side in ((low, 1), (high, -1)):
        if np.isinf(bound):
            continue
        beyond = side * (differences - bound)
        if decimals is not None:
            beyond = beyond.round(decimals)
        within.append(above(beyond))
        outside.append(above(-beyond))
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
    )


def verdicts(
    found: Sequence[Evidence], alpha: float = 0.05, *, of: int | None = None
) -> list[tuple[Verdict, float, float]]:
    """The verdict on each claim, with both p-values corrected by Holm over all of them.

    Args:
        found: the evidence for each claim of a suite.
        alpha: family-wise level, for either kind of mistake.
        of: how many claims there are, where some have no evidence; these count as p = 1.
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
    if not values.any():
        return 1.0  # scipy divides 0 by 0 here
    return float(stats.wilcoxon(values, zero_method=ZERO_METHOD, alternative="greater").pvalue)


def _sign_above(values: Floats) -> float:
    return float(stats.binom.sf(np.count_nonzero(values > 0) - 1, len(values), 0.5))


def _interval(differences: Floats, test: SignTest, alpha: float) -> tuple[float, float, float]:
    """The centre, and where the one-sided tests at level ``alpha`` begin to reject."""
    n = len(differences)
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
