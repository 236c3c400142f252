"""Find how many seeds and instances a difference needs, by simulation from the results of a pilot study.

The test is the study's own: Wilcoxon's signed-rank test of each method against the control, two-sided,
corrected by Holm over all methods. The effect is a shift: a difference in quantile regret that is the same on
every instance and is added to the variation of instances and seeds. (A rank-biserial correlation or a
probability of improvement would be no parameter to plan with: both grow with the number of seeds although the
methods stay the same.)

The model of a simulated study is this. An instance is drawn from those of the pilot, with the deviations of
its methods from their centre. For each seed, one of the runs on that instance is drawn, of all methods
together. A pilot's instance means contain the noise of its own seeds. Deviations are therefore shrunk by that
share, and runs stretched by sqrt(s / (s - 1)), so that a study of the pilot's size varies as the pilot does,
and larger studies as they should. The effect is the pseudomedian of the resulting gains, which is what the
test is about: without an effect, it rejects as often as its level says.

Gains are positive where a method is better than the control.

Sources: G. E. Noether, Journal of the American Statistical Association 82 (1987); A. C. Davison & D. V.
Hinkley, Bootstrap Methods and their Application (1997), sections 3.8 and 4.6; J. Cohen, Statistical Power
Analysis (1988), for the convention of 80%.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surrobench.arrays import Floats
from surrobench.stats.signed_rank import lower_rank, pseudomedian, signed_rank, walsh_rank

CHUNK = 2_000_000
"""The number of values that are computed at a time, 16 MB."""

EXACT_WITH_TIES = 13
"""The largest number of instances whose simulated studies, nearly all with ties, get exact p-values. With
more, the normal approximation stands in for them: the power of thousands of studies is the same."""


@dataclass(frozen=True)
class Variation:
    """What n instances and s seeds of a pilot say about m methods against the control.

    Attributes:
        centre: shape (m,), the pseudomedian of the gains over instances.
        instance: shape (n, m), the deviation of each instance from the centre, without the noise of seeds.
        seed: shape (n, s, m), the deviation of each run from its instance; zero where s is 1.
    """

    centre: Floats
    instance: Floats
    seed: Floats


@dataclass(frozen=True)
class Power:
    """A power that was found by simulation.

    Attributes:
        value: the share of simulated studies that found the effect.
        error: its Monte-Carlo standard error (of (hits + 2) of (simulations + 4), so that it is never 0).
    """

    value: float
    error: float

    @staticmethod
    def of(found: NDArray[np.bool_]) -> Power:
        """Return the power, given which of the simulated studies found the effect."""
        hits, trials = int(found.sum()), len(found)
        share = (hits + 2) / (trials + 4)
        return Power(hits / trials, float(np.sqrt(share * (1 - share) / (trials + 4))))


def variation(gains: ArrayLike) -> Variation:
    """Split the gains of a pilot into effect, instances and seeds.

    Args:
        gains: shape (n, s, m), the control's regret minus the method's: n instances by s seeds by m methods.

    Raises:
        ValueError: ``gains`` does not have three axes, is empty, has a NaN, or has fewer than two instances.
    """
    gains = np.asarray(gains, dtype=np.float64)
    if gains.ndim != 3 or gains.size == 0 or np.isnan(gains).any():
        raise ValueError(
            f"gains must be (instances, seeds, methods) without NaN, but got shape {gains.shape}"
        )
    n, s, _ = gains.shape
    if n < 2:
        raise ValueError("a pilot needs two instances, but got one")
    means = gains.mean(axis=1)
    within = (gains - means[:, None]) * (np.sqrt(s / (s - 1)) if s > 1 else 0)
    noise = np.square(within).mean(axis=(0, 1)) / s
    spread = means.var(axis=0, ddof=1)
    kept = np.divide(spread - noise, spread, out=np.zeros_like(spread), where=spread > 0)
    centre = pseudomedian(means.T)
    instance = np.sqrt(np.maximum(kept, 0) * n / (n - 1)) * (means - centre)
    return Variation(centre, instance, within)


def simulated(
    of: Variation, instances: int, seeds: int, simulations: int, rng: np.random.Generator
) -> Floats:
    """Return gains, mean over seeds, of studies without an effect: shape (simulations, instances, m).

    Args:
        of: the variation of the pilot.
        instances: the number of instances of each simulated study.
        seeds: the number of seeds of each study, on every instance.
        simulations: the number of studies.
        rng: the generator that draws the studies.
    """
    n, s, m = of.seed.shape
    rows = rng.integers(n, size=(simulations, instances))
    total = np.zeros((simulations, instances, m))
    if of.seed.any():
        for _ in range(seeds):
            total += of.seed[rows, rng.integers(s, size=rows.shape)]
    noise: Floats = of.instance[rows] + total / seeds
    # Runs are skewed: a mean of zero is no pseudomedian of zero, and the test is about the pseudomedian.
    drawn = noise.reshape(-1, m)
    half = len(drawn) // 2
    centre = np.median((drawn[:half] + drawn[half : 2 * half]) / 2, axis=0)
    return np.asarray(noise - centre)


def powers(noise: ArrayLike, centre: ArrayLike, effect: float | None, alpha: float) -> list[Power]:
    """Return for each method the power to find that it differs from the control, in its effect's direction.

    Args:
        noise: shape (r, n, m), as ``simulated`` returns it.
        centre: shape (m,), the effects of all methods. The other methods have these effects, since Holm's
            correction of one method depends on the others.
        effect: the effect of the method in question; None for its own.
        alpha: the family-wise level.
    """
    noise, centre = np.asarray(noise, dtype=np.float64), np.asarray(centre, dtype=np.float64)
    tests = [_tested(noise[:, :, j] + own) for j, own in enumerate(centre)]
    p = np.stack([one for one, _ in tests], axis=1)
    out = []
    for j, own in enumerate(centre):
        shift = own if effect is None else effect
        values, (of_method, balance) = p.copy(), tests[j]
        if shift != own:
            of_method, balance = _tested(noise[:, :, j] + shift)
            values[:, j] = of_method
        found = _holm_rejects(values, j, alpha)
        out.append(Power.of(found & (balance * shift > 0) if shift else found))
    return out


def _tested(gains: Floats) -> tuple[Floats, Floats]:
    """Return p and rank-biserial correlation of each of the studies, for gains of shape (r, n)."""
    step = max(1, CHUNK // (gains.shape[1] * (gains.shape[1] + 1)))
    parts = [
        signed_rank(gains[start : start + step], exact_with_ties=EXACT_WITH_TIES)
        for start in range(0, len(gains), step)
    ]
    return np.concatenate([p for p, _ in parts]), np.concatenate([effect for _, effect in parts])


def _holm_rejects(p: Floats, method: int, alpha: float) -> NDArray[np.bool_]:
    """Return whether Holm's method rejects one of m hypotheses, shape (r,), from p of shape (r, m)."""
    m = p.shape[1]
    order = np.argsort(p, axis=1, kind="stable")
    passed = np.take_along_axis(p, order, axis=1) * np.arange(m, 0, -1) <= alpha
    passed = np.logical_and.accumulate(passed, axis=1)
    return np.asarray((passed & (order == method)).any(axis=1))


def smallest_detectable(
    gains: ArrayLike,
    alpha: float,
    power: float,
    rng: np.random.Generator,
    *,
    one_sided: bool = False,
    simulations: int = 500,
) -> float:
    """Return the smallest shift that studies like this one would find with a given power; infinite if none.

    Instances are drawn anew, centred at no effect.

    Args:
        gains: shape (n,), one for each instance, mean over seeds.
        alpha: the level of the test, already divided by the number of comparisons: Holm's least favourable
            step.
        power: the share of studies that must find it.
        rng: the generator that draws the studies.
        one_sided: whether the test is one-sided.
        simulations: the number of studies to draw.
    """
    gains = np.asarray(gains, dtype=np.float64)
    n = len(gains)
    if n < 2:
        return float("inf")
    noise = (gains - pseudomedian(gains)) * np.sqrt(n / (n - 1))
    return detectable(noise[rng.integers(n, size=(simulations, n))], alpha, power, one_sided=one_sided)


def detectable(noise: ArrayLike, alpha: float, power: float, *, one_sided: bool = False) -> float:
    """Return the smallest shift that a share ``power`` of studies would find.

    The studies, of shape (r, n), have no effect. The shift that a study needs is the distance by which the
    lower end of its interval for the pseudomedian lies below zero.
    """
    noise = np.asarray(noise, dtype=np.float64)
    r, n = noise.shape
    rank = lower_rank(n, alpha if one_sided else alpha / 2)
    if rank < 1:
        return float("inf")
    needed = np.empty(r)
    step = max(1, CHUNK // (n * (n + 1)))
    for start in range(0, r, step):
        needed[start : start + step] = -walsh_rank(noise[start : start + step], rank)
    return float(max(0.0, np.quantile(needed, power)))
