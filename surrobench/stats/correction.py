"""Correct p-values for a family of tests by Holm, Shaffer, Hommel, or Benjamini and Hochberg.

Holm's method holds under any dependence between the tests. Hommel's holds wherever Simes' inequality does:
for independent or positively dependent tests, which comparisons with one control are. Shaffer's method is
Holm's for all pairs of k methods, sharpened by logic: if two methods differ, at least one of them differs
from each third method. It presumes that "alike" is transitive, as it is for exchangeable methods. All three
bound the probability of a single false rejection. Benjamini and Hochberg's method bounds the expected share
of false rejections among the rejections, which is a weaker guarantee. It suits many exploratory comparisons,
but not a claim.

Sources: S. Holm, Scandinavian Journal of Statistics 6 (1979); J. P. Shaffer, Modified sequentially rejective
multiple test procedures, JASA 81 (1986); G. Hommel, A stagewise rejective multiple test
procedure, Biometrika 75 (1988); Y. Benjamini & Y. Hochberg, Journal of the Royal Statistical Society B 57
(1995); R. J. Simes, Biometrika 73 (1986); S. García & F. Herrera, JMLR 9 (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Correction = Literal["holm", "shaffer", "hommel", "bh"]
"""The method that corrects p-values."""

CORRECTIONS: tuple[Correction, ...] = get_args(Correction)

NAMES: Mapping[Correction, str] = {
    "holm": "Holm",
    "shaffer": "Shaffer",
    "hommel": "Hommel",
    "bh": "Benjamini-Hochberg",
}
"""The name of each correction in tables and notes."""


def correct(p: ArrayLike, correction: Correction, all_pairs_of: int | None = None) -> NDArray[np.float64]:
    """Return the corrected p-values, shape (m,), in the order of ``p``, shape (m,).

    Args:
        p: the p-values of a family of tests.
        correction: the method.
        all_pairs_of: the number of methods, where the family is all their pairs. Shaffer's method is about
            such a family; for other families it is Holm's.

    Raises:
        ValueError: the correction is unknown.
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"the correction must be one of {', '.join(CORRECTIONS)}, but got {correction!r}")
    if correction == "shaffer" and all_pairs_of is not None:
        return shaffer(p, all_pairs_of)
    corrections: dict[str, Callable[[ArrayLike], NDArray[np.float64]]] = {
        "holm": holm,
        "shaffer": holm,
        "hommel": hommel,
        "bh": benjamini_hochberg,
    }
    return corrections[correction](p)


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return p-values, shape (m,), corrected by Holm's step-down method (1979).

    The i-th smallest of m is multiplied by m - i + 1, and none may be below that of a smaller p-value.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected


def shaffer(p: ArrayLike, k: int) -> NDArray[np.float64]:
    """Return p-values of all pairs of k methods, shape (k (k - 1) / 2,), corrected by Shaffer's method
    (1986).

    This is the static version: the i-th smallest is multiplied by the largest number of true hypotheses that
    is possible after i - 1 are false, and none may be below that of a smaller p-value.

    Raises:
        ValueError: there is not one p-value for each pair.
    """
    p = np.asarray(p, dtype=np.float64)
    m = k * (k - 1) // 2
    if p.shape != (m,):
        raise ValueError(f"{k} methods have {m} pairs, but got shape {p.shape}")
    possible = np.array(sorted(_true_pairs(k)))
    left = possible[np.searchsorted(possible, np.arange(m, 0, -1), side="right") - 1]
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * left), 1)
    return corrected


@cache
def _true_pairs(k: int) -> frozenset[int]:
    """Return how many of the pairs of k methods can be alike: those within groups of methods."""
    if k < 2:
        return frozenset({0})
    return frozenset(
        size * (size - 1) // 2 + others for size in range(1, k + 1) for others in _true_pairs(k - size)
    )


def hommel(p: ArrayLike) -> NDArray[np.float64]:
    """Return p-values, shape (m,), corrected by Hommel's method (1988).

    A hypothesis is rejected when Simes' test rejects every set of hypotheses that contains it. Simes' p-value
    of a set grows with the p-value of each member. Of each size, only the set with the largest other members
    therefore matters.
    """
    p = np.asarray(p, dtype=np.float64)
    m = len(p)
    order = np.argsort(p, kind="stable")
    ascending = p[order]
    adjusted = ascending.copy()
    for size in range(2, m + 1):
        # The other members are the size - 1 largest. A hypothesis among them shares the set of the size
        # largest.
        largest = size * ascending[m - size + 1 :] / np.arange(2, size + 1)
        simes = np.minimum(size * ascending, largest.min())
        simes[m - size + 1 :] = simes[m - size]
        adjusted = np.maximum(adjusted, simes)
    corrected = np.empty_like(p)
    corrected[order] = adjusted
    return corrected


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Return p-values, shape (m,), corrected by Benjamini and Hochberg's step-up method (1995).

    The i-th smallest of m is multiplied by m / i, and none may exceed that of a larger p-value.
    """
    p = np.asarray(p, dtype=np.float64)
    m = len(p)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * m / np.arange(1, m + 1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return corrected
