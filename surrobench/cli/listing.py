"""``surrobench list``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option
from surrobench.cli.output import count

if TYPE_CHECKING:
    from rich.table import Table


@click.command("list", cls=Command)
@click.argument(
    "what", type=click.Choice(["benchmarks", "optimizers", "models", "suites", "recordings"]), metavar="WHAT"
)
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@option("--bench", is_flag=True, help="Measure what a trial of each optimizer costs.")
def command(what: str, patterns: tuple[str, ...], bench: bool) -> None:
    """List WHAT: benchmarks, optimizers, models, suites or recordings.

    With PATTERN, list only those whose name matches.

    \b
    Examples:
      surrobench list suites
      surrobench list benchmarks 'yahpo/lcbench/*'
      surrobench list optimizers --bench
    """
    from surrobench.errors import UsageError

    if bench and what != "optimizers":
        raise UsageError("--bench goes with optimizers.", "Example: surrobench list optimizers --bench")
    if bench:
        table = _overheads(patterns)
    else:
        tables = {
            "benchmarks": _benchmarks,
            "optimizers": _optimizers,
            "models": _models,
            "suites": _suites,
            "recordings": _recordings,
        }
        table = tables[what](patterns)
    console, caption = output.console(), str(table.caption)
    table.caption = None  # as wide as the terminal, not as the table
    console.print(table)
    console.print(caption, style="dim")


def _matching(kind: str, patterns: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Return the names that the patterns mean; all of them where there is no pattern.

    Raises:
        UnknownName: a pattern matches nothing.
    """
    from surrobench.patterns import matching

    return matching(kind, patterns, known, f"See: surrobench list {kind}s") if patterns else known


def _benchmarks(patterns: Sequence[str]) -> Table:
    """Return the benchmarks with their metrics and sizes."""
    from surrobench.benchmarks.registry import benchmark, known
    from surrobench.libraries import ONNXRUNTIME

    table = output.table("benchmark", "metric", "d>", "size>", "rows>")
    table.padding = (0, 1, 0, 0)  # the longest names fit into 80 columns
    table.columns[0].no_wrap = True
    table.caption = (
        "metric: what is optimized, ↑ higher or ↓ lower is better; d: hyperparameters; "
        "size: configurations of a table; rows: of the data set"
    )
    if not ONNXRUNTIME.installed:
        table.caption += f"\nyahpo/*: unavailable: {ONNXRUNTIME.remedy}"
    for name in _matching("benchmark", patterns, known()):
        found = benchmark(name)
        metric = f"{found.objective.name} {'↓' if found.objective.minimize else '↑'}"
        rows = "" if found.card.rows is None else f"{found.card.rows:,}"
        finite = not found.space.is_continuous.any() and not found.space.is_conditional
        size = f"{int(found.space.levels.prod()):,}" if finite else ""
        table.add_row(name, metric, str(found.space.d), size, rows)
    return table


def _optimizers(patterns: Sequence[str]) -> Table:
    """Return the optimizers with their parameters, and how to get those that are not installed."""
    from rich.text import Text

    from surrobench.errors import UsageError
    from surrobench.optimizers.registry import LEFT_OUT, OPTIMIZERS, optimizer
    from surrobench.optimizers.user_defined import offered

    table = output.table("optimizer", "what it is, and its parameters")
    table.columns[0].no_wrap = True
    table.caption = (
        'More, in a suite: method = "./FILE.py:NAME" (an optimizer of your own), '
        'method = "optuna:SAMPLER" (any sampler of Optuna, such as optuna:CmaEsSampler).'
    )
    known = [*OPTIMIZERS, *(name for name in offered() if name not in OPTIMIZERS), *LEFT_OUT]
    for name in _matching("optimizer", patterns, known):
        if name in LEFT_OUT:
            table.add_row(name, Text(f"unavailable: {LEFT_OUT[name]}", style="dim"))
            continue
        try:
            entry = optimizer(name)
            parameters = _parameters(entry.resolve({}))
        except UsageError as error:
            table.add_row(name, Text(str(error)))
            continue
        said = Text(entry.summary)
        if parameters:
            said.append(f"\n{parameters}", style="dim")
        if not entry.available:
            said.append(f"\nunavailable: {entry.remedy}", style="red")
        table.add_row(name, said)
    return table


def _parameters(defaults: dict[str, Any]) -> str:
    """Return parameters with their defaults; one that has no default stands alone."""

    def written(name: str, value: Any) -> str:
        if value is None or value == "":
            return name
        if isinstance(value, dict):
            return f"{name} = {{ {_parameters(value)} }}"
        return f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"

    return ", ".join(written(name, value) for name, value in defaults.items())


def _overheads(patterns: Sequence[str]) -> Table:
    """Measure what a trial of each optimizer costs."""
    from rich.progress import track
    from rich.text import Text

    from surrobench.optimizers.registry import OPTIMIZERS
    from surrobench.study.overhead import measure

    table = output.table("optimizer", "trials>", "method ms/trial>", "ours µs/trial>", "share>", "")
    table.caption = (
        "method: its library, or its own code where it has none; ours: engine and adapter; "
        "share: of the method's time; ✓ below 10 % of it, or below 50 µs a trial"
    )
    console = output.errors()
    names = _matching("optimizer", patterns, list(OPTIMIZERS))
    shown = track(
        names,
        "Measuring",
        console=console,
        transient=True,
        disable=output.is_quiet() or not console.is_terminal,
    )
    for row in map(measure, shown):
        if row.problem:
            table.add_row(row.name, "", "", "", "", Text(f"skipped: {row.problem}", style="dim"))
            continue
        method = f"{row.method * 1e3:.3f}"
        share = "" if row.share is None else f"{row.share:.1%}"
        table.add_row(
            row.name, f"{row.trials:,}", method, f"{row.ours * 1e6:.1f}", share, "✓" if row.small else "✗"
        )
    return table


def _models(patterns: Sequence[str]) -> Table:
    """Return the models that need no server of the user's."""
    from surrobench.errors import ModelError
    from surrobench.llm.models import EMBEDDED_MODEL, EMBEDDED_REVISION, EMBEDDED_SIZE
    from surrobench.llm.weights import find_weights

    table = output.table("model", "size", "source", "state")
    table.caption = (
        "Any other model is that of an OpenAI-compatible server: --llm NAME=URL,MODEL, or [models.NAME] in a "
        "suite. surrobench serve MODEL starts one."
    )
    for name in _matching("model", patterns, [EMBEDDED_MODEL]):
        try:
            find_weights()
            state = "installed"
        except ModelError as error:
            state = str(error)
        table.add_row(name, EMBEDDED_SIZE, f"embedded, {EMBEDDED_REVISION}", state)
    return table


def _suites(patterns: Sequence[str]) -> Table:
    """Return the suites that come with the program."""
    from rich.text import Text

    from surrobench.errors import DataError
    from surrobench.paths import data_dir
    from surrobench.suite.loading import load_suite
    from surrobench.suite.schema import Method

    table = output.table("suite", "what it studies, and how large it is")
    table.columns[0].no_wrap = True
    table.caption = "A suite in full: surrobench run NAME --print-suite"
    paths = {path.stem: path for path in sorted(data_dir("suites").glob("*.toml"))}
    for name in _matching("suite", patterns, list(paths)):
        suite, _ = load_suite(str(paths[name]))
        try:
            benchmarks = count(len(suite.benchmark_ids()), "benchmark")
        except DataError:
            benchmarks = "benchmarks whose data is missing"
        else:
            if left_out := suite.left_out():
                benchmarks += f" ({len(left_out)} more, whose data is missing)"
        size = f"{benchmarks}, {count(len(suite.optimizers), 'method')}, {count(suite.seeds, 'seed')}"
        size += f", {suite.budget(Method())}"
        table.add_row(name, Text(suite.description).append(f"\n{size}", style="dim"))
    return table


def _recordings(patterns: Sequence[str]) -> Table:
    from surrobench.paths import RECORDINGS, data_dir, recordings
    from surrobench.results.folder import Results

    table = output.table("recording", "of the suite", "runs", "language models")
    table.caption = (
        "A recording's name stands for its folder: surrobench rank NAME. To replay: run SUITE --replay NAME."
    )
    for name in _matching("recording", patterns, recordings()):
        results = Results(data_dir(RECORDINGS) / name)
        models = ", ".join(results.manifest["models"])
        table.add_row(name, results.manifest["suite"]["name"], f"{results.plan().height:,}", models)
    return table
