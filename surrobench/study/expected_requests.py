"""Find out what the runs of a study will ask their model for, before the model's server is probed."""

from __future__ import annotations

from collections.abc import Iterable

from surrobench.llm.probe import kind_of, kinds
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.llm.schemas import json_schema
from surrobench.plan.plan import Plan
from surrobench.plan.run import Run
from surrobench.protocol.requests import Complete, Message
from surrobench.study.cost_estimate import rehearse

TRIALS = 8
"""How many trials of a run are rehearsed. Every method has asked all that it asks by then."""


def expected_requests(runs: Iterable[Run], plan: Plan) -> list[Complete]:
    """Return one request of each kind that some runs will send.

    Each method is driven once for each kind of search space, with random configurations as replies. Methods
    of the user are not: they might do anything, and are run under supervision only. They are expected to ask
    for a configuration.

    Args:
        runs: those that ask one model.
        plan: the plan that they are of.
    """
    found: list[Complete] = []
    rehearsed = set()
    for run in runs:
        space = plan.benchmarks[run.benchmark].space
        plain = Complete((Message("user", ""),), "propose", schema=json_schema(ShownSpace(space)))
        method = (run.optimizer, repr(run.parameters), run.variant, kind_of(plain))
        if method in rehearsed:
            continue
        rehearsed.add(method)
        found.append(plain)
        if not plan.optimizers[run.optimizer].user_defined:
            rehearse(run, plan, most=TRIALS, asks=found.append)
    return kinds(found)
