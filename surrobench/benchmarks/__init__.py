"""The registry of benchmarks: ``family/scenario`` to the function that opens the scenario."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from surrobench.errors import UnknownName

if TYPE_CHECKING:
    from surrobench.benchmarks.base import Benchmark, Scenario

SCENARIOS = {
    "hpobench/mlp": "surrobench.benchmarks.tables:hpobench",
    "hpolib/fcnet": "surrobench.benchmarks.tables:hpolib",
    "nasbench201/cell": "surrobench.benchmarks.tables:nasbench201",
}


@cache
def scenario(key: str) -> Scenario:
    """The scenario called ``family/scenario``, opened once per process.

    Raises:
        UnknownName: there is no such scenario.
        DataError: its data is missing or damaged.
    """
    if key not in SCENARIOS:
        raise UnknownName("scenario", key, SCENARIOS)
    module, function = SCENARIOS[key].split(":")
    opened: Scenario = getattr(import_module(module), function)()
    return opened


def benchmark(id: str) -> Benchmark:  # noqa: A002 - it is what the field calls it
    """The benchmark called ``family/scenario/instance``.

    Example:
        >>> benchmark("hpobench/mlp/australian").objective.name
        'val_balanced_accuracy'

    Raises:
        UnknownName: there is no such benchmark; the message names the nearest.
    """
    from surrobench.benchmarks.base import Benchmark

    key, _, instance = id.rpartition("/")
    if key not in SCENARIOS:
        raise UnknownName("benchmark", id, known(), "List them with: surrobench list benchmarks")
    if instance not in scenario(key).instances:
        raise UnknownName("benchmark", id, known(), f"Known: {', '.join(scenario(key).instances)}.")
    return Benchmark(scenario(key), instance)


def known() -> list[str]:
    """The ids of all benchmarks."""
    return [f"{key}/{instance}" for key in SCENARIOS for instance in scenario(key).instances]


def expand(patterns: Iterable[str]) -> list[str]:
    """Ids and shell-style patterns (``hpobench/mlp/*``) to ids, in the order given, without repetition.

    Raises:
        UnknownName: a pattern matches no benchmark.
    """
    ids: dict[str, None] = {}
    for pattern in patterns:
        matches = fnmatch.filter(known(), pattern)
        if not matches:
            raise UnknownName("benchmark", pattern, known(), "List them with: surrobench list benchmarks")
        ids.update(dict.fromkeys(matches))
    return list(ids)
