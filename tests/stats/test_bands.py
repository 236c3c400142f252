import numpy as np
import pytest

from surrobench.stats.bands import band


def values(n=6, m=3, s=8, g=5, seed=0):
    return np.random.default_rng(seed).random((n, m, s, g))


def test_the_mean_is_over_seeds_then_instances_and_within_its_band():
    v = values()
    found = band(v, np.random.default_rng(0))
    assert found.mean == pytest.approx(v.mean(axis=2).mean(axis=0))
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()


@pytest.mark.parametrize("over", ["seeds", "instances"])
def test_agrees_with_resampling_one_curve_at_a_time(over):
    v = values(n=5, m=2, s=6, g=2)
    found = band(v, np.random.default_rng(0), over=over, resamples=4000)
    rng = np.random.default_rng(1)
    means = []
    for _ in range(4000):
        rows = rng.integers(5, size=5) if over == "instances" else range(5)
        means.append(np.mean([v[i][:, rng.integers(6, size=6)].mean(axis=1) for i in rows], axis=0))
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_instances_vary_more_than_seeds_where_instances_differ():
    v = values() * 0.1 + np.arange(6)[:, None, None, None]
    widths = {}
    for over in ("seeds", "instances"):
        found = band(v, np.random.default_rng(0), over=over)
        widths[over] = (found.high - found.low).mean()
    assert widths["instances"] > 10 * widths["seeds"]


def test_one_seed_has_nothing_to_resample():
    found = band(values(s=1), np.random.default_rng(0))
    assert found.low == pytest.approx(found.mean)
    assert found.high == pytest.approx(found.mean)


def test_the_same_seed_gives_the_same_band_and_methods_share_the_draws():
    v = values()
    v[:, 1] = v[:, 0]
    one, two = (band(v, np.random.default_rng(3)) for _ in range(2))
    assert (one.low == two.low).all()
    assert one.low[0] == pytest.approx(one.low[1], abs=1e-12)
