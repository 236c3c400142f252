"""``surrobench plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option, say_renamed
from surrobench.cli.options import FILE, choice, counted, load, of_study
from surrobench.paths import find_results
from surrobench.suite.limits import MOST_SEEDS

if TYPE_CHECKING:
    from surrobench.results.folder import Results

KINDS = {
    "cd": "critical-difference diagram of the mean ranks",
    "curves": "mean regret of the incumbents over trials, time or tokens",
    "targets": "share of targets reached over trials, time or tokens",
    "profile": "share of runs with a regret of at most tau",
    "heatmap": "rank or regret of every method on every instance",
    "wins": "wins, ties and losses of every pair of methods",
    "proposals": "proposals on one benchmark, as parallel coordinates",
    "origins": "sources that proposed the incumbents",
}
_UNITS = {"trials": "trials", "time": "seconds", "tokens": "tokens", "equivalents": "equivalents"}
_OF_CURVES = ("measure", "anchor", "interval", "blocks", "log_x", "log_y")
"""Options that ``draw.of_curves`` takes under the same names."""


@click.command(
    "plot",
    cls=Command,
    renamed={"--with": "--external"},
    epilog="\b\nKinds:\n" + "\n".join(f"  {kind:<9}  {what}" for kind, what in KINDS.items()),
)
@click.argument("kind")
@of_study
@option(
    "--out",
    type=FILE,
    required=True,
    metavar="FILE",
    section="Figure",
    help="Write the figure to this file: .svg, .png, .pdf or .html.",
)
@option(
    "--x",
    type=click.Choice(list(_UNITS)),
    metavar="NAME",
    default="trials",
    show_default=True,
    section="Figure",
    help="Draw curves, targets and profile over trials, (simulated) time, tokens or equivalents.",
)
@option(
    "--log-x/--linear-x",
    default=None,
    show_default="curves over trials: linear; else log",
    section="Figure",
    help="Scale the axis of what was spent.",
)
@option(
    "--log-y/--linear-y",
    default=True,
    show_default=True,
    section="Figure",
    help="Scale the axis of regret of curves.",
)
@option(
    "--measure",
    type=click.Choice(["rank", "quantile", "normalised"]),
    metavar="NAME",
    show_default="heatmap: rank; else quantile",
    section="Figure",
    help="Show quantile or normalised regret in curves, profile and heatmap, or the rank in a heatmap.",
)
@option(
    "--interval",
    type=click.Choice(["seeds", "instances", "none"]),
    metavar="NAME",
    default="seeds",
    show_default=True,
    section="Figure",
    help="Draw bands over seeds (of these instances), over instances and their seeds, or none.",
)
@option(
    "--seed",
    "seeds",
    type=click.IntRange(0, MOST_SEEDS),
    multiple=True,
    metavar="N",
    show_default="the first",
    section="Figure",
    help="Show the proposals of this seed; repeatable.",
)
@option(
    "--color",
    "colour",
    type=click.Choice(["loss", "source"]),
    default="loss",
    show_default=True,
    section="Figure",
    help="Colour proposals by loss or by source.",
)
@option(
    "--width",
    type=click.Choice(["column", "page"]),
    default="column",
    show_default=True,
    section="Figure",
    help="Make the figure as wide as a printed column (3.3 inches) or page (6.9).",
)
@option(
    "--bare", is_flag=True, section="Figure", help="Leave out title and notes, for a caption that says it."
)
def command(kind: str, results: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Draw a figure of the studies in RESULTS, one folder or several. The kinds are listed below.

    \b
    Examples:
      surrobench plot curves results/quick --out curves.svg
      surrobench plot heatmap results/quick --measure quantile --out heatmap.pdf
      surrobench plot proposals results/quick --benchmark hpobench/mlp/car --method tpe --out tpe.png
    """
    from surrobench.report.figures.save import check_suffix, save
    from surrobench.results.folder import Results

    kind, results = _in_order(kind, results)
    check_suffix(out)
    save(_chart([Results(folder) for folder in results], kind, options), out)
    output.say(f"Figure: {out}")


def _in_order(kind: str, results: tuple[Path, ...]) -> tuple[str, tuple[Path, ...]]:
    """Return the kind and the folders, also where the kind was written last, as in earlier versions.

    Raises:
        UnknownName: no word is a kind; a near miss is named.
    """
    from surrobench.errors import UnknownName

    if kind in KINDS:
        return kind, results
    last = str(results[-1])
    if last not in KINDS:
        raise UnknownName("kind of figure", last if Path(kind).exists() else kind, KINDS)
    folders = (find_results(Path(kind)), *results[:-1])
    shown = " ".join(map(str, folders))
    say_renamed(f"'plot {shown} {last}'", f"'plot {last} {shown}'")
    return last, folders


def _chart(folders: list[Results], kind: str, options: dict[str, Any]) -> Any:
    """Return the chart of one kind.

    Raises:
        UsageError: an option says what counts, and the kind shows all trials.
    """
    from surrobench.errors import UsageError
    from surrobench.report.figures import draw
    from surrobench.report.ranking.pipeline import Wanted, rank_study

    look = draw.look(options["width"], bare=options["bare"])
    if kind in draw.TRIALS:
        if given := counted(options):
            raise UsageError(
                f"{kind} shows all trials of the study's own runs, so {given[0]} has no meaning here.",
                "Leave it out, or draw curves, targets, profile, cd, heatmap or wins.",
            )
        of_trials = {name: options[name] for name in ("partial", "seeds", "colour")}
        return draw.of_trials(folders, kind, choice(options), **of_trials, **look)
    if kind not in draw.CURVES:
        wanted = Wanted(anchor=options["anchor"], alpha=options["alpha"], blocks=options["blocks"])
        # Only what is drawn over a unit needs the curves by it.
        ranking = rank_study(load(folders, options, units=()), wanted)
        return draw.of_ranking(ranking, kind, options["measure"], **look)
    unit: Any = _UNITS[options["x"]]
    drawn = {name: options[name] for name in _OF_CURVES}
    return draw.of_curves(load(folders, options, units=(unit,)), kind, unit, **drawn, **look)
