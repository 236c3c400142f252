"""Test by sign flips, a permutation test, whether the mean difference of two methods is zero.

If two methods are exchangeable on every block, the sign of each block's difference is random, with equal
probabilities. The test compares the mean difference with the means under all 2^n signs, or under a sample of
them. It needs no distribution and no ranks. It therefore tests what a table of means shows, which Wilcoxon's
test on ranks does not.

Differences are positive where the method is better. Sources: R. A. Fisher, The Design of Experiments (1935),
section 21; B. Phipson & G. K. Smyth, Permutation p-values should never be zero, SAGMB 9 (2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from surrobench.arrays import Floats
from surrobench.stats.shapes import complete

EXACT = 16
"""The number of blocks up to which all signs are tried: 65,536 assignments, in milliseconds."""


@dataclass(frozen=True)
class SignFlip:
    """The result of the test of one mean difference.

    Attributes:
        mean: the mean of the differences.
        p: two-sided p-value; never below 1 / (flips + 1) where the signs are a sample.
        n: the number of blocks.
        flips: the number of assignments of signs that were compared: 2^n if exact.
        exact: whether all assignments were compared.
        smallest_p: the smallest p that n blocks could give.
    """

    mean: float
    p: float
    n: int
    flips: int
    exact: bool
    smallest_p: float


def sign_flip(
    gains: ArrayLike, rng: np.random.Generator | None = None, flips: int = 100_000, exact_up_to: int = EXACT
) -> SignFlip:
    """Test that the mean of the differences is zero, by flipping their signs.

    Args:
        gains: shape (n,), one difference for each block; positive is favourable.
        rng: the generator that draws the signs where there are too many to try all.
        flips: the number of assignments to draw in that case.
        exact_up_to: the largest n for which all assignments are tried.

    Raises:
        ValueError: ``gains`` is not a vector, is empty, or has a NaN; or ``rng`` is needed and missing.
    """
    gains = complete(gains, "blocks", name="gains")
    n = len(gains)
    exact = n <= exact_up_to
    if not exact and rng is None:
        raise ValueError(f"{n} blocks must be at most {exact_up_to} without rng: too many signs to try all")
    # The flipped sums depend on sizes alone. With the sizes sorted, rounding does too.
    sizes = np.sort(np.abs(gains))
    observed = abs(float(gains.sum()))
    # Sums that are equal in exact arithmetic must tie, or a p-value depends on the order of additions.
    reach = observed - 1e-12 * float(sizes.sum())
    if rng is None or exact:
        flips = 2**n
        p = float(np.mean(np.abs(_all_sums(sizes)) >= reach))
        return SignFlip(float(gains.mean()), p, n, flips, True, min(1.0, 2.0 ** (1 - n)))
    extreme = 0
    for start in range(0, flips, 10_000):
        signs = rng.integers(0, 2, size=(min(10_000, flips - start), n), dtype=np.int8) * 2.0 - 1
        extreme += int(np.count_nonzero(np.abs(signs @ sizes) >= reach))
    # The observed signs are one of the assignments (Phipson & Smyth 2010).
    p = (extreme + 1) / (flips + 1)
    return SignFlip(float(gains.mean()), p, n, flips, False, 1 / (flips + 1))


def flipped_above(values: Floats) -> float:
    """Return the one-sided p against "the mean is 0 or less": the share of signs that give a sum as large.

    With more than ``EXACT`` values the signs are a sample, always the same one.
    """
    sizes = np.sort(np.abs(values))
    reach = float(values.sum()) - 1e-12 * float(sizes.sum())
    if len(values) <= EXACT:
        return float(np.mean(_all_sums(sizes) >= reach))
    signs = np.random.default_rng(0).integers(0, 2, size=(20_000, len(values)), dtype=np.int8) * 2.0 - 1
    return float((np.count_nonzero(signs @ sizes >= reach) + 1) / (len(signs) + 1))


def _all_sums(sizes: Floats) -> Floats:
    """Return the sum under each assignment of signs, shape (2^n,)."""
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums
