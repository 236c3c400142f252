"""Build a run's generator: its task, its initial design, its optimizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np

from surrobench.benchmarks.base import Benchmark
from surrobench.benchmarks.configuration_file import granted_start
from surrobench.llm.prompt_variants import shown_card
from surrobench.llm.prompts import TEXT_RULES
from surrobench.optimizers.base import Stopwatch, Task
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.llm.control import controlled
from surrobench.plan.run import Run
from surrobench.protocol.budget import UNLIMITED
from surrobench.protocol.requests import (
    Evaluate,
    Evaluated,
    Matrix,
    Request,
)
from surrobench.seeding import stream


def program(
    run: Run, where: Benchmark, entry: Optimizer, library: Stopwatch, answers: Counter[str]
) -> Generator[Request, Any, None]:
    """A run from its first trial to its last: the granted initial design, then the optimizer.

    A slot control stands in for the language model where the run names one.
    """
    initial = nothing(where)
    if run.initial != "none":
        initial = yield Evaluate(initial_design(run, where), source="initial")
    task = task_of(run, where, initial, library, answers)
    if entry.user_defined and not entry.knows_horizon(run.parameters):
        # It says that it does not look at the budget, so its trials cannot depend on it.
        task = replace(task, horizon=UNLIMITED)
    name, parameters = entry.stream(run.optimizer, run.parameters)
    rng = stream("optimizer", run.benchmark, name, parameters, run.seed)
    steps = entry.function(task, rng, **run.arguments)
    if run.control:
        draws = stream("control", run.benchmark, run.optimizer, parameters, run.control, run.seed)
        steps = controlled(steps, task, run.control, draws)
    yield from steps


def nothing(where: Benchmark) -> Evaluated:
    """No trial at all."""
    return Evaluated(np.empty((0, where.space.d)), np.empty(0))


def task_of(
    run: Run, where: Benchmark, initial: Evaluated, library: Stopwatch, answers: Counter[str]
) -> Task:
    """What the optimizer of a run is told."""
    return Task(
        space=where.space,
        objective=where.objective,
        card=shown_card(where.card, run.shows),
        default=where.scenario.default(),
        initial=initial,
        horizon=run.budget.horizon - len(initial.losses),
        invalid=run.invalid,
        variant=run.shows,
        prompts=run.prompts,
        text_rules=run.text_rules if run.model else TEXT_RULES,
        answers=answers,
        library=library,
        fidelities=where.scenario.fidelities,
        workers=run.workers,
        benchmark=run.benchmark,
        seed=run.seed,
    )


def initial_design(run: Run, where: Benchmark) -> Matrix:
    """Shape (k, d): what every method of the study starts from; see ``Suite.initial``."""
    if run.initial == "default":
        return where.scenario.default()[None, :]
    kind, _, size = run.initial.rpartition(":")
    if kind == "file":
        return granted_start(run.given[size], where, run.seed)
    rng = stream("initial", run.benchmark, run.seed, run.initial)
    if kind == "random":
        return where.space.sample(int(size), rng)
    from scipy.stats import qmc

    sequence = qmc.Sobol(where.space.d, scramble=True, rng=rng)
    k = int(size)
    return where.space.from_unit(sequence.random_base2(max(k - 1, 0).bit_length())[:k])
