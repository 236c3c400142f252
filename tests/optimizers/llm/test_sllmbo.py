from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.classical.tpe import tpe
from surrobench.optimizers.llm.sllmbo import sllmbo
from surrobench.protocol.requests import Complete, Evaluate, Message, Waste
from tests.optimizers.chatting import (
    CAR,
    EVERYWHERE,
    INVALID,
    XGBOOST,
    Chat,
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
QUESTION = "Your next configuration:"


def scored(of: Any, program: Any, n: int, reply: Any = None) -> Chat:
    """Play with losses -0.01, -0.02, ...: each trial is better than all before it."""
    values = iter(-np.arange(1, n + 20) / 100)
    return play(program, of, reply or randomly(of), n, lambda X: [next(values) for _ in X])


# ---------------------------------------------------------------------- turns


def test_the_first_trial_is_the_models_and_a_coin_decides_the_others() -> None:
    of = task_of()
    runs = [play(sllmbo(of, RNG(seed)), of, randomly(of), 21).sources for seed in range(20)]
    assert {sources[0] for sources in runs} == {"llm"}
    later = [source == "llm" for sources in runs for source in sources[1:]]
    assert {source for sources in runs for source in sources} == {"llm", "tpe"}
    assert 0.43 < np.mean(later) < 0.57  # 400 coins: three standard deviations
    assert runs[0] == play(sllmbo(of, RNG(0)), of, randomly(of, 1), 21).sources  # whatever the model says


def test_the_share_of_the_models_trials_can_be_set() -> None:
    of = task_of()
    assert set(play(sllmbo(of, RNG(0), share=1.0), of, randomly(of), 12).sources) == {"llm"}
    assert play(sllmbo(of, RNG(0), share=0.0), of, randomly(of), 12).sources == ["llm"] + ["tpe"] * 11


def test_each_trial_has_one_source_and_the_models_its_reply() -> None:
    of = task_of()
    played = play(sllmbo(of, RNG(0)), of, randomly(of), 20)
    assert len(played.questions) == played.sources.count("llm")
    replies = [trial.reply for trial in played.trials if trial.source == "llm"]
    assert replies == [f"{i}.0.0" for i in range(1, len(replies) + 1)]
    assert not any(trial.reply for trial in played.trials if trial.source != "llm")


def test_tpe_hears_of_the_models_trials_and_of_the_granted_ones() -> None:
    of = task_of()
    X = samples(of, 12, seed=3)
    losses = losses_of(CAR, X)
    # One trial of the model, then TPE alone: as TPE with all of them as its granted initial design.
    text = written(of, X[11])
    mine = task_of(initial=X[:11], losses=losses[:11])

    def evaluate(rows: Any) -> Any:
        return losses_of(CAR, rows)

    here = play(sllmbo(mine, RNG(5), share=0.0), mine, lambda request: said(text), 9, evaluate)
    theirs = task_of(initial=np.concatenate([X[:11], here.X[:1]]), losses=[*losses[:11], here.losses[0]])
    there = play(tpe(theirs, RNG(5)), theirs, randomly(of), 8, evaluate)
    assert np.array_equal(here.X[1:], there.X)


def test_startup_and_candidates_are_tpes() -> None:
    of = task_of(initial=samples(task_of(), 6), losses=-np.arange(6) / 10)
    usual, early, one = (
        np.array(play(sllmbo(of, RNG(0), share=0.0, **more), of, randomly(of), 4).X)
        for more in ({}, {"startup": 3}, {"startup": 3, "candidates": 1})
    )
    assert not np.array_equal(usual, early)
    assert not np.array_equal(early, one)


# ---------------------------------------------------------------------- the chat


def test_the_system_message_is_task_space_and_rules() -> None:
    of = task_of()
    request = next(sllmbo(of, RNG(0)))
    assert isinstance(request, Complete)
    system, user = request.messages
    car = benchmark(CAR)
    parts = [
        car.card.learner,
        car.card.dataset,
        "balanced validation accuracy, higher is better.\n\nHyperparameters:\n",
        *(f"- {hp.name}: {describe(hp)}" for hp in car.space.hyperparameters),
        "TPE",
        "JSON",
    ]
    places = [system.content.index(part) for part in parts]
    assert places == sorted(places)
    assert "\n\n\n" not in system.content
    assert (system.role, user) == ("system", Message("user", QUESTION))
    assert (request.purpose, request.n, request.configurations) == ("propose", 1, 1)
    assert request.sampling == {"temperature": 0.7, "max_tokens": 2048}


def test_each_turn_tells_what_was_tried_since_the_last_one() -> None:
    of = task_of()
    played = scored(of, sllmbo(of, RNG(0), summary=0), 15)
    turns = [i for i, source in enumerate(played.sources) if source == "llm"]
    assert any(b - a > 1 for a, b in pairwise(turns))  # TPE had a turn in between
    for (a, b), question in zip(pairwise(turns), played.questions[1:], strict=True):
        lines = [
            f"Yours -> {(a + 1) / 100:g}",
            *(f"TPE tried {written(of, played.X[i])} -> {(i + 1) / 100:.4g}" for i in range(a + 1, b)),
            f"Best so far: {written(of, played.X[b - 1])} -> {b / 100:g}",
            QUESTION,
        ]
        assert question.messages[-1].content == "\n".join(lines)


def test_the_chat_is_append_only_and_its_roles_alternate() -> None:
    of = task_of()
    played = scored(of, sllmbo(of, RNG(0), summary=0), 40)
    turns = [i for i, source in enumerate(played.sources) if source == "llm"]
    for old, new in pairwise(played.questions):
        assert new.messages[: len(old.messages)] == old.messages
        assert len(new.messages) == len(old.messages) + 2
    last = played.questions[-1].messages
    assert [message.role for message in last] == ["system"] + ["user", "assistant"] * (len(turns) - 1) + [
        "user"
    ]
    said_ = [message.content for message in last if message.role == "assistant"]
    assert said_ == [written(of, played.X[i]) for i in turns[:-1]]


def test_after_ten_trials_the_chat_begins_anew_with_the_best_ten() -> None:
    of = task_of()
    played = scored(of, sllmbo(of, RNG(0)), 40)
    asked_at = [i for i, source in enumerate(played.sources) if source == "llm"]
    begun = 0
    for known, question in zip(asked_at, played.questions, strict=True):
        lines = question.messages[1].content.splitlines()
        if known - begun >= 10:
            begun = known
            assert len(question.messages) == 2
            assert lines[0] == (
                "Trials so far, best first:"
                if known == 10
                else f"The best 10 of {known} trials so far, best first:"
            )
            best = range(known - 1, known - 11, -1)  # each was better than those before
            assert lines[1:] == [
                *(f"{written(of, played.X[i])} -> {(i + 1) / 100:g}" for i in best),
                QUESTION,
            ]
        elif known:
            assert len(question.messages) > 2
    assert begun >= 30


def test_granted_trials_open_the_chat_best_first_and_failed_ones_last() -> None:
    X = samples(task_of(), 4)
    of = task_of(initial=X, losses=[np.nan, -0.1, -0.3, -0.2])
    user = next(sllmbo(of, RNG(0))).messages[1]
    lines = [f"{written(of, X[i])} -> {value}" for i, value in ((2, 0.3), (3, 0.2), (1, 0.1), (0, "failed"))]
    assert user.content == "\n".join(["Trials so far, best first:", *lines, QUESTION])


def test_a_failed_trial_is_told_as_failed_and_there_is_no_best() -> None:
    of = task_of()
    played = play(sllmbo(of, RNG(0), share=1.0), of, randomly(of), 2, lambda X: np.full(len(X), np.nan))
    assert played.prompts()[1] == f"Yours -> failed\n{QUESTION}"


@pytest.mark.parametrize("variant", EVERYWHERE)
@pytest.mark.parametrize("id_", [CAR, pytest.param(XGBOOST, marks=pytest.mark.yahpo)])
def test_every_variant_is_played_on_every_space(id_: str, variant: Any) -> None:
    of = task_of(id_, variant=variant)
    played = play(sllmbo(of, RNG(0)), of, randomly(of), 25, lambda X: losses_of(id_, X))
    assert set(played.sources) == {"tpe", "llm"}
    assert sum(of.answers.values()) == of.answers["propose:valid"] + of.answers["propose:duplicate"]
    for question in played.questions:
        chat = "\n".join(message.content for message in question.messages)
        assert "None" not in chat
        assert "default" not in chat
        if variant == "anonymous":
            card = benchmark(id_).card
            for name in (*benchmark(id_).space.names, card.learner, card.dataset.split(" ")[0], card.metric):
                assert name not in chat


# ---------------------------------------------------------------------- the end


def test_patience_ends_the_run_after_so_many_trials_without_improvement() -> None:
    of = task_of()
    losses = [-0.1, -0.1, -0.3, -0.2, np.nan, -0.3, -0.1, -0.9]
    values = iter(losses)
    played = play(sllmbo(of, RNG(0), patience=4), of, randomly(of), 8, lambda X: [next(values) for _ in X])
    assert played.ended
    assert len(played.X) == 7  # the third was the last that improved
    values = iter(losses)
    assert not play(sllmbo(of, RNG(0)), of, randomly(of), 8, lambda X: [next(values) for _ in X]).ended


def test_patience_counts_wasted_trials_and_the_granted_best() -> None:
    of = task_of(initial=samples(task_of(), 1), losses=[-0.9])
    played = play(sllmbo(of, RNG(0), patience=3, share=1.0), of, lambda request: said("no"), 9)
    assert played.ended
    assert len(played.X) == 3
    of = task_of()
    played = play(sllmbo(of, RNG(0), patience=3), of, randomly(of), 9, lambda X: np.full(len(X), np.nan))
    assert len(played.X) == 3


# ---------------------------------------------------------------------- replies that are no configuration


@pytest.mark.parametrize("kind", list(INVALID))
def test_an_invalid_reply_wastes_a_trial_and_leaves_no_trace_in_the_chat(kind: str) -> None:
    text, finish = INVALID[kind]
    of = task_of(initial=samples(task_of(), 2), losses=[-0.5, -0.4])
    x = samples(of, 1, seed=4)[0]
    replies = iter([(written(of, x), "stop"), (text, finish), (text, finish), (written(of, x), "stop")])

    def reply(request: Complete) -> Any:
        words, end = next(replies)
        return said(words, finish=end)

    played = scored(of, sllmbo(of, RNG(0), share=1.0), 4, reply)
    assert [isinstance(trial, Waste) for trial in played.trials] == [False, True, True, False]
    assert played.trials[1].reason.startswith(f"{kind}: ")  # type: ignore[union-attr]
    assert played.questions[1] == played.questions[2] == played.questions[3]
    assert of.answers == {"propose:valid": 1, f"propose:{kind}": 2, "propose:duplicate": 1}


def test_what_tpe_tries_after_an_invalid_first_reply_is_told() -> None:
    of = task_of()
    replies = iter(["no"])
    draw = randomly(of)
    played = scored(
        of,
        sllmbo(of, RNG(1)),
        12,
        lambda request: said(text) if (text := next(replies, "")) else draw(request),
    )
    second = played.sources.index("llm", 1)
    tried = [written(of, played.X[i]) for i in range(1, second)]
    assert tried
    assert all(configuration in played.prompts()[1] for configuration in tried)


def test_retry_shows_the_error_and_keeps_only_the_valid_answer() -> None:
    of = task_of(invalid="retry:2")
    X = samples(of, 2)
    replies = iter(["no", written(of, X[0]), written(of, X[1])])
    played = scored(of, sllmbo(of, RNG(0), share=1.0), 2, lambda request: said(next(replies)))
    assert [question.attempt for question in played.questions] == [0, 1, 0]
    assert played.questions[1].messages[-2] == Message("assistant", "no")
    assert [message.content for message in played.questions[2].messages[2:]] == [
        written(of, X[0]),
        f"Yours -> 0.01\nBest so far: {written(of, X[0])} -> 0.01\n{QUESTION}",
    ]


def test_clip_mends_and_the_chat_has_what_was_evaluated() -> None:
    of = task_of(invalid="clip")
    played = scored(of, sllmbo(of, RNG(0), share=1.0), 2, lambda request: said('{"width": 99999}'))
    assert isinstance(played.trials[0], Evaluate)
    assert "clipped:width" in played.trials[0].repairs
    assert played.questions[1].messages[2].content == written(of, played.X[0])
    assert '"width": 1024' in played.questions[1].messages[2].content
