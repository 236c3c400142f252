"""Bootstrap intervals over instances and seeds: for a mean, an interquartile mean, a probability.

Two questions, two ways to resample. ``"instances and seeds"`` draws instances, and within each drawn one its
seeds: the interval holds for instances like these. ``"seeds"`` draws seeds within each instance: it is much
narrower and holds for these very instances only, and says so. A drawn seed brings the runs of all methods,
which share their start and their noise.

Three intervals from the resamples. ``"percentile"`` takes their quantiles: too narrow with few instances.
``"bca"`` corrects them for bias and skewness. ``"bootstrap-t"`` takes the quantiles of (resample - estimate)
over the resample's own standard error, and so makes up for few instances as Student's t does.

Nothing depends on the order of instances or of seeds. Losses are lower-is-better.

Sources: B. Efron, Better bootstrap confidence intervals, JASA 82 (1987); T. J. DiCiccio & B. Efron, Bootstrap
confidence intervals, Statistical Science 11 (1996); A. C. Davison & D. V. Hinkley, Bootstrap Methods and
their Application (1997), sections 2.7, 3.8, 5.2, 5.3; R. Agarwal et al., Deep RL at the edge of the
statistical precipice, NeurIPS 2021 (rliable: interquartile mean, stratified bootstrap); J. W. Tukey &
D. H. McLaughlin, Sankhya A 25 (1963) (standard error of a trimmed mean).
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
"""What is drawn anew, and with it what the interval generalises to."""

IntervalMethod = Literal["bootstrap-t", "bca", "percentile"]

CHUNK = 4_000_000
"""Values that are resampled at a time, 32 MB: large studies take longer, not more memory."""

TRIMMED = 0.25
"""The share that an interquartile mean leaves out at either end."""


@dataclass(frozen=True)
class Estimate:
    """A statistic of one or many data sets, and what each run contributes to it.

    Attributes:
        value: shape (...).
        influence: shape (..., n, s): of each seed on each instance, so that to first order the mean of the
            influences of the runs that come instead is what the value changes by. Their mean is 0.
    """

    value: Floats
    influence: Floats


Statistic = Callable[[Floats], Estimate]
"""Data of shape (..., n, s, m), n instances by s seeds by m methods, to an estimate."""


@dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval, two-sided with equal tails.

    Attributes:
        estimate: of the data as they are.
        low, high: NaN where there is no interval; ``note`` says why.
        level: of confidence.
        method: the one used, which is not the one asked for where that could not be computed.
        resample: what was drawn anew.
        resamples: how often.
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
        """What it generalises to, in words."""
        return "instances like these" if self.resample == "instances and seeds" else "these instances only"


def mean(data: Floats) -> Estimate:
    """The mean over instances and seeds, of one method: shape (..., n, s, 1)."""
    (values,) = np.moveaxis(data, -1, 0)
    value = values.mean(axis=(-2, -1))
    return Estimate(value, values - value[..., None, None])


def interquartile_mean(data: Floats) -> Estimate:
    """The mean of the middle half of all runs, of one method: shape (..., n, s, 1).

    That of rliable's ``aggregate_iqm`` and ``scipy.stats.trim_mean`` with a quarter cut at either end.
    """
    (values,) = np.moveaxis(data, -1, 0)
    runs = values.shape[-2] * values.shape[-1]
    cut = int(TRIMMED * runs)
    flat = values.reshape(*values.shape[:-2], runs)
    ordered = np.sort(flat, axis=-1)
    value = ordered[..., cut : runs - cut].mean(axis=-1)
    # A run beyond the quartiles acts through its side alone: as if it lay on the quartile.
    low, high = ordered[..., cut, None, None], ordered[..., runs - cut - 1, None, None]
    held = np.clip(values, low, high)
    centre = held.mean(axis=(-2, -1), keepdims=True)
    return Estimate(value, (held - centre) * (runs / (runs - 2 * cut)))


def difference(statistic: Statistic) -> Statistic:
    """The statistic of the second method less that of the first: positive where the first has less loss."""

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
    """An interval for a statistic.

    Args:
        losses: shape (n, s, m), n instances by s seeds by m methods.
        statistic: what is estimated.
        rng: draws the resamples.
        resample: what is drawn anew, and with it what the interval generalises to.
        method: how the interval comes from the resamples.
        level: of confidence, in (0, 1).
        resamples: how often to draw.
        bounds: the least and the largest value that the statistic, a mean of values within them, can have.

    Raises:
        ValueError: not of three axes, empty, or a loss is NaN; ``level`` is out of range; or ``resample`` or
            ``method`` is unknown.
    """
    drawn = resampled(losses, statistic, rng, resample=resample, resamples=resamples, bounds=bounds)
    return drawn.interval(method, level)


@dataclass(frozen=True)
class Resampled:
    """A statistic, and what it came to in each resample: any interval comes from this.

    Attributes:
        estimate: of the data as they are.
        error: its standard error.
        contributions: shape (units,), the influence of each unit that is drawn; their mean is 0.
        values: shape (B,), the statistic of each resample; empty where resampling cannot vary.
        errors: shape (B,), its standard error from that resample.
        resample: what was drawn anew.
        n, s: numbers of instances and of seeds.
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
        """The interval at this level.

        Raises:
            ValueError: ``level`` is out of range, or ``method`` unknown.
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
        """Low and high, the method used, and what there is to say about it."""
        unit = _unit(self.resample)
        if (self.n if unit == "instance" else self.s) < 2:
            return float("nan"), float("nan"), method, f"1 {unit}: no interval, two are needed"
        if not len(self.values):
            units = self.n if unit == "instance" else self.n * self.s
            low, high = _without_variation(self.estimate, self.bounds, level, units)
            return low, high, method, f"all {unit}s are alike: resampling cannot vary"
        notes = []
        if unit == "instance" and 2.0 ** (1 - self.n) > 1 - level:
            notes.append(f"{self.n} instances are too few for an interval at {level:.0%}")
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
        ValueError: not of three axes, empty, or a loss is NaN; or ``resample`` is unknown.
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
    """At which levels BCa takes the quantiles of the resamples, for these nominal ones.

    Args:
        values: shape (B,), the statistic of each resample.
        estimate: of the data.
        contributions: shape (units,), the influence of each unit that is resampled, with mean zero.
        levels: any shape, in (0, 1).
    """
    below = (np.mean(values < estimate) + np.mean(values <= estimate)) / 2
    # With all resamples on one side the bias has no finite estimate: one half of a resample is on the other.
    below = np.clip(below, 0.5 / len(values), 1 - 0.5 / len(values))
    bias = special.ndtri(below)
    acceleration = (contributions**3).sum() / (6 * (contributions**2).sum() ** 1.5)
    z = bias + special.ndtri(levels)
    return np.asarray(special.ndtr(bias + z / (1 - acceleration * z)))


def _unit(resample: Resample) -> str:
    """What is drawn first, and with it what there must be two of."""
    return "instance" if resample == "instances and seeds" else "seed"


def _rounding(estimate: float) -> float:
    """What is no more than this may be left of equal values by rounding."""
    return 1e-12 * max(1.0, abs(estimate))


def _sorted(losses: Floats) -> Floats:
    """The losses with seeds and instances in an order that is theirs, not the caller's."""
    n, s, m = losses.shape
    by_seed = np.stack([instance[np.lexsort(instance.T[::-1])] for instance in losses])
    order = np.lexsort(by_seed.reshape(n, s * m).T[::-1])
    return np.ascontiguousarray(by_seed[order])


def _contributions(influence: Floats, resample: Resample) -> Floats:
    """Shape (..., units): the influence of each unit that is drawn; its mean is 0."""
    of_instance = influence.mean(axis=-1)
    if resample == "instances and seeds":
        return np.asarray(of_instance)
    within: Floats = influence - of_instance[..., None]
    return within.reshape(*within.shape[:-2], -1)


def _standard_error(influence: Floats, resample: Resample) -> Floats:
    """Shape (...): the standard error of the statistic, from the influence of each unit."""
    n, s = influence.shape[-2:]
    if resample == "instances and seeds":
        return np.asarray(np.sqrt(influence.mean(axis=-1).var(axis=-1, ddof=1) / n))
    return np.asarray(np.sqrt(influence.var(axis=-1, ddof=1).mean(axis=-1) / (n * s)))


def _resample(
    losses: Floats, statistic: Statistic, rng: np.random.Generator, resample: Resample, resamples: int
) -> tuple[Floats, Floats]:
    """Shapes (B,) and (B,): the statistic of each resample, and its standard error from that resample."""
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
    """The interval where all units are alike: a point, but at a bound what as many equal units can show.

    A value within [0, 1] with mean p is 1 with probability p at most, all of u with p ** u at most: whatever
    its distribution, p below (1 - level) / 2 to the power 1 / u is refuted. It is what Clopper and Pearson
    give for u successes in u trials.
    """
    least, most = bounds
    width = (most - least) * (1 - ((1 - level) / 2) ** (1 / units))
    if np.isclose(estimate, most, rtol=0, atol=1e-12):
        return most - width, most
    if np.isclose(estimate, least, rtol=0, atol=1e-12):
        return least, least + width
    return estimate, estimate
