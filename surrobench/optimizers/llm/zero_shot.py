"""zero-shot: a language model proposes the first configurations, then a classical method goes on with them.

The warm start of LLAMBO (Liu et al., ICLR 2024, arXiv 2402.03921, section 4; ``exp_warmstarting/`` of its
repository), used as mode C of autoresearch-automl uses it (arXiv 2603.24647, ``hybrid/warmstart.py``).
"""

from __future__ import annotations

from collections.abc import Generator as Generates
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

from surrobench.benchmarks.base import TaskCard
from surrobench.llm.parse import Proposal, json_schema
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.llm.history import History
from surrobench.optimizers.llm.propose import propose_several, read, trial
from surrobench.optimizers.registry import follower
from surrobench.protocol.requests import Complete, Completion, Evaluated, Message, Request

PROMPTS = "zero-shot"
Context = Literal["none", "partial", "full"]


def zero_shot(
    task: Task,
    rng: Generator,
    *,
    k: int = 5,
    context: Context = "full",
    replies: int = 1,
    then: str = "tpe",
    then_parameters: Mapping[str, Any] | None = None,
    temperature: float = 0.7,
    top_p: float = 0.95,
    max_tokens: int = 2048,
) -> Steps:
    """One call before any evaluation proposes ``k`` configurations; ``then`` goes on with what they came to.

    Published defaults: k = 5, temperature 0.7, top_p 0.95 (LLAMBO), 2048 tokens (autoresearch-automl).

    ``context`` says what the prompt tells, as far as the task card knows it: ``none`` the learner and the
    space; ``partial`` also task, size of the data and metric; ``full`` also the data set's name, which is
    what every other method here is told. LLAMBO's ``full`` tells statistics of the features instead, which
    no benchmark here knows (its templates leave them as placeholders), and drops task and metric. The prompt
    shows no trial, those of a granted initial design neither.

    The trials of the proposals and the granted ones are the initial design of ``then``, which is any method
    of the registry that needs no model, no file and no lower fidelity, with ``then_parameters``: it makes of
    them what it makes of granted trials. They are evaluated one after the other, with several workers too.

    ``replies`` > 1 is LLAMBO's rule (30 there): of so many replies to one prompt, the first counts of which
    every configuration is valid, "the best-formatted of 30". Where there is none the first counts, by the
    suite's policy except that nobody is asked again; all are paid for, and counted in ``Task.answers``.
    Differences, on purpose: 1 is the default here, so that proposals and not formatting are compared; an
    invalid configuration does not drop those beside it; a missing value is filled with the default
    (autoresearch-automl's rule) only under the policy ``clip``; the prompt does not ask for known defaults.

    Raises:
        UsageError: ``then`` cannot go on, see ``optimizers.registry.follower``.
    """
    after = follower(then)
    sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    prompt = task.prompt(
        PROMPTS, "question", card=told(task.card, context), tells_metric=context != "none", k=k
    )
    messages, past = (Message("user", prompt),), History(task)
    if replies > 1:
        proposals = yield from _best_formatted(task, past, messages, sampling, k, replies)
    else:
        proposals = yield from propose_several(task, past, messages, sampling, k)
    initial = task.initial
    for proposal in proposals:
        initial = _joined(initial, (yield trial(proposal)))
    rest = replace(task, initial=initial, horizon=task.horizon - k)
    yield from after.function(rest, rng, **(then_parameters or {}))


def told(card: TaskCard, context: Context) -> TaskCard:
    """The task card as a context level tells it; the metric, which every card has, is the prompt's affair."""
    if context == "none":
        return replace(card, dataset=None, task=None, rows=None, features=None, classes=None)
    return replace(card, dataset=None) if context == "partial" else card


def _best_formatted(
    task: Task, past: History, messages: tuple[Message, ...], sampling: Mapping[str, Any], k: int, m: int
) -> Generates[Request, Any, list[Proposal]]:
    """Of m replies the first that is valid throughout; the first of all where there is none."""
    replies: list[Completion] = yield Complete(
        messages, "propose", n=m, schema=json_schema(task.shown, k), sampling=sampling, configurations=k
    )
    found = [read(task, past, reply, k) for reply in replies]
    valid = (
        proposals for proposals in found if all(proposal.configuration is not None for proposal in proposals)
    )
    return next(valid, found[0])


def _joined(before: Evaluated, answer: Evaluated) -> Evaluated:
    """Trials and one more; if it was wasted it has no configuration, and does not count."""
    if np.isnan(answer.configurations).all():
        return before
    X = np.concatenate([before.configurations, answer.configurations])
    return Evaluated(X, np.concatenate([before.losses, answer.losses]))
