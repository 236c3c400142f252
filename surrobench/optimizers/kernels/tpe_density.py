"""Fast approximations of TPE's log densities, good to 1e-9, for the candidates of many runs at once.

The quadratic forms of all normal distributions are one matrix product. The mass of a cell, of a discrete
hyperparameter, is looked up in a table where there are few values. Where there are many, it is the density in
the cell's middle times its width, corrected by a series in the width; where that is not enough, it is the
difference of two error functions. Both are computed only for kernels that contribute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from surrobench.arrays import Floats
from surrobench.optimizers.kernels.tpe_mixture import Indices, Mixture, category_weights
from surrobench.optimizers.kernels.tpe_space import TpeSpace
from surrobench.optimizers.kernels.truncated_normal import LOG_ROOT_2PI

FEW = 32
"""A number with at most so many values has a table of them."""
NEGLIGIBLE = 20.0
"""All kernels together contribute nothing that shows whose logarithms are so much below the largest, and
that of their number."""
LEAST = -690.0
"""Stands for the logarithm of nothing."""
GUARD = 1e-7
"""Two candidates whose scores are nearer than that are not told apart by these approximations."""
ROOT_2PI = math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class Candidates:
    """The candidates of R runs for one block.

    Attributes:
        numbers: shape (R, q, C): values where the column is discrete, else on the scale of the kernels.
        categories: shape (R, c, C).
    """

    numbers: Floats
    categories: Indices


def log_density(
    space: TpeSpace, numeric: Indices, categorical: Indices, candidates: Candidates, mix: Mixture
) -> Floats:
    """Return the log density of each candidate, shape (R, C).

    Args:
        space: the space.
        numeric: the block's numbers.
        categorical: the block's other columns.
        candidates: of the block.
        mix: the kernels of the block.
    """
    levels = space.levels[numeric]
    fine = np.flatnonzero(levels > FEW)
    # The logarithm of each kernel's density is a product of what depends on the candidate and what depends
    # on the kernel: powers of the numbers, and for each value of the others whether the candidate has it.
    constant = np.maximum(mix.log_weights, LEAST)
    features: list[Floats] = []
    factors: list[Floats] = []
    if len(numeric):
        constant = constant + _normalisation(space, numeric, mix)
    normal = np.flatnonzero((levels == 0) | (levels > FEW))
    if len(normal):
        columns = numeric[normal]
        centre = space.middle[columns][:, None]
        place = _places(space, columns, candidates.numbers[:, normal]) - centre
        mu = mix.mu[:, normal] - centre
        scale = 0.5 / mix.sigma[:, normal] ** 2
        linear = 2.0 * scale * mu
        constant = constant - (0.5 * linear * mu).sum(axis=1)
        features += [place * place, place]
        factors += [-scale, linear]
    for i in np.flatnonzero((levels > 0) & (levels <= FEW)).tolist():
        column = numeric[i]
        at = np.rint((candidates.numbers[:, i] - space.low[column]) / space.step[column])
        features.append(_has_value(at, int(space.levels[column])))
        factors.append(_table(space, int(column), i, mix))
    for i, column in enumerate(categorical.tolist()):
        features.append(_has_value(candidates.categories[:, i], int(space.choices[column])))
        factors.append(_category_table(int(space.choices[column]), i, mix))
    factors.append(constant[:, None, :])
    features.append(np.ones((len(constant), 1, features[0].shape[2])))
    terms = np.matmul(np.concatenate(features, axis=1).transpose(0, 2, 1), np.concatenate(factors, axis=1))
    largest = terms.max(axis=2)
    terms -= largest[:, :, None]
    if not len(fine):
        return np.asarray(np.log(np.exp(terms, out=terms).sum(axis=2)) + largest)
    return np.asarray(_with_cells(space, numeric, fine, candidates, mix, terms) + largest)


def _has_value(at: Floats | Indices, levels: int) -> Floats:
    """Return 1 where a candidate has a value, else 0: shape (R, levels, C)."""
    return np.asarray(at[:, None, :] == np.arange(levels)[:, None], dtype=np.float64)


def _category_table(choices: int, i: int, mix: Mixture) -> Floats:
    """Return the log probability of each category in each kernel, shape (R, choices, K)."""
    numbers, which = np.unique(mix.trials, return_inverse=True)
    tables = np.log(np.stack([category_weights(m, choices) for m in numbers.tolist()]))
    return np.asarray(tables[which[:, None], mix.category[:, i]].transpose(0, 2, 1))


def _normalisation(space: TpeSpace, numeric: Indices, mix: Mixture) -> Floats:
    """Return the logarithm of what normalises each kernel, less the cells' part, shape (R, K)."""
    low, high = space.cut_low[numeric, None], space.cut_high[numeric, None]
    inverse = 1.0 / mix.sigma
    inside = ndtr((high - mix.mu) * inverse) - ndtr((low - mix.mu) * inverse)
    continuous = np.flatnonzero(space.levels[numeric] == 0)
    if len(continuous):
        inside[:, continuous] *= mix.sigma[:, continuous] * ROOT_2PI
    return np.asarray(-np.log(inside).sum(axis=1))


def _places(space: TpeSpace, columns: Indices, values: Floats) -> Floats:
    """Return where candidates are on the kernels' scale, shape (R, q, C): the middles of their cells."""
    fine = np.flatnonzero(space.levels[columns] > FEW)
    if not len(fine):
        return values
    places = values.copy()
    for i in fine:
        low, high = cell(space, int(columns[i]), values[:, i])
        places[:, i] = (low + high) / 2
    return places


def cell(space: TpeSpace, column: int, values: Floats) -> tuple[Floats, Floats]:
    """Return the ends of values' cells on the scale of the kernels."""
    half = space.step[column] / 2
    low, high = values - half, values + half
    return (np.log(low), np.log(high)) if space.log[column] else (low, high)


def _table(space: TpeSpace, column: int, i: int, mix: Mixture) -> Floats:
    """Return the log mass of each value in each kernel, shape (R, levels, K), of a column with few values."""
    low, step, levels = space.low[column], space.step[column], int(space.levels[column])
    edges = low + (np.arange(levels + 1) - 0.5) * step
    if space.log[column]:
        edges = np.log(edges)
    z = (edges[:, None] - mix.mu[:, i, None, :]) / mix.sigma[:, i, None, :]
    tail = ndtr(-np.abs(z))
    mass = tail[:, 1:] - tail[:, :-1]
    right, across = z[:, :-1] > 0, (z[:, :-1] <= 0) & (z[:, 1:] > 0)
    mass = np.where(right, -mass, np.where(across, 1.0 - tail[:, 1:] - tail[:, :-1], mass))
    return np.asarray(np.log(np.maximum(mass, math.exp(LEAST))))


def _with_cells(
    space: TpeSpace,
    numeric: Indices,
    fine: Indices,
    candidates: Candidates,
    mix: Mixture,
    terms: Floats,
) -> Floats:
    """Return the logarithm of the kernels' sum, shape (R, C), once cells' masses have corrected the terms.

    Args:
        space: the space.
        numeric: the block's numbers.
        fine: which of them have many values.
        candidates: of the block.
        mix: the kernels of the block.
        terms: shape (R, C, K), with the density in the cells' middles.
    """
    runs, count, kernels = terms.shape
    flat = np.flatnonzero(terms.ravel() > -(NEGLIGIBLE + math.log(terms.shape[2])))
    row, kernel = np.divmod(flat, kernels)
    run = row // count
    value = terms.ravel()[flat]
    for i in fine:
        low, high = cell(space, int(numeric[i]), candidates.numbers[:, i])
        mu, inverse = mix.mu[run, i, kernel], 1.0 / mix.sigma[run, i, kernel]
        value += _cell_mass(low.ravel()[row], high.ravel()[row], mu, inverse)
    total = np.bincount(row, weights=np.exp(value), minlength=runs * count)
    return np.asarray(np.log(total.reshape(runs, count)))


def _cell_mass(low: Floats, high: Floats, mu: Floats, inverse: Floats) -> Floats:
    """Return the log mass of cells in kernels, less -z^2 / 2 of the cells' middles; all of shape (m,)."""
    z, h = ((low + high) * 0.5 - mu) * inverse, (high - low) * inverse
    z2, h2 = z * z, h * h
    # The integral's Taylor series in the width, whose coefficients are Hermite's polynomials.
    series = h2 / 24 * (z2 - 1) + h2 * h2 / 1920 * ((z2 - 6) * z2 + 3)
    series += h2**3 / 322560 * (((z2 - 15) * z2 + 45) * z2 - 15)
    out = np.log(h) + np.log1p(np.maximum(series, -0.9)) - LOG_ROOT_2PI
    hard = np.flatnonzero((h2 > 0.09) | (h2 * z2 > 0.25))
    if len(hard):
        a, b = (low[hard] - mu[hard]) * inverse[hard], (high[hard] - mu[hard]) * inverse[hard]
        right = a > 0
        a, b = np.where(right, -b, a), np.where(right, -a, b)
        with np.errstate(divide="ignore"):
            out[hard] = np.log(ndtr(b) - ndtr(a)) + z2[hard] / 2
    return np.asarray(out)
