"""What the client does where a server is half ill: slow, dripping, refusing, or answering something else."""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from surrobench.errors import ModelError, ModelUnavailable
from surrobench.llm.chat import MOST_TOKENS
from surrobench.llm.client import Client
from surrobench.llm.pace import Pace
from surrobench.llm.transport import LARGEST, Answer
from surrobench.llm.verdicts import retry_after
from surrobench.protocol.requests import Complete, Completion, Message

from .faulty_server import (
    Behaviour,
    FaultyServer,
    busy,
    capable,
    dripping_body,
    dripping_headers,
    error,
    ok,
    packed,
    raw,
)
from .test_client import ASK, ask, dead, spec

GOOD = json.dumps({"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]}).encode()


def together(
    plan: Any, calls: int, *, probed: Any = capable, **settings: Any
) -> tuple[list[Any], FaultyServer]:
    """Calls that are in flight at the same time, and what became of each."""

    async def go(url: str) -> list[Any]:
        async with Client(spec(**settings), url, backoff=0.001) as client:
            asks = [
                client.complete(Complete((Message("user", str(number)),), "propose"), number)
                for number in range(calls)
            ]
            return await asyncio.gather(*asks, return_exceptions=True)

    with FaultyServer(plan, probed=probed) as server:
        return asyncio.run(go(server.url)), server


def asked_by(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


# ---------------------------------------------------------------------- one deadline, one size


@pytest.mark.parametrize("behaviour", [dripping_body(), dripping_headers()])
def test_an_answer_that_drips_has_one_deadline(behaviour: Behaviour) -> None:
    start = time.monotonic()
    with pytest.raises(ModelUnavailable, match=r"after 2 tries \(last: no whole answer within 0.3 seconds\)"):
        ask([behaviour], probed=lambda body: behaviour, timeout=0.3, retries=1)
    assert time.monotonic() - start < 10


def test_a_small_answer_that_unpacks_into_a_large_one_is_given_up() -> None:
    pack = zlib.compressobj(9, wbits=31)
    bomb = b"".join(pack.compress(bytes(2**20)) for _ in range(2 * LARGEST >> 20)) + pack.flush()
    assert len(bomb) < 2**16
    with pytest.raises(ModelUnavailable, match="an answer of more than 16 MiB"):
        ask([packed(bomb)], retries=0)
    with pytest.raises(ModelUnavailable, match="an answer of more than 16 MiB"):
        ask([raw(b" " * (LARGEST + 1))], retries=0)


def test_a_packed_answer_is_read_and_one_packed_otherwise_is_trouble() -> None:
    pack = zlib.compressobj(9, wbits=31)
    [completion], _ = ask([packed(pack.compress(GOOD) + pack.flush())])
    assert completion.text == "fine"
    [completion], _ = ask([packed(GOOD), packed(GOOD, "br"), raw(GOOD)])
    assert completion.text == "fine"


# ---------------------------------------------------------------------- busy is alive


def test_too_many_requests_use_up_no_try_and_lose_no_run() -> None:
    lock, admitted = threading.Lock(), [0.0]

    def two_at_a_time(body: dict[str, Any]) -> Behaviour:
        with lock:
            if time.monotonic() - admitted[0] < 0.02:
                return busy("0")
            admitted[0] = time.monotonic()
            return ok("fine")

    results, server = together(two_at_a_time, 24, retries=0, concurrency=16)
    assert [type(result) for result in results] == [list] * 24
    assert len(server.bodies) > 24, "some were refused at first"


def test_a_pause_holds_for_all_requests_of_the_model() -> None:
    arrived: list[float] = []

    def once(body: dict[str, Any]) -> Behaviour:
        arrived.append(time.monotonic())
        return busy("1") if len(arrived) == 1 else ok("fine")

    results, _ = together(once, 6, concurrency=1)
    assert [type(result) for result in results] == [list] * 6
    assert arrived[1] - arrived[0] >= 1.0


def test_a_pause_longer_than_the_suites_patience_parks_and_says_until_when() -> None:
    for stated in ("86400", email.utils.formatdate(time.time() + 86400, usegmt=True)):
        results, server = together([busy(stated)], 4, concurrency=1)
        assert {type(result) for result in results} == {ModelUnavailable}
        assert "asks to wait until 20" in str(results[0])
        assert len(server.bodies) == 1, "nobody asks earlier"


def test_a_pause_of_some_length_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surrobench.llm.client.WORTH_SAYING", 0.2)
    said: list[str] = []
    turns = iter([busy("0.3")] * 4)

    async def go(url: str) -> None:
        async with Client(spec(), url, backoff=0.001, note=said.append) as client:
            await asyncio.gather(*(client.complete(ASK, seed) for seed in range(4)))

    with FaultyServer(lambda body: next(turns, ok("fine"))) as server:
        asyncio.run(go(server.url))
    assert len(said) == 1
    assert "asks to wait until" in said[0]


def test_a_server_that_is_busy_for_ever_parks_in_the_end() -> None:
    with pytest.raises(ModelUnavailable, match="has asked to wait for"):
        ask([busy("0")], patience=0.3)


def test_a_spent_quota_is_no_reason_to_wait() -> None:
    told = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    with pytest.raises(ModelUnavailable, match=r"exceeded your quota.*credit or quota"):
        ask([raw(told, 429)])


@pytest.mark.parametrize(
    ("stated", "date", "seconds"),
    [
        ("3", "", 3.0),
        ("0.5", "", 0.5),
        ("86400", "", 86400.0),
        ("-5", "", 0.0),
        ("nan", "", 0.0),
        ("inf", "", 0.0),
        ("soon", "", 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", "", 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:58:59 GMT", 60.0),
        ("Sun, 31 Dec 99999 23:59:59 GMT", "", 0.0),
    ],
)
def test_how_long_a_server_asks_to_wait(stated: str, date: str, seconds: float) -> None:
    assert retry_after(Answer(429, {"retry-after": stated, "date": date}, b"", 0.0, "")) == seconds


def test_the_bound_is_halved_once_for_those_in_flight_and_rises_by_one_a_round() -> None:
    async def go() -> None:
        pace = Pace(16)
        sent = time.monotonic()
        for _ in range(5):
            pace.slow_down(sent)
        assert pace.bound == 8
        pace.slow_down(time.monotonic())
        assert pace.bound == 4
        for _ in range(5):
            pace.answered()
        assert pace.bound == 5
        for _ in range(1000):
            pace.answered()
        assert pace.bound == 16
        for _ in range(20):
            pace.slow_down(time.monotonic())
        assert pace.bound == 1

    asyncio.run(go())


def test_who_came_first_goes_first_and_who_leaves_the_queue_takes_no_place() -> None:
    async def go() -> None:
        pace = Pace(1)
        order: list[int] = []

        async def turn(ticket: int) -> None:
            await pace.enter(ticket)
            order.append(ticket)
            await asyncio.sleep(0)
            pace.leave()

        await pace.enter(0)
        waiting = [asyncio.create_task(turn(ticket)) for ticket in (3, 1, 4, 2)]
        await asyncio.sleep(0)
        waiting[2].cancel()
        pace.leave()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert order == [1, 2, 3]
        assert pace.in_flight == 0

    asyncio.run(go())


# ---------------------------------------------------------------------- one request, or all


def test_a_request_out_of_tries_ends_alone_where_a_probe_is_answered() -> None:
    def poisoned(body: dict[str, Any]) -> Behaviour:
        return error(500, "I choke on 3") if asked_by(body) == "3" else ok("fine")

    results, _ = together(poisoned, 6, retries=1)
    assert [type(result) for result in results] == [list] * 3 + [ModelUnavailable] + [list] * 2
    assert "answers, but not this request after 2 tries (last: status 500: I choke on 3)" in str(results[3])


def test_the_probe_of_a_dead_server_ends_all() -> None:
    results, server = together([error(500)], 6, probed=dead, retries=1, concurrency=1)
    assert {type(result) for result in results} == {ModelUnavailable}
    assert len(server.bodies) <= 7, "those that waited are not sent any more"
    assert len({id(result) for result in results}) == 6, "each has its own traceback"


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "key_env"),
        (402, "credit"),
        (403, "key_env"),
        (404, "model's name"),
        (405, "Check the URL"),
        (201, "status 200"),
        (204, "status 200"),
    ],
)
def test_what_is_about_key_account_model_or_address_parks_all(status: int, remedy: str) -> None:
    results, server = together([raw(GOOD, status)], 5, concurrency=1)
    assert {type(result) for result in results} == {ModelUnavailable}
    assert f"status {status}" in str(results[0])
    assert remedy in str(results[0])
    assert len(server.bodies) == 1


def test_a_redirect_is_not_followed_and_names_the_address() -> None:
    target = "https://user:word@example.org/v2/chat/completions?key=secret"
    redirect = Behaviour(307, b"", {"Location": target})
    with pytest.raises(ModelUnavailable, match=r'check url = "https://example.org/v2"') as caught:
        ask([redirect])
    assert "word" not in str(caught.value)
    assert "secret" not in str(caught.value)


# ---------------------------------------------------------------------- what an answer holds


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_a_reply_that_the_server_broke_off_is_asked_for_again(reason: str) -> None:
    [completion], server = ask([ok("ha", finish_reason=reason), ok("whole")])
    assert (completion.text, len(server.bodies)) == ("whole", 2)
    with pytest.raises(ModelUnavailable, match=f"broken off.*{reason}"):
        ask([ok("ha", finish_reason=reason)], retries=0)


def test_an_error_within_a_status_200_keeps_its_words_and_its_code() -> None:
    with pytest.raises(ModelUnavailable, match="the engine is overloaded"):
        ask([raw({"error": {"message": "the engine is overloaded"}})], retries=0)
    [completion], _ = ask([raw({"error": {"message": "slow down", "code": 429}}), ok("fine")], retries=0)
    assert completion.text == "fine"
    broken = {"choices": [{"finish_reason": "error", "error": {"message": "upstream is gone", "code": 502}}]}
    with pytest.raises(ModelUnavailable, match="upstream is gone"):
        ask([raw(broken)], retries=0)


def test_content_in_parts_is_text_and_thinking() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "4"},
        {"type": "image_url", "image_url": "x"},
        {"type": "text", "text": "2"},
    ]
    [completion], _ = ask([raw({"choices": [{"message": {"content": parts}}]})])
    assert (completion.text, completion.thinking) == ("42", "hm")


@pytest.mark.parametrize(
    ("stated", "counted"),
    [
        (7, 7),
        (0, 0),
        (-5, 0),
        ("many", 0),
        ([1], 0),
        (True, 0),
        (7.9, 0),
        (None, 0),
        (2**33, MOST_TOKENS),
        (2**70, MOST_TOKENS),
    ],
)
def test_numbers_of_tokens_are_bounded(stated: Any, counted: int) -> None:
    usage = {
        "prompt_tokens": stated,
        "completion_tokens": stated,
        "completion_tokens_details": {"reasoning_tokens": stated},
        "prompt_tokens_details": {"cached_tokens": stated},
    }
    [completion], _ = ask([raw({"choices": [{"message": {"content": "x"}}], "usage": usage})])
    assert completion.served is not None
    assert {
        completion.tokens_in,
        completion.tokens_out,
        completion.tokens_thinking,
        completion.served.tokens_cached,
    } == {counted}


def test_choices_come_in_the_order_of_their_indices() -> None:
    choices = [{"index": 1 - i, "message": {"content": str(1 - i)}} for i in range(2)]
    completions, _ = ask([raw({"choices": choices})], Complete(ASK.messages, "propose", n=2))
    assert [completion.text for completion in completions] == ["0", "1"]


def test_a_completion_says_how_it_was_served() -> None:
    reply = {**json.loads(GOOD), "model": "m-2026", "system_fingerprint": "fp_1"}
    [completion], _ = ask([raw(reply)])
    assert completion.served is not None
    assert (completion.served.model, completion.served.fingerprint) == ("m-2026", "fp_1")
    assert completion.served.at.endswith("+00:00")
    assert completion.served.in_flight == 1


# ---------------------------------------------------------------------- keys


def test_a_key_that_the_server_echoes_is_in_no_reply_and_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", 'sk-very/"secret')

    def echo(status: int) -> Any:
        def answer(body: dict[str, Any]) -> Behaviour:
            text = json.dumps("you sent " + os.environ["SOME_KEY"])
            reply = f'{{"choices": [{{"message": {{"content": {text}}}}}], "error": {{"message": {text}}}}}'
            return raw(reply.replace("/", "\\/").encode(), status)

        return answer

    [completion], _ = ask(echo(200), key_env="SOME_KEY")
    assert completion.text == "you sent [key]"
    for status in (400, 401, 500):
        with pytest.raises(ModelError, match=r"you sent \[key\]"):
            ask(echo(status), key_env="SOME_KEY", retries=0)


def test_a_key_names_its_scheme_and_azure_gets_its_own_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "Basic dTpw")
    _, server = ask([ok("x")], key_env="SOME_KEY")
    assert server.headers[0]["Authorization"] == "Basic dTpw"
    monkeypatch.setenv("SOME_KEY", "secret-word")

    async def go(url: str) -> None:
        async with Client(spec(key_env="SOME_KEY"), f"{url}?api-version=2024-10-21") as client:
            await client.complete(ASK, 1)

    with FaultyServer([ok("x")]) as server:
        asyncio.run(go(server.url))
        assert server.paths == ["/v1/chat/completions?api-version=2024-10-21"]
        assert server.headers[0]["api-key"] == "secret-word"


# ---------------------------------------------------------------------- time


def test_latency_does_not_depend_on_what_the_studys_loop_does_meanwhile() -> None:
    async def go(url: str) -> Completion:
        async with Client(spec(), url) as client:
            asked = asyncio.create_task(client.complete(ASK, 1))
            await asyncio.sleep(0.05)
            time.sleep(1.5)  # a neighbour computes
            [completion] = await asked
            return completion

    with FaultyServer([ok("x", delay=0.2)]) as server:
        assert 0.2 <= asyncio.run(go(server.url)).latency < 1.0


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    ask([ok("x")])
    assert threading.active_count() == before


def test_cancelling_frees_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Callable[[], Behaviour]] = [lambda: ok("late", delay=0.5), lambda: ok("next")]

    async def go(url: str) -> str:
        async with Client(spec(concurrency=1), url) as client:
            first = asyncio.create_task(client.complete(ASK, 1))
            await asyncio.sleep(0.1)
            first.cancel()
            [completion] = await client.complete(ASK, 2)
            return completion.text

    with FaultyServer(lambda body: answers.pop(0)()) as server:
        assert asyncio.run(go(server.url)) == "next"
