"""Correct p-values for a family of tests by Holm, Hommel, or Benjamini and Hochberg.

Holm's method holds under any dependence between the tests. Hommel's holds wherever Simes' inequality does:
for independent or positively dependent tests, which comparisons with one control are. Both bound the
probability of a single false rejection. Benjamini and Hochberg's method bounds the expected share of false
rejections among the rejections, which is a weaker guarantee. It suits many exploratory comparisons, but not a
claim.

Sources: S. Holm, Scandinavian Journal of Statistics 6 (1979); G. Hommel, A stagewise rejective multiple test
procedure, Biometrika 75 (1988); Y. Benjamini & Y. Hochberg, Journal of the Royal Statistical Society B 57
(1995); R. J. Simes, Biometrika 73 (1986); S. García & F. Herrera, JMLR 9 (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Correction = Literal["holm", "hommel", "bh"]
"""The method that corrects p-values."""

CORRECTIONS: tuple[Correction, ...] = get_args(Correction)

NAMES: Mapping[Correction, str] = {"holm": "Holm", "hommel": "Hommel", "bh": "Benjamini-Hochberg"}
"""The name of each correction in tables and notes."""


def correct(p: ArrayLike, correction: Correction) -> NDArray[np.float64]:
    """Return the corrected p-values, shape (m,), in the order of ``p``, shape (m,).

    Raises:
        ValueError: the correction is unknown.
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"the correction must be one of {', '.join(CORRECTIONS)}, but got {correction!r}")
    corrections: dict[str, Callable[[ArrayLike], NDArray[np.float64]]] = {
        "holm": holm,
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
