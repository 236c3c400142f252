"""centaur: CMA-ES, in whose place a language model that sees its state proposes some of the trials.

The source is Ferreira et al., arXiv 2603.24647 (``centaur_backend.py`` of autoresearch-automl). The published
defaults are ratio 0.3, warm-up 10, the last 20 trials, the best 5, and temperature 0.7. The prompt is in the
published order: task, space, CMA-ES's state (number of trials, sigma, mean, its own proposal, the best
trials, matrix C), the last trials, the best one, the advice. A granted initial design counts among the
trials, as the seeded default does in the source.

These differences are on purpose:

- The mean is shown. The paper says so, and the code forgets it.
- Units are stated.
- CMA-ES's probabilities of categories are shown. The source draws categories at random.
- The space is shown without the default configuration, which is a hidden warm start.
- Numbers of configurations have few digits, see ``llm.shown_values``.
- A hyperparameter that is left out makes a reply invalid instead of getting the default. The policy ``clip``
  gives it the default.
- A reply has 2048 tokens, as in ``karpathy-agent``, instead of the 16384 of later versions.
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
    """Run ``cma-es`` sample by sample, and let the model's configuration replace the sample on its turns.

    The CMA-ES part is that of ``cma_es``: initial design, margin, categories and restarts. Without a model's
    turn the trials are the same. A model that repeats CMA-ES's own proposal changes nothing.
    ``is_models_turn`` says which trials are the model's. A granted initial design counts among the trials.

    The argument ``injection`` decides what CMA-ES is told of a configuration of the model
    (``Restarting.instead``):

    - ``published``: CMA-ES is told the configuration's value, as if it had drawn the configuration, however
      far from the mean. A failed evaluation counts as the worst value seen. In the source it counts as 100,
      which is the same rank. After an invalid reply, CMA-ES's own sample counts as failed, as in the source,
      although it was never evaluated. The source spends no trial on the reply. Here the suite's policy
      applies, and the trial is wasted unless the policy mends the reply.
    - ``clipped``: CMA-ES is told the value, and the step from the mean is clipped (injection, Hansen, arXiv
      1110.4181). The bound of that paper on a change of sigma is not used. A failed or invalid configuration
      is not told.
    - ``untold``: CMA-ES is told nothing.

    A configuration that is not told counts towards no generation, and CMA-ES waits for another sample.

    Args:
        task: the task.
        rng: seeds CMA-ES.
        ratio: the model's share of the trials, 0 to 1.
        warmup: the number of trials before the model's first turn.
        history: how many of the last trials are shown.
        top: how many of the best trials are shown.
        injection: ``published``, ``clipped`` or ``untold``.
        sigma: CMA-ES's first step size.
        temperature: the model's temperature.
        max_tokens: the most tokens of a reply.

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


def rehearsed(
    task: Task,
    rng: Generator,
    *,
    history: int,
    top: int,
    temperature: float,
    max_tokens: int,
    **others: Any,
) -> Steps:
    """Ask about a fixed state of CMA-ES, in the words of ``centaur``; see ``toy_task``."""
    del rng, others
    categorical = task.space.is_categorical
    numeric = np.flatnonzero(~categorical & (task.space.levels != 1))
    of_three = np.flatnonzero(categorical & (task.space.levels == 3))
    n, probabilities = len(numeric), {int(j): np.array([0.5, 0.3, 0.2]) for j in of_three}
    state = State(numeric, np.linspace(0.2, 0.7, n), 0.12345, np.eye(n) + 0.05, probabilities)
    past = History(task)
    drawn = Drawn(task.default, np.zeros(n), None)
    sampling = {"temperature": temperature, "max_tokens": max_tokens}
    while True:
        prompt = _prompt(task, past, len(past), state, drawn, history, top)
        proposal = yield from propose(task, past, (Message("user", prompt),), sampling)
        past.add((yield trial(proposal)))


def is_models_turn(trials: int, warmup: int, ratio: float) -> bool:
    """Return whether the model proposes the next trial of a run that has had ``trials`` trials.

    This is the published rule. After the warm-up, every k-th trial is the model's, where k is 1 / ratio
    rounded to an integer. A ratio of 0.3 gives every third trial. The first of them is number 12, counted
    from 0. A ratio of 0.8 gives every trial.
    """
    return ratio > 0 and trials >= warmup and trials % max(1, round(1 / ratio)) == 0


def check_ratio(method: str, ratio: float) -> None:
    """Check that a ratio is a share.

    Raises:
        UsageError: the ratio is no share.
    """
    if not 0 <= ratio <= 1:
        raise UsageError(f"{method}: 0 <= ratio <= 1 must hold, but got {ratio}.")


def _instead(strategy: Restarting, drawn: Drawn, answer: Evaluated, injection: Injection) -> tuple[Any, bool]:
    """Return what CMA-ES is told in the place of its sample, and whether it is told at all."""
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
    """Return the probabilities of each category's values, by the names that are shown.

    The text is empty where there is no category.
    """
    shown = {}
    for j, q in state.probabilities.items():
        values = values_of(task.shown.hyperparameters[j]) or []
        shown[task.shown.names[j]] = {str(v): _digits(p) for v, p in zip(values, q, strict=True)}
    return json.dumps(shown) if shown else ""


def _digits(number: float) -> float:
    return round(float(number), 4) + 0.0  # not -0.0
