"""``surrobench data``."""

from __future__ import annotations

import click


@click.group()
def command() -> None:
    """Fetch data and models, or say what is there.

    \b
    Example:
      surrobench data pull smollm2
    """


@command.command()
@click.argument("what", type=click.Choice(["smollm2", "yahpo"]))
@click.option("--scenario", "scenarios", multiple=True, help="yahpo: only this one. Repeatable.")
def pull(what: str, scenarios: tuple[str, ...]) -> None:
    """Fetch WHAT.

    smollm2: the embedded language model (90 MB), and the library that runs it. yahpo: the surrogates of YAHPO
    Gym from their public repository; goes on where it was interrupted.

    \b
    Examples:
      surrobench data pull smollm2
      surrobench data pull yahpo --scenario lcbench --scenario rbv2_xgboost
    """
    from surrobench.errors import UsageError

    if what == "yahpo":
        _pull_yahpo(scenarios)
        return
    if scenarios:
        raise UsageError("--scenario goes with yahpo.")
    from surrobench.llm.weights import find_weights, pull_weights

    pull_weights()
    click.echo(f"SmolLM2-135M-Instruct is in {find_weights()}")


def _pull_yahpo(scenarios: tuple[str, ...]) -> None:
    from rich.console import Console

    from surrobench.benchmarks.yahpo.data import find_folder, scenario_names
    from surrobench.benchmarks.yahpo.pull import pull as pull_yahpo

    with Console(stderr=True).status("fetching YAHPO Gym's data ...") as status:
        folder = pull_yahpo(scenarios, status.update)
    click.echo(f"YAHPO Gym's data is in {folder}: {', '.join(scenario_names(folder))}")
    if find_folder() != folder:
        click.echo(f"It is not used while SURROBENCH_YAHPO_DATA names {find_folder()}.", err=True)


@command.command()
def status() -> None:
    """Say which data and models are there."""
    from importlib.metadata import version

    from rich.console import Console
    from rich.table import Table

    from surrobench.benchmarks.tables import PACKAGE
    from surrobench.errors import ModelError
    from surrobench.llm.weights import find_weights
    from surrobench.paths import cache_dir

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("data")
    table.add_column("state", overflow="fold")
    table.add_row("tables (HPOBench, HPOlib, NAS-Bench-201)", f"{PACKAGE} {version(PACKAGE)}")
    cached = sorted(path.parent.name for path in cache_dir().glob("tables/*/*/values.npy"))
    table.add_row("  converted", f"{', '.join(cached) or 'none yet'}, in {cache_dir() / 'tables'}")
    for name, state in _yahpo_state():
        table.add_row(name, state)
    try:
        table.add_row("embedded model SmolLM2-135M-Instruct", str(find_weights()))
    except ModelError as error:
        table.add_row("embedded model SmolLM2-135M-Instruct", str(error))
    Console().print(table)


def _yahpo_state() -> list[tuple[str, str]]:
    """Rows on YAHPO Gym's data: where it is, which scenarios are complete, which are not."""
    from surrobench.benchmarks.yahpo.data import require_folder, scenario_names, shipped
    from surrobench.errors import DataError

    try:
        folder = require_folder()
    except DataError as error:
        return [("surrogates (YAHPO Gym)", str(error))]
    here = scenario_names(folder)
    missing = [name for name in shipped()["scenarios"] if name not in here]
    return [
        ("surrogates (YAHPO Gym)", f"{', '.join(here) or 'no scenario'}, in {folder}"),
        ("  missing", ", ".join(missing) or "none"),
    ]
