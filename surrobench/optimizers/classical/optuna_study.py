"""Drive an Optuna study over a search space, one trial at a time and with conditions honoured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from surrobench.optimizers.base import Task
from surrobench.space.hyperparameter import Hyperparameter, Matrix, bounds_of, is_integer, is_log, values_of
from surrobench.space.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial


class OptunaStudy:
    """This class offers one in-memory Optuna study over a search space through ask and tell.

    Hyperparameters are suggested one by one. A hyperparameter whose conditions do not hold is not suggested.
    Categories and ordinals stand for their index. Granted trials are told as finished ones. Failed trials are
    told as ``FAIL``.
    """

    def __init__(self, task: Task, sampler: BaseSampler) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = task.space
        self._distributions = [_distribution(task.space, j) for j in range(task.space.d)]
        self._study = optuna.create_study(sampler=sampler)
        # A sampler that has visited everything stops its study, which Optuna refuses outside of ``optimize``.
        self._study.stop = self._stop  # type: ignore[method-assign]
        self._stopped = False
        self._trial: Trial | None = None
        self._asked = np.empty((1, task.space.d))
        self.add(task.initial.configurations, task.initial.losses)

    def ask(self) -> Matrix:
        """Return the next configuration, shape (1, d), or (0, d) when the sampler has ended the study."""
        if self._stopped:
            return np.empty((0, self._space.d))
        self._trial = self._study.ask()
        x = np.full(self._space.d, np.nan)
        for j, distribution in enumerate(self._distributions):
            if self._space.is_active(j, x):
                value = self._trial._suggest(self._space.names[j], distribution)
                x[j] = to_vector(self._space.hyperparameters[j], self._space.origin[j], np.array([value]))[0]
        self._asked = x[None, :]
        return self._asked

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Finish the trial that was asked for."""
        from optuna.trial import TrialState

        assert self._trial is not None, "tell follows ask"
        if not np.allclose(configurations, self._asked, rtol=0, atol=1e-9, equal_nan=True):
            # A table with gaps evaluated its nearest configuration. That is another trial, instead of this.
            self._study.tell(self._trial, state=TrialState.FAIL)
            self.add(configurations, losses)
        elif np.isfinite(losses[0]):
            self._study.tell(self._trial, float(losses[0]))
        else:
            self._study.tell(self._trial, state=TrialState.FAIL)

    def abandon(self) -> None:
        """End the trial that was asked for without a value."""
        from optuna.trial import TrialState

        assert self._trial is not None, "it was asked for"
        self._study.tell(self._trial, state=TrialState.FAIL)

    def add(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Add trials that were not asked for here, except those that failed or have no configuration."""
        from optuna.trial import create_trial

        for x, loss in zip(configurations, losses, strict=True):
            if np.isfinite(loss):
                active = [j for j in range(self._space.d) if not np.isnan(x[j])]
                trial = create_trial(
                    params={self._space.names[j]: to_value(self._space, j, x[j]) for j in active},
                    distributions={self._space.names[j]: self._distributions[j] for j in active},
                    value=float(loss),
                )
                self._study.add_trial(trial)

    def _stop(self) -> None:
        self._stopped = True


def to_vector(hp: Hyperparameter, origin: float, values: NDArray[Any]) -> Matrix:
    """Return Optuna's values of a hyperparameter in the vector encoding, shape (m,).

    Args:
        hp: the hyperparameter.
        origin: the vector encoding of its first value.
        values: numbers, or the indices of categories and ordinals.
    """
    if values_of(hp) is not None:
        return np.asarray(origin + values, dtype=np.float64)
    ranged: Any = hp
    return np.asarray(ranged.to_vector(values), dtype=np.float64)


def to_value(space: SearchSpace, j: int, x: float) -> float | int:
    """Return a value of column ``j`` in the vector encoding as Optuna's value."""
    hp = space.hyperparameters[j]
    if values_of(hp) is not None:
        return round(float(x - space.origin[j]))
    value = hp.to_value(np.array([x]))[0]
    return int(value) if is_integer(hp) else float(value)


def _distribution(space: SearchSpace, j: int) -> BaseDistribution:
    """Return Optuna's counterpart of a hyperparameter; categories and ordinals stand for their index."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    hp = space.hyperparameters[j]
    if space.is_categorical[j]:
        return CategoricalDistribution(range(int(space.levels[j])))
    if values_of(hp) is not None:
        return IntDistribution(0, int(space.levels[j]) - 1)
    low, high = bounds_of(hp)
    if is_integer(hp):
        return IntDistribution(int(low), int(high), log=is_log(hp))
    return FloatDistribution(low, high, log=is_log(hp))
