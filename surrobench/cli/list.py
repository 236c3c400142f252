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
    for name in names:
        table.add_column(name, overflow="fold")


def _benchmarks(table: Table) -> None:
    from surrobench.benchmarks import benchmark, known

    _columns(table, "benchmark", "data set", "objective", "hyperparameters", "configurations")
    for id in known():  # noqa: A001
        where = benchmark(id)
        direction = "lower is better" if where.objective.minimize else "higher is better"
        size = "" if where.card.rows is None else f", {where.card.rows:,} x {where.card.features}"
        finite = not where.space.is_continuous.any() and not where.space.is_conditional
        table.add_row(
            id,
            f"{where.card.dataset}{size}",
            f"{where.objective.name} ({direction})",
            str(where.space.d),
            f"{int(where.space.levels.prod()):,}" if finite else "",
        )


def _optimizers(table: Table) -> None:
    from surrobench.optimizers import OPTIMIZERS

    _columns(table, "optimizer", "what it is", "parameters and defaults")
    for name, entry in OPTIMIZERS.items():
        parameters = ", ".join(f"{key} = {value}" for key, value in entry.resolve({}).items())
        table.add_row(name, entry.summary, parameters)


def _models(table: Table) -> None:
    from surrobench.errors import ModelError
    from surrobench.llm.models import EMBEDDED_MODEL, EMBEDDED_REVISION, EMBEDDED_SIZE
    from surrobench.llm.weights import find_weights

    _columns(table, "model", "size", "from", "state")
    try:
        state = f"there: {find_weights()}"
    except ModelError as error:
        state = str(error)
    table.add_row(EMBEDDED_MODEL, EMBEDDED_SIZE, f"embedded ({EMBEDDED_REVISION})", state)
    table.add_row(
        "any other", "", "an OpenAI-compatible server", "--llm NAME=URL,MODEL, or [models.NAME] in a suite"
    )


def _suites(table: Table) -> None:
    from surrobench.paths import data_dir
    from surrobench.suite import load_suite

    _columns(table, "suite", "what it studies", "benchmarks", "methods", "trials", "seeds")
    for path in sorted(data_dir("suites").glob("*.toml")):
        suite, _ = load_suite(str(path))
        table.add_row(
            suite.name,
            suite.description,
            str(len(suite.benchmark_ids())),
            ", ".join(suite.optimizers),
            str(suite.trials),
            str(suite.seeds),
        )
