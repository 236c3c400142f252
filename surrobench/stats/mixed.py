"""Fit a linear mixed-effects model of a balanced study.

    loss[i, j, s] = mean + method[j] + instance[i] + interaction[i, j] + seed[i, s] + residual[i, j, s]

Methods are fixed; instances and their interaction with methods are random. The effect of a seed is what all
methods share that start from the same configurations under the same noise. Where seeds are not paired, that
term is left out.

Every method ran on every instance with every seed. For such data the model has an exact solution: the
analysis of variance. Methods are tested against their interaction with instances, not against the spread of
seeds, with (k - 1)(n - 1) degrees of freedom. More seeds therefore do not make up for few instances. The
solution needs no iteration and no approximate degrees of freedom. Where the estimated components are
positive, they are those of REML, and the degrees of freedom are those of Satterthwaite and of Kenward and
Roger.

The model assumes normal effects and one interaction variance for all methods. Losses are lower-is-better;
contrasts are positive where the method is better. Sources: S. R. Searle, G. Casella & C. E. McCulloch,
Variance Components (1992), chapter 4; H. Scheffé, The Analysis of Variance (1959), chapter 8.
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
        t: the difference over its standard error.
        p: two-sided p-value, uncorrected.
        p_corrected: the p-value, corrected for all contrasts.
    """

    method: int
    difference: float
    low: float
    high: float
    t: float
    p: float
    p_corrected: float


@dataclass(frozen=True)
class MixedModel:
    """The model of n instances by k methods by s seeds.

    Attributes:
        f: the mean square of methods over that of their interaction with instances.
        dof: the degrees of freedom of numerator and denominator, (k - 1, (k - 1)(n - 1)).
        p: the upper tail of F.
        var_instance: the variance of instances. The estimate is unbiased and can therefore be below zero.
        var_interaction: the variance of methods by instances, also unbiased. With one seed it includes the
            residual.
        var_seed: the variance of seeds within an instance, common to all methods, also unbiased; NaN with one
            seed or where seeds are not paired.
        var_residual: the variance of the residual; NaN with one seed.
        standard_error: the standard error of the difference of two methods' means.
        level: the level of the intervals.
        correction: the correction of the contrasts' p-values.
        contrasts: one contrast for each method except the control, in column order; none without a control.
        n, k, s: the numbers of instances, methods and seeds.
        note: why there is nothing to test (then F and p are NaN), or how to read the result; or "".
    """

    f: float
    dof: tuple[int, int]
    p: float
    var_instance: float
    var_interaction: float
    var_seed: float
    var_residual: float
    standard_error: float
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
    of_method = losses.mean(axis=2).mean(axis=0)
    error = float(np.sqrt(2 * unexplained / (n * s)))
    return MixedModel(
        f=f,
        dof=dof,
        p=float(stats.f.sf(f, *dof)),
        var_instance=var_instance,
        var_interaction=var_interaction,
        var_seed=var_seed,
        var_residual=ms.residual,
        standard_error=error,
        level=level,
        correction=correction,
        contrasts=() if control is None else _contrasts(of_method, control, error, dof[1], level, correction),
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


def _contrasts(
    means: Floats,
    control: int,
    error: float,
    dof: int,
    level: float,
    correction: Correction,
) -> tuple[Contrast, ...]:
    others = [method for method in range(len(means)) if method != control]
    differences = np.array([means[control] - means[method] for method in others])
    half = float(stats.t.isf((1 - level) / 2, dof)) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(differences == 0, 0.0, differences / error)
    p = 2 * stats.t.sf(np.abs(t), dof)
    rows = zip(others, differences, t, p, correct(p, correction), strict=True)
    return tuple(
        Contrast(method, float(d), float(d - half), float(d + half), float(t), float(p), float(p_corrected))
        for method, d, t, p, p_corrected in rows
    )
