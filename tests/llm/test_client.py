from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from surrobench.errors import ModelError, ModelUnavailable, RequestRefused
from surrobench.llm.client import Client
from surrobench.llm.models import ModelSpec
from surrobench.llm.scripted import ScriptedClient
from surrobench.protocol.requests import Complete, Completion, Message

from .faulty_server import (
    FaultyServer,
    Plan,
    busy,
    capable,
    drop,
    error,
    hang,
    ok,
    raw,
    rubbish,
    too_long,
    truncated,
)

ASK = Complete((Message("system", "be brief"), Message("user", "hello")), "propose")
SCHEMA = {"type": "object", "properties": {"width": {"type": "integer"}, "alpha": {"type": "number"}}}


def spec(**settings: Any) -> ModelSpec:
    return ModelSpec(**{"url": "http://127.0.0.1:9/v1", "model": "m", "retries": 3, **settings})


def ask(
    plan: Plan,
    request: Complete = ASK,
    *,
    seed: int | None = 7,
    slot: int | None = None,
    probed: Any = capable,
    **settings: Any,
) -> tuple[list[Completion], FaultyServer]:
    async def go(url: str) -> list[Completion]:
        async with Client(spec(**settings), url, backoff=0.001) as client:
            return await client.complete(request, seed, slot)

    with FaultyServer(plan, probed=probed) as server:
        return asyncio.run(go(server.url)), server


def dead(body: dict[str, Any]) -> Any:
    """How a dead server answers a probe."""
    return error(500)


def test_a_completion_carries_text_tokens_and_latency() -> None:
    [completion], server = ask([ok("hi")])
    assert (completion.text, completion.finish_reason) == ("hi", "stop")
    assert (completion.tokens_in, completion.tokens_out) == (10, 5)
    assert completion.latency > 0
    assert len(server.bodies) == 1


def test_the_sent_json_is_the_body_and_the_slot_only() -> None:
    _, server = ask([ok("hi")], slot=1)
    expected = {
        "model": "m",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
        "seed": 7,
    }
    assert server.bodies == [{**expected, "id_slot": 1, "cache_prompt": True}]
    assert Client(spec()).body(ASK, 7) == expected


def test_a_pinned_request_is_for_one_sample() -> None:
    request = Complete(ASK.messages, "propose", n=3)
    completions, server = ask([ok("x")], request, slot=0)
    assert len(completions) == 1
    assert "n" not in server.bodies[0]
    assert Client(spec()).body(request, 7)["n"] == 3


def test_sampling_of_the_suite_wins_over_the_method() -> None:
    request = Complete(
        ASK.messages, "propose", n=3, sampling={"temperature": 0.7, "top_p": 0.9, "model": "x"}
    )
    body = Client(spec(sampling={"temperature": 0.0})).body(request, None)
    assert (body["temperature"], body["top_p"], body["n"], body["model"]) == (0.0, 0.9, 3, "m")
    assert "seed" not in body


def test_the_other_name_of_max_tokens_takes_its_place() -> None:
    request = Complete(ASK.messages, "propose", sampling={"temperature": 0.7, "max_tokens": 500})
    body = Client(spec(sampling={"max_completion_tokens": 900})).body(request, None)
    assert (body["max_completion_tokens"], body["temperature"]) == (900, 0.7)
    assert "max_tokens" not in body  # a server that takes the one refuses the other
    both = {"max_completion_tokens": 900, "max_tokens": 800}
    assert Client(spec(sampling=both)).body(request, None)["max_tokens"] == 800


@pytest.mark.parametrize(
    ("structured", "expected"),
    [
        (
            "json_schema",
            {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": SCHEMA}},
        ),
        ("json_object", {"type": "json_object"}),
        ("none", None),
    ],
)
def test_structured_decoding(structured: str, expected: object) -> None:
    request = Complete(ASK.messages, "propose", schema=SCHEMA)
    body = Client(spec(structured=structured)).body(request, 1)
    assert body.get("response_format") == expected
    assert "response_format" not in Client(spec(structured=structured)).body(ASK, 1)


def test_timeouts_and_concurrency_are_not_part_of_the_body() -> None:
    assert Client(spec()).body(ASK, 1) == Client(spec(timeout=1, concurrency=2, retries=0)).body(ASK, 1)


def test_a_seed_fits_what_servers_accept() -> None:
    assert Client(spec()).body(ASK, 2**63 + 5)["seed"] == 5
    assert Client(spec()).body(ASK, 2**32 - 1)["seed"] == 2**31 - 1
    assert "seed" not in Client(spec(seed=False)).body(ASK, 1)


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (truncated('{"width": 1'), ('{"width": 1', "length")),
        (ok("", finish_reason="content_filter"), ("", "refusal")),
        (ok(None), ("", "stop")),
        (
            raw({"choices": [{"message": {"content": None, "refusal": "I will not"}}]}),
            ("", "refusal"),
        ),
        (
            raw({"choices": [{"message": {"content": "42", "reasoning_content": "hm"}}], "usage": None}),
            ("42", "stop"),
        ),
        (raw(b'{"choices": [{"message": {"content": "a\\ud800b"}}]}'), ("a?b", "stop")),
    ],
)
def test_what_a_finish_reason_becomes(behaviour: Any, expected: tuple[str, str]) -> None:
    [completion], _ = ask([behaviour])
    assert (completion.text, completion.finish_reason) == expected


def test_missing_usage_counts_no_tokens() -> None:
    [completion], _ = ask([raw({"choices": [{"message": {"content": "x"}}]})])
    assert (completion.tokens_in, completion.tokens_out) == (0, 0)


@pytest.mark.parametrize(("given", "returned"), [(1, 1), (3, 3), (5, 3)])
def test_samples(given: int, returned: int) -> None:
    completions, _ = ask([ok("x", n=given)], Complete(ASK.messages, "propose", n=3))
    assert len(completions) == returned
    assert [c.tokens_in for c in completions] == [10] + [0] * (returned - 1)
    assert sum(c.tokens_out for c in completions) == 5 * given


@pytest.mark.parametrize(
    "trouble",
    [
        rubbish(),
        raw({}),
        raw([]),
        raw(b"[" * 100_000),
        raw(b"\xff\xfe\x00"),
        raw({"choices": []}),
        raw({"choices": [None]}),
        raw({"choices": [{"message": {"content": 3}}]}),
        error(500),
        error(503, "Loading model"),
        error(408),
        busy(),
        busy("Fri, 31 Dec 1999 23:59:59 GMT"),
        drop(),
    ],
)
def test_passing_trouble_is_tried_again(trouble: Any) -> None:
    [completion], server = ask([trouble, trouble, ok("at last")])
    assert completion.text == "at last"
    assert len(server.bodies) == 3
    assert server.bodies[0] == server.bodies[2]


def test_lasting_trouble_ends_in_one_line() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        ask([error(500, "out\nof memory")], probed=dead)
    line = str(caught.value)
    assert "after 4 tries" in line
    assert "status 500: out of memory" in line
    assert "/v1/chat/completions" in line
    assert "repeat the command" in line
    assert "\n" not in line


def test_no_server_at_all() -> None:
    async def go() -> None:
        async with Client(spec(retries=1), backoff=0.001) as client:
            await client.complete(ASK, 1)

    with pytest.raises(ModelUnavailable, match="ConnectError"):
        asyncio.run(go())


def test_a_server_that_hangs_times_out() -> None:
    with pytest.raises(ModelUnavailable, match=r"no whole answer within 0\.05 seconds"):
        ask([hang()], timeout=0.05, retries=1)


def test_a_prompt_that_is_too_long_is_refused_at_once() -> None:
    with FaultyServer([too_long()]) as server:

        async def go() -> None:
            async with Client(spec(), server.url) as client:
                await client.complete(ASK, 1)

        with pytest.raises(RequestRefused, match="exceeds the available context size"):
            asyncio.run(go())
        assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("schema", "structured", "line"),
    [
        (
            {"type": "array", "items": {"type": "object", "properties": {}}},
            "json_schema",
            'array = MODE } into the model\'s table in the suite (MODE is "strict", "strict_unbounded", '
            '"json_object" or "none").',
        ),
        (
            {"type": "number"},
            "json_schema",
            "value = MODE } into the model's table in the suite "
            '(MODE is "strict", "strict_unbounded" or "none").',
        ),
        ({"enum": [0, 1]}, "json_schema", "{ value = MODE }"),
        ({"type": "object"}, "json_schema", "{ object = MODE }"),
        ({"type": "number"}, "json_object", None),
        (None, "json_schema", None),
    ],
)
def test_a_refused_schema_says_what_to_write(schema: Any, structured: str, line: str | None) -> None:
    asked = replace(ASK, schema=schema)
    with FaultyServer([error(400, "schema must be of type object")]) as server:

        async def go() -> None:
            async with Client(spec(structured=structured), server.url) as client:
                await client.complete(asked, 1)

        with pytest.raises(RequestRefused, match="schema must be of type object") as caught:
            asyncio.run(go())
    assert ("write structured = {" in str(caught.value)) == (line is not None)
    assert line is None or line in str(caught.value)
    assert bool(caught.value.remedy) == (line is not None)


def test_a_long_refusal_is_cut() -> None:
    with pytest.raises(RequestRefused) as caught:
        ask([error(422, "x" * 10_000)])
    assert 300 <= str(caught.value).count("x") <= 310


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_named(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "secret-word")
    with pytest.raises(ModelUnavailable, match="SOME_KEY") as caught:
        ask([error(status, "no: Bearer secret-word")], key_env="SOME_KEY")
    assert "secret-word" not in str(caught.value)
    assert "Bearer [key]" in str(caught.value)


def test_the_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " secret-word\n")
    _, server = ask([ok("x")], key_env="SOME_KEY")
    assert server.headers[0]["Authorization"] == "Bearer secret-word"
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(ModelError, match="export SOME_KEY="):
        ask([ok("x")], key_env="SOME_KEY")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "ftp://host/v1",
        "http://",
        "nonsense",
        "http://127.0.0.1:99999/v1",
        "http://[::1/v1",
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ValidationError, match="not the URL"):
        spec(url=url)
    with pytest.raises(ModelError, match="not the URL"):
        Client(spec(), url)


def test_a_proxy_is_not_asked_for_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    [completion], _ = ask([ok("x")])
    assert completion.text == "x"


def test_requests_run_together_up_to_the_bound_and_are_counted() -> None:
    async def go(url: str) -> tuple[Client, int]:
        async with Client(spec(concurrency=8), url) as client:
            tasks = [asyncio.create_task(client.complete(ASK, seed)) for seed in range(24)]
            await asyncio.sleep(0.1)
            in_flight = client.in_flight
            await asyncio.gather(*tasks)
            return client, in_flight

    with FaultyServer([ok("x", delay=0.2)]) as server:
        start = time.perf_counter()
        client, in_flight = asyncio.run(go(server.url))
        assert time.perf_counter() - start < 24 * 0.2 / 2
        assert server.peak == in_flight == 8
    assert (client.in_flight, client.completions) == (0, 24)
    assert (client.tokens_in, client.tokens_out) == (240, 120)
    assert sorted(body["seed"] for body in server.bodies) == list(range(24))


def test_a_cancelled_request_is_not_in_flight() -> None:
    async def go(url: str) -> int:
        async with Client(spec(), url) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.complete(ASK, 1)
            for _ in range(100):  # the thread that sends learns of it in its own time
                if not client.in_flight:
                    break
                await asyncio.sleep(0.01)
            return client.in_flight

    with FaultyServer([hang()]) as server:
        assert asyncio.run(go(server.url)) == 0


def test_the_scripted_client_stands_in() -> None:
    async def go() -> None:
        async with ScriptedClient(lambda messages, purpose: f"{purpose} {messages[-1].content}") as client:
            completions = await client.complete(Complete(ASK.messages, "reflect", n=2), 1, slot=0)
            assert [c.text for c in completions] == ["reflect hello"] * 2
            assert (client.completions, client.tokens_in, client.tokens_out, client.in_flight) == (2, 3, 4, 0)
            assert client.body(ASK, 1) == Client(client.spec).body(ASK, 1)

    asyncio.run(go())
