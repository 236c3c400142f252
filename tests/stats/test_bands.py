import numpy as np
import pytest
from scipy import special, stats

from surrobench.stats.bands import band

# Studies, one at each point of a curve: 83 % is not 95 % by chance, as the simulation error is 0.2 %.
STUDIES = 10_000


def values(n=6, m=3, s=8, g=5, seed=0):
    return np.random.default_rng(seed).random((n, m, s, g))


def coverage(noise, expected, over, **options):
    """Of studies that are the points of one method's curve; noise of shape (n, 1, s, g)."""
    found = band(noise, over=over, **options)
    return ((found.low <= expected) & (expected <= found.high)).mean()


def test_the_mean_is_over_seeds_then_instances_and_within_its_band():
    v = values()
    found = band(v)
    assert found.mean == pytest.approx(v.mean(axis=2).mean(axis=0))
    assert (found.low < found.mean).all()
    assert (found.mean < found.high).all()


def test_over_instances_it_is_the_t_interval_of_their_means():
    v = values()
    found = band(v, over="instances", level=0.9)
    wanted = stats.ttest_1samp(v.mean(axis=2), 0, axis=0).confidence_interval(0.9)
    assert found.low == pytest.approx(wanted.low)
    assert found.high == pytest.approx(wanted.high)


def test_over_seeds_of_one_instance_it_is_the_t_interval_of_them():
    v = values(n=1)
    found = band(v)
    wanted = stats.ttest_1samp(v[0], 0, axis=1).confidence_interval(0.95)
    assert found.low == pytest.approx(wanted.low)
    assert found.high == pytest.approx(wanted.high)


def test_over_seeds_degrees_of_freedom_are_those_of_the_instances_that_vary():
    v = np.repeat(values(n=1), 4, axis=0)
    half = 2 * v[0].std(axis=1, ddof=1) / np.sqrt(8) / 4  # of variances that are four times the same
    found = band(v)
    assert found.high - found.mean == pytest.approx(half * special.stdtrit(4 * 7, 0.975))
    v[1:] = 0.5
    found = band(v)
    assert found.high - found.mean == pytest.approx(half / 2 * special.stdtrit(7, 0.975))


@pytest.mark.parametrize("s", [2, 3, 10])
@pytest.mark.parametrize("unequal", [1, 10])
def test_over_seeds_it_covers_the_mean_of_these_instances(s, unequal):
    rng = np.random.default_rng(s)
    instances = rng.normal(size=(12, 1, 1, 1))
    spread = np.geomspace(1, unequal, 12)[:, None, None, None]
    runs = instances + spread * rng.normal(size=(12, 1, s, STUDIES))
    assert 0.93 <= coverage(runs, instances.mean(), "seeds") <= 0.98


@pytest.mark.parametrize("n", [6, 12])
@pytest.mark.parametrize("s", [1, 2, 10])
def test_over_instances_it_covers_the_mean_of_all_like_them(n, s):
    rng = np.random.default_rng(n + s)
    runs = rng.normal(size=(n, 1, 1, STUDIES)) + rng.normal(size=(n, 1, s, STUDIES))
    assert 0.93 <= coverage(runs, 0, "instances") <= 0.97


def test_the_mean_of_bounded_values_is_covered_within_their_bounds():
    rng = np.random.default_rng(0)
    runs = (rng.random((6, 1, 3, STUDIES)) < 0.3).astype(float)
    for over in ("seeds", "instances"):
        found = band(runs, over=over, bounds=(0, 1))
        assert found.low.min() == 0
        assert found.high.max() <= 1
        assert (band(runs, over=over).low < 0).any()
        assert coverage(runs, 0.3, over, bounds=(0, 1)) == coverage(runs, 0.3, over)


def test_a_mean_outside_of_its_bounds_by_a_last_digit_is_within_its_band():
    v = values() + 1e-15 + 1
    found = band(v, bounds=(0, 1))
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()


def test_instances_vary_more_than_seeds_where_instances_differ():
    v = values() * 0.1 + np.arange(6)[:, None, None, None]
    widths = {over: (found := band(v, over=over)).high - found.low for over in ("seeds", "instances")}
    assert (widths["instances"] > 10 * widths["seeds"]).all()


@pytest.mark.parametrize(("v", "over"), [(values(s=1), "seeds"), (values(n=1), "instances")])
def test_one_seed_or_one_instance_has_no_band(v, over):
    found = band(v, over=over)
    assert (found.low == found.mean).all()
    assert (found.high == found.mean).all()


@pytest.mark.parametrize("over", ["seeds", "instances"])
def test_values_that_are_all_the_same_have_no_band(over):
    v = values(n=3, s=3)
    v[..., 2] = 0.1  # three times 0.1 over 3 is not 0.1
    found = band(v, over=over)
    same = found.low == found.high
    assert same[:, 2].all()
    assert not same[:, [0, 1, 3, 4]].any()
