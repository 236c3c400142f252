"""Look more than once: alpha spending for a stated number of looks, e-values for unlimited ones.

A study that grows until its claim holds errs far more often than its level says. Two remedies hold under any
dependence between the looks, whatever was added in between, seeds or data sets.

*Alpha spending*: of the level alpha, look l of N may spend what O'Brien and Fleming's function has grown by
since look l - 1. The increments sum to alpha, so that by Bonferroni's inequality all looks together err with
probability alpha at most. Early looks get little: of 0.05 and three looks, 0.0007, 0.0157 and 0.0336.

*E-values*: an e-value has mean 1 or less under the null, at each look. With weights that sum to 1 over all
looks, the weighted sum of the e-values so far has mean 1 or less and never falls. By Markov's inequality, it
ever reaches 1 / alpha with probability alpha at most. Its inverse therefore is a p-value at every look.

Sources: K. K. G. Lan & D. L. DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70
(1983); P. C. O'Brien & T. R. Fleming, Biometrics 35 (1979); V. Vovk & R. Wang, E-values: calibration,
combination and applications, Annals of Statistics 49 (2021); V. H. de la Pena, A general class of exponential
inequalities for martingales and ratios, Annals of Probability 27 (1999) (the e-value of symmetric
differences).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

STRENGTHS = np.array([0.25, 0.5, 1.0, 2.0])
"""The strengths of a shift, in units of the size of the differences, over which an e-value is averaged."""


def spent(alpha: float, share: float) -> float:
    """Return how much of a one-sided level O'Brien and Fleming's function has spent at a share of the
    looks.
    """
    return float(2 * special.ndtr(special.ndtri(alpha / 2) / np.sqrt(share))) if share > 0 else 0.0


def level_of_look(alpha: float, look: int, looks: int) -> float:
    """Return the level at which look number ``look`` of ``looks``, from 1, may test.

    Raises:
        ValueError: there is no such look.
    """
    if not 1 <= look <= looks:
        raise ValueError(f"1 <= look <= {looks} must hold, but got {look}")
    return spent(alpha, look / looks) - spent(alpha, (look - 1) / looks)


def e_value(differences: ArrayLike) -> float:
    """Return an e-value against "the differences are symmetric about 0 or less".

    Given their sizes, the signs of symmetric differences are fair coins. exp(c d) / cosh(c d) then has mean 1
    for each difference d and any strength c, and so has the product over independent ones.

    Args:
        differences: shape (n,), the distances beyond a bound; zeros say nothing.
    """
    differences = np.asarray(differences, dtype=np.float64)
    size = np.sqrt(np.square(differences).mean())
    if not size > 0:
        return 1.0
    tilted = STRENGTHS[:, None] * (differences / size)
    logs = tilted - np.abs(tilted) - np.log1p(np.exp(-2 * np.abs(tilted))) + np.log(2)
    return float(np.exp(logs.sum(axis=1)).mean())


def weight(look: int) -> float:
    """Return the weight of a look, from 1; over all looks, the weights sum to 1."""
    return 6 / (np.pi * look) ** 2


def always_valid_p(e_values: Sequence[float]) -> float:
    """Return a p-value that holds at every look, from the e-values of all looks so far."""
    total = sum(weight(look) * e for look, e in enumerate(e_values, 1))
    return min(1.0, 1 / total) if total > 0 else 1.0


def power_given_up(alpha: float, level: float, power: float = 0.8) -> float:
    """Return the power that a one-sided test at ``level`` has left where one at ``alpha`` has ``power``.

    The answer is that of a normal statistic: close for any test with many differences.
    """
    return float(special.ndtr(special.ndtri(power) + special.ndtri(1 - alpha) - special.ndtri(1 - level)))
