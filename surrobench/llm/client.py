"""Ask every server with one client: OpenAI-compatible HTTP, asynchronous, with bounded concurrency.

Errors that can disappear by themselves are tried again with back-off: a server restarts, is busy or answers
rubbish. An error that cannot (a prompt longer than the context) fails at once, with the server's own words.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from surrobench.errors import ModelError, ModelUnavailable, RequestRefused
from surrobench.llm.chat import NotACompletion, chat_body, completions_of
from surrobench.llm.models import ModelSpec
from surrobench.protocol.requests import Complete, Completion
from surrobench.untrusted import load_json

LONGEST_PAUSE = 20.0
"""The most seconds between two tries, whatever the server asks for."""


class Client:
    """A client that gets completions of one model from one OpenAI-compatible server.

        async with Client(spec) as client:
            [completion] = await client.complete(Complete(messages, "propose"), seed=1)

    Args:
        spec: the model and how it is asked.
        base_url: the server, up to and including ``/v1``, in place of ``spec.url``.
        backoff: seconds before the second try. They are doubled before each further try.
        samples: whether the server gives several completions for one request. If not, each is asked for
            alone.

    Raises:
        ModelError: the URL is not valid, or the environment variable of the key is not set.
    """

    def __init__(
        self, spec: ModelSpec, base_url: str | None = None, *, backoff: float = 0.5, samples: bool = True
    ) -> None:
        self.spec = spec
        self.url = f"{(base_url or spec.url or '').rstrip('/')}/chat/completions"
        self.in_flight = 0
        self.tokens_in = 0
        self.tokens_out = 0
        self.completions = 0
        self._backoff = backoff
        self._samples = samples
        self._gate = asyncio.Semaphore(spec.concurrency)
        self._gone: ModelUnavailable | None = None
        self._http = httpx.AsyncClient(
            headers=authorization(spec),
            timeout=httpx.Timeout(spec.timeout, connect=10),
            # The semaphore is the only bound. The default pool of 100 would be a second, hidden one.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=spec.concurrency),
            trust_env=not is_here(self.url),
        )

    def body(self, request: Complete, seed: int | None) -> dict[str, Any]:
        """Return everything in the request that determines the answer, and nothing else (it is hashed)."""
        return chat_body(self.spec, request, seed)

    async def complete(
        self, request: Complete, seed: int | None, slot: int | None = None
    ) -> list[Completion]:
        """Ask for the completions of one chat.

        The server decides how many it gives: at least one, at most ``request.n``.

        Args:
            request: the chat.
            seed: the seed, which is sent if the model's server takes one.
            slot: the slot of llama.cpp whose prompt cache holds the earlier part of this chat; other servers
                have none. With a slot, one completion comes per request, and the caller asks again with
                another seed.

        Raises:
            ModelUnavailable: there was no usable answer after all tries.
            RequestRefused: the server will never answer this request.
        """
        sent = self.body(request, seed)
        if slot is not None:
            sent |= {"id_slot": slot, "cache_prompt": True}
        if slot is not None or not self._samples:
            # llama.cpp puts further samples into other runs' slots. It refuses more samples than it has
            # slots.
            sent.pop("n", None)
        async with self._gate:
            self.in_flight += 1
            try:
                completions = await self._retrying(sent)
            finally:
                self.in_flight -= 1
        completions = completions[: request.n]
        self.completions += len(completions)
        self.tokens_in += sum(completion.tokens_in for completion in completions)
        self.tokens_out += sum(completion.tokens_out for completion in completions)
        return completions

    def stop(self) -> None:
        """Send no further request: what waits for its turn, or to be tried again, is given up."""
        self._gone = self._gone or ModelUnavailable("The study was interrupted.")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _retrying(self, sent: dict[str, Any]) -> list[Completion]:
        tries = self.spec.retries + 1
        for number in range(tries):
            if self._gone is not None:  # another request has waited long enough for all requests
                raise ModelUnavailable(self._gone.message, self._gone.remedy)
            asked_to_wait = 0.0
            start = time.perf_counter()
            try:
                response = await self._http.post(self.url, json=sent)
                latency = time.perf_counter() - start
                if response.status_code == httpx.codes.OK:
                    return completions_of(response, latency)
                problem = f"status {response.status_code}: {_message(response)}"
                if not _may_recover(response.status_code):
                    raise self._refusal(response.status_code, problem, sent)
                asked_to_wait = _retry_after(response)
            except httpx.RequestError as error:
                problem = f"{type(error).__name__} {error}".strip()
            except NotACompletion as error:
                problem = f"not a chat completion: {error}"
            if number + 1 < tries:
                # Jitter prevents requests that failed together from coming back together.
                pause = self._backoff * 2**number * random.uniform(0.5, 1.0)
                await asyncio.sleep(min(max(pause, asked_to_wait), LONGEST_PAUSE))
        self._gone = ModelUnavailable(
            f"No answer from {self.url} after {tries} tries (last: {problem}).",
            "Start the server and repeat the command; it resumes where it stopped.",
        )
        raise self._gone

    def _refusal(self, status: int, problem: str, sent: Mapping[str, Any]) -> RequestRefused:
        remedy = ""
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            variable = self.spec.key_env
            remedy = (
                f"Put a valid API key in the environment variable {variable}."
                if variable
                else "Name the environment variable that holds the API key: key_env of the model."
            )
        elif status == httpx.codes.NOT_FOUND:
            remedy = "Check the URL (it ends in /v1) and the model's name."
        elif status in (httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY) and (
            weaker := _takes_any_root(sent)
        ):
            remedy = (
                "If it takes only schemas of objects, "
                f"write structured = {weaker} into the model's table in the suite."
            )
        return RequestRefused(f"{self.url} refused the request, {problem}.", remedy)


def _takes_any_root(sent: Mapping[str, Any]) -> str:
    """Return how else decoding could be constrained for a schema of an array or of a single value.

    Several configurations can also be read from an object. A number or a class can only be read from text.
    The result is empty if the request's schema is of an object, or if there is none.
    """
    schema = sent.get("response_format", {}).get("json_schema", {}).get("schema", {})
    if not schema or schema.get("type") == "object":
        return ""
    return '"json_object" or "none"' if schema.get("type") == "array" else '"none"'


def _may_recover(status: int) -> bool:
    return status in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS) or status >= 500


def _retry_after(response: httpx.Response) -> float:
    try:
        return float(response.headers.get("retry-after", "0"))
    except ValueError:  # the header may also be a date; then only the back-off decides
        return 0.0


def _message(response: httpx.Response) -> str:
    """Return what the server says is wrong, on one line."""
    try:
        data = load_json(response.content)
    except ValueError:
        data = None
    error = data.get("error", data) if isinstance(data, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    text = message if isinstance(message, str) else response.text
    return " ".join(text.split())[:300].rstrip(".") or response.reason_phrase


def is_here(url: str) -> bool:
    """Return whether a URL is of this machine.

    A proxy from the environment must not be asked for such a URL.

    Raises:
        ModelError: the URL is not valid.
    """
    return _host(url) in ("localhost", "127.0.0.1", "::1")


def _host(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ModelError(
            f"{url!r} is not the URL of a model server.", "Give it as http://host:port/v1 (url of the model)."
        )
    return parsed.host


def authorization(spec: ModelSpec) -> dict[str, str]:
    """Return the header that carries a model's API key, if the model has a key.

    Raises:
        ModelError: the environment variable that should hold the key does not.
    """
    if spec.key_env is None:
        return {}
    key = os.environ.get(spec.key_env, "").strip()
    if not (key and key.isascii() and key.isprintable()):
        raise ModelError(
            f"The environment variable {spec.key_env} holds no API key for {spec.model}.",
            f"Set it (export {spec.key_env}=...) and repeat the command.",
        )
    return {"Authorization": f"Bearer {key}"}
