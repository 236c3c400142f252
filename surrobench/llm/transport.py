"""Send one HTTP request and get one answer, within a deadline and a size, whatever the server does.

Requests are sent from an event loop in a thread of its own. The event loop of a study computes proposals
between its requests: seen from there, an answer would arrive when that work is done.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from surrobench.errors import ModelError
from surrobench.llm.address import checked, is_here
from surrobench.llm.models import ModelSpec

Result = TypeVar("Result")

LARGEST = 2**24
"""The most bytes of an answer, unpacked. The longest replies of today's models have a tenth of it."""
CONNECT = 10.0
"""The most seconds until a connection is there."""
SHORTEST_KEY = 6
"""Shorter keys, such as the ``x`` of servers that need none, are not looked for in what servers write."""


class NoAnswer(Exception):
    """There was no usable answer to a request; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        status: the status code.
        headers: the headers, names in lower case.
        content: the body, unpacked.
        seconds: the time from sending to the last byte.
        at: when the last byte had arrived, UTC, ISO 8601.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    seconds: float
    at: str


class Transport:
    """The connections to one server.

    Args:
        spec: the model, whose API key is sent and is taken out of all that the server writes.
        url: the server's base URL.

    Raises:
        ModelError: the URL is not valid, or the environment variable of the key is not set.
    """

    def __init__(self, spec: ModelSpec, url: str) -> None:
        key = api_key(spec)
        self._key = key.rpartition(" ")[2]
        self._http = httpx.AsyncClient(
            headers={**authorization(key, url), "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(None, connect=CONNECT),
            # Who sends is the only bound. The default pool of 100 would be a second, hidden one.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=spec.concurrency),
            trust_env=not is_here(url),
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Run a coroutine in the thread of the connections."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="requests", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Callable[[], object]) -> None:
        """Call a function in the thread of the connections; returns before it is done."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(work)

    def close(self) -> None:
        """Close the connections and end the thread."""
        if self._loop is None or self._thread is None:
            return
        loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._http.aclose()

    async def send(
        self, url: str, content: bytes | None, seconds: float, sent: Callable[[], None] = lambda: None
    ) -> Answer:
        """Post some JSON, or get an address if there is none.

        Args:
            url: the address.
            content: the JSON.
            seconds: the time until the last byte of the answer must be there.
            sent: called before the request is sent.

        Raises:
            NoAnswer: there was none in time, it is too large, or is no HTTP.
        """
        headers = {"Content-Type": "application/json"} if content is not None else {}
        method = "POST" if content is not None else "GET"
        try:
            async with asyncio.timeout(seconds):
                start = time.perf_counter()
                sent()
                async with self._http.stream(method, url, content=content, headers=headers) as response:
                    body = b"".join([part async for part in _unpacked(response)])
                    took = time.perf_counter() - start
        except TimeoutError:
            raise NoAnswer(f"no whole answer within {seconds:g} seconds") from None
        except (
            httpx.HTTPError,
            httpx.StreamError,
            httpx.InvalidURL,
            OSError,
            ValueError,
            zlib.error,
        ) as error:
            raise NoAnswer(
                self.clean(f"{type(error).__name__} {' '.join(str(error).split())}".strip())
            ) from None
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        stated = {name.lower(): self.clean(value) for name, value in response.headers.items()}
        return Answer(response.status_code, stated, self._clean(body), took, at)

    def clean(self, text: str) -> str:
        """Return a text without the API key."""
        return text.replace(self._key, "[key]") if len(self._key) >= SHORTEST_KEY else text

    def _clean(self, content: bytes) -> bytes:
        if len(self._key) < SHORTEST_KEY:
            return content
        escaped = self._key.replace("\\", "\\\\").replace('"', '\\"')
        for form in (self._key, escaped, escaped.replace("/", "\\/")):
            content = content.replace(form.encode(), b"[key]")
        return content


def api_key(spec: ModelSpec) -> str:
    """Return a model's API key; empty if it has none.

    Raises:
        ModelError: the environment variable that should hold the key does not.
    """
    if spec.key_env is None:
        return ""
    key = os.environ.get(spec.key_env, "").strip()
    if not (key and key.isascii() and key.isprintable()):
        raise ModelError(
            f"The environment variable {spec.key_env} holds no API key for {spec.model}.",
            f"Set it (export {spec.key_env}=...) and repeat the command.",
        )
    return key


def authorization(key: str, url: str) -> dict[str, str]:
    """Return the headers that carry an API key.

    A key that names its scheme (``Basic ...``) is sent as it is. Azure's addresses state an API version, and
    its servers take the key by another name.
    """
    if not key:
        return {}
    headers = {"Authorization": key if " " in key else f"Bearer {key}"}
    return {**headers, "api-key": key} if "api-version=" in checked(url).query else headers


def wait_with_heartbeat(work: Future[Result], beat: Callable[[float], None], every: float) -> Result:
    """Wait for work in another thread; meanwhile ``beat`` is called with the seconds waited, every so often.

    The work is cancelled where the wait ends with an error, such as a ``KeyboardInterrupt``.
    """
    start = time.monotonic()
    try:
        while not wait_for([work], every).done:
            beat(time.monotonic() - start)
        return work.result()
    finally:
        work.cancel()


async def _unpacked(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the parts of a body; what is larger than ``LARGEST`` is given up, before it is in memory.

    Raises:
        NoAnswer: it is too large, or packed in a way that was not asked for.
    """
    packing = response.headers.get("content-encoding", "identity").strip().lower() or "identity"
    unpack = zlib.decompressobj(wbits=47) if packing in ("gzip", "x-gzip", "deflate") else None
    if unpack is None and packing != "identity":
        raise NoAnswer(f"the answer has the content encoding {packing[:20]!r}, which was not asked for")
    size = 0
    async for raw in response.aiter_raw():
        part = unpack.decompress(raw, LARGEST + 1 - size) if unpack else raw
        size += len(part)
        if size > LARGEST:
            raise NoAnswer(f"an answer of more than {LARGEST >> 20} MiB")
        yield part
