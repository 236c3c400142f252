import numpy as np
import pytest
from scipy import stats

from surrobench.stats.looks import (
    always_valid_p,
    e_value,
    level_of_look,
    power_given_up,
    spent,
    weight,
)
from surrobench.stats.signed_rank import signed_rank
from surrobench.stats.verdict import evidence, verdicts


def test_the_levels_of_all_looks_are_the_level():
    for looks in (1, 2, 3, 10):
        levels = [level_of_look(0.05, look, looks) for look in range(1, looks + 1)]
        assert sum(levels) == pytest.approx(0.05)
        assert levels == sorted(levels)  # the later, the more
    # Lan and DeMets (1983): of 0.05, O'Brien and Fleming's function has spent this at a third and two thirds.
    assert spent(0.05, 1 / 3) == pytest.approx(2 - 2 * stats.norm.cdf(stats.norm.isf(0.025) * 3**0.5))
    with pytest.raises(ValueError, match="1 <= look <= 3"):
        level_of_look(0.05, 4, 3)


def test_the_weights_of_all_looks_are_one():
    assert sum(weight(look) for look in range(1, 200_000)) == pytest.approx(1, abs=1e-5)
    assert always_valid_p([]) == always_valid_p([0.0]) == 1
    assert always_valid_p([0.0, 400.0]) == pytest.approx(1 / (400 * weight(2)))


@pytest.mark.parametrize("n", [1, 3, 8])
def test_an_e_value_has_mean_one_over_all_signs(n):
    sizes = np.random.default_rng(n).exponential(size=n)
    signs = np.array(np.meshgrid(*[[-1, 1]] * n)).reshape(n, -1).T
    assert np.mean([e_value(row * sizes) for row in signs]) == pytest.approx(1)
    assert e_value(np.zeros(n)) == 1
    assert e_value(sizes) > 1 > e_value(-sizes)


def test_a_study_that_grows_until_its_claim_holds_errs_no_more_than_its_level():
    """Ten looks, with a seed more for each of 12 data sets, of which the last four come one by one."""
    rng = np.random.default_rng(1)
    studies, looks, n = 1000, 10, 12
    effects = rng.normal(size=(studies, n))  # what a method gains on a data set, symmetric about 0
    seeds = rng.normal(size=(studies, n, looks)) * 2
    plain, spending, unlimited = (np.zeros(studies, bool) for _ in range(3))
    e_values = np.empty((studies, looks))
    for look in range(1, looks + 1):
        sets = min(n, 7 + look // 2)
        gains = (effects[..., None] + seeds[..., :look]).mean(axis=2)[:, :sets]
        p, _ = signed_rank(gains, "greater")
        plain |= p <= 0.05
        spending |= p <= level_of_look(0.05, look, looks)
        e_values[:, look - 1] = [e_value(row) for row in gains]
        unlimited |= np.array([always_valid_p(row[:look]) for row in e_values]) <= 0.05
    most = stats.binom.isf(1e-4, studies, 0.05) / studies
    assert plain.mean() > most  # so that the next two are known to be able to fail
    assert spending.mean() <= most
    assert unlimited.mean() <= most


def test_the_power_of_a_normal_statistic_at_a_smaller_level():
    effect = stats.norm.ppf(0.8) + stats.norm.isf(0.05)
    assert power_given_up(0.05, 0.01) == pytest.approx(stats.norm.sf(stats.norm.isf(0.01) - effect))
    assert power_given_up(0.05, 0.05) == pytest.approx(0.8)


def test_a_test_of_the_mean_is_about_means_and_the_signed_rank_test_about_another_centre():
    # Mostly small losses, and a large gain: the mean is 0, the pseudomedian is not.
    gains = np.array([*[-0.1] * 10, 1.0, *[-0.12] * 5, 0.65])
    by_rank, by_mean = (
        evidence(gains - gains.mean(), (0.0, np.inf), test=test) for test in ("wilcoxon", "mean")
    )
    assert verdicts([by_rank])[0][0] == "does not hold"
    assert verdicts([by_mean])[0][0] == "not resolved"
    assert by_mean.estimate == by_mean.mean == pytest.approx(0)
    shifted = np.random.default_rng(3).normal(0.5, 1, 12)
    found = evidence(shifted, (0.0, np.inf), test="mean")
    theirs = stats.permutation_test(
        (shifted,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="greater"
    )
    assert found.p_holds == pytest.approx(theirs.pvalue)
    # The interval ends where the one-sided tests begin to reject.
    for end, side in ((found.low, 1), (found.high, -1)):
        p = [
            evidence(side * (shifted - end) + step, (0.0, np.inf), test="mean").p_holds
            for step in (1e-3, -1e-3)
        ]
        assert min(p) <= 0.05 < max(p) + 1e-3
