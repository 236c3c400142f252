import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from surrobench.stats.improvement import (
    improvement_interval,
    paired,
    probability_of_improvement,
    score_tables,
    unpaired,
    unpaired_interval,
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
    found = improvement_interval(first, second, np.random.default_rng(0), "unpaired", resamples=10)
    assert found.estimate == pytest.approx(expected, abs=1e-12)


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


@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
def test_influences_say_how_the_probability_changes(pairing):
    data = np.random.default_rng(6).random((1, 400, 2)) ** [1, 1.3]
    of = paired
    if pairing == "unpaired":
        of, data = unpaired(score_tables(data[..., 0], data[..., 1])), np.arange(400).reshape(1, 400, 1)
    found = of(data)
    for j in (0, 17, 399):
        more = np.concatenate([data, data[:, j : j + 1]], axis=1)
        assert (of(more).value - found.value) * 401 == pytest.approx(found.influence[0, j], abs=5e-3)
    assert found.influence.mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), random=st.randoms(use_true_random=False), tied=st.booleans())
def test_order_does_not_matter_and_swapping_gives_the_complement(pairing, seed, random, tied):
    first, second = np.random.default_rng(seed).random((2, 7, 4)).round(1 if tied else 9)
    rows, seeds = random.sample(range(7), 7), random.sample(range(4), 4)
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


@pytest.mark.parametrize("tied", [False, True])
def test_what_is_resampled_from_score_tables_is_what_a_new_comparison_gives(tied):
    first, second = np.random.default_rng(7).random((2, 7, 4)).round(1 if tied else 9)
    rng = np.random.default_rng(8)
    instances = rng.integers(5, size=(30, 5, 1))
    seeds = rng.integers(4, size=(30, 5, 6))
    found = unpaired(score_tables(first, second))((instances * 4 + seeds)[..., None])
    for b in range(30):
        again = probability_of_improvement(
            first[instances[b], seeds[b]], second[instances[b], seeds[b]], "unpaired"
        )
        assert found.value[b] == pytest.approx(again, abs=1e-12)
        # A run of the first acts through those of the second that it beats, and the other way around.
        x, y = (losses[instances[b, :1], seeds[b, :1]] for losses in (first, second))
        (table,) = score_tables(x, y)
        expected = table.mean(axis=1) + table.mean(axis=0) - table.mean() - found.value[b]
        assert found.influence[b, 0] == pytest.approx(expected, abs=1e-12)


def test_tables_of_clusters_do_not_depend_on_order_either():
    first, second = np.random.default_rng(9).random((2, 12, 4)).round(1)
    tables = score_tables(first, second).reshape(6, 2, 4, 4)
    order, seeds = np.random.default_rng(10).permutation(6), [2, 0, 3, 1]
    plain = unpaired_interval(tables.mean(axis=1), np.random.default_rng(0), resamples=100)
    other = unpaired_interval(
        tables[order][..., seeds, :][..., seeds].mean(axis=1), np.random.default_rng(0), resamples=100
    )
    assert (other.low, other.high) == pytest.approx((plain.low, plain.high))
    with pytest.raises(ValueError, match="same seeds in rows and columns"):
        unpaired_interval(tables[:, 0, :, :3], np.random.default_rng(0))
