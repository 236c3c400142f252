from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from surrobench.errors import ModelUnavailable, ReplayDiverged, RequestRefused, ResultsError
from surrobench.llm.client import Client
from surrobench.llm.journal import Call, Journal
from surrobench.llm.journalled_model import JournalledModel
from surrobench.llm.models import ModelSpec
from surrobench.protocol.requests import Complete, Completion, Message

from .faulty_server import FaultyServer, error, ok

SPEC = ModelSpec(url="http://127.0.0.1:9/v1", model="m", retries=0)
ASK = Complete((Message("user", "hello"),), "propose")
FIRST = Call("run", 0, 0)


class Notebook:
    """A client that notes what it is asked and gives at most ``most`` completions at a time."""

    in_flight = completions = tokens_in = tokens_out = 0

    def __init__(self, most: int = 100, on_ask: Callable[[], None] = lambda: None) -> None:
        self.asked: list[tuple[Complete, int | None, int | None]] = []
        self._most, self._on_ask = most, on_ask

    @property
    def seeds(self) -> list[int | None]:
        return [seed for _, seed, _ in self.asked]

    async def complete(
        self, request: Complete, seed: int | None, slot: int | None = None
    ) -> list[Completion]:
        self.asked.append((request, seed, slot))
        self._on_ask()
        await asyncio.sleep(0)
        many = min(request.n, self._most)
        return [Completion(f"{len(self.asked)}.{i}", "stop", 1, 1, 0.0) for i in range(many)]

    def stop(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        pass


def answer(
    path: Path,
    request: Complete = ASK,
    where: Call = FIRST,
    *,
    client: Any = None,
    spec: ModelSpec = SPEC,
    slot: int | None = None,
) -> list[str]:
    """One call in a fresh session on a journal; without client, a replay."""

    async def go() -> list[str]:
        journal = Journal(path, versions=None if client is None else {})
        try:
            completions = await JournalledModel(spec, journal, client).complete(where, request, slot)
        finally:
            journal.close()
        return [completion.text for completion in completions]

    return asyncio.run(go())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


# ---------------------------------------------------------------------- journal first


def test_what_is_recorded_is_not_asked_again(path: Path) -> None:
    client = Notebook()
    first = answer(path, client=client)
    assert answer(path, client=client) == first
    assert answer(path) == first
    assert len(client.asked) == 1


def test_a_completion_is_in_the_journal_when_it_is_delivered(path: Path) -> None:
    async def go() -> None:
        journal = Journal(path, versions={})
        [completion] = await JournalledModel(SPEC, journal, Notebook()).complete(FIRST, ASK, None)
        [entry] = Journal(path).get(FIRST)  # what another process would read now
        journal.close()
        assert completion == replace(entry.completion, where="0.0.0")  # call, attempt, sample

    asyncio.run(go())


def test_nothing_is_delivered_that_cannot_be_journalled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Journal, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "_write", full)
    with pytest.raises(ResultsError, match="No space left"):
        answer(path, client=Notebook())


def test_missing_samples_are_topped_up(path: Path) -> None:
    client = Notebook()
    assert answer(path, replace(ASK, n=2), client=client) == ["1.0", "1.1"]
    assert answer(path, replace(ASK, n=5), client=client) == ["1.0", "1.1", "2.0", "2.1", "2.2"]
    assert client.asked[1][0].n == 3
    assert client.seeds[0] != client.seeds[1]  # with the same seed the server would repeat its answers
    assert answer(path, replace(ASK, n=3)) == ["1.0", "1.1", "2.0"]


def test_a_server_that_gives_too_few_samples_is_asked_for_the_rest(path: Path) -> None:
    client = Notebook(most=2)
    assert answer(path, replace(ASK, n=5), client=client) == ["1.0", "1.1", "2.0", "2.1", "3.0"]
    assert [request.n for request, _, _ in client.asked] == [5, 3, 1]
    assert len(set(client.seeds)) == 3
    assert len(answer(path, replace(ASK, n=5))) == 5


# ---------------------------------------------------------------------- divergence


@pytest.mark.parametrize(
    "other",
    [
        replace(ASK, messages=(Message("user", "hello!"),)),
        replace(ASK, messages=(Message("system", "hello"),)),
        replace(ASK, sampling={"temperature": 0.1}),
        replace(ASK, schema={"type": "object"}),
    ],
)
def test_another_request_than_the_recorded_one_diverges_and_names_the_call(
    path: Path, other: Complete
) -> None:
    where = Call("r1", 7, 0)
    answer(path, where=where, client=Notebook())
    client = Notebook()
    for session in (client, None):
        with pytest.raises(ReplayDiverged, match=r"Run r1 diverged at call 7"):
            answer(path, other, where, client=session)
    assert client.asked == []


def test_a_recording_that_ends_is_said_to_end(path: Path) -> None:
    answer(path, replace(ASK, n=2), client=Notebook())
    with pytest.raises(ReplayDiverged, match=r"no answer for call 1 of run run\b"):
        answer(path, where=Call("run", 1, 0))
    with pytest.raises(ReplayDiverged, match=r"no answer for call 0 of run run\b"):
        answer(path, replace(ASK, n=3))


# ---------------------------------------------------------------------- hash and seed


def request_hash(request: Complete = ASK, **settings: Any) -> str:
    spec = ModelSpec(**{"url": "http://127.0.0.1:9/v1", "model": "m", **settings})
    return JournalledModel(spec, Journal(Path("never-written.jsonl"))).request_hash(request)


@pytest.mark.parametrize(
    "settings",
    [
        {"concurrency": 3},
        {"timeout": 5.0},
        {"retries": 0},
        {"url": "https://example.org/v1"},
        {"key_env": "KEY"},
        {"size": "8B"},
        {"slots": 7},
        {"context": 512},
        {"seed": False},
    ],
)
def test_the_hash_ignores_what_does_not_determine_the_answer(settings: dict[str, Any]) -> None:
    assert request_hash(**settings) == request_hash()


def test_the_hash_ignores_how_many_samples_are_wanted_and_why() -> None:
    assert request_hash(replace(ASK, n=5)) == request_hash()
    assert request_hash(replace(ASK, attempt=1)) == request_hash()


@pytest.mark.parametrize("settings", [{"model": "other"}, {"sampling": {"temperature": 0}}])
def test_the_hash_holds_model_and_sampling(settings: dict[str, Any]) -> None:
    assert request_hash(**settings) != request_hash()


def test_the_hash_holds_how_decoding_is_constrained() -> None:
    ask = replace(ASK, schema={"type": "object"})
    modes = ("json_schema", "json_object", "none")
    assert len({request_hash(ask, structured=mode) for mode in modes}) == 3


def test_every_run_call_and_attempt_has_its_own_seed(path: Path) -> None:
    client = Notebook()
    for where in (Call("a", 0, 0), Call("a", 1, 0), Call("a", 0, 1), Call("b", 0, 0)):
        answer(path, where=where, client=client)
    assert len(set(client.seeds)) == 4
    assert all(seed is not None and 0 <= seed < 2**31 for seed in client.seeds)


def test_the_seed_of_a_call_is_the_same_in_every_session(tmp_path: Path) -> None:
    client = Notebook()
    answer(tmp_path / "one.jsonl", client=client)
    answer(tmp_path / "two.jsonl", replace(ASK, sampling={"temperature": 1}), client=client)
    assert client.seeds[0] == client.seeds[1]


def test_the_slot_reaches_the_client(path: Path) -> None:
    client = Notebook()
    answer(path, client=client, slot=3)
    assert client.asked[0][2] == 3


# ---------------------------------------------------------------------- a server that fails


def session(path: Path, server: FaultyServer, calls: int) -> list[Any]:
    """Calls one after the other, with what became of each."""

    async def go() -> list[Any]:
        journal = Journal(path, versions={})
        async with Client(SPEC, server.url, backoff=0.001) as client:
            service = JournalledModel(SPEC, journal, client)
            results: list[Any] = []
            for number in range(calls):
                try:
                    results += await service.complete(Call("run", number, 0), ASK, None)
                except (ModelUnavailable, RequestRefused) as problem:
                    results.append(problem)
        journal.close()
        return results

    return asyncio.run(go())


def test_a_dead_server_is_not_asked_again(path: Path) -> None:
    with FaultyServer([error(500)], probed=lambda body: error(500)) as server:
        results = session(path, server, calls=5)
    assert [type(result) for result in results] == [ModelUnavailable] * 5
    assert len(server.bodies) == 1


def test_a_request_that_gets_no_answer_does_not_close_the_way_for_others(path: Path) -> None:
    with FaultyServer([error(500), ok("fine")]) as server:
        parked, fine = session(path, server, calls=2)
    assert isinstance(parked, ModelUnavailable)
    assert "answers, but not this request" in str(parked)
    assert fine.text == "fine"


def test_recorded_answers_are_served_though_the_server_is_dead(path: Path) -> None:
    async def go(url: str) -> Completion:
        journal = Journal(path, versions={})
        await JournalledModel(SPEC, journal, Notebook()).complete(Call("run", 9, 0), ASK, None)
        async with Client(SPEC, url, backoff=0.001) as client:
            service = JournalledModel(SPEC, journal, client)
            with pytest.raises(ModelUnavailable):
                await service.complete(Call("run", 0, 0), ASK, None)
            [completion] = await service.complete(Call("run", 9, 0), ASK, None)
        journal.close()
        return completion

    with FaultyServer([error(503)]) as server:
        assert asyncio.run(go(server.url)).text == "1.0"


def test_a_refused_request_does_not_close_the_way_for_others(path: Path) -> None:
    with FaultyServer([error(400, "too long"), ok("fine")]) as server:
        refused, fine = session(path, server, calls=2)
    assert isinstance(refused, RequestRefused)
    assert fine.text == "fine"
    assert Journal(path).get(Call("run", 0, 0)) == []
