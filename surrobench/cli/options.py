"""Options of the commands that read a study, declared once: what of it counts, and how to compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from surrobench.protocol.budget import Budget
    from surrobench.report.data.load import RunFilter
    from surrobench.report.data.study_data import StudyData
    from surrobench.results.folder import Results

Decorator = Callable[[Any], Any]
Command = TypeVar("Command", bound=Callable[..., Any])

_POSITIVE = click.FloatRange(0, min_open=True)
_PROPORTION = click.FloatRange(0, 1, min_open=True, max_open=True)

_PART: tuple[Decorator, ...] = (
    click.argument("results", type=click.Path(path_type=Path), nargs=-1, required=True),
    click.option(
        "--benchmark", "benchmarks", multiple=True, metavar="PATTERN", help="Only these benchmarks."
    ),
    click.option("--method", "methods", multiple=True, metavar="PATTERN", help="Only these methods."),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="PATTERN",
        help="Of the methods with a language model, only those with this one.",
    ),
    click.option(
        "--variant",
        "variants",
        multiple=True,
        metavar="PATTERN",
        help="Of the methods with a language model, only those shown this prompt variant.",
    ),
    click.option("--partial", is_flag=True, help="Leave out benchmarks on which a run is missing."),
)
_COUNTED: tuple[Decorator, ...] = (
    click.option(
        "--with",
        "others",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE.csv",
        help="Results of others: method, benchmark, seed, trial, value.",
    ),
    click.option("--budget", type=click.IntRange(min=1), help="Trials that count.  [default: the suite's]"),
    click.option("--equivalents", type=_POSITIVE, help="Full-fidelity equivalents that count."),
    click.option("--seconds", type=_POSITIVE, help="Simulated seconds that count."),
)
BLOCKS: Decorator = click.option(
    "--blocks",
    type=click.Choice(["data-set", "instance"]),
    default="data-set",
    show_default=True,
    help="What tests count: benchmarks of one data set as one block, or each by itself.",
)
_COMPARED: tuple[Decorator, ...] = (
    click.option(
        "--anchor",
        type=click.Choice(["median", "worst"]),
        default="median",
        show_default=True,
        help="Loss at which normalised regret is 1.",
    ),
    click.option("--alpha", type=_PROPORTION, default=0.05, show_default=True, help="Level of the tests."),
    click.option("--control", help="Method to compare with.  [default: the suite's]"),
    BLOCKS,
)


def of_study(command: Command) -> Command:
    """Decorate a command with RESULTS and all options that ``load`` takes, and those of a comparison."""
    for option in reversed((*_PART, *_COUNTED, *_COMPARED)):  # as decorators stand: the first is the last
        command = option(command)
    return command


def choice(options: dict[str, Any]) -> RunFilter:
    """Which part of the study is meant."""
    from surrobench.report.data.load import RunFilter

    return RunFilter(*(options[name] for name in ("benchmarks", "methods", "models", "variants")))


def counted(options: dict[str, Any]) -> list[str]:
    """Those options that were given and say what counts, as they are written: --budget, --with."""
    written = {
        "others": "--with",
        "budget": "--budget",
        "equivalents": "--equivalents",
        "seconds": "--seconds",
    }
    return [option for name, option in written.items() if options[name]]


def limit(options: dict[str, Any]) -> Budget:
    """How much of each run counts."""
    from surrobench.protocol.budget import Budget

    return Budget(options["budget"], options["equivalents"], options["seconds"])


def load(folders: list[Results], options: dict[str, Any], **more: Any) -> StudyData:
    """The study that the options of ``of_study`` mean.

    Args:
        folders: the results.
        options: of the command.
        more: arguments of ``load_study`` that this command adds.
    """
    from surrobench.report.data.external_results import read_others
    from surrobench.report.data.study_data import load_study

    return load_study(
        folders,
        limit(options),
        partial=options["partial"],
        choice=choice(options),
        control=options["control"],
        others=read_others(options["others"]) if options["others"] else None,
        **more,
    )
