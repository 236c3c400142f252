"""zero-shot: a language model proposes the first configurations, then a classical method goes on with them.

The method is the warm start of LLAMBO (Liu et al., ICLR 2024, arXiv 2402.03921, section 4;
``exp_warmstarting/`` of its repository). It is used as mode C of autoresearch-automl uses it (arXiv
2603.24647, ``hybrid/warmstart.py``).
"""

from __future__ import annotations

from collections.abc import Generator as Generates
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

from surrobench.benchmarks.base import TaskCard
from surrobench.llm.proposal import Proposal
from surrobench.llm.schemas import json_schema
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
    """Ask once for ``k`` configurations before any evaluation; ``then`` goes on with their results.

    The published defaults are k = 5, temperature 0.7 and top_p 0.95 (LLAMBO), and 2048 tokens
    (autoresearch-automl).

    ``context`` says what the prompt tells, as far as the task card knows it. ``none`` tells the learner and
    the space. ``partial`` also tells task, size of the data and metric. ``full`` also tells the data set's
    name. Every other method here is told as much as ``full``. LLAMBO's ``full`` tells statistics of the
    features instead, and drops task and metric. No benchmark here knows such statistics, and LLAMBO's
    templates leave them as placeholders. The prompt shows no trial, not even those of a granted initial
    design.

    The trials of the proposals and the granted ones are the initial design of ``then``. This is any method of
    the registry that needs no model, no file and no lower fidelity, with ``then_parameters``. It treats them
    as granted trials. They are evaluated one after the other, with several workers too.

    ``replies`` > 1 is LLAMBO's rule (30 there). Of so many replies to one prompt, the first counts of which
    every configuration is valid, "the best-formatted of 30". Where there is none, the first reply counts, by
    the suite's policy except that nobody is asked again. All replies are paid for, and counted in
    ``Task.answers``.

    These differences are on purpose:

    - The default is 1 here, so that proposals and not formatting are compared.
    - An invalid configuration does not drop those beside it.
    - A missing value is filled with the default (autoresearch-automl's rule) only under the policy ``clip``.
    - The prompt does not ask for known defaults.

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
    """Return the task card as a context level tells it.

    Every card has the metric, so the prompt decides whether to tell it.
    """
    if context == "none":
        return replace(card, dataset=None, task=None, rows=None, features=None, classes=None)
    return replace(card, dataset=None) if context == "partial" else card


def _best_formatted(
    task: Task, past: History, messages: tuple[Message, ...], sampling: Mapping[str, Any], k: int, m: int
) -> Generates[Request, Any, list[Proposal]]:
    """Return the first of m replies that is valid throughout, or the first of all where there is none."""
    replies: list[Completion] = yield Complete(
        messages, "propose", n=m, schema=json_schema(task.shown, k), sampling=sampling, configurations=k
    )
    found = [read(task, past, reply, k) for reply in replies]
    valid = (
        proposals for proposals in found if all(proposal.configuration is not None for proposal in proposals)
    )
    return next(valid, found[0])


def _joined(before: Evaluated, answer: Evaluated) -> Evaluated:
    """Return trials and one more; a wasted trial has no configuration, and does not count."""
    if np.isnan(answer.configurations).all():
        return before
    X = np.concatenate([before.configurations, answer.configurations])
    return Evaluated(X, np.concatenate([before.losses, answer.losses]))
