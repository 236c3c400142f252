import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from surrobench.stats.bootstrap import (
    _resample,
    _sorted,
    _standard_error,
    bootstrap,
    difference,
    interquartile_mean,
    mean,
)

METHODS = ["percentile", "bca", "bootstrap-t"]


def skewed(n, s, m=1, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(size=(n, 1, m)) + 0.5 * rng.normal(size=(n, s, m)))


def interval(losses, statistic=mean, seed=0, **options):
    found = bootstrap(losses, statistic, np.random.default_rng(seed), **options)
    return found.estimate, found.low, found.high


@pytest.mark.parametrize(("n", "s"), [(1, 1), (2, 1), (4, 3), (12, 10), (7, 5)])
def test_the_interquartile_mean_is_scipys_trimmed_mean_over_all_runs(n, s):
    # As rliable: scipy.stats.trim_mean(scores, proportiontocut=0.25, axis=None).
    losses = np.random.default_rng(1).random((5, n, s, 1))
    found = interquartile_mean(losses)
    assert found.value == pytest.approx([stats.trim_mean(x, 0.25, axis=None) for x in losses], abs=1e-12)
    assert found.influence.mean(axis=(-2, -1)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("statistic", [mean, interquartile_mean])
def test_influences_say_how_the_value_changes(statistic):
    losses = np.random.default_rng(2).random((40, 25, 1))
    found = statistic(losses)
    # Adding a run is adding its influence over the number of runs, to first order.
    for i, j in [(0, 0), (3, 7), (39, 24)]:
        more = np.append(losses.ravel(), losses[i, j])[None, :, None]
        change = (statistic(more).value - found.value) * (losses.size + 1)
        assert change == pytest.approx(found.influence[i, j], abs=0.02)


def test_the_standard_error_of_a_trimmed_mean_is_tukey_and_mclaughlins():
    x = np.random.default_rng(3).standard_t(3, size=40)
    held = stats.mstats.winsorize(x, (0.25, 0.25))
    expected = np.std(held, ddof=1) / (0.5 * math.sqrt(len(x)))
    found = interquartile_mean(x[:, None, None])
    assert _standard_error(found.influence, "instances and seeds") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("statistic", [mean, interquartile_mean])
@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_are_scipys_for_the_same_resamples(statistic, method):
    losses = _sorted(skewed(14, 1))
    values, _ = _resample(losses, statistic, np.random.default_rng(5), "instances and seeds", 1500)

    def of(x, axis=-1):
        return statistic(np.moveaxis(x, axis, -1)[..., None, None]).value

    theirs = stats.bootstrap(
        (losses.ravel(),), of, n_resamples=0, method=method, vectorized=True,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=values),
    ).confidence_interval  # fmt: skip
    _, low, high = interval(losses, statistic, 5, method=method, resamples=1500)
    # For the acceleration scipy takes the jackknife; for a mean it is the influence, else close to it.
    exact = statistic is mean or method == "percentile"
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12 if exact else 0.06)


def test_seeds_within_one_instance_agree_with_scipy_within_the_error_of_simulation():
    losses = skewed(1, 30)
    for method in ("percentile", "bca"):
        theirs = stats.bootstrap(
            (losses.ravel(),), np.mean, method=method, rng=np.random.default_rng(1), n_resamples=20_000
        ).confidence_interval
        _, low, high = interval(losses, method=method, resample="seeds", resamples=20_000)
        assert (low, high) == pytest.approx((theirs.low, theirs.high), rel=0.02)


@pytest.mark.parametrize("resample", ["instances and seeds", "seeds"])
def test_bootstrap_t_by_hand(resample):
    losses = _sorted(skewed(9, 6))
    values, errors = _resample(losses, mean, np.random.default_rng(2), resample, 4000)
    means, within = losses[..., 0].mean(axis=1), losses[..., 0].var(axis=1, ddof=1)
    error = math.sqrt(means.var(ddof=1) / 9 if resample != "seeds" else within.mean() / (9 * 6))
    t = np.sort((values - losses.mean()) / errors)
    _, low, high = interval(losses, seed=2, resample=resample, resamples=4000)
    assert low == pytest.approx(losses.mean() - t[int(0.975 * 4000)] * error, rel=5e-3)
    assert high == pytest.approx(losses.mean() - t[int(0.025 * 4000)] * error, rel=5e-3)


def test_bootstrap_t_of_normal_data_is_near_students_t():
    x = np.random.default_rng(8).normal(size=15)
    _, low, high = interval(x[:, None, None], resamples=20_000)
    expected = stats.ttest_1samp(x, 0).confidence_interval()
    assert (low, high) == pytest.approx(tuple(expected), abs=0.1)


def test_seeds_only_is_narrower_and_labelled():
    losses = skewed(12, 10)
    both, seeds = (
        bootstrap(losses, interquartile_mean, np.random.default_rng(0), resample=resample)
        for resample in ("instances and seeds", "seeds")
    )
    assert seeds.high - seeds.low < (both.high - both.low) / 2
    assert (both.scope, seeds.scope) == ("instances like these", "these instances only")


def test_the_difference_of_two_methods_is_paired():
    losses = skewed(12, 10, 2)
    losses[..., 1] = losses[..., 0] + 0.1
    found = bootstrap(losses, difference(mean), np.random.default_rng(0))
    assert (found.estimate, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None)
@given(random=st.randoms(use_true_random=False), tied=st.booleans(), seed=st.integers(0, 99))
def test_the_order_of_instances_and_seeds_does_not_matter(method, random, tied, seed):
    losses = skewed(6, 4, 2, seed)
    losses = losses.round() if tied else losses
    rows, seeds = random.sample(range(6), 6), random.sample(range(4), 4)
    options = {"method": method, "resamples": 200}
    plain = interval(losses, difference(interquartile_mean), **options)
    other = interval(losses[rows][:, seeds], difference(interquartile_mean), **options)
    assert other == pytest.approx(plain, abs=1e-12)


def test_the_same_generator_gives_the_same_interval_in_chunks_or_at_once(monkeypatch):
    losses = skewed(8, 5)
    assert interval(losses) == interval(losses) != interval(losses, seed=1)
    monkeypatch.setattr("surrobench.stats.bootstrap.CHUNK", 8 * 5 * 100)
    chunked = interval(losses)
    assert chunked == interval(losses)
    assert chunked == pytest.approx(interval(losses, seed=1), rel=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_tiny_studies_say_what_they_cannot_do(method):
    one = bootstrap(skewed(1, 5), mean, np.random.default_rng(0), method=method)
    assert math.isnan(one.low)
    assert "1 instance: no interval" in one.note
    assert math.isfinite(bootstrap(skewed(1, 5), mean, np.random.default_rng(0), resample="seeds").low)
    seed = bootstrap(skewed(5, 1), mean, np.random.default_rng(0), method=method, resample="seeds")
    assert math.isnan(seed.high)
    assert "1 seed: no interval" in seed.note
    two = bootstrap(skewed(2, 5), mean, np.random.default_rng(0), method=method)
    assert math.isnan(two.low)
    assert math.isnan(bootstrap(skewed(5, 5), mean, np.random.default_rng(0), method=method).high)
    assert math.isfinite(bootstrap(skewed(6, 5), mean, np.random.default_rng(0), method=method).low)
    assert "2 instances are too few for an interval at 95%" in two.note


def test_bootstrap_t_gives_way_to_bca_where_resamples_do_not_vary():
    losses = np.ones((12, 1, 1))
    losses[0] = 0.5
    found = bootstrap(losses, mean, np.random.default_rng(0))
    assert found.method == "bca"
    assert "bca: too many resamples of equal instances" in found.note
    assert 0.5 < found.low < found.high <= 1


def test_all_alike_gives_a_point_and_says_so():
    found = bootstrap(np.full((6, 4, 1), 0.1), interquartile_mean, np.random.default_rng(0))
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    assert "all instances are alike" in found.note


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 1.0}, "level"),
        ({"method": "basic"}, "method must"),
        ({"resample": "runs"}, "resample must"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(skewed(3, 3), mean, np.random.default_rng(0), **options)
    with pytest.raises(ValueError, match="without NaN"):
        bootstrap(np.full((3, 3, 1), np.nan), mean, np.random.default_rng(0))
