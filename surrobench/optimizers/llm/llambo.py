"""llambo: Bayesian optimization whose warm start, candidate sampler and surrogate are language model calls.

The source of LLAMBO is Liu et al., "Large Language Models to Enhance Bayesian Optimization", ICLR 2024, arXiv
2402.03921. The code is tennisonliu/LLAMBO 196fe23 (``llambo/acquisition_function.py``,
``discriminative_sm.py``, ``generative_sm.py``, ``exp_bayesmark/run_bayesmark.py``). Its later port is
``llambo_optunahub``.

These differences are on purpose:

- Configurations are one line of JSON, with the digits and the parser of all methods here. The published form
  is ``## a: 3, b: 0.10 ##``, with the decimals of the lower bound. There is no system message, because some
  models' chat templates refuse it.
- Every kind of hyperparameter is shown, categorical and conditional ones too. The published code shows
  numbers and ordinals. The ban on extremes and round values is left out where all hyperparameters are lists
  of values.
- The probability p(good) is the share of replies that say 1. The published surrogate reads it from the
  tokens' log-probabilities, which not every server gives. In both surrogates, a candidate without a readable
  answer gets the others' average.
- The limits of s' are those of ``llambo_steps.limit``. The ladder of alpha ends at the limit itself.
- The deviation sigma is at least 1e-5 of the range observed. The published value is 1e-5, for a metric in (0,
  1).
- The surrogate is not asked where one candidate is left. It may answer in up to 16 tokens (published: 8),
  since open models write one token per digit. A model that thinks aloud needs more, which the suite's
  ``sampling`` sets.
- The zero-shot warm start is what replaces a missing initial design. The first configurations are asked for
  in one reply, and invalid ones go by the suite's policy. The published code takes the best-formatted of 30
  replies, and not in its end-to-end experiments. ``warm_start`` = k asks for k in any case, and 0 asks for
  none.
- Failed trials are undefined in the paper. Here they are shown to the sampler as ``failed``, belong to class
  0, and are no examples for a number. While nothing at all was observed, the method goes on zero-shot.

The published defaults are N = 10, K = 2, n_gens = 10, alpha = 0.1, top_share = 0.25 and 5 configurations
of warm start. The sampler has T = 0.8, top_p = 0.95 and 500 tokens. The surrogate has T = 0.7 and top_p =
0.95.

Where fewer candidates than wanted are kept after the last round, the published code goes on with the last
round unfiltered if that has more than five, and else raises an error.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator as Draws

from surrobench.llm.proposal import Proposal
from surrobench.llm.schemas import json_schema
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.llm.history import History
from surrobench.optimizers.llm.llambo_steps import (
    Example,
    Surrogate,
    Vector,
    aim,
    ask,
    check,
    expected_improvement,
    labels,
    limit,
    moments,
    rounded,
    shuffled,
    unseen,
    winner,
)
from surrobench.optimizers.llm.propose import propose, propose_several, read, trial
from surrobench.protocol.requests import Complete, Completion, Message, Request
from surrobench.space.hyperparameter import Matrix, is_integer, values_of

PROMPTS = "llambo"
LADDER = (0.1, 1e-2, 1e-3, -1e-3, -1e-2, -0.1)
"""The values that alpha takes while the target is beyond what the metric can reach.

The last value is 0.1 in the published code, which never gets there. The port reads it as -0.1, as here."""
DECIMALS = 8
WARM_START = 5


def llambo(
    task: Task,
    rng: Draws,
    *,
    surrogate: Surrogate = "discriminative",
    alpha: float = 0.1,
    candidates: int = 10,
    templates: int = 2,
    n_gens: int = 10,
    top_share: float = 0.25,
    at_least: int = 5,
    rounds: int = 4,
    warm_start: int | None = None,
    temperature: float = 0.8,
    surrogate_temperature: float = 0.7,
    top_p: float = 0.95,
    max_tokens: int = 500,
    surrogate_max_tokens: int = 16,
) -> Steps:
    """Sample candidates towards a target, let the surrogate score them, evaluate the best.

    Each trial has the target s' = ybest - alpha * range (mirrored where higher is better). Each of K
    ``templates`` shows all trials in an order of its own and asks for ``candidates`` / K configurations that
    reach s'. It asks in up to ``rounds`` rounds until ``at_least`` configurations are kept that are valid,
    new (8 decimals) and distinct.

    The ``discriminative`` surrogate draws K * ``n_gens`` predictions y of each candidate. Their mean and
    standard deviation give its expected improvement. The ``generative`` surrogate draws as many classes,
    where class 1 is one of the best ``top_share``. Their mean is p(good). The candidate with the highest
    score wins.

    The suite's policy for invalid replies works as follows with several candidates. Invalid ones are left
    out, whatever the policy (``clip`` mends them first). Where fewer than wanted are kept after the last
    round, the method goes on with those. Where all valid ones were evaluated before, it goes on with these.
    Where none is valid, ``waste`` and ``clip`` waste a trial on the last of them. ``retry:n`` asks for one
    configuration and shows the model its invalid reply up to n times.

    Raises:
        UsageError: a count is below 1.
    """
    check(PROMPTS, candidates=candidates, templates=templates, n_gens=n_gens, rounds=rounds)
    sampler = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    asked = {"temperature": surrogate_temperature, "top_p": top_p, "max_tokens": surrogate_max_tokens}
    past = History(task)
    ranks: list[Vector] = []  # each trial's place in the examples of each template

    start = (0 if len(past) else WARM_START) if warm_start is None else warm_start
    if start > 0:
        starting = {"temperature": 0.7, "top_p": top_p, "max_tokens": max_tokens * start}
        for proposal in (yield from propose_several(task, past, _start(task, past, start), starting, start)):
            past.add((yield trial(proposal)))

    while True:
        ranks += [rng.random(templates) for _ in range(len(past) - len(ranks))]
        orders = [shuffled(range(len(past)), ranks, k) for k in range(templates)]
        if past.best is None:
            proposal = yield from propose(task, past, _start(task, past, 1), sampler)
        else:
            prompts = [_sampler(task, past, order, _target(past, task, alpha)) for order in orders]
            each = [candidates // templates + (k < candidates % templates) for k in range(templates)]
            wanted = min(at_least, candidates)
            proposals = yield from _sample(task, past, prompts, each, rounds, wanted, sampler)
            if len(proposals) == 1:
                scores = np.zeros(1)
            elif surrogate == "discriminative":
                scores = yield from _improvements(task, past, proposals, orders, n_gens, asked)
            else:
                scores = yield from _goodness(task, past, proposals, orders, n_gens, top_share, asked)
            proposal = proposals[winner(scores)]
        past.add((yield trial(proposal)))


def _target(past: History, task: Task, alpha: float) -> str:
    """Return the target s' as prompts say it."""
    minimize = task.objective.minimize
    values = past.observed()[1] * task.objective.sign
    target = aim(values, minimize, alpha or -1e-3, LADDER)  # an alpha of 0 is -0.001, as published
    if target is None:
        target = limit(values, minimize)
    assert target is not None  # without a limit, the first step is taken
    return past.value(target * task.objective.sign)


def _sample(
    task: Task,
    past: History,
    prompts: Sequence[tuple[Message, ...]],
    each: Sequence[int],
    rounds: int,
    wanted: int,
    sampling: Mapping[str, Any],
) -> Generator[Request, Any, list[Proposal]]:
    """Return at least one candidate; if the candidate is invalid, it is the only one.

    ``each`` says how many candidates each prompt is asked for.
    """
    seen = {rounded(x, DECIMALS) for x in past.configurations}
    kept: list[Proposal] = []
    again: list[Proposal] = []  # valid, but evaluated before
    for _ in range(rounds):
        batches: list[list[Completion]] = yield [
            Complete(messages, "propose", n=n, schema=json_schema(task.shown), sampling=sampling)
            for messages, n in zip(prompts, each, strict=True)
            if n
        ]
        for reply in (reply for batch in batches for reply in batch):
            [proposal] = read(task, past, reply)
            x = proposal.configuration
            if x is None:
                invalid = proposal
            elif unseen(x, seen, _configurations(kept), DECIMALS):
                kept.append(proposal)
            elif rounded(x, DECIMALS) in seen and unseen(x, (), _configurations(again), DECIMALS):
                again.append(proposal)
        if len(kept) >= wanted:
            break
    if kept or again:
        return kept or again
    if task.invalid.startswith("retry"):
        invalid = yield from propose(task, past, prompts[0], sampling)
    return [invalid]


def _configurations(proposals: Sequence[Proposal]) -> list[Matrix]:
    return [proposal.configuration for proposal in proposals if proposal.configuration is not None]


def _improvements(
    task: Task,
    past: History,
    proposals: Sequence[Proposal],
    orders: Sequence[Sequence[int]],
    n: int,
    sampling: Mapping[str, Any],
) -> Generator[Request, Any, Vector]:
    """Return the expected improvement of each candidate, from predictions of its value."""
    observed = past.observed()[1]
    orders = [[i for i in order if np.isfinite(past.losses[i])] for order in orders]
    prompts = [
        _about(task, "predict", proposals, past, [(past.configuration(i), past.outcome(i)) for i in order])
        for order in orders
    ]
    said = yield from ask(task, "predict", prompts, n, sampling)
    mu, sigma = moments(said * task.objective.sign)
    floor = 1e-5 * (float(np.ptp(observed)) or 1.0)
    return expected_improvement(mu, np.maximum(sigma, floor), float(observed.min()))


def _goodness(
    task: Task,
    past: History,
    proposals: Sequence[Proposal],
    orders: Sequence[Sequence[int]],
    n: int,
    top_share: float,
    sampling: Mapping[str, Any],
) -> Generator[Request, Any, Vector]:
    """Return p(good) of each candidate, which is the share of classes that are 1."""
    classes = labels(np.array(past.losses), top_share)
    prompts = [
        _about(
            task,
            "classify",
            proposals,
            past,
            [(past.configuration(i), str(classes[i])) for i in order],
            share=round(100 * top_share),
        )
        for order in orders
    ]
    said = yield from ask(task, "classify", prompts, n, sampling)
    return moments(said)[0]


# ---------------------------------------------------------------------- prompts


def _start(task: Task, past: History, k: int) -> tuple[Message, ...]:
    failed = [past.configuration(i) for i in range(len(past))] if past.best is None else []
    text = task.prompt(PROMPTS, "start", k=k, failed=failed)
    return (Message("user", text),)


def _sampler(task: Task, past: History, order: Sequence[int], target: str) -> tuple[Message, ...]:
    hyperparameters = task.shown.hyperparameters
    text = task.prompt(
        PROMPTS,
        "sample",
        target=target,
        ranges=any(values_of(hp) is None for hp in hyperparameters),
        numbers=any(values_of(hp) is None and not is_integer(hp) for hp in hyperparameters),
        examples=[(past.configuration(i), past.outcome(i)) for i in order],
    )
    return (Message("user", text),)


def _about(
    task: Task,
    question: str,
    proposals: Sequence[Proposal],
    past: History,
    examples: Sequence[Example],
    **more: Any,
) -> list[str]:
    """Return the same question about each candidate, with a common head and the candidate last."""
    head = task.prompt(PROMPTS, question, examples=examples, **more)
    ending = {"predict": "Performance:", "classify": "Classification:"}[question]
    return [f"{head}\n\nConfiguration: {past.text(x)}\n{ending}" for x in _configurations(proposals)]
