"""Keep the registry of benchmarks: ``family/scenario`` to the function that opens the scenario.

Some families have whatever scenarios a data folder holds. Such a family is registered as a whole, by its
module.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrobench.errors import DataError, UnknownName, UsageError, in_one_line
from surrobench.foreign_code import Raised, foreign_code
from surrobench.source_files import sources_of_module

if TYPE_CHECKING:
    from surrobench.benchmarks.base import Benchmark, Scenario

SCENARIOS = {
    "hpobench/mlp": "surrobench.benchmarks.tables:hpobench",
    "hpolib/fcnet": "surrobench.benchmarks.tables:hpolib",
    "nasbench201/cell": "surrobench.benchmarks.tables:nasbench201",
}

FAMILIES = {
    "yahpo": "surrobench.benchmarks.yahpo.family",
    "table": "surrobench.benchmarks.user_table",
    "fitted": "surrobench.benchmarks.fitted.scenario",
}
"""Family -> its module, which has two functions.

``available()`` returns the names of the scenarios whose data is here. It is quick, and never raises an error.
``open_scenario(name)`` opens a scenario.
"""
OF_USERS = ("table:", "fitted:")
"""What a path of a user's own benchmark begins with.

The family of that name has two more functions. ``ids(reference)`` puts what the path names into the cache and
returns its ids. ``resolve(reference, folder)`` makes the path absolute.
"""


GROUP = "surrobench.benchmarks"
"""Entry points of this group offer benchmarks.

An entry point is either ``FAMILY/SCENARIO`` -> a function that opens the scenario, or ``FAMILY`` -> a module
with ``available()`` and ``open_scenario(name)``, like the modules in ``FAMILIES``.
"""


@cache  # every run of a study calls this
def offered() -> dict[str, EntryPoint]:
    """Return the scenarios and families that installed packages offer, by name; nothing is imported."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    return {name: point for name, point in points.items() if name not in {*SCENARIOS, *FAMILIES}}


def scenarios() -> list[str]:
    """Return ``family/scenario`` of all scenarios whose data is here."""
    found = [f"{family}/{name}" for family in _whole() for name in _family(family).available()]
    return [*SCENARIOS, *(name for name in offered() if "/" in name), *found]


def _whole() -> list[str]:
    """Return the families that are registered as a whole."""
    return [*FAMILIES, *(name for name in offered() if "/" not in name)]


def _family(family: str) -> Any:
    return import_module(FAMILIES[family]) if family in FAMILIES else _loaded(offered()[family])


def _loaded(point: EntryPoint) -> Any:
    try:
        with foreign_code():
            return point.load()
    except Raised as raised:
        why = in_one_line(raised.error)
        raise DataError(
            f"The benchmarks {point.name!r} of {point.value} cannot be imported: {why}.",
            "Upgrade that package, or uninstall it.",
        ) from None


@cache
def source_digits(key: str) -> str | None:
    """Return the digits of the source files behind a package's scenario; None for a scenario that is ours.

    They are part of a run's identity, since a package that is installed in place can be edited.
    """
    point = offered().get(key) or offered().get(key.partition("/")[0])
    sources = None if point is None else sources_of_module(point.module)
    return None if sources is None else sources.digits


@cache
def scenario(key: str) -> Scenario:
    """Return the scenario called ``family/scenario``, which is opened once per process.

    Raises:
        UnknownName: there is no such scenario.
        DataError: the data of the scenario is missing or damaged.
    """
    family, _, name = key.partition("/")
    if key in (others := offered()):
        made: Scenario = _loaded(others[key])()
        return made
    if family in _whole():
        member: Scenario = _family(family).open_scenario(name)
        return member
    if key not in SCENARIOS:
        raise UnknownName("scenario", key, scenarios())
    module, function = SCENARIOS[key].split(":")
    opened: Scenario = getattr(import_module(module), function)()
    return opened


def benchmark(id: str) -> Benchmark:  # noqa: A002 - it is what the field calls it
    """Return the benchmark called ``family/scenario/instance``, or ``table:FILE`` for a user's own table.

    Example:
        >>> benchmark("hpobench/mlp/australian").objective.name
        'val_balanced_accuracy'

    Raises:
        UnknownName: there is no such benchmark; the message names the nearest one.
        DataError: the benchmark's data is missing or damaged; the message says what would help.
    """
    from surrobench.benchmarks.base import Benchmark

    if id.startswith(OF_USERS):
        found = expand([id])
        if len(found) > 1:
            names = ", ".join(name.rpartition("/")[2] for name in found)
            raise UsageError(f"{id} has several instances.", f"Add one of them: {id}/NAME, of {names}.")
        id = found[0]  # noqa: A001
    key, _, instance = id.rpartition("/")
    if key not in {*SCENARIOS, *offered()} and key.partition("/")[0] not in _whole():
        raise UnknownName("benchmark", id, known(), "List them with: surrobench list benchmarks")
    if instance not in scenario(key).instances:
        mine = [f"{key}/{name}" for name in scenario(key).instances]
        raise UnknownName("benchmark", id, mine, f"Known: {', '.join(scenario(key).instances)}.")
    return Benchmark(scenario(key), instance)


def located(pattern: str, folder: Path | None) -> str:
    """Return an id or pattern; the path of a user's own benchmark becomes absolute."""
    if not pattern.startswith(OF_USERS):
        return pattern
    return str(_family(pattern.partition(":")[0]).resolve(pattern, folder))


def known() -> list[str]:
    """Return the ids of all benchmarks whose data is here."""
    return [f"{key}/{instance}" for key in scenarios() for instance in scenario(key).instances]


def expand(patterns: Iterable[str]) -> list[str]:
    """Turn ids, patterns (``hpobench/mlp/*``) and ``table:FILE`` into ids, each once, in this order.

    Raises:
        UnknownName: a pattern matches no benchmark.
        DataError: a pattern would match, but the data of its scenario is not here.
    """
    ids: dict[str, None] = {}
    for pattern in patterns:
        if pattern.startswith(OF_USERS):
            ids.update(dict.fromkeys(_family(pattern.partition(":")[0]).ids(pattern)))
            continue
        family, _, rest = pattern.partition("/")
        # A family's patterns must not depend on the state of another's data.
        mine = [key for key in scenarios() if family not in _families() or key.startswith(f"{family}/")]
        here = [f"{key}/{instance}" for key in mine for instance in scenario(key).instances]
        matches = [pattern] if pattern in here else fnmatch.filter(here, pattern)
        if not matches and family in _whole():
            # raises an error that says what is missing
            benchmark(pattern) if "/" in rest else scenario(pattern)
        if not matches:
            raise UnknownName("benchmark", pattern, known(), "List them with: surrobench list benchmarks")
        ids.update(dict.fromkeys(matches))
    return list(ids)


def _families() -> set[str]:
    return {key.partition("/")[0] for key in {*SCENARIOS, *FAMILIES, *offered()}}
