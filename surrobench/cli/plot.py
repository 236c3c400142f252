"""``surrobench plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option, say_renamed
from surrobench.cli.options import FILE, choice, counted, load, of_study
from surrobench.paths import find_results

if TYPE_CHECKING:
    from surrobench.report.data.study_data import StudyData
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
    type=int,
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
    """Return the chart of one kind."""
    from surrobench.report.figures.theme import COLUMN, PAGE

    look = {"width": COLUMN if options["width"] == "column" else PAGE, "bare": options["bare"]}
    if kind in {"proposals", "origins"}:
        return _of_trials(folders, kind, options, look)
    # Only what is drawn over it needs the curves by a unit.
    curves = kind in {"curves", "targets", "profile"}
    study = load(folders, options, units=(_UNITS[options["x"]],) if curves else ())
    return (_of_curves if curves else _of_ranking)(study, kind, options, look)


def _of_trials(folders: list[Results], kind: str, options: dict[str, Any], look: dict[str, Any]) -> Any:
    """Return a chart of the trials themselves, which no budget and no external results can change."""
    from surrobench.errors import UsageError
    from surrobench.report.figures.data import load_origins, load_proposals
    from surrobench.report.figures.proposals import origins_chart, parallel_coordinates

    if given := counted(options):
        raise UsageError(
            f"{kind} shows all trials of the study's own runs, so {given[0]} has no meaning here.",
            "Leave it out, or draw curves, targets, profile, cd, heatmap or wins.",
        )
    if kind == "origins":
        found = load_origins(folders, choice=choice(options), partial=options["partial"])
        return origins_chart(found, **look)
    proposals = load_proposals(folders, choice=choice(options), seeds=options["seeds"])
    return parallel_coordinates(proposals, colour=options["colour"], **look)


def _of_ranking(study: StudyData, kind: str, options: dict[str, Any], look: dict[str, Any]) -> Any:
    """Return a chart of a ranking."""
    from surrobench.report.figures.critical_difference import cd_chart
    from surrobench.report.figures.matrix import heat_map, win_tie_loss
    from surrobench.report.ranking.pipeline import Wanted, rank_study

    wanted = Wanted(anchor=options["anchor"], alpha=options["alpha"], blocks=options["blocks"])
    ranking = rank_study(study, wanted)
    if kind == "heatmap":
        return heat_map(ranking, measure=options["measure"] or "rank", **look)
    return cd_chart(ranking, **look) if kind == "cd" else win_tie_loss(ranking, **look)


def _of_curves(study: StudyData, kind: str, options: dict[str, Any], look: dict[str, Any]) -> Any:
    """Return a chart of step curves, or of where they end."""
    from surrobench.errors import ResultsError, UsageError
    from surrobench.report.figures.curves import anytime_chart, profile_chart, targets_chart

    measure: Any = options["measure"] or "quantile"
    if measure == "rank":
        raise UsageError(f"{kind} shows a regret, not ranks.", "Choose --measure quantile or normalised.")
    unit: Any = _UNITS[options["x"]]
    # A profile compares at one point, which all runs must have been given; the others show all there is.
    common = study.common_trials if kind == "profile" else None
    everything = study.anytime(options["anchor"], common)
    if everything.horizon(unit) <= 0:
        raise ResultsError(f"No run has spent any {unit}.", "Draw over --x trials or --x time.")
    curves = everything.curves(unit, measures=["quantile" if kind == "targets" else measure])
    log_x = options["log_x"] if options["log_x"] is not None else kind == "targets" or unit != "trials"
    over = None if options["interval"] == "none" else options["interval"]
    clusters = study.blocks if options["blocks"] == "data-set" else {}
    shared = {"control": study.control, "over": over, "clusters": clusters, **look}
    if kind == "curves":
        return anytime_chart(curves, measure=measure, log_x=log_x, log_y=options["log_y"], **shared)
    if kind == "targets":
        return targets_chart(curves, log_x=log_x, **shared)
    # Where something else ended all runs before, these are not what they were compared after.
    trials = common if everything.horizon("trials") == common else None
    return profile_chart(curves, measure=measure, trials=trials, **shared)
