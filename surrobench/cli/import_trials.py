"""``surrobench import``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option

if TYPE_CHECKING:
    from surrobench.past_trials.trials import PastTrials


def source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument SOURCE and the options that say what its columns are; see ``imported``."""
    decorators = [
        click.argument("sources", nargs=-1, required=True, metavar="SOURCE..."),
        option(
            "--objective",
            "objectives",
            multiple=True,
            metavar="NAME=min|max",
            section="Source",
            help="Name an objective and its better direction; repeatable, and the first one is optimized.",
        ),
        option(
            "--hyperparameter",
            "hyperparameters",
            multiple=True,
            metavar="COLUMN",
            section="Source",
            help="Name a column of a table that is a hyperparameter; repeatable.",
        ),
        option(
            "--fidelity",
            default="",
            metavar="COLUMN",
            section="Source",
            help="Name the column of epochs, or the like.",
        ),
        option(
            "--seconds",
            default="",
            metavar="COLUMN",
            section="Source",
            help="Name the column of the durations, in seconds.",
        ),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


@click.command("import", cls=Command)
@source_options
@option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the description to this .toml file, and the rows to a .parquet file beside it.",
)
def command(sources: tuple[str, ...], out: Path | None, **asked: Any) -> None:
    """Import past trials of one problem from SOURCE, or several sources.

    A source is a storage of Optuna (an SQLite or journal file, or a URL; #STUDY chooses a study), a CSV of
    Optuna, MLflow, Weights & Biases, Ray Tune or Syne Tune, a folder of Ray Tune, SMAC3 or KerasTuner, any
    other CSV or Parquet file with --hyperparameter and --objective, or what this command has written.

    The command prints what it found, what it left out, and what it concluded about the search space. The file
    that --out names states the search space. Correct it where it is wrong.

    \b
    Examples:
      surrobench import past.db --out ours.toml
      surrobench import 'sqlite:///past.db#my study' --out ours.toml
      surrobench import trials.csv --objective value=max --out ours.toml
      surrobench import wandb.csv --hyperparameter lr --objective loss=min
    """
    from surrobench.errors import UsageError
    from surrobench.past_trials import description

    if out is not None and out.suffix != description.SUFFIX:
        raise UsageError(f"{out} is no TOML file.", f"Write --out {out.with_suffix('.toml')}.")
    found = imported(sources, **asked)
    if out is None:
        output.write(description.text_of(found, "FILE.parquet"), nl=False)
        return
    for sentence in found.summary():
        output.write(sentence)
    written = description.write(found, out)
    output.write(f"Wrote {' and '.join(map(str, written))}.")


def imported(
    sources: tuple[str, ...],
    objectives: tuple[str, ...],
    hyperparameters: tuple[str, ...],
    fidelity: str,
    seconds: str,
) -> PastTrials:
    """Return the past trials that the words of ``source_options`` mean."""
    from surrobench.past_trials.sources.registry import past_trials
    from surrobench.past_trials.trials import Asked

    return past_trials(sources, Asked(dict(map(_objective, objectives)), hyperparameters, fidelity, seconds))


def _objective(text: str) -> tuple[str, bool]:
    """Parse ``NAME=min`` or ``NAME=max``."""
    from surrobench.errors import UsageError

    name, _, way = text.rpartition("=")
    if not name or way not in {"min", "max"}:
        raise UsageError(f"--objective {text!r} has no direction.", "Write NAME=min or NAME=max.")
    return name, way == "min"
