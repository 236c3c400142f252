"""The probability of improvement: that a run of one method has less loss than one of another, ties half.

*Paired*: on the same instance with the same seed, hence from the same start and under the same noise.
*Unpaired*: any run of one against any of the other on the same instance, as rliable computes it (Mann and
Whitney's U over the number of pairs). Both are means over instances, from 0 to 1; 0.5: neither is better.
They answer different questions where seeds matter: a shared start makes the paired one more decided.

Sources: R. Agarwal et al., Deep RL at the edge of the statistical precipice, NeurIPS 2021; rliable,
``metrics.probability_of_improvement``; H. B. Mann & D. R. Whitney, Annals of Mathematical Statistics 18
(1947).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from surrobench.stats.bootstrap import Estimate, Interval, IntervalMethod, Resample, bootstrap
from surrobench.stats.shapes import Floats, complete

Pairing = Literal["paired", "unpaired"]

BOUNDS = (0.0, 1.0)


def paired(data: Floats) -> Estimate:
    """P(first better than second on the same seed), ties half: data of shape (..., n, s, 2)."""
    score = scores(data[..., 0], data[..., 1])
    value = score.mean(axis=(-2, -1))
    return Estimate(value, score - value[..., None, None])


def unpaired(data: Floats) -> Estimate:
    """P(first better than second on the same instance), ties half: data of shape (..., n, s, 2)."""
    first, second = data[..., 0], data[..., 1]
    # How each run fares against all of the other: seed by seed, so that no s by s table is kept.
    beats, beaten = np.zeros_like(first), np.empty_like(second)
    for seed in range(second.shape[-1]):
        against = scores(first, second[..., [seed]])
        beats += against
        beaten[..., seed] = against.mean(axis=-1)
    beats /= second.shape[-1]
    of_instance = beats.mean(axis=-1, keepdims=True)
    value = of_instance.mean(axis=(-2, -1))
    # A seed brings a run of each: it acts through both.
    influence = (beats - of_instance) + (beaten - of_instance) + (of_instance - value[..., None, None])
    return Estimate(value, influence)


def probability_of_improvement(first: ArrayLike, second: ArrayLike, pairing: Pairing = "paired") -> float:
    """P(first better than second), the mean over instances.

    Args:
        first: shape (n, s), losses of one method, n instances by s seeds, lower is better.
        second: shape (n, s) of the other, with the same seeds; if unpaired, (n, r) with any.
        pairing: whether the same seeds are compared, or all with all.

    Raises:
        ValueError: not a matrix, empty, or a loss is NaN; or the shapes do not go together.
    """
    first, second = complete(first, "instances", "seeds"), complete(second, "instances", "seeds")
    if len(first) != len(second) or (pairing == "paired" and first.shape != second.shape):
        raise ValueError(
            "both must have the same instances and, if paired, the same seeds, but got shapes "
            f"{first.shape} and {second.shape}"
        )
    if pairing == "paired":
        return float(scores(first, second).mean())
    return float(scores(first[:, :, None], second[:, None, :]).mean())


def improvement_interval(
    first: ArrayLike,
    second: ArrayLike,
    rng: np.random.Generator,
    pairing: Pairing = "paired",
    *,
    resample: Resample = "instances and seeds",
    method: IntervalMethod = "bootstrap-t",
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """The probability of improvement with a bootstrap interval.

    Args:
        first: shape (n, s), losses of one method, n instances by s seeds, lower is better.
        second: shape (n, s) of the other, with the same seeds: a drawn seed brings the runs of both, also
            where the probability is the unpaired one.
        rng: draws the resamples.
        pairing: whether the same seeds are compared, or all with all.
        resample: what is drawn anew, and with it what the interval generalises to.
        method: how the interval comes from the resamples.
        level: of confidence.
        resamples: how often to draw.

    Raises:
        ValueError: as ``bootstrap``; or the shapes differ.
    """
    first, second = complete(first, "instances", "seeds"), complete(second, "instances", "seeds")
    if first.shape != second.shape:
        raise ValueError(f"both must have the same shape, but got {first.shape} and {second.shape}")
    return bootstrap(
        np.stack([first, second], axis=-1),
        paired if pairing == "paired" else unpaired,
        rng,
        resample=resample,
        method=method,
        level=level,
        resamples=resamples,
        bounds=BOUNDS,
    )


def scores(first: Floats, second: Floats) -> Floats:
    """1 where the first has less loss, 1/2 where they tie, 0 elsewhere: their mean is the probability."""
    return np.asarray(((first < second).astype(np.float64) + (first <= second)) / 2)
