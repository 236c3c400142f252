"""The measurements of TPE in lockstep, beside Optuna driven by hand on the same runs."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from surrobench.benchmarks.registry import benchmark
from surrobench.benchmarks.yahpo.family import available
from surrobench.engine.loop import drive
from surrobench.engine.outcome import Outcome
from surrobench.plan.planning import plan
from surrobench.plan.run import Run
from surrobench.seeding import stream
from surrobench.space.hyperparameter import bounds_of, is_integer, is_log
from surrobench.suite.schema import Method, Suite

WHERE = "yahpo/lcbench/167168"


class Lockstep(NamedTuple):
    """Processor seconds of one trial.

    Attributes:
        ours: with everything, the surrogate included.
        theirs: of Optuna alone, without the surrogate.
        referred: the share of proposals that Optuna decided for the kernel.
    """

    ours: float
    theirs: float
    referred: float


def measure(runs: int, trials: int, by_hand: int) -> Lockstep | None:
    """Time so many runs, and some of the same runs by hand; None where the surrogate's data is not here.

    Both are timed by the processor's clock, the runs by hand before and after ours. The hand gets the losses
    that our runs saw for nothing, which is in its favour.

    Raises:
        AssertionError: a run by hand has other trials.
    """
    if "lcbench" not in available():
        return None
    suite = Suite(
        name="bench",
        benchmarks=[WHERE],
        trials=trials,
        seeds=runs,
        initial="none",
        control="tpe",
        optimizers={"tpe": Method()},
    )
    planned = plan(suite)
    drive(planned.only(list(planned)[:2]), lambda outcome: None)  # imports, and opens the surrogate
    optuna_by_hand(planned[0], np.zeros(12))
    outcomes: list[Outcome] = []
    gc.collect()
    start = time.process_time()
    timing = drive(planned, outcomes.append)
    ours = (time.process_time() - start) / (runs * trials)
    sample = outcomes[:: max(len(outcomes) // by_hand, 1)][:by_hand]
    start, checks = time.process_time(), []
    for outcome in sample:
        scenario = benchmark(WHERE).scenario
        losses = outcome.values[:, scenario.target_index] * scenario.objectives[scenario.target_index].sign
        checks.append(optuna_by_hand(outcome.run, losses))
    theirs = (time.process_time() - start) / (len(sample) * trials)
    for outcome, asked in zip(sample, checks, strict=True):
        expected = benchmark(WHERE).space.encode(asked)
        assert np.allclose(expected, outcome.configurations, rtol=0, atol=1e-12), "not the same search"
    return Lockstep(ours, theirs, timing.referred / timing.proposals)


def optuna_by_hand(run: Run, losses: Sequence[float] | np.ndarray) -> list[dict[str, float]]:
    """What Optuna asks for, given the losses in order."""
    import optuna
    from optuna.distributions import FloatDistribution, IntDistribution

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {}
    for hp in benchmark(WHERE).space.hyperparameters:
        kind = IntDistribution if is_integer(hp) else FloatDistribution
        space[hp.name] = kind(*bounds_of(hp), log=is_log(hp))
    rng = stream("optimizer", run.benchmark, run.optimizer, run.parameters, run.seed)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=int(rng.integers(2**32))))
    asked = []
    for loss in losses:
        trial = study.ask(space)
        asked.append(trial.params)
        study.tell(trial, float(loss))
    return asked
