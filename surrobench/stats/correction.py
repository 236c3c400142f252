"""p-values corrected for a family of tests: Holm, Hommel, Benjamini and Hochberg.

Holm holds under any dependence between the tests and Hommel wherever Simes' inequality does (independent or
positively dependent tests, which comparisons with one control are); both bound the probability of a single
false rejection. Benjamini and Hochberg bound the expected share of false ones among the rejections, which is
less: it suits many exploratory comparisons, not a claim.

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
"""How p-values are corrected."""

CORRECTIONS: tuple[Correction, ...] = get_args(Correction)

NAMES: Mapping[Correction, str] = {"holm": "Holm", "hommel": "Hommel", "bh": "Benjamini-Hochberg"}
"""As people read them."""


def correct(p: ArrayLike, correction: Correction) -> NDArray[np.float64]:
    """Shape (m,) of p-values to shape (m,) of corrected ones, in the same order.

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
    """Holm's step-down correction (1979): shape (m,) of p-values to shape (m,) of corrected ones.

    The i-th smallest of m is multiplied by m - i + 1, and none may be below a smaller one's.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected


def hommel(p: ArrayLike) -> NDArray[np.float64]:
    """Hommel's correction (1988): shape (m,) of p-values to shape (m,) of corrected ones.

    A hypothesis falls when Simes' test rejects every set of hypotheses that it is in. Simes' p-value of a set
    grows with each member's, so that of each size only the set with the largest others matters.
    """
    p = np.asarray(p, dtype=np.float64)
    m = len(p)
    order = np.argsort(p, kind="stable")
    ascending = p[order]
    adjusted = ascending.copy()
    for size in range(2, m + 1):
        # Of the others: the size - 1 largest. Whoever is among them shares the set of the size largest.
        largest = size * ascending[m - size + 1 :] / np.arange(2, size + 1)
        simes = np.minimum(size * ascending, largest.min())
        simes[m - size + 1 :] = simes[m - size]
        adjusted = np.maximum(adjusted, simes)
    corrected = np.empty_like(p)
    corrected[order] = adjusted
    return corrected


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Benjamini and Hochberg's step-up correction (1995): shape (m,) of p-values to shape (m,).

    The i-th smallest of m is multiplied by m / i, and none may exceed a larger one's.
    """
    p = np.asarray(p, dtype=np.float64)
    m = len(p)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * m / np.arange(1, m + 1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return corrected
