"""``surrobench plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from surrobench.report.study import Study
    from surrobench.results import Results

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
@click.argument("results", type=click.Path(path_type=Path), nargs=-1, required=True)
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
    help="What the bands resample: seeds (on these instances), or instances and their seeds.",
)
@click.option(
    "--benchmark", "benchmarks", multiple=True, metavar="PATTERN", help="Only these; proposals: one."
)
@click.option("--method", "methods", multiple=True, metavar="PATTERN", help="Only these methods.")
@click.option(
    "--model", "models", multiple=True, metavar="PATTERN", help="Of the methods with a model, only these."
)
@click.option(
    "--variant", "variants", multiple=True, metavar="PATTERN", help="Of these, only with this prompt variant."
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
@click.option("--anchor", type=click.Choice(["median", "worst"]), default="median", show_default=True)
@click.option(
    "--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True
)
@click.option("--control", help="Method drawn in grey.  [default: the suite's]")
@click.option("--partial", is_flag=True, help="Leave out benchmarks on which a run is missing.")
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
    from surrobench.results import Results

    check_suffix(out)
    save(_chart([Results(folder) for folder in results], kind, options), out)
    click.echo(f"Figure: {out}", err=True)


def _chart(folders: list[Results], kind: str, options: dict[str, Any]) -> Any:
    from surrobench.report.figures.theme import COLUMN, PAGE
    from surrobench.report.gather import Choice

    look = {"width": COLUMN if options["width"] == "column" else PAGE, "bare": options["bare"]}
    choice = Choice(*(options[name] for name in ("benchmarks", "methods", "models", "variants")))
    if kind == "proposals":
        from surrobench.report.figures.proposals import parallel_coordinates
        from surrobench.report.plots import load_proposals

        found = load_proposals(folders, choice=choice, seeds=options["seeds"])
        return parallel_coordinates(found, colour=options["colour"], **look)
    if kind == "origins":
        from surrobench.report.figures.proposals import origins_chart
        from surrobench.report.plots import load_origins

        return origins_chart(load_origins(folders, choice=choice, partial=options["partial"]), **look)

    from surrobench.report.study import load_study

    unit: Any = _UNITS[options["x"]]
    study = load_study(
        folders,
        partial=options["partial"],
        choice=choice,
        control=options["control"],
        units=(unit,),
    )
    of = _of_curves if kind in {"curves", "targets", "profile"} else _of_ranking
    return of(study, kind, options, look)


def _of_ranking(study: Study, kind: str, options: dict[str, Any], look: dict[str, Any]) -> Any:
    from surrobench.report.figures.cd import cd_chart
    from surrobench.report.figures.matrix import heat_map, win_tie_loss
    from surrobench.report.ranking import rank_methods

    ranking = rank_methods(
        study.incumbents,
        study.references,
        control=study.control,
        anchor=options["anchor"],
        alpha=options["alpha"],
        models=study.models,
    )
    if kind == "heatmap":
        return heat_map(ranking, measure=options["measure"] or "rank", **look)
    return cd_chart(ranking, **look) if kind == "cd" else win_tie_loss(ranking, **look)


def _of_curves(study: Study, kind: str, options: dict[str, Any], look: dict[str, Any]) -> Any:
    from surrobench.errors import ResultsError, UsageError
    from surrobench.report.figures.curves import anytime_chart, profile_chart, targets_chart

    measure: Any = options["measure"] or "quantile"
    if measure == "rank":
        raise UsageError(f"{kind} shows a regret, not ranks.", "Choose --measure quantile or normalised.")
    unit: Any = _UNITS[options["x"]]
    everything = study.anytime(options["anchor"])
    if everything.horizon(unit) <= 0:
        raise ResultsError(f"No run has spent any {unit}.", "Draw over --x trials or --x time.")
    curves = everything.curves(unit)
    log_x = options["log_x"] if options["log_x"] is not None else kind == "targets" or unit != "trials"
    over = None if options["interval"] == "none" else options["interval"]
    shared = {"control": study.control, "over": over, **look}
    if kind == "curves":
        return anytime_chart(curves, measure=measure, log_x=log_x, log_y=options["log_y"], **shared)
    if kind == "targets":
        return targets_chart(curves, log_x=log_x, **shared)
    return profile_chart(curves, measure=measure, **shared)
