"""Make a model of a function, for tests of the machinery and for examples, without server or GPU."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from surrobench.llm.chat import chat_body
from surrobench.llm.models import ModelSpec
from surrobench.protocol.requests import Complete, Completion, Message, Purpose

Script = Callable[[tuple[Message, ...], Purpose], str]
"""A function that writes the reply to a chat. It is called once per sample.

``complete`` raises what the function raises.
"""

SCRIPTED = ModelSpec(url="http://scripted.invalid/v1", model="scripted")


class ScriptedClient:
    """A client that stands in for ``Client``, with the same methods and counters.

    Its replies come from ``script``.

    Tokens are words here, and a reply takes no time.
    """

    def __init__(self, script: Script, spec: ModelSpec = SCRIPTED) -> None:
        self.spec = spec
        self.in_flight = 0
        self.tokens_in = 0
        self.tokens_out = 0
        self.completions = 0
        self._script = script

    def body(self, request: Complete, seed: int | None) -> dict[str, Any]:
        """Return the body that ``Client`` would send."""
        return chat_body(self.spec, request, seed)

    async def complete(
        self, request: Complete, seed: int | None, slot: int | None = None
    ) -> list[Completion]:
        """Return ``request.n`` replies of the script; ``seed`` and ``slot`` change nothing."""
        self.in_flight += 1
        try:
            await asyncio.sleep(0)  # other tasks get their turn, as with a real server
            texts = [self._script(request.messages, request.purpose) for _ in range(request.n)]
        finally:
            self.in_flight -= 1
        words_in = sum(len(message.content.split()) for message in request.messages)
        completions = [
            Completion(text, "stop", 0 if index else words_in, len(text.split()), 0.0)
            for index, text in enumerate(texts)
        ]
        self.completions += len(completions)
        self.tokens_in += words_in
        self.tokens_out += sum(completion.tokens_out for completion in completions)
        return completions

    def stop(self) -> None:
        """Do nothing: a reply takes no time."""

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
