from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.llm.opro import opro, opro_1
from surrobench.protocol.requests import Complete, Evaluate, Message, Waste
from tests.optimizers.chatting import (
    CAR,
    EVERYWHERE,
    INVALID,
    XGBOOST,
    describe,
    losses_of,
    play,
    randomly,
    said,
    samples,
    task_of,
    written,
)

RNG = np.random.default_rng
QUESTION = (
    "Give a new configuration that is different from all above and has a higher value than any of them. "
    "Answer with one line of JSON:"
)


def granted(n: int, losses: Any = None, **more: Any) -> Any:
    of = task_of(**more)
    X = samples(of, n)
    return task_of(initial=X, losses=-np.arange(n) / 100 if losses is None else losses, **more)


def first(of: Any, **parameters: Any) -> Complete:
    request = next(opro(of, RNG(0), **parameters))
    assert isinstance(request, Complete)
    return request


def listed(prompt: str) -> list[tuple[str, str]]:
    """The pairs of configuration and value in a prompt."""
    lines = prompt.splitlines()
    return [
        (line.removeprefix("configuration: "), value.removeprefix("value: "))
        for line, value in pairwise(lines)
        if line.startswith("configuration: ")
    ]


# ---------------------------------------------------------------------- the start


@pytest.mark.parametrize(("n", "drawn"), [(0, 5), (2, 3), (5, 0), (7, 0)])
def test_granted_trials_count_as_starting_points(n: int, drawn: int) -> None:
    of = granted(n)
    played = play(opro(of, RNG(0)), of, randomly(of), 6)
    assert played.sources == ["random"] * drawn + ["llm"] * (6 - drawn)
    assert len(listed(played.prompts()[0])) == max(n, 5)


def test_the_starting_points_follow_from_the_seed() -> None:
    of = task_of()
    runs = [np.array(play(opro(of, RNG(seed)), of, randomly(of), 5).X) for seed in (0, 0, 1)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_a_larger_budget_extends_a_smaller_one() -> None:
    of = task_of()
    long, short = (play(opro(of, RNG(0)), of, randomly(of), n).X for n in (30, 16))
    assert np.array_equal(long[:16], short)


# ---------------------------------------------------------------------- what the prompt says


def test_the_prompt_is_task_space_pairs_question_in_this_order() -> None:
    of = granted(5)
    car = benchmark(CAR)
    prompt = first(of).messages[0].content
    parts = [
        car.card.learner,
        car.card.dataset,
        "balanced validation accuracy, higher is better.\n\nHyperparameters:\n",
        *(f"- {hp.name}: {describe(hp)}" for hp in car.space.hyperparameters),
        "from the worst to the best: higher values are better",
        *(f"configuration: {written(of, x)}\nvalue: {i / 100:g}\n" for i, x in enumerate(samples(of, 5))),
        QUESTION,
    ]
    places = [prompt.index(part) for part in parts]
    assert places == sorted(places)
    assert prompt.endswith(QUESTION)
    assert "\n\n\n" not in prompt
    assert "failed" not in prompt


def test_the_request_carries_the_published_sampling() -> None:
    request = first(granted(5))
    assert (request.purpose, request.n, request.configurations) == ("propose", 8, 1)
    assert request.sampling == {"temperature": 1.0, "max_tokens": 1024}
    assert [message.role for message in request.messages] == ["user"]


def test_a_metric_to_be_minimized_asks_for_less_and_still_ends_with_the_best() -> None:
    of = granted(5, losses=[5, 4, 3, 2, 1], id_="hpolib/fcnet/naval_propulsion")
    prompt = first(of).messages[0].content
    assert [value for _, value in listed(prompt)] == ["5", "4", "3", "2", "1"]
    assert "lower values are better" in prompt
    assert "has a lower value than any of them" in prompt


def test_only_the_best_twenty_distinct_pairs_are_listed_worst_first() -> None:
    of = task_of()
    X = samples(of, 25)
    losses = -RNG(3).permutation(25) / 100
    X, losses = np.concatenate([X, X[:3]]), np.concatenate([losses, losses[:3]])  # three twice
    prompt = first(task_of(initial=X, losses=losses)).messages[0].content
    found = listed(prompt)
    assert len(found) == len(set(found)) == 20
    assert [float(value) for _, value in found] == [i / 100 for i in range(5, 25)]
    by_loss = {f"{-loss:.4g}": written(of, x) for x, loss in zip(X, losses, strict=True)}
    assert all(by_loss[value] == configuration for configuration, value in found)
    assert len(listed(first(task_of(initial=X, losses=losses), pairs=4).messages[0].content)) == 4


def test_one_configuration_with_two_values_is_two_pairs() -> None:
    of = task_of()
    x = samples(of, 1)[0]
    found = listed(
        first(task_of(initial=np.array([x, x, x]), losses=[-0.5, -0.6, -0.5]), start=1).messages[0].content
    )
    assert [value for _, value in found] == ["0.5", "0.6"]


def test_failed_trials_are_a_list_of_their_own_without_value() -> None:
    of = task_of()
    X = samples(of, 6)
    of = task_of(initial=X, losses=[-0.1, np.nan, -0.3, np.nan, -0.2, -0.4])
    prompt = first(of).messages[0].content
    assert [value for _, value in listed(prompt)] == ["0.1", "0.2", "0.3", "0.4"]
    assert (
        f"These configurations failed, without a value:\n{written(of, X[1])}\n{written(of, X[3])}\n\n"
        in prompt
    )
    assert prompt.index("failed") > prompt.index("value: 0.4")


def test_at_most_as_many_failed_trials_are_listed_and_the_newest() -> None:
    of = granted(9, losses=[np.nan] * 9)
    prompt = first(of, pairs=4).messages[0].content
    X = samples(of, 9)
    assert [written(of, x) in prompt for x in X] == [False] * 5 + [True] * 4


def test_chronological_lists_the_same_pairs_and_only_grows() -> None:
    of = granted(5, losses=[-0.5, -0.3, -0.9, -0.1, -0.4])
    values = iter(np.linspace(-0.2, -0.95, 40))

    def loss(X: Any) -> Any:
        return [next(values) for _ in X]

    played = play(opro_1(of, RNG(0), order="chronological"), of, randomly(of), 20, loss)
    assert [value for _, value in listed(played.prompts()[0])] == ["0.5", "0.3", "0.9", "0.1", "0.4"]
    assert "in the order they were tried" in played.prompts()[0]
    heads = [prompt.removesuffix(QUESTION) for prompt in played.prompts()]
    assert all(new.startswith(old) for old, new in pairwise(heads[:16]))
    assert [len(listed(prompt)) for prompt in played.prompts()] == [min(5 + i, 20) for i in range(20)]
    # The 21st trial drives the worst of the first out, the others stay in order.
    assert [value for _, value in listed(played.prompts()[16])][:4] == ["0.5", "0.3", "0.9", "0.4"]


@pytest.mark.parametrize("variant", EVERYWHERE)
@pytest.mark.parametrize("id_", [CAR, pytest.param(XGBOOST, marks=pytest.mark.yahpo)])
def test_every_variant_is_played_on_every_space(id_: str, variant: Any) -> None:
    of = task_of(id_, variant=variant)
    played = play(opro(of, RNG(0)), of, randomly(of), 25, lambda X: losses_of(id_, X))
    assert set(played.sources) == {"random", "llm"}
    assert of.answers["propose:valid"] + of.answers["propose:duplicate"] == sum(of.answers.values()) >= 20
    assert all(trial.repairs == () for trial in played.trials if isinstance(trial, Evaluate))
    for prompt in played.prompts():
        assert "None" not in prompt
        assert "default" not in prompt
        if variant == "anonymous":
            card = benchmark(id_).card
            for name in (*benchmark(id_).space.names, card.learner, card.dataset.split(" ")[0], card.metric):
                assert name not in prompt


# ---------------------------------------------------------------------- a step


def test_eight_replies_to_one_prompt_are_evaluated_one_by_one_with_their_replies() -> None:
    of = granted(5)
    X = samples(of, 16, seed=5)
    texts = iter([[written(of, x) for x in X[:8]], [written(of, x) for x in X[8:]]])
    played = play(
        opro(of, RNG(0)), of, lambda request: said(*next(texts)), 16, lambda rows: -rows.sum(axis=1)
    )
    assert len(played.questions) == 2
    assert [written(of, x) for x in played.X] == [written(of, x) for x in X]
    assert [trial.reply for trial in played.trials[:8]] == [f"0.0.{i}" for i in range(8)]
    # The second prompt knows what the first step came to.
    configurations = [configuration for configuration, _ in listed(played.prompts()[1])]
    assert set(configurations) >= {written(of, x) for x in X[:8]}


def test_what_occurs_twice_in_a_step_is_evaluated_once_and_old_points_again() -> None:
    of = granted(5)
    old = samples(of, 5)[0]
    a, b = samples(of, 2, seed=5)
    texts = [written(of, x) for x in (a, b, a, old, b, old, a, a)]
    played = play(opro(of, RNG(0)), of, lambda request: said(*texts), 6)
    assert [written(of, x) for x in played.X] == [written(of, x) for x in (a, b, old)] * 2
    assert [trial.reply for trial in played.trials[:3]] == ["0.0.0", "0.0.1", "0.0.3"]
    assert len(played.questions) == 2


def test_every_step_costs_a_trial_so_that_it_ends() -> None:
    of = granted(5)
    text = written(of, samples(of, 5)[0])
    played = play(opro(of, RNG(0)), of, lambda request: said(*[text] * 8), 10)
    assert len(played.questions) == 10


def test_one_per_step_sees_the_value_of_the_one_before() -> None:
    of = granted(5)
    played = play(opro_1(of, RNG(0)), of, randomly(of), 10)
    assert [question.n for question in played.questions] == [1] * 10
    assert [len(listed(prompt)) for prompt in played.prompts()] == list(range(5, 15))
    assert played.questions[0].sampling == first(of).sampling


# ---------------------------------------------------------------------- replies that are no configuration


def replying(of: Any, *bad: tuple[str, str]) -> Any:
    """Bad replies first, then random ones, in a step of eight."""
    draw = randomly(of)

    def reply(request: Complete) -> list[Any]:
        good = [draw(request) for _ in range(request.n)]
        return [*bad, *good[len(bad) :]]

    return reply


@pytest.mark.parametrize("kind", list(INVALID))
def test_each_invalid_reply_wastes_a_trial_and_is_not_shown(kind: str) -> None:
    of = granted(5)
    played = play(opro(of, RNG(0)), of, replying(of, INVALID[kind], INVALID[kind]), 9)
    assert [isinstance(trial, Waste) for trial in played.trials] == [True] * 2 + [False] * 6 + [True]
    assert played.trials[0].reason.startswith(f"{kind}: ")  # type: ignore[union-attr]
    assert of.answers[f"propose:{kind}"] == 4
    assert len(listed(played.prompts()[1])) == 5 + 6


def test_retry_asks_again_for_each_invalid_reply_by_itself_under_a_name_of_its_own() -> None:
    of = granted(5, invalid="retry:2")
    X = samples(of, 8, seed=5)
    good = [written(of, x) for x in X]
    replies = iter([["no", *good[1:7], '{"width": 16}'], [good[0]], ["no"], ["nono"]])
    played = play(opro(of, RNG(0)), of, lambda request: said(*next(replies)), 8)
    assert [(question.n, question.attempt) for question in played.questions] == [
        (8, 0),
        (1, 1),
        (1, 2),
        (1, 3),
    ]
    assert played.questions[1].messages[1] == Message("assistant", "no")
    assert played.questions[2].messages[1] == Message("assistant", '{"width": 16}')
    assert "'alpha' is missing" in played.prompts()[2]
    assert played.questions[3].messages[1] == Message("assistant", "no")
    assert [written(of, x) for x in played.X[:7]] == good[:7]
    assert isinstance(played.trials[7], Waste)


def test_clip_mends_and_records_it() -> None:
    of = granted(5, invalid="clip")
    texts = ['{"width": 99999}'] + [json.dumps({"depth": 2})] * 7
    played = play(opro(of, RNG(0)), of, lambda request: said(*texts), 2)
    assert "clipped:width" in played.trials[0].repairs  # type: ignore[union-attr]
    assert "filled:alpha" in played.trials[1].repairs  # type: ignore[union-attr]
