"""What a trial of each optimizer costs: the method itself, and the engine and adapter around it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from surrobench.engine.loop import drive
from surrobench.engine.outcome import Outcome
from surrobench.errors import DataError
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.plan.planning import plan
from surrobench.suite.schema import Method, Suite

TABLE = "hpobench/mlp/australian"
WITH_FIDELITY = "yahpo/lcbench/167168"
SECONDS = 2.0
"""Aimed at for a method; a dear one takes longer, since it needs trials to begin with its model."""
TRIALS = (30, 100)
"""Of a run, at least and at most: in a shorter one most are a method's initial design."""
SEEDS = 20
"""At most: runs share the engine's calls, as they do in a study."""
WARM_UP = 12
"""Trials of a run before, in which libraries are imported and data is converted."""
SHARE, TRIAL = 0.10, 50e-6
"""Our part is small below this share of the library's time, or below as many seconds a trial."""


@dataclass(frozen=True)
class Overhead:
    """One optimizer's row.

    Attributes:
        trials: how many were measured.
        method: seconds a trial in the optimizer's library, or in its own code where it uses none.
        ours: seconds a trial in all else but the benchmark: engine and adapter.
        problem: why it was not measured.
    """

    name: str
    trials: int = 0
    method: float = 0.0
    ours: float = 0.0
    problem: str = ""

    @property
    def share(self) -> float | None:
        """Ours as a part of the method's; None where that takes no time."""
        return self.ours / self.method if self.method else None

    @property
    def small(self) -> bool:
        """Whether our part does not matter."""
        return self.ours < TRIAL or (self.share is not None and self.share < SHARE)


def measure(name: str, seconds: float = SECONDS) -> Overhead:
    """Run an optimizer on one benchmark, in this process, for about so many seconds."""
    entry = OPTIMIZERS[name]
    if entry.prompts:
        return Overhead(name, problem="needs a language model")
    if entry.reads:
        return Overhead(name, problem="replays a file")
    if entry.needs and not entry.available:
        return Overhead(name, problem=f"{entry.needs.module} is not installed")
    where = WITH_FIDELITY if entry.multi_fidelity else TABLE
    try:
        runs = plan(_suite(name, entry, where, seconds))
    except DataError as error:
        return Overhead(name, problem=error.message)
    drive(runs.only([replace(runs[0], trials=WARM_UP)]), lambda outcome: None)
    outcomes: list[Outcome] = []
    # Where the thinking counts as simulated time it is measured, too.
    timing = drive(runs.only(replace(run, overhead=True) for run in runs), outcomes.append)
    failed = [outcome.error for outcome in outcomes if outcome.state == "failed"]
    if failed:
        return Overhead(name, problem=failed[0])
    trials = sum(outcome.n for outcome in outcomes)
    method = timing.library or sum(float(outcome.overhead.sum()) for outcome in outcomes)
    ours = max(timing.busy - method - timing.benchmark, 0.0)
    return Overhead(name, trials, method / trials, ours / trials)


def _suite(name: str, entry: Optimizer, where: str, seconds: float) -> Suite:
    least, most = TRIALS
    trials = round(min(max(seconds / entry.seconds, least), most))
    seeds = round(min(max(seconds / (entry.seconds * trials), 1), SEEDS))
    return Suite(
        name="overhead",
        benchmarks=[where],
        trials=trials,
        seeds=seeds,
        control=name,
        optimizers={name: Method()},
    )
