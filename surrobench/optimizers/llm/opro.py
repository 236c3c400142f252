"""opro: a language model proposes from a list of the best trials so far, sorted by value.

The method is optimization by prompting (Yang et al., ICLR 2024, arXiv 2309.03409). It follows
``opro/optimization/optimize_linear_regression.py`` of google-deepmind/opro, adapted from two integers to
search spaces.
"""

from __future__ import annotations

from collections.abc import Generator as Generates
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from numpy.random import Generator

from surrobench.llm.proposal import Proposal
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.llm.history import History
from surrobench.optimizers.llm.propose import propose_repeatedly, trial
from surrobench.protocol.requests import Evaluate, Message, Request

PROMPTS = "opro"
Order = Literal["sorted", "chronological"]


def opro(
    task: Task,
    rng: Generator,
    *,
    per_step: int = 8,
    pairs: int = 20,
    start: int = 5,
    order: Order = "sorted",
    temperature: float = 1.0,
    max_tokens: int = 1024,
) -> Steps:
    """Run ``start`` random trials, then steps of ``per_step`` replies to one prompt, evaluated one by one.

    The prompt lists the ``pairs`` best distinct pairs of configuration and value, the worst first and the
    best last. Then it asks for a configuration that is different from all and better. The published defaults
    are 5 random starting points, 20 pairs, 8 replies a step, temperature 1.0 and 1024 tokens. Granted trials
    count as starting points. As published, a configuration that occurs twice within a step is evaluated once.
    The other reply is in the journal, and belongs to no trial. As published too, a configuration that an
    earlier step evaluated is evaluated again.

    These differences are on purpose:

    - The space is shown with types, ranges and scales, and replies are JSON. A pair in brackets has no names.
    - Every trial is counted, and a reply that is no configuration goes by the suite's policy. The published
      code drops it, which is a free retry with fewer trials in that step.
    - Failed trials, which the paper does not have, are listed apart, the newest ``pairs`` of them.
    - Numbers are written as everywhere in this package, with few digits (``llm.shown_values``, ``History``).
      The published code writes integers.
    - Proposals are not rounded to what is written, except to the values that exist.

    ``order = "chronological"`` lists the same pairs in the order they were tried. Until there are more than
    ``pairs``, the list only grows, so that a server's prefix cache serves all but the newest. A sorted list
    changes wherever a new value belongs.

    The last step asks for ``per_step`` replies even where fewer trials are left.
    """
    sampling = {"temperature": temperature, "max_tokens": max_tokens}
    past = History(task)
    if (missing := start - len(task.initial.losses)) > 0:
        past.add((yield Evaluate(task.space.sample(missing, rng), source="random")))
    head = task.prompt(PROMPTS, "head", order=order)
    while True:
        messages = (Message("user", _prompt(task, past, head, pairs, order)),)
        for proposal in (yield from _step(task, past, messages, sampling, per_step)):
            past.add((yield trial(proposal)))


def opro_1(
    task: Task,
    rng: Generator,
    *,
    pairs: int = 20,
    start: int = 5,
    order: Order = "sorted",
    temperature: float = 1.0,
    max_tokens: int = 1024,
) -> Steps:
    """Run ``opro`` with one reply a step, so that every proposal sees the value of the one before it."""
    yield from opro(
        task,
        rng,
        per_step=1,
        pairs=pairs,
        start=start,
        order=order,
        temperature=temperature,
        max_tokens=max_tokens,
    )


def _prompt(task: Task, past: History, head: str, pairs: int, order: Order) -> str:
    worst_first = shown_pairs(past, pairs)[::-1]
    listed = worst_first if order == "sorted" else sorted(worst_first)
    failed = _distinct(
        past.configuration(i) for i in reversed(range(len(past))) if past.outcome(i) == "failed"
    )
    lines = [task.prompt(PROMPTS, "pair", **past.shown(i)) + "\n" for i in listed]
    question = task.prompt(PROMPTS, "question", failed=failed[:pairs][::-1])
    return "\n".join([head, *lines, question])


def shown_pairs(past: History, most: int) -> list[int]:
    """Return the best trials, best first, at most ``most`` of them.

    Each pair of configuration and value occurs once, as it is written.
    """
    first = _distinct(past.best_first(), key=lambda i: (past.configuration(i), past.outcome(i)))
    return first[:most]


def _distinct(items: Iterable[Any], key: Any = None) -> list[Any]:
    """Return the items in order, the first of those with equal keys."""
    seen: dict[Any, Any] = {}
    for item in items:
        seen.setdefault(key(item) if key else item, item)
    return list(seen.values())


def _step(
    task: Task, past: History, messages: tuple[Message, ...], sampling: Mapping[str, Any], n: int
) -> Generates[Request, Any, list[Proposal]]:
    """Return the proposals of one step, in the order of the replies.

    Each configuration occurs once. All invalid replies are kept.
    """
    proposals = yield from propose_repeatedly(task, past, messages, sampling, n)
    return _distinct(
        proposals, key=lambda p: id(p) if p.configuration is None else past.text(p.configuration)
    )
