import numpy as np
import pytest
from scipy import optimize

from surrobench.stats.bradley_terry import POINTS, elo, elo_interval, games


def test_a_tie_is_half_a_win_for_both():
    assert games([[1.0, 2.0, 1.0]])[0].tolist() == [[0, 1, 0.5], [0, 0, 0], [0.5, 1, 0]]


@pytest.mark.parametrize(("n", "k"), [(6, 2), (12, 4), (30, 7)])
def test_ratings_are_those_of_the_largest_likelihood(n, k):
    losses = np.random.default_rng(n).random((n, k)) ** np.linspace(1, 3, k)
    won = games(losses).sum(axis=0) + (1 - np.eye(k)) / 2

    def cost(strength):
        return (won * np.logaddexp(0, strength[None, :] - strength[:, None])).sum()

    best = optimize.minimize(cost, np.zeros(k)).x
    assert elo(losses) == pytest.approx(1500 + POINTS * (best - best.mean()), abs=0.5)


def test_of_two_methods_the_odds_are_the_wins():
    losses = np.array([[0.0, 1.0]] * 8 + [[1.0, 0.0]])
    first, second = elo(losses)
    assert 10 ** ((first - second) / 400) == pytest.approx(8.5 / 1.5)


def test_the_interval_holds_the_rating_and_narrows_with_blocks():
    rng = np.random.default_rng(0)
    widths = []
    for n in (8, 80):
        losses = rng.random((n, 3)) * [1, 1.2, 1.5]
        low, high = elo_interval(losses, np.random.default_rng(1))
        assert ((low <= elo(losses)) & (elo(losses) <= high)).all()
        widths.append((high - low).mean())
    assert widths[1] < widths[0] / 2
