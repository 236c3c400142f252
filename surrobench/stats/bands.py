"""Compute intervals around mean curves: Student's t, at each point separately.

There are two questions, and each has its own standard error. Over ``"seeds"``, the question is how the mean
would vary with other seeds on the same instances. The seeds of an instance are independent draws, because its
name is in every random stream. The variances of the n instance means therefore add up, and Satterthwaite's
approximation gives the degrees of freedom of their sum. Over ``"instances"``, the question is how the mean
would vary with other instances of the same kind and other seeds. The n instance means are then the sample,
and their differences contain the noise of their seeds.

A percentile bootstrap is too narrow: resampling s seeds loses 1 / s of their variance. With two seeds, which
studies of language models often have, it covers 83 % where it should cover 95 %. The t interval still falls
short with two seeds if a single instance has nearly all of the variance (89 %). It also falls short with few
instances whose means are very skewed (lognormal, 12 instances: 85 %).

Sources: F. E. Satterthwaite, Biometrics Bulletin 2 (1946); B. L. Welch, Biometrika 34 (1947). Coverage:
``python -m tests.bench.calibration``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from surrobench.arrays import Floats

Over = Literal["seeds", "instances"]
"""What varies: the seeds within each instance, or the instances and the seeds within each instance."""

ROUNDING = 1e-12
"""A standard error below this, relative to the values, is a rounding error."""


@dataclass(frozen=True)
class Band:
    """The mean curve of each of m methods at g points, with its interval.

    Attributes:
        mean: shape (m, g), the mean over seeds, then over instances.
        low, high: shape (m, g), the pointwise t interval. It equals the mean where nothing varies, or where
            the variation cannot be estimated (a single seed; a single instance).
        level: the coverage of the interval, such as 0.95.
        over: what varies.
    """

    mean: Floats
    low: Floats
    high: Floats
    level: float
    over: Over


def band(
    values: Floats,
    *,
    over: Over = "seeds",
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Band:
    """Return the mean curve of each method, with intervals.

    Args:
        values: shape (n, m, s, g): n instances, m methods, s seeds, g points; without NaN.
        over: what varies.
        level: the coverage of the interval.
        bounds: the least and the largest possible value, such as 0 and 1 for shares. The interval is cut off
            there, which costs no coverage.
    """
    means = values.mean(axis=2)
    mean = means.mean(axis=0)
    error, freedom = (_of_seeds if over == "seeds" else _of_instances)(values, means)
    error[error <= ROUNDING * np.abs(means).max(axis=0)] = 0
    half = special.stdtrit(freedom, (1 + level) / 2) * error
    # A mean that rounding puts just outside of its bounds stays within its interval.
    low = np.minimum(np.maximum(mean - half, bounds[0]), mean)
    high = np.maximum(np.minimum(mean + half, bounds[1]), mean)
    return Band(mean, low, high, level, over)


def _of_instances(values: Floats, means: Floats) -> tuple[Floats, Floats]:
    """Return what ``_of_seeds`` returns, for instances and their seeds."""
    n = len(values)
    if n < 2:
        return np.zeros(means.shape[1:]), np.ones(means.shape[1:])
    return np.sqrt(means.var(axis=0, ddof=1) / n), np.full(means.shape[1:], n - 1.0)


def _of_seeds(values: Floats, means: Floats) -> tuple[Floats, Floats]:
    """Return the standard error of the mean and its degrees of freedom, both of shape (m, g)."""
    n, _, s, _ = values.shape
    if s < 2:
        return np.zeros(means.shape[1:]), np.ones(means.shape[1:])
    variances = np.stack([instance.var(axis=1, ddof=1) for instance in values])
    total = variances.sum(axis=0)
    # Satterthwaite: (sum of the variances)^2 over (the sum of their squares over s - 1). Squares of estimated
    # variances are too large, each by (s + 1) / (s - 1) on average. With two seeds, that would leave a third
    # of the degrees of freedom. With s + 1 and - 2 in its place, there are n (s - 1) degrees of freedom where
    # instances vary alike, as there should be, and s - 1 where a single instance varies.
    shares = np.divide(variances, total, out=np.full(variances.shape, 1 / n), where=total > 0)
    freedom = (s + 1) / np.square(shares).sum(axis=0) - 2
    return np.sqrt(total / s) / n, np.clip(freedom, s - 1, n * (s - 1))
