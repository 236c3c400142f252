"""Intervals around mean curves: a stratified percentile bootstrap, seeded.

Source: R. Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 34
(2021), section 4. They resample runs within each task, which says how the curve would vary with other seeds
on these very instances; resampling the instances too says how it would vary with others of their kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Over = Literal["seeds", "instances"]
"""What is drawn anew: the seeds within each instance, or the instances and the seeds within each."""


@dataclass(frozen=True)
class Band:
    """A curve for each of m methods at g points.

    Attributes:
        mean: shape (m, g), over seeds, then over instances.
        low, high: shape (m, g), pointwise percentile interval; equal to the mean where there is nothing to
            resample (a single seed; a single instance).
        level: what the interval covers, such as 0.95.
        over: what was resampled.
    """

    mean: Floats
    low: Floats
    high: Floats
    level: float
    over: Over


def band(
    values: Floats,
    rng: Generator,
    *,
    over: Over = "seeds",
    level: float = 0.95,
    resamples: int = 1000,
) -> Band:
    """The mean curve of each method, with intervals.

    All methods and points share the draws, so that differences between curves are not the draws'.

    Args:
        values: shape (n, m, s, g), n instances, m methods, s seeds, g points, without NaN.
        rng: draws the resamples.
        over: what is resampled.
        level: of the interval.
        resamples: how many.
    """
    n, m, s, g = values.shape
    mean = values.mean(axis=(0, 2))
    drawn = np.ones((resamples, n), dtype=np.int64)
    if over == "instances":
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    means = np.zeros((resamples, m * g))
    for i in range(n):
        # An instance that is drawn twice has its seeds drawn twice.
        times = rng.multinomial(drawn[:, i] * s, np.full(s, 1 / s)) / s
        means += times @ np.moveaxis(values[i], 1, 0).reshape(s, m * g)
    tail = (1 - level) / 2
    low, high = np.quantile(means.reshape(resamples, m, g) / n, [tail, 1 - tail], axis=0)
    # Sums in another order differ in the last digits: the mean is never outside of its interval for that.
    return Band(mean, np.minimum(low, mean), np.maximum(high, mean), level, over)
