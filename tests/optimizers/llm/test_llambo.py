from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from surrobench.benchmarks.registry import benchmark
from surrobench.errors import UsageError
from surrobench.llm.schemas import json_schema
from surrobench.protocol.requests import Completion, Evaluate, Waste
from surrobench.space.hyperparameter import Matrix
from tests.optimizers.chatting import Chat, Reply, chat_with, describe, in_turn, randomly, task_of, written

CAR = benchmark("hpobench/mlp/car")
SOME = [-0.5, -0.25, -0.75, -0.6]
"""Losses of a granted design: balanced accuracies 0.5, 0.25, 0.75 and 0.6."""
ON = ["hpobench/mlp/car", "nasbench201/cell/cifar10"]
ON += [pytest.param("yahpo/rbv2_xgboost/16", marks=pytest.mark.yahpo)]  # type: ignore[list-item]


def samples(n: int, seed: int = 7) -> Matrix:
    return CAR.space.sample(n, np.random.default_rng(seed))


def llambo(propose: Reply | None = None, **settings: Any) -> Chat:
    """On a table, with four trials granted unless told otherwise."""
    of = {key: settings.pop(key) for key in ("invalid", "variant") if key in settings}
    losses = settings.pop("losses", SOME)
    task = task_of("hpobench/mlp/car", samples(len(losses)), losses, **of)
    return chat_with("llambo", task, propose or randomly(task), **settings)


def last_configuration(prompt: str) -> str:
    """What a question is about."""
    return prompt.rsplit("Configuration: ", 1)[1].splitlines()[0]


def examples(prompt: str) -> list[str]:
    """The configurations shown in a prompt, in order."""
    return [line.removeprefix("Configuration: ") for line in prompt.splitlines() if '": ' in line]


# ---------------------------------------------------------------------- candidates


def test_the_sampler_is_shown_task_space_target_examples_and_the_target_again() -> None:
    chat = llambo()
    chat.run()
    prompt = chat.prompts("propose")[0]
    parts = [
        CAR.card.learner,
        CAR.card.dataset,
        "balanced validation accuracy, higher is better",
        *(f"- {hp.name}: {describe(hp)}" for hp in CAR.space.hyperparameters),
        "target performance of 0.8.",  # 0.75 + 0.1 * (0.75 - 0.25)
        "\n\nPerformance: 0.",
        "\n\nPerformance: 0.8\nConfiguration:",
    ]
    places = [prompt.index(str(part)) for part in parts]
    assert places == sorted(places)
    assert prompt.endswith(parts[-1])
    for x, value in zip(samples(4), ("0.5", "0.25", "0.75", "0.6"), strict=True):
        assert f"Performance: {value}\nConfiguration: {written(chat.task, x)}\n" in prompt
    assert "None" not in prompt
    assert "rounded" not in prompt  # all values are listed
    assert "minimum or maximum" not in prompt


@pytest.mark.yahpo
def test_where_there_are_ranges_extremes_and_rounded_values_are_discouraged() -> None:
    task = task_of("yahpo/lcbench/167168")
    chat = chat_with("llambo", task, randomly(task), warm_start=1)
    chat.run(2)
    said = "no values at the minimum or maximum of a range and no rounded values"
    assert said in chat.prompts("propose")[1]


def test_each_template_shows_all_trials_in_an_order_of_its_own() -> None:
    losses = -np.linspace(0.1, 0.7, 12)
    chat = llambo(losses=losses)
    chat.run(2)
    first, second = (examples(prompt) for prompt in chat.prompts("propose")[:2])
    assert sorted(first) == sorted(second) == sorted(written(chat.task, x) for x in samples(12))
    assert first != second
    # What is asked of the candidates shows the same examples in the same order.
    assert [examples(prompt)[:-1] for prompt in chat.prompts("predict")[:10]] == [first] * 10
    # A new trial steps in between the others.
    [trial] = [trial for trial in chat.trials[:1] if isinstance(trial, Evaluate)]
    new = written(chat.task, trial.configurations[0])
    assert [shown for shown in examples(chat.prompts("propose")[2]) if shown != new] == first


def test_another_seed_shows_other_orders() -> None:
    orders = []
    for seed in (0, 0, 1):
        chat = llambo(losses=-np.linspace(0.1, 0.7, 12), seed=seed)
        chat.run()
        orders.append(chat.prompts("propose"))
    assert orders[0] == orders[1] != orders[2]


def test_as_published_ten_candidates_of_two_prompts_and_twenty_predictions_of_each() -> None:
    chat = llambo()
    chat.run()
    sampler, predictions = chat.of("propose"), chat.of("predict")
    assert [request.n for request in sampler] == [5, 5]
    assert [request.n for request in predictions] == [10] * 20
    assert chat.batches == [2, 20]  # what can be asked at once is
    assert sampler[0].sampling == {"temperature": 0.8, "top_p": 0.95, "max_tokens": 500}
    assert predictions[0].sampling == {"temperature": 0.7, "top_p": 0.95, "max_tokens": 16}
    assert sampler[0].schema == json_schema(chat.task.shown)
    assert predictions[0].schema == {"type": "number"}
    assert chat.task.answers == {"propose:valid": 10, "predict:valid": 200}


def test_fewer_may_be_asked_for() -> None:
    chat = llambo(candidates=3, templates=1, n_gens=2)
    chat.run()
    assert [request.n for request in chat.questions] == [3, 2, 2, 2]
    assert chat.batches == [1, 3]  # three kept are as many as there can be


def test_candidates_that_do_not_divide_by_templates_are_as_many_all_the_same() -> None:
    chat = llambo(candidates=3, rounds=1)
    chat.run()
    assert [request.n for request in chat.of("propose")] == [2, 1]
    chat = llambo(candidates=1, templates=3, rounds=1)
    chat.run()
    assert [request.n for request in chat.of("propose")] == [1]


def test_more_rounds_are_asked_until_enough_are_kept() -> None:
    X = samples(6, seed=1)
    task = task_of("hpobench/mlp/car", samples(4), SOME)
    twice = in_turn(*(written(task, x) for x in [*X[:3], *X[:3], *X[3:], *X[3:]]))
    chat = chat_with("llambo", task, twice, candidates=6)
    chat.run()
    assert [request.n for request in chat.of("propose")] == [3] * 4
    asked = [last_configuration(prompt) for prompt in chat.prompts("predict")]
    assert asked == [written(task, x) for x in X] * 2


def test_after_the_last_round_it_goes_on_with_those_that_are_kept() -> None:
    X = samples(2, seed=1)
    task = task_of("hpobench/mlp/car", samples(4), SOME)
    chat = chat_with("llambo", task, in_turn(*(written(task, x) for x in X)))
    [trial] = chat.run()
    assert len(chat.of("propose")) == 2 * 4
    assert len(chat.of("predict")) == 2 * 2
    assert isinstance(trial, Evaluate)
    assert (trial.source, trial.repairs) == ("llm", ())


def test_the_only_candidate_is_evaluated_without_a_question() -> None:
    x = samples(1, seed=1)[0]
    chat = llambo(lambda request: written(chat.task, x), rounds=2)
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert np.array_equal(trial.configurations[0], x)
    assert trial.reply == "1.0.0"
    assert not chat.of("predict")


def test_where_all_valid_ones_were_evaluated_before_one_of_these_is_again() -> None:
    chat = llambo(lambda request: written(chat.task, samples(4)[1]))
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert np.array_equal(trial.configurations[0], samples(4)[1])
    assert chat.task.answers == {"propose:duplicate": 2 * 5 * 4}


# ---------------------------------------------------------------------- the surrogates


def test_the_candidate_of_the_highest_expected_improvement_is_evaluated() -> None:
    """Against scipy: the second has the better mean, the third the better chance."""
    X = samples(3, seed=1)
    task = task_of("hpobench/mlp/car", samples(4), SOME)
    names = [written(task, x) for x in X]
    said = {names[0]: [0.5, 0.5], names[1]: [0.76, 0.72], names[2]: [0.9, 0.52]}
    answers = {name: in_turn(*map(str, values)) for name, values in said.items()}
    chat = chat_with(
        "llambo",
        task,
        in_turn(*names),
        predict=lambda request: answers[last_configuration(request.messages[0].content)](request),
        candidates=3,
        templates=1,
        n_gens=4,
    )
    [trial] = chat.run()
    mu, sigma = -np.mean(list(said.values()), axis=1), np.std(list(said.values()), axis=1)
    d = -0.75 - mu
    with np.errstate(divide="ignore"):
        improvement = d * norm.cdf(d / sigma) + sigma * norm.pdf(d / sigma)
    assert np.argmin(mu) == 1
    assert np.nanargmax(improvement) == 2
    assert isinstance(trial, Evaluate)
    assert np.array_equal(trial.configurations[0], X[2])


def test_a_prediction_is_asked_with_examples_and_the_candidate_last() -> None:
    chat = llambo()
    chat.run()
    prompt = chat.prompts("predict")[0]
    parts = [CAR.card.learner, "Answer with the number alone.", "Performance: 0.", "\nPerformance:"]
    places = [prompt.index(str(part)) for part in parts[:3]]
    assert places == sorted(places)
    assert prompt.endswith("\nPerformance:")
    for x, value in zip(samples(4), ("0.5", "0.25", "0.75", "0.6"), strict=True):
        assert f"Configuration: {written(chat.task, x)}\nPerformance: {value}\n" in prompt
    heads = {prompt.rsplit("Configuration: ", 1)[0] for prompt in chat.prompts("predict")}
    assert len(heads) == 2  # one of each template, for the server's prefix cache


def test_the_generative_surrogate_is_shown_classes_and_the_most_often_good_one_wins() -> None:
    X = samples(3, seed=1)
    task = task_of("hpobench/mlp/car", samples(4), SOME)
    names = [written(task, x) for x in X]
    answers = dict(zip(names, (in_turn("0", "1"), in_turn("1", "1", "0"), in_turn("0")), strict=True))
    chat = chat_with(
        "llambo",
        task,
        in_turn(*names),
        classify=lambda request: answers[last_configuration(request.messages[0].content)](request),
        surrogate="generative",
        candidates=3,
        templates=1,
        n_gens=6,
    )
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert np.array_equal(trial.configurations[0], X[1])
    prompt, [request, *_] = chat.prompts("classify")[0], chat.of("classify")
    assert "among the best 25 % of all configurations" in prompt
    assert "Performance:" not in prompt
    assert request.schema == {"enum": [0, 1]}
    for x, label in zip(samples(4), "0010", strict=True):  # 0.75 alone is above the percentile
        assert f"Configuration: {written(task, x)}\nClassification: {label}\n" in prompt
    assert task.answers == {"propose:valid": 3, "classify:valid": 18}


def test_answers_that_cannot_be_read_are_counted_and_left_out() -> None:
    refused, cut = Completion("", "refusal", 1, 1, 0.0), Completion("1", "length", 1, 1, 0.0)
    numbers = in_turn("0.4", "no idea", refused, cut)
    chat = llambo(predict=numbers)
    assert isinstance(chat.run()[0], Evaluate)
    kinds = ("valid", "unparsable", "refused", "truncated")
    assert chat.task.answers == {"propose:valid": 10, **{f"predict:{kind}": 50 for kind in kinds}}
    chat = llambo(surrogate="generative", classify=in_turn("1", "7"))
    assert isinstance(chat.run()[0], Evaluate)
    assert chat.task.answers == {
        "propose:valid": 10,
        "classify:valid": 100,
        "classify:out-of-range": 100,
    }


def test_a_class_that_only_white_space_follows_is_whole() -> None:
    cut = in_turn(Completion("1\n\n", "length", 1, 1, 0.0), Completion("probably", "length", 1, 1, 0.0))
    chat = llambo(surrogate="generative", classify=cut)
    chat.run()
    assert chat.task.answers == {"propose:valid": 10, "classify:valid": 100, "classify:truncated": 100}


def test_where_no_answer_can_be_read_the_models_first_candidate_is_evaluated() -> None:
    X = samples(5, seed=1)
    task = task_of("hpobench/mlp/car", samples(4), SOME)
    chat = chat_with("llambo", task, in_turn(*(written(task, x) for x in X)), predict=lambda request: "?")
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert np.array_equal(trial.configurations[0], X[0])


# ---------------------------------------------------------------------- invalid replies


def _cut(text: str) -> Completion:
    return Completion(text[: len(text) // 2], "length", 1, 1, 0.0, where="7.0.0")


GOOD = json.loads(written(task_of("hpobench/mlp/car"), samples(1, seed=2)[0]))
INVALID = {
    "unparsable": "I would try a wider network.",
    "missing": json.dumps({key: value for key, value in GOOD.items() if key != "alpha"}),
    "unknown-name": json.dumps({"dropout": 0.1}),
    "out-of-range": json.dumps({**GOOD, "width": 99999}),
    "truncated": _cut(json.dumps(GOOD)),
    "refused": Completion("I cannot help with that.", "refusal", 1, 1, 0.0, where="7.0.0"),
}
each_defect = pytest.mark.parametrize("defect", INVALID)


@each_defect
def test_an_invalid_candidate_is_left_out(defect: str) -> None:
    valid = written(task_of("hpobench/mlp/car"), samples(1, seed=1)[0])
    chat = llambo(in_turn(INVALID[defect], valid))
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert np.array_equal(trial.configurations, samples(1, seed=1))
    assert chat.task.answers == {f"propose:{defect}": 20, "propose:valid": 20}


@each_defect
def test_where_none_is_valid_a_trial_is_wasted_with_its_reason_and_reply(defect: str) -> None:
    chat = llambo(lambda request: INVALID[defect])
    [trial] = chat.run()
    assert isinstance(trial, Waste)
    assert trial.reason.startswith(f"{defect}: ")
    assert trial.reply in ("4.0.4", "7.0.0")  # the last one
    assert chat.task.answers == {f"propose:{defect}": 40}
    assert not chat.of("predict")
    chat.run()  # and it goes on
    assert chat.prompts("propose")[8] == chat.prompts("propose")[0]


def test_with_retry_the_model_is_then_shown_its_reply_and_the_error() -> None:
    chat = llambo(lambda request: INVALID["missing"], invalid="retry:2", rounds=2)
    [trial] = chat.run()
    assert isinstance(trial, Waste)
    re_asked = chat.of("propose")[4:]
    assert [(request.attempt, request.n) for request in re_asked] == [(0, 1), (1, 1), (2, 1)]
    assert [message.role for message in re_asked[1].messages] == ["user", "assistant", "user"]
    assert re_asked[1].messages[1].content == INVALID["missing"]
    assert "'alpha' is missing" in re_asked[1].messages[2].content


def test_with_clip_a_candidate_is_mended_and_says_so() -> None:
    chat = llambo(lambda request: INVALID["out-of-range"], invalid="clip")
    [trial] = chat.run()
    assert isinstance(trial, Evaluate)
    assert trial.repairs == ("clipped:width",)


# ---------------------------------------------------------------------- the start, and failures


def test_without_a_granted_design_five_configurations_are_asked_for_first() -> None:
    task = task_of("hpobench/mlp/car")
    X = samples(5)
    listed = f"[{', '.join(written(task, x) for x in X)}]"
    chat = chat_with(
        "llambo", task, lambda request: listed if request.configurations == 5 else randomly(task)(request)
    )
    trials = chat.run(5)
    [request] = chat.questions
    assert request.sampling["temperature"] == 0.7
    prompt = request.messages[0].content
    assert "Recommend 5 diverse yet effective configurations" in prompt
    assert "default" not in prompt.lower()
    assert written(task, task.default) not in prompt
    for trial, x in zip(trials, X, strict=True):
        assert isinstance(trial, Evaluate)
        assert (trial.source, trial.reply) == ("llm", "1.0.0")
        assert np.array_equal(trial.configurations[0], x)
    chat.run()
    assert examples(chat.prompts("propose")[1])


def test_what_is_invalid_in_the_warm_start_goes_by_the_policy() -> None:
    task = task_of("hpobench/mlp/car")
    chat = chat_with("llambo", task, lambda request: json.dumps([GOOD, {"width": 64}]))
    trials = chat.run(5)
    assert [type(trial) for trial in trials] == [Evaluate, Waste, Waste, Waste, Waste]
    assert isinstance(trials[-1], Waste)
    assert "configurations instead of 5" in trials[-1].reason


def test_a_granted_design_is_the_start() -> None:
    chat = llambo()
    chat.run()
    assert all(request.configurations == 1 for request in chat.questions)
    chat = llambo(warm_start=2)
    chat.run()
    assert chat.questions[0].configurations == 2


def test_failed_trials_are_shown_as_such_and_are_no_examples_for_a_number() -> None:
    losses = [-0.5, np.nan, -0.75]
    chat = llambo(losses=losses)
    chat.run()
    failed = written(chat.task, samples(3)[1])
    assert f"Performance: failed\nConfiguration: {failed}" in chat.prompts("propose")[0]
    assert failed not in chat.prompts("predict")[0]
    assert "nan" not in "".join(chat.prompts("propose") + chat.prompts("predict"))
    chat = llambo(losses=losses, surrogate="generative")
    chat.run()
    assert f"Configuration: {failed}\nClassification: 0\n" in chat.prompts("classify")[0]


def test_while_nothing_was_observed_it_goes_on_without_a_target() -> None:
    chat = llambo(losses=[np.nan, np.nan], loss=lambda i: np.nan if i == 0 else -0.5)
    chat.run(3)
    first, second, third = chat.prompts("propose")[:3]
    assert "training failed" in first
    assert first.count('{"') == 2
    assert second.count('{"') == 3
    assert "target performance of 0.505" in third  # a tenth of a tenth of the only value


# ---------------------------------------------------------------------- everywhere


def test_the_anonymous_variant_gives_nothing_away() -> None:
    for surrogate in ("discriminative", "generative"):
        chat = llambo(variant="anonymous", surrogate=surrogate)
        chat.run()
        text = "".join(message.content for request in chat.questions for message in request.messages)
        hidden = [*CAR.space.names, CAR.card.dataset, CAR.card.learner, CAR.card.metric, "accuracy", "car"]
        assert not [word for word in hidden if str(word) in text]
        assert "x1" in text


@pytest.mark.parametrize("id_", ON)
@pytest.mark.parametrize("variant", ["full", "no-dataset", "anonymous", "misleading"])
@pytest.mark.parametrize("surrogate", ["discriminative", "generative"])
def test_it_works_on_every_kind_of_space(id_: str, variant: Any, surrogate: str) -> None:
    task = task_of(id_, variant=variant)
    chat = chat_with(
        "llambo", task, randomly(task), surrogate=surrogate, warm_start=1, loss=lambda i: 0.1 * i - 3
    )
    assert all(isinstance(trial, Evaluate) for trial in chat.run(6))
    assert task.answers["propose:valid"] == 1 + 5 * 10


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"surrogate": "gp"}, r"Unknown surrogate 'gp'\. Known: discriminative, generative\."),
        ({"n_gens": 0}, "n_gens = 0 counts nothing"),
        ({"candidates": 2.5}, r"candidates must be a whole number, but got 2\.5"),
    ],
)
def test_a_parameter_without_a_meaning_is_an_error(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        llambo(**parameters).run()
