"""Rehearse a method with a model on a small fixed task, to know the text that it would send.

A prompt is made of templates and of what Python writes into them: how a range is described, how a trial is
shown, what is said of an invalid reply. The hash of the templates knows the former only. The digits of a
rehearsal know both.

Nothing here depends on a library's numbers. The replies are fixed, and so are the trials: whatever a method
asks to be evaluated, the next configuration of a list is what was evaluated, as on a table with few rows. A
method that shows a library's state has a generator function ``rehearsed`` in its module, which asks in the
same words about a state that is written down there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from ConfigSpace import ConfigurationSpace, EqualsCondition
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from surrobench.benchmarks.base import Objective, TaskCard
from surrobench.llm.prompt_variants import Variant, shown_card
from surrobench.optimizers.base import Stopwatch, Task, computed
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.llm.history import History
from surrobench.protocol.requests import Complete, Completion, Evaluate, Evaluated, Waste
from surrobench.seeding import canonical, content_hash, plain
from surrobench.space.search_space import SearchSpace

MOST_TRIALS, MOST_REQUESTS = 14, 8
"""How far a rehearsal goes: far enough for the first prompts of every kind that any method has."""

_VALUES: dict[str, list[Any]] = {
    "learning_rate": [0.01, 0.0031, 0.00042, 0.05, 0.077, 0.0123, 0.0099],
    "momentum": [0.9, 0.99, 0.991, 0.95, 0.5],
    "decay": [0.0, 0.25, 0.8125],
    "layers": [2, 1, 5, 3],
    "batch_size": [64, 16, 256, 32],
    "booster": ["gbtree", "gblinear", "dart"],
    "rate_drop": [0.1, 0.3, 0.7],
}
_LOSSES = [-0.81, -0.8456, -0.7, -0.90123, -0.66, -0.87]
_INVALID = "I would try a learning rate of 7."


@cache
def toy_space() -> SearchSpace:
    """Return a space with a hyperparameter of every kind, one of them conditional."""
    space = ConfigurationSpace()
    booster = CategoricalHyperparameter("booster", ["gbtree", "gblinear", "dart"])
    drop = UniformFloatHyperparameter("rate_drop", 0.0, 1.0)
    space.add(
        UniformFloatHyperparameter("learning_rate", 1e-4, 0.1, log=True),
        UniformFloatHyperparameter("momentum", 0.5, 0.999),
        UniformFloatHyperparameter("decay", 0.0, 1.0),
        UniformIntegerHyperparameter("layers", 1, 5),
        OrdinalHyperparameter("batch_size", [16, 32, 64, 128, 256]),
        booster,
        drop,
        Constant("epochs", 10),
        EqualsCondition(drop, booster, "dart"),
    )
    return SearchSpace(space)


def toy_task(
    variant: Variant, invalid: str, prompts: Mapping[str, str] | None = None, rules: int | None = None
) -> Task:
    """Return the fixed task, with two granted trials of which one failed.

    Args:
        variant: how much prompts show.
        invalid: what to do with an invalid reply.
        prompts: the user's templates.
        rules: how values are written; by default, as now.
    """
    space = toy_space()
    card = TaskCard("a neural network", "adult (id 1590)", "classification", 48_842, 14, 2, "accuracy", False)
    more = {} if rules is None else {"text_rules": rules}
    return Task(
        space,
        Objective("accuracy", minimize=False, label="accuracy"),
        shown_card(card, variant),
        space.default,
        Evaluated(_configurations(2), np.array([_LOSSES[0], np.nan])),
        horizon=30,
        invalid=invalid,
        variant=variant,
        prompts=prompts or {},
        **more,  # type: ignore[arg-type]
    )


def _configurations(n: int, first: int = 0) -> Any:
    """Return the configurations of the fixed list from number ``first`` on, shape (n, d)."""
    columns: dict[str, list[Any]] = {
        name: [values[i % len(values)] for i in range(first, first + n)] for name, values in _VALUES.items()
    }
    columns["rate_drop"] = [
        drop if booster == "dart" else None
        for drop, booster in zip(columns["rate_drop"], columns["booster"], strict=True)
    ]
    return toy_space().from_columns({**columns, "epochs": [10] * n})


class Rehearsed(NamedTuple):
    """What a rehearsal shows.

    Attributes:
        digits: of all that the method sends to a model.
        sampling: the sampling parameters that are the same in all its requests.
    """

    digits: str
    sampling: Mapping[str, Any]


def rehearse(entry: Optimizer, parameters: Mapping[str, Any], task: Task) -> Rehearsed:
    """Rehearse a method.

    An optimizer of the user's is not rehearsed, since nobody knows what it does. Its source is known, and the
    digits are those of the text that it can get from this package.

    Args:
        entry: the registry entry of the method.
        parameters: all of them.
        task: see ``toy_task``.
    """
    if entry.user_defined:
        past = History(task)
        past.add(Evaluated(_configurations(3, len(past)), np.array(_LOSSES[:3])))
        return Rehearsed(content_hash([task.shown.abouts, [past.line(i) for i in range(len(past))]]), {})
    requests = list(_requests(entry, parameters, task))
    of_all = [set(map(canonical, plain(request.sampling).items())) for request in requests]
    common = set.intersection(*of_all) if of_all else set()
    sampling = dict(json.loads(pair) for pair in sorted(common))
    return Rehearsed(content_hash([plain(_body(request)) for request in requests]), sampling)


def _body(request: Complete) -> dict[str, Any]:
    """Return what of a request a model sees."""
    schema = json.dumps(request.schema)  # the order of its keys is that of a constrained reply
    messages = [list(message) for message in request.messages]
    return {"messages": messages, "n": request.n, "schema": schema, "sampling": dict(request.sampling)}


class _NoLibrary(Stopwatch):
    """Ends a rehearsal where the method would use an optional library, which is heavy."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Raise an error instead."""
        raise RuntimeError("a rehearsal uses no optional library")
        yield


def _requests(entry: Optimizer, parameters: Mapping[str, Any], task: Task) -> Iterator[Complete]:
    """Yield the requests of a method on the fixed task."""
    if entry.then is not None:  # who goes on afterwards changes no prompt, but may need a heavy library
        parameters = {**parameters, entry.then: "random", f"{entry.then}_parameters": None}
    if entry.needs is not None:
        task = replace(task, library=_NoLibrary())
    module = import_module(f"surrobench.optimizers.{entry.target.partition(':')[0]}")
    function = getattr(module, "rehearsed", entry.function)
    steps = computed(function(task, np.random.default_rng(0), **parameters))
    trials, requests = len(task.initial.losses), 0
    answer: Any = None
    while trials < MOST_TRIALS and requests < MOST_REQUESTS:
        try:
            request: Any = steps.send(answer)
        except Exception:  # StopIteration, or an error of the method: the run itself will say so
            break
        if isinstance(request, Complete | list | tuple):
            batch = [request] if isinstance(request, Complete) else request
            yield from batch
            answers = [_replies(part, task, requests + i, trials) for i, part in enumerate(batch)]
            answer, requests = answers[0] if isinstance(request, Complete) else answers, requests + len(batch)
        else:
            n = len(request.configurations) if isinstance(request, Evaluate) else 1
            losses = np.array([_LOSSES[i % len(_LOSSES)] for i in range(trials, trials + n)])
            X = _configurations(n, trials)
            if isinstance(request, Waste):
                X, losses = np.full_like(X, np.nan), np.array([np.nan])
            answer, trials = Evaluated(X, losses), trials + n
    steps.close()


def _replies(request: Complete, task: Task, asked: int, trials: int) -> list[Completion]:
    """Return fixed replies: the very first is invalid, so that what is said about it is rehearsed, too."""
    texts = {"predict": "0.8", "classify": "1", "reflect": ""}
    replies = []
    for sample in range(request.n):
        text = texts.get(request.purpose)
        if text is None:
            X = _configurations(request.configurations, trials + asked + sample)
            proposed = [task.shown.write(x) for x in X]
            text = json.dumps(proposed if request.configurations > 1 else proposed[0])
            text = _INVALID if asked == sample == 0 else text
        replies.append(Completion(text, "stop", 0, 0, 0.0, where=f"{asked}.{request.attempt}.{sample}"))
    return replies
