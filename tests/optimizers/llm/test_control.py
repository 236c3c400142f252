from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from surrobench.llm.parse import parse_configurations
from surrobench.optimizers.base import Task
from surrobench.optimizers.classical.tpe import tpe
from surrobench.optimizers.llm.control import CONTROLS, Control, StandIn, control_named, controlled
from surrobench.optimizers.llm.karpathy_agent import karpathy_agent
from surrobench.optimizers.llm.opro import opro
from surrobench.optimizers.llm.sllmbo import sllmbo
from surrobench.optimizers.llm.zero_shot import zero_shot
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.protocol.requests import Complete, Evaluate, Evaluated, Finished, Message, Next, Submit, Waste
from surrobench.space.hyperparameter import Matrix
from tests.optimizers.chatting import (
    CAR,
    EVERYWHERE,
    XGBOOST,
    losses_of,
    nobody,
    play,
    randomly,
    samples,
    task_of,
    written,
)

RNG = np.random.default_rng
each_control = pytest.mark.parametrize("control", CONTROLS)
everywhere = pytest.mark.parametrize("id_", [CAR, pytest.param(XGBOOST, marks=pytest.mark.yahpo)])
METHODS = [name for name, entry in OPTIMIZERS.items() if entry.prompts]


def asking(purpose: Any = "propose", n: int = 1, k: int = 1) -> Complete:
    return Complete((Message("user", "?"),), purpose, n=n, configurations=k)


def proposed(of: Task, stand_in: StandIn, n: int, k: int = 1) -> Matrix:
    """Shape (n k, d): what it proposes, which must be valid as it stands."""
    found = []
    for reply in stand_in.answer(asking(n=n, k=k)):
        for proposal in parse_configurations(reply, of.shown, k, clip=False, default=of.default):
            assert proposal.defect is None, proposal.detail
            assert proposal.repairs == ()
            found.append(proposal.configuration)
    return np.array(found)


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "control"),
    [
        ("control:random", "random"),
        ("control:default", "default"),
        ("control:tpe", "tpe"),
        ("random", None),
        ("control:", None),
        ("control:smac", None),
        ("control:control:tpe", None),
    ],
)
def test_a_control_is_named_with_its_prefix(name: str, control: str | None) -> None:
    assert control_named(name) == control


# ---------------------------------------------------------------------- proposals


@everywhere
@each_control
@pytest.mark.parametrize("variant", EVERYWHERE)
def test_proposals_are_valid_in_every_variant_as_objects_and_as_arrays(
    control: Control, variant: Any, id_: str
) -> None:
    of = task_of(id_, variant=variant)
    stand_in = StandIn(of, control, RNG(0))
    assert proposed(of, stand_in, 3).shape == (3, of.space.d)
    assert proposed(of, stand_in, 2, 5).shape == (10, of.space.d)
    [text] = (reply.text for reply in stand_in.answer(asking(k=5)))
    assert len(json.loads(text)) == 5
    [reply] = stand_in.answer(asking())
    assert (reply.finish_reason, reply.tokens_in, reply.tokens_out, reply.latency) == ("stop", 0, 0, 0.0)


@each_control
def test_the_same_seed_gives_the_same_replies_and_another_seed_others(control: Control) -> None:
    def replies(seed: int) -> list[str]:
        of = task_of(initial=samples(task_of(), 4), losses=[-0.1, -0.2, -0.3, -0.4])
        stand_in = StandIn(of, control, RNG(seed))
        requests = [asking(k=3), asking("predict"), asking("classify", n=20), asking("propose", n=4)]
        return [reply.text for request in requests for reply in stand_in.answer(request)]

    assert replies(0) == replies(0)
    assert replies(0) != replies(1)


def test_random_draws_from_the_spaces_prior() -> None:
    of = task_of()
    X = proposed(of, StandIn(of, "random", RNG(0)), 300)
    U = of.space.to_unit(X)
    assert np.allclose(U.mean(axis=0), 0.5, atol=0.06)
    assert all(set(X[:, j]) == set(of.space.sample(2000, RNG(1))[:, j]) for j in range(of.space.d))
    again = np.array([of.space.sample(1, rng)[0] for rng in [RNG(0)] for _ in range(300)])
    assert np.array_equal(X, again)


@everywhere
def test_default_stays_near_the_default(id_: str) -> None:
    of = task_of(id_)
    X = proposed(of, StandIn(of, "default", RNG(0)), 400)
    own = np.array([of.space.nearest(hp.name, hp.default_value) for hp in of.space.hyperparameters])
    default = np.where(np.isnan(of.default), own, of.default)
    u, U = of.space.to_unit(default[None, :])[0], of.space.to_unit(X)
    numeric = ~of.space.is_categorical & (of.space.levels != 1)
    bin_ = np.where(of.space.levels > 0, 1 / np.maximum(of.space.levels, 1), 0.0)
    # What is active in both: steps of a fifth, so hardly any of more than four fifths and a bin.
    step = np.abs(U - u)
    for x in X:  # never the default itself, whose trial tells nothing new
        assert not np.allclose(x, of.default, equal_nan=True)
    with np.errstate(invalid="ignore"):
        assert not (step[:, numeric] > 0.8 + bin_[numeric]).any()
        moved = step > 1e-3
    changed = moved.sum(axis=1)
    assert 1 < changed.mean() < 2  # one and something; of those that are active both times
    assert moved.any(axis=0)[of.space.levels != 1].all()  # each has its turn
    in_steps = step[:, numeric][moved[:, numeric]]
    assert 0.1 < in_steps.mean() < 0.3  # of a normal step of 0.2: 0.16, more where a grid rounds it up


def test_default_does_not_know_what_was_observed() -> None:
    of = task_of()
    fresh, told = (StandIn(of, "default", RNG(0)) for _ in range(2))
    X = samples(of, 5)
    told.tell(Evaluated(X, losses_of(CAR, X)))
    assert np.array_equal(proposed(of, fresh, 10), proposed(of, told, 10))


# ---------------------------------------------------------------------- TPE knows as much as TPE


@pytest.mark.parametrize("granted", [0, 4])
def test_in_a_method_that_only_asks_the_tpe_control_is_tpe_trial_for_trial(granted: int) -> None:
    X = samples(task_of(), granted, seed=3)
    losses = losses_of(CAR, X)

    def evaluate(rows: Matrix) -> Matrix:
        values = losses_of(CAR, rows)
        return np.where(rows[:, 0] == 3, np.nan, values)  # some fail

    here, there = (task_of(initial=X, losses=losses) for _ in range(2))
    steps = controlled(karpathy_agent(here, RNG(0)), here, "tpe", RNG(7))
    mine = play(steps, here, nobody, 30, evaluate)
    theirs = play(tpe(there, RNG(7)), there, nobody, 30, evaluate)
    assert np.array_equal(mine.X, theirs.X)
    assert np.isnan(mine.losses).any()
    assert set(mine.sources) == {"control:tpe"}
    assert here.library.seconds > 0


def test_the_tpe_control_hears_of_trials_that_were_not_its_own() -> None:
    of = task_of()
    X = samples(of, 30)
    losses = np.linspace(0, 1, 30)  # the first are the best
    told, fresh = StandIn(of, "tpe", RNG(0)), StandIn(of, "tpe", RNG(0))
    told.tell(Evaluated(X, losses))
    granted = task_of(initial=X, losses=losses)
    assert np.array_equal(proposed(of, told, 5), proposed(granted, StandIn(granted, "tpe", RNG(0)), 5))
    assert not np.array_equal(proposed(of, told, 5), proposed(of, fresh, 5))


def test_trials_that_finish_one_by_one_are_heard_and_wasted_ones_are_none() -> None:
    of = task_of()
    X = samples(of, 12)
    one, many = StandIn(of, "tpe", RNG(0)), StandIn(of, "tpe", RNG(0))
    for i, x in enumerate(X):
        one.tell(Finished(i, x, -i / 10))
        one.tell(i)  # a ticket
        one.tell(Evaluated(np.full((1, of.space.d), np.nan), np.array([np.nan])))
    many.tell(Evaluated(X, -np.arange(12) / 10))
    assert np.array_equal(proposed(of, one, 4), proposed(of, many, 4))


# ---------------------------------------------------------------------- other questions


@each_control
def test_a_prediction_is_one_of_the_losses_observed_as_prompts_show_it(control: Control) -> None:
    of = task_of(initial=samples(task_of(), 3), losses=[-0.123456, np.nan, -0.5])
    stand_in = StandIn(of, control, RNG(0))
    stand_in.tell(Evaluated(samples(of, 1, seed=9), np.array([-0.75])))
    answers = [reply.text for reply in stand_in.answer(asking("predict", n=60))]
    assert set(answers) == {"0.1235", "0.5", "0.75"}


@each_control
def test_without_knowledge_the_other_answers_are_without_content(control: Control) -> None:
    stand_in = StandIn(task_of(), control, RNG(0))
    assert [reply.text for reply in stand_in.answer(asking("predict"))] == ["0"]
    assert {reply.text for reply in stand_in.answer(asking("classify", n=40))} == {"0", "1"}
    assert [reply.text for reply in stand_in.answer(asking("reflect", n=2))] == ["", ""]


# ---------------------------------------------------------------------- in the place of a model


@everywhere
@each_control
@pytest.mark.parametrize("name", METHODS)
def test_every_method_goes_on_as_if_it_were_a_model(name: str, control: Control, id_: str) -> None:
    of = task_of(id_)
    entry = OPTIMIZERS[name]
    program = entry.function(of, RNG(0), **entry.resolve({}))
    played = play(controlled(program, of, control, RNG(1)), of, nobody, 18, lambda X: losses_of(id_, X))
    assert len(played.X) == 18
    assert f"control:{control}" in played.sources
    assert "llm" not in played.sources
    assert all(isinstance(trial, Evaluate) and trial.reply == "" for trial in played.trials)
    verdicts = {verdict for verdict in of.answers if verdict.startswith("propose:")}
    assert verdicts
    assert verdicts <= {"propose:valid", "propose:duplicate"}


@pytest.mark.parametrize(("method", "own"), [(opro, "random"), (sllmbo, "tpe"), (zero_shot, "tpe")])
def test_only_what_the_model_proposed_is_renamed(method: Callable[..., Any], own: str) -> None:
    of = task_of()
    usual = play(method(of, RNG(0)), of, randomly(of), 14).sources
    of = task_of()
    played = play(controlled(method(of, RNG(0)), of, "random", RNG(1)), of, nobody, 14).sources
    assert set(played) == {own, "control:random"}
    assert [source.replace("control:random", "llm") for source in played] == usual


def test_the_methods_own_randomness_is_that_with_a_model() -> None:
    runs = []
    for control in ("random", "default"):
        of = task_of()
        runs.append(play(controlled(opro(of, RNG(3)), of, control, RNG(1)), of, nobody, 5).X)
    assert np.array_equal(runs[0], runs[1])


def test_requests_of_every_kind_are_passed_on_and_renamed() -> None:
    of = task_of()
    x = samples(of, 1)[0]
    got: list[Any] = []

    def method() -> Any:
        got.append((yield [asking(), asking("reflect", n=2)]))
        got.append((yield Submit(x, source="llm", reply="0.0.0")))
        got.append((yield Next()))
        got.append((yield Waste("no")))
        yield Evaluate(x[None, :], source="design", reply="0.0.1")

    steps = controlled(method(), of, "default", RNG(0))
    submit = next(steps)
    assert [len(replies) for replies in got[0]] == [1, 2]
    assert (submit.source, submit.reply) == ("control:default", "")
    assert isinstance(steps.send(0), Next)
    waste = steps.send(Finished(0, x, -0.5))
    assert (waste.source, waste.reason) == ("control:default", "no")
    evaluate = steps.send(Evaluated(np.full((1, 5), np.nan), np.array([np.nan])))
    assert (evaluate.source, evaluate.reply) == ("design", "0.0.1")
    with pytest.raises(StopIteration):
        steps.send(Evaluated(x[None, :], np.array([-0.5])))
    assert got[1] == 0


def test_closing_it_closes_the_method() -> None:
    closed = []

    def method() -> Any:
        try:
            yield Evaluate(samples(task_of(), 1))
        finally:
            closed.append(True)

    steps = controlled(method(), task_of(), "random", RNG(0))
    next(steps)
    steps.close()
    assert closed == [True]


def test_a_configuration_is_written_as_prompts_write_it() -> None:
    of = task_of(variant="anonymous")
    stand_in = StandIn(of, "random", RNG(0))
    [reply] = stand_in.answer(asking())
    assert reply.text == written(of, of.space.sample(1, RNG(0))[0])
