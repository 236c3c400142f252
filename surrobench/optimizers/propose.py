"""One configuration from the language model, by the suite's policy for invalid replies.

Shared by all methods that let the model propose: ``proposal = yield from propose(...)``.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from surrobench.llm.parse import Proposal, json_schema, parse_configuration
from surrobench.optimizers.base import Task
from surrobench.requests import Complete, Completion, Message, Request


def propose(
    task: Task, messages: tuple[Message, ...], sampling: Mapping[str, Any]
) -> Generator[Request, Any, Proposal]:
    """Ask for one configuration; an invalid reply is never replaced by a configuration of ours.

    ``waste`` returns the invalid proposal as it is (the caller spends a trial on it); ``retry:n`` shows the
    model its reply and the error and asks again, at most n times; ``clip`` mends what can be mended.
    """
    policy, _, times = task.invalid.partition(":")
    tries = 1 + (int(times) if policy == "retry" else 0)
    schema = json_schema(task.space)
    asked = messages
    for attempt in range(tries):
        replies: list[Completion] = yield Complete(
            asked, "propose", schema=schema, sampling=sampling, attempt=attempt
        )
        proposal = parse_configuration(replies[0], task.space, clip=policy == "clip", default=task.default)
        if proposal.configuration is not None:
            break
        asked = (
            *messages,
            Message("assistant", replies[0].text),
            Message("user", f"That is not valid: {proposal.detail}. Answer with one valid JSON object."),
        )
    return proposal
