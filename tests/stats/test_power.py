import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from surrobench.stats.paired import wilcoxon
from surrobench.stats.power import (
    Power,
    detectable,
    powers,
    simulated,
    smallest_detectable,
    variation,
)

INSTANCES, SEEDS = 2000, 10
BETWEEN, WITHIN = 0.03, 0.1
"""Standard deviations of a normal pilot: of instances, and of runs on one of them."""


@pytest.fixture(scope="module")
def pilot():
    """A pilot large enough to stand for the normal distribution; two methods, no effect."""
    rng = np.random.default_rng(1)
    of_instance = rng.normal(0, BETWEEN, (INSTANCES, 1, 2))
    return variation(of_instance + rng.normal(0, WITHIN, (INSTANCES, SEEDS, 2)))


def power(pilot, instances, seeds, effect, simulations=1500, alpha=0.05):
    noise = simulated(pilot, instances, seeds, simulations, np.random.default_rng(0))
    return powers(noise, np.array([0.0, 10.0]), effect, alpha)[0]


def test_the_variance_of_instances_is_freed_of_the_noise_of_seeds(pilot):
    assert pilot.instance.std(axis=0) == pytest.approx([BETWEEN, BETWEEN], rel=0.05)
    assert pilot.seed.std(axis=(0, 1)) == pytest.approx([WITHIN, WITHIN], rel=0.02)
    for seeds in (1, 10, 40):
        noise = simulated(pilot, 20, seeds, 500, np.random.default_rng(0))
        assert noise.std() == pytest.approx(np.sqrt(BETWEEN**2 + WITHIN**2 / seeds), rel=0.03)


def test_a_small_pilot_varies_as_much_as_the_population_on_average():
    rng = np.random.default_rng(2)
    variances = []
    for _ in range(300):
        gains = rng.normal(0, BETWEEN, (8, 1, 1)) + rng.normal(0, WITHIN, (8, 4, 1))
        found = variation(gains)
        variances.append(found.instance.var() + np.square(found.seed).mean() / 4)
    # A negative estimate of the variance of instances is cut off at zero: slightly too much remains.
    assert 0.97 < np.mean(variances) / (BETWEEN**2 + WITHIN**2 / 4) < 1.15


@pytest.mark.parametrize(("instances", "seeds", "effect"), [(15, 10, 0.03), (30, 10, 0.025), (30, 2, 0.04)])
def test_on_normal_data_the_power_is_that_of_the_t_test_at_the_efficiency_of_ranks(
    pilot, instances, seeds, effect
):
    # The second method is so clear that Holm asks no more of the first than the plain level.
    found = power(pilot, instances, seeds, effect)
    deviation = np.sqrt(BETWEEN**2 + WITHIN**2 / seeds)
    efficiency = 3 / np.pi
    expected = TTestPower().power(effect / deviation, instances * efficiency, 0.05)
    assert 0.5 < expected < 0.97
    assert found.value == pytest.approx(expected, abs=3 * found.error + 0.015)


def test_it_agrees_with_a_direct_simulation_of_the_test(pilot):
    rng = np.random.default_rng(5)
    deviation = np.sqrt(BETWEEN**2 + WITHIN**2 / 5)
    p = [stats.wilcoxon(rng.normal(0.05, deviation, 12)).pvalue for _ in range(1500)]
    direct = Power.of(np.array(p) <= 0.05)
    found = power(pilot, 12, 5, 0.05)
    assert found.value == pytest.approx(direct.value, abs=3 * np.hypot(found.error, direct.error))


def test_without_an_effect_it_is_the_level_even_if_runs_are_skewed():
    rng = np.random.default_rng(4)
    skewed = variation(rng.exponential(1, (60, 8, 1)) - rng.exponential(0.2, (60, 8, 1)))
    noise = simulated(skewed, 20, 3, 3000, np.random.default_rng(0))
    assert powers(noise, np.zeros(1), 0.0, 0.05)[0].value == pytest.approx(0.05, abs=0.015)


def test_it_grows_with_effect_seeds_and_instances(pilot):
    base = power(pilot, 12, 2, 0.04).value
    assert base < power(pilot, 12, 2, 0.06).value
    assert base < power(pilot, 12, 8, 0.04).value
    assert base < power(pilot, 24, 2, 0.04).value
    # No number of seeds makes up for instances.
    assert power(pilot, 5, 100, 0.2).value == 0


def test_holm_counts_all_comparisons():
    rng = np.random.default_rng(6)
    gains = rng.normal([0.5, 0, 0, -0.4], 1, (40, 12, 4))
    for j, found in enumerate(powers(gains, np.zeros(4), None, 0.05)):
        tests = [wilcoxon(np.column_stack([np.zeros(12), -study]), 0) for study in gains]
        assert found.value == np.mean([test.comparisons[j].p_corrected <= 0.05 for test in tests])


def test_what_is_found_in_the_wrong_direction_does_not_count():
    noise = -np.abs(np.random.default_rng(0).normal(1, 0.1, (50, 10, 1)))
    assert powers(noise, np.zeros(1), 0.1, 0.05)[0].value == 0
    assert powers(noise, np.zeros(1), -0.1, 0.05)[0].value == 1


def test_the_same_generator_gives_the_same_power(pilot):
    assert power(pilot, 9, 3, 0.05, 200) == power(pilot, 9, 3, 0.05, 200)
    gains = np.random.default_rng(0).normal(0, 1, 15)
    same = [smallest_detectable(gains, 0.01, 0.8, np.random.default_rng(7)) for _ in range(2)]
    assert same[0] == same[1]


def test_the_detectable_effect_is_found_with_that_power(pilot):
    noise = simulated(pilot, 25, 5, 2000, np.random.default_rng(0))[:, :, :1]
    least = detectable(noise[:, :, 0], 0.05, 0.8)
    found = powers(noise, np.zeros(1), least, 0.05)[0]
    assert found.value == pytest.approx(0.8, abs=0.01)
    one_sided = detectable(noise[:, :, 0], 0.05, 0.8, one_sided=True)
    assert one_sided < least < detectable(noise[:, :, 0], 0.01, 0.8)


def test_too_few_instances_detect_nothing():
    rng = np.random.default_rng(0)
    assert smallest_detectable([0.1], 0.05, 0.8, rng) == float("inf")
    assert smallest_detectable([0.1, 0.2, 0.3, 0.4, 0.5], 0.05, 0.8, rng) == float("inf")  # 2 / 2**5
    assert smallest_detectable([0.1, 0.2, 0.3, 0.4, 0.5], 0.05, 0.8, rng, one_sided=True) < 1


def test_the_monte_carlo_error_is_never_zero():
    found = Power.of(np.ones(96, dtype=bool))
    assert found.value == 1
    assert found.error == pytest.approx(np.sqrt(0.98 * 0.02 / 100))


def test_one_seed_has_no_noise_of_seeds_and_one_instance_is_no_pilot():
    found = variation(np.random.default_rng(0).normal(0, 1, (6, 1, 2)))
    assert not found.seed.any()
    with pytest.raises(ValueError, match="two instances"):
        variation(np.ones((1, 3, 1)))
    with pytest.raises(ValueError, match="without NaN"):
        variation(np.full((2, 3, 1), np.nan))
