"""Answer the requests of a study for completions: from the journal first, then from the server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from surrobench.errors import ModelUnavailable, RecordingEnds, ReplayDiverged
from surrobench.llm.capabilities import SCHEMAS
from surrobench.llm.chat import chat_body
from surrobench.llm.journal import Call, Journal
from surrobench.llm.models import ModelSpec, shape_of
from surrobench.protocol.requests import Complete, Completion
from surrobench.seeding import content_hash, key, plain
from surrobench.untrusted import load_json

log = logging.getLogger(__name__)
MOST_NOTES = 5
"""How many lines on what a server does differently a session says at most."""


class CompletionClient(Protocol):
    """What a journalled model needs of a client.

    Clients are ``client.Client``, and ``scripted.ScriptedClient`` in tests.
    """

    completions: int
    tokens_in: int
    tokens_out: int

    @property
    def in_flight(self) -> int:
        """Return how many requests the server has now."""

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
        note: takes a line worth saying at once.
        needs_counts: whether the server has to count tokens, because they are a budget.
        dead: why the model cannot be asked at all, if it cannot. A server that dies later ends its requests.
    """

    spec: ModelSpec
    journal: Journal
    client: CompletionClient | None = None
    slots: int | None = None
    note: Callable[[str], None] = lambda line: None
    needs_counts: bool = False
    dead: ModelUnavailable | None = field(default=None, init=False)
    _stated: dict[str, str] = field(default_factory=dict, init=False)
    _noted: set[str] = field(default_factory=set, init=False)

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
        for completion in completions:
            self._watch(completion)
        while len(completions) < request.n:
            new = await self._ask(call, request, len(completions), slot)
            for completion in new:
                self._watch(completion)
                self._check_schema(request, completion)
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
        # The seed has 31 bits, because several servers take a signed 32-bit seed.
        seed = key("model", call.run, call.call, call.attempt, have) >> 33
        new = await self.client.complete(missing, seed, slot)
        if self.needs_counts and not new[0].tokens_in + new[0].tokens_out:
            raise ModelUnavailable(
                f"The server of {self.spec.model} counted no tokens of a reply, and tokens are the budget.",
                "Limit the study by trials or seconds, or ask a server that reports usage.",
            )
        return new

    def _watch(self, completion: Completion) -> None:
        """Say it if the server states another model than before."""
        if completion.served is None:
            return
        for name, value in (
            ("model", completion.served.model),
            ("fingerprint", completion.served.fingerprint),
        ):
            before = self._stated.setdefault(name, value) if value else value
            if before != value:
                self._note_once(
                    f"{self.spec.model}: the server states {name} {value!r}, and stated {before!r} before."
                )

    def _check_schema(self, request: Complete, completion: Completion) -> None:
        """Say it if a reply does not keep to the schema by which the server was to constrain it."""
        if request.schema is None or self.spec.structured_for(shape_of(request.schema)) not in SCHEMAS:
            return
        if completion.finish_reason == "stop" and not _is_json(completion.text):
            self._note_once(
                f"{self.spec.model}: the server takes schemas but does not keep to them: a reply was no JSON."
            )

    def _note_once(self, line: str) -> None:
        if line not in self._noted and len(self._noted) < MOST_NOTES:
            self._noted.add(line)
            log.info("%s", line)
            self.note(line)


def _is_json(text: str) -> bool:
    try:
        load_json(text)
    except ValueError:
        return False
    return True
