"""SMAC3: Bayesian optimization with a random forest.

The source of the method is Hutter et al., LION 2011. The source of SMAC3 is Lindauer et al., JMLR 23, 2022.
The defaults are those of the library's ``HyperparameterOptimizationFacade``, which are not those of the first
paper.
"""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from surrobench.optimizers.ask_tell import AskTell, ask_tell
from surrobench.optimizers.base import Steps, Task
from surrobench.space.hyperparameter import Matrix

if TYPE_CHECKING:
    from ConfigSpace import Configuration
    from smac.facade.abstract_facade import AbstractFacade
    from smac.runhistory import TrialInfo
    from smac.scenario import Scenario


def smac(task: Task, rng: Generator) -> Steps:
    """Run SMAC3's ``HyperparameterOptimizationFacade`` with its defaults.

    The surrogate is a random forest of 10 trees on logarithms of the losses. Logarithmic expected improvement
    is computed for 10,000 random configurations. The best of these and the best trials start 10 local
    searches each. With probability 0.2 a proposal is random instead. The forest is trained anew after 8
    proposals. A scrambled Sobol' design comes first. It has 10 configurations per hyperparameter, but at most
    a quarter of the budget. See ``Smac`` for a granted initial design and for failed evaluations.
    """

    def start() -> AskTell:
        from smac import HyperparameterOptimizationFacade

        return Smac(task, rng, HyperparameterOptimizationFacade)

    yield from ask_tell(task, "smac", start)


class Smac:
    """This class offers one of SMAC's facades through ask and tell.

    It works on a copy of the benchmark's own ConfigSpace.

    An objective value is taken to be without noise (``deterministic``). A configuration is therefore never
    proposed twice, and a space with nothing left in it ends the run. The granted initial design is told as
    existing results. It takes the place of as many configurations of SMAC's own design. A failed evaluation
    is told as ``CRASHED`` with the worst loss seen in the run. Before any loss was observed, a failed
    evaluation is not told.

    SMAC 2.4.1 looks at no neighbour of a configuration with inactive hyperparameters. It takes an inactive
    one for changed, since NaN is unequal to itself, and skips configurations that differ in more than one
    hyperparameter. Its local search therefore does little in a space with conditions. That is the library's
    behaviour and is left as it is.
    """

    def __init__(self, task: Task, rng: Generator, facade: type[AbstractFacade]) -> None:
        from smac import Scenario
        from threadpoolctl import ThreadpoolController

        logging.getLogger("smac").setLevel(logging.CRITICAL)
        self._space = task.space
        self._configs = copy.deepcopy(task.space.config_space)  # SMAC seeds it
        self._threads = ThreadpoolController()
        self._worst = -np.inf
        self._failed: list[TrialInfo] = []
        granted = len(task.initial.losses)
        with tempfile.TemporaryDirectory() as folder:  # written to at the start only, see ``_tell``
            scenario = Scenario(
                self._configs,
                output_directory=Path(folder),
                deterministic=True,
                n_trials=granted + task.horizon,
                seed=int(rng.integers(2**32)),
            )
            self._facade = facade(
                scenario,
                model=_model(facade, scenario),
                acquisition_maximizer=_maximizer(facade, scenario),
                initial_design=_design(facade, scenario, granted),
                logging_level=False,
                overwrite=True,
            )
        self._asked = [self._info(x) for x in task.initial.configurations]
        self.tell(task.initial.configurations, task.initial.losses)

    def ask(self) -> Matrix:
        """Return the next configuration, shape (1, d), or (0, d) when SMAC finds none that is new."""
        from smac.main.exceptions import ConfigurationSpaceExhaustedException

        try:
            # One thread: more are slower with matrices so small, and may round differently. Where the local
            # search has looked at no neighbour, SMAC logs the mean of no times.
            one_thread = self._threads.limit(limits=1)
            with one_thread, warnings.catch_warnings(), np.errstate(invalid="ignore"):
                warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
                self._asked = [self._facade.ask()]
        except (StopIteration, ConfigurationSpaceExhaustedException):
            return np.empty((0, self._space.d))
        return self._vector(self._asked[0])[None, :]

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Tell SMAC the trials asked for last, and tell failed ones again when a worse loss is seen."""
        from smac.runhistory import StatusType

        for asked, x, loss in zip(self._asked, configurations, losses.tolist(), strict=True):
            # A table with gaps evaluates the nearest configuration that it has.
            moved = not np.array_equal(x, self._vector(asked), equal_nan=True)
            info = self._info(x) if moved else asked
            if np.isfinite(loss):
                self._tell(info, loss, StatusType.SUCCESS)
            else:
                self._failed.append(info)
            if loss > self._worst or (not np.isfinite(loss) and np.isfinite(self._worst)):
                self._worst = np.fmax(self._worst, loss)
                for failed in self._failed:
                    self._tell(failed, self._worst, StatusType.CRASHED)

    def _tell(self, info: TrialInfo, cost: float, status: Any) -> None:
        from smac.runhistory import TrialValue

        # With save=True SMAC would write the whole history to disk after every trial.
        self._facade.tell(info, TrialValue(cost, status=status), save=False)

    def _vector(self, info: TrialInfo) -> Matrix:
        # Values are snapped, because SMAC's design holds 0 for a constant, where ConfigSpace itself has 1.
        return np.asarray(self._space.snap(info.config.get_array()[None, :])[0])

    def _info(self, x: Matrix) -> TrialInfo:
        from ConfigSpace import Configuration
        from smac.runhistory import TrialInfo

        return TrialInfo(Configuration(self._configs, vector=x), seed=0)


def _design(facade: type[AbstractFacade], scenario: Scenario, granted: int) -> Any:
    """Return SMAC's own initial design, shortened by the number of granted configurations."""
    full = facade.get_initial_design(scenario)
    if granted == 0:
        return full
    kept: Any = facade.get_initial_design
    return kept(scenario, n_configs=max(full.meta["n_configs"] - granted, 0))


def _model(facade: type[AbstractFacade], scenario: Scenario) -> Any:
    """Return the surrogate, without two habits of SMAC's forest that change no prediction.

    These habits cost four fifths of the time. The forest hands every tree to a thread and sleeps 10 ms while
    it waits for them. Each tree makes room for 2^20 leaves, although a trial has at most one.
    """
    model: Any = facade.get_model(scenario)
    if hasattr(model, "_rf_opts"):
        model._rf_opts |= {"n_jobs": 1, "max_leaf_nodes": max(scenario.n_trials, 2)}
    return model


def _maximizer(facade: type[AbstractFacade], scenario: Scenario) -> Any:
    """Return the search for the best expected improvement, made independent of Python's hash seed.

    SMAC makes the starting points of its local searches unique by ``list(set(...))`` (since SMAC3's pull
    request 1244). The order of that list depends on the hash seed. Which random numbers a search gets depends
    on that order. The order has no meaning. The order of the points' vectors is as good, and is always the
    same.
    """
    maximizer: Any = facade.get_acquisition_maximizer(scenario)
    search = maximizer._local_search
    unordered = search._get_init_points_from_previous_configs

    def ordered(*args: Any) -> list[Configuration]:
        return sorted(unordered(*args), key=lambda point: point.get_array().tobytes())

    search._get_init_points_from_previous_configs = ordered
    return maximizer
