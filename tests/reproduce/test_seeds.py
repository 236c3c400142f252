"""What a number of seeds can show, beside scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from surrobench.reproduce.seeds import (
    critical,
    exact_p,
    power,
    seeds_needed,
    smallest_p,
    t_interval,
    welch_interval,
)


@pytest.mark.parametrize("n", [3, 5, 6, 8, 10, 12])
def test_the_smallest_p_is_that_of_n_equal_signs(n):
    assert smallest_p(n) == 2 / 2**n
    assert smallest_p(n, two_sided=False) == 1 / 2**n


# Source: Wilcoxon's table of critical values, two-sided 5 %.
@pytest.mark.parametrize(
    ("n", "value"), [(3, -1), (5, -1), (6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (20, 52), (25, 89)]
)
def test_critical_values_are_those_of_the_table(n, value):
    assert critical(n) == value


@pytest.mark.parametrize("n", [6, 8, 11])
def test_power_is_the_share_of_scipys_rejections(n):
    rng = np.random.default_rng(0)
    p = stats.wilcoxon(rng.standard_normal((4000, n)) + 0.9, axis=1, method="exact").pvalue
    assert power(0.9, 1.0, n) == pytest.approx((p <= 0.05).mean(), abs=0.035)
    assert power(-0.9, 1.0, n) == pytest.approx(power(0.9, 1.0, n), abs=0.035)


def test_power_without_a_difference_is_the_tests_size_and_three_seeds_have_none():
    assert power(0.0, 1.0, 8) == pytest.approx(10 / 256, abs=0.01)  # ranks sums 0 to 3: 5 of 256, twice
    assert power(1e6, 1.0, 3) == 0.0
    assert power(1e6, 1.0, 8) == 1.0


def test_the_seeds_needed_have_the_power_and_one_less_has_not():
    needed = seeds_needed(0.5, 1.0)
    assert needed == pytest.approx(35, abs=2)  # Student's t test needs 34
    assert power(0.5, 1.0, needed) >= 0.8 > power(0.5, 1.0, needed - 1)
    assert seeds_needed(0.1, 1.0) is None
    assert seeds_needed(100.0, 1.0) == 6


def test_intervals_are_scipys():
    values, others = np.array([1.0, 2.0, 4.0]), np.array([3.0, 3.5, 9.0])
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval()
    found = t_interval(values)
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    low, high = stats.ttest_ind(values, others, equal_var=False).confidence_interval()
    found = welch_interval(values.mean(), values.std(ddof=1), others.mean(), others.std(ddof=1), 3)
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))


def test_the_exact_p_of_three_pairs():
    assert exact_p([0.1, 0.2, 0.3]) == 0.25
    assert exact_p([-0.1, 0.2, 0.3]) == 0.5
