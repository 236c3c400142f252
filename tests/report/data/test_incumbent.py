import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.incumbent import final_incumbents

SCHEMA = {"run": pl.String, "trial": pl.Int64, "loss": pl.Float64, "score": pl.Float64}


def frame(*rows):
    return pl.LazyFrame(rows, schema=SCHEMA, orient="row")


def rows(trials, budget=None):
    return final_incumbents(trials, budget).rows()


def test_the_oracle_trap_chosen_by_what_was_observed_and_scored_by_the_mean():
    # Trial 1 has the best mean, but the run saw trial 2 do better.
    trials = frame(("a", 0, 0.5, 0.4), ("a", 1, 0.3, 0.1), ("a", 2, 0.2, 0.35))
    assert rows(trials) == [("a", 2, 0.2, 0.35)]


def test_among_equal_losses_the_first_trial_counts_whatever_the_order_of_rows():
    trials = frame(("a", 2, 0.2, 0.1), ("a", 1, 0.2, 0.3), ("a", 0, 0.4, 0.0))
    assert rows(trials) == [("a", 1, 0.2, 0.3)]


def test_only_trials_within_the_budget_count():
    trials = frame(("a", 0, 0.5, 0.5), ("a", 1, 0.4, 0.4), ("a", 2, 0.1, 0.1))
    assert rows(trials, 2) == [("a", 1, 0.4, 0.4)]
    assert rows(trials, 3) == rows(trials, None) == rows(trials, 99) == [("a", 2, 0.1, 0.1)]


@pytest.mark.parametrize("nothing", [math.nan, None])
def test_nan_and_null_never_win(nothing):
    trials = frame(("a", 0, nothing, 0.0), ("a", 1, 0.9, 0.9), ("a", 2, nothing, None))
    assert rows(trials) == [("a", 1, 0.9, 0.9)]


@pytest.mark.parametrize("nothing", [math.nan, None])
def test_a_run_that_observed_nothing_is_listed(nothing):
    trials = frame(("b", 0, 0.1, 0.1), ("a", 0, nothing, 0.0), ("a", 1, nothing, 0.0), ("c", 5, 0.1, 0.1))
    assert rows(trials, 5) == [
        ("a", None, None, None),
        ("b", 0, 0.1, 0.1),
        ("c", None, None, None),
    ]


def test_no_trials_give_no_rows():
    assert final_incumbents(frame(), None).schema == SCHEMA
    assert rows(frame()) == []


observations = st.lists(st.sampled_from([0.1, 0.2, 0.3, math.nan, None]), min_size=1, max_size=12)


@given(st.lists(observations, min_size=1, max_size=4), st.randoms(use_true_random=False), st.integers(0, 12))
def test_agrees_with_a_loop_and_ignores_the_order_of_rows(runs, random, budget):
    data = [(f"r{i}", t, loss, 10.0 * i + t) for i, run in enumerate(runs) for t, loss in enumerate(run)]
    expected = []
    for i, run in enumerate(runs):
        seen = [(loss, t) for t, loss in enumerate(run[:budget]) if loss is not None and not np.isnan(loss)]
        loss, trial = min(seen, default=(None, None))
        expected.append((f"r{i}", trial, loss, None if trial is None else 10.0 * i + trial))
    random.shuffle(data)
    assert rows(frame(*data), budget) == expected
