"""Bayesian optimization with a Gaussian process, as Optuna implements it; needs torch.

The source of the method is Snoek et al., NeurIPS 2012. The source of logarithmic expected improvement is
Ament et al., NeurIPS 2023.
"""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.ask_tell import AskTell, ask_tell
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.optuna_study import OptunaStudy


def optuna_gp(task: Task, rng: Generator, *, startup: int = 10) -> Steps:
    """Run Optuna's ``GPSampler`` with its defaults.

    The kernel is Matern-5/2 with a length scale per hyperparameter, and the noise is fitted. The first
    ``startup`` trials are random. Hyperparameters that depend on conditions are random in every trial. The
    granted initial design, ordinals and failed evaluations are treated as in ``tpe``. The time of a proposal
    grows with the cube of the trials, as for ``gp``.
    """

    def start() -> AskTell:
        from optuna.samplers import GPSampler

        seed = int(rng.integers(2**32))
        sampler = GPSampler(n_startup_trials=startup, seed=seed, warn_independent_sampling=False)
        return OptunaStudy(task, sampler)

    yield from ask_tell(task, "optuna-gp", start)
