import numpy as np
import pytest
import scikit_posthocs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests

from surrobench.stats.correction import CORRECTIONS, holm
from surrobench.stats.paired import Comparisons, rank_intervals, wilcoxon

STATSMODELS = {"holm": "holm", "hommel": "hommel", "bh": "fdr_bh"}


def matrices():
    rng = np.random.default_rng(11)
    for n, k in [(1, 2), (5, 3), (8, 6), (14, 4), (60, 5)]:
        yield pytest.param(rng.random((n, k)), id=f"random-{n}x{k}")
        if n != 14:  # scipy's p with ties is exact up to 13 blocks, ours up to 50
            yield pytest.param(rng.integers(0, 4, (n, k)).astype(float), id=f"tied-{n}x{k}")


@pytest.mark.parametrize("losses", list(matrices()))
@pytest.mark.parametrize("control", [0, 1])
def test_agrees_with_scipy_and_statsmodels(losses, control):
    found = wilcoxon(losses, control)
    others = [j for j in range(losses.shape[1]) if j != control]
    assert [c.method for c in found.comparisons] == others
    raw = []
    for c in found.comparisons:
        difference = losses[:, control] - losses[:, c.method]
        expected = stats.wilcoxon(difference, zero_method="zsplit") if difference.any() else None
        raw.append(expected.pvalue if expected else 1.0)
        assert c.p == pytest.approx(raw[-1], abs=1e-12)
        if expected:
            assert c.statistic == pytest.approx(expected.statistic, abs=1e-12)
    corrected = multipletests(raw, method="holm")[1]
    assert [c.p_corrected for c in found.comparisons] == pytest.approx(corrected, abs=1e-12)


@pytest.mark.parametrize("losses", [m for m in matrices() if not m.id.startswith("tied-1x")])
def test_agrees_with_scikit_posthocs(losses):
    # It corrects for all pairs, we for the pairs with the control: take its raw p of the control's row.
    theirs = scikit_posthocs.posthoc_wilcoxon(losses.T, zero_method="zsplit").to_numpy()[0, 1:]
    found = wilcoxon(losses, 0).comparisons
    assert [c.p for c in found] == pytest.approx(theirs, abs=1e-9)
    assert [c.p_corrected for c in found] == pytest.approx(multipletests(theirs, method="holm")[1], abs=1e-9)


# scipy's exact p with ties, up to 13 blocks, takes its time.
@pytest.mark.parametrize("losses", [m for m in matrices() if m.id != "tied-8x6"])
@pytest.mark.parametrize("correction", STATSMODELS)
@pytest.mark.parametrize("control", [None, 1])
def test_every_correction_agrees_with_scipy_and_statsmodels(losses, correction, control):
    found = wilcoxon(losses, control, correction)
    assert isinstance(found, Comparisons)
    raw = []
    for c in found.comparisons:
        difference = losses[:, c.against] - losses[:, c.method]
        raw.append(stats.wilcoxon(difference, zero_method="zsplit").pvalue if difference.any() else 1.0)
    k = losses.shape[1]
    assert len(raw) == (k * (k - 1) // 2 if control is None else k - 1)
    corrected = multipletests(raw, method=STATSMODELS[correction])[1]
    assert [c.p for c in found.comparisons] == pytest.approx(raw, abs=1e-9)
    assert [c.p_corrected for c in found.comparisons] == pytest.approx(corrected, abs=1e-9)


@pytest.mark.parametrize("losses", [m for m in matrices() if m.id not in ("tied-1x2", "tied-8x6")])
def test_all_pairs_agree_with_scikit_posthocs(losses):
    theirs = scikit_posthocs.posthoc_wilcoxon(losses.T, zero_method="zsplit", p_adjust="holm").to_numpy()
    assert wilcoxon(losses).p == pytest.approx(theirs, abs=1e-9)


def test_pairs_that_were_not_compared_have_no_p():
    p = wilcoxon(np.random.default_rng(0).random((8, 3)), 1).p
    assert np.array_equal(np.isnan(p), [[False, False, True], [False, False, False], [True, False, False]])


def test_one_method_has_no_comparisons():
    assert wilcoxon(np.ones((4, 1))).comparisons == ()
    assert wilcoxon(np.ones((4, 1)), 0).smallest_p == 1


@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("control", [None, 0])
def test_the_smallest_reachable_p_is_reached_and_never_undercut(correction, control):
    n, k = 9, 4
    clear = np.arange(1.0, n + 1)[:, None] * np.arange(k, 0, -1)
    found = wilcoxon(clear, control, correction)
    assert min(c.p_corrected for c in found.comparisons) == pytest.approx(found.smallest_p)
    for seed in range(20):
        random = wilcoxon(np.random.default_rng(seed).random((n, k)), control, correction)
        assert min(c.p_corrected for c in random.comparisons) >= found.smallest_p - 1e-12


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]).shape == (0,)


def test_the_effect_is_positive_where_the_method_is_better_than_the_control():
    # Gains over the control: +1, +2, +3, -4: rank sums 6 and 4 of 10.
    losses = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    (found,) = wilcoxon(losses, 0).comparisons
    assert found.effect == pytest.approx(0.2)
    assert (found.wins, found.ties, found.losses) == (3, 0, 1)
    (reversed_,) = wilcoxon(losses, 1).comparisons
    assert reversed_.effect == pytest.approx(-0.2)
    assert reversed_.p == found.p


def test_ties_with_the_control_count_for_neither_side_but_in_the_total():
    # Ranks of |gain|: zeros 1.5 and 1.5, then 3 and 4; 7 of 10 are favourable, zeros are split.
    losses = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.5], [1.0, 0.0]])
    (found,) = wilcoxon(losses, 0).comparisons
    assert found.effect == pytest.approx(0.7)
    assert (found.wins, found.ties, found.losses) == (2, 2, 0)


@pytest.mark.parametrize("n", [1, 7, 80])
def test_no_difference_at_all_is_p_one(n):
    (found,) = wilcoxon(np.ones((n, 2)), 0).comparisons
    assert (found.p, found.p_corrected, found.effect, found.ties) == (1, 1, 0, n)


@pytest.mark.parametrize(("n", "k"), [(1, 2), (4, 3), (8, 6), (50, 3)])
def test_the_smallest_reachable_p_is_that_of_winning_everywhere(n, k):
    losses = np.arange(1.0, n + 1)[:, None] * np.arange(k, 0, -1)
    found = wilcoxon(losses, 0)
    assert found.smallest_p == pytest.approx(min(1, (k - 1) * 2.0 ** (1 - n)))
    assert min(c.p_corrected for c in found.comparisons) == pytest.approx(found.smallest_p)


def test_differences_equal_but_for_rounding_tie_if_asked():
    losses = np.array([[0.3, 0.2], [0.1, 0.2], [0.2, 0.1], [0.5, 0.1]])
    (exact,) = wilcoxon(losses, 0).comparisons
    (rounded,) = wilcoxon(losses, 0, decimals=12).comparisons
    assert rounded.effect == pytest.approx((2 + 2 + 4 - 2) / 10)
    assert exact.effect != rounded.effect


@pytest.mark.parametrize(("losses", "control"), [([[0.1, np.nan]], 0), ([[0.1, 0.2]], 2), ([[0.1, 0.2]], -1)])
def test_nan_and_an_unknown_control_are_refused(losses, control):
    with pytest.raises(ValueError, match=r"must"):
        wilcoxon(losses, control)


small = arrays(float, st.tuples(st.integers(1, 7), st.integers(2, 4)), elements=st.integers(0, 6).map(float))


@settings(max_examples=40, deadline=None)
@given(small, st.randoms(use_true_random=False))
def test_the_order_of_methods_and_instances_does_not_matter(losses, random):
    n, k = losses.shape
    rows, columns = random.sample(range(n), n), random.sample(range(k), k)
    plain = {c.method: c for c in wilcoxon(losses, 0).comparisons}
    for c in wilcoxon(losses[rows][:, columns], columns.index(0)).comparisons:
        other = plain[columns[c.method]]
        assert (c.p, c.p_corrected, c.effect, c.statistic, c.wins) == pytest.approx(
            (other.p, other.p_corrected, other.effect, other.statistic, other.wins)
        )


@settings(max_examples=25, deadline=None)
@given(small, st.randoms(use_true_random=False), st.sampled_from(CORRECTIONS))
def test_all_pairs_do_not_depend_on_the_order_of_methods_and_instances(losses, random, correction):
    n, k = losses.shape
    rows, columns = random.sample(range(n), n), random.sample(range(k), k)
    plain = wilcoxon(losses, None, correction)
    other = wilcoxon(losses[rows][:, columns], None, correction)
    assert other.p == pytest.approx(plain.p[np.ix_(columns, columns)], abs=1e-12)
    assert sorted(abs(c.effect) for c in other.comparisons) == pytest.approx(
        sorted(abs(c.effect) for c in plain.comparisons)
    )


def test_the_interval_of_a_rank_is_what_all_pairs_leave_open():
    # Three methods apart in 12 blocks, the fourth between the last two.
    losses = np.arange(1.0, 13)[:, None] * np.array([1.0, 2.0, 4.0]) + np.arange(12)[:, None] / 7
    fourth = np.where(np.arange(12) % 2, losses[:, 1], losses[:, 2]) + 0.01
    found = wilcoxon(np.column_stack([losses, fourth]))
    assert rank_intervals(found, 0.05).tolist() == [[1, 1], [2, 2], [3, 4], [3, 4]]
    assert rank_intervals(found, 1e-9).tolist() == [[1, 4]] * 4


def test_the_intervals_of_ranks_hold_all_true_ranks_at_once():
    rng = np.random.default_rng(0)
    true = np.array([0.0, 0.3, 0.6, 1.5])
    held = 0
    for _ in range(200):
        places = rank_intervals(wilcoxon(true + rng.normal(size=(12, 4))), 0.05)
        held += bool(((places[:, 0] <= [1, 2, 3, 4]) & (places[:, 1] >= [1, 2, 3, 4])).all())
    assert held >= stats.binom.ppf(1e-4, 200, 0.95)
