"""Rate methods as players of a league, for readers of leaderboards: Bradley and Terry's model on Elo's scale.

Each block is a game of each pair of methods; the method with less loss wins, a tie is half a win for both.
The model says that i beats j with probability s_i / (s_i + s_j). On Elo's scale a difference of 400 points is
a ratio of ten.

A method that always wins would be infinitely strong. Each pair therefore gets one more game that ends in a
tie. The rating says who wins how often, not by how much, and it is no test: two methods that vary much are
rated by the same model as two that do not. Intervals are percentiles of the ratings of resampled blocks.

Sources: R. A. Bradley & M. E. Terry, Biometrika 39 (1952); D. R. Hunter, MM algorithms for generalized
Bradley-Terry models, Annals of Statistics 32 (2004); A. E. Elo, The Rating of Chessplayers (1978).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from surrobench.arrays import Floats
from surrobench.stats.shapes import complete

POINTS = 400 / np.log(10)
"""Points of Elo's scale for a difference of 1 in the logarithm of strength."""
MEAN = 1500.0
STEPS = 300


def games(losses: ArrayLike) -> Floats:
    """Return who wins against whom in each block, shape (n, k, k): 1 for a win, 1/2 for a tie, 0 on the
    diagonal.

    Raises:
        ValueError: ``losses`` is not a matrix, is empty, or has a NaN.
    """
    losses = complete(losses, "blocks", "methods", finite=False)
    first, second = losses[:, :, None], losses[:, None, :]
    won = ((first < second).astype(np.float64) + (first <= second)) / 2
    return np.asarray(won * ~np.eye(losses.shape[1], dtype=bool))


def elo(losses: ArrayLike) -> Floats:
    """Return the rating of each method, shape (k,); the mean of all is 1500."""
    return np.asarray(_rated(games(losses).sum(axis=0)[None])[0])


def elo_interval(
    losses: ArrayLike, rng: np.random.Generator, level: float = 0.95, resamples: int = 500
) -> tuple[Floats, Floats]:
    """Return the ends of the percentile interval of each rating, each of shape (k,), over resampled
    blocks.
    """
    played = games(losses)
    n = len(played)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    ratings = _rated(np.tensordot(drawn.astype(np.float64), played, axes=1))
    low, high = np.quantile(ratings, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _rated(won: Floats) -> Floats:
    """Return ratings, shape (b, k), from numbers of wins, shape (b, k, k), by Hunter's MM algorithm."""
    k = won.shape[-1]
    won = won + (1 - np.eye(k)) / 2
    number, wins = won + won.swapaxes(1, 2), won.sum(axis=2)
    strength = np.ones(won.shape[:2])
    for _ in range(STEPS):
        strength = wins / (number / (strength[:, :, None] + strength[:, None, :])).sum(axis=2)
        strength /= np.exp(np.log(strength).mean(axis=1, keepdims=True))
    return np.asarray(MEAN + POINTS * np.log(strength))
