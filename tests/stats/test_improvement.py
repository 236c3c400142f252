import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from surrobench.stats.improvement import (
    improvement_interval,
    paired,
    probability_of_improvement,
    unpaired,
)


def rliable(first, second):
    """Its formula, for losses: the mean over instances of Mann and Whitney's U over the number of pairs."""
    of_instance = []
    for x, y in zip(first, second, strict=True):
        u = stats.mannwhitneyu(-x, -y, alternative="greater").statistic
        of_instance.append(u / (len(x) * len(y)))
    return np.mean(of_instance)


def pairs():
    rng = np.random.default_rng(3)
    for n, s in [(1, 1), (2, 1), (1, 4), (5, 3), (12, 10)]:
        yield pytest.param(*rng.random((2, n, s)), id=f"random-{n}x{s}")
        yield pytest.param(*rng.integers(0, 3, (2, n, s)).astype(float), id=f"tied-{n}x{s}")
        yield pytest.param(*rng.random((2, n, s)) ** 9, id=f"skewed-{n}x{s}")


@pytest.mark.parametrize(("first", "second"), list(pairs()))
def test_unpaired_is_rliables(first, second):
    expected = rliable(first, second)
    assert probability_of_improvement(first, second, "unpaired") == pytest.approx(expected, abs=1e-12)
    assert unpaired(np.stack([first, second], axis=-1)).value == pytest.approx(expected, abs=1e-12)


def test_unpaired_with_different_numbers_of_seeds():
    rng = np.random.default_rng(4)
    first, second = rng.random((6, 4)), rng.random((6, 9))
    found = probability_of_improvement(first, second, "unpaired")
    assert found == pytest.approx(rliable(first, second), abs=1e-12)
    with pytest.raises(ValueError, match="the same seeds"):
        probability_of_improvement(first, second)
    with pytest.raises(ValueError, match="the same instances"):
        probability_of_improvement(first[:2], second, "unpaired")


def test_paired_by_hand():
    first = [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]]
    second = [[0.2, 0.2, 0.1], [0.9, 0.9, 0.1]]
    assert probability_of_improvement(first, second) == pytest.approx((1 + 0.5 + 0 + 1 + 1 + 0) / 6)


def test_pairing_matters_where_seeds_do():
    # Every seed improves on itself by less than seeds differ.
    rng = np.random.default_rng(5)
    second = rng.random((8, 10))
    first = second - 0.001
    assert probability_of_improvement(first, second) == 1
    assert probability_of_improvement(first, second, "unpaired") < 0.6


@pytest.mark.parametrize("of", [paired, unpaired])
def test_influences_say_how_the_probability_changes(of):
    data = np.random.default_rng(6).random((1, 400, 2)) ** [1, 1.3]
    found = of(data)
    for j in (0, 17, 399):
        more = np.concatenate([data, data[:, j : j + 1]], axis=1)
        assert (of(more).value - found.value) * 401 == pytest.approx(found.influence[0, j], abs=5e-3)
    assert found.influence.mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), random=st.randoms(use_true_random=False), tied=st.booleans())
def test_order_does_not_matter_and_swapping_gives_the_complement(pairing, seed, random, tied):
    first, second = np.random.default_rng(seed).random((2, 5, 4)).round(1 if tied else 9)
    rows, seeds = random.sample(range(5), 5), random.sample(range(4), 4)
    plain = improvement_interval(first, second, np.random.default_rng(0), pairing, resamples=100)
    other = improvement_interval(
        first[rows][:, seeds], second[rows][:, seeds], np.random.default_rng(0), pairing, resamples=100
    )
    assert (other.estimate, other.low, other.high) == pytest.approx((plain.estimate, plain.low, plain.high))
    assert plain.estimate == pytest.approx(probability_of_improvement(first, second, pairing))
    assert probability_of_improvement(second, first, pairing) == pytest.approx(1 - plain.estimate)
    assert 0 <= plain.low <= plain.high <= 1


@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
def test_always_better_is_not_certain(pairing):
    first, second = np.zeros((12, 10)), np.ones((12, 10))
    found = improvement_interval(first, second, np.random.default_rng(0), pairing)
    expected = stats.binomtest(12, 12).proportion_ci(method="exact").low
    assert (found.estimate, found.low, found.high) == pytest.approx((1, expected, 1))
    assert "all instances are alike" in found.note
    mirrored = improvement_interval(second, first, np.random.default_rng(0), pairing)
    assert (mirrored.low, mirrored.high) == pytest.approx((0, 1 - expected))
    seeds = improvement_interval(first, second, np.random.default_rng(0), pairing, resample="seeds")
    assert seeds.low == pytest.approx(stats.binomtest(120, 120).proportion_ci(method="exact").low)


def test_equal_methods_are_even():
    same = np.random.default_rng(1).random((6, 5))
    found = improvement_interval(same, same, np.random.default_rng(0))
    assert (found.estimate, found.low, found.high) == (0.5, 0.5, 0.5)
