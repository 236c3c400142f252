"""TPE's proposals for many runs at once, each as Optuna 5.0 makes it for one, to the last bit.

Bergstra et al., NeurIPS 2011: candidates are drawn from the density of the good trials, and the one proposed
has the largest ratio of that density to the density of the others. Three things must be exact for the same
proposals: the random numbers and their order, which candidate wins, and the winner's value. So the scores of
candidates are approximated (``tpe_density``), and the winner's value has Optuna's arithmetic
(``truncated_normal``). Where the two best scores are too near to tell, or the arithmetic is not sure of the
last bit, Optuna's own classes decide (``tpe_referred``), and that is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from surrobench.arrays import Bools, Floats
from surrobench.optimizers.kernels.tpe_density import GUARD, Candidates, log_density
from surrobench.optimizers.kernels.tpe_history import Block, TpeProposal, TpeState
from surrobench.optimizers.kernels.tpe_mixture import (
    Indices,
    Mixture,
    category_weights,
    good_group,
    mixture,
    weights,
)
from surrobench.optimizers.kernels.tpe_referred import proposed_by_optuna
from surrobench.optimizers.kernels.tpe_space import TpeSpace
from surrobench.optimizers.kernels.truncated_normal import quantile, steps_needed

TOGETHER = 64
"""So many runs fill the caches of a processor; more take longer."""


def propose(states: Sequence[TpeState]) -> list[TpeProposal]:
    """Return the proposals for many runs; a kernel in the sense of ``protocol.requests``."""
    groups: dict[tuple[int, int, tuple[Block, ...], int], list[int]] = {}
    for i, (history, blocks, candidates, _) in enumerate(states):
        groups.setdefault((id(history.space), history.n, blocks, candidates), []).append(i)
    answers: list[TpeProposal | None] = [None] * len(states)
    for group in groups.values():
        for first in range(0, len(group), TOGETHER):
            members = group[first : first + TOGETHER]
            for i, answer in zip(members, _alike([states[i] for i in members]), strict=True):
                answers[i] = answer
    return [answer for answer in answers if answer is not None]


def _alike(states: list[TpeState]) -> list[TpeProposal]:
    """Return the proposals for runs with the same space, blocks and number of trials."""
    history, blocks, candidates, _ = states[0]
    space, n = history.space, history.n
    scaled = np.stack([state.history.scaled for state in states])
    draws = np.stack([state.draws for state in states])
    good = np.zeros((len(states), n), dtype=bool)
    few = good_group(n)
    ranking = np.array([state.history.ranking[:few] for state in states], dtype=np.intp)
    np.put_along_axis(good, ranking, True, axis=1)
    values, referred = [], np.zeros(len(states), dtype=np.intp)
    first = 0
    for block in blocks:
        mine = draws[:, first : first + candidates * (1 + len(block))]
        first += mine.shape[1]
        proposed, unsure = _block(space, block, scaled, good, mine.reshape(len(states), -1, candidates))
        for r in np.flatnonzero(unsure):
            proposed[r] = proposed_by_optuna(states[r].history, block, candidates, mine[r])
        values.append(proposed)
        referred += unsure
    proposals = np.concatenate(values, axis=1)
    columns = [j for block in blocks for j in block]
    encoded, on_scale = space.encode(columns, proposals), space.to_scale(proposals, columns)
    inside = space.inside(columns, proposals)
    rows = zip(proposals, on_scale, encoded, inside.tolist(), referred.tolist(), strict=True)
    return list(map(TpeProposal._make, rows))


class Drawn(NamedTuple):
    """The draws for one block of R runs: C candidates, q numbers, c categorical columns.

    Attributes:
        kernel: shape (R, C), which kernel each candidate comes from.
        uniform: shape (R, q, C), the numbers' quantiles.
        mu, sigma: shape (R, q, C), the normal distribution that each number comes from.
        a, b: shape (R, q, C), where it is cut off, in bandwidths.
        p: shape (R, q, C), the quantile without the cut, approximately.
        categories: shape (R, c, C), exact.
    """

    kernel: Indices
    uniform: Floats
    mu: Floats
    sigma: Floats
    a: Floats
    b: Floats
    p: Floats
    categories: Indices


def _block(space: TpeSpace, block: Block, scaled: Floats, good: Bools, draws: Floats) -> tuple[Floats, Bools]:
    """Return the proposals for one block of R runs.

    Args:
        space: the space.
        block: the columns.
        scaled: shape (R, d, n), the trials on the kernels' scale.
        good: shape (R, n), which trials are good.
        draws: shape (R, 1 + number of columns, C).

    Returns:
        values: shape (R, number of columns).
        unsure: shape (R,), where Optuna has to decide.
    """
    columns = np.array(block, dtype=np.intp)
    is_number = space.choices[columns] == 0
    numeric, categorical = columns[is_number], columns[~is_number]
    active = ~np.isnan(scaled[:, columns]).any(axis=1)
    below = mixture(space, scaled, numeric, categorical, good & active)
    above = mixture(space, scaled, numeric, categorical, ~good & active)
    drawn = _draw(space, numeric, categorical, draws, below)
    values = np.empty((len(draws), len(columns)))
    rows = np.arange(len(draws))
    if not len(numeric):
        best = np.argmax(_exact_scores(space, categorical, drawn.categories, below, above), axis=1)
        values[:] = drawn.categories[rows, :, best]
        return values, np.zeros(len(draws), dtype=bool)
    candidates = Candidates(_natural(space, numeric, drawn), drawn.categories)
    score = log_density(space, numeric, categorical, candidates, below)
    score = score - log_density(space, numeric, categorical, candidates, above)
    best = np.argmax(score, axis=1)
    unsure = _close(score, best, candidates)
    values[:, is_number], again = _exact_winner(space, numeric, drawn, best)
    values[:, ~is_number] = drawn.categories[rows, :, best]
    return values, unsure | again


def _draw(space: TpeSpace, numeric: Indices, categorical: Indices, draws: Floats, below: Mixture) -> Drawn:
    """Turn uniform numbers into candidates from the density of the good trials."""
    numbers = np.unique(below.trials)
    cumulated = np.full((len(draws), below.kernels), 2.0)
    for m in numbers.tolist():
        cumulated[below.trials == m, : m + 1] = weights(m)[1]
    kernel = (cumulated[:, None, :] <= draws[:, 0, :, None]).sum(axis=2)
    categories = np.empty((len(draws), len(categorical), draws.shape[2]), dtype=np.intp)
    for i, column in enumerate(categorical):
        choices = int(space.choices[column])
        for m in numbers.tolist():
            rows = np.flatnonzero(below.trials == m)
            edges = category_weights(m, choices).cumsum(axis=1)
            edges[:, -1] = 1
            mine = edges[np.take_along_axis(below.category[rows, i], kernel[rows], axis=1)]
            categories[rows, i] = (mine < draws[rows, 1 + i, :, None]).sum(axis=2)
    uniform = draws[:, 1 + len(categorical) :]
    at = np.broadcast_to(kernel[:, None, :], uniform.shape)
    mu, sigma = np.take_along_axis(below.mu, at, axis=2), np.take_along_axis(below.sigma, at, axis=2)
    a = (space.cut_low[numeric, None] - mu) / sigma
    b = (space.cut_high[numeric, None] - mu) / sigma
    start = ndtr(a)
    return Drawn(kernel, uniform, mu, sigma, a, b, start + uniform * (ndtr(b) - start), categories)


def _natural(space: TpeSpace, numeric: Indices, drawn: Drawn) -> Floats:
    """Return the candidates' numbers, shape (R, q, C), nearly exact: see ``Candidates.numbers``."""
    place = np.clip(
        ndtri(drawn.p) * drawn.sigma + drawn.mu,
        space.cut_low[numeric, None],
        space.cut_high[numeric, None],
    )
    discrete = np.flatnonzero(space.step[numeric] > 0)
    if len(discrete):
        logarithmic = discrete[space.log[numeric[discrete]]]
        place[:, logarithmic] = np.exp(place[:, logarithmic])
        place[:, discrete] = space.discrete(numeric[discrete], place[:, discrete])
    return np.asarray(place)


def _close(score: Floats, best: Indices, candidates: Candidates) -> Bools:
    """Return where another configuration's score is as good as the best, shape (R,)."""
    rows = np.arange(len(score))
    near = score > (score[rows, best] - GUARD)[:, None]
    unsure = ~np.isfinite(score[rows, best])
    crowded = np.flatnonzero(near.sum(axis=1) > 1)
    if len(crowded):
        other = np.zeros((len(crowded), score.shape[1]), dtype=bool)
        for values in (candidates.numbers[crowded], candidates.categories[crowded]):
            winner = np.take_along_axis(values, best[crowded, None, None], axis=2)
            other |= (values != winner).any(axis=1)
        unsure[crowded] |= (near[crowded] & other).any(axis=1)
    return np.asarray(unsure)


def _exact_scores(
    space: TpeSpace, categorical: Indices, candidates: Indices, below: Mixture, above: Mixture
) -> Floats:
    """Return the scores of candidates that have categories only, shape (R, C), with Optuna's arithmetic.

    Scores of categories are equal too often for approximations.
    """
    good = _exact_density(space, categorical, candidates, below)
    return np.asarray(good - _exact_density(space, categorical, candidates, above))


def _exact_density(space: TpeSpace, categorical: Indices, candidates: Indices, mix: Mixture) -> Floats:
    out = np.empty((len(candidates), candidates.shape[2]))
    for m in np.unique(mix.trials).tolist():  # a sum's last bit depends on its length
        rows = np.flatnonzero(mix.trials == m)
        terms = np.zeros((len(rows), candidates.shape[2], m + 1))
        for i, column in enumerate(categorical):
            table = np.log(category_weights(m, int(space.choices[column])))
            category = mix.category[rows, i, : m + 1]
            terms += table[category[:, None, :], candidates[rows, i, :, None]]
        terms += np.log(weights(m)[0])
        largest = terms.max(axis=2)
        out[rows] = np.log(np.exp(terms - largest[:, :, None]).sum(axis=2)) + largest
    return out


def _exact_winner(space: TpeSpace, numeric: Indices, drawn: Drawn, best: Indices) -> tuple[Floats, Bools]:
    """Return the winners' numbers with Optuna's arithmetic.

    Returns:
        values: shape (R, q).
        unsure: shape (R,), where the last bit is not sure.
    """
    left = drawn.a < 0
    with np.errstate(divide="ignore"):
        log_p = np.where(left, np.log(drawn.p), np.log1p(-drawn.p))
    needed, at_a_step = steps_needed(log_p)
    steps = np.where(
        left,
        np.where(left, needed, 0).max(axis=(1, 2))[:, None, None],
        np.where(left, 0, needed).max(axis=(1, 2))[:, None, None],
    )
    shape = drawn.mu.shape[:2]

    def won(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.take_along_axis(values, best[:, None, None], axis=2)[:, :, 0].ravel()

    uniform, a, b, count = (won(part) for part in (drawn.uniform, drawn.a, drawn.b, steps))
    x = quantile(uniform, a, b, count)  # type: ignore[arg-type]
    values = (x * won(drawn.sigma) + won(drawn.mu)).reshape(shape)  # type: ignore[operator]
    logarithmic = space.log[numeric]
    values[:, logarithmic] = np.exp(values[:, logarithmic])
    discrete = np.flatnonzero(space.step[numeric] > 0)
    if len(discrete):
        values[:, discrete] = space.discrete(numeric[discrete], values[:, discrete])
    return values, np.asarray(at_a_step.any(axis=(1, 2)))
