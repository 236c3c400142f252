"""A chat server that misbehaves on demand: a real HTTP server on loopback.

    with FaultyServer([error(500), drop(), ok("hello")]) as server:
        ...                                  # talk to server.url
    assert len(server.bodies) == 3           # everything it was asked

The plan is a list of behaviours, one per request in order of arrival, of which the last is repeated;
or a function that chooses one by the request's body, for clients whose order of arrival is not fixed:

    FaultyServer(lambda body: ok("{}") if "hello" in str(body["messages"]) else error(400))
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from surrobench.llm.chat import QUESTION


@dataclass(frozen=True)
class Behaviour:
    """How one request is treated; use the functions below to make one."""

    status: int = 200
    payload: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the answer."""
    hang: bool = False
    """Never answer (until the server is closed)."""
    drop: bool = False
    """Close the connection without an answer."""
    wire: bytes | None = None
    """These bytes in the place of an answer in HTTP."""
    drip: bytes = b""
    """After ``wire`` or the headers: these bytes again and again, each within any time-out of a read."""


Plan = Sequence[Behaviour] | Callable[[dict[str, Any]], Behaviour]


def ok(text: str | None, *, finish_reason: str = "stop", n: int = 1, delay: float = 0.0) -> Behaviour:
    """A proper answer: ``n`` choices with this text, 10 tokens in and 5 out per choice."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 10, "completion_tokens": 5 * n}
    return raw({"choices": [choice | {"index": index} for index in range(n)], "usage": usage}, delay=delay)


def truncated(text: str) -> Behaviour:
    """An answer cut off at the limit of tokens."""
    return ok(text, finish_reason="length")


def raw(payload: Any, status: int = 200, *, delay: float = 0.0) -> Behaviour:
    """Any answer: bytes as they are, all else as JSON."""
    return Behaviour(
        status, payload if isinstance(payload, bytes) else json.dumps(payload).encode(), delay=delay
    )


def rubbish() -> Behaviour:
    """Status 200 and no JSON, as from a login page of a network."""
    return raw(b"<html>Welcome to the hotel</html>")


def error(status: int, message: str = "something broke") -> Behaviour:
    """An error in OpenAI's form."""
    return raw({"error": {"message": message, "code": status}}, status)


def busy(retry_after: str = "0") -> Behaviour:
    """Status 429 with ``Retry-After``."""
    return Behaviour(429, b"{}", {"Retry-After": retry_after})


def too_long() -> Behaviour:
    """Status 400: the prompt does not fit the context."""
    return error(400, "the request (9999 tokens) exceeds the available context size (4096 tokens)")


def hang() -> Behaviour:
    """No answer, ever."""
    return Behaviour(hang=True)


def drop() -> Behaviour:
    """The connection closes without an answer."""
    return Behaviour(drop=True)


def capable(body: dict[str, Any]) -> Behaviour:
    """What a server that can do everything answers to a probe."""
    choice: dict[str, Any] = {"message": {"content": "Hello!"}, "finish_reason": "stop"}
    if "response_format" in body:
        by_schema = body["response_format"]["type"] == "json_schema"
        choice["message"]["content"] = '{"surrobench": "probe"}' if by_schema else '{"a": "hello"}'
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [{"token": "{", "logprob": -0.1}]}
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return raw({"choices": [choice] * body.get("n", 1), "usage": usage})


def packed(payload: bytes, encoding: str = "gzip") -> Behaviour:
    """A body that is said to be packed."""
    return Behaviour(payload=payload, headers={"Content-Encoding": encoding})


def dripping_body() -> Behaviour:
    """A reply whose bytes come one by one, for ever."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    return Behaviour(wire=head, drip=b"1\r\n \r\n")


def dripping_headers() -> Behaviour:
    """Headers that come one by one, for ever."""
    return Behaviour(wire=b"HTTP/1.1 200 OK\r\n", drip=b"x-a: b\r\n")


class FaultyServer:
    """The server; runs in threads while its context is open.

    Attributes:
        url: its base URL, up to and including ``/v1``.
        bodies: the JSON body of every request so far, in order of arrival.
        probes: those of requests that only find out what the server can do; ``probed`` answers them.
        headers: the headers of every request so far.
        paths: their paths, with what follows the ``?``.
        peak: the largest number of requests that were open at once.
    """

    def __init__(self, plan: Plan, probed: Callable[[dict[str, Any]], Behaviour] = capable) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.peak = 0
        self._open = 0
        self._plan, self._probed = plan, probed
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _next(self, headers: dict[str, str], body: dict[str, Any], path: str) -> Behaviour:
        with self._lock:
            self._open += 1
            if body["messages"][-1]["content"] == QUESTION:
                self.probes.append(body)
                return self._probed(body)
            self.peak = max(self.peak, self._open)
            self.headers.append(headers)
            self.paths.append(path)
            self.bodies.append(body)
            if callable(self._plan):
                return self._plan(body)
            return self._plan[min(len(self.bodies), len(self._plan)) - 1]

    def _done(self) -> None:
        with self._lock:
            self._open -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                behaviour = server._next(dict(self.headers), body, self.path)
                try:
                    if behaviour.hang:
                        server._closing.wait()
                    time.sleep(behaviour.delay)
                    if not (behaviour.drop or behaviour.hang):
                        self._answer(behaviour)
                finally:
                    server._done()

            def _answer(self, behaviour: Behaviour) -> None:
                with contextlib.suppress(OSError):  # the client gave up and left
                    if behaviour.wire is not None:
                        self.wfile.write(behaviour.wire)
                        while behaviour.drip and not server._closing.wait(0.02):
                            self.wfile.write(behaviour.drip)
                        return
                    self.send_response(behaviour.status)
                    for name, value in behaviour.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(behaviour.payload)))
                    self.end_headers()
                    self.wfile.write(behaviour.payload)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
                pass

        return Handler


class _Server(ThreadingHTTPServer):
    # HTTP/1.0, the handler's default, closes every connection, so closing can wait for all threads.
    daemon_threads = False
    request_queue_size = 128
