"""``surrobench data``."""

from __future__ import annotations

from pathlib import Path

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option, verbosity_options


@click.group("data", params=verbosity_options())
def command() -> None:
    """Fetch data and models, or show which are here.

    \b
    Examples:
      surrobench data status
      surrobench data pull smollm2
    """


@command.command("pull", cls=Command)
@click.argument("what", type=click.Choice(["smollm2", "yahpo"]), metavar="WHAT")
@option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    help="Fetch only this scenario of yahpo; repeatable.",
)
def pull(what: str, scenarios: tuple[str, ...]) -> None:
    """Fetch WHAT: smollm2 or yahpo.

    smollm2 is the embedded language model (90 MB) with the library that runs it. yahpo is the surrogates of
    YAHPO Gym, from their public repository; an interrupted download is continued.

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
        raise UsageError("--scenario belongs to yahpo.", "Leave it out: surrobench data pull smollm2")
    from surrobench.llm.weights import find_weights, pull_weights

    pull_weights()
    output.write(f"SmolLM2-135M-Instruct is in {find_weights()}")


def _pull_yahpo(scenarios: tuple[str, ...]) -> None:
    """Fetch surrogates of YAHPO Gym, and say so where another folder is used instead."""
    from surrobench.benchmarks.yahpo.data import find_folder, scenario_names
    from surrobench.benchmarks.yahpo.pull import pull as pull_yahpo

    with output.errors(quiet=False).status("Fetching the data of YAHPO Gym ...") as status:
        folder = pull_yahpo(scenarios, status.update)
    output.write(f"YAHPO Gym's data is in {folder}: {', '.join(scenario_names(folder))}")
    if find_folder() != folder:
        output.say(f"This folder is not used while SURROBENCH_YAHPO_DATA names {find_folder()}.")


@command.command("pack", cls=Command)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
def pack(results: tuple[Path, ...]) -> None:
    """Store in RESULTS what ranking and replaying take of YAHPO Gym.

    The folders can then be ranked and replayed on machines without that data: they hold the search spaces and
    the reference values, about 25 kB for each benchmark.

    \b
    Example:
      surrobench data pack results/mine
    """
    from surrobench.benchmarks.yahpo.recorded import pack as pack_yahpo
    from surrobench.results.folder import Results

    for folder in results:
        benchmarks = Results(folder).plan()["benchmark"].unique().to_list()
        output.write(f"{folder}: {pack_yahpo(folder, benchmarks)} benchmarks of YAHPO Gym are packed.")


@command.command("status", cls=Command)
def status() -> None:
    """Show which data and models are on this machine.

    \b
    Example:
      surrobench data status
    """
    from importlib.metadata import version

    from surrobench.benchmarks.tables import PACKAGE
    from surrobench.errors import ModelError
    from surrobench.llm.weights import find_weights
    from surrobench.paths import cache_dir

    output.write(f"Tables (HPOBench, HPOlib, NAS-Bench-201): {PACKAGE} {version(PACKAGE)}")
    cached = sorted(path.parent.name for path in cache_dir().glob("tables/*/*/values.npy"))
    output.write(f"  converted: {', '.join(cached) or 'none yet'}, in {cache_dir() / 'tables'}")
    for line in _yahpo_state():
        output.write(line)
    try:
        state = str(find_weights())
    except ModelError as error:
        state = str(error)
    output.write(f"Embedded model SmolLM2-135M-Instruct: {state}")


def _yahpo_state() -> list[str]:
    """Return lines on the data of YAHPO Gym: where it is, which scenarios are complete, which are not."""
    from surrobench.benchmarks.yahpo.data import require_folder, scenario_names, shipped
    from surrobench.errors import DataError

    try:
        folder = require_folder()
    except DataError as error:
        return [f"Surrogates (YAHPO Gym): {error}"]
    here = scenario_names(folder)
    missing = [name for name in shipped()["scenarios"] if name not in here]
    return [
        f"Surrogates (YAHPO Gym): {', '.join(here) or 'no scenario'}, in {folder}",
        f"  missing: {', '.join(missing) or 'none'}",
    ]
