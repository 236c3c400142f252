"""Tree-structured Parzen estimator: Bergstra et al., NeurIPS 2011, as Optuna implements it.

What Optuna really does is described by Watanabe, arXiv 2304.11127.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from surrobench.optimizers.ask_tell import ask_tell
from surrobench.optimizers.base import Steps, Task
from surrobench.space.hyperparameter import Matrix, bounds_of, is_integer, is_log, values_of
from surrobench.space.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial


def tpe(task: Task, rng: Generator, *, startup: int = 10, candidates: int = 24) -> Steps:
    """Optuna's ``TPESampler`` with its defaults.

    What Optuna 5.0 makes of arguments that are None by default, with one objective: ``multivariate`` is True,
    so hyperparameters that all finished trials have in common are proposed jointly, and those that depend on
    conditions one by one; ``gamma`` is ceil(n / 10), at most 25, of n finished trials; ``weights`` are 1 for
    the newest 25 trials and fall linearly to 1/n for the oldest; ``consider_prior`` and
    ``consider_magic_clip`` are True, ``prior_weight`` is 1, ``consider_endpoints`` is False. ``group`` is
    False, and ``constant_liar`` is True, which means nothing where one trial runs at a time.

    Ordinal hyperparameters are integers over their index, so their order is kept. The granted initial
    design is told as finished trials and counts towards the ``startup`` random ones, as in Optuna itself.
    A failed evaluation is told as ``FAIL``, which TPE leaves out of its model.
    """
    yield from _tpe(task, rng, "tpe", n_startup_trials=startup, n_ei_candidates=candidates)


def tpe_multivariate(task: Task, rng: Generator, *, startup: int = 10, candidates: int = 24) -> Steps:
    """``tpe`` with ``multivariate=True, group=True``: hyperparameters active together are proposed jointly.

    Optuna 5.0 is multivariate by default, so this differs from ``tpe`` only where there are conditions (and
    by its random stream, which is named after the method).
    """
    settings = {"multivariate": True, "group": True}
    yield from _tpe(
        task, rng, "tpe-multivariate", n_startup_trials=startup, n_ei_candidates=candidates, **settings
    )


def tpe_univariate(task: Task, rng: Generator, *, startup: int = 10, candidates: int = 24) -> Steps:
    """``tpe`` with ``multivariate=False``: each hyperparameter for itself, as in the paper of 2011.

    This was Optuna's default before 5.0, and is the TPE of most published comparisons.
    """
    yield from _tpe(
        task, rng, "tpe-univariate", n_startup_trials=startup, n_ei_candidates=candidates, multivariate=False
    )


def _tpe(task: Task, rng: Generator, source: str, **settings: Any) -> Steps:
    yield from ask_tell(task, source, lambda: tpe_study(task, rng, **settings))


def tpe_study(task: Task, rng: Generator, **settings: Any) -> OptunaStudy:
    """An Optuna study with TPE, told the granted initial design.

    Args:
        task: the task.
        rng: draws the sampler's seed.
        settings: of ``TPESampler``.
    """
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # group
        return OptunaStudy(task, TPESampler(seed=int(rng.integers(2**32)), **settings))


class OptunaStudy:
    """One in-memory Optuna study over a search space, conditions included, as ask and tell."""

    def __init__(self, task: Task, sampler: BaseSampler) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = task.space
        self._distributions = [_distribution(task.space, j) for j in range(task.space.d)]
        self._study = optuna.create_study(sampler=sampler)
        self._trial: Trial | None = None
        self._asked = np.empty((1, task.space.d))
        self.add(task.initial.configurations, task.initial.losses)

    def ask(self) -> Matrix:
        """Shape (1, d): the next trial's parameters, drawn one by one as conditions allow."""
        self._trial = self._study.ask()
        x = np.full(self._space.d, np.nan)
        for j, distribution in enumerate(self._distributions):
            if self._space.is_active(j, x):
                value = self._trial._suggest(self._space.names[j], distribution)
                x[j] = self._to_vector(j, value)
        self._asked = x[None, :]
        return self._asked

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Finish the trial that was asked for."""
        from optuna.trial import TrialState

        assert self._trial is not None, "tell follows ask"
        if not np.allclose(configurations, self._asked, rtol=0, atol=1e-9, equal_nan=True):
            # A table with gaps evaluated the nearest that it has: a trial of its own, instead of this one.
            self._study.tell(self._trial, state=TrialState.FAIL)
            self.add(configurations, losses)
        elif np.isfinite(losses[0]):
            self._study.tell(self._trial, float(losses[0]))
        else:
            self._study.tell(self._trial, state=TrialState.FAIL)

    def suggest(self) -> Matrix:
        """Shape (d,): what would be tried next; nothing is pending afterwards."""
        from optuna.trial import TrialState

        x: Matrix = self.ask()[0]
        assert self._trial is not None, "it was asked for"
        self._study.tell(self._trial, state=TrialState.FAIL)
        return x

    def add(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Trials that were not asked for here; those that failed or have no configuration are left out."""
        from optuna.trial import create_trial

        for x, loss in zip(configurations, losses, strict=True):
            if np.isfinite(loss):
                active = [j for j in range(self._space.d) if not np.isnan(x[j])]
                trial = create_trial(
                    params={self._space.names[j]: self._to_value(j, x[j]) for j in active},
                    distributions={self._space.names[j]: self._distributions[j] for j in active},
                    value=float(loss),
                )
                self._study.add_trial(trial)

    def _to_vector(self, j: int, value: float) -> float:
        hp: Any = self._space.hyperparameters[j]
        if values_of(hp) is not None:
            return float(self._space.origin[j] + value)
        return float(hp.to_vector(value))

    def _to_value(self, j: int, x: float) -> float | int:
        hp = self._space.hyperparameters[j]
        if values_of(hp) is not None:
            return round(float(x - self._space.origin[j]))
        value = hp.to_value(np.array([x]))[0]
        return int(value) if is_integer(hp) else float(value)


def _distribution(space: SearchSpace, j: int) -> BaseDistribution:
    """Optuna's counterpart of a hyperparameter; categories and ordinals stand for their index."""
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
