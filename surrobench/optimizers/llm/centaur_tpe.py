"""centaur-tpe: ``centaur`` over TPE instead of CMA-ES, made for this package as a comparison.

It shows whether the state that is shared must be CMA-ES's, and whether a model that took TPE's place would do
as well.
"""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.tpe import tpe_study
from surrobench.optimizers.kernels.tpe_mixture import good_group
from surrobench.optimizers.llm.centaur import check_ratio, is_models_turn
from surrobench.optimizers.llm.history import History
from surrobench.optimizers.llm.propose import propose, trial
from surrobench.protocol.requests import Evaluate, Evaluated, Message
from surrobench.space.hyperparameter import Matrix

PROMPTS = "centaur-tpe"


def centaur_tpe(
    task: Task,
    rng: Generator,
    *,
    ratio: float = 0.3,
    warmup: int = 10,
    history: int = 20,
    top: int = 5,
    startup: int = 10,
    candidates: int = 24,
    temperature: float = 0.7,
    max_tokens: int = 2048,
) -> Steps:
    """Run ``tpe``, and let the model's configuration replace TPE's proposal on its turns.

    The turns are those of ``is_models_turn``.

    There is no such method in the literature. The turns, the prompt's order and the defaults are those of
    ``centaur``. The state is TPE's: its own proposal, and which trials are its good group. The densities have
    no short form, so they are not shown.

    The TPE part is that of ``tpe``. Without a model's turn the trials are the same. A model that repeats
    TPE's proposal changes nothing. Any other configuration becomes a trial of the study like TPE's own,
    because TPE has no step that it could distort. The replaced proposal ends as ``FAIL``, which TPE leaves
    out. A trial that failed or was invalid ends so too.

    Args:
        task: the task.
        rng: seeds TPE.
        ratio: the model's share of the trials, 0 to 1.
        warmup: the number of trials before the model's first turn.
        history: how many of the last trials are shown.
        top: how many of the best trials are shown at least. The good group is always shown.
        startup: the number of random trials before TPE's model.
        candidates: how many candidates TPE compares.
        temperature: the model's temperature.
        max_tokens: the most tokens of a reply.

    Raises:
        UsageError: ``ratio`` is no share.
    """
    check_ratio("centaur-tpe", ratio)
    sampling = {"temperature": temperature, "max_tokens": max_tokens}
    past, trials = History(task), len(task.initial.losses)
    with task.library.running():
        study = tpe_study(task, rng, startup=startup, candidates=candidates)
    while True:
        own = yield from study.ask()
        if is_models_turn(trials, warmup, ratio):
            prompt = _prompt(task, past, trials, own[0], history, top, startup)
            proposal = yield from propose(task, past, (Message("user", prompt),), sampling)
            answer: Evaluated = yield trial(proposal)
        else:
            answer = yield Evaluate(own, source="tpe")
        with task.library.running():
            study.tell(answer.configurations, answer.losses)
        past.add(answer)
        trials += 1


def rehearsed(
    task: Task,
    rng: Generator,
    *,
    history: int,
    top: int,
    startup: int,
    temperature: float,
    max_tokens: int,
    **others: Any,
) -> Steps:
    """Ask about a fixed proposal of TPE's, in the words of ``centaur_tpe``; see ``toy_task``."""
    del rng, others
    past = History(task)
    sampling = {"temperature": temperature, "max_tokens": max_tokens}
    while True:
        prompt = _prompt(task, past, len(past), task.default, history, top, min(startup, 4))
        proposal = yield from propose(task, past, (Message("user", prompt),), sampling)
        past.add((yield trial(proposal)))


def _prompt(task: Task, past: History, trials: int, own: Matrix, history: int, top: int, startup: int) -> str:
    ranking = past.best_first()
    random = len(ranking) < startup
    good = 0 if random else good_group(len(ranking))
    return task.prompt(
        PROMPTS,
        "prompt",
        trials=trials,
        random=random,
        startup=startup,
        good=good,
        observed=len(ranking),
        threshold=past.outcome(ranking[good - 1]) if good else "",
        own=past.text(own),
        leaders=[past.line(i) for i in ranking[: max(top, good)]],
        lines=[past.line(i) for i in past.last(history)],
        best=past.line(ranking[0]) if ranking else "",
    )
