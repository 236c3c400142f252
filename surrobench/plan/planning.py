"""From a suite to its runs: one optimizer on one benchmark with one seed, each with a stable identity."""

from __future__ import annotations

from dataclasses import asdict, replace

from surrobench.benchmarks.configuration_file import given, start
from surrobench.benchmarks.registry import benchmark
from surrobench.errors import SuiteError, UsageError
from surrobench.optimizers.registry import optimizer, require
from surrobench.plan.identity import run_identity
from surrobench.plan.run import Run
from surrobench.seeding import content_hash
from surrobench.suite.schema import Suite


def plan(suite: Suite) -> list[Run]:
    """All runs of a suite, in the order benchmark, method, seed.

    Raises:
        UsageError: an unknown benchmark, optimizer or parameter, one method under two labels, or a method or
            prompt variant that a benchmark has no use for; or the suite is only listed.
        DataError: the data of a benchmark is missing.
        MissingLibrary: an optional library that a method needs is not installed.
    """
    if suite.planned:
        raise SuiteError(f"Suite {suite.name!r} cannot be run yet: {suite.planned}")
    for label, method in suite.optimizers.items():
        require(method.method or label, method.parameters)
    runs = [
        _run(suite, benchmark_id, label, model, variant, seed)
        for benchmark_id in suite.benchmark_ids()
        for label, method in suite.optimizers.items()
        for model, variant in suite.askings(method)
        for seed in range(method.seeds or suite.seeds)
    ]
    labels: dict[str, Run] = {}
    for run in runs:
        if optimizer(run.optimizer).multi_fidelity and not benchmark(run.benchmark).scenario.fidelities:
            raise SuiteError(
                f"optimizers.{run.method} varies a fidelity, and {run.benchmark} has none.",
                "Leave one of them out: yahpo/* have fidelities.",
            )
        if run.variant == "misleading" and benchmark(run.benchmark).space.d == 1:
            # It would see what "full" shows, and a study of the two would find no difference.
            raise SuiteError(
                f"Nothing on {run.benchmark} can mislead {run.method}: it has one hyperparameter, "
                "and so no names to permute.",
                f'Leave out {run.benchmark}, or the variant "misleading".',
            )
        if (same := labels.setdefault(run.id, run)) is not run:
            raise SuiteError(f"Methods {same.name!r} and {run.name!r} are the same.", "Drop one of them.")
    _check_files(runs)
    return runs


def _check_files(runs: list[Run]) -> None:
    """See that every run finds its configurations, before the first of them begins.

    Raises:
        UsageError: a file has none for a run, or a start that is not in the search space; one line.
    """
    for run in runs:
        if not run.given:
            continue
        where = benchmark(run.benchmark)
        if (digits := run.initial.removeprefix("file:")) in run.given:
            start(run.given[digits], where, run.seed)
        if reads := optimizer(run.optimizer).reads:
            file = given(run.arguments[reads])
            found = file.configurations(where.id, run.seed, run.parameters["of"])
            unknown = [sorted(values.keys() - set(where.space.names)) for values in found]
            if all(unknown):  # a column of another name; what one proposal has wrong is that trial's affair
                raise UsageError(
                    f"{file.path}: {unknown[0][0]!r} is no hyperparameter of {where.scenario.key}.",
                    f"It has {', '.join(where.space.names)}.",
                )


def _run(
    suite: Suite, benchmark_id: str, label: str, model: str | None, variant: str | None, seed: int
) -> Run:
    method = suite.optimizers[label]
    name = method.method or label
    entry = optimizer(name)
    if entry.file:
        name = entry.target
    parameters, initial, files = entry.resolve(method.parameters), suite.initial, {}
    if entry.reads:
        found = given(parameters[entry.reads])
        files[found.digits] = found.path
        parameters[entry.reads] = found.digits
    if initial.startswith("file:"):
        found = given(initial.removeprefix("file:"))
        files[found.digits] = found.path
        initial = f"file:{found.digits}"
    run = Run(
        id="",
        benchmark=benchmark_id,
        method=label,
        optimizer=name,
        parameters=parameters,
        model=model,
        seed=seed,
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
    identity = run_identity(run, suite.models[model] if model and run.asks_model else None)
    return replace(run, id=content_hash(identity))
