"""Ask every server with one client: OpenAI-compatible HTTP, asynchronous, with bounded concurrency.

What comes back decides what happens:

- Trouble that can pass by itself (a server restarts, drips, or answers rubbish) is tried again with
  back-off. A request that is out of tries ends alone. Whether the server is dead, a probe decides.
- "Too many requests" shows that the server lives. It uses up no try. All requests of the model pause for as
  long as the server asks, and fewer are in flight afterwards.
- A request that will never be answered (a prompt longer than the context) fails at once, with the server's
  words.
- What is about the key, the account, the model's name or the address ends all requests of the model.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from surrobench.errors import ModelUnavailable, RequestRefused
from surrobench.llm.address import endpoint, shown
from surrobench.llm.chat import QUESTION, NotACompletion, chat_body, completions_of
from surrobench.llm.models import ModelSpec
from surrobench.llm.pace import Pace
from surrobench.llm.transport import Answer, NoAnswer, Transport
from surrobench.llm.verdicts import (
    RESUME,
    clock,
    line_to_write,
    problem_of,
    remedy_of,
    retry_after,
    verdict,
)
from surrobench.protocol.requests import Complete, Completion

LONGEST_PAUSE = 20.0
"""The most seconds between two tries, unless the server asks for more."""
WORTH_SAYING = 30.0
"""A pause of more seconds is said."""
PROBE_SECONDS = 60.0
"""The most seconds that a server may take to show that it lives."""


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
        note: takes a line worth saying at once; called in another thread.

    Raises:
        ModelError: the URL is not valid, or the environment variable of the key is not set.
    """

    def __init__(
        self,
        spec: ModelSpec,
        base_url: str | None = None,
        *,
        backoff: float = 0.5,
        samples: bool = True,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.spec = spec
        self.url = endpoint(base_url or spec.url or "", "/chat/completions")
        self.tokens_in = 0
        self.tokens_out = 0
        self.completions = 0
        self._backoff = backoff
        self._samples = samples
        self._note = note
        self._pace = Pace(spec.concurrency)
        self._tickets = itertools.count()
        self._gone: ModelUnavailable | None = None
        self._busy = 0
        """How often in a row the server has said that it is busy."""
        self._answered: float | None = None
        """When the server last answered, or refused, a request (``time.monotonic``)."""
        self._first: float | None = None
        """When the first request was sent."""
        self._probing: asyncio.Task[ModelUnavailable | None] | None = None
        self._transport = Transport(spec, self.url)

    @property
    def in_flight(self) -> int:
        """Return how many requests the server has now."""
        return self._pace.in_flight

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
            ModelUnavailable: there was no usable answer after all tries, or the server answers no request.
            RequestRefused: the server will never answer this request.
        """
        sent = self.body(request, seed)
        if slot is not None:
            sent |= {"id_slot": slot, "cache_prompt": True}
        if slot is not None or not self._samples:
            # llama.cpp puts further samples into other runs' slots. It refuses more samples than it has
            # slots.
            sent.pop("n", None)
        completions = await asyncio.wrap_future(self._transport.submit(self._retrying(sent)))
        completions = completions[: request.n]
        self.completions += len(completions)
        self.tokens_in += sum(completion.tokens_in for completion in completions)
        self.tokens_out += sum(completion.tokens_out for completion in completions)
        return completions

    def stop(self) -> None:
        """Send no further request: what waits for its turn, or to be tried again, is given up."""
        self._transport.call(lambda: self._end("The study was interrupted."))

    async def aclose(self) -> None:
        """Close all connections."""
        self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # ------------------------------------------------------------------ in the transport's thread

    async def _retrying(self, sent: Mapping[str, Any]) -> list[Completion]:
        """Return the completions of one request, with as many tries as it takes and may."""
        content = json.dumps(sent, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        ticket, failures = next(self._tickets), 0
        while True:
            if self._gone is not None:
                raise _again(self._gone)
            try:
                return await self._try(content, ticket, sent)
            except _Busy:
                continue
            except _Trouble as trouble:
                failures += 1
                if failures > self.spec.retries:
                    raise await self._out_of_tries(str(trouble), failures, trouble.started) from None
                # Jitter prevents requests that failed together from coming back together.
                pause = self._backoff * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
                await asyncio.sleep(min(pause, LONGEST_PAUSE))

    async def _try(self, content: bytes, ticket: int, sent: Mapping[str, Any]) -> list[Completion]:
        """Send a request once, when it is its turn.

        Raises:
            _Busy: the server has too many requests; the pause that it asks for has begun.
            _Trouble: there was no usable answer, which may pass.
            ModelUnavailable, RequestRefused: see ``complete``.
        """
        in_flight = await self._pace.enter(ticket)
        started = time.monotonic()
        if self._first is None:
            self._first = started
        try:
            answer = await self._transport.send(self.url, content, self.spec.timeout)
            status = answer.status
            if verdict(status, answer.content) == "reply":
                try:
                    completions = completions_of(answer, in_flight)
                except NotACompletion as error:
                    if error.status is None:
                        raise _Trouble(f"not a chat completion: {error}", started) from None
                    status = error.status
                else:
                    self._answered, self._busy = time.monotonic(), 0
                    self._pace.answered()
                    return completions
            self._raise_for(status, answer, started, sent)
            raise AssertionError("every other answer is an error")
        except NoAnswer as error:
            raise _Trouble(str(error), started) from None
        finally:
            self._pace.leave()

    def _raise_for(self, status: int, answer: Answer, started: float, sent: Mapping[str, Any]) -> None:
        problem, wait = problem_of(status, answer.content), retry_after(answer)
        judged = verdict(status, answer.content)
        if judged == "closed":
            raise self._end(
                f"{shown(self.url)} answers no request: {problem}.",
                remedy_of(status, answer.headers, self.spec),
            )
        if judged == "busy" or wait > 0:
            self._pause(wait, started, problem)
        if judged == "busy":
            raise _Busy
        if judged == "refused":
            self._answered = time.monotonic()
            remedy = remedy_of(status, answer.headers, self.spec) or line_to_write(sent, problem)
            raise RequestRefused(f"{shown(self.url)} refused the request, {problem}.", remedy)
        raise _Trouble(problem, started)

    def _pause(self, wait: float, started: float, problem: str) -> None:
        """Pause all requests, and have fewer of them in flight afterwards.

        Raises:
            ModelUnavailable: the pause is longer than the suite has patience for, or pauses are all there is.
        """
        now, patience = time.monotonic(), self.spec.patience
        if wait > patience:
            raise self._end(
                f"{shown(self.url)} asks to wait until {clock(wait)} ({problem}).",
                "Repeat the command then; it resumes where it stopped.",
            )
        since = self._answered or self._first or started
        if now - since > patience:
            raise self._end(
                f"{shown(self.url)} has asked to wait for {now - since:,.0f} seconds and answered no "
                f"request ({problem}).",
                "Repeat the command later; it resumes where it stopped.",
            )
        if started >= self._pace.resumes:  # the first of those that were in flight together
            self._busy += 1
            if wait > WORTH_SAYING:
                self._note(f"{shown(self.url)} asks to wait until {clock(wait)} ({problem}). Requests pause.")
        self._pace.slow_down(started)
        self._pace.pause(wait or min(self._backoff * 2 ** (self._busy - 1), LONGEST_PAUSE))

    async def _out_of_tries(self, problem: str, tries: int, started: float) -> ModelUnavailable:
        """Return the error that ends a request; where the server is dead, it ends all of them."""
        if self._answered is None or self._answered <= started:
            if self._probing is None:
                self._probing = asyncio.ensure_future(self._probe(problem, tries))
            gone = await asyncio.shield(self._probing)
            if gone is not None:
                return _again(gone)
        return ModelUnavailable(
            f"{shown(self.url)} answers, but not this request after {tries} tries (last: {problem}).",
            "Repeat the command to try again; the server's log may say more.",
        )

    async def _probe(self, problem: str, tries: int) -> ModelUnavailable | None:
        """Find out whether the server answers anything; if not, return the error that ends all requests."""
        limit = {
            "max_completion_tokens" if "max_completion_tokens" in self.spec.sampling else "max_tokens": 16
        }
        asked = {**limit, "model": self.spec.model, "messages": [{"role": "user", "content": QUESTION}]}
        try:
            answer = await self._transport.send(
                self.url, json.dumps(asked).encode(), min(self.spec.timeout, PROBE_SECONDS)
            )
            judged = verdict(answer.status, answer.content)
            if judged == "reply":
                completions_of(answer)
            if judged in ("reply", "busy", "refused"):
                return None
            if judged == "closed":
                stated = problem_of(answer.status, answer.content)
                remedy = remedy_of(answer.status, answer.headers, self.spec)
                return self._end(f"{shown(self.url)} answers no request: {stated}.", remedy)
        except (NoAnswer, NotACompletion):
            pass
        finally:
            self._probing = None
        return self._end(f"No answer from {shown(self.url)} after {tries} tries (last: {problem}).", RESUME)

    def _end(self, message: str, remedy: str = "") -> ModelUnavailable:
        """End all requests of the model, those that wait for their turn included."""
        if self._gone is None:
            self._gone = gone = ModelUnavailable(self._transport.clean(message), remedy)
            self._pace.close(lambda: _again(gone))
        return _again(self._gone)


def _again(error: ModelUnavailable) -> ModelUnavailable:
    """Return a copy: each request that ends with an error has its own traceback."""
    return ModelUnavailable(error.message, error.remedy)


class _Busy(Exception):
    """The server has too many requests."""


class _Trouble(Exception):
    """There was no usable answer, which may pass; the text says why, ``started`` when the try was sent."""

    def __init__(self, problem: str, started: float) -> None:
        super().__init__(problem)
        self.started = started
