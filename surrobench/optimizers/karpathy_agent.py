"""karpathy-agent: a language model sees the space and the history and proposes the next configuration.

The fixed-space HPO agent of Ferreira et al., arXiv 2603.24647 (``karpathy_agent_hps_backend.py`` of
autoresearch-automl), after Karpathy's autoresearch. One chat per trial, no memory but the history shown.
"""

from __future__ import annotations

import json
from collections import deque

import numpy as np
from numpy.random import Generator

from surrobench.llm.prompts import number, template
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.propose import propose
from surrobench.requests import Evaluate, Evaluated, Message, Waste
from surrobench.space import Matrix

PROMPTS = "karpathy-agent"


def karpathy_agent(
    task: Task, rng: Generator, *, history: int = 20, temperature: float = 0.7, max_tokens: int = 2048
) -> Steps:
    """One proposal per trial: space, the last ``history`` trials in order, the best one, the question.

    Published defaults: temperature 0.7, 2048 tokens, the last 20 trials. The prompt is append-only until the
    history is full, so that a server's prefix cache serves all but the newest trial. Differences, each on
    purpose: the space is shown without the default configuration (the published prompt prints it, a hidden
    warm start); the incumbent is repeated only when it has left the history shown; numbers have three digits;
    a reply that is no configuration goes by the suite's policy instead of a uniform random draw. ``clip`` is
    the published rule for values out of range and missing ones.
    """
    del rng  # all its randomness is the model's
    sampling = {"temperature": temperature, "max_tokens": max_tokens}
    head = template(PROMPTS, "head").render(card=task.card, hyperparameters=task.space.hyperparameters)
    lines: deque[str] = deque(maxlen=history)
    best_loss, best_line = np.inf, ""

    def remember(x: Matrix, loss: float) -> None:
        nonlocal best_loss, best_line
        configuration = {name: number(value) for name, value in task.space.decode(x)[0].items()}
        outcome = f"{task.objective.sign * loss:.4g}" if np.isfinite(loss) else "failed"
        text = json.dumps(configuration)
        lines.append(template(PROMPTS, "trial").render(configuration=text, outcome=outcome))
        if loss < best_loss:
            best_loss, best_line = loss, lines[-1]

    for x, loss in zip(task.initial.configurations, task.initial.losses, strict=True):
        remember(x, loss)
    while True:
        best = best_line if best_line and best_line not in lines else ""
        question = template(PROMPTS, "question").render(best=best)
        prompt = "\n".join([head, *lines, "", question])
        proposal = yield from propose(task, (Message("user", prompt),), sampling)
        if proposal.configuration is None:
            yield Waste(f"{proposal.defect}: {proposal.detail}")
            continue
        X = proposal.configuration[None, :]
        answer: Evaluated = yield Evaluate(X, source="llm", repairs=proposal.repairs)
        remember(answer.configurations[0], float(answer.losses[0]))
