"""Let a model's server misbehave in every way there is: ``python -m tests.faults.servers [N]``.

Each kind of misbehaviour meets a study of its own. It must end within its deadline, without a traceback, as
expected of that kind (``EXPECTED``). The other method of the study must be finished. No trial of the agent
may hold anything but what a journalled reply proposed, and no key of the server may be in any file.
"""

from __future__ import annotations

import email.utils
import json
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from unittest import mock

from surrobench.execution.process_pool import InlineExecutor
from surrobench.llm.journal import Journal
from tests.llm.faulty_server import (
    Behaviour,
    FaultyServer,
    busy,
    capable,
    dripping_body,
    dripping_headers,
    drop,
    error,
    hang,
    packed,
    raw,
    rubbish,
    too_long,
)
from tests.studies import AGENT, MLP, Done, configuration, suite_text, surrobench, trials

EXPECTED = Literal["ok", "parked", "failed", "ended"]
"""How the agent's runs end: all ``ok``, or the study ends before any run."""
DEADLINE = 90.0
"""The most seconds that a study may take. Its requests have a time-out of one second, and one retry."""
KEY = "sk-of-the-campaign-0123456789"


class Kind(NamedTuple):
    """A kind of misbehaviour: how the server treats requests and probes, and how the runs are to end."""

    expected: EXPECTED
    plan: Callable[[dict[str, Any]], Behaviour]
    probed: Callable[[dict[str, Any]], Behaviour] = capable


@dataclass
class Count:
    """What a campaign found.

    Attributes:
        ended: how the agent's runs ended -> kinds.
        tracebacks: kinds that ended in a traceback.
        hangs: kinds that took longer than their deadline.
        replaced: kinds after which a trial holds what no reply proposed.
        others: kinds that ended in another way than expected, with what was different.
    """

    ended: Counter[str] = field(default_factory=Counter)
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every kind was borne."""
        return not (self.tracebacks or self.hangs or self.replaced or self.others)

    def __str__(self) -> str:
        """Return the figures on one line."""
        return (
            f"{self.ended.total() + len(self.hangs)} kinds of misbehaviour: "
            f"{len(self.tracebacks)} tracebacks, {len(self.hangs)} hangs, "
            f"{len(self.replaced)} silent replacements, {len(self.others)} unexpected "
            f"({', '.join(f'{number} {state}' for state, number in sorted(self.ended.items()))})"
        )


def campaign(kinds: int | None = None, *, seed: int = 0, folder: Path | None = None) -> Count:
    """Let some kinds of misbehaviour, or all of them, meet a study each."""
    names = list(KINDS)
    if kinds is not None and kinds < len(names):
        names = random.Random(seed).sample(names, kinds)
    count = Count()
    with tempfile.TemporaryDirectory(dir=folder) as below, _Worker() as worker:
        for name in names:
            _meet(name, KINDS[name](), Path(below) / name, worker, count)
    return count


class _Worker:
    """A process that runs one study after the other; one that hangs is ended, and another one begins."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def run(self, suite: Path, out: Path) -> Done | None:
        """Run a study; returns None if it takes longer than the deadline."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        try:
            return self._pool.submit(_run, str(suite), str(out)).result(DEADLINE)
        except TimeoutError:
            self._end()
            return None

    def _end(self) -> None:
        if self._pool is not None:
            for process in list(self._pool._processes.values()):
                process.kill()
            self._pool.shutdown()
        self._pool = None


def _run(suite: str, out: str) -> Done:
    os.environ["CAMPAIGN_KEY"] = KEY
    with mock.patch("surrobench.study.session.process_pool", side_effect=lambda jobs: InlineExecutor()):
        try:
            return surrobench("run", suite, "--out", out, "--jobs", 1)
        except BaseException:
            return Done(-1, "", traceback.format_exc())


def _meet(name: str, kind: Kind, folder: Path, worker: _Worker, count: Count) -> None:
    folder.mkdir()
    with FaultyServer(kind.plan, kind.probed) as server:
        model = 'retries = 1\ntimeout = 1\npatience = 2\nkey_env = "CAMPAIGN_KEY"'
        text = suite_text(MLP, models={"m": server.url}, trials=3, seeds=2, model=model)
        (folder / "tiny.toml").write_text(text)
        done = worker.run(folder / "tiny.toml", folder / "r")
    if done is None:
        count.hangs.append(name)
        return
    said = done.out + done.err
    if "Traceback" in said or done.status not in (0, 1):
        count.tracebacks.append(f"{name}: {said[-500:]}")
    state, wrong = _look(folder / "r", done.status)
    count.ended[state] += 1
    if wrong:
        count.replaced.append(f"{name}: {wrong}")
    if state != kind.expected:
        count.others.append(f"{name}: {state}, not {kind.expected}: {said[-300:]}")
    if KEY in said or any(KEY.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file()):
        count.others.append(f"{name}: the key is in a file or a message")


def _look(folder: Path, status: int) -> tuple[str, str]:
    """Return how the agent's runs ended, and what is wrong with their trials."""
    if not (folder / "trials").exists():
        return "ended", "" if status else "nothing was stored, with status 0"
    sessions = json.loads((folder / "manifest.json").read_text())["sessions"]
    states = Counter(sessions[-1]["runs"])
    if states.pop("ok", 0) < 2:
        return "ended", "the runs of the other method are not finished"
    state = next(iter(states), "ok")
    replies = {
        (entry.key.run, entry.where): entry.completion.text
        for entry in Journal(folder / "journal.jsonl").entries()
    }
    for row in trials(folder).filter(optimizer=AGENT).iter_rows(named=True):
        if row["source"] == "initial":
            continue
        if row["source"] != "llm":
            return state, f"a trial of {row['source']}"
        reply = replies.get((row["run"], row["reply"]))
        if reply is None:
            return state, "a trial without its reply"
        if row["status"] == "ok" and not all(
            f'"{name.removeprefix("config.")}"' in reply for name in row if name.startswith("config.")
        ):
            return state, f"a trial that its reply did not propose: {reply[:80]!r}"
    return state, ""


# ---------------------------------------------------------------------- the kinds


def good(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A proper answer, with some of its parts changed; None leaves a part out."""
    text = changes.pop("text", None)
    message = changes.pop("message", None) or {
        "role": "assistant",
        "content": text or json.dumps(configuration(body)),
    }
    choice = {"index": 0, "message": message, "finish_reason": changes.pop("finish", "stop")}
    reply = {
        "choices": [choice],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        "model": "m-1",
        **changes,
    }
    return {name: value for name, value in reply.items() if value is not None}


def always(expected: EXPECTED, behaviour: Behaviour, *, dead: bool = False) -> Callable[[], Kind]:
    """The same for every request; a dead server treats probes in the same way once it was asked something."""

    def make() -> Kind:
        asked = threading.Event()

        def plan(body: dict[str, Any]) -> Behaviour:
            asked.set()
            return behaviour

        return Kind(expected, plan, lambda body: behaviour if dead and asked.is_set() else capable(body))

    return make


def reply(expected: EXPECTED, **changes: Any) -> Callable[[], Kind]:
    """A proper answer with some of its parts changed."""
    return lambda: Kind(expected, lambda body: raw(good(body, **changes)))


def text(words: Callable[[str], str]) -> Callable[[], Kind]:
    """A reply whose text is made of the proper one."""
    return lambda: Kind("ok", lambda body: raw(good(body, text=words(json.dumps(configuration(body))))))


def sent(make: Callable[[bytes], Behaviour], expected: EXPECTED = "ok") -> Callable[[], Kind]:
    """A proper answer that is sent in another way."""
    return lambda: Kind(expected, lambda body: make(json.dumps(good(body)).encode()))


def first(number: int, behaviour: Behaviour, then: Behaviour | None = None, expected: EXPECTED = "ok") -> Any:
    """Some requests are treated so, the others properly, or in another way."""

    def make() -> Kind:
        lock, left = threading.Lock(), [number]

        def plan(body: dict[str, Any]) -> Behaviour:
            with lock:
                left[0] -= 1
                return behaviour if left[0] >= 0 else then or raw(good(body))

        return Kind(expected, plan)

    return make


def rationed() -> Kind:
    """At most one request in 0.2 seconds is admitted."""
    lock, admitted = threading.Lock(), [0.0]

    def plan(body: dict[str, Any]) -> Behaviour:
        with lock:
            if time.monotonic() - admitted[0] < 0.2:
                return busy("0.2")
            admitted[0] = time.monotonic()
            return raw(good(body))

    return Kind("ok", plan)


def changing() -> Kind:
    """Another model with every reply."""
    numbers = iter(range(10**6))
    return Kind("ok", lambda body: raw(good(body, model=f"other-{next(numbers)}")))


def at_once(behaviour: Behaviour) -> Callable[[], Kind]:
    """The probe is told so."""
    return lambda: Kind("ended", lambda body: raw(good(body)), lambda body: behaviour)


def redirect(status: int) -> Behaviour:
    """Elsewhere, with a password in the address."""
    return Behaviour(status, b"", {"Location": f"http://user:{KEY}@127.0.0.1:9/v1/chat/completions"})


def bomb() -> bytes:
    """A small body that unpacks into 64 MiB."""
    pack = zlib.compressobj(9, wbits=31)
    return b"".join(pack.compress(bytes(2**20)) for _ in range(64)) + pack.flush()


def gzipped(body: bytes) -> Behaviour:
    """A packed body."""
    pack = zlib.compressobj(wbits=31)
    return packed(pack.compress(body) + pack.flush())


ANSI = "\x1b]0;pwned\x07\x1b[31mred [/x] [link=http://evil]click[/link]"
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
KINDS: dict[str, Callable[[], Kind]] = {
    "proper": reply("ok"),
    "busy-seconds": first(2, busy("1")),
    "busy-date": first(2, busy(email.utils.formatdate(time.time() + 1, usegmt=True))),
    "busy-nan": first(2, busy("nan")),
    "busy-infinite": first(2, busy("inf")),
    "busy-no-header": first(2, Behaviour(429, b"{}")),
    "unavailable-negative": first(1, Behaviour(503, b"{}", {"Retry-After": "-5"})),
    "busy-a-day": always("parked", busy("86400")),
    "busy-until-2099": always("parked", busy("Thu, 31 Dec 2099 23:59:59 GMT")),
    "busy-for-ever": always("parked", busy("0.1")),
    "quota": always("parked", raw({"error": {"code": "insufficient_quota", "message": "pay"}}, 429)),
    "rationed": rationed,
    "half-closed": always("parked", Behaviour(wire=OK + b'content-length: 5000\r\n\r\n{"id":')),
    "drip": always("parked", dripping_body()),
    "drip-dead": always("parked", dripping_body(), dead=True),
    "header-drip": always("parked", dripping_headers()),
    "hang": always("parked", hang()),
    "hang-dead": always("parked", hang(), dead=True),
    "drop": always("parked", drop()),
    "drop-dead": always("parked", drop(), dead=True),
    "huge": always("parked", raw(b" " * (2**24 + 1))),
    "bomb": always("parked", packed(bomb())),
    "gzip": sent(gzipped),
    "no-gzip": always("parked", packed(b"not gzip")),
    "brotli": always("parked", packed(b"x", "br")),
    "image": sent(lambda body: Behaviour(payload=body, headers={"Content-Type": "image/png"})),
    "utf-16": sent(lambda body: raw(body.decode().encode("utf-16"))),
    "no-utf-8": sent(lambda body: raw(body.replace(b'"index"', b'"i\xff\xfe"')), "parked"),
    "hotel": always("parked", rubbish()),
    "empty": always("parked", raw(b"")),
    "null": always("parked", raw(b"null")),
    "half-json": sent(lambda body: raw(body[:-20]), "parked"),
    "list": sent(lambda body: raw(b"[" + body + b"]"), "parked"),
    "deep": always("parked", raw(b'{"choices":' + b"[" * 100_000)),
    "events": sent(lambda body: raw(b"data: " + body + b"\n\ndata: [DONE]\n\n"), "parked"),
    "no-http": always("parked", Behaviour(wire=b"\x16\x03\x01 no http\r\n\r\n")),
    "headers-1-mb": always("parked", Behaviour(wire=OK + b"x-y: z\r\n" * 150_000 + b"\r\n{}")),
    "cookies": sent(lambda body: Behaviour(payload=body, headers={"Set-Cookie": "a=" + "x" * 8000})),
    "usage-nan": reply("ok", usage={"prompt_tokens": float("inf"), "completion_tokens": float("nan")}),
    "usage-none": reply("ok", usage=None),
    "usage-negative": reply("ok", usage={"prompt_tokens": -5, "completion_tokens": -7}),
    "usage-words": reply("ok", usage={"prompt_tokens": "many", "completion_tokens": [1]}),
    "usage-2-33": reply("ok", usage={"prompt_tokens": 2**33, "completion_tokens": 7}),
    "usage-2-70": reply("ok", usage={"prompt_tokens": 2**70, "completion_tokens": 2**70}),
    "usage-true": reply("ok", usage={"prompt_tokens": True, "completion_tokens": 7.9}),
    "no-content": reply("ok", message={"role": "assistant", "content": None}),
    "refusal": reply("ok", message={"role": "assistant", "content": None, "refusal": "I cannot help"}),
    "tool-calls": reply("ok", finish="tool_calls", message={"content": None, "tool_calls": [{"id": "a"}]}),
    "filter": reply("ok", finish="content_filter"),
    "cut-off": reply("ok", finish="length", text='{"lr'),
    "abort": reply("parked", finish="abort"),
    "error-reason": reply("parked", finish="error"),
    "content-number": reply("parked", message={"content": 3}),
    "no-choices": reply("parked", choices=[]),
    "null-choice": reply("parked", choices=[None]),
    "parts": lambda: Kind(
        "ok",
        lambda body: raw(
            good(body, message={"content": [{"type": "text", "text": json.dumps(configuration(body))}]})
        ),
    ),
    "more-choices": lambda: Kind("ok", lambda body: raw(good(body, choices=good(body)["choices"] * 5))),
    "changing-model": changing,
    "long-model": reply("ok", model="m" * 100_000, system_fingerprint=ANSI),
    "text-deep": text(lambda proper: '{"a":' * 100_000),
    "text-braces": text(lambda proper: '{"' * 100_000),
    "text-unicode": text(lambda proper: proper + "\u0000\u202e\ud800 \U0001f600" + ANSI),
    "text-template": text(lambda proper: proper + " {{7*7}} {% raise %} [/b] =cmd|' /C calc'!A0"),
    "text-huge-number": text(lambda proper: '{"lr": ' + "9" * 5000 + "}"),
    "text-thinking": text(lambda proper: "<think>" + "a" * 1000),
    "status-201": sent(lambda body: raw(body, 201), "parked"),
    "status-204": always("parked", Behaviour(204)),
    "redirect-307": always("parked", redirect(307)),
    "redirect-302": always("parked", redirect(302)),
    "too-long": always("failed", too_long()),
    "terminal-error": always("failed", error(400, ANSI)),
    "error-200": always("parked", raw({"error": {"message": "overloaded"}})),
    "busy-200": first(1, raw({"error": {"message": "slow down", "code": 429}})),
    "binary-error": always("parked", raw(bytes(range(256)), 500)),
    "huge-error": always("parked", raw(b"e" * 20_000_000, 500)),
    "echo-401": always("parked", error(401, f"wrong key: Bearer {KEY}")),
    "echo-500": always("parked", error(500, f"debug: {KEY}")),
    "echo-reply": reply("ok", text=f"your key is {KEY}", model=KEY),
    "dies": first(2, error(500), drop(), "parked"),
    "heals": first(1, drop()),
    "wrong-key": at_once(error(401, f"wrong key: {KEY}")),
    "no-credit": at_once(error(402, "pay")),
    "forbidden": at_once(error(403, "no")),
    "no-model": at_once(error(404, "no such model")),
    "elsewhere": at_once(redirect(308)),
    "refuses-all": at_once(error(400, "no")),
    "probe-hangs": lambda: Kind("ok", lambda body: raw(good(body)), lambda body: hang()),
    "probe-drips": lambda: Kind("ok", lambda body: raw(good(body)), lambda body: dripping_headers()),
    "probe-deep": lambda: Kind(
        "ok", lambda body: raw(good(body)), lambda body: raw(b'{"choices":' + b"[" * 100_000)
    ),
}


if __name__ == "__main__":
    result = campaign(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    print(f"servers: {result}")
    for problem in (*result.tracebacks, *result.hangs, *result.replaced, *result.others):
        print(f"  {problem}")
    sys.exit(0 if result.ok else 1)
