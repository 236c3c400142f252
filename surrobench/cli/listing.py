"""``surrobench list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
@click.argument("what", type=click.Choice(["benchmarks", "optimizers", "models", "suites"]))
@click.option("--bench", is_flag=True, help="With optimizers: measure what a trial of each costs.")
def command(what: str, bench: bool) -> None:
    """List WHAT there is.

    \b
    Examples:
      surrobench list benchmarks
      surrobench list optimizers --bench
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    if bench:
        if what != "optimizers":
            from surrobench.errors import UsageError

            raise UsageError("--bench goes with optimizers.", "Example: surrobench list optimizers --bench")
        _overheads(table)
        Console().print(table)
        return
    {"benchmarks": _benchmarks, "optimizers": _optimizers, "models": _models, "suites": _suites}[what](table)
    Console().print(table)


def _columns(table: Table, *names: str) -> None:
    for j, name in enumerate(names):
        table.add_column(name, overflow="fold", no_wrap=j == 0)


def _benchmarks(table: Table) -> None:
    from surrobench.benchmarks.registry import benchmark, known
    from surrobench.libraries import ONNXRUNTIME

    _columns(table, "benchmark", "rows", "d", "size", "optimized")
    table.caption = (
        "rows: of the data set; d: hyperparameters; size: configurations; ↑ higher is better, ↓ lower"
    )
    table.caption_justify = "left"
    if not ONNXRUNTIME.installed:
        table.caption += f"\nyahpo/*: unavailable: {ONNXRUNTIME.remedy}".replace("[", r"\[")
    for name in known():
        where = benchmark(name)
        objective = f"{where.objective.name} {'↓' if where.objective.minimize else '↑'}"
        rows = "" if where.card.rows is None else f"{where.card.rows:,}"
        finite = not where.space.is_continuous.any() and not where.space.is_conditional
        size = f"{int(where.space.levels.prod()):,}" if finite else ""
        table.add_row(name, rows, str(where.space.d), size, objective)


def _optimizers(table: Table) -> None:
    from surrobench.errors import UsageError
    from surrobench.optimizers.registry import LEFT_OUT, OPTIMIZERS, optimizer
    from surrobench.optimizers.user_defined import offered

    _columns(table, "optimizer", "what it is", "parameters and defaults")
    table.caption = 'Your own: method = "./FILE.py:NAME" in a suite.'
    table.caption_justify = "left"
    for name in [*OPTIMIZERS, *(name for name in offered() if name not in OPTIMIZERS)]:
        try:
            entry = optimizer(name)
            defaults = entry.resolve({})
        except UsageError as error:
            table.add_row(name, str(error), "")
            continue
        parameters = ", ".join(
            f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}"
            for key, value in defaults.items()
        )
        state = "" if entry.available else f"\nunavailable: {entry.remedy}".replace("[", r"\[")
        table.add_row(name, entry.summary + state, parameters)
    for name, reason in LEFT_OUT.items():
        table.add_row(name, f"unavailable: {reason}", "")


def _overheads(table: Table) -> None:
    from rich.console import Console
    from rich.progress import track

    from surrobench.optimizers.registry import OPTIMIZERS
    from surrobench.study.overhead import measure

    for name in ("optimizer", "trials", "method ms/trial", "ours µs/trial", "share", ""):
        table.add_column(name, justify="left" if name in ("optimizer", "") else "right")
    table.caption = (
        "method: its library, or its own code where it has none; ours: engine and adapter; "
        "share: of the method's time; ✓ below 10 % of it, or below 50 µs a trial"
    )
    table.caption_justify = "left"
    console = Console(stderr=True)
    shown = track(OPTIMIZERS, "Measuring", console=console, transient=True, disable=not console.is_terminal)
    for row in map(measure, shown):
        if row.problem:
            table.add_row(row.name, "", "", "", "", f"[dim]skipped: {row.problem}[/]")
            continue
        method = f"{row.method * 1e3:.3f}"
        share = "" if row.share is None else f"{row.share:.1%}"
        table.add_row(
            row.name, f"{row.trials:,}", method, f"{row.ours * 1e6:.1f}", share, "✓" if row.small else "✗"
        )


def _models(table: Table) -> None:
    from surrobench.errors import ModelError
    from surrobench.llm.models import EMBEDDED_MODEL, EMBEDDED_REVISION, EMBEDDED_SIZE
    from surrobench.llm.weights import find_weights

    _columns(table, "model", "size", "from", "state")
    try:
        state = f"in {find_weights().parent}"
    except ModelError as error:
        state = str(error)
    table.add_row(EMBEDDED_MODEL, EMBEDDED_SIZE, f"embedded ({EMBEDDED_REVISION})", state)
    table.add_row(
        "any other", "", "an OpenAI-compatible server", r"--llm NAME=URL,MODEL, or \[models.NAME] in a suite"
    )


def _suites(table: Table) -> None:
    from surrobench.errors import DataError
    from surrobench.paths import data_dir
    from surrobench.suite.loading import load_suite
    from surrobench.suite.schema import Method

    _columns(table, "suite", "what it studies", "benchmarks", "methods", "budget", "seeds")
    for path in sorted(data_dir("suites").glob("*.toml")):
        suite, _ = load_suite(str(path))
        try:
            count = str(len(suite.benchmark_ids()))
        except DataError:
            count = "data missing"
        left_out = suite.left_out()
        table.add_row(
            suite.name,
            suite.description,
            f"{count} ({len(left_out)} missing)" if left_out and count.isdigit() else count,
            ", ".join(suite.optimizers),
            str(suite.budget(Method())),
            str(suite.seeds),
        )
