"""Figures with a line for each method, an interval around it, and its name at its end.

Sources: N. Hansen et al., COCO: Performance Assessment (2016) for targets reached; R. Agarwal et al., NeurIPS
34 (2021) for performance profiles with intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import altair as alt
import numpy as np
from numpy.typing import NDArray

from surrobench.errors import ResultsError, UnknownName
from surrobench.report.figures.theme import (
    COLUMN,
    LINE,
    NORMAL,
    SMALL,
    Margins,
    framed,
    line_at,
    spread,
    styles,
    text_at,
    text_width,
    wrapped,
)
from surrobench.stats.bands import Band, Over, band
from surrobench.stats.clusters import average_within
from surrobench.stats.curves import Curves, Measure
from surrobench.stats.steps import Unit

Floats = NDArray[np.float64]

HEIGHT = 130.0  # of a plot, at least
NAME = 62.0  # of a name at the end of a line; longer ones are wrapped
LEADER = 12.0  # from a line's end to its name
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
    """Mean regret of the incumbents over what was spent.

    A line begins where every run of its method has observed something.

    Args:
        curves: of all methods.
        measure: quantile or normalised regret.
        control: the method drawn in grey.
        over: what the intervals are over; None: no intervals.
        clusters: of instances that are one block, such as those of one data set: the block of each.
        log_x: a logarithmic axis of what was spent.
        log_y: a logarithmic axis of regret.
        width: of the figure, in points.
        bare: without title and notes.

    Raises:
        UnknownName: there is no such measure.
        ResultsError: no method has any line.
    """
    if measure not in _MEASURES:
        raise UnknownName("measure", measure, _MEASURES)
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
    return _figure(
        curves.methods,
        curves.grid,
        _Axis(curves.grid[known.any(axis=0)], _UNITS[curves.unit], log_x),
        _Axis(
            np.array([floor, np.where(known, found.high, -np.inf).max()]),
            _MEASURES[measure],
            log_y,
            upright=True,
        ),
        found,
        known,
        control=control,
        width=width,
        title="" if bare else f"Incumbents over {_over(curves.unit)}",
        notes=[] if bare else [_means(curves, found, over, clusters) + _remarks(curves, known)],
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
    """The share of targets that incumbents have reached over what was spent: an ECDF of first hits.

    Args:
        curves: of all methods.
        targets: quantile regrets.
        control: the method drawn in grey.
        over: what the intervals are over; None: no intervals.
        clusters: of instances that are one block, such as those of one data set: the block of each.
        log_x: a logarithmic axis of what was spent.
        width: of the figure, in points.
        bare: without title and notes.
    """
    wanted = np.sort(np.asarray(targets, dtype=np.float64))
    # Once reached a target stays so, even where noise lets the incumbent's mean rise again.
    best = np.fmin.accumulate(curves.quantile, axis=3)
    reached = len(wanted) - np.searchsorted(wanted, np.nan_to_num(best, nan=np.inf), side="left")
    found = _band(curves, reached / len(wanted), over, clusters)
    return _figure(
        curves.methods,
        curves.grid,
        _Axis(curves.grid, _UNITS[curves.unit], log_x),
        _Axis(np.array([0, 1]), "share of targets reached", log=False, upright=True),
        found,
        np.ones(found.mean.shape, dtype=bool),
        control=control,
        width=width,
        title="" if bare else f"Targets reached over {_over(curves.unit)}",
        notes=[]
        if bare
        else [
            f"{len(wanted)} targets of quantile regret, {wanted[-1]:.2g} to {wanted[0]:.2g}, in even ratios. "
            + _means(curves, found, over, clusters)
            + _ended(curves)
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
    """The share of runs that end with a regret of at most tau, over tau.

    Args:
        curves: of all methods; their last point counts, which all should have been given.
        measure: quantile or normalised regret.
        trials: after how many the curves are cut, in whatever unit they are; None: they are not.
        control: the method drawn in grey.
        over: what the intervals are over; None: no intervals.
        clusters: of instances that are one block, such as those of one data set: the block of each.
        width: of the figure, in points.
        bare: without title and notes.

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
    return _figure(
        curves.methods,
        tau,
        _Axis(tau, f"tau: {_MEASURES[measure]}", log=True),
        _Axis(np.array([0, 1]), "share of runs with at most tau", log=False, upright=True),
        found,
        np.ones(found.mean.shape, dtype=bool),
        control=control,
        width=width,
        title="" if bare else f"Performance profiles after {at}",
        notes=[]
        if bare
        else ["The higher the better. " + _means(curves, found, over, clusters) + _ended(curves)],
        names_at="middle",
    )


def _band(
    curves: Curves,
    values: Floats,
    over: Over | None,
    clusters: Mapping[str, str],
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Band:
    """Mean and interval of values of shape (n, k, s, t), each block of instances counted once."""
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
    """Said where runs were not given the same, or ended by themselves."""
    return " A run that has ended counts with its last incumbent." if np.ptp(curves.end) > 0 else ""


# ---------------------------------------------------------------------- the drawing


@dataclass(frozen=True)
class _Axis:
    """An axis from the first to the last of ``points``."""

    points: Floats
    title: str
    log: bool
    upright: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        low, high = float(self.points[0]), float(self.points[-1])
        if self.log and low <= 0:
            low = float(min(self.points[self.points > 0], default=high / 10))
        return (low, high) if high > low else (low, low * 2 if low > 0 else low + 1)

    def place(self, value: float, length: float) -> float:
        """Where a value stands, in points from the axis's beginning."""
        low, high = self.ends
        if self.log:
            return math.log(max(value, low) / low) / math.log(high / low) * length
        return (value - low) / (high - low) * length

    def ticks(self, length: float) -> list[float]:
        """Values to write down: on a log axis powers of ten, with twos and fives or threes if they fit."""
        low, high = self.ends
        candidates: list[list[float]] = []
        if self.log:
            decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for every, factors in ((1, (1, 2, 5)), (1, (1, 3)), (1, (1,)), (2, (1,)), (3, (1,)), (5, (1,))):
                candidates.append(
                    [float(f"{f}e{decade}") for decade in decades for f in factors if decade % every == 0]
                )
        else:
            finest = math.floor(math.log10((high - low) / 10))
            for step in (factor * 10.0 ** (finest + more) for more in (0, 1) for factor in (1, 2, 5)):
                multiples = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
                candidates.append([float(f"{step * i:.12g}") for i in multiples])
        inside = [
            [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
            for values in candidates
        ]
        return next((values for values in inside if self._fit(values, length)), inside[-1][:1])

    def _fit(self, values: Sequence[float], length: float) -> bool:
        """Whether the labels keep clear of each other."""
        for one, other in pairwise(values):
            between = self.place(other, length) - self.place(one, length)
            wide = (text_width(_tick(one), SMALL) + text_width(_tick(other), SMALL)) / 2 + 6
            if between < (2 * LINE if self.upright else max(wide, 20)):
                return False
        return True

    def encoded(self, channel: Any, field: str, length: float) -> Any:
        ticks = self.ticks(length)
        return channel(
            f"{field}:Q",
            title=self.title,
            scale=alt.Scale(type="log" if self.log else "linear", domain=list(self.ends), nice=False),
            axis=alt.Axis(values=ticks, labelExpr=TICK_LABEL, labelOverlap=False, labelFlush=False),
        )

    def label_width(self, length: float) -> float:
        return max((text_width(_tick(value), SMALL) for value in self.ticks(length)), default=10)


def _tick(value: float) -> str:
    """A tick's label: 1e-4, 0.02, 5, 15k."""
    if value and abs(value) < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(factor, 1e4):
            return f"{value / factor:g}{prefix}"
    return f"{value:g}"


TICK_LABEL = (
    "datum.value != 0 && abs(datum.value) < 0.001 ? format(datum.value, '~e')"
    " : format(datum.value, abs(datum.value) < 1e4 ? '~g' : '~s')"
)
"""``_tick`` in Vega's language."""


def _figure(
    methods: Sequence[str],
    grid: Floats,
    x: _Axis,
    y: _Axis,
    found: Band,
    known: NDArray[np.bool_],
    *,
    control: str,
    width: float,
    title: str,
    notes: Sequence[str],
    names_at: Literal["end", "middle"] = "end",
) -> Any:
    """Bands, lines and names; ``known`` says at which points of ``grid`` there is a line."""
    looks = styles(methods, control)
    names = [wrapped(method, NAME, SMALL) for method in methods]
    heights = [LINE * len(lines) for lines in names]
    height = max(HEIGHT, sum(heights) + 4)
    left = 18 + y.label_width(height)
    right = 6 + LEADER + max(text_width(line, SMALL) for lines in names for line in lines)
    plot = width - left - right

    def down(value: float) -> float:
        return height - y.place(value, height)

    areas, lines, marks = [], [], []
    low, high = y.ends
    for j, method in enumerate(methods):
        style, drawn = looks[method], np.flatnonzero(known[j] & (grid >= x.ends[0]))
        points = [
            {
                "method": method,
                "x": float(grid[g]),
                "mean": _within(found.mean[j, g], low, high),
                "low": _within(found.low[j, g], low, high),
                "high": _within(found.high[j, g], low, high),
            }
            for g in drawn
        ]
        if not points:
            continue
        chart = alt.Chart({"values": points})
        across = x.encoded(alt.X, "x", plot)
        if (found.low[j] < found.high[j]).any():
            areas.append(
                chart.mark_area(
                    interpolate="step-after",
                    color=style.colour,
                    fillOpacity=0.18 if len(methods) <= 8 else 0.08,
                ).encode(x=across, y=y.encoded(alt.Y, "low", height), y2="high:Q")
            )
        lines.append(
            chart.mark_line(
                interpolate="step-after", color=style.colour, strokeWidth=1.2, strokeDash=list(style.dash)
            ).encode(
                x=across,
                y=y.encoded(alt.Y, "mean", height),
                tooltip=[alt.Tooltip("method:N"), alt.Tooltip("x:Q"), alt.Tooltip("mean:Q", format=".4g")],
            )
        )
    level: Callable[[int], float] = lambda j: down(found.mean[j, -1])  # noqa: E731
    if names_at == "middle":  # all lines end at the same height: names stand in their order, beside a sample
        level = lambda j: down(float(np.mean(found.mean[j])))  # noqa: E731
    wanted = [level(j) for j in range(len(methods))]
    for j, at in enumerate(spread(wanted, heights, -2, height + 2)):
        begin = wanted[j] if names_at == "end" else at
        marks.append(line_at(plot + 1, begin, plot + LEADER - 1, at, looks[methods[j]], width=1.2))
        for i, line in enumerate(names[j]):
            marks.append(text_at(line, plot + LEADER + 1, at + LINE * (i - (len(names[j]) - 1) / 2)))
    return framed(
        [*areas, *lines, *marks],
        width=width,
        height=height,
        margins=Margins(left, right, 6, 17 + NORMAL),
        title=title,
        notes=notes,
    )


def _within(value: float, low: float, high: float) -> float:
    return float(min(max(value, low), high))
