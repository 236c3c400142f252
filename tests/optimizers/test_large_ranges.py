"""Nothing grows with the size of a range: an optimizer works on four billion integers as on a hundred."""

from __future__ import annotations

import tracemalloc

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.base import Task
from surrobench.optimizers.classical.cma_es import MOST_LEVELS
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace
from tests.optimizers.driving import drive, epochs

CAR = benchmark("hpobench/mlp/car")
HERE = [
    name for name, entry in OPTIMIZERS.items() if entry.prompts is entry.reads is None and entry.available
]
LIGHT = [name for name in HERE if name not in ("smac", "gp", "ngopt")]
LARGE = 4_600_000_000
MEGABYTES = 8.0


def task_on(space: SearchSpace, *, varies: bool) -> Task:
    nothing = Evaluated(np.empty((0, space.d)), np.empty(0))
    fidelities = (epochs(9),) if varies else ()
    return Task(space, CAR.objective, CAR.card, space.default, nothing, horizon=30, fidelities=fidelities)


def integers(low: int, high: int, *, log: bool, category: bool) -> SearchSpace:
    space = CS.ConfigurationSpace(seed=0)
    space.add(CS.Integer("n", (low, high), log=log), CS.Float("x", (0.0, 1.0)))
    if category:
        space.add(CS.Categorical("c", ["a", "b", "c"]))
    return SearchSpace(space)


def proposed(name: str, space: SearchSpace, n: int) -> list[int]:
    """The integers that an optimizer proposes first, all of them legal."""
    entry = OPTIMIZERS[name]
    task = task_on(space, varies=entry.multi_fidelity)
    steps = entry.function(task, stream("optimizer", name), **entry.resolve({}))
    trials = drive(steps, task, lambda X, at: np.nan_to_num(X).sum(axis=1), n)
    X = np.array([trial.x for trial in trials])
    assert space.legal(X).all()
    return [configuration["n"] for configuration in space.decode(X)]


@pytest.mark.parametrize("name", HERE)
def test_a_large_range_takes_no_more_memory_than_a_small_one(name: str) -> None:
    n = 12 if name in LIGHT else 4
    proposed(name, integers(1, 100, log=False, category=False), 3)  # libraries are imported
    for log, category in ((False, False), (True, False), (False, True)):
        space = integers(1, LARGE, log=log, category=category)
        tracemalloc.start()
        try:
            found = proposed(name, space, n)
            megabytes = tracemalloc.get_traced_memory()[1] / 1e6
        finally:
            tracemalloc.stop()
        assert megabytes < MEGABYTES
        assert len(set(found)) > 1 or name in ("grid", "latin-hypercube")


@given(
    name=st.sampled_from(LIGHT),
    low=st.integers(1, 10**6),
    size=st.integers(1, 2**40),
    log=st.booleans(),
    category=st.booleans(),
)
@example(name="cma-es", low=1, size=MOST_LEVELS - 1, log=True, category=False)
@example(name="cma-es", low=1, size=MOST_LEVELS, log=True, category=False)
@example(name="cma-es", low=1, size=2**40, log=False, category=True)
@settings(deadline=None, max_examples=60)
def test_every_size_of_a_range_gives_legal_integers(
    name: str, low: int, size: int, log: bool, category: bool
) -> None:
    space = integers(low, low + size, log=log, category=category)
    assert all(low <= value <= low + size for value in proposed(name, space, 12))
