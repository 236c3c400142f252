"""The sign-flip permutation test: is the mean difference of two methods zero?

If two methods are exchangeable on every block, the sign of each block's difference is a coin's. The test
compares the mean difference with that under all 2^n signs, or a sample of them. It needs no distribution and
no ranks, and so tests what a table of means shows, which Wilcoxon's test on ranks does not.

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
"""Up to so many blocks all signs are tried: 65,536 of them, in milliseconds."""


@dataclass(frozen=True)
class SignFlip:
    """The test of one mean difference.

    Attributes:
        mean: of the differences.
        p: two-sided; never below 1 / (flips + 1) where the signs are a sample.
        n: number of blocks.
        flips: how many assignments of signs were compared: 2^n if exact.
        exact: whether these are all.
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
        gains: shape (n,), one difference for each block, positive is favourable.
        rng: draws the signs where there are too many to try all.
        flips: how many to draw then.
        exact_up_to: the largest n for which all are tried.

    Raises:
        ValueError: not a vector, empty, or a difference is NaN; or ``rng`` is needed and missing.
    """
    gains = complete(gains, "blocks", name="gains")
    n = len(gains)
    exact = n <= exact_up_to
    if not exact and rng is None:
        raise ValueError(f"{n} blocks must be at most {exact_up_to} without rng: too many signs to try all")
    # Sizes alone decide what the flipped sums are; in an order of their own, so does rounding.
    sizes = np.sort(np.abs(gains))
    observed = abs(float(gains.sum()))
    # Sums that are equal in exact arithmetic must tie, or a p-value hangs on the order of additions.
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


def _all_sums(sizes: Floats) -> Floats:
    """Shape (2^n,): the sum under each assignment of signs."""
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums
