"""A budget of tokens ends a run, and so does a model that gives nothing; nothing is asked for ever."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from surrobench.engine.account import Account
from surrobench.engine.outcome import Progress
from surrobench.llm.scripted import ScriptedClient
from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.budget import MOST_CALLS, MOST_WASTED, Budget
from surrobench.protocol.requests import Complete, Completion, Evaluate, Message, Submit, Waste
from tests.engine.test_loop import SPACE, Register, Serve, agent, only, register, run_of, sensible, serve
from tests.llm.faulty_server import Behaviour, FaultyServer, capable, ok, raw
from tests.studies import run, suite_text

__all__ = ["register", "serve"]

FEW = 7
CONFIGURATION = SPACE.decode(SPACE.sample(1, np.random.default_rng(0)))[0]
ASK = Complete((Message("user", "one two three"),), "propose")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few replies in a row are enough for an end."""
    assert (MOST_WASTED, MOST_CALLS) == (100, 10_000)
    for name in ("MOST_WASTED", "MOST_CALLS"):
        monkeypatch.setattr(f"surrobench.engine.model_calls.{name}", FEW)


class Counting:
    """A client whose every reply costs 7 tokens in and 3 out, and says nothing usable."""

    def __init__(self, tokens: tuple[int, int] = (7, 3)) -> None:
        self.asked, self.tokens, self.in_flight = 0, tokens, 0
        self.completions = self.tokens_in = self.tokens_out = 0

    async def complete(
        self, request: Complete, seed: int | None, slot: int | None = None
    ) -> list[Completion]:
        self.asked += 1
        return [Completion("nope", "stop", *self.tokens, 0.5)] * request.n

    def stop(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    ("tokens", "asked"), [(1, 1), (10, 1), (11, 2), (20, 2), (95, 10), (100, 10), (101, 11)]
)
def test_no_call_is_begun_once_the_tokens_are_spent(serve: Serve, tokens: int, asked: int) -> None:
    client = Counting()
    outcome = only(agent(trials=None, seconds=1e6, tokens=tokens), models=serve(client))
    assert (outcome.state, client.asked) == ("ok", asked)
    assert sum(one.tokens_in + one.tokens_out for one in outcome.spent) == 10 * asked
    assert outcome.n == 1 + asked  # the default configuration, and a wasted trial for each reply


@pytest.mark.parametrize(
    ("limit", "spent", "may"),
    [(None, 10**9, True), (10, 0, True), (10, 9, True), (10, 10, False), (10, 11, False)],
)
def test_an_account_says_whether_its_tokens_allow_another_call(
    limit: int | None, spent: int, may: bool
) -> None:
    assert Account(Budget(trials=5, tokens=limit), tokens=spent).may_ask is may


def test_a_server_that_counts_no_tokens_cannot_keep_a_budget_of_them(serve: Serve) -> None:
    client = Counting((0, 0))
    outcome = only(agent(trials=None, seconds=1e6, tokens=1000), models=serve(client))
    assert (outcome.state, client.asked, outcome.n) == ("failed", 1, 1)
    assert "The server of m did not count the tokens of a reply, but the budget limits them." in outcome.error
    assert only(agent(trials=3), models=serve(client, folder="trials")).state == "ok"  # nobody limits them


@pytest.mark.usefixtures("few")
def test_replies_that_are_no_configuration_end_a_run_that_nothing_else_ends(serve: Serve) -> None:
    client, said = Counting((0, 0)), list[str]()
    run_ = agent(trials=None, seconds=1e6)
    outcome = only(run_, models=serve(client), progress=Progress(note=said.append))
    assert (outcome.state, client.asked, outcome.n) == ("exhausted", FEW, 1 + FEW)
    [note] = said
    assert f"{FEW} replies in a row were no configuration" in note
    assert "karpathy-agent" in note
    limited = only(agent(trials=2 * FEW), models=serve(client, folder="limited"))
    assert (limited.state, limited.n) == ("ok", 2 * FEW)  # each of them spends a trial


@pytest.mark.usefixtures("few")
def test_wasted_trials_count_in_a_row_only(serve: Serve) -> None:
    number = iter(range(10**9))

    def sometimes(messages: tuple[Message, ...], purpose: str) -> str:
        return json.dumps(CONFIGURATION) if next(number) % FEW == FEW - 1 else "nope"

    outcome = only(agent(trials=None, seconds=1e6, tokens=10_000), models=serve(ScriptedClient(sometimes)))
    assert outcome.state == "ok"
    assert outcome.n > 3 * FEW


@pytest.mark.usefixtures("few")
def test_asking_counts_between_trials_only(register: Register, serve: Serve) -> None:
    def asks(task: Task, rng: np.random.Generator) -> Steps:
        for start in (Evaluate(task.default[None, :]), Waste("no"), Submit(task.default)):
            for _ in range(FEW):
                yield ASK
            yield start
        for _ in range(FEW):
            yield ASK

    outcome = only(run_of(register(asks), model="m"), models=serve(ScriptedClient(sensible)))
    assert (outcome.state, outcome.error) == ("exhausted", "")


@pytest.mark.usefixtures("few")
def test_asking_without_a_trial_fails_in_the_end(register: Register, serve: Serve) -> None:
    def only_asks(task: Task, rng: np.random.Generator) -> Steps:
        yield Evaluate(task.space.sample(1, rng))
        while True:
            yield [ASK] * 2

    client = Counting()
    outcome = only(run_of(register(only_asks), model="m"), models=serve(client))
    assert outcome.state == "failed"
    assert f"asked its model {FEW} times without a trial" in outcome.error
    assert client.asked == FEW - FEW % 2


def uncounted(answer: Behaviour) -> Behaviour:
    """The same answer from a server that reports no usage."""
    payload = json.loads(answer.payload)
    return raw({key: value for key, value in payload.items() if key != "usage"})


@pytest.mark.parametrize("probed", [False, True])
def test_a_study_whose_server_counts_no_tokens_ends(tmp_path: Path, probed: bool) -> None:
    replies, probe = [uncounted(ok("nope"))], (lambda body: uncounted(capable(body))) if probed else capable
    with FaultyServer(replies, probe) as server:
        head = "seconds = 1000.0\ntokens = 1000"
        text = suite_text(models={"m": server.url}, head=head).replace("trials = 4", "")
        summary = run(text, tmp_path / "out")
    [problem] = summary.problems
    assert "trials or seconds" in problem
    if probed:  # refused at the start: nothing was asked, and nothing is stored
        assert summary.states == {"ok": 2, "parked": 2}
        assert "does not count tokens, and the suite limits them." in problem
        assert server.bodies == []
    else:
        assert summary.states == {"ok": 2, "parked": 2}
        assert "counted no tokens of a reply" in problem
        assert len(server.bodies) == 2


def test_a_waste_is_counted_by_the_budget_that_it_uses_up() -> None:
    assert Budget(trials=1).counts_trials
    assert Budget(equivalents=1.0).counts_trials
    assert not Budget(seconds=1.0, tokens=1).counts_trials
