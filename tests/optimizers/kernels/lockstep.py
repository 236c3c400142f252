"""Spaces of every kind, and the two ways to drive TPE over them: all runs in lockstep, and Optuna itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np

from surrobench.optimizers.base import Task
from surrobench.optimizers.classical.tpe_study import LibraryStudy, LockstepStudy, Study
from surrobench.protocol.requests import Compute, Evaluated
from surrobench.space.search_space import SearchSpace

Loss = Callable[[np.ndarray], np.ndarray]
METHODS = {
    "tpe": {"multivariate": True, "group": False},
    "tpe-multivariate": {"multivariate": True, "group": True},
    "tpe-univariate": {"multivariate": False, "group": False},
}


def _space(*hyperparameters: Any, conditions: Sequence[Any] = ()) -> SearchSpace:
    space = CS.ConfigurationSpace()
    space.add(*hyperparameters)
    if conditions:
        space.add(*conditions)
    return SearchSpace(space)


def _conditional() -> SearchSpace:
    booster = CS.CategoricalHyperparameter("booster", ["tree", "linear", "dart"])
    drop = CS.UniformFloatHyperparameter("drop", 0.1, 0.5)
    skip = CS.UniformIntegerHyperparameter("skip", 1, 5)
    kind = CS.CategoricalHyperparameter("kind", ["a", "b"])
    return _space(
        CS.UniformFloatHyperparameter("subsample", 0.1, 1.0),
        CS.UniformFloatHyperparameter("eta", 1e-4, 1.0, log=True),
        CS.UniformIntegerHyperparameter("rounds", 3, 2000, log=True),
        booster,
        drop,
        skip,
        kind,
        conditions=[
            CS.EqualsCondition(drop, booster, "dart"),
            CS.GreaterThanCondition(skip, drop, 0.2),
            CS.InCondition(kind, booster, ["tree", "dart"]),
        ],
    )


def _mixed() -> SearchSpace:
    return _space(
        CS.UniformFloatHyperparameter("rate", 1e-4, 1e-1, log=True),
        CS.UniformIntegerHyperparameter("batch", 16, 512, log=True),
        CS.OrdinalHyperparameter("width", [16, 32, 64, 128]),
        CS.CategoricalHyperparameter("activation", ["relu", "tanh", "gelu"]),
        CS.UniformFloatHyperparameter("dropout", 0.0, 1.0),
        CS.UniformIntegerHyperparameter("layers", 1, 5),
        CS.CategoricalHyperparameter("norm", ["batch", "layer"]),
        CS.Constant("epochs", 10),
    )


SPACES: dict[str, Callable[[], SearchSpace]] = {
    "float": lambda: _space(*(CS.UniformFloatHyperparameter(f"x{i}", -5.0, 3.0 + i) for i in range(4))),
    "log": lambda: _space(
        *(CS.UniformFloatHyperparameter(f"x{i}", 1e-5, 10.0**i, log=True) for i in range(3))
    ),
    "int": lambda: _space(
        CS.UniformIntegerHyperparameter("few", 1, 7),
        CS.UniformIntegerHyperparameter("some", -20, 30),
        CS.UniformIntegerHyperparameter("many", 0, 5000),
    ),
    "log-int": lambda: _space(
        CS.UniformIntegerHyperparameter("few", 1, 16, log=True),
        CS.UniformIntegerHyperparameter("some", 4, 512, log=True),
        CS.UniformIntegerHyperparameter("many", 1, 100_000, log=True),
    ),
    "ordinal": lambda: _space(
        *(CS.OrdinalHyperparameter(f"o{i}", list(range(3 + 4 * i))) for i in range(4)),
    ),
    "categorical": lambda: _space(
        *(CS.CategoricalHyperparameter(f"c{i}", [f"v{k}" for k in range(2 + i)]) for i in range(5)),
    ),
    "mixed": _mixed,
    "conditional": _conditional,
}


def loss_of(space: SearchSpace, seed: int = 0) -> Loss:
    """A smooth function of the unit cube, another for each seed."""
    best = np.random.default_rng(seed).random(space.d)

    def loss(X: np.ndarray) -> np.ndarray:
        return np.nansum((space.to_unit(X) - best) ** 2, axis=1)

    return loss


def task_on(space: SearchSpace, initial: Evaluated | None = None) -> Task:
    nothing = Evaluated(np.empty((0, space.d)), np.empty(0))
    return Task(space, None, None, space.default, initial or nothing, 100)  # type: ignore[arg-type]


def together(studies: Sequence[Study], losses: Sequence[Loss], n: int) -> np.ndarray:
    """Shape (runs, n, d): the trials of studies that advance together, whose kernels are called for all."""
    rows = []
    for _ in range(n):
        asked = ask_all(studies)
        for study, loss, x in zip(studies, losses, asked, strict=True):
            study.tell(x[None, :], loss(x[None, :]))
        rows.append(asked)
    return np.stack(rows, axis=1)


def ask_all(studies: Sequence[Study]) -> np.ndarray:
    steps = {i: study.ask() for i, study in enumerate(studies)}
    answers: dict[int, Any] = dict.fromkeys(steps)
    asked: dict[int, np.ndarray] = {}
    while steps:
        waiting: dict[int, Compute] = {}
        for i, step in list(steps.items()):
            try:
                waiting[i] = step.send(answers[i])
            except StopIteration as end:
                asked[i] = end.value[0]
                del steps[i]
        for kernel in {request.kernel for request in waiting.values()}:
            mine = [i for i, request in waiting.items() if request.kernel is kernel]
            answers.update(zip(mine, kernel([waiting[i].state for i in mine]), strict=True))
    return np.stack([asked[i] for i in range(len(studies))])


def lockstep(task: Task, method: str, seed: int, candidates: int = 24, startup: int = 10) -> LockstepStudy:
    return LockstepStudy(task, seed, startup=startup, candidates=candidates, **METHODS[method])


def optuna_itself(
    task: Task, method: str, seed: int, candidates: int = 24, startup: int = 10
) -> LibraryStudy:
    return LibraryStudy(task, seed, startup=startup, candidates=candidates, **METHODS[method])
