"""Fit a linear mixed-effects model of a balanced study.

    loss[i, j, s] = mean + method[j] + instance[i] + interaction[i, j] + seed[i, s] + residual[i, j, s]

Methods are fixed; instances and their interaction with methods are random. The effect of a seed is what all
methods share that start from the same configurations under the same noise. Where seeds are not paired, that
term is left out.

Every method ran on every instance with every seed. For such data the model has an exact solution: the
analysis of variance. Methods are tested against their interaction with instances, not against the spread of
seeds. More seeds therefore do not make up for few instances. Where the estimated components are positive,
they are those of REML.

Methods may vary unequally. Each contrast is tested against its own interaction with instances, not against
one that is pooled over all methods, with n - 1 degrees of freedom: it is Student's paired t of the instances'
means. (Pooled, a contrast with an erratic control rejects 20 % at 5 %.) The degrees of freedom of F are
reduced by Greenhouse and Geisser's epsilon, which is 1 where all differences of two methods vary alike. Both
assume that the means of the instances are about normal; skewed ones need more instances.

Losses are lower-is-better; contrasts are positive where the method is better. Sources: S. R. Searle, G.
Casella & C. E. McCulloch, Variance Components (1992), chapter 4; H. Scheffé, The Analysis of Variance (1959),
chapter 8; S. W. Greenhouse & S. Geisser, On methods in the analysis of profile data, Psychometrika 24 (1959).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from surrobench.arrays import Floats
from surrobench.stats.correction import Correction, correct
from surrobench.stats.shapes import complete


@dataclass(frozen=True)
class Contrast:
    """The difference between one method and the control.

    Attributes:
        method: the column of the method.
        difference: the control's mean loss minus the method's: positive where the method is better.
        low, high: the confidence interval, for this contrast separately.
        standard_error: the standard error of the difference, from its own variation between instances.
        t: the difference over its standard error, with n - 1 degrees of freedom.
        p: two-sided p-value, uncorrected.
        p_corrected: the p-value, corrected for all contrasts.
    """

    method: int
    difference: float
    low: float
    high: float
    standard_error: float
    t: float
    p: float
    p_corrected: float


@dataclass(frozen=True)
class MixedModel:
    """The model of n instances by k methods by s seeds.

    Attributes:
        f: the mean square of methods over that of their interaction with instances.
        dof: the degrees of freedom of numerator and denominator, (k - 1, (k - 1)(n - 1)).
        epsilon: the factor that reduces both, from 1 / (k - 1) to 1.
        p: the upper tail of F, with the reduced degrees of freedom.
        var_instance: the variance of instances. The estimate is unbiased and can therefore be below zero.
        var_interaction: the variance of methods by instances, also unbiased. With one seed it includes the
            residual.
        var_seed: the variance of seeds within an instance, common to all methods, also unbiased; NaN with one
            seed or where seeds are not paired.
        var_residual: the variance of the residual; NaN with one seed.
        level: the level of the intervals.
        correction: the correction of the contrasts' p-values.
        contrasts: one contrast for each method except the control, in column order; none without a control.
        n, k, s: the numbers of instances, methods and seeds.
        note: why there is nothing to test (then F and p are NaN), or how to read the result; or "".
    """

    f: float
    dof: tuple[int, int]
    epsilon: float
    p: float
    var_instance: float
    var_interaction: float
    var_seed: float
    var_residual: float
    level: float
    correction: Correction
    contrasts: tuple[Contrast, ...]
    n: int
    k: int
    s: int
    note: str = ""


def mixed_model(
    losses: ArrayLike,
    control: int | None = None,
    level: float = 0.95,
    correction: Correction = "holm",
    paired_seeds: bool = True,
) -> MixedModel:
    """Fit the model to a balanced study, and compare each method with the control.

    Args:
        losses: shape (n, k, s), n instances by k methods by s seeds, lower is better.
        control: the column of the control; None for no contrasts.
        level: the level of the confidence intervals.
        correction: the correction of the contrasts' p-values.
        paired_seeds: whether a seed means the same start for all methods. It changes the components of
            variance, but neither the test nor the intervals.

    Raises:
        ValueError: ``losses`` does not have three axes, is empty, or has a NaN; ``control`` is no column; or
            ``level`` is out of range.
    """
    losses = complete(losses, "instances", "methods", "seeds")
    n, k, s = losses.shape
    if control is not None and not 0 <= control < k:
        raise ValueError(f"0 <= control < {k} must hold, but got {control}")
    if not 0 < level < 1:
        raise ValueError(f"0 < level < 1 must hold, but got {level}")
    dof = (k - 1, (k - 1) * (n - 1))
    nan = float("nan")
    if n < 2 or k < 2:
        what = f"{n} instance" if n < 2 else f"{k} method"
        return MixedModel(
            nan, dof, nan, nan, nan, nan, nan, nan, level, correction, (), n, k, s,
            f"{what}: not testable, two are needed",
        )  # fmt: skip
    ms = _mean_squares(losses, paired_seeds)
    # Equate the mean squares with their expectations (Searle, Casella & McCulloch, section 4.3).
    var_interaction = (ms.interaction - (ms.residual if s > 1 else 0.0)) / s
    var_seed = (ms.seed - ms.residual) / k
    var_instance = (ms.instance - ms.interaction) / (k * s) - (0.0 if np.isnan(var_seed) else var_seed / s)
    notes = []
    if var_interaction < 0:
        notes.append("methods differ between instances no more than seeds explain")
    # A mean square below this is the rounding error of equal values.
    rounding = s * n * k * (1e-14 * float(np.abs(losses).max())) ** 2
    unexplained = ms.interaction
    if unexplained <= rounding:
        unexplained = 0.0
        notes.append("the methods differ by the same on every instance: no variation to test against")
    ratio = ms.method / unexplained if unexplained else float("inf")
    f = ratio if ms.method > rounding else 0.0
    cells = losses.mean(axis=2)
    epsilon = _epsilon(cells)
    return MixedModel(
        f=f,
        dof=dof,
        epsilon=epsilon,
        p=float(stats.f.sf(f, *(epsilon * one for one in dof))),
        var_instance=var_instance,
        var_interaction=var_interaction,
        var_seed=var_seed,
        var_residual=ms.residual,
        level=level,
        correction=correction,
        contrasts=() if control is None else _contrasts(cells, control, level, correction),
        n=n,
        k=k,
        s=s,
        note="; ".join(notes),
    )


class _MeanSquares(NamedTuple):
    """The mean squares of the analysis of variance; NaN where a term is left out."""

    method: float
    instance: float
    interaction: float
    seed: float
    residual: float


def _mean_squares(losses: Floats, paired_seeds: bool) -> _MeanSquares:
    """Split the variation of losses of shape (n, k, s), with n and k at least 2, by its sources."""
    n, k, s = losses.shape
    cells = losses.mean(axis=2)
    of_method, of_instance, grand = cells.mean(axis=0), cells.mean(axis=1), float(cells.mean())
    interaction = cells - of_method - of_instance[:, None] + grand
    residual, left, seed = losses - cells[..., None], n * k * (s - 1), float("nan")
    if paired_seeds and s > 1:
        of_seed = residual.mean(axis=1)
        seed = k * _square(of_seed) / (n * (s - 1))
        residual, left = residual - of_seed[:, None], n * (k - 1) * (s - 1)
    return _MeanSquares(
        method=n * s * _square(of_method - grand) / (k - 1),
        instance=k * s * _square(of_instance - grand) / (n - 1),
        interaction=s * _square(interaction) / ((k - 1) * (n - 1)),
        seed=seed,
        residual=_square(residual) / left if s > 1 else float("nan"),
    )


def _square(deviations: Floats) -> float:
    """Return the sum of squares."""
    return float(np.square(deviations).sum())


def _epsilon(cells: Floats) -> float:
    """Return Greenhouse and Geisser's epsilon of the means of the instances, shape (n, k)."""
    k = cells.shape[1]
    covariance = np.cov(cells, rowvar=False)
    centred = covariance - covariance.mean(axis=0) - covariance.mean(axis=1)[:, None] + covariance.mean()
    squares = _square(centred)
    # Where the methods differ by the same on every instance, there is nothing to correct.
    if squares <= (1e-14 * float(np.abs(cells).max())) ** 4:
        return 1.0
    return float(np.clip(np.trace(centred) ** 2 / ((k - 1) * squares), 1 / (k - 1), 1))


def _contrasts(cells: Floats, control: int, level: float, correction: Correction) -> tuple[Contrast, ...]:
    """Return the contrasts of the means of the instances, shape (n, k), each with a variance of its own."""
    n, k = cells.shape
    others = [method for method in range(k) if method != control]
    gains = cells[:, [control]] - cells[:, others]
    differences = gains.mean(axis=0)
    errors = gains.std(axis=0, ddof=1) / np.sqrt(n)
    errors[errors <= 1e-14 * float(np.abs(cells).max())] = 0
    half = float(stats.t.isf((1 - level) / 2, n - 1)) * errors
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(differences == 0, 0.0, differences / errors)
    p = 2 * stats.t.sf(np.abs(t), n - 1)
    rows = zip(others, differences, half, errors, t, p, correct(p, correction), strict=True)
    return tuple(
        Contrast(method, float(d), float(d - h), float(d + h), float(e), float(t), float(p), float(corrected))
        for method, d, h, e, t, p, corrected in rows
    )
