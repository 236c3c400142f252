"""Configurations from the language model, by the suite's policy for invalid replies.

Shared by all methods that let the model propose: ``proposal = yield from propose(...)``.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from surrobench.llm.parse import Proposal, json_schema, parse_configurations
from surrobench.optimizers.base import Task
from surrobench.optimizers.history import History
from surrobench.requests import Complete, Completion, Evaluate, Message, Request, Waste


def propose(
    task: Task, history: History, messages: tuple[Message, ...], sampling: Mapping[str, Any]
) -> Generator[Request, Any, Proposal]:
    """Ask for one configuration; an invalid reply is never replaced by a configuration of ours.

    ``waste`` returns the invalid proposal as it is (the caller spends a trial on it); ``retry:n`` shows the
    model its reply and the error and asks again, at most n times; ``clip`` mends what can be mended.
    """
    proposals = yield from propose_several(task, history, messages, sampling, 1)
    return proposals[0]


def propose_several(
    task: Task, history: History, messages: tuple[Message, ...], sampling: Mapping[str, Any], k: int
) -> Generator[Request, Any, list[Proposal]]:
    """Ask for k configurations in one reply, by the same policies; always k proposals.

    With ``retry:n`` the model is asked again while any of them is invalid; the last reply counts.
    """
    policy, _, times = task.invalid.partition(":")
    tries = 1 + (int(times) if policy == "retry" else 0)
    schema = json_schema(task.shown, k)
    asked = messages
    for attempt in range(tries):
        replies: list[Completion] = yield Complete(
            asked, "propose", schema=schema, sampling=sampling, attempt=attempt, configurations=k
        )
        proposals = read(task, history, replies[0], k)
        invalid = [proposal for proposal in proposals if proposal.configuration is None]
        if not invalid:
            break
        wanted = "one valid JSON object" if k == 1 else f"one valid JSON array of {k} objects"
        asked = (
            *messages,
            Message("assistant", replies[0].text),
            Message("user", f"That is not valid: {invalid[0].detail}. Answer with {wanted}."),
        )
    return proposals


def read(task: Task, history: History, reply: Completion, k: int = 1) -> list[Proposal]:
    """The k proposals of a reply, counted among ``task.answers``."""
    clip = task.invalid == "clip"
    proposals = parse_configurations(reply, task.shown, k, clip=clip, default=task.default)
    for proposal in proposals:
        verdict: str = proposal.defect or "valid"
        if proposal.configuration is not None and proposal.configuration in history:
            verdict = "duplicate"
        task.answers[f"propose:{verdict}"] += 1
    return proposals


def trial(proposal: Proposal) -> Evaluate | Waste:
    """The trial that a proposal costs: its evaluation, or a wasted one."""
    if proposal.configuration is None:
        return Waste(f"{proposal.defect}: {proposal.detail}", reply=proposal.reply)
    X = proposal.configuration[None, :]
    return Evaluate(X, source="llm", repairs=proposal.repairs, reply=proposal.reply)
