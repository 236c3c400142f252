from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.errors import MissingLibrary, SuiteError, UsageError
from surrobench.libraries import Library
from surrobench.optimizers.classical.tpe import tpe
from surrobench.optimizers.llm.zero_shot import zero_shot
from surrobench.optimizers.registry import OPTIMIZERS, follower
from surrobench.plan.planning import plan
from surrobench.protocol.requests import Complete, Completion, Evaluate, Evaluated, Waste
from surrobench.suite.loading import parse_suite
from tests.optimizers.chatting import (
    CAR,
    EVERYWHERE,
    INVALID,
    XGBOOST,
    losses_of,
    play,
    randomly,
    said,
    samples,
    task_of,
    written,
)

RNG = np.random.default_rng


def listing(of: Any, X: Any) -> str:
    return f"[{', '.join(written(of, x) for x in X)}]"


def prompt_of(of: Any, **parameters: Any) -> str:
    return next(zero_shot(of, RNG(0), **parameters)).messages[0].content


# ---------------------------------------------------------------------- what the prompt says


def test_one_request_with_the_published_sampling_and_a_schema_of_five() -> None:
    request = next(zero_shot(task_of(), RNG(0)))
    assert isinstance(request, Complete)
    assert (request.purpose, request.n, request.configurations, request.attempt) == ("propose", 1, 5, 0)
    assert request.sampling == {"temperature": 0.7, "top_p": 0.95, "max_tokens": 2048}
    assert (request.schema["type"], request.schema["minItems"], request.schema["maxItems"]) == ("array", 5, 5)
    assert [message.role for message in request.messages] == ["user"]


@pytest.mark.parametrize(
    ("context", "told", "hidden"),
    [
        ("none", ["multilayer perceptron"], ["car", "rows", "classification", "features", "accuracy"]),
        ("partial", ["classification with 4 classes, 1728 rows, 6 features", "accuracy, higher"], ["car "]),
        ("full", ["Data set: car (OpenML task 146821).", "classification", "accuracy, higher"], []),
    ],
)
def test_the_context_levels_tell_what_they_should(context: str, told: list[str], hidden: list[str]) -> None:
    prompt = prompt_of(task_of(), context=context)
    space = prompt.index("Hyperparameters:")
    for part in told:
        assert 0 <= prompt.index(part) < space
    for part in hidden:
        assert part not in prompt
    assert all(f"- {name}: " in prompt[space:] for name in benchmark(CAR).space.names)
    assert prompt.endswith("Answer with one line of JSON, an array of 5 objects:")


@pytest.mark.parametrize("variant", EVERYWHERE)
@pytest.mark.parametrize("context", ["none", "partial", "full"])
@pytest.mark.parametrize("id_", [CAR, pytest.param(XGBOOST, marks=pytest.mark.yahpo)])
def test_no_place_is_left_empty_and_the_default_is_not_shown(id_: str, context: str, variant: Any) -> None:
    of = task_of(id_, variant=variant)
    prompt = prompt_of(of, context=context)
    for nothing in ("None", "{{", "[NUM", "default", written(of, of.default), "\n\n\n"):
        assert nothing not in prompt
    if variant == "anonymous":
        card = benchmark(id_).card
        for name in (*benchmark(id_).space.names, card.learner, card.dataset.split(" ")[0], card.metric):
            assert name not in prompt
        assert ("Metric: y" in prompt) == (context != "none")


def test_a_granted_trial_is_not_shown_so_that_it_is_zero_shot() -> None:
    of = task_of()
    granted = task_of(initial=samples(of, 2), losses=[-0.5, -0.6])
    assert prompt_of(granted) == prompt_of(of)


def test_one_configuration_is_asked_for_as_an_object() -> None:
    of = task_of()
    request = next(zero_shot(of, RNG(0), k=1))
    assert request.schema["type"] == "object"
    assert request.messages[0].content.endswith("one line of JSON, an object:")
    x = samples(of, 1)[0]
    trials = play(zero_shot(of, RNG(0), k=1), of, lambda request: said(written(of, x)), 2)
    assert trials.sources == ["llm", "tpe"]


# ---------------------------------------------------------------------- handing over


@pytest.mark.parametrize("id_", [CAR, pytest.param(XGBOOST, marks=pytest.mark.yahpo)])
@pytest.mark.parametrize("granted", [0, 3])
@pytest.mark.parametrize("then", ["tpe", "cma-es", "local-search", "random"])
def test_what_goes_on_is_the_method_with_the_proposals_as_granted_design(
    then: str, granted: int, id_: str
) -> None:
    of = task_of(id_)
    X = samples(of, 5 + granted, seed=1)
    losses = losses_of(id_, X)

    def evaluate(rows: Any) -> Any:
        return losses_of(id_, rows)

    mine = replace(of, initial=Evaluated(X[:granted], losses[:granted]))
    reply = listing(of, X[granted:])
    # Written with three digits, as the model writes: what is evaluated is what was read.
    here = play(zero_shot(mine, RNG(7), then=then), mine, lambda request: said(reply), 20, evaluate)
    read = np.array(here.X[:5])
    usual = replace(
        of,
        initial=Evaluated(
            np.concatenate([X[:granted], read]), np.concatenate([losses[:granted], here.losses[:5]])
        ),
        horizon=95,
    )
    there = play(OPTIMIZERS[then].function(usual, RNG(7)), usual, randomly(of), 15, evaluate)
    assert len(here.questions) == 1
    assert here.sources[:5] == ["llm"] * 5
    assert here.sources[5:] == there.sources
    assert np.array_equal(here.X[5:], there.X, equal_nan=True)


def test_the_horizon_handed_over_is_what_is_left() -> None:
    of = task_of(horizon=17)
    seen = []

    def spy(rest: Any, rng: Any) -> Any:
        seen.append(rest)
        yield from tpe(rest, rng)

    entry = replace(OPTIMIZERS["tpe"])
    object.__setattr__(entry, "function", spy)
    OPTIMIZERS["spy"] = entry
    try:
        play(zero_shot(of, RNG(0), then="spy", k=4), of, randomly(of), 5)
    finally:
        del OPTIMIZERS["spy"]
    assert seen[0].horizon == 13
    assert len(seen[0].initial.losses) == 4


def test_its_parameters_go_with_it() -> None:
    of = task_of()
    X = samples(of, 5)
    reply = said(listing(of, X))
    long = play(zero_shot(of, RNG(0), then_parameters={"startup": 5}), of, lambda request: reply, 12)
    usual = play(zero_shot(of, RNG(0)), of, lambda request: reply, 12)
    assert not np.array_equal(long.X[5:], usual.X[5:])


def test_failed_proposals_are_told_as_failed_and_wasted_ones_are_not_told() -> None:
    of = task_of()
    X = samples(of, 5)
    reply = f'[{written(of, X[0])}, {{"width": 16}}, {written(of, X[2])}]'
    played = play(
        zero_shot(of, RNG(0)), of, lambda request: said(reply), 9, lambda rows: np.full(len(rows), np.nan)
    )
    assert [type(trial).__name__ for trial in played.trials[:5]] == [
        "Evaluate",
        "Waste",
        "Evaluate",
        "Waste",
        "Waste",
    ]
    assert set(played.sources[5:]) == {"tpe"}


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("opro", "opro cannot go on after another method: it needs a language model"),
        ("zero-shot", "it needs a language model"),
        ("hyperband", "hyperband cannot go on .* it needs lower fidelities"),
        ("proposals", "proposals cannot go on .* it needs a file"),
        ("tpee", "Unknown optimizer 'tpee'. Did you mean 'tpe'"),
        (3, "Unknown optimizer '3'|then must be a text, but got 3"),
    ],
)
def test_what_cannot_go_on_is_said(then: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        follower(then)
    with pytest.raises(UsageError, match=message):
        next(zero_shot(task_of(), RNG(0), then=then))
    value = f'"{then}"' if isinstance(then, str) else then
    with pytest.raises(SuiteError, match=message):
        planned(f"then = {value}")


def planned(parameters: str, trials: str = "trials = 20", model: str = "control:random") -> Any:
    suite = parse_suite(
        f"""
name = "s"
benchmarks = ["{CAR}"]
{trials}
seeds = 1
control = "z"
[optimizers.z]
method = "zero-shot"
models = ["{model}"]
parameters = {{ {parameters} }}
"""
    )
    return plan(suite)[0]


def test_the_run_knows_all_parameters_of_what_goes_on() -> None:
    run = planned('then = "tpe", then_parameters = { startup = 6 }')
    assert run.parameters["then_parameters"] == {"startup": 6, "candidates": 24}
    with pytest.raises(SuiteError, match=r"Unknown parameter of tpe 'statup'\. Did you mean 'startup'"):
        planned("then_parameters = { statup = 6 }")


def test_the_identity_names_what_goes_on_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before, other = planned(""), planned('then = "random"')
    assert before.id != other.id
    monkeypatch.setitem(OPTIMIZERS, "tpe", replace(OPTIMIZERS["tpe"], version=9))
    assert planned("").id != before.id
    assert planned('then = "random"').id == other.id


def test_the_budget_is_in_the_identity_where_what_goes_on_depends_on_it() -> None:
    assert planned('then = "tpe"').id == planned('then = "tpe"', "trials = 30").id
    assert planned('then = "smac"').id != planned('then = "smac"', "trials = 30").id


def test_a_method_that_must_know_its_horizon_is_refused_where_there_is_none() -> None:
    endless = "seconds = 20.0\ntokens = 1000"
    assert planned('then = "tpe"', endless).trials is None
    with pytest.raises(SuiteError, match=r"optimizers\.z must know how many trials it has"):
        planned('then = "smac"', endless)


def test_a_library_that_what_goes_on_needs_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        OPTIMIZERS, "tpe", replace(OPTIMIZERS["tpe"], needs=Library("no_such_library", "extra"))
    )
    with pytest.raises(MissingLibrary, match="'zero-shot' needs no_such_library"):
        planned("")


# ---------------------------------------------------------------------- replies that are no configuration


@pytest.mark.parametrize("kind", list(INVALID))
def test_an_invalid_reply_wastes_a_trial_for_each_configuration_it_owes(kind: str) -> None:
    text, finish = INVALID[kind]
    of = task_of()
    played = play(zero_shot(of, RNG(0)), of, lambda request: said(text, finish=finish), 7)
    wasted = played.trials[:5]
    assert all(isinstance(trial, Waste) and trial.reply == "0.0.0" for trial in wasted)
    assert wasted[0].reason.startswith(f"{kind}: ")
    assert sum(of.answers.values()) == 5
    assert of.answers[f"propose:{kind}"] >= 1
    assert played.sources[5:] == ["tpe", "tpe"]


def test_a_valid_configuration_beside_an_invalid_one_is_evaluated() -> None:
    of = task_of()
    X = samples(of, 5)
    bad = json.loads(listing(of, X))
    bad[1]["width"] = 99999
    played = play(zero_shot(of, RNG(0)), of, lambda request: said(json.dumps(bad)), 5)
    assert [isinstance(trial, Waste) for trial in played.trials] == [False, True, False, False, False]
    assert of.answers == {"propose:valid": 4, "propose:out-of-range": 1}


def test_more_configurations_than_asked_for_are_left_alone() -> None:
    of = task_of()
    played = play(zero_shot(of, RNG(0)), of, lambda request: said(listing(of, samples(of, 9))), 6)
    assert played.sources == ["llm"] * 5 + ["tpe"]


def test_retry_asks_again_while_any_is_invalid() -> None:
    of = task_of(invalid="retry:2")
    X = samples(of, 5)
    replies = iter([listing(of, X[:3]), "no", listing(of, X)])
    played = play(zero_shot(of, RNG(0)), of, lambda request: said(next(replies)), 5)
    assert [question.attempt for question in played.questions] == [0, 1, 2]
    assert "lists 3 configurations instead of 5" in played.prompts()[1]
    assert "one valid JSON array of 5 objects" in played.prompts()[1]
    assert played.sources == ["llm"] * 5


def test_clip_mends_and_records_it() -> None:
    of = task_of(invalid="clip")
    text = f'[{{"width": 99999, "depth": 2}}, {written(of, samples(of, 1)[0])}]'
    played = play(zero_shot(of, RNG(0), k=2), of, lambda request: said(text), 2)
    assert isinstance(played.trials[0], Evaluate)
    assert "clipped:width" in played.trials[0].repairs
    assert "filled:alpha" in played.trials[0].repairs
    assert played.trials[1].repairs == ()  # type: ignore[union-attr]


def test_a_granted_configuration_proposed_again_is_a_duplicate_and_evaluated() -> None:
    of = task_of()
    X = samples(of, 5)
    x = of.shown.write(X[0])
    [again] = of.space.encode([x | {"alpha": benchmark(CAR).space.decode(X)[0]["alpha"]}])
    mine = task_of(initial=again[None, :], losses=[-0.5])
    played = play(zero_shot(mine, RNG(0)), mine, lambda request: said(listing(mine, [again] * 5)), 5)
    assert mine.answers["propose:duplicate"] == 5
    assert played.sources == ["llm"] * 5


# ---------------------------------------------------------------------- the best-formatted of several


def several(request: Complete, *texts: str) -> list[Completion]:
    assert request.n == len(texts)
    return said(*texts)


def test_the_first_reply_counts_whose_every_configuration_is_valid() -> None:
    of = task_of(invalid="retry:3")
    X = samples(of, 10)
    texts = ("no", listing(of, X[:4]), listing(of, X[:5]), listing(of, X[5:]))
    played = play(zero_shot(of, RNG(0), replies=4), of, lambda request: several(request, *texts), 5)
    assert len(played.questions) == 1
    assert played.questions[0].n == 4
    assert {trial.reply for trial in played.trials} == {"0.0.2"}
    assert [written(of, x) for x in played.X] == [written(of, x) for x in X[:5]]
    assert of.answers == {"propose:valid": 14, "propose:unparsable": 6}


def test_where_none_is_valid_the_first_counts() -> None:
    of = task_of()
    X = samples(of, 5)
    texts = (listing(of, X[:2]), listing(of, X[:4]))
    played = play(zero_shot(of, RNG(0), replies=2), of, lambda request: several(request, *texts), 5)
    assert [isinstance(trial, Waste) for trial in played.trials] == [False, False, True, True, True]
