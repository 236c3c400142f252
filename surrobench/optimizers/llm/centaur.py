"""centaur: CMA-ES, in whose place a language model that sees its state proposes some of the trials.

Ferreira et al., arXiv 2603.24647 (``centaur_backend.py`` of autoresearch-automl).

Published defaults: ratio 0.3, warm-up 10, the last 20 trials, the best 5, temperature 0.7. Differences,
each on purpose: the mean is shown, which the paper says and the code forgets; units are stated; of
categories, which are drawn at random in the source, CMA-ES's probabilities are shown; the space is shown
without the default configuration, a hidden warm start; numbers of configurations have three digits; a
hyperparameter left out makes a reply invalid instead of getting the default (the policy ``clip`` does
that); 2048 tokens, as ``karpathy-agent`` has, instead of the 16384 of later versions.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

from surrobench.errors import UsageError
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.cma_es import Drawn, Restarting, State
from surrobench.optimizers.llm.history import History
from surrobench.optimizers.llm.propose import propose, trial
from surrobench.protocol.requests import Evaluate, Evaluated, Message
from surrobench.space.hyperparameter import values_of

PROMPTS = "centaur"
Injection = Literal["published", "clipped", "untold"]


def centaur(
    task: Task,
    rng: Generator,
    *,
    ratio: float = 0.3,
    warmup: int = 10,
    history: int = 20,
    top: int = 5,
    injection: Injection = "published",
    sigma: float = 1 / 6,
    temperature: float = 0.7,
    max_tokens: int = 2048,
) -> Steps:
    """``cma-es``, sample by sample; on the model's turns its configuration replaces the sample.

    CMA-ES is that of ``cma_es``: initial design, margin, categories, restarts. Without a model's turn the
    trials are the same, and a model that repeats CMA-ES's own proposal changes nothing. The prompt is in the
    published order: task, space, CMA-ES's state (number of trials, sigma, mean, its own proposal, the best
    trials, matrix C), the last trials, the best one, the advice. Which trials are the model's: see
    ``is_models_turn``; a granted initial design counts among them, as the seeded default does in the source.

    What CMA-ES hears of a configuration of the model's (``Restarting.instead``) is ``injection``:

    - ``published``: its value, as if CMA-ES had drawn it, however far from the mean; a failed evaluation
      counts as the worst value seen (in the source 100, which is the same rank). After an invalid reply,
      CMA-ES's own sample, which was never evaluated, counts as failed, as in the source; there no trial is
      spent on the reply, here it goes by the suite's policy, and is wasted unless that mends it.
    - ``clipped``: its value, the step from the mean being clipped (injection, Hansen, arXiv 1110.4181; the
      bound of that paper on a change of sigma is not used). A failed or invalid one is not told.
    - ``untold``: nothing.

    What is not told counts towards no generation: CMA-ES waits for another sample.

    Args:
        task: the task.
        rng: seeds CMA-ES.
        ratio: share of the trials that are the model's, 0 to 1.
        warmup: trials before the model's first turn.
        history: how many of the last trials are shown.
        top: how many of the best trials are shown.
        injection: ``published``, ``clipped`` or ``untold``.
        sigma: CMA-ES's first step size.
        temperature: of the model.
        max_tokens: of a reply.

    Raises:
        UsageError: ``ratio`` is no share.
    """
    check_ratio("centaur", ratio)
    sampling = {"temperature": temperature, "max_tokens": max_tokens}
    past, trials = History(task), len(task.initial.losses)
    with task.library.running():
        strategy = Restarting(task, rng, sigma)
    while True:
        with task.library.running():
            drawn = strategy.draw()
        if not is_models_turn(trials, warmup, ratio):
            answer: Evaluated = yield Evaluate(drawn.x[None, :], source="cma-es")
            told, counts = drawn.told, True
        else:
            prompt = _prompt(task, past, trials, strategy.state(), drawn, history, top)
            proposal = yield from propose(task, past, (Message("user", prompt),), sampling)
            answer = yield trial(proposal)
            told, counts = _instead(strategy, drawn, answer, injection)
        if counts:
            with task.library.running():
                strategy.take(told, float(answer.losses[0]))
        past.add(answer)
        trials += 1


def is_models_turn(trials: int, warmup: int, ratio: float) -> bool:
    """Whether the model proposes the next trial, of a run that has had so many.

    The published rule: after the warm-up, every k-th, where k is 1 / ratio rounded to an integer. A ratio of
    0.3 is every third trial, the first of them number 12 of those counted from 0; 0.8 is every trial.
    """
    return ratio > 0 and trials >= warmup and trials % max(1, round(1 / ratio)) == 0


def check_ratio(method: str, ratio: float) -> None:
    """Check that a ratio is a share.

    Raises:
        UsageError: it is not.
    """
    if not 0 <= ratio <= 1:
        raise UsageError(f"{method}: 0 <= ratio <= 1 must hold, but got {ratio}.")


def _instead(strategy: Restarting, drawn: Drawn, answer: Evaluated, injection: Injection) -> tuple[Any, bool]:
    """What CMA-ES is told in the place of its sample, and whether it is told at all."""
    x, loss = answer.configurations[0], answer.losses[0]
    if injection == "published":
        invalid = np.isnan(x).all()
        return (drawn.told if invalid else strategy.instead(drawn, x)), True
    if injection == "clipped" and np.isfinite(loss):
        return strategy.instead(drawn, x, clip=True), True
    return None, False


def _prompt(
    task: Task, past: History, trials: int, state: State, drawn: Drawn, history: int, top: int
) -> str:
    view, space = task.shown, task.space

    centre = np.full(space.d, 0.5)
    centre[state.columns] = np.clip(state.mean, 0.0, 1.0)
    for j, q in state.probabilities.items():
        centre[j] = space.middles(j)[np.argmax(q)]
    names = [view.names[j] for j in state.columns]
    best = past.best
    return task.prompt(
        PROMPTS,
        "prompt",
        view=view,
        trials=trials,
        sigma=_digits(state.sigma),
        mean=json.dumps(dict(zip(names, map(_digits, state.mean), strict=True))) if names else "",
        centre=past.text(space.from_unit(centre[None, :])[0]),
        probabilities=_probabilities(task, state),
        own=past.text(drawn.x),
        leaders=[past.line(i) for i in past.best_first()[:top]],
        covariance=[
            (name, " ".join(f"{_digits(c):.4f}" for c in row))
            for name, row in zip(names, state.covariance, strict=True)
        ],
        lines=[past.line(i) for i in past.last(history)],
        best="" if best is None else past.line(best),
    )


def _probabilities(task: Task, state: State) -> str:
    """Of each category's values, by the names that are shown; empty where there is no category."""
    shown = {}
    for j, q in state.probabilities.items():
        values = values_of(task.shown.hyperparameters[j]) or []
        shown[task.shown.names[j]] = {str(v): _digits(p) for v, p in zip(values, q, strict=True)}
    return json.dumps(shown) if shown else ""


def _digits(number: float) -> float:
    return round(float(number), 4) + 0.0  # not -0.0
