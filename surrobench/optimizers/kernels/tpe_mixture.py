"""The kernels of TPE's two densities: mixtures of truncated normal and categorical distributions.

A mixture has one kernel for each trial and one for the prior. Bergstra et al., NeurIPS 2011, say so; the
bandwidths, weights and probabilities of categories are those of Watanabe, arXiv 2304.11127, as Optuna 5.0
computes them by default, to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from surrobench.arrays import Bools, Floats
from surrobench.optimizers.kernels.tpe_space import TpeSpace

Indices = NDArray[np.intp]


def good_group(observed: int) -> int:
    """Return how many of so many finished trials are good ones: Optuna's default ``gamma``."""
    return min(math.ceil(0.1 * observed), 25)


@lru_cache(maxsize=4096)
def weights(trials: int) -> tuple[Floats, Floats]:
    """Return the weights of the kernels of so many trials, the prior last.

    Returns:
        weights: shape (trials + 1,); the newest 25 count fully, older ones ever less.
        cumulated: the same summed up.
    """
    ramp = np.linspace(1.0 / max(trials, 1), 1.0, num=max(trials - 25, 0))
    share = np.append(np.concatenate([ramp, np.ones(min(trials, 25))]), [1.0])
    share /= share.sum()
    cumulated = share.cumsum()
    return share, cumulated / cumulated[-1]


@lru_cache(maxsize=1024)
def category_weights(trials: int, choices: int) -> Floats:
    """Return the probabilities of categories, shape (choices + 1, choices): a row for each observed category.

    The last row is the prior's.
    """
    if not trials:
        return np.full((choices + 1, choices), 1.0 / choices)
    rows = np.full((choices + 1, choices), 1.0 / (trials + 1))
    rows[np.arange(choices), np.arange(choices)] += 1
    rows /= rows.sum(axis=1, keepdims=True)
    return rows


@dataclass(frozen=True)
class Mixture:
    """The kernels of R runs for one block: q numbers and c categorical columns, at most K kernels.

    Runs with fewer trials have kernels without weight at the end.

    Attributes:
        trials: shape (R,), how many each run has; the prior follows them.
        mu, sigma: shape (R, q, K).
        category: shape (R, c, K): an index; the number of choices for the prior.
        log_weights: shape (R, K).
    """

    trials: Indices
    mu: Floats
    sigma: Floats
    category: Indices
    log_weights: Floats

    @property
    def kernels(self) -> int:
        """K."""
        return int(self.log_weights.shape[1])


def positions(chosen: Bools) -> tuple[Indices, Indices]:
    """Return where a mask, shape (R, n), is true.

    Returns:
        where: shape (R, most), in order; what is beyond a row's own number is arbitrary.
        numbers: shape (R,), how many there are.
    """
    numbers = chosen.sum(axis=1)
    most = int(numbers.max(initial=0))
    if (numbers == most).all():
        return np.nonzero(chosen)[1].reshape(len(chosen), most), numbers
    return np.argsort(~chosen, axis=1, kind="stable")[:, :most], numbers


def mixture(
    space: TpeSpace, scaled: Floats, numeric: Indices, categorical: Indices, chosen: Bools
) -> Mixture:
    """Return the mixtures of some trials.

    Args:
        space: the space.
        scaled: shape (R, d, n).
        numeric: the block's numbers.
        categorical: the block's other columns.
        chosen: shape (R, n), which trials.
    """
    where, trials = positions(chosen)
    runs, most = where.shape
    mu = np.empty((runs, len(numeric), most + 1))
    mu[:, :, :most] = np.take_along_axis(scaled[:, numeric], where[:, None, :], axis=2)
    sigma = np.empty_like(mu)
    category = np.empty((runs, len(categorical), most + 1), dtype=np.intp)
    if len(categorical):
        known = np.take_along_axis(scaled[:, categorical], where[:, None, :], axis=2)
        category[:, :, :most] = np.nan_to_num(known)
    log_weights = np.full((runs, most + 1), -np.inf)
    for number in np.unique(trials).tolist():
        rows = trials == number
        mine = slice(None) if rows.all() else np.flatnonzero(rows)
        log_weights[mine, : number + 1] = np.log(weights(number)[0])
        if len(numeric):
            sigma[mine, :, :number] = bandwidths(
                np.ascontiguousarray(mu[mine, :, :number]),
                space.lower[numeric],
                space.upper[numeric],
            )
            mu[mine, :, number:] = space.middle[numeric, None]
            sigma[mine, :, number:] = space.span[numeric, None]
        if len(categorical):
            category[mine, :, number:] = space.choices[categorical, None]
    return Mixture(trials, mu, sigma, category, log_weights)


def bandwidths(mu: Floats, lower: Floats, upper: Floats) -> Floats:
    """Return the bandwidth of each kernel, shape (R, q, m) like ``mu``; ``lower`` and ``upper`` are (q,).

    It is the distance to the farther neighbour, within bounds. At either end, only the one neighbour counts
    that is no end of the range, if there are two trials.
    """
    m = mu.shape[2]
    if not m:
        return np.empty_like(mu)
    # The default sort is unstable: which of equal trials gets which bandwidth is decided as in Optuna.
    order = np.argsort(mu, axis=2)
    ordered = np.take_along_axis(mu, order, axis=2)
    gaps = np.empty((*mu.shape[:2], m + 1))
    gaps[:, :, 0] = ordered[:, :, 0] - lower
    np.subtract(ordered[:, :, 1:], ordered[:, :, :-1], out=gaps[:, :, 1:-1])
    gaps[:, :, -1] = upper - ordered[:, :, -1]
    wider = np.maximum(gaps[:, :, :-1], gaps[:, :, 1:])
    if m >= 2:
        wider[:, :, 0], wider[:, :, -1] = gaps[:, :, 1], gaps[:, :, -2]
    span = upper - lower
    np.clip(wider, (span / min(100.0, 1.0 + (m + 1)))[:, None], span[:, None], out=wider)
    out = np.empty_like(mu)
    np.put_along_axis(out, order, wider, axis=2)
    return out
