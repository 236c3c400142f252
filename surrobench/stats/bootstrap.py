"""Compute bootstrap intervals over instances and seeds: for a mean, an interquartile mean, a probability.

There are two questions, and each has its own way to resample. ``"instances and seeds"`` draws instances, and
seeds within each drawn instance. Its interval holds for instances like these. ``"seeds"`` draws seeds within
each instance. Its interval is much narrower, holds for exactly these instances only, and says so. A drawn
seed brings the runs of all methods, which share their start and their noise.

There are three intervals from the resamples. ``"percentile"`` takes their quantiles, and is too narrow with
few instances. ``"bca"`` corrects the quantiles for bias and skewness. ``"bootstrap-t"`` takes the quantiles
of (resample - estimate) over the resample's own standard error, and so makes up for few instances as
Student's t does.

No result depends on the order of instances or of seeds. Losses are lower-is-better.

Sources: B. Efron, Better bootstrap confidence intervals, JASA 82 (1987); T. J. DiCiccio & B. Efron, Bootstrap
confidence intervals, Statistical Science 11 (1996); A. C. Davison & D. V. Hinkley, Bootstrap Methods and
their Application (1997), sections 2.7, 3.8, 5.2, 5.3; R. Agarwal et al., Deep RL at the edge of the
statistical precipice, NeurIPS 2021 (rliable: interquartile mean, stratified bootstrap); J. W. Tukey & D. H.
McLaughlin, Sankhya A 25 (1963) (standard error of a trimmed mean).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from surrobench.arrays import Floats
from surrobench.stats.shapes import complete

Resample = Literal["instances and seeds", "seeds"]
"""What is drawn anew. It decides what the interval generalises to."""

IntervalMethod = Literal["bootstrap-t", "bca", "percentile"]

CHUNK = 4_000_000
"""The number of values that are resampled at a time, 32 MB. Large studies take longer, but no more memory."""

TRIMMED = 0.25
"""The share that an interquartile mean leaves out at either end."""


@dataclass(frozen=True)
class Estimate:
    """A statistic of one or many data sets, and the contribution of each run to it.

    Attributes:
        value: shape (...).
        influence: shape (..., n, s), the influence of each seed on each instance. To first order, replacing
            runs changes the value by the mean of the influences of the runs that take their place. The mean
            of all influences is 0.
    """

    value: Floats
    influence: Floats


Statistic = Callable[[Floats], Estimate]
"""A function from data of shape (..., n, s, m), n instances by s seeds by m methods, to an estimate."""


@dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval, two-sided with equal tails.

    Attributes:
        estimate: the statistic of the data as they are.
        low, high: the ends of the interval; NaN where there is none and ``note`` says why.
        level: the confidence level.
        method: the method that was used. It differs from the requested one where that could not be computed.
        resample: what was drawn anew.
        resamples: the number of resamples.
        note: what the interval cannot do, or why another method was used; or "".
    """

    estimate: float
    low: float
    high: float
    level: float
    method: IntervalMethod
    resample: Resample
    resamples: int
    note: str = ""

    @property
    def scope(self) -> str:
        """Return in words what the interval generalises to."""
        return "instances like these" if self.resample == "instances and seeds" else "these instances only"


def mean(data: Floats) -> Estimate:
    """Return the mean over instances and seeds, for data of one method, shape (..., n, s, 1)."""
    (values,) = np.moveaxis(data, -1, 0)
    value = values.mean(axis=(-2, -1))
    return Estimate(value, values - value[..., None, None])


def interquartile_mean(data: Floats) -> Estimate:
    """Return the mean of the middle half of all runs, for data of one method, shape (..., n, s, 1).

    It equals rliable's ``aggregate_iqm`` and ``scipy.stats.trim_mean`` with a quarter cut at either end.
    """
    (values,) = np.moveaxis(data, -1, 0)
    runs = values.shape[-2] * values.shape[-1]
    cut = int(TRIMMED * runs)
    flat = values.reshape(*values.shape[:-2], runs)
    ordered = np.sort(flat, axis=-1)
    value = ordered[..., cut : runs - cut].mean(axis=-1)
    # A run beyond the quartiles contributes only through its side, as if it lay on the quartile.
    low, high = ordered[..., cut, None, None], ordered[..., runs - cut - 1, None, None]
    held = np.clip(values, low, high)
    centre = held.mean(axis=(-2, -1), keepdims=True)
    return Estimate(value, (held - centre) * (runs / (runs - 2 * cut)))


def difference(statistic: Statistic) -> Statistic:
    """Return the second method's statistic minus the first's: positive where the first has less loss."""

    def of_two(data: Floats) -> Estimate:
        first, second = statistic(data[..., :1]), statistic(data[..., 1:])
        return Estimate(second.value - first.value, second.influence - first.influence)

    return of_two


def bootstrap(
    losses: ArrayLike,
    statistic: Statistic,
    rng: np.random.Generator,
    *,
    resample: Resample = "instances and seeds",
    method: IntervalMethod = "bootstrap-t",
    level: float = 0.95,
    resamples: int = 2000,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Return an interval for a statistic.

    Args:
        losses: shape (n, s, m), n instances by s seeds by m methods.
        statistic: the statistic that is estimated.
        rng: the generator that draws the resamples.
        resample: what is drawn anew. It decides what the interval generalises to.
        method: how the interval is computed from the resamples.
        level: the confidence level, in (0, 1).
        resamples: the number of resamples.
        bounds: the least and the largest value that the statistic can have. The statistic is a mean of values
            within these bounds.

    Raises:
        ValueError: ``losses`` does not have three axes, is empty, or has a NaN; ``level`` is out of range; or
            ``resample`` or ``method`` is unknown.
    """
    drawn = resampled(losses, statistic, rng, resample=resample, resamples=resamples, bounds=bounds)
    return drawn.interval(method, level)


@dataclass(frozen=True)
class Resampled:
    """A statistic and its value in each resample, from which any interval is computed.

    Attributes:
        estimate: the statistic of the data as they are.
        error: the standard error of the estimate.
        contributions: shape (units,), the influence of each unit that is drawn; the mean is 0.
        values: shape (B,), the statistic of each resample; empty where resampling cannot vary.
        errors: shape (B,), the standard error of the statistic, computed from each resample.
        resample: what was drawn anew.
        n, s: the numbers of instances and of seeds.
        bounds: the least and the largest value that the statistic can have.
    """

    estimate: float
    error: float
    contributions: Floats
    values: Floats
    errors: Floats
    resample: Resample
    n: int
    s: int
    bounds: tuple[float, float]

    def interval(self, method: IntervalMethod = "bootstrap-t", level: float = 0.95) -> Interval:
        """Return the interval at a confidence level.

        Raises:
            ValueError: ``level`` is out of range, or ``method`` is unknown.
        """
        if not 0 < level < 1:
            raise ValueError(f"0 < level < 1 must hold, but got {level}")
        if method not in get_args(IntervalMethod):
            raise ValueError(
                f"method must be one of {', '.join(get_args(IntervalMethod))}, but got {method!r}"
            )
        low, high, used, note = self._ends(method, level)
        low, high = max(low, self.bounds[0]), min(high, self.bounds[1])
        return Interval(self.estimate, low, high, level, used, self.resample, len(self.values), note)

    def _ends(self, method: IntervalMethod, level: float) -> tuple[float, float, IntervalMethod, str]:
        """Return the low end, the high end, the method that was used, and the note on the interval."""
        unit = _unit(self.resample)
        if (self.n if unit == "instance" else self.s) < 2:
            return float("nan"), float("nan"), method, f"1 {unit}: no interval, two are needed"
        if unit == "instance" and 2.0 ** (1 - self.n) > 1 - level:
            # Of so few, no interval could cover as often as it says, whatever they were drawn from.
            note = f"{self.n} instances are too few for an interval at {level:.0%}"
            return float("nan"), float("nan"), method, note
        if not len(self.values):
            units = self.n if unit == "instance" else self.n * self.s
            low, high = _without_variation(self.estimate, self.bounds, level, units)
            return low, high, method, f"all {unit}s are alike: resampling cannot vary"
        notes: list[str] = []
        tails = np.array([(1 - level) / 2, (1 + level) / 2])
        if method == "bootstrap-t":
            varied = self.errors > _rounding(self.estimate)
            if np.mean(~varied) <= (1 - level) / 4:
                t = (self.values[varied] - self.estimate) / self.errors[varied]
                high, low = self.estimate - np.quantile(t, tails) * self.error
                return float(low), float(high), method, "; ".join(notes)
            method = "bca"
            notes.append(f"bca: too many resamples of equal {unit}s for bootstrap-t")
        if method == "bca":
            tails = bca_levels(self.values, self.estimate, self.contributions, tails)
        low, high = np.quantile(self.values, tails)
        return float(low), float(high), method, "; ".join(notes)


def resampled(
    losses: ArrayLike,
    statistic: Statistic,
    rng: np.random.Generator,
    *,
    resample: Resample = "instances and seeds",
    resamples: int = 2000,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Resampled:
    """Draw the resamples of ``bootstrap``, from which intervals of several kinds and levels can be taken.

    Raises:
        ValueError: ``losses`` does not have three axes, is empty, or has a NaN; or ``resample`` is unknown.
    """
    losses = _sorted(complete(losses, "instances", "seeds", "methods"))
    if resample not in get_args(Resample):
        raise ValueError(f"resample must be one of {', '.join(get_args(Resample))}, but got {resample!r}")
    n, s, _ = losses.shape
    found = statistic(losses)
    estimate = float(found.value)
    contributions = _contributions(found.influence, resample)
    values = errors = np.empty(0)
    error = float("nan")
    if (n if _unit(resample) == "instance" else s) > 1:
        error = float(_standard_error(found.influence, resample))
        if np.ptp(contributions) > _rounding(estimate):
            values, errors = _resample(losses, statistic, rng, resample, resamples)
    return Resampled(estimate, error, contributions, values, errors, resample, n, s, bounds)


def bca_levels(values: Floats, estimate: float, contributions: Floats, levels: Floats) -> Floats:
    """Return the levels at which BCa takes the quantiles of the resamples, for some nominal levels.

    Args:
        values: shape (B,), the statistic of each resample.
        estimate: the statistic of the data.
        contributions: shape (units,), the influence of each unit that is resampled; the mean is zero.
        levels: the nominal levels, of any shape, in (0, 1).
    """
    below = (np.mean(values < estimate) + np.mean(values <= estimate)) / 2
    # With all resamples on one side, the bias has no finite estimate. Half a resample then counts on the
    # other side.
    below = np.clip(below, 0.5 / len(values), 1 - 0.5 / len(values))
    bias = special.ndtri(below)
    acceleration = (contributions**3).sum() / (6 * (contributions**2).sum() ** 1.5)
    z = bias + special.ndtri(levels)
    return np.asarray(special.ndtr(bias + z / (1 - acceleration * z)))


def _unit(resample: Resample) -> str:
    """Return the name of the unit that is drawn first. An interval needs two such units."""
    return "instance" if resample == "instances and seeds" else "seed"


def _rounding(estimate: float) -> float:
    """Return the largest difference that rounding may leave between equal values."""
    return 1e-12 * max(1.0, abs(estimate))


def _sorted(losses: Floats) -> Floats:
    """Return the losses with seeds and instances in an order that depends on their values only."""
    n, s, m = losses.shape
    by_seed = np.stack([instance[np.lexsort(instance.T[::-1])] for instance in losses])
    order = np.lexsort(by_seed.reshape(n, s * m).T[::-1])
    return np.ascontiguousarray(by_seed[order])


def _contributions(influence: Floats, resample: Resample) -> Floats:
    """Return the influence of each unit that is drawn, shape (..., units); the mean is 0."""
    of_instance = influence.mean(axis=-1)
    if resample == "instances and seeds":
        return np.asarray(of_instance)
    within: Floats = influence - of_instance[..., None]
    return within.reshape(*within.shape[:-2], -1)


def _standard_error(influence: Floats, resample: Resample) -> Floats:
    """Return the standard error of the statistic, shape (...), from the influence of each unit."""
    n, s = influence.shape[-2:]
    if resample == "instances and seeds":
        return np.asarray(np.sqrt(influence.mean(axis=-1).var(axis=-1, ddof=1) / n))
    return np.asarray(np.sqrt(influence.var(axis=-1, ddof=1).mean(axis=-1) / (n * s)))


def _resample(
    losses: Floats, statistic: Statistic, rng: np.random.Generator, resample: Resample, resamples: int
) -> tuple[Floats, Floats]:
    """Return the statistic of each resample and its standard error from that resample, each of shape (B,)."""
    n, s, m = losses.shape
    values, errors = np.empty(resamples), np.empty(resamples)
    runs = losses.reshape(n * s, m)
    step = max(1, CHUNK // (n * s * m))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        instances = np.broadcast_to(np.arange(n), (count, n))
        if resample == "instances and seeds":
            instances = rng.integers(n, size=(count, n))
        seeds = rng.integers(s, size=(count, n, s))
        found = statistic(runs.take(instances[..., None] * s + seeds, axis=0))
        values[start : start + count] = found.value
        errors[start : start + count] = _standard_error(found.influence, resample)
    return values, errors


def _without_variation(
    estimate: float, bounds: tuple[float, float], level: float, units: int
) -> tuple[float, float]:
    """Return the interval where all units are alike.

    The interval is a point, except at a bound, where it is as wide as this many equal units allow. A value
    within [0, 1] with mean p is 1 with probability p at most, and all of u values are 1 with probability p **
    u at most. Whatever the distribution, p below (1 - level) / 2 to the power 1 / u is refuted. Clopper and
    Pearson give the same bound for u successes in u trials.
    """
    least, most = bounds
    width = (most - least) * (1 - ((1 - level) / 2) ** (1 / units))
    if np.isclose(estimate, most, rtol=0, atol=1e-12):
        return most - width, most
    if np.isclose(estimate, least, rtol=0, atol=1e-12):
        return least, least + width
    return estimate, estimate
