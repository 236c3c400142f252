"""Get configurations from the language model, by the suite's policy for invalid replies.

All methods that let the model propose share this module: ``proposal = yield from propose(...)``.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from surrobench.llm.parse import parse_configurations
from surrobench.llm.proposal import Proposal
from surrobench.llm.schemas import json_schema
from surrobench.optimizers.base import Task
from surrobench.optimizers.llm.history import History
from surrobench.protocol.requests import Complete, Completion, Evaluate, Message, Request, Waste


def propose(
    task: Task, history: History, messages: tuple[Message, ...], sampling: Mapping[str, Any]
) -> Generator[Request, Any, Proposal]:
    """Ask for one configuration; an invalid reply is never replaced by one made up in this package.

    ``waste`` returns the invalid proposal as it is, and the caller spends a trial on it. ``retry:n`` shows
    the model its reply and the error and asks again, at most n times. ``clip`` mends what can be mended.
    """
    proposals = yield from propose_several(task, history, messages, sampling, 1)
    return proposals[0]


def propose_several(
    task: Task, history: History, messages: tuple[Message, ...], sampling: Mapping[str, Any], k: int
) -> Generator[Request, Any, list[Proposal]]:
    """Ask for k configurations in one reply, by the same policies, and return always k proposals.

    With ``retry:n`` the model is asked again while any of them is invalid. The last reply counts.
    """
    schema = json_schema(task.shown, k)
    asked = messages
    for attempt in range(1 + _retries(task)):
        replies: list[Completion] = yield Complete(
            asked, "propose", schema=schema, sampling=sampling, attempt=attempt, configurations=k
        )
        proposals = read(task, history, replies[0], k)
        invalid = [proposal for proposal in proposals if proposal.configuration is None]
        if not invalid:
            break
        asked = _asked_again(messages, replies[0], invalid[0], k)
    return proposals


def propose_repeatedly(
    task: Task, history: History, messages: tuple[Message, ...], sampling: Mapping[str, Any], n: int
) -> Generator[Request, Any, list[Proposal]]:
    """Ask for n replies to one prompt, a configuration each, by the same policies.

    There are always n proposals. With ``retry:n`` each reply that is invalid is asked for again by itself.
    """
    schema, attempt = json_schema(task.shown), 0
    replies: list[Completion] = yield Complete(messages, "propose", n=n, schema=schema, sampling=sampling)
    proposals = []
    for reply in replies:
        answer, proposal = reply, read(task, history, reply)[0]
        for _ in range(_retries(task)):
            if proposal.configuration is not None:
                break
            attempt += 1  # counts on through the replies: it names the answer in the journal
            asked = _asked_again(messages, answer, proposal)
            [answer] = yield Complete(asked, "propose", schema=schema, sampling=sampling, attempt=attempt)
            proposal = read(task, history, answer)[0]
        proposals.append(proposal)
    return proposals


def _retries(task: Task) -> int:
    policy, _, times = task.invalid.partition(":")
    return int(times) if policy == "retry" else 0


def _asked_again(
    messages: tuple[Message, ...], reply: Completion, invalid: Proposal, k: int = 1
) -> tuple[Message, ...]:
    """Return the chat with an invalid reply and its defect.

    An empty reply is a refusal, or nothing but thinking. The correction then ends the question, because some
    servers take no empty message, and some take no two messages of one speaker in a row.
    """
    wanted = "one valid JSON object" if k == 1 else f"one valid JSON array of {k} objects"
    correction = f"That is not valid: {invalid.detail}. Answer with {wanted}."
    if not reply.text.strip():
        *before, question = messages
        return (*before, Message(question.role, f"{question.content}\n\n{correction}"))
    return (*messages, Message("assistant", reply.text), Message("user", correction))


def read(task: Task, history: History, reply: Completion, k: int = 1) -> list[Proposal]:
    """Return the k proposals of a reply, and count them among ``task.answers``."""
    clip = task.invalid == "clip"
    proposals = parse_configurations(reply, task.shown, k, clip=clip, default=task.default)
    for proposal in proposals:
        verdict: str = proposal.defect or "valid"
        if proposal.configuration is not None and proposal.configuration in history:
            verdict = "duplicate"
        task.answers[f"propose:{verdict}"] += 1
    return proposals


def trial(proposal: Proposal) -> Evaluate | Waste:
    """Return the trial that a proposal costs: its evaluation, or a wasted one."""
    if proposal.configuration is None:
        return Waste(f"{proposal.defect}: {proposal.detail}", reply=proposal.reply)
    X = proposal.configuration[None, :]
    return Evaluate(X, source="llm", repairs=proposal.repairs, reply=proposal.reply)
