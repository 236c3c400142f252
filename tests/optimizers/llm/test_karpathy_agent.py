from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.base import Task
from surrobench.optimizers.llm.karpathy_agent import karpathy_agent
from surrobench.protocol.requests import Complete, Evaluate, Message, Waste
from surrobench.space.hyperparameter import Matrix
from tests.optimizers.chatting import Chat, describe, task_of, written

CAR = benchmark("hpobench/mlp/car")
QUESTION = "Next configuration, not tried before, as one line of JSON:"


def samples(n: int, seed: int = 0) -> Matrix:
    return CAR.space.sample(n, np.random.default_rng(seed))


def shown(x: Matrix, id_: str = "hpobench/mlp/car") -> str:
    """A configuration as the model sees and writes it."""
    return written(task_of(id_), x)


def talk(of: Task, **parameters: Any) -> Chat:
    """With the agent, by hand."""
    return Chat(karpathy_agent(of, np.random.default_rng(0), **parameters), of)


# ---------------------------------------------------------------------- what the prompt says


def test_the_prompt_is_task_space_history_question_in_this_order() -> None:
    X = samples(2)
    prompt = talk(task_of(initial=X, losses=[-0.5, -0.25])).prompt
    parts = [
        CAR.card.learner,
        CAR.card.dataset,
        "balanced validation accuracy, higher is better",
        *(f"- {hp.name}: {describe(hp)}" for hp in CAR.space.hyperparameters),
        f"{shown(X[0])} -> 0.5",
        f"{shown(X[1])} -> 0.25",
        QUESTION,
    ]
    places = [prompt.index(part) for part in parts]
    assert places == sorted(places)
    assert prompt.endswith(QUESTION)


@pytest.mark.parametrize(
    ("id_", "metric"),
    [
        ("hpobench/mlp/car", "Metric: balanced validation accuracy, higher is better."),
        ("hpolib/fcnet/naval_propulsion", "Metric: validation mean squared error, lower is better."),
        ("nasbench201/cell/cifar100", "Metric: validation accuracy in per cent, higher is better."),
    ],
)
def test_metric_and_direction_are_the_true_ones(id_: str, metric: str) -> None:
    where = benchmark(id_)
    default = where.scenario.default()
    prompt = talk(task_of(id_=id_, initial=default[None, :], losses=[where.objective.sign * 0.125])).prompt
    assert metric in prompt
    assert f"{shown(default, id_)} -> 0.125" in prompt  # in its natural direction


@pytest.mark.parametrize(
    "id_", ["hpobench/mlp/car", "hpolib/fcnet/naval_propulsion", "nasbench201/cell/cifar10"]
)
def test_without_initial_design_the_prompt_does_not_give_the_default_away(id_: str) -> None:
    where = benchmark(id_)
    prompt = talk(task_of(id_=id_)).prompt
    assert "default" not in prompt.lower()
    assert shown(where.scenario.default(), id_) not in prompt
    assert "->" not in prompt


def test_numbers_have_three_digits_and_outcomes_four() -> None:
    X = samples(1)
    prompt = talk(task_of(initial=X, losses=[-0.123456789])).prompt
    assert f"{shown(X[0])} -> 0.1235\n" in prompt


def test_a_failed_trial_is_shown_as_failed_and_is_not_the_best() -> None:
    X = samples(3)
    chat = talk(task_of(initial=X, losses=[np.nan, -0.5, np.nan]), history=1)
    assert f"{shown(X[2])} -> failed" in chat.prompt
    assert f"Best so far: {shown(X[1])} -> 0.5" in chat.prompt
    assert "Best" not in talk(task_of(initial=X[:1], losses=[np.nan]), history=1).prompt


def test_the_request_carries_the_published_sampling_and_the_schema() -> None:
    request = talk(task_of()).request
    assert request.purpose == "propose"
    assert request.n == 1
    assert request.sampling == {"temperature": 0.7, "max_tokens": 2048}
    assert set(request.schema["properties"]) == set(CAR.space.names)
    assert [message.role for message in request.messages] == ["user"]
    other = talk(task_of(), temperature=0.0, max_tokens=9).request
    assert other.sampling == {"temperature": 0.0, "max_tokens": 9}


# ---------------------------------------------------------------------- the history


def test_the_proposal_is_evaluated_and_its_value_shown_next_time() -> None:
    x = samples(1)[0]
    chat = talk(task_of())
    trial = chat.say(f"I suggest {shown(x)}.")
    assert isinstance(trial, Evaluate)
    assert trial.source == "llm"
    assert np.array_equal(trial.configurations, x[None, :])
    assert f"{shown(x)} -> 0.75" in chat.score(-0.75)


def test_the_prompt_only_grows_until_the_history_is_full() -> None:
    chat = talk(task_of(), history=6)
    for i, x in enumerate(samples(9)):
        chat.say(shown(x))
        chat.score(-i / 10)
    before = [prompt.removesuffix(f"\n{QUESTION}").rstrip("\n") for prompt in chat.prompts()]
    assert all(prompt.endswith(QUESTION) for prompt in chat.prompts())
    assert all(new.startswith(old) for old, new in pairwise(before[:7]))
    assert not before[7].startswith(before[6])  # now the oldest trial has gone
    for number_, prompt in enumerate(chat.prompts()):
        assert prompt.count(" -> ") == min(number_, 6)


def test_the_last_trials_are_shown_in_the_order_they_were_made() -> None:
    X = samples(7)
    prompt = talk(task_of(initial=X, losses=-np.arange(7) / 10), history=3).prompt
    lines = [line for line in prompt.splitlines() if " -> " in line]
    assert lines == [f"{shown(X[i])} -> {i / 10:g}" for i in (4, 5, 6)]


def test_the_incumbent_is_repeated_only_when_it_has_left_the_history() -> None:
    X = samples(4)
    chat = talk(task_of(initial=X[:1], losses=[-0.9]), history=2)
    for i in (1, 2, 3):
        assert ("Best so far:" in chat.prompt) == (i == 3)
        chat.say(shown(X[i]))
        chat.score(-0.1 * i)
    assert f"Best so far: {shown(X[0])} -> 0.9\n{QUESTION}" in chat.prompt
    chat.say(shown(X[0]))
    assert "Best so far:" not in chat.score(-0.95)  # the new best is in view


def test_of_equal_trials_the_first_stays_the_incumbent() -> None:
    X = samples(4)
    prompt = talk(task_of(initial=X, losses=[-0.5, -0.5, -0.1, -0.1]), history=2).prompt
    assert f"Best so far: {shown(X[0])} -> 0.5" in prompt


# ---------------------------------------------------------------------- replies that are no configuration

BAD = '{"width": 16}'


@pytest.mark.parametrize(
    ("reply", "finish", "reason"),
    [
        ("I am not sure.", "stop", "unparsable: "),
        (BAD, "stop", "missing: 'alpha' is missing"),
        ('{"widht": 16}', "stop", "unknown-name: 'widht'"),
        ('{"width": 99999}', "stop", "out-of-range: width"),
        ('{"width": ', "length", "truncated: "),
        ("", "refusal", "refused: "),
    ],
)
def test_an_invalid_reply_wastes_a_trial_and_leaves_no_trace_in_the_history(
    reply: str, finish: str, reason: str
) -> None:
    chat = talk(task_of(initial=samples(1), losses=[-0.5]))
    waste = chat.say(reply, finish)
    assert isinstance(waste, Waste)
    assert waste.reason.startswith(reason)
    assert waste.source == "llm"
    chat.score(np.nan)
    assert chat.prompts()[1] == chat.prompts()[0]
    assert chat.request.attempt == 0  # a new call, not a re-ask


def test_retry_shows_the_model_its_reply_and_the_error() -> None:
    chat = talk(task_of(invalid="retry:2"))
    first = chat.request
    again = chat.say(BAD)
    assert isinstance(again, Complete)
    assert again.messages[0] == first.messages[0]
    assert again.messages[1] == Message("assistant", BAD)
    assert again.messages[2].role == "user"
    assert "'alpha' is missing" in again.messages[2].content
    assert (first.attempt, again.attempt) == (0, 1)
    assert replace(again, messages=first.messages, attempt=0) == first
    third = chat.say("no")
    assert third.attempt == 2
    assert [message.role for message in third.messages] == ["user", "assistant", "user"]
    assert third.messages[1].content == "no"


@pytest.mark.parametrize(("reply", "finish"), [("", "refusal"), ("\n", "length")])
def test_retry_after_an_empty_reply_ends_the_question_with_the_error(reply: str, finish: Any) -> None:
    chat = talk(task_of(invalid="retry:1"))
    [question] = chat.request.messages
    [again] = chat.say(reply, finish).messages
    assert again.role == "user"
    assert again.content.startswith(f"{question.content}\n\nThat is not valid: the ")
    assert again.content.endswith(". Answer with one valid JSON object.")


def test_retry_ends_with_a_wasted_trial_after_n_re_asks() -> None:
    chat = talk(task_of(invalid="retry:2"))
    assert isinstance(chat.say(BAD), Complete)
    assert isinstance(chat.say(BAD), Complete)
    assert isinstance(chat.say("{}"), Waste)
    chat.score(np.nan)
    assert chat.request.attempt == 0
    assert chat.prompts()[3] == chat.prompts()[0]  # two re-asks were in between


def test_retry_evaluates_the_first_valid_reply() -> None:
    x = samples(1)[0]
    chat = talk(task_of(invalid="retry:3"))
    chat.say(BAD)
    trial = chat.say(shown(x))
    assert np.array_equal(trial.configurations, x[None, :])
    assert BAD not in chat.score(-0.3)


def test_clip_mends_the_reply_and_records_what_it_mended() -> None:
    chat = talk(task_of(invalid="clip"))
    trial = chat.say('{"width": 99999, "depth": 2, "batch_size": 100}')
    [configuration] = CAR.space.decode(trial.configurations)
    [default] = CAR.space.decode(CAR.scenario.default())
    assert configuration == {**default, "width": 1024, "depth": 2, "batch_size": 101}
    assert set(trial.repairs) == {
        "clipped:width",
        "snapped:batch_size",
        "filled:alpha",
        "filled:learning_rate_init",
    }
    assert f"{shown(trial.configurations[0])} -> 0.5" in chat.score(-0.5)


def test_clip_still_wastes_a_trial_on_what_is_no_object() -> None:
    assert isinstance(talk(task_of(invalid="clip")).say("no idea"), Waste)


def test_a_value_off_the_grid_is_shown_as_it_was_evaluated() -> None:
    x = samples(1)[0]
    proposal = json.loads(shown(x)) | {"width": 17}
    chat = talk(task_of())
    trial = chat.say(json.dumps(proposal))
    assert trial.repairs == ("snapped:width",)
    prompt = chat.score(-0.5)
    assert '"width": 16' in prompt
    assert '"width": 17' not in prompt
