"""Options of the commands that read a study, declared once: which part of it counts, and how to compare."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from surrobench.cli.command import GENERAL, option
from surrobench.paths import find_results

if TYPE_CHECKING:
    from surrobench.protocol.budget import Budget
    from surrobench.report.data.load import RunFilter
    from surrobench.report.data.study_data import StudyData
    from surrobench.results.folder import Results

log = logging.getLogger(__name__)

Decorator = Callable[[Any], Any]
Function = TypeVar("Function", bound=Callable[..., Any])

POSITIVE = click.FloatRange(0, min_open=True)
PROPORTION = click.FloatRange(0, 1, min_open=True, max_open=True)
COUNT = click.IntRange(min=1)
FILE = click.Path(path_type=Path)


class ResultsFolder(click.Path):
    """A results folder by its path, or a recording that surrobench carries by its name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, that of a recording where only its name is given."""
        return super().convert(find_results(Path(value)), param, ctx)


FOLDER = ResultsFolder(path_type=Path)

_WHAT_COUNTS = "What counts"
_COMPARISON = "Comparison"

RESULTS: Decorator = click.argument("results", type=FOLDER)
"""One results folder."""
MANY_RESULTS: Decorator = click.argument("results", type=FOLDER, nargs=-1, required=True)
"""One results folder or several."""


def patterns(flag: str, name: str, text: str, section: str = GENERAL) -> Decorator:
    """Return an option that takes patterns and may be repeated.

    Args:
        flag: the option, with its dashes.
        name: of the parameter.
        text: of the help.
        section: of the help.
    """
    return option(flag, name, multiple=True, metavar="PATTERN", help=text, section=section)


FILTERS: tuple[Decorator, ...] = (
    patterns("--benchmark", "benchmarks", "Use only these benchmarks.", _WHAT_COUNTS),
    patterns("--method", "methods", "Use only these methods.", _WHAT_COUNTS),
    patterns("--model", "models", "Use only these language models; methods without one stay.", _WHAT_COUNTS),
    patterns(
        "--variant", "variants", "Use only these prompt variants; methods without a model stay.", _WHAT_COUNTS
    ),
)
PARTIAL: Decorator = option(
    "--partial", is_flag=True, section=_WHAT_COUNTS, help="Leave out benchmarks on which a run is missing."
)
FAILED: Decorator = option(
    "--failed",
    type=click.Choice(["incumbent", "worst", "leave-out"]),
    metavar="RULE",
    section=_WHAT_COUNTS,
    help="Count a failed run with its incumbent, with the worst value (worst), or leave out its benchmark "
    "(leave-out). Without a rule, failed runs are missing.",
)
_COUNTED: tuple[Decorator, ...] = (
    option(
        "--mixed-settings",
        is_flag=True,
        section=_WHAT_COUNTS,
        help="Show folders of different noise, initial, invalid, workers or overhead together, untested.",
    ),
    option(
        "--external",
        "others",
        multiple=True,
        type=FILE,
        metavar="FILE",
        section=_WHAT_COUNTS,
        help="Add results from elsewhere: a CSV with columns method, benchmark, seed, trial, value, and "
        "config.NAME.",
    ),
    option(
        "--budget",
        type=COUNT,
        metavar="N",
        show_default="the suite's",
        section=_WHAT_COUNTS,
        help="Count only the first N trials.",
    ),
    option(
        "--equivalents",
        type=POSITIVE,
        metavar="N",
        section=_WHAT_COUNTS,
        help="Count only the first N full-fidelity equivalents.",
    ),
    option(
        "--seconds",
        type=POSITIVE,
        metavar="N",
        section=_WHAT_COUNTS,
        help="Count only the first N simulated seconds.",
    ),
)
BLOCKS: Decorator = option(
    "--blocks",
    type=click.Choice(["data-set", "instance"]),
    metavar="NAME",
    default="data-set",
    show_default=True,
    section=_COMPARISON,
    help="Take the benchmarks of one data-set as one block in tests, or each instance by itself.",
)
ALPHA: Decorator = option(
    "--alpha",
    type=PROPORTION,
    metavar="N",
    default=0.05,
    show_default=True,
    section=_COMPARISON,
    help="Set the level of tests.",
)
CONTROL: Decorator = option(
    "--control",
    metavar="NAME",
    show_default="the suite's",
    section=_COMPARISON,
    help="Compare all methods with this one.",
)
_COMPARED: tuple[Decorator, ...] = (
    option(
        "--anchor",
        type=click.Choice(["median", "worst"]),
        default="median",
        show_default=True,
        section=_COMPARISON,
        help="Set the loss that has a normalised regret of 1.",
    ),
    ALPHA,
    CONTROL,
    BLOCKS,
)

JOBS: Decorator = option(
    "-j", "--jobs", type=COUNT, metavar="N", show_default="all cores", help="Use N worker processes."
)


def decorated(*options: Decorator) -> Callable[[Function], Function]:
    """Return one decorator for several, in the order in which the help is to show them."""

    def decorate(function: Function) -> Function:
        for apply in reversed(options):  # as decorators stand: the first is the last to be applied
            function = apply(function)
        return function

    return decorate


of_study = decorated(MANY_RESULTS, *FILTERS, PARTIAL, FAILED, *_COUNTED, *_COMPARED)
"""Decorates a command with RESULTS, all options that ``load`` takes, and those of a comparison."""


def choice(options: dict[str, Any]) -> RunFilter:
    """Return which part of the study the options mean."""
    from surrobench.report.data.load import RunFilter

    return RunFilter(*(options[name] for name in ("benchmarks", "methods", "models", "variants")))


def counted(options: dict[str, Any]) -> list[str]:
    """Return the options that were given and say what counts, as they are written: ``--budget``."""
    written = {
        "others": "--external",
        "budget": "--budget",
        "equivalents": "--equivalents",
        "seconds": "--seconds",
    }
    return [option for name, option in written.items() if options[name]]


def limit(options: dict[str, Any]) -> Budget:
    """Return how much of each run counts."""
    from surrobench.protocol.budget import Budget

    return Budget(options["budget"], options["equivalents"], options["seconds"])


def load(folders: list[Results], options: dict[str, Any], **more: Any) -> StudyData:
    """Load the study that the options of ``of_study`` mean.

    Args:
        folders: the results.
        options: of the command.
        more: arguments of ``load_study`` that this command adds.
    """
    import polars as pl

    from surrobench.report.data.external_results import read_others
    from surrobench.report.data.study_data import load_study

    log.info("Reading %s.", " and ".join(str(folder.folder) for folder in folders))
    study = load_study(
        folders,
        limit(options),
        partial=options["partial"],
        choice=choice(options),
        control=options["control"],
        others=read_others(options["others"]) if options["others"] else None,
        mixed_settings=options["mixed_settings"],
        failed=options["failed"],
        **more,
    )
    different = study.incumbents.select(pl.col("method", "benchmark").n_unique())
    log.info("Found incumbents of %d methods on %d benchmarks.", *different.row(0))
    return study
