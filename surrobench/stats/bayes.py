"""Compare two methods by Bayes: how probable is it that one is better, worse, or practically the same?

A region of practical equivalence (rope) is fixed beforehand: differences within it do not matter. Unlike a
test, the answer can be "the same". Gains are positive where the method is better.

*Signed-rank*: a Dirichlet process takes the place of Wilcoxon's test on one difference for each instance, as
in baycomp's ``SignedRankTest``. *Hierarchical*: a model of the differences of all seeds has a mean and a
spread for each instance, which are shrunk to what instances have in common, as in baycomp's
``HierarchicalTest``. Here a Gibbs sampler draws from the same model, so that no compiler is needed.

Sources: A. Benavoli et al., A Bayesian Wilcoxon signed-rank test based on the Dirichlet process, ICML 2014;
G. Corani et al., Statistical comparison of classifiers through Bayesian hierarchical modelling, Machine
Learning 106 (2017); A. Benavoli et al., Time for a change, JMLR 18 (2017); J. Geweke, Bayesian treatment of
the independent Student-t linear model, Journal of Applied Econometrics 8 (1993) and Y. Yu & X.-L. Meng, To
center or not to center, Journal of Computational and Graphical Statistics 20 (2011) (the sampler's steps).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from surrobench.arrays import Floats
from surrobench.stats.shapes import complete

PRIOR = 0.5
"""The weight of the pseudo-instance without difference, in instances (Benavoli et al. 2014)."""

CHAINS = 250
WARM_UP = 200

UPPER_SPREAD = 1000.0
"""Spreads are uniform up to this many times the observed spread (Corani et al. 2017)."""

LEAST = 6
"""The fewest instances of which a report states a posterior. With fewer, even differences that all point one
way are no more than chance gives once in 32 studies, and the prior decides: with two, "better" would have 96
%."""

GRID = np.concatenate([[1.05], 1 + np.geomspace(0.2, 400, 47)])
"""The degrees of freedom of the distribution of instances, from Cauchy to normal."""


@dataclass(frozen=True)
class Posterior:
    """What is known of one method against another.

    Attributes:
        worse, rope, better: how probable it is that this outcome is the most probable of the three on a new
            instance. The three sum to 1. They are NaN where ``note`` says why.
        share: shape (3,), the posterior mean of the probability of each outcome on a new instance, in the
            same order.
        rope_width: half the width of the region of practical equivalence, in units of the gains.
        n: the number of instances.
        samples: the number of samples of the posterior.
        note: why there is no posterior; or "".
    """

    worse: float
    rope: float
    better: float
    share: Floats
    rope_width: float
    n: int
    samples: int
    note: str = ""


def signed_rank(
    gains: ArrayLike, rope: float, rng: np.random.Generator, samples: int = 50_000, prior: float = PRIOR
) -> Posterior:
    """Return the posterior of the Bayesian signed-rank test.

    Where two of the three outcomes are equally probable in a sample, the sample counts half for each. baycomp
    counts it for the first of them. If the rope is 0, it therefore calls a method that never differs
    certainly worse.

    Args:
        gains: shape (n,), one difference for each instance, the mean over its seeds; positive is favourable.
        rope: half the width of the region of practical equivalence; 0 for no region.
        rng: the generator that draws the posterior.
        samples: the number of samples.
        prior: the weight of the pseudo-instance.

    Raises:
        ValueError: ``gains`` is not a vector, is empty, or has a NaN; or ``rope`` or ``prior`` is negative.
    """
    gains = complete(gains, "instances", name="gains")
    _not_negative(rope, prior)
    # Sort the differences, so that the order of instances has no effect.
    gains = np.concatenate([[0.0], np.sort(gains)])
    weights = np.ones(len(gains))
    weights[0] = prior
    sums = gains[:, None] + gains
    better = ((sums > 2 * rope).astype(np.float64) + (sums >= 2 * rope)) / 2
    drawn = rng.dirichlet(weights, samples) if prior > 0 else _without_prior(rng, len(gains) - 1, samples)
    # The weight of the pairs on either side is w' A w for each sample w.
    shares = np.empty((samples, 3))
    shares[:, 2] = ((drawn @ better) * drawn).sum(axis=1)
    if rope > 0:
        worse = ((sums < -2 * rope).astype(np.float64) + (sums <= -2 * rope)) / 2
        shares[:, 0] = ((drawn @ worse) * drawn).sum(axis=1)
        shares[:, 1] = 1 - shares[:, 0] - shares[:, 2]
    else:
        shares[:, 0], shares[:, 1] = 1 - shares[:, 2], 0
    return _posterior(shares, rope, len(gains) - 1)


def hierarchical(
    gains: ArrayLike, rope: float, rng: np.random.Generator, samples: int = 50_000, rho: float = 0.0
) -> Posterior:
    """Return the posterior of the Bayesian hierarchical correlated t-test.

    The gains of instance i are normal with mean d_i, standard deviation s_i and correlation rho. The d_i come
    from Student's t with location d0, scale s0 and nu degrees of freedom. The priors are those of Corani et
    al.: d0, s0 and the s_i are uniform within bounds that follow from the data, and nu - 1 is gamma
    distributed with shape uniform in (1, 2) and rate uniform in (0.01, 0.1). The posterior says where the d
    of a new instance lies.

    There are two approximations. nu is on a grid of 48 values. An instance whose seeds do not differ gets a
    hundredth of the mean standard deviation, since its own would shrink without end.

    Args:
        gains: shape (n, s), differences on n instances by s seeds; positive is favourable.
        rope: half the width of the region of practical equivalence; 0 for no region.
        rng: the generator that draws the posterior.
        samples: the approximate number of samples, which come from many short chains.
        rho: the correlation of the seeds of an instance: 0 for independent runs; 1 / folds for
            cross-validation, whose training sets overlap.

    Raises:
        ValueError: ``gains`` is not a matrix, is empty, or has a NaN; ``rope`` is negative; or not 0 <= rho <
            1.
    """
    gains = complete(gains, "instances", "seeds", name="gains")
    _not_negative(rope, 0)
    if not 0 <= rho < 1:
        raise ValueError(f"0 <= rho < 1 must hold, but got {rho}")
    n, s = gains.shape
    scale = float(gains.std(axis=1).mean())
    if n < 3 or s < 2 or scale <= 1e-12 * float(np.abs(gains).max()):
        reason = (
            f"{n} instance{'s' * (n > 1)}: not testable, three are needed" if n < 3
            else "1 seed: not testable, two are needed" if s < 2
            else "the gains of no instance differ between seeds: not testable"
        )  # fmt: skip
        return unsaid(rope, n, reason)
    steps = -(-samples // CHAINS)
    location, spread, nu = _gibbs(gains / scale, rho, rng, steps)
    shares = np.empty((location.size, 3))
    shares[:, 0] = special.stdtr(nu, (-rope / scale - location) / spread)
    shares[:, 2] = special.stdtr(nu, (location - rope / scale) / spread)
    shares[:, 1] = 1 - shares[:, 0] - shares[:, 2]
    if rope == 0:
        shares[:, 1] = 0
    return _posterior(shares, rope, n)


def unsaid(rope: float, n: int, reason: str = "") -> Posterior:
    """Return a posterior that says nothing, and why: by default, that there are fewer than ``LEAST``
    instances.
    """
    nan = float("nan")
    reason = reason or f"{n} block{'s' * (n > 1)}: too few, {LEAST} are needed"
    return Posterior(nan, nan, nan, np.full(3, nan), rope, n, 0, reason)


def _gibbs(gains: Floats, rho: float, rng: np.random.Generator, steps: int) -> tuple[Floats, Floats, Floats]:
    """Return location, scale and degrees of freedom of the instances' means, each (CHAINS * steps,)."""
    n, s = gains.shape
    means = gains.mean(axis=1)
    order = np.argsort(means, kind="stable")
    gains, means = gains[order], means[order]
    # After a rotation to the mean and its orthogonal complement, compound symmetry becomes two variances.
    of_mean, within = (1 + (s - 1) * rho) / s, 1 - rho
    squares = np.maximum(np.square(gains - means[:, None]).sum(axis=1), s * 0.01**2) / within
    most_within = UPPER_SPREAD * float(gains.std(axis=1).mean())
    most_between = UPPER_SPREAD * max(float(means.std()), 1e-9)
    most = float(np.abs(gains).max())
    log_prior = _log_prior(GRID)
    # This is the density of t at each nu, without the factor that depends on the data.
    constant = (
        n * (special.gammaln((GRID + 1) / 2) - special.gammaln(GRID / 2) - np.log(GRID) / 2) + log_prior
    )

    centres = np.tile(means, (CHAINS, 1))
    location = means.mean() + means.std() / np.sqrt(n) * rng.normal(size=CHAINS)
    location = np.clip(location, -most, most)
    spread2 = np.full(CHAINS, max(float(means.var()), 1e-6)) * rng.uniform(0.5, 2, CHAINS)
    kept = np.empty((3, steps, CHAINS))
    for step in range(-WARM_UP, steps):
        deviations = centres - location[:, None]
        # Draw the degrees of freedom with the weights integrated out, then the weights.
        z2 = np.square(deviations) / spread2[:, None]
        log_density = constant - ((GRID + 1) / 2) * np.log1p(z2[:, :, None] / GRID).sum(axis=1)
        nu = GRID[_draw(log_density, rng)]
        weights = rng.gamma((nu[:, None] + 1) / 2, size=z2.shape) * 2 / (nu[:, None] + z2)
        # Draw the location and scale of the instances, then their means, then the spread of seeds.
        total = weights.sum(axis=1)
        centre = (weights * centres).sum(axis=1) / total
        location = _normal_within(centre, np.sqrt(spread2 / total), -most, most, rng)
        rest = (weights * np.square(centres - location[:, None])).sum(axis=1)
        spread2 = 1 / _gamma_above((n - 1) / 2, rest / 2, 1 / most_between**2, rng)
        left = squares + np.square(means - centres) / of_mean
        # The spread is cut off rather than drawn within its bound, which affects one in a thousand with two
        # seeds.
        precision = rng.gamma((s - 1) / 2, size=left.shape) / (left / 2)
        variance = 1 / np.maximum(precision, 1 / most_within**2)
        precision = weights / spread2[:, None] + 1 / (of_mean * variance)
        mean = (weights / spread2[:, None] * location[:, None] + means / (of_mean * variance)) / precision
        centres = mean + rng.normal(size=mean.shape) / np.sqrt(precision)
        # Draw location and scale once more, with the standardised deviations held instead of the means. Where
        # the scale is near 0, the steps above alone would hardly move (Yu & Meng 2011).
        spread = np.sqrt(spread2)
        standard = (centres - location[:, None]) / spread[:, None]
        known = 1 / (of_mean * variance)
        total = known.sum(axis=1)
        centre = (known * (means - spread[:, None] * standard)).sum(axis=1) / total
        location = _normal_within(centre, 1 / np.sqrt(total), -most, most, rng)
        total = (known * np.square(standard)).sum(axis=1)
        centre = (known * standard * (means - location[:, None])).sum(axis=1) / total
        spread = _normal_within(centre, 1 / np.sqrt(total), 0, most_between, rng)
        spread2 = np.square(np.maximum(spread, 1e-9 * most_between))
        centres = location[:, None] + np.sqrt(spread2)[:, None] * standard
        if step >= 0:
            kept[:, step] = location, np.sqrt(spread2), nu
    location, spread, nu = kept.reshape(3, -1)
    return location, spread, nu


def _log_prior(nu: Floats) -> Floats:
    """Return the log mass of each value of nu, with shape and rate of the gamma integrated out."""
    shape, rate = np.meshgrid(np.linspace(1, 2, 41), np.linspace(0.01, 0.1, 41))
    x = (nu - 1)[:, None, None]
    density = np.exp(shape * np.log(rate) - special.gammaln(shape) + (shape - 1) * np.log(x) - rate * x)
    return np.asarray(np.log(density.mean(axis=(1, 2)) * np.gradient(nu)))


def _draw(log_density: Floats, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Return an index for each row of (chains, values), drawn with the given log density, shape (chains,)."""
    cumulated = np.exp(log_density - log_density.max(axis=1, keepdims=True)).cumsum(axis=1)
    return np.asarray((rng.random(len(cumulated))[:, None] * cumulated[:, -1:] > cumulated).sum(axis=1))


def _normal_within(
    mean: Floats, spread: Floats, least: float, most: float, rng: np.random.Generator
) -> Floats:
    """Draw from normal distributions that are truncated to ``least`` and ``most``."""
    # Mirror the bounds where they lie in the upper tail, so that their probabilities keep their digits.
    sign = np.where(mean > (least + most) / 2, -1.0, 1.0)
    low = special.ndtr(np.where(sign > 0, mean - most, least - mean) / spread)
    high = special.ndtr(np.where(sign > 0, mean - least, most - mean) / spread)
    drawn = mean - sign * spread * special.ndtri(low + (high - low) * rng.random(mean.shape))
    # Where the bounds are so far out that both probabilities are 0, the nearer bound is as good as any draw.
    return np.asarray(np.clip(np.where(high > 0, drawn, mean), least, most))


def _gamma_above(shape: float, rate: Floats, least: float, rng: np.random.Generator) -> Floats:
    """Draw from gamma distributions above ``least``: precisions with an upper bound on the spread."""
    above = special.gammaincc(shape, rate * least)
    drawn = special.gammainccinv(shape, above * rng.random(rate.shape)) / rate
    return np.asarray(np.maximum(drawn, least))


def _without_prior(rng: np.random.Generator, n: int, samples: int) -> Floats:
    return np.concatenate([np.zeros((samples, 1)), rng.dirichlet(np.ones(n), samples)], axis=1)


def _not_negative(rope: float, prior: float) -> None:
    if not rope >= 0 or not prior >= 0:
        raise ValueError(f"rope and prior must not be negative, but got {rope} and {prior}")


def _posterior(shares: Floats, rope: float, n: int) -> Posterior:
    """Return the posterior of samples of shape (samples, 3), with columns for worse, rope and better."""
    # Sums of equal weights may differ in their last digits.
    first = shares >= shares.max(axis=1, keepdims=True) - 1e-12
    worse, within, better = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    return Posterior(float(worse), float(within), float(better), shares.mean(axis=0), rope, n, len(shares))
