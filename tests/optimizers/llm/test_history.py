from __future__ import annotations

import json
from dataclasses import replace

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest

from surrobench.optimizers.llm.history import MOST_DIGITS, History
from surrobench.protocol.requests import Evaluated
from surrobench.space.search_space import SearchSpace
from tests.optimizers.chatting import task_of


def made(values: list[float], X: list[list[float]] | None = None, rules: int = 2) -> History:
    """A history of trials of two floats, with values that should rise."""
    space = CS.ConfigurationSpace()
    space.add(CS.Float("a", (0.0, 1.0)), CS.Float("b", (1e-6, 1.0), log=True))
    of = task_of()
    of = replace(of, space=SearchSpace(space), text_rules=rules)
    past = History(of)
    sign = of.objective.sign
    X = X or [[i / 100, 0.5] for i in range(len(values))]
    past.add(Evaluated(np.array(X), np.array(values) * sign))
    return past


def outcomes(past: History) -> list[str]:
    return [past.outcome(i) for i in range(len(past))]


def test_outcomes_have_four_digits_where_the_best_look_different() -> None:
    assert outcomes(made([0.123456, 0.5, 97.61, 0.3])) == ["0.1235", "0.5", "97.61", "0.3"]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([97.6121, 97.6144, 97.6188, 12.3456], ["97.612", "97.614", "97.619", "12.346"]),
        ([0.9, 97.61212, 97.61214], ["0.9", "97.61212", "97.61214"]),
        ([0.5, 0.5, 0.5], ["0.5", "0.5", "0.5"]),
        # Surrogates compute with seven digits. The eighth says nothing.
        ([0.123456781, 0.123456782], ["0.1234568", "0.1234568"]),
    ],
)
def test_they_have_as_many_more_as_tell_the_best_apart(values: list[float], shown: list[str]) -> None:
    assert outcomes(made(values)) == shown
    assert MOST_DIGITS == 7


def test_digits_are_never_taken_back_so_that_prompts_grow_at_their_end() -> None:
    past = made([0.912341, 0.912342])
    better = np.array([[0.9, 0.1 + i / 10] for i in range(5)])
    past.add(Evaluated(better, np.linspace(0.95, 0.99, 5) * past._task.objective.sign))
    assert outcomes(past)[:2] == ["0.912341", "0.912342"]
    assert past.value(-past._task.objective.sign * -0.5) == "0.5"


def test_the_worse_ones_and_failures_need_no_digits() -> None:
    past = made([0.2000001, 0.2000002, 0.9, 0.8, 0.7, 0.6, 0.5, float("nan")])
    assert outcomes(past)[:2] == ["0.2", "0.2"]
    assert outcomes(past)[-1] == "failed"


def test_different_configurations_have_different_lines() -> None:
    X = [[0.1234, 0.5], [0.1231, 0.5], [0.12312, 0.5], [0.1234, 0.5]]
    lines = [json.loads(made([0.1] * 4, X).configuration(i))["a"] for i in range(4)]
    assert lines == [0.123, 0.1231, 0.12312, 0.123]
    # What is no more than the first line's text cannot be written otherwise.
    past = made([0.1] * 2, [[0.1234, 0.5], [0.123, 0.5]])
    assert past.configuration(0) == past.configuration(1)


def test_by_the_first_rules_digits_are_four_and_lines_may_be_equal() -> None:
    past = made([97.6121, 97.6144], [[0.1234, 0.5], [0.1231, 0.5]], rules=1)
    assert outcomes(past) == ["97.61", "97.61"]
    assert past.configuration(0) == past.configuration(1)
