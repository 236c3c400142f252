import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from surrobench.stats.correction import CORRECTIONS, correct, holm, hommel, shaffer

STATSMODELS = {"holm": "holm", "hommel": "hommel", "bh": "fdr_bh"}


@pytest.mark.parametrize("correction", STATSMODELS)
@pytest.mark.parametrize("m", [1, 2, 5, 30, 66])
def test_agrees_with_statsmodels(correction, m):
    rng = np.random.default_rng(m)
    for p in (rng.random(m), rng.random(m) ** 6, rng.integers(0, 4, m) / 100, np.full(m, 0.03), np.ones(m)):
        expected = multipletests(p, method=STATSMODELS[correction])[1]
        assert correct(p, correction) == pytest.approx(expected, abs=1e-12)


def test_shaffer_by_the_multipliers_of_his_table():
    # Shaffer (1986): of the pairs of 4 methods, 0, 1, 2, 3 or 6 can be alike; of 5, 0 to 4, 6 or 10.
    p = np.full(6, 1e-4) + np.arange(6) * 1e-6
    assert shaffer(p, 4) / p == pytest.approx([6, 6 * p[0] / p[1], *(6 * p[0] / p[2:])], rel=1e-9)
    spread = 10.0 ** -np.arange(12, 2, -1)
    assert shaffer(spread, 5) / spread == pytest.approx([10, 6, 6, 6, 6, 4, 4, 3, 2, 1])
    assert (shaffer(spread, 5) <= holm(spread)).all()
    with pytest.raises(ValueError, match="4 methods have 6 pairs"):
        shaffer([0.1], 4)
    # Of comparisons with one control, it is Holm's.
    assert correct([0.01, 0.02, 0.5], "shaffer") == pytest.approx(holm([0.01, 0.02, 0.5]))
    assert correct(spread, "shaffer", 5) == pytest.approx(shaffer(spread, 5))


def test_hommel_by_closed_testing():
    # Every set that contains the hypothesis, each by Simes.
    p = np.array([0.011, 0.02, 0.024, 0.4, 0.02])
    m = len(p)
    sets = [[i for i in range(m) if code >> i & 1] for code in range(1, 1 << m)]
    simes = [(of, min(len(of) * np.sort(p[of]) / np.arange(1, len(of) + 1))) for of in sets]
    expected = [max(found for of, found in simes if i in of) for i in range(m)]
    assert hommel(p) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=9), st.sampled_from(CORRECTIONS), st.randoms(use_true_random=False))
def test_no_correction_lowers_a_p_or_depends_on_the_order(p, correction, random):
    order = random.sample(range(len(p)), len(p))
    plain = correct(p, correction)
    assert plain.shape == (len(p),)
    assert (plain >= np.array(p) - 1e-12).all()
    assert (plain <= 1).all()
    assert correct(np.array(p)[order], correction) == pytest.approx(plain[order], abs=1e-12)
    # Hommel rejects all that Holm rejects.
    assert (hommel(p) <= correct(p, "holm") + 1e-12).all()


def test_an_unknown_correction_is_refused():
    with pytest.raises(ValueError, match="one of holm, shaffer, hommel, bh, but got 'fdr'"):
        correct([0.1], "fdr")
