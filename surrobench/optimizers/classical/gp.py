"""Bayesian optimization with a Gaussian process: Snoek et al., NeurIPS 2012, as SMAC3 implements it."""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.ask_tell import AskTell, ask_tell
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.smac import Smac


def gp(task: Task, rng: Generator) -> Steps:
    """Run SMAC3's ``BlackBoxFacade`` with its defaults.

    It uses scikit-learn's Gaussian process and needs no torch. The kernel is Matern-5/2 with a length scale
    per hyperparameter, times a Hamming kernel for categories, with noise. The kernel's hyperparameters are
    the maximum a posteriori of several starts.

    Expected improvement is computed for 1,000 random configurations. The best of these and the best trials
    start 10 local searches each. With probability 0.084 a proposal is random instead. The process is fitted
    anew for every proposal. A scrambled Sobol' design comes first. It has 8 configurations per
    hyperparameter, but at most a quarter of the budget. See ``Smac`` for a granted initial design and for
    failed evaluations.

    For 7 hyperparameters, fitting took 0.5 s with 100 trials, 2.4 s with 200 and 8.7 s with 400. From there
    it grows with the cube of the trials. No check refuses a larger budget, but more than 300 trials take
    hours for each run.
    """

    def start() -> AskTell:
        from smac import BlackBoxFacade

        return Smac(task, rng, BlackBoxFacade)

    yield from ask_tell(task, "gp", start)
