"""``surrobench plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli.options import choice, counted, load, of_study

if TYPE_CHECKING:
    from surrobench.report.data.study_data import StudyData
    from surrobench.results.folder import Results

KINDS = {
    "cd": "critical-difference diagram of the mean ranks",
    "curves": "mean regret of the incumbents over trials, time or tokens, with intervals",
    "targets": "share of targets reached over trials, time or tokens (ECDF), with intervals",
    "profile": "share of runs with a regret of at most tau, with intervals",
    "heatmap": "rank or regret of every method on every instance",
    "wins": "wins, ties and losses of every pair of methods",
    "proposals": "what was proposed on one benchmark, as parallel coordinates",
    "origins": "which source had proposed the incumbents",
}
_UNITS = {"trials": "trials", "time": "seconds", "tokens": "tokens", "equivalents": "equivalents"}


def _known(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """One of ``KINDS``; a near miss is named."""
    if value not in KINDS:
        from surrobench.errors import UnknownName

        raise UnknownName("kind of figure", value, KINDS)
    return value


@click.command(epilog="Kinds: " + "; ".join(f"{kind}: {what}" for kind, what in KINDS.items()) + ".")
@of_study
@click.argument("kind", callback=_known)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="File: .svg, .png, .pdf or .html."
)
@click.option(
    "--x",
    type=click.Choice(list(_UNITS)),
    default="trials",
    show_default=True,
    help="curves, targets, profile: what was spent. Time is simulated.",
)
@click.option("--log-x/--linear-x", default=None, help="[default: curves linear over trials, else log]")
@click.option("--log-y/--linear-y", default=True, show_default=True, help="curves: the axis of regret.")
@click.option(
    "--measure",
    type=click.Choice(["rank", "quantile", "normalised"]),
    help="Regret of curves, profile; cells of heatmap.  [default: quantile; heatmap: rank]",
)
@click.option(
    "--interval",
    type=click.Choice(["seeds", "instances", "none"]),
    default="seeds",
    show_default=True,
    help="What the bands are over: seeds (on these instances), or instances and their seeds.",
)
@click.option("--seed", "seeds", type=int, multiple=True, help="proposals: which.  [default: the first]")
@click.option(
    "--color",
    "colour",
    type=click.Choice(["loss", "source"]),
    default="loss",
    show_default=True,
    help="proposals: what their colour says.",
)
@click.option(
    "--width",
    type=click.Choice(["column", "page"]),
    default="column",
    show_default=True,
    help="Of print: 3.3 or 6.9 inches.",
)
@click.option("--bare", is_flag=True, help="Without title and notes, for a caption that says it.")
def command(results: tuple[Path, ...], kind: str, out: Path, **options: Any) -> None:
    """Draw a figure of the studies in RESULTS, one folder or several. KIND is listed below.

    \b
    Examples:
      surrobench plot results/quick curves --out curves.svg
      surrobench plot results/quick heatmap --measure quantile --out heatmap.pdf
      surrobench plot results/quick proposals --benchmark hpobench/mlp/car --method tpe --out tpe.png
    """
    from surrobench.report.figures.save import check_suffix, save
    from surrobench.results.folder import Results

    check_suffix(out)
    save(_chart([Results(folder) for folder in results], kind, options), out)
    click.echo(f"Figure: {out}", err=True)


def _chart(folders: list[Results], kind: str, options: dict[str, Any]) -> Any:
    from surrobench.report.figures.theme import COLUMN, PAGE

    look = {"width": COLUMN if options["width"] == "column" else PAGE, "bare": options["bare"]}
    if kind in {"proposals", "origins"}:
        return _of_trials(folders, kind, options, look)
    # Only what is drawn over it needs the curves by a unit.
    curves = kind in {"curves", "targets", "profile"}
    study = load(folders, options, units=(_UNITS[options["x"]],) if curves else ())
    return (_of_curves if curves else _of_ranking)(study, kind, options, look)


def _of_trials(folders: list[Results], kind: str, options: dict[str, Any], look: dict[str, Any]) -> Any:
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
    from surrobench.report.figures.critical_difference import cd_chart
    from surrobench.report.figures.matrix import heat_map, win_tie_loss
    from surrobench.report.ranking.pipeline import Wanted, rank_study

    wanted = Wanted(anchor=options["anchor"], alpha=options["alpha"], blocks=options["blocks"])
    ranking = rank_study(study, wanted)
    if kind == "heatmap":
        return heat_map(ranking, measure=options["measure"] or "rank", **look)
    return cd_chart(ranking, **look) if kind == "cd" else win_tie_loss(ranking, **look)


def _of_curves(study: StudyData, kind: str, options: dict[str, Any], look: dict[str, Any]) -> Any:
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
