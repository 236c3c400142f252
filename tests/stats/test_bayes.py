import math

import baycomp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from surrobench.stats import bayes
from surrobench.stats.bayes import hierarchical, signed_rank


def generator(seed=0):
    return np.random.default_rng(seed)


def probabilities(posterior):
    return posterior.worse, posterior.rope, posterior.better


def gains_of_instances():
    rng = generator(9)
    yield pytest.param(rng.normal(0.2, 1, 12), 0.1, id="random")
    yield pytest.param(rng.normal(0.2, 1, 12), 0.0, id="no-rope")
    yield pytest.param(rng.integers(-2, 4, 15) / 10, 0.1, id="tied-on-the-rope")
    yield pytest.param(rng.integers(-2, 4, 15) / 10, 0.0, id="tied-no-rope")
    yield pytest.param(rng.exponential(1, 20) - 0.4, 0.3, id="skewed")
    yield pytest.param(np.array([0.3]), 0.1, id="one")
    yield pytest.param(np.array([0.3, -0.2]), 0.1, id="two")


@pytest.mark.parametrize(("gains", "rope"), list(gains_of_instances()))
def test_signed_rank_agrees_with_baycomp_within_the_error_of_simulation(gains, rope):
    theirs = baycomp.SignedRankTest(np.zeros(len(gains)), gains, rope, nsamples=20_000, random_state=1)
    ours = signed_rank(gains, rope, generator(), 20_000)
    assert ours.share == pytest.approx(theirs.sample.mean(axis=0), abs=0.01)
    # Its samples by our rule for equal shares, which it counts for the first of them.
    first = theirs.sample >= theirs.sample.max(axis=1, keepdims=True) - 1e-12
    expected = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    assert probabilities(ours) == pytest.approx(expected, abs=0.02)
    assert sum(probabilities(ours)) == pytest.approx(1)


def test_no_difference_without_rope_is_even_and_with_rope_the_same():
    assert probabilities(signed_rank(np.zeros(8), 0, generator())) == (0.5, 0, 0.5)
    assert probabilities(signed_rank(np.zeros(8), 0.01, generator())) == (0, 1, 0)


def test_a_strong_prior_says_the_same():
    weak, strong = (signed_rank(np.full(6, 1.0), 0.1, generator(), prior=prior) for prior in (0, 60))
    assert weak.better == 1
    assert strong.rope > 0.99


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-5, 5).map(lambda i: i / 10), min_size=1, max_size=8),
       st.randoms(use_true_random=False))  # fmt: skip
def test_signed_rank_does_not_depend_on_the_order_of_instances(gains, random):
    plain = signed_rank(gains, 0.1, generator(), 500)
    shuffled = signed_rank(random.sample(gains, len(gains)), 0.1, generator(), 500)
    assert probabilities(shuffled) == probabilities(plain)


def by_quadrature(gains, rope, rho):
    """The hierarchical model with every parameter integrated on a grid: shares of (worse, rope, better)."""
    gains = gains / gains.std(axis=1).mean()
    s = gains.shape[1]
    means = gains.mean(axis=1)
    squares = np.square(gains - means[:, None]).sum(axis=1) / (1 - rho)
    most = np.abs(gains).max()
    # Of each instance: the likelihood of its mean, its standard deviation integrated out.
    d = np.linspace(-3 * most, 3 * most, 801)
    q = squares[:, None] + np.square(means[:, None] - d) * s / (1 + (s - 1) * rho)
    likelihood = (q / q.min(axis=1, keepdims=True)) ** (-(s - 1) / 2)
    location = np.linspace(-most, most, 61)
    spread = np.geomspace(d[1] - d[0], 1000 * means.std(), 61)
    log_weight, shares = [], []
    for nu, log_prior in zip(bayes.GRID, bayes._log_prior(bayes.GRID), strict=True):
        for scale in spread:
            density = stats.t.pdf((d - location[:, None]) / scale, nu) / scale
            marginal = np.log(density @ likelihood.T + 1e-300).sum(axis=1)
            # The grid of scales is logarithmic, the prior is not.
            log_weight.append(marginal + log_prior + np.log(scale))
            worse = stats.t.cdf((-rope - location) / scale, nu)
            better = stats.t.sf((rope - location) / scale, nu)
            shares.append(np.stack([worse, 1 - worse - better, better]))
    weight = np.exp(np.array(log_weight) - np.max(log_weight))
    return (weight[:, None] * np.array(shares)).sum(axis=(0, 2)) / weight.sum()


@pytest.mark.parametrize(("n", "s", "rho"), [(5, 4, 0.0), (15, 10, 0.2)])
def test_hierarchical_agrees_with_integration_over_a_grid(monkeypatch, n, s, rho):
    monkeypatch.setattr(bayes, "GRID", np.array([1.5, 3, 8, 30, 150]))
    rng = generator(n)
    gains = 0.5 + 0.8 * rng.standard_t(2, size=(n, 1)) + rng.normal(size=(n, s))
    rope = 0.2
    expected = by_quadrature(gains, rope / gains.std(axis=1).mean(), rho)
    found = hierarchical(gains, rope, generator(), rho=rho)
    assert found.share == pytest.approx(expected, abs=0.006)


def test_the_prior_of_the_degrees_of_freedom_is_that_of_corani_et_al():
    rng = generator()
    drawn = 1 + rng.gamma(rng.uniform(1, 2, 200_000), 1 / rng.uniform(0.01, 0.1, 200_000))
    mass = np.exp(bayes._log_prior(bayes.GRID))
    for nu in (5, 20, 50, 100):
        assert mass[nu > bayes.GRID].sum() / mass.sum() == pytest.approx((drawn < nu).mean(), abs=0.04)


def test_with_many_clear_instances_the_truth_is_found():
    rng = generator(1)
    noise = stats.zscore(rng.normal(size=(25, 1))) * 0.3 + rng.normal(size=(25, 20)) * 0.5
    assert hierarchical(noise + 1, 0.1, generator(), 1250).better > 0.999
    assert hierarchical(noise - 1, 0.1, generator(), 1250).worse > 0.999
    assert hierarchical(noise / 20, 0.2, generator(), 1250).rope > 0.999
    share = hierarchical(noise + 0.3, 0.1, generator(), 1250).share
    assert share[2] == pytest.approx(stats.norm.sf((0.1 - 0.3) / 0.3), abs=0.05)


def test_one_wild_instance_is_shrunk_and_correlation_widens():
    rng = generator(2)
    gains = 0.3 + rng.normal(size=(10, 8))
    independent, correlated = (hierarchical(gains, 0.0, generator(), 20_000, rho=rho) for rho in (0, 0.5))
    assert 0.5 < correlated.share[2] < independent.share[2]
    mirrored = hierarchical(-gains, 0.0, generator(), 20_000)
    assert mirrored.worse == pytest.approx(independent.better, abs=0.02)


def test_hierarchical_does_not_depend_on_units_or_on_the_order_of_instances_and_seeds():
    gains = generator(4).normal(0.3, 1, (6, 5))
    plain = hierarchical(gains, 0.1, generator(), 2000)
    assert hierarchical(1000 * gains, 100, generator(), 2000).share == pytest.approx(plain.share, abs=1e-6)
    shuffled = gains[::-1, [2, 0, 1, 4, 3]]
    assert hierarchical(shuffled, 0.1, generator(), 2000).share == pytest.approx(plain.share, abs=1e-6)


@pytest.mark.parametrize(
    ("gains", "reason"),
    [
        (np.ones((1, 5)), "1 instance: not testable"),
        (generator().random((2, 5)), "2 instances: not testable"),
        (generator().random((5, 1)), "1 seed: not testable"),
        (np.repeat(generator().random((5, 1)), 4, axis=1), "no instance differ between seeds"),
    ],
)
def test_tiny_studies_say_what_is_not_testable(gains, reason):
    found = hierarchical(gains, 0.1, generator())
    assert reason in found.note
    assert math.isnan(found.better)


def test_instances_without_variation_and_outliers_do_not_crash():
    gains = generator().normal(size=(6, 4))
    gains[0] = 0.0
    gains[1] = 100.0
    found = hierarchical(gains, 0.1, generator(), 2000)
    assert np.isfinite(found.share).all()
    assert found.share.sum() == pytest.approx(1)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="not be negative"):
        signed_rank([0.1], -1, generator())
    with pytest.raises(ValueError, match="not be negative"):
        hierarchical(np.ones((3, 3)), -1, generator())
    with pytest.raises(ValueError, match="rho < 1"):
        hierarchical(np.ones((3, 3)), 0.1, generator(), rho=1)
    with pytest.raises(ValueError, match="gains must"):
        signed_rank([math.nan], 0.1, generator())
