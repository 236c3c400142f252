"""Answer the requests of a study for completions: from the journal first, then from the server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from surrobench.errors import ModelUnavailable, RecordingEnds, ReplayDiverged
from surrobench.llm.chat import chat_body
from surrobench.llm.journal import Call, Journal
from surrobench.llm.models import ModelSpec
from surrobench.protocol.requests import Complete, Completion
from surrobench.seeding import content_hash, key, plain


class CompletionClient(Protocol):
    """What a journalled model needs of a client.

    Clients are ``client.Client``, and ``scripted.ScriptedClient`` in tests.
    """

    in_flight: int
    completions: int
    tokens_in: int
    tokens_out: int

    async def complete(
        self, request: Complete, seed: int | None, slot: int | None = None
    ) -> list[Completion]:
        """Return the completions of one request."""

    def stop(self) -> None:
        """Send no further request; those in flight go on."""

    async def aclose(self) -> None:
        """Close the client's connections."""


@dataclass
class JournalledModel:
    """A language model of a study, with the journal of its completions.

    Attributes:
        spec: what the suite says of the model.
        journal: the journal that keeps its completions.
        client: the client of its server; None in a replay.
        slots: how many runs the model takes on at a time, each pinned to one slot; None if it takes all at
            once.
    """

    spec: ModelSpec
    journal: Journal
    client: CompletionClient | None = None
    slots: int | None = None
    dead: ModelUnavailable | None = field(default=None, init=False)

    def stop(self) -> int:
        """Ask nothing more; returns how many requests are in flight."""
        if self.client is None:
            return 0
        self.dead = self.dead or ModelUnavailable("The study was interrupted.")
        self.client.stop()
        return self.client.in_flight

    def request_hash(self, request: Complete) -> str:
        """Hash all that determines the answer, except the seed, which follows from the call."""
        return content_hash(plain(self._body(request)))

    def _hashed_before(self, request: Complete) -> str:
        """Return the hash that older versions wrote, for which 1 and 1.0 were not the same."""
        return content_hash(self._body(request))

    def _body(self, request: Complete) -> dict[str, Any]:
        return chat_body(self.spec, replace(request, n=1), None)

    async def complete(self, call: Call, request: Complete, slot: int | None) -> list[Completion]:
        """Return the ``n`` completions of a call: the recorded ones first, then live ones.

        Raises:
            ReplayDiverged: the run asks something else than what was recorded, or the recording ends here.
            ModelUnavailable, RequestRefused: see ``client.Client.complete``.
            ResultsError: the journal cannot be written.
        """
        hashed = self.request_hash(request)
        recorded = self.journal.get(call)
        others = {entry.request for entry in recorded} - {hashed}
        if others - {self._hashed_before(request) if others else hashed}:
            raise ReplayDiverged(
                f"Run {call.run} diverged at call {call.call}: its request is not the recorded one.",
                "Use the versions, prompts and data it was recorded with, or start it anew with "
                "--discard-unfinished.",
            )
        completions = [entry.completion for entry in recorded]
        while len(completions) < request.n:
            new = await self._ask(call, request, len(completions), slot)
            await self.journal.append(call, hashed, request.purpose, request.messages, new)
            completions += new
        return [
            replace(completion, where=f"{call.call}.{call.attempt}.{sample}")
            for sample, completion in enumerate(completions[: request.n])
        ]

    async def _ask(self, call: Call, request: Complete, have: int, slot: int | None) -> list[Completion]:
        if self.client is None:
            raise RecordingEnds(
                f"The recording has no answer for call {call.call} of run {call.run}.",
                "It is of another suite or was cut short; leave out --replay to ask the model.",
            )
        if self.dead is not None:
            raise self.dead
        missing = replace(request, n=request.n - have)
        try:
            # The seed has 31 bits, because several servers take a signed 32-bit seed.
            seed = key("model", call.run, call.call, call.attempt, have) >> 33
            return await self.client.complete(missing, seed, slot)
        except ModelUnavailable as error:
            self.dead = error
            raise
