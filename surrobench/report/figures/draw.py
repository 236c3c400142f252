"""Draw a figure of a study by its kind; every chart displays in a notebook without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from surrobench.errors import ResultsError, UnknownName, UsageError
from surrobench.report.data.load import RunFilter
from surrobench.report.data.seed_array import with_unit
from surrobench.report.data.study_data import Blocks, StudyData
from surrobench.report.figures.critical_difference import cd_chart
from surrobench.report.figures.curves import anytime_chart, profile_chart, targets_chart
from surrobench.report.figures.data import load_origins, load_proposals
from surrobench.report.figures.matrix import heat_map, win_tie_loss
from surrobench.report.figures.offline import displayable
from surrobench.report.figures.proposals import origins_chart, parallel_coordinates
from surrobench.report.figures.theme import COLUMN, PAGE
from surrobench.report.ranking.model import Ranking
from surrobench.results.folder import Results
from surrobench.stats.regret import Anchor
from surrobench.stats.steps import Unit

OfCurves = Literal["curves", "targets", "profile"]
OfRanking = Literal["cd", "heatmap", "wins"]
OfTrials = Literal["proposals", "origins"]
Kind = Literal["curves", "targets", "profile", "cd", "heatmap", "wins", "proposals", "origins"]
Measure = Literal["rank", "quantile", "normalised"]
Interval = Literal["seeds", "instances", "none"]
Width = Literal["column", "page"]
CURVES: tuple[str, ...] = get_args(OfCurves)
RANKING: tuple[str, ...] = get_args(OfRanking)
TRIALS: tuple[str, ...] = get_args(OfTrials)


def check_kind(kind: str) -> None:
    """Raise an error that names the near miss where there is no such kind of figure.

    Raises:
        UnknownName: there is none.
    """
    if kind not in get_args(Kind):
        raise UnknownName("kind of figure", kind, get_args(Kind))


def look(width: Width, *, bare: bool) -> dict[str, Any]:
    """Return how a figure looks, as the other functions of this module take it.

    Args:
        width: of a printed ``column`` or ``page``.
        bare: whether title and notes are left out.

    Raises:
        UsageError: there is no such width.
    """
    widths = {"column": COLUMN, "page": PAGE}
    if width not in widths:
        raise UsageError(f"A figure is as wide as a column or a page, not {width!r}.")
    return {"width": widths[width], "bare": bare}


def of_trials(
    folders: Sequence[Results],
    kind: str,
    choice: RunFilter,
    *,
    partial: bool = False,
    seeds: Sequence[int] = (),
    colour: Literal["loss", "source"] = "loss",
    **look: Any,
) -> Any:
    """Return a figure of the trials themselves, which no budget and no external results can change.

    Args:
        folders: the results.
        kind: ``proposals`` or ``origins``.
        choice: which part of them.
        partial: in ``origins``, leave out benchmarks on which a run is missing.
        seeds: whose ``proposals`` are shown; by default the first.
        colour: what the colours of ``proposals`` mean.
        look: see the function ``look``.

    Raises:
        ResultsError: runs are missing.
        UsageError: the proposals are of more than one benchmark.
    """
    if kind == "origins":
        return displayable(origins_chart(load_origins(folders, choice=choice, partial=partial), **look))
    proposals = load_proposals(folders, choice=choice, seeds=seeds)
    return displayable(parallel_coordinates(proposals, colour=colour, **look))


def of_ranking(ranking: Ranking, kind: str, measure: Measure | None = None, **look: Any) -> Any:
    """Return a figure of a ranking.

    Args:
        ranking: what is shown.
        kind: ``cd``, ``heatmap`` or ``wins``.
        measure: in the cells of a heatmap; by default the rank.
        look: see the function ``look``.
    """
    if kind == "heatmap":
        return displayable(heat_map(ranking, measure=measure or "rank", **look))
    return displayable(cd_chart(ranking, **look) if kind == "cd" else win_tie_loss(ranking, **look))


def of_curves(
    study: StudyData,
    kind: str,
    unit: Unit = "trials",
    *,
    measure: Measure | None = None,
    anchor: Anchor = "median",
    interval: Interval = "seeds",
    blocks: Blocks = "data-set",
    log_x: bool | None = None,
    log_y: bool = True,
    **look: Any,
) -> Any:
    """Return a figure of anytime curves.

    Args:
        study: loaded with the unit.
        kind: ``curves``, ``targets`` or ``profile``.
        unit: what was spent.
        measure: which regret; by default the quantile regret.
        anchor: the reference value whose normalised regret is 1.
        interval: what bands are over.
        blocks: whether instances of one data set count as one in bands over instances.
        log_x: whether the axis of what was spent is logarithmic; by default of all but curves over trials.
        log_y: whether the axis of regret is.
        look: see the function ``look``.

    Raises:
        UsageError: the measure is no regret.
        ResultsError: no run has spent any of the unit.
        DataError: no benchmark has a normalised regret, which is to be shown.
    """
    if measure == "rank":
        raise UsageError(f"{kind} shows a regret, not ranks.", "Choose the measure quantile or normalised.")
    shown: Any = measure or "quantile"
    # A profile compares at one point, which all runs must have been given; the others show all there is.
    if shown == "normalised" and kind != "targets":
        study = study.on(with_unit(study, anchor))
    common = study.common_trials if kind == "profile" else None
    everything = study.anytime(anchor, common)
    if everything.horizon(unit) <= 0:
        raise ResultsError(f"No run has spent any {unit}.", "Draw over trials or simulated time.")
    curves = everything.curves(unit, measures=["quantile" if kind == "targets" else shown])
    logarithmic = log_x if log_x is not None else kind == "targets" or unit != "trials"
    clusters = study.blocks if blocks == "data-set" else {}
    over = None if interval == "none" else interval
    shared: Any = {"control": study.control, "over": over, "clusters": clusters, **look}
    if kind == "curves":
        return displayable(anytime_chart(curves, measure=shown, log_x=logarithmic, log_y=log_y, **shared))
    if kind == "targets":
        return displayable(targets_chart(curves, log_x=logarithmic, **shared))
    # Where something else ended all runs before, these are not what they were compared after.
    trials = common if everything.horizon("trials") == common else None
    return displayable(profile_chart(curves, measure=shown, trials=trials, **shared))
