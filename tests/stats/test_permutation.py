import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from surrobench.stats.permutation import sign_flip


def samples():
    rng = np.random.default_rng(6)
    for n in (1, 2, 3, 8, 12):
        yield pytest.param(rng.normal(size=n), id=f"random-{n}")
        yield pytest.param(rng.integers(-2, 3, n) / 10, id=f"tied-{n}")
        yield pytest.param(np.exp(2 * rng.normal(size=n)) - 1, id=f"skewed-{n}")


@pytest.mark.parametrize("gains", list(samples()))
def test_exact_agrees_with_scipy(gains):
    ours = sign_flip(gains)
    assert ours.exact
    assert ours.flips == 2 ** len(gains)
    if len(gains) < 2:
        assert ours.p == 1  # scipy refuses
        return
    theirs = stats.permutation_test(
        (gains,), np.sum, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
    )
    assert ours.p == pytest.approx(min(1, theirs.pvalue), abs=1e-9)


@pytest.mark.parametrize("gains", [s for s in samples() if s.id.endswith("-12")])
def test_sampled_agrees_with_exact_within_the_error_of_simulation(gains):
    sampled = sign_flip(gains, np.random.default_rng(0), exact_up_to=0)
    exact = sign_flip(gains)
    assert not sampled.exact
    assert sampled.p == pytest.approx(exact.p, abs=4 * np.sqrt(exact.p * (1 - exact.p) / 1e5) + 2e-5)


def test_many_blocks_are_sampled_and_the_p_is_never_zero():
    found = sign_flip(np.full(40, 0.1), np.random.default_rng(0), flips=999)
    assert (found.p, found.smallest_p) == (1 / 1000, 1 / 1000)
    with pytest.raises(ValueError, match="at most 16 without rng"):
        sign_flip(np.ones(40))


def test_the_smallest_p_is_that_of_winning_everywhere():
    for n in (1, 2, 5, 12):
        found = sign_flip(np.arange(1.0, n + 1))
        assert found.p == found.smallest_p == 2.0 ** (1 - n)


def test_no_difference_at_all_is_p_one():
    assert sign_flip(np.zeros(5)).p == 1


def test_sums_equal_but_for_rounding_tie():
    # 0.1 + 0.2 - 0.3 is not 0 in floats: all eight sums are as large as the observed one, or larger.
    assert sign_flip([0.1, 0.2, -0.3]).p == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-9, 9).map(lambda i: i / 10), min_size=1, max_size=9),
       st.randoms(use_true_random=False))  # fmt: skip
def test_the_order_of_blocks_and_of_the_two_methods_does_not_matter(gains, random):
    plain = sign_flip(gains)
    assert sign_flip(random.sample(gains, len(gains))).p == plain.p
    assert sign_flip([-gain for gain in gains]).p == plain.p


def test_nan_is_refused():
    with pytest.raises(ValueError, match="gains must be"):
        sign_flip([0.1, np.nan])
