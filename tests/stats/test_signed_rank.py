import numpy as np
import pytest
from scipy import stats

from surrobench.stats.signed_rank import (
    lower_rank,
    null_distribution,
    pseudomedian,
    signed_rank,
    walsh_averages,
    walsh_rank,
)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 13, 14, 30, 50, 51, 80])
@pytest.mark.parametrize("kind", ["skewed", "tied", "zeros"])
def test_many_samples_at_once_agree_with_scipy(n, kind):
    rng = np.random.default_rng(n)
    m = 20 if kind == "skewed" or n not in (12, 13) else 3  # scipy permutes all 2^n signs for seconds
    rows = {
        "skewed": rng.standard_normal((m, n)) ** 3 + 0.1,
        "tied": rng.choice([-3.0, -2.0, 1.0, 2.0, 5.0], (m, n)),
        "zeros": rng.integers(-2, 4, (m, n)).astype(float),
    }[kind]
    p, effect = signed_rank(rows, exact_with_ties=13)
    expected = [stats.wilcoxon(row, zero_method="zsplit").pvalue if row.any() else 1.0 for row in rows]
    assert p == pytest.approx(expected, abs=1e-12)
    ranks = stats.rankdata(np.abs(rows), axis=1)
    assert effect == pytest.approx((ranks * np.sign(rows)).sum(axis=1) / (n * (n + 1) / 2), abs=1e-12)


@pytest.mark.parametrize("n", [5, 14, 21, 50])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_with_ties_the_p_is_exact_up_to_fifty(n, alternative):
    rows = np.random.default_rng(n).integers(-2, 4, (20, n)).astype(float)
    p, _ = signed_rank(rows, alternative)
    for row, found in zip(rows, p, strict=True):
        doubled = np.rint(2 * stats.rankdata(np.abs(row))).astype(int)[row != 0]
        chance = np.ones(1)  # of each sum of the positive ranks, by multiplying polynomials
        for rank in doubled:
            chance = np.convolve(chance, np.concatenate([[0.5], np.zeros(rank - 1), [0.5]]))
        signs = row[row != 0] > 0
        greater = chance[int(doubled[signs].sum()) :].sum()
        less = chance[: int(doubled[signs].sum()) + 1].sum()
        expected = greater if alternative == "greater" else min(1, 2 * min(greater, less))
        assert found == pytest.approx(expected, abs=1e-12)


def test_scipys_approximation_calls_significant_what_is_not():
    gains = np.array([0, 0, 1, -1, -1, 1, 3, 1, 1, 1, 3, 0, 0, 1.0])
    p, _ = signed_rank(gains)
    assert stats.wilcoxon(gains, zero_method="zsplit").pvalue < 0.05
    assert p == pytest.approx(78 / 1024)  # of ten signs


def test_any_shape_before_the_last_axis_is_kept():
    rows = np.random.default_rng(0).standard_normal((3, 4, 7))
    p, effect = signed_rank(rows)
    assert p.shape == effect.shape == (3, 4)
    assert p[1, 2] == signed_rank(rows[1, 2])[0]
    with pytest.raises(ValueError, match="without NaN"):
        signed_rank([np.nan, 1])


@pytest.mark.parametrize("n", [1, 3, 10, 50])
def test_the_null_distribution_is_that_of_all_signs(n):
    chance = null_distribution(n)
    assert chance.sum() == pytest.approx(1)
    assert chance == pytest.approx(chance[::-1])
    assert chance[0] == 0.5**n


@pytest.mark.parametrize("n", [3, 5, 6, 9, 20, 51, 90])
@pytest.mark.parametrize("alpha", [0.05, 0.025, 0.004])
def test_the_interval_ends_where_the_one_sided_test_begins_to_reject(n, alpha):
    values = np.random.default_rng(n).standard_normal(n)
    ordered = np.sort(walsh_averages(values))
    rank = lower_rank(n, alpha)
    assert rank == 0 or ordered[rank - 1] < pseudomedian(values)

    def p(shift):
        return stats.wilcoxon(values - shift, zero_method="zsplit", alternative="greater").pvalue

    tiny = 1e-9
    if rank:
        assert p(ordered[rank - 1] - tiny) <= alpha
    assert p(ordered[rank] - tiny) > alpha


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("kind", ["distinct", "tied"])
def test_every_place_among_the_walsh_averages_is_that_of_sorting_them(n, kind):
    rng = np.random.default_rng(n)
    rows = rng.standard_normal((4, n)) if kind == "distinct" else rng.integers(-2, 3, (4, n)).astype(float)
    ordered = np.sort(walsh_averages(rows), axis=1)
    for rank in range(1, ordered.shape[1] + 1):
        assert np.array_equal(walsh_rank(rows, rank), ordered[:, rank - 1])
    with pytest.raises(ValueError, match="1 <= rank <="):
        walsh_rank(rows, ordered.shape[1] + 1)


def test_the_pseudomedian_by_hand():
    assert pseudomedian([1.0, 2.0, 6.0]) == pytest.approx(2.75)  # of 1, 1.5, 2, 3.5, 4, 6
    assert pseudomedian([[4.0], [5.0]]) == pytest.approx([4, 5])
