"""Wait for requests that are on their way to language models, so that no reply that arrives is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any

from surrobench.engine.outcome import Progress
from surrobench.llm.journalled_model import JournalledModel
from surrobench.protocol.requests import Completion

GRACE_SECONDS = 10.0
"""How long an interrupted study waits for the replies that are on their way."""


async def together(jobs: Sequence[Coroutine[Any, Any, list[Completion]]]) -> list[list[Completion]]:
    """Return the answers of requests that go out together.

    Where one fails, the others are waited for: they were asked, and their replies are journalled.

    Raises:
        the first error, in the order of the requests
    """
    answers: list[list[Completion]] = []
    for answer in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer
        answers.append(answer)
    return answers


async def drain(
    asking: Collection[asyncio.Task[Any]], models: Mapping[str, JournalledModel], progress: Progress
) -> None:
    """Let the replies on their way arrive and be journalled, for a while; nothing more is asked.

    Args:
        asking: the tasks that wait for replies.
        models: label -> language model.
        progress: is told how long this may take.
    """
    waiting = sum(model.stop() for model in models.values())
    if waiting:
        replies = "1 reply" if waiting == 1 else f"{waiting} replies"
        progress.note(
            f"Interrupted: waiting at most {GRACE_SECONDS:.0f} s for {replies} on the way. "
            "Ctrl-C again ends at once."
        )
    if asking:
        await asyncio.wait(asking, timeout=GRACE_SECONDS)


async def give_up(asking: Collection[asyncio.Task[Any]], models: Mapping[str, JournalledModel]) -> None:
    """Stop waiting for replies, and return when those that have arrived are on disk."""
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    for model in models.values():
        await model.journal.drain()
