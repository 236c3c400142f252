import math
import sys
from fractions import Fraction
from itertools import pairwise, permutations, product

import numpy as np
import pytest
import scikit_posthocs
from autorank._util import _critical_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from surrobench.stats.correction import CORRECTIONS
from surrobench.stats.paired import wilcoxon
from surrobench.stats.ranks import bars, cliques, conover, friedman, nemenyi, rank_blocks, smallest_p


def matrices():
    rng = np.random.default_rng(7)
    for n, k in [(2, 3), (5, 4), (8, 6), (20, 12), (60, 5)]:
        yield pytest.param(rng.random((n, k)), id=f"random-{n}x{k}")
        yield pytest.param(rng.integers(0, 3, (n, k)).astype(float), id=f"tied-{n}x{k}")
        yield pytest.param(rng.random((n, k)) + np.linspace(0, 2, k), id=f"apart-{n}x{k}")


@pytest.mark.parametrize("losses", list(matrices()))
def test_friedman_agrees_with_scipy(losses):
    ours, theirs = friedman(losses), stats.friedmanchisquare(*losses.T)
    assert ours.chi_square == pytest.approx(theirs.statistic, rel=1e-9, abs=1e-9)
    assert ours.chi_square_p == pytest.approx(theirs.pvalue, rel=1e-9, abs=1e-12)
    assert ours.mean_ranks == pytest.approx(stats.rankdata(losses, axis=1).mean(axis=0), abs=1e-12)


@pytest.mark.parametrize("losses", list(matrices()))
def test_iman_davenport_follows_from_the_tie_corrected_chi_square(losses):
    n, k = losses.shape
    chi2 = stats.friedmanchisquare(*losses.T).statistic
    ours = friedman(losses)
    if chi2 == pytest.approx(n * (k - 1)):
        assert ours.f == math.inf
        return
    f = (n - 1) * chi2 / (n * (k - 1) - chi2)
    assert ours.f == pytest.approx(f, rel=1e-9, abs=1e-9)
    assert ours.f_p == pytest.approx(stats.f.sf(f, k - 1, (k - 1) * (n - 1)), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(
    ("alpha", "table"),
    [
        (0.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ],
)
def test_critical_differences_are_those_of_demsars_table_5a(alpha, table):
    for k, q in enumerate(table, start=2):
        losses = np.random.default_rng(k).random((14, k))
        expected = q * math.sqrt(k * (k + 1) / (6 * 14))
        published = nemenyi(losses, alpha, permutation=False).critical_difference
        assert published == pytest.approx(expected, rel=3e-4)


@pytest.mark.parametrize("losses", list(matrices()))
def test_nemenyi_agrees_with_scikit_posthocs(losses):
    theirs = scikit_posthocs.posthoc_nemenyi_friedman(losses).to_numpy()
    assert nemenyi(losses, permutation=False).p == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("n", "k", "alpha"), [(8, 3, 0.05), (8, 6, 0.05), (20, 12, 0.1), (15, 2, 0.01)])
def test_critical_difference_agrees_with_scipy_and_autorank(n, k, alpha):
    losses = np.random.default_rng(0).random((n, k))
    ours = nemenyi(losses, alpha, permutation=False).critical_difference
    q = stats.studentized_range.ppf(1 - alpha, k, np.inf) / math.sqrt(2)
    assert ours == pytest.approx(q * math.sqrt(k * (k + 1) / (6 * n)), abs=1e-9)
    # autorank interpolates the studentised range from a table.
    assert ours == pytest.approx(_critical_distance(alpha, k, n), rel=2e-3)


def test_the_critical_difference_and_the_p_values_draw_one_line():
    losses = np.random.default_rng(3).random((12, 8)) + np.linspace(0, 1, 8)
    result, ranks = nemenyi(losses), friedman(losses).mean_ranks
    apart = np.abs(ranks[:, None] - ranks) > result.critical_difference
    assert np.array_equal(apart, result.p < 0.05)
    assert apart.any()


def test_two_methods_are_tested():
    losses = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [1.0, 1.0]])
    result = friedman(losses)
    # Without the tied block this is the sign test's normal approximation, (3 - 1)^2 / 4.
    assert result.chi_square == pytest.approx(1.0)
    assert result.chi_square_p == pytest.approx(stats.chi2.sf(1.0, 1))
    published = nemenyi(losses, permutation=False)
    assert published.critical_difference == pytest.approx(1.959963984540054 / math.sqrt(5), abs=1e-7)
    # The exact p is that of the sign test: 3 or 1 of 4, or more extreme.
    assert result.p == nemenyi(losses).p[0, 1] == 10 / 16


def test_one_instance_is_not_testable_and_says_so():
    result = friedman([[0.1, 0.2, 0.3]])
    assert math.isnan(result.p)
    assert math.isnan(result.f_p)
    assert "1 instance: not testable" in result.note
    assert list(result.mean_ranks) == [1, 2, 3]
    assert math.isnan(nemenyi([[0.1, 0.2, 0.3]]).critical_difference)


def test_all_tied_gives_p_one():
    result = friedman(np.ones((6, 4)))
    assert (result.chi_square, result.p, result.f, result.f_p) == (0, 1, 0, 1)


def test_perfect_agreement_is_an_infinite_f_and_its_p_that_of_chance_without_a_warning():
    result = friedman(np.tile([0.1, 0.2, 0.3, 0.3], (9, 1)))
    assert result.f == math.inf
    assert result.p == pytest.approx(12.0**-8, rel=1e-9)  # 12 orders of four methods, two of them tied
    assert "identically" in result.note


TIED = [
    [[1, 2], [1, 2], [1, 2]],
    [[1, 2], [2, 1], [1, 1], [1, 2]],
    [[1, 1], [2, 2]],
    [[1, 2, 3], [2, 1, 3], [3, 1, 2]],
    [[1, 1, 2], [1, 2, 3]],
    [[1, 1, 2], [1, 2, 2]],
    [[1, 1, 2], [1, 1, 2], [2, 1, 2]],
    [[1, 1, 1], [1, 2, 3], [2, 1, 1]],
    [[1, 1, 2, 2], [1, 2, 2, 3], [1, 1, 2, 2]],
    [[1, 2, 3, 4], [1, 1, 2, 3]],
    [[1, 1, 1, 2], [1, 2, 2, 2], [3, 3, 3, 1]],
]


@pytest.mark.parametrize("losses", TIED)
def test_the_smallest_p_is_that_of_the_most_extreme_of_all_arrangements(losses):
    ranks = rank_blocks(losses)
    # Twice the deviations are integers, so the statistics compare exactly.
    blocks = [sorted(set(permutations((2 * row - ranks.shape[1] - 1).astype(int).tolist()))) for row in ranks]
    between = [int(np.square(np.sum(rows, axis=0)).sum()) for rows in product(*blocks)]
    assert smallest_p(ranks) == float(Fraction(between.count(max(between)), len(between)))


def test_the_smallest_p_is_rounded_once_and_never_zero():
    assert smallest_p(rank_blocks([[0, 0, 0, 1, 1, 1]] * 2)) == 0.05
    assert smallest_p(rank_blocks([np.arange(12)] * 60)) == sys.float_info.min
    assert friedman([np.arange(12)] * 60).p == 1 / 20_000  # of random tables, none is like it
    assert smallest_p(np.full((5, 3), 2.0)) == 1


def orders(n, k):
    """All that n blocks without ties can look like: the first in order, which names the methods."""
    first, *_ = every = list(permutations(range(k)))
    return [np.array([first, *rest], float) for rest in product(every, repeat=n - 1)]


LEVELS = [*((n, 2) for n in range(2, 7)), (2, 3), (3, 3), (4, 3), (2, 4)]


@pytest.mark.parametrize("level", [0.01, 0.05, 0.1])
@pytest.mark.parametrize(("n", "k"), LEVELS)
def test_few_blocks_do_not_reject_more_often_than_the_level_says(n, k, level):
    tables = orders(n, k)
    assert np.mean([friedman(losses).p <= level for losses in tables]) <= level
    # Nemenyi's test holds it for the whole family: if any two methods differ, it has rejected.
    assert np.mean([(nemenyi(losses).p <= level).any() for losses in tables]) <= level


@pytest.mark.parametrize("losses", [*TIED, [[1, 2, 3], [2, 1, 3], [1, 2, 2], [3, 1, 2]]])
def test_the_exact_distribution_is_that_of_all_arrangements(losses):
    ranks = rank_blocks(losses)
    blocks = [list(permutations(row)) for row in ranks.tolist()]  # equal ranks change places, too
    sums = np.array([np.sum(rows, axis=0) for rows in product(*blocks)])
    mine = ranks.sum(axis=0)
    mean = sums[0].mean()
    squares = np.square(sums - mean).sum(axis=1)
    assert friedman(losses).p == pytest.approx(np.mean(squares >= np.square(mine - mean).sum() - 1e-9))
    found = nemenyi(losses)
    assert found.how == "exact"
    assert found.p[0, 1] == pytest.approx(np.mean(np.ptp(sums, axis=1) >= abs(mine[0] - mine[1]) - 1e-9))


@pytest.mark.parametrize(
    ("n", "k", "critical", "p"),
    # Hollander & Wolfe (1999), table A.22: the exact upper tails of Friedman's statistic.
    [(3, 3, 6.0, 0.028), (4, 3, 6.5, 0.042), (5, 3, 6.4, 0.039), (8, 3, 6.25, 0.047), (4, 4, 7.8, 0.036)],
)
def test_the_exact_tails_are_the_published_ones(n, k, critical, p):
    from surrobench.stats.rank_null import rank_null

    null = rank_null(np.tile(np.arange(1.0, k + 1), (n, 1)))
    # chi2 = 12 between / (n k (k + 1)), and the doubled sums have four times the squares.
    between = critical * n * k * (k + 1) / 12
    assert null.squares(round(4 * between)) == pytest.approx(p, abs=6e-4)


def test_six_methods_in_five_blocks_are_counted_and_eight_in_twelve_are_drawn():
    rng = np.random.default_rng(1)
    assert friedman(rng.random((5, 6))).how == "exact"
    drawn = friedman(losses := rng.random((12, 8)) + np.linspace(0, 0.3, 8))
    assert drawn.how == "19,999 random tables"
    assert drawn.p == pytest.approx(drawn.f_p, abs=0.01)  # with so many ranks, F is close
    assert drawn.p == friedman(losses).p


@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("level", [0.01, 0.05])
@pytest.mark.parametrize(("n", "k"), [*((n, 2) for n in range(2, 7)), (2, 3), (3, 3)])
def test_conover_on_few_blocks_does_not_reject_more_often_than_the_level_says(n, k, level, correction):
    rejected = [(conover(losses, correction=correction).p <= level).any() for losses in orders(n, k)]
    assert np.mean(rejected) <= level


@pytest.mark.parametrize(("n", "k"), [*((n, 2) for n in range(2, 7)), (2, 3), (3, 3), (2, 4)])
def test_no_order_of_few_blocks_has_a_p_below_its_own_probability(n, k):
    tables = orders(n, k)
    overall = [friedman(losses) for losses in tables]
    agreeing = [found for found in overall if found.f == math.inf]
    assert len(agreeing) == 1
    assert agreeing[0].p == pytest.approx(1 / math.factorial(k) ** (n - 1), rel=1e-12)
    assert min(found.p for found in overall) == pytest.approx(1 / len(tables), rel=1e-12)
    assert min(conover(losses).p_raw.min() for losses in tables) == 1 / len(tables)


@pytest.mark.parametrize("bad", [[[0.1, math.nan]], [0.1, 0.2], np.empty((0, 3))])
def test_nan_and_wrong_shapes_are_refused(bad):
    with pytest.raises(ValueError, match="without NaN"):
        rank_blocks(bad)


def test_an_infinite_loss_has_a_rank():
    assert rank_blocks([[0.1, math.inf, 0.2]]).tolist() == [[1, 3, 2]]


@pytest.mark.parametrize(
    ("ranks", "cd", "expected"),
    [
        ([1.0, 2.0, 3.0], 1.0, [(0, 1), (1, 2)]),
        ([1.0, 2.0, 3.0], 5.0, [(0, 1, 2)]),
        ([1.0, 2.0, 3.0], 0.5, []),
        ([3.0, 1.0, 2.0], 1.0, [(1, 2), (2, 0)]),
        ([1.5, 1.5, 3.0], 0.1, [(0, 1)]),
        ([1.0, 2.0, 2.0, 3.0], 1.0, [(0, 1, 2), (1, 2, 3)]),
        ([2.0, 2.0, 2.0], 0.0, [(0, 1, 2)]),
        ([1.0, 2.0], math.nan, []),
    ],
)
def test_cliques(ranks, cd, expected):
    assert cliques(ranks, cd) == expected


@given(st.lists(st.integers(2, 12).map(lambda i: i / 2), min_size=1, max_size=12), st.floats(0, 6))
def test_cliques_are_the_maximal_groups(ranks, cd):
    found = [set(group) for group in cliques(ranks, cd)]
    together = {(i, j) for i in range(len(ranks)) for j in range(i) if abs(ranks[i] - ranks[j]) <= cd}
    assert {(i, j) for group in found for i in group for j in group if j < i} == together
    assert not any(a < b or (a == b and i != j) for i, a in enumerate(found) for j, b in enumerate(found))


@pytest.mark.parametrize("losses", list(matrices()))
@pytest.mark.parametrize("correction", ["holm", "hommel", "bh"])
def test_conover_agrees_with_scikit_posthocs(losses, correction):
    result = friedman(losses)
    if not 0 < result.f < math.inf:
        return  # it divides zero by zero; what we do instead is tested by itself
    names = {"holm": "holm", "hommel": "hommel", "bh": "fdr_bh"}
    ours, least = conover(losses, correction=correction), smallest_p(rank_blocks(losses))
    raw = scikit_posthocs.posthoc_conover_friedman(losses).to_numpy()
    assert ours.p_raw == pytest.approx(np.maximum(raw, least), abs=1e-9)
    if (raw < least - 1e-12).any():
        assert f"can be less than {least:.3g}" in ours.note
        return  # it would correct p-values that so few blocks cannot have
    theirs = scikit_posthocs.posthoc_conover_friedman(losses, p_adjust=names[correction]).to_numpy()
    assert ours.p == pytest.approx(theirs, abs=1e-9)


def test_conover_of_two_methods_is_iman_and_davenports_f():
    losses = np.random.default_rng(2).random((15, 2))
    assert conover(losses).p[0, 1] == pytest.approx(friedman(losses).f_p, abs=1e-12)
    assert conover(losses).t[0, 1] ** 2 == pytest.approx(friedman(losses).f)


def test_conover_where_the_methods_rank_identically_everywhere():
    result = conover(np.tile([0.1, 0.2, 0.3, 0.3], (9, 1)))
    assert result.p[2, 3] == 1
    # Holm over six pairs, of which five are at the smallest p that there is.
    assert result.p_raw[0, 1] == result.p_raw[1, 3] == pytest.approx(12.0**-8, rel=1e-12)
    assert result.p[0, 1] == result.p[1, 3] == pytest.approx(6 * 12.0**-8, rel=1e-12)
    assert "9 instances can be less than 2.33e-09" in result.note
    assert conover(np.ones((5, 3))).p == pytest.approx(1)


def test_one_instance_gives_conover_nothing_to_test():
    result = conover([[0.1, 0.2, 0.3]])
    assert np.isnan(result.p[0, 1])
    assert bars([1, 2, 3], ~(result.p > 0.05)) == []


def test_no_bar_where_all_differ():
    # scikit-posthocs issue 82 drew one bar over five methods that Conover's test told apart, all of them.
    losses = np.random.default_rng(0).normal([-5.2, -6, -2.1, -1.7, -6.4], 0.01, (10, 5))
    result = conover(losses)
    assert bars(friedman(losses).mean_ranks, ~(result.p > 0.05)) == []


def test_the_bars_follow_the_level():
    # scikit-posthocs issue 65: its diagram drew for 0.05 whatever was asked for.
    losses = np.random.default_rng(4).random((10, 6)) + np.linspace(0, 1.1, 6)
    ranks = friedman(losses).mean_ranks
    found = {alpha: cliques(ranks, nemenyi(losses, alpha).critical_difference) for alpha in (1e-4, 0.05, 0.9)}
    assert max(map(len, found[1e-4])) > max(map(len, found[0.05])) > max(map(len, found[0.9]), default=1)
    p = nemenyi(losses).p
    assert found == {alpha: bars(ranks, ~(p > alpha)) for alpha in found}


def test_bars_whose_spans_cross_are_not_drawn_as_one():
    # scikit-posthocs issue 86: two groups, a-b-c and d-e-f, with the ranks of c and d swapped.
    apart = np.ones((6, 6), bool)
    apart[:3, :3] = apart[3:, 3:] = False
    assert bars([0, 1, 3, 2, 4, 5], apart) == [(0, 1), (4, 5)]
    assert bars([0, 1, 2, 3, 4, 5], apart) == [(0, 1, 2), (3, 4, 5)]


def test_no_bar_over_methods_whose_extremes_differ():
    # As chains of neighbours that do not differ: 0-1, 1-2, 2-3, but not 0-2 and not 1-3.
    apart = np.abs(np.arange(4)[:, None] - np.arange(4)) > 1
    assert bars([1, 2, 3, 4], apart) == [(0, 1), (1, 2), (2, 3)]
    # Nor where the extremes do not differ but a pair within does.
    apart = np.zeros((3, 3), bool)
    apart[0, 1] = apart[1, 0] = True
    assert bars([1, 2, 3], apart) == [(1, 2)]


def test_methods_of_one_mean_rank_share_their_bars():
    apart = np.zeros((4, 4), bool)
    apart[0, 3] = apart[3, 0] = True
    assert bars([1, 2, 2, 3], apart) == [(0, 1, 2), (1, 2, 3)]
    assert bars([2, 2, 2, 2], np.zeros((4, 4))) == [(0, 1, 2, 3)]
    # The two in the middle are apart: a bar over either would lie over both.
    apart[1, 2] = apart[2, 1] = True
    assert bars([1, 2, 2, 3], apart) == []


def _apart(losses, test):
    p = {"nemenyi": nemenyi, "conover": conover, "wilcoxon": wilcoxon}[test](losses).p
    return ~(p > 0.3)


small = arrays(float, st.tuples(st.integers(2, 6), st.integers(2, 5)), elements=st.integers(0, 5).map(float))


@settings(max_examples=50, deadline=None)
@given(small, st.randoms(use_true_random=False))
def test_the_order_of_methods_and_instances_does_not_matter(losses, random):
    n, k = losses.shape
    rows, columns = random.sample(range(n), n), random.sample(range(k), k)
    plain, permuted = friedman(losses), friedman(losses[rows][:, columns])
    assert permuted.mean_ranks == pytest.approx(plain.mean_ranks[columns], abs=1e-12)
    assert (permuted.chi_square, permuted.p, permuted.f, permuted.f_p) == (
        plain.chi_square, plain.p, plain.f, plain.f_p,
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(small, st.randoms(use_true_random=False), st.sampled_from(["nemenyi", "conover", "wilcoxon"]))
def test_bars_are_correct_for_every_test_and_order(losses, random, test):
    k = losses.shape[1]
    columns = random.sample(range(k), k)
    ranks, apart = friedman(losses).mean_ranks, _apart(losses, test)
    found = [set(group) for group in bars(ranks, apart)]
    for group in found:
        low, high = min(ranks[list(group)]), max(ranks[list(group)])
        assert group == {j for j in range(k) if low <= ranks[j] <= high}
        assert not any(apart[i, j] for i in group for j in group if i != j)
    assert not any(a <= b for i, a in enumerate(found) for j, b in enumerate(found) if i != j)
    # What is side by side and not apart shares a bar, unless another at the same rank is in the way.
    if len(set(ranks)) == k:
        order = np.argsort(ranks)
        for i, j in pairwise(order):
            assert apart[i, j] or any({i, j} <= group for group in found)
    again = bars(ranks[columns], _apart(losses[:, columns], test))
    assert [{columns[j] for j in group} for group in again] == found


@settings(max_examples=40, deadline=None)
@given(small, st.randoms(use_true_random=False), st.sampled_from(CORRECTIONS))
def test_conover_does_not_depend_on_the_order_of_methods_and_instances(losses, random, correction):
    n, k = losses.shape
    rows, columns = random.sample(range(n), n), random.sample(range(k), k)
    plain = conover(losses, correction=correction)
    permuted = conover(losses[rows][:, columns], correction=correction)
    assert permuted.p == pytest.approx(plain.p[np.ix_(columns, columns)], abs=1e-12)
