"""Bayesian optimization with a Gaussian process: Snoek et al., NeurIPS 2012, as SMAC3 implements it."""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.ask_tell import AskTell, ask_tell
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.smac import Smac


def gp(task: Task, rng: Generator) -> Steps:
    """SMAC3's ``BlackBoxFacade`` with its defaults; scikit-learn's Gaussian process, no torch.

    Matern-5/2 kernel with a length scale per hyperparameter, times a Hamming kernel for categories, with
    noise; its hyperparameters are the maximum a posteriori of several starts. Expected improvement over 1,000
    random configurations, the best of which and the best trials start 10 local searches each; a proposal is
    random instead with probability 0.084; the process is fitted anew for every proposal. First comes a
    scrambled Sobol' design of 8 configurations per hyperparameter, but at most a quarter of the budget. See
    ``Smac`` for a granted initial design and for failed evaluations.

    Fitting took 0.5 s with 100 trials of 7 hyperparameters, 2.4 s with 200 and 8.7 s with 400, and grows with
    the cube from there. Nothing refuses a larger budget, but more than 300 trials are hours for each run.
    """

    def start() -> AskTell:
        from smac import BlackBoxFacade

        return Smac(task, rng, BlackBoxFacade)

    yield from ask_tell(task, "gp", start)
