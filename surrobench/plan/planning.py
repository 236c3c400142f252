"""Make the plan of a suite: the one place where names become things.

Processes that get runs as plain data resolve their names once more, by ``resolved``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from surrobench.benchmarks.base import Benchmark
from surrobench.benchmarks.configuration_file import configuration_file, granted_start
from surrobench.benchmarks.registry import benchmark, expand
from surrobench.errors import SuiteError, UsageError
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.llm.control import LIBRARIES
from surrobench.optimizers.registry import optimizer, require
from surrobench.plan.identity import identified
from surrobench.plan.plan import Plan, PlannedSuite
from surrobench.plan.run import Run
from surrobench.suite.limits import MOST_RUNS
from surrobench.suite.schema import Suite
from surrobench.suite.selection import Selection
from surrobench.system import installed_versions


def plan(
    suite: Suite,
    part: Selection | None = None,
    known: Plan | None = None,
    text_rules: int | None = None,
) -> Plan:
    """Plan all runs of a suite, or of a part of it, in the order benchmark, method, seed.

    Args:
        suite: the whole suite.
        part: which part of it; None for all.
        known: another plan of the same suite; names that it has resolved are not resolved again.
        text_rules: the rules of writing and reading that the study was begun with, see ``llm.prompts``. By
            default, those of the known plan, or else the present ones.

    Raises:
        UsageError: an unknown benchmark, optimizer or parameter, one method under two labels, or a method or
            prompt variant that a benchmark has no use for; a benchmark without anything to search; or the
            suite is only listed.
        DataError: the data of a benchmark is missing.
        MissingLibrary: an optional library that a method needs is not installed.
    """
    if suite.planned:
        raise SuiteError(f"Suite {suite.name!r} cannot be run yet: {suite.planned}")
    part = part or Selection()
    narrowed = part.of(suite)
    origin = _origin(suite, part, known)
    if text_rules is not None:
        origin = replace(origin, text_rules=text_rules)
    for label, method in narrowed.optimizers.items():
        require(method.method or label, origin.methods[label], method.parameters)
    opened = dict(known.benchmarks) if known else {}
    ids = narrowed.benchmark_ids()
    _check_number(narrowed, len(ids))
    benchmarks = {name: opened.get(name) or benchmark(name) for name in ids}
    runs: list[Run] = []
    for where in benchmarks.values():
        _check_searchable(where)
        for label in narrowed.optimizers:
            runs += _runs(narrowed, where, label, origin)
    _check_distinct(runs)
    entries = {label: origin.methods[label] for label in narrowed.optimizers}
    optimizers = {_name(narrowed, label, entry): entry for label, entry in entries.items()}
    _check_files(runs, benchmarks, optimizers)
    return Plan(tuple(runs), benchmarks, optimizers, origin)


def _check_number(suite: Suite, benchmarks: int) -> None:
    """Refuse more runs than a machine holds, before any is made.

    Raises:
        SuiteError: there are.
    """
    methods = suite.optimizers.values()
    runs = benchmarks * sum(len(suite.askings(one)) * (one.seeds or suite.seeds) for one in methods)
    if runs > MOST_RUNS:
        raise SuiteError(
            f"Suite {suite.name!r} would have {runs:,} runs, and {MOST_RUNS:,} is the limit.",
            "Ask for fewer seeds, methods or benchmarks, or divide the study.",
        )


def _origin(suite: Suite, part: Selection, known: Plan | None) -> PlannedSuite:
    """Resolve what a whole suite names, or take it from another plan of the suite."""
    if known is not None and known.origin is not None:
        return replace(known.origin, suite=suite, part=part)
    methods = {label: optimizer(method.method or label) for label, method in suite.optimizers.items()}
    here, missing = suite.present()
    complete = not missing or suite.missing == "skip"
    return PlannedSuite(suite, part, methods, frozenset(expand(here)), complete)


def resolved(runs: Sequence[Run]) -> Plan:
    """Return a plan of the plain data of runs, as a worker gets them.

    Raises:
        UsageError: see ``check_unedited``.
    """
    check_unedited(runs)
    return Plan(
        tuple(runs),
        {name: benchmark(name) for name in dict.fromkeys(run.benchmark for run in runs)},
        {name: optimizer(name) for name in dict.fromkeys(run.optimizer for run in runs)},
    )


def check_unedited(runs: Sequence[Run]) -> None:
    """Check that the user's files are what they were when some runs were planned.

    Raises:
        UsageError: a file is not.
    """
    for name, file, version in {(run.optimizer, run.file, run.file_version) for run in runs if run.file}:
        if optimizer(f"{file}:{name.rpartition(':')[2]}").version != version:
            raise UsageError(f"{file} was edited while its study ran.", "Repeat the command.")
    for digits, file in {item for run in runs for item in run.given.items()}:
        if configuration_file(file).digits != digits:
            raise UsageError(f"{file} was edited while its study ran.", "Repeat the command.")


def _runs(suite: Suite, where: Benchmark, label: str, origin: PlannedSuite) -> Iterator[Run]:
    """Yield the runs of one method on one benchmark.

    The suite is what is planned of the origin's.

    Raises:
        SuiteError: the benchmark lacks what the method needs.
    """
    entry = origin.methods[label]
    if entry.multi_fidelity and not where.scenario.fidelities:
        raise SuiteError(
            f"optimizers.{label} varies a fidelity, and {where.id} has none.",
            "Leave one of them out: yahpo/* have fidelities.",
        )
    method = suite.optimizers[label]
    for model, variant in suite.askings(method):
        if variant == "misleading" and where.space.d == 1:
            # It would see what "full" shows, and a study of the two would find no difference.
            raise SuiteError(
                f"Nothing on {where.id} can mislead {label}: it has one hyperparameter, "
                "and so no names to permute.",
                f'Leave out {where.id}, or the variant "misleading".',
            )
        run = _run(suite, where.id, label, entry, model, variant)
        others = (*where.scenario.libraries, *(LIBRARIES if run.control == "tpe" else ()))
        versions = entry.library_versions(run.parameters) | installed_versions(others)
        run = replace(run, versions=versions, text_rules=origin.text_rules if model else run.text_rules)
        asked = suite.models[model] if model and run.asks_model else None
        yield from identified(run, where.scenario, entry, asked, range(method.seeds or suite.seeds))


def _check_searchable(where: Benchmark) -> None:
    """Check that a benchmark has something to search, so that no method has to find out.

    Raises:
        SuiteError: it has not.
    """
    if (where.space.levels == 1).all():
        raise SuiteError(
            f"There is nothing to search on {where.id}: each of its hyperparameters has one value only.",
            "Leave it out; surrobench evaluate tells its values.",
        )


def _check_distinct(runs: Sequence[Run]) -> None:
    """Check that no two runs are the same.

    Raises:
        SuiteError: two methods are one.
    """
    found: dict[str, Run] = {}
    for run in runs:
        if (same := found.setdefault(run.id, run)) is not run:
            raise SuiteError(f"Methods {same.name!r} and {run.name!r} are the same.", "Drop one of them.")


def _check_files(
    runs: Sequence[Run], benchmarks: Mapping[str, Benchmark], optimizers: Mapping[str, Optimizer]
) -> None:
    """Check that every run finds its configurations, before the first of them starts.

    Raises:
        UsageError: a file has none for a run, or a start that is not in the search space; one line.
    """
    for run in runs:
        if not run.given:
            continue
        where = benchmarks[run.benchmark]
        if (digits := run.initial.removeprefix("file:")) in run.given:
            granted_start(run.given[digits], where, run.seed)
        if reads := optimizers[run.optimizer].reads:
            file = configuration_file(run.arguments[reads])
            found = file.configurations(where.id, run.seed, run.parameters["of"])
            unknown = [sorted(values.keys() - set(where.space.names)) for values in found]
            if all(unknown):  # a column of another name; what one proposal has wrong is that trial's affair
                raise UsageError(
                    f"{file.path}: {unknown[0][0]!r} is no hyperparameter of {where.scenario.key}.",
                    f"It has {', '.join(where.space.names)}.",
                )


def _name(suite: Suite, label: str, entry: Optimizer) -> str:
    """Return how runs know an optimizer: that of a user's file has the same name in every folder."""
    return entry.target if entry.file else suite.optimizers[label].method or label


def _run(
    suite: Suite, benchmark_id: str, label: str, entry: Optimizer, model: str | None, variant: str | None
) -> Run:
    """Return a run with seed 0 that has no identity yet."""
    method = suite.optimizers[label]
    parameters, initial, files = entry.resolve(method.parameters), suite.initial, {}
    if entry.reads:
        found = configuration_file(parameters[entry.reads])
        files[found.digits] = found.path
        parameters[entry.reads] = found.digits
    if initial.startswith("file:"):
        found = configuration_file(initial.removeprefix("file:"))
        files[found.digits] = found.path
        initial = f"file:{found.digits}"
    return Run(
        id="",
        benchmark=benchmark_id,
        method=label,
        optimizer=_name(suite, label, entry),
        parameters=parameters,
        model=model,
        seed=0,
        initial=initial,
        noise=suite.noise,
        invalid=suite.invalid,
        workers=suite.workers,
        overhead=suite.overhead,
        variant=variant,
        **asdict(suite.budget(method)),
        file=entry.file,
        file_version=str(entry.version) if entry.file else None,
        given=files,
        prompts=suite.replaced_prompts(method, variant, entry.prompts),
    )
