from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from surrobench.optimizers.llm.llambo import LADDER
from surrobench.optimizers.llm.llambo_optunahub import LADDER as LADDER_OF_THE_PORT
from surrobench.optimizers.llm.llambo_steps import (
    aim,
    expected_improvement,
    labels,
    limit,
    moments,
    read_number,
    rounded,
    shuffled,
    winner,
)
from surrobench.protocol.requests import Completion


def reply(text: str, finish: Any = "stop") -> Completion:
    return Completion(text, finish, 1, 1, 0.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.85", 0.85),
        (" -3.2e-05\n", -3.2e-05),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("7.", 7.0),
        ("\N{MINUS SIGN}0.5", -0.5),
        ("The performance will be about 0.85.", 0.85),
        ("## 0.912345 ##", 0.912345),
        ("85 %", 85.0),
        ('{"performance": 0.7}', 0.7),
        ("x1 and x2 give 0.7", 0.7),  # names are no numbers
        ("<think>\nLayer 3 matters.\n</think>\n\n0.7", 0.7),
        ("0.9\nConfiguration: 17\nPerformance: 0.3", 0.9),  # it goes on with examples of its own
    ],
)
def test_a_number_is_read_from_prose(text: str, value: float) -> None:
    assert read_number(reply(text)) == (value, "valid")


@pytest.mark.parametrize(
    ("text", "finish", "verdict"),
    [
        ("", "stop", "unparsable"),
        ("very good", "stop", "unparsable"),
        ("between 0.8 and 0.9", "stop", "unparsable"),
        ("1e999", "stop", "unparsable"),
        ("NaN", "stop", "unparsable"),
        ("0.8", "refusal", "refused"),
        ("", "length", "truncated"),
        ("<think>\nLayer 3 matters", "length", "truncated"),
        ("The performance", "length", "truncated"),
        ("12", "length", "truncated"),  # of 12.5, or of 1234
        ("1.5e-0", "length", "truncated"),
        ("1.5e", "length", "truncated"),
        ("It is -", "length", "truncated"),
    ],
)
def test_what_is_no_number_has_a_verdict(text: str, finish: Any, verdict: str) -> None:
    value, said = read_number(reply(text, finish))
    assert np.isnan(value)
    assert said == verdict


@pytest.mark.parametrize(
    ("text", "value"), [("0.85123", 0.85123), ("0.85 as", 0.85), ("12\nConfig", 12.0), ("-0.5", -0.5)]
)
def test_a_reply_cut_off_after_the_digits_that_matter_counts(text: str, value: float) -> None:
    assert read_number(reply(text, "length")) == (value, "valid")


def test_the_target_betters_the_best_by_alpha_times_the_range() -> None:
    values = np.array([0.2, 0.6, 0.4])
    assert aim(values, True, 0.1, LADDER) == pytest.approx(0.2 - 0.1 * 0.4)
    assert aim(values, False, 0.1, LADDER) == pytest.approx(0.6 + 0.1 * 0.4)
    assert aim(values, False, -0.2, LADDER) == pytest.approx(0.6 - 0.2 * 0.4)


def test_a_range_of_zero_is_a_tenth_of_the_value() -> None:
    assert aim(np.array([0.5]), False, 0.1, LADDER) == pytest.approx(0.5 + 0.1 * 0.05)
    assert aim(np.array([0.0]), False, 0.1, LADDER) == 0.0


@pytest.mark.parametrize(
    ("values", "minimize", "alpha"),
    [
        ([0.95, 0.05], False, 0.01),  # 0.95 + 0.1 * 0.9 is above 1
        ([0.9995, 0.05], False, -0.001),  # 0.9995 + 0.001 * 0.95 is, too
        ([0.01, 0.9], True, 0.01),
        ([95.0, 5.0], False, 0.01),  # per cent
    ],
)
def test_a_target_beyond_the_limit_takes_the_next_alpha(
    values: list[float], minimize: bool, alpha: float
) -> None:
    spread, best = max(values) - min(values), values[0]
    assert aim(np.array(values), minimize, 0.1, LADDER) == pytest.approx(
        best - alpha * spread if minimize else best + alpha * spread
    )


def test_the_ladder_ends() -> None:
    """In the published code it does not: negative objectives, and a perfect score among equals."""
    assert aim(np.array([-7.0, -5.0]), True, 0.1, LADDER) == pytest.approx(-7.2)
    assert limit(np.array([-7.0, -5.0]), True) is None
    assert aim(np.array([1.0, 1.0 - 1e-6]), False, 0.1, LADDER) is None
    assert limit(np.array([1.0, 0.9]), False) == 0.9999
    assert limit(np.array([1.0, 99.0]), False) == pytest.approx(99.99)
    assert limit(np.array([1.0, 101.0]), False) is None
    assert aim(np.array([1.0, 0.5]), False, 0.1, LADDER_OF_THE_PORT) is None


def test_the_best_share_is_labelled_and_failures_never_are() -> None:
    losses = np.array([0.5, 0.1, np.nan, 0.3, 0.2, 0.4])
    assert labels(losses, 0.25).tolist() == [0, 1, 0, 0, 0, 0]  # strictly below the percentile, 0.2
    assert labels(losses, 0.5).tolist() == [0, 1, 0, 0, 1, 0]
    assert labels(np.full(2, np.nan), 0.25).tolist() == [0, 0]


def test_moments_are_of_what_was_said_and_the_others_averages_where_nothing_was() -> None:
    said = np.array([[1.0, 3.0, np.nan], [np.nan] * 3, [5.0, 5.0, 8.0]])
    mu, sigma = moments(said)
    assert mu == pytest.approx([2.0, 4.0, 6.0])
    assert sigma == pytest.approx([1.0, (1 + np.sqrt(2)) / 2, np.sqrt(2)])
    assert np.isnan(moments(np.full((2, 2), np.nan))[0]).all()


def test_expected_improvement_is_that_of_the_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    mu, sigma, best = rng.normal(size=50), rng.uniform(1e-5, 2, size=50), 0.1
    by_hand = [
        norm(m, s).expect(lambda y: best - y, lb=-np.inf, ub=best)
        for m, s in zip(mu[:5], sigma[:5] + 0.1, strict=True)
    ]
    assert expected_improvement(mu[:5], sigma[:5] + 0.1, best) == pytest.approx(by_hand, abs=1e-6)
    d = best - mu
    assert expected_improvement(mu, sigma, best) == pytest.approx(
        d * norm.cdf(d / sigma) + sigma * norm.pdf(d / sigma)
    )


def test_the_winner_is_the_first_of_the_highest_and_the_first_of_all_if_nothing_is_known() -> None:
    assert winner(np.array([0.5, 1.0, 1.0])) == 1
    assert winner(np.array([np.nan, 0.0])) == 1
    assert winner(np.array([np.nan, np.nan])) == 0


def test_a_new_trial_leaves_the_others_in_their_order() -> None:
    rng = np.random.default_rng(0)
    ranks = [rng.random(2) for _ in range(30)]
    before, after = shuffled(range(29), ranks, 0), shuffled(range(30), ranks, 0)
    assert [i for i in after if i != 29] == before
    assert sorted(before) == list(range(29)) != before
    assert shuffled(range(30), ranks, 1) != after


def test_configurations_are_compared_in_so_many_decimals() -> None:
    x = np.array([0.5, np.nan, 0.0])
    assert rounded(x, 6) == rounded(x + np.array([4e-7, 0.0, -0.0]), 6)
    assert rounded(x, 8) != rounded(x + 4e-7, 8)
