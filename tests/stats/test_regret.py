import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrobench.stats.regret import normalised_regret, quantile_position, quantile_regret, random_trials_worth

REFERENCE = np.array([0.1, 0.2, 0.2, 0.4])


def test_normalised_regret_is_zero_at_the_best_one_at_the_anchor_and_unclipped():
    assert normalised_regret([0.1, 0.3, 0.7, 0.0], 0.1, 0.3) == pytest.approx([0.0, 1.0, 3.0, -0.5])


@pytest.mark.parametrize("anchor", [0.1, 0.05, float("nan")])
def test_normalised_regret_has_no_unit_without_an_anchor_worse_than_the_best(anchor):
    assert np.isnan(normalised_regret([[0.2, 0.1]], 0.1, anchor)).tolist() == [[True, True]]


@pytest.mark.parametrize(
    ("loss", "better", "ties"),
    [(0.05, 0, 0), (0.1, 0, 1), (0.2, 1, 2), (0.3, 3, 0), (0.4, 3, 1), (0.5, 4, 0)],
)
def test_quantile_regret_counts_better_and_half_of_the_ties(loss, better, ties):
    assert quantile_regret([loss], REFERENCE) == pytest.approx([(better + ties / 2 + 1) / 5])
    assert quantile_position([loss], REFERENCE) == [better + ties / 2 + 1]


def test_quantile_regret_keeps_the_shape():
    losses = np.random.default_rng(0).random((3, 4, 5))
    assert quantile_regret(losses, REFERENCE).shape == (3, 4, 5)


def test_the_best_of_t_random_trials_is_worth_t_random_trials():
    rng = np.random.default_rng(1)
    space = np.sort(rng.random(10_001))
    for trials in (1, 9, 99):
        best = rng.choice(space, (4_000, trials)).min(axis=1)
        assert random_trials_worth(quantile_regret(best, space).mean()) == pytest.approx(trials, rel=0.06)


# Integers: exp() of close floats may collide, which would not be a strictly increasing transform.
values = st.lists(st.integers(-20, 20), min_size=1, max_size=30)


@given(values, values)
def test_quantile_regret_is_invariant_to_strictly_increasing_transforms(losses, reference):
    losses, reference = np.array(losses, float), np.sort(np.array(reference, float))
    plain = quantile_regret(losses, reference)
    assert np.array_equal(plain, quantile_regret(np.exp(losses), np.exp(reference)))
    assert np.array_equal(plain, quantile_regret(losses**3 * 1e7 - 5, reference**3 * 1e7 - 5))


@given(values, values)
def test_quantile_regret_is_in_the_unit_interval_and_monotone(losses, reference):
    quantiles = quantile_regret(np.sort(losses), np.sort(np.array(reference, float)))
    assert np.all((quantiles > 0) & (quantiles <= 1))
    assert np.all(np.diff(quantiles) >= 0)
