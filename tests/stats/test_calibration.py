"""A few hundred of the studies of ``python -m tests.bench.calibration``, with what so few can show."""

import pytest
from scipy import stats

from tests.bench.calibration import LEAST_COVERED, LEVEL, MOST_REJECTED, calibrate

TESTS, INTERVALS = 200, 40

# What a test or an interval at its limit exceeds once in 10,000 runs of this file.
RARE = 1e-4


@pytest.fixture(scope="module")
def rejected():
    return calibrate(TESTS, resamples=0, seed=1)


@pytest.fixture(scope="module")
def covered():
    return [row for row in calibrate(INTERVALS, resamples=299, seed=2) if row.interval]


def test_tests_hold_their_level_under_either_null(rejected):
    most = stats.binom.isf(RARE, TESTS, MOST_REJECTED) / TESTS
    assert {(row.null, row.what): row.share for row in rejected if row.limited and row.share > most} == {}
    assert len([row for row in rejected if row.limited]) == 30


def test_intervals_cover_under_either_null(covered):
    least = stats.binom.ppf(RARE, INTERVALS, LEAST_COVERED) / INTERVALS
    assert {(row.null, row.what): row.share for row in covered if row.limited and row.share < least} == {}
    assert {row.what for row in covered if "these instances only" in row.what}
    assert len([row for row in covered if row.limited and row.what.startswith("band over")]) == 26


def test_seeds_as_blocks_and_no_correction_do_not_hold_it(rejected):
    # So that the test above is known to be able to fail.
    share = {(row.null, row.what): row.share for row in rejected}
    least = stats.binom.isf(RARE, TESTS, LEVEL) / TESTS
    assert share["interaction", "Wilcoxon, seeds as blocks, one pair"] > least
    assert share["interaction", "Wilcoxon, uncorrected, any vs control"] > least
