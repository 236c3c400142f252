"""``surrobench list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
@click.argument("what", type=click.Choice(["benchmarks", "optimizers", "models", "suites"]))
def command(what: str) -> None:
    """List WHAT there is.

    \b
    Example:
      surrobench list benchmarks
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    {"benchmarks": _benchmarks, "optimizers": _optimizers, "models": _models, "suites": _suites}[what](table)
    Console().print(table)


def _columns(table: Table, *names: str) -> None:
    for j, name in enumerate(names):
        table.add_column(name, overflow="fold", no_wrap=j == 0)


def _benchmarks(table: Table) -> None:
    from surrobench.benchmarks import benchmark, known

    _columns(table, "benchmark", "rows", "d", "size", "optimized")
    table.caption = (
        "rows: of the data set; d: hyperparameters; size: configurations; ↑ higher is better, ↓ lower"
    )
    table.caption_justify = "left"
    for name in known():
        where = benchmark(name)
        objective = f"{where.objective.name} {'↓' if where.objective.minimize else '↑'}"
        rows = "" if where.card.rows is None else f"{where.card.rows:,}"
        finite = not where.space.is_continuous.any() and not where.space.is_conditional
        size = f"{int(where.space.levels.prod()):,}" if finite else ""
        table.add_row(name, rows, str(where.space.d), size, objective)


def _optimizers(table: Table) -> None:
    from surrobench.optimizers import LEFT_OUT, OPTIMIZERS

    _columns(table, "optimizer", "what it is", "parameters and defaults")
    for name, entry in OPTIMIZERS.items():
        parameters = ", ".join(
            f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}"
            for key, value in entry.resolve({}).items()
        )
        state = "" if entry.available else f"\nunavailable: {entry.remedy}".replace("[", r"\[")
        table.add_row(name, entry.summary + state, parameters)
    for name, reason in LEFT_OUT.items():
        table.add_row(name, f"unavailable: {reason}", "")


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
    from surrobench.suite import load_suite

    _columns(table, "suite", "what it studies", "benchmarks", "methods", "trials", "seeds")
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
            str(suite.trials),
            str(suite.seeds),
        )
