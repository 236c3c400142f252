"""Figures with a line for each method, an interval around it, and its name at its end.

Sources: N. Hansen et al., COCO: Performance Assessment (2016) for targets reached; R. Agarwal et al., NeurIPS
34 (2021) for performance profiles with intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrobench.arrays import Floats
from surrobench.errors import ResultsError, UnknownName
from surrobench.report.figures.axis import Axis
from surrobench.report.figures.lines import Lines, line_figure
from surrobench.report.figures.theme import COLUMN
from surrobench.stats.bands import Band, Over, band
from surrobench.stats.clusters import average_within
from surrobench.stats.curves import Curves, Measure
from surrobench.stats.steps import Unit

TARGETS = np.geomspace(0.5, 1e-4, 51)
"""Quantile regrets: from what every second random trial reaches to what takes ten thousand of them."""

NONE: Mapping[str, str] = MappingProxyType({})

_UNITS = {
    "trials": "trials",
    "equivalents": "full-fidelity equivalents",
    "seconds": "simulated seconds",
    "tokens": "tokens",
}
_MEASURES = {"quantile": "quantile regret", "normalised": "normalised regret"}


def anytime_chart(
    curves: Curves,
    *,
    measure: Measure = "quantile",
    control: str = "",
    over: Over | None = "seeds",
    clusters: Mapping[str, str] = NONE,
    log_x: bool = False,
    log_y: bool = True,
    width: float = COLUMN,
    bare: bool = False,
) -> Any:
    """Draw the mean regret of the incumbents over what was spent.

    A line begins where every run of its method has observed something.

    Args:
        curves: of all methods.
        measure: quantile or normalised regret.
        control: the method that is drawn in grey.
        over: what the intervals are over; None for no intervals.
        clusters: instance -> its block, for instances that are one block, such as those of one data set.
        log_x: whether the axis of what was spent is logarithmic.
        log_y: whether the axis of regret is logarithmic.
        width: the width of the figure, in points.
        bare: whether to leave out title and notes.

    Raises:
        UnknownName: there is no such measure.
        ResultsError: no method has any line.
    """
    if measure not in _MEASURES:
        raise UnknownName("measure", measure, _MEASURES)
    everyone, curves = curves.methods, _of_spenders(curves)
    values = curves.quantile if measure == "quantile" else curves.normalised
    known = np.asarray(~np.isnan(values).any(axis=(0, 2)))
    if not known.any():
        raise ResultsError("There is no point at which all runs of a method have observed something.")
    values = np.nan_to_num(values, nan=1.0)
    most = 1.0 if measure == "quantile" else np.inf
    # Regret below zero: a run on a surrogate may exceed the best value known before it.
    found = _band(curves, values, over, clusters, (0.0 if values.min() >= 0 else -np.inf, most))
    lowest = float(np.where(known & (found.mean > 0), found.mean, np.inf).min())
    log_y = log_y and bool(np.isfinite(lowest))
    least = float(np.where(known, found.low, np.inf).min())
    # A band may come arbitrarily close to zero: on a log axis it leaves the figure a decade below the lines.
    floor = max(least, lowest / 10) if log_y else min(0.0, least)
    return line_figure(
        _lines(curves, found, known, everyone),
        Axis(_closed(curves)[np.append(known.any(axis=0), True)], _UNITS[curves.unit], log_x),
        Axis(
            np.array([floor, np.where(known, found.high, -np.inf).max()]),
            _MEASURES[measure],
            log_y,
            upright=True,
        ),
        control=control,
        width=width,
        title="" if bare else f"Incumbents over {_over(curves.unit)}",
        notes=[]
        if bare
        else [
            _means(curves, found, over, clusters) + _remarks(curves, known) + _on_the_free(curves, everyone)
        ],
    )


def targets_chart(
    curves: Curves,
    *,
    targets: Sequence[float] | Floats = TARGETS,
    control: str = "",
    over: Over | None = "seeds",
    clusters: Mapping[str, str] = NONE,
    log_x: bool = True,
    width: float = COLUMN,
    bare: bool = False,
) -> Any:
    """Draw the share of targets that incumbents have reached over what was spent: an ECDF of first hits.

    Args:
        curves: of all methods.
        targets: quantile regrets.
        control: the method that is drawn in grey.
        over: what the intervals are over; None for no intervals.
        clusters: instance -> its block, for instances that are one block, such as those of one data set.
        log_x: whether the axis of what was spent is logarithmic.
        width: the width of the figure, in points.
        bare: whether to leave out title and notes.
    """
    everyone, curves = curves.methods, _of_spenders(curves)
    wanted = np.sort(np.asarray(targets, dtype=np.float64))
    # Once reached a target stays so, even where noise lets the incumbent's mean rise again.
    best = np.fmin.accumulate(curves.quantile, axis=3)
    reached = len(wanted) - np.searchsorted(wanted, np.nan_to_num(best, nan=np.inf), side="left")
    found = _band(curves, reached / len(wanted), over, clusters)
    return line_figure(
        _lines(curves, found, np.ones(found.mean.shape, dtype=bool), everyone),
        Axis(_closed(curves), _UNITS[curves.unit], log_x),
        Axis(np.array([0, 1]), "share of targets reached", log=False, upright=True),
        control=control,
        width=width,
        title="" if bare else f"Targets reached over {_over(curves.unit)}",
        notes=[]
        if bare
        else [
            f"{len(wanted)} targets of quantile regret, {wanted[-1]:.2g} to {wanted[0]:.2g}, in even ratios. "
            + _means(curves, found, over, clusters)
            + _ended(curves)
            + _on_the_free(curves, everyone)
        ],
    )


def profile_chart(
    curves: Curves,
    *,
    measure: Measure = "quantile",
    trials: int | None = None,
    control: str = "",
    over: Over | None = "seeds",
    clusters: Mapping[str, str] = NONE,
    width: float = COLUMN,
    bare: bool = False,
) -> Any:
    """Draw the share of runs that end with a regret of at most tau, over tau.

    Args:
        curves: of all methods; their last point counts, which all should have been given.
        measure: quantile or normalised regret.
        trials: after how many trials the curves are cut, whatever their unit; None if they are not cut.
        control: the method that is drawn in grey.
        over: what the intervals are over; None for no intervals.
        clusters: instance -> its block, for instances that are one block, such as those of one data set.
        width: the width of the figure, in points.
        bare: whether to leave out title and notes.

    Raises:
        UnknownName: there is no such measure.
    """
    if measure not in _MEASURES:
        raise UnknownName("measure", measure, _MEASURES)
    final = (curves.quantile if measure == "quantile" else curves.normalised)[..., -1]
    positive = final[final > 0]
    least, most = (positive.min(), positive.max()) if positive.size else (1e-6, 1.0)
    tau = np.geomspace(max(least, most * 1e-8), max(most, least * 1.01), 200)
    found = _band(curves, (final[..., None] <= tau * (1 + 1e-9)).astype(np.float64), over, clusters)
    at = f"{curves.grid[-1]:,g} {_UNITS[curves.unit]}" if trials is None else f"{trials:,} trials"
    return line_figure(
        Lines(curves.methods, tau, found, np.ones(found.mean.shape, dtype=bool)),
        Axis(tau, f"tau: {_MEASURES[measure]}", log=True),
        Axis(np.array([0, 1]), "share of runs with at most tau", log=False, upright=True),
        control=control,
        width=width,
        title="" if bare else f"Performance profiles after {at}",
        notes=[]
        if bare
        else ["The higher the better. " + _means(curves, found, over, clusters) + _ended(curves)],
        names_at="middle",
    )


def _of_spenders(curves: Curves) -> Curves:
    """Return the curves of the methods that spend something in the unit; all, where none does.

    A method without a language model has its last value before the first token, and no curve over tokens.
    """
    spends = np.asarray(curves.end.max(axis=(0, 2)) > 0)
    if spends.all() or not spends.any():
        return curves
    return replace(
        curves,
        methods=tuple(name for name, spent in zip(curves.methods, spends, strict=True) if spent),
        quantile=curves.quantile[:, spends],
        normalised=curves.normalised[:, spends],
        end=curves.end[:, spends],
    )


def _on_the_free(curves: Curves, everyone: Sequence[str]) -> str:
    """Return what to say of the methods that have no curve; empty where all have one."""
    free = [name for name in everyone if name not in curves.methods]
    return f" No {_UNITS[curves.unit]} are spent by {', '.join(free)}." if free else ""


def _closed(curves: Curves) -> Floats:
    """Return the points of the curves and their end: the last trial is as wide as any other."""
    return np.append(curves.grid, curves.grid[-1] + (curves.unit == "trials"))


def _lines(curves: Curves, found: Band, known: NDArray[np.bool_], everyone: Sequence[str]) -> Lines:
    """Return the lines of the methods; the last value reaches the end of ``_closed``."""

    def closed(values: Floats) -> Floats:
        return np.concatenate([values, values[:, -1:]], axis=1)

    held = Band(closed(found.mean), closed(found.low), closed(found.high), found.level, found.over)
    return Lines(
        curves.methods, _closed(curves), held, np.concatenate([known, known[:, -1:]], axis=1), everyone
    )


def _band(
    curves: Curves,
    values: Floats,
    over: Over | None,
    clusters: Mapping[str, str],
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Band:
    """Return mean and interval of values of shape (n, k, s, t), each block of instances counted once."""
    if _blocks(curves, clusters) < len(curves.instances):
        values, _ = average_within(values, [clusters.get(name, name) for name in curves.instances])
    found = band(values, over=over or "seeds", bounds=bounds)
    return found if over else Band(found.mean, found.mean, found.mean, found.level, found.over)


def _blocks(curves: Curves, clusters: Mapping[str, str]) -> int:
    return len({clusters.get(name, name) for name in curves.instances})


def _over(unit: Unit) -> str:
    return "simulated time" if unit == "seconds" else _UNITS[unit]


def _means(curves: Curves, found: Band, over: Over | None, clusters: Mapping[str, str]) -> str:
    n, s, blocks = len(curves.instances), len(curves.seeds), _blocks(curves, clusters)
    of_instances = f"{n} instance{'s' * (n > 1)}"
    if blocks < n:
        of_instances = f"{blocks} data set{'s' * (blocks > 1)} ({of_instances})"
    text = f"Mean over {of_instances} of {s} seed{'s' * (s > 1)} each."
    if over is None or (found.low == found.high).all():
        return text
    both = "instances and their seeds" if blocks == n else "data sets and seeds"
    of = "seeds, on these instances" if over == "seeds" else both
    return f"{text} Bands: pointwise {found.level:.0%} t intervals over {of}.".replace("%", " %")


def _remarks(curves: Curves, known: NDArray[np.bool_]) -> str:
    late = "" if known.all() else " A line begins where all runs of its method have observed something."
    return late + _ended(curves)


def _ended(curves: Curves) -> str:
    """Return what to say where runs were not given the same, or ended by themselves."""
    return " A run that has ended counts with its last incumbent." if np.ptp(curves.end) > 0 else ""
