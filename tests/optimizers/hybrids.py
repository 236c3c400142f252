"""Drives methods in which a language model and an optimizer take turns, with a model that is a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np

from surrobench.benchmarks import benchmark
from surrobench.benchmarks.base import Objective, TaskCard
from surrobench.llm.view import shown_card
from surrobench.optimizers import OPTIMIZERS
from surrobench.optimizers.base import Steps, Task
from surrobench.requests import Complete, Completion, Evaluate, Evaluated, Waste
from surrobench.runs import Run
from surrobench.space import Matrix, SearchSpace

Says = Callable[[Complete], Any]
"""A model: its reply as text, as a configuration (d,), or as text and finish reason."""

INVALID = [
    ("I am not sure.", "stop", "unparsable"),
    ("{}", "stop", "missing"),
    ('{"widht": 16}', "stop", "unknown-name"),
    ('{"width": 99999}', "stop", "out-of-range"),
    ('{"width": ', "length", "truncated"),
    ("", "refusal", "refused"),
]
"""Replies that are no configuration of hpobench/mlp/car, with their finish reason and the defect."""


class Turn(NamedTuple):
    """One trial: who proposed what, the model's last prompt if it was asked, and what came of it."""

    source: str
    x: Matrix
    loss: float
    prompt: str
    request: Any


def task_of(where: str = "hpobench/mlp/car", **more: Any) -> Task:
    """The task of a benchmark, or of the made-up spaces ``continuous``, ``mixed``."""
    if where in MADE_UP:
        space, objective = MADE_UP[where](), Objective("loss", True, "loss")
        card = TaskCard("boosting", "made up", "regression", 100, 3, None, "loss", True)
        default = space.default
    else:
        at = benchmark(where)
        space, objective, card, default = at.space, at.objective, at.card, at.scenario.default()
    card = shown_card(card, more.get("variant", "full"))  # as the engine does
    initial = more.pop("initial", Evaluated(np.empty((0, space.d)), np.empty(0)))
    return Task(space, objective, card, default, initial, more.pop("horizon", 100), **more)


def loss_of(where: str, task: Task) -> Callable[[Matrix], Matrix]:
    if where in MADE_UP:
        return lambda X: np.nansum((task.space.to_unit(X) - 0.3) ** 2, axis=1)
    at = benchmark(where)
    return lambda X: at.objective.sign * at.evaluate(X)[at.objective.name]


def continuous() -> SearchSpace:
    return SearchSpace(CS.ConfigurationSpace({f"x{j}": (0.0, 1.0) for j in range(4)}))


def mixed() -> SearchSpace:
    """Every kind of hyperparameter, two of them conditional, one of these on the other."""
    config_space = CS.ConfigurationSpace()
    booster = CS.CategoricalHyperparameter("booster", ["tree", "linear", "dart"])
    drop = CS.UniformFloatHyperparameter("drop", 0.1, 0.5)
    skip = CS.UniformIntegerHyperparameter("skip", 1, 5)
    config_space.add(
        CS.UniformFloatHyperparameter("subsample", 0.1, 1.0),
        CS.UniformFloatHyperparameter("eta", 1e-4, 1.0, log=True),
        CS.UniformIntegerHyperparameter("depth", 1, 15),
        CS.UniformIntegerHyperparameter("rounds", 3, 2000, log=True),
        CS.OrdinalHyperparameter("batch", [16, 32, 64, 128], meta={"log": True}),
        CS.Constant("threads", 4),
        booster,
        drop,
        skip,
    )
    config_space.add(CS.EqualsCondition(drop, booster, "dart"), CS.GreaterThanCondition(skip, drop, 0.2))
    return SearchSpace(config_space)


MADE_UP: dict[str, Callable[[], SearchSpace]] = {"continuous": continuous, "mixed": mixed}


def exactly(space: SearchSpace, x: Matrix) -> str:
    """A configuration as JSON with all digits, so that it is read back as it is."""
    return json.dumps(space.decode(x)[0])


def randomly(task: Task, seed: int = 0) -> Says:
    """A model that answers with draws from the prior."""
    rng = np.random.default_rng(seed)

    def says(request: Complete) -> str:
        drawn = [task.shown.write(task.space.sample(1, rng)[0]) for _ in range(request.configurations)]
        return json.dumps(drawn if request.configurations > 1 else drawn[0])

    return says


def play(
    program: Steps,
    task: Task,
    loss: Callable[[Matrix], Matrix],
    n: int,
    says: Says,
    fails: Callable[[int, str], bool] = lambda i, source: False,
) -> list[Turn]:
    """The first n trials; ``fails`` tells by number and source which evaluations observe nothing."""
    turns: list[Turn] = []
    answer, prompt = None, ""
    while len(turns) < n:
        request = program.send(answer)
        if isinstance(request, Complete):
            prompt = request.messages[0].content
            said = says(request)
            text, finish = said if isinstance(said, tuple) else (said, "stop")
            if isinstance(text, np.ndarray):
                text = exactly(task.space, text)
            answer = [Completion(text, finish, 10, 5, 0.1, where=f"{len(turns)}.{request.attempt}.0")]
            continue
        if isinstance(request, Waste):
            answer = Evaluated(np.full((1, task.space.d), np.nan), np.array([np.nan]))
        else:
            assert isinstance(request, Evaluate)
            assert len(request.configurations) == 1
            assert task.space.legal(request.configurations).all()
            losses = np.array(loss(request.configurations), dtype=float)
            if fails(len(turns), request.source):
                losses[:] = np.nan
            answer = Evaluated(request.configurations, losses)
        turns.append(Turn(request.source, answer.configurations[0], float(answer.losses[0]), prompt, request))
        prompt = ""
    program.close()
    return turns


def engine_run(name: str, where: str, control: str, trials: int, **parameters: Any) -> Run:
    """A run of the engine with a slot control in the model's place."""
    return Run(
        id=f"{name}-{where}-{control}",
        benchmark=where,
        method=name,
        optimizer=name,
        parameters=OPTIMIZERS[name].resolve(parameters),
        model=f"control:{control}",
        seed=0,
        trials=trials,
        equivalents=float(trials),
        initial="default",
        noise="seeded",
        invalid="waste",
        workers=1,
    )
