"""llambo: Bayesian optimization whose warm start, candidate sampler and surrogate are language model calls.

LLAMBO, Liu et al., "Large Language Models to Enhance Bayesian Optimization", ICLR 2024, arXiv 2402.03921;
code tennisonliu/LLAMBO 196fe23 (``llambo/acquisition_function.py``, ``discriminative_sm.py``,
``generative_sm.py``, ``exp_bayesmark/run_bayesmark.py``). Its later port is ``llambo_optunahub``.

Differences, each on purpose:

- configurations are one line of JSON, with the digits and the parser of all methods here (published:
  ``## a: 3, b: 0.10 ##``, with the decimals of the lower bound); there is no system message, which some
  models' chat templates refuse;
- every kind of hyperparameter is shown, categorical and conditional ones too (published: numbers and
  ordinals); the ban on extremes and round values is left out where all are lists of values;
- p(good) is the share of replies that say 1, where the published surrogate reads it from the tokens'
  log-probabilities, which not every server gives; a candidate without a readable answer gets the others'
  average in both surrogates;
- the limits of s' are those of ``llambo_steps.limit``, and the ladder of alpha ends: at the limit itself;
- sigma is at least 1e-5 of the range observed (published: 1e-5, for a metric in (0, 1));
- the surrogate is not asked where one candidate is left, and up to 16 tokens (published: 8), since
  open models write one token per digit (one that thinks aloud needs more: the suite's ``sampling``);
- the zero-shot warm start is what replaces a missing initial design: the first configurations are asked
  for in one reply, invalid ones by the suite's policy (published: the best-formatted of 30 replies, and
  not in its end-to-end experiments). ``warm_start`` = k asks for k in any case, 0 for none;
- failed trials, undefined in the paper, are shown to the sampler as ``failed``, belong to class 0, and
  are no examples for a number. While nothing at all was observed, it goes on zero-shot.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator as Draws

from surrobench.llm.parse import Proposal, json_schema
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
"""What alpha becomes while the target is beyond what the metric can reach. The last one is 0.1 in the
published code, which never gets there; its port reads it as here."""
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

    Each trial: s' = ybest - alpha * range (mirrored where higher is better); each of K ``templates`` shows
    all trials in an order of its own and asks for ``candidates`` / K configurations that reach s', in up to
    ``rounds`` rounds until ``at_least`` are kept that are valid, new (8 decimals) and distinct. Of each
    candidate, the ``discriminative`` surrogate draws K * ``n_gens`` predictions y, whose mean and standard
    deviation give its expected improvement; the ``generative`` one draws as many classes, 1 for one of the
    best ``top_share``, whose mean is p(good). The highest wins.

    Published defaults: N = 10, K = 2, n_gens = 10, alpha = 0.1, sampler T = 0.8, top_p = 0.95, 500 tokens,
    surrogate T = 0.7, top_p = 0.95, top_share = 0.25, 5 configurations of warm start.

    The suite's policy for invalid replies, with several candidates: invalid ones are left out, whatever the
    policy (``clip`` mends them first). Where fewer than wanted are kept after the last round, it goes on with
    those; where all valid ones were evaluated before, with these (published: with the last round unfiltered
    if it has more than five, else an error). Where none is valid, ``waste`` and ``clip`` waste a trial on the
    last of them; ``retry:n`` asks for one configuration, showing the model its invalid reply up to n times.

    Raises:
        UsageError: a count below 1.
    """
    check(PROMPTS, candidates=candidates, templates=templates, n_gens=n_gens, rounds=rounds)
    sampler = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    asked = {"temperature": surrogate_temperature, "top_p": top_p, "max_tokens": surrogate_max_tokens}
    past = History(task)
    ranks: list[Vector] = []  # per trial: its place in the examples of each template

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
    """The target s' as prompts say it."""
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
    """At least one candidate; if it is invalid, it is the only one.

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
    """Expected improvement of each candidate, from predictions of its value."""
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
    """p(good) of each candidate: the share of classes that are 1."""
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
    """The same question about each candidate: a common head, the candidate last."""
    head = task.prompt(PROMPTS, question, examples=examples, **more)
    ending = {"predict": "Performance:", "classify": "Classification:"}[question]
    return [f"{head}\n\nConfiguration: {past.text(x)}\n{ending}" for x in _configurations(proposals)]
