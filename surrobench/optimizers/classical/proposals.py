"""Evaluate configurations that somebody's method proposed, as they were recorded.

This is no optimizer. It lets the past proposals of a commercial model be compared with methods that run here.
"""

from __future__ import annotations

import json

from numpy.random import Generator

from surrobench.benchmarks.configuration_file import configuration_file
from surrobench.errors import UsageError
from surrobench.llm.parse import parse_configuration
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.requests import Completion, Evaluate, Waste


def proposals(task: Task, rng: Generator, *, file: str = "", of: str = "") -> Steps:
    """Evaluate the configurations that a file holds for this benchmark and seed, in their order.

    A repeated configuration is evaluated again. A number between two values of a grid goes to the nearest
    (repair ``snapped:NAME``). An entry that is no configuration of the space costs its trial.

    Args:
        task: the task.
        rng: unused.
        file: the file, see ``surrobench.benchmarks.configuration_file``.
        of: the method whose configurations are read, where the file's column ``method`` has several.
    """
    for values in configuration_file(file).configurations(task.benchmark, task.seed, of):
        try:
            # Compare to six digits, because files print rounded numbers that the grid has in full.
            yield Evaluate(task.space.encode([values]), source="recorded")
            continue
        except UsageError:
            told = Completion(json.dumps(values), "stop", 0, 0, 0.0)
        proposal = parse_configuration(told, ShownSpace(task.space), clip=False, default=task.default)
        if proposal.configuration is None:
            yield Waste(f"{proposal.defect}: {proposal.detail}", source="recorded")
        else:
            yield Evaluate(proposal.configuration[None, :], source="recorded", repairs=proposal.repairs)
