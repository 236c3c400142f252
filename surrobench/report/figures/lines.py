"""Draw a line for each method over a common axis, an interval around it, and its name at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np
from numpy.typing import NDArray

from surrobench.arrays import Floats
from surrobench.report.figures.axis import Axis
from surrobench.report.figures.theme import (
    LINE,
    NORMAL,
    SMALL,
    Margins,
    Style,
    framed,
    line_at,
    spread,
    styles,
    text_at,
    text_width,
    wrapped,
)
from surrobench.stats.bands import Band

HEIGHT = 130.0  # of a plot, at least
NAME = 62.0  # of a name at the end of a line; longer ones are wrapped
LEADER = 12.0  # from a line's end to its name
FEW = 8
"""Methods up to which bands are dark enough to be told apart."""


@dataclass(frozen=True)
class Lines:
    """Lines of k methods over t points.

    Attributes:
        methods: the names.
        grid: shape (t,), the points.
        band: means and intervals, each of shape (k, t).
        known: shape (k, t), where there is a line.
        among: all methods of the figure's study, which have the same colours whoever of them is shown; by
            default those that are shown.
    """

    methods: Sequence[str]
    grid: Floats
    band: Band
    known: NDArray[np.bool_]
    among: Sequence[str] = ()


def line_figure(
    lines: Lines,
    x: Axis,
    y: Axis,
    *,
    control: str,
    width: float,
    title: str,
    notes: Sequence[str],
    names_at: Literal["end", "middle"] = "end",
) -> Any:
    """Draw bands, lines and names.

    Args:
        lines: what to draw.
        x: the axis of ``lines.grid``.
        y: the axis of means and intervals.
        control: the method drawn in grey.
        width: of the figure, in points.
        title: of the figure; "" for none.
        notes: below the title.
        names_at: whether a name stands at the height of its line's end; or of its middle, where all lines end
            at the same height.
    """
    names = [wrapped(method, NAME, SMALL) for method in lines.methods]
    height = max(HEIGHT, LINE * sum(map(len, names)) + 4)
    left = 18 + y.label_width(height)
    right = 6 + LEADER + max(text_width(line, SMALL) for name in names for line in name)
    plot = width - left - right
    looks = [styles(lines.among or lines.methods, control)[method] for method in lines.methods]
    areas, drawn = _layers(lines, looks, (x, plot), (y, height))
    mean = lines.band.mean
    ends = mean[:, -1] if names_at == "end" else mean.mean(axis=1)
    wanted = [height - y.place(float(end), height) for end in ends]
    return framed(
        [*areas, *drawn, *_names(names, looks, wanted, plot, height, sampled=names_at == "middle")],
        width=width,
        height=height,
        margins=Margins(left, right, 6, 17 + NORMAL),
        title=title,
        notes=notes,
    )


def _layers(
    lines: Lines, looks: Sequence[Style], across: tuple[Axis, float], upwards: tuple[Axis, float]
) -> tuple[list[alt.Chart], list[alt.Chart]]:
    """Return the bands and the lines; an axis comes with its length in points."""
    areas, drawn = [], []
    (x, plot), (y, height) = across, upwards
    low, high = y.ends
    for j, (method, style) in enumerate(zip(lines.methods, looks, strict=True)):
        at = np.flatnonzero(lines.known[j] & (lines.grid >= x.ends[0]))
        mean, least, most = (
            np.clip(values[j, at], low, high).tolist()
            for values in (lines.band.mean, lines.band.low, lines.band.high)
        )
        points = [
            {"method": method, "x": x_, "mean": mean_, "low": low_, "high": high_}
            for x_, mean_, low_, high_ in zip(lines.grid[at].tolist(), mean, least, most, strict=True)
        ]
        if not points:
            continue
        chart = alt.Chart({"values": points})
        encoded = x.encoded(alt.X, "x", plot)
        if (lines.band.low[j] < lines.band.high[j]).any():
            shade = 0.18 if len(lines.methods) <= FEW else 0.08
            areas.append(
                chart.mark_area(interpolate="step-after", color=style.colour, fillOpacity=shade).encode(
                    x=encoded, y=y.encoded(alt.Y, "low", height), y2="high:Q"
                )
            )
        drawn.append(
            chart.mark_line(
                interpolate="step-after", color=style.colour, strokeWidth=1.2, strokeDash=list(style.dash)
            ).encode(
                x=encoded,
                y=y.encoded(alt.Y, "mean", height),
                tooltip=[alt.Tooltip("method:N"), alt.Tooltip("x:Q"), alt.Tooltip("mean:Q", format=".4g")],
            )
        )
    return areas, drawn


def _names(
    names: Sequence[Sequence[str]],
    looks: Sequence[Style],
    wanted: Sequence[float],
    plot: float,
    height: float,
    *,
    sampled: bool,
) -> list[alt.Chart]:
    """Return the names beside the plot, each with a line to the end of its own; or with a sample of it."""
    marks = []
    heights = [LINE * len(lines) for lines in names]
    for j, at in enumerate(spread(wanted, heights, -2, height + 2)):
        begin = at if sampled else wanted[j]
        marks.append(line_at(plot + 1, begin, plot + LEADER - 1, at, looks[j], width=1.2))
        for i, line in enumerate(names[j]):
            marks.append(text_at(line, plot + LEADER + 1, at + LINE * (i - (len(names[j]) - 1) / 2)))
    return marks
