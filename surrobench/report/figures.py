"""The critical-difference diagram of a ranking, as SVG, PNG or PDF.

Source: J. Demšar, JMLR 7 (2006), figure 1. His axis has the best method on the right; here it is on the left,
first in reading order, as in the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import altair as alt
import vl_convert

from surrobench.errors import UsageError
from surrobench.report.ranking import Ranking

SUFFIXES = (".svg", ".png", ".pdf")

# vl-convert carries Liberation Sans: PNG and PDF look the same on every machine, and PDF embeds it. Arial and
# Helvetica have the same widths, so that an SVG keeps its layout where only they are installed.
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
Align = Literal["left", "center", "right"]
INK, FAINT = "#1a1a1a", "#5f5f5f"
# Okabe & Ito's blue: colour-blind readers tell it from the ink, and it prints dark enough to read. Never the
# only sign: methods with a language model have its name below theirs.
MODEL = "#0072b2"

# Pixels.
AXIS = 420
TICK = 7
BAR = 12  # between two levels of clique bars, and between two bars of one level
OVERHANG = 5  # of a bar beyond its group
ROW = 36
STUB = 46  # from a label to the axis's end: room for the mean rank
GAP = 8


def cd_diagram(ranking: Ranking, path: Path) -> None:
    """Draw the mean ranks, with a bar over each group that the Nemenyi test cannot tell apart.

    Args:
        ranking: two methods or more.
        path: where to; its suffix is the format. An existing file is replaced.

    Raises:
        UsageError: the suffix is none of ``SUFFIXES``, or there is only one method.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"Cannot draw a figure as {path.suffix or path.name!r}.", f"Name a file {', '.join(SUFFIXES)}."
        )
    if len(ranking.methods) < 2:
        raise UsageError("A critical-difference diagram needs two methods, but got one.")
    # One drawing for all three formats. What Altair calls "v6.4.1" is "v6.4" to vl-convert.
    version = alt.SCHEMA_VERSION.rpartition(".")[0]
    svg = vl_convert.vegalite_to_svg(cd_chart(ranking).to_dict(), vl_version=version)
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix.lower():
        case ".svg":
            path.write_text(svg, encoding="utf-8")
        case ".png":
            path.write_bytes(vl_convert.svg_to_png(svg, scale=3))  # sharp at a column's width in print
        case _:
            path.write_bytes(vl_convert.svg_to_pdf(svg))


def cd_chart(ranking: Ranking) -> alt.LayerChart:
    """The diagram as an Altair chart, laid out in pixels, y downwards."""
    k = len(ranking.methods)
    ranks = [float(rank) for rank in ranking.mean_rank]
    # At least this wide, so that title and subtitle fit.
    margin = max(130.0, *(_label_width(ranking, j) for j in range(k)))
    start = margin + GAP + STUB
    width = 2 * start + AXIS
    top = 62.0 if math.isfinite(ranking.nemenyi.critical_difference) else 28.0

    def x(rank: float) -> float:
        return start + AXIS * (rank - 1) / (k - 1)

    groups = [_reach([x(rank) for rank in ranks], group) for group in ranking.cliques]
    levels = _levels(groups)
    below = top + 22 + BAR * (1 + max(levels, default=-1))
    marks = _Marks()
    _axis(marks, x, k, top, ranking.nemenyi.critical_difference)
    left = (k + 1) // 2
    for j, rank in enumerate(ranks):
        # The outermost method of either side is the topmost: no line crosses another.
        on_left = j < left
        y = below + ROW * (j if on_left else k - 1 - j)
        edge = margin + GAP if on_left else width - margin - GAP
        colour = MODEL if ranking.methods[j] in ranking.models else INK
        marks.line([(x(rank), top), (x(rank), y), (edge, y)], colour, 1.3)
        number_at = edge + 2 if on_left else edge - 2
        marks.text(number_at, y - 7, f"{rank:.2f}", "left" if on_left else "right", 11, FAINT)
        _label(marks, ranking, j, margin if on_left else width - margin, y, on_left, colour)
    for (low, high), level in zip(groups, levels, strict=True):
        y = top + 16 + BAR * level
        marks.line([(low, y), (high, y)], INK, 5)
    height = below + ROW * (left - 1) + 26
    chart: alt.LayerChart = (
        alt.layer(*marks.lines, *marks.texts)
        .properties(
            width=width,
            height=height,
            title=alt.TitleParams(
                "Mean ranks and critical difference",
                subtitle=_subtitle(ranking),
                anchor="start",
                fontSize=15,
                subtitleFontSize=12,
                subtitleColor=FAINT,
                subtitlePadding=5,
                color=INK,
                offset=14,
            ),
            padding=14,
            background="white",
        )
        .configure(font=FONT)
        .configure_view(stroke=None)
    )
    return chart


class _Marks:
    """Lines and texts, gathered in pixels: one layer each, texts on top."""

    def __init__(self) -> None:
        self.lines: list[alt.Chart] = []
        self.texts: list[alt.Chart] = []

    def line(self, points: Sequence[tuple[float, float]], colour: str, thickness: float) -> None:
        corners = [{"x": x, "y": y, "order": order} for order, (x, y) in enumerate(points)]
        drawn = _chart(corners).mark_line(
            color=colour, strokeWidth=thickness, strokeCap="butt", strokeJoin="miter"
        )
        self.lines.append(drawn.encode(order="order:Q"))

    def text(
        self, x: float, y: float, text: str, align: Align, size: float, colour: str = INK, bold: bool = False
    ) -> None:
        drawn = _chart([{"x": x, "y": y, "text": text}]).mark_text(
            align=align,
            baseline="middle",
            fontSize=size,
            color=colour,
            fontWeight="bold" if bold else "normal",
        )
        self.texts.append(drawn.encode(text="text:N"))


def _chart(values: list[dict[str, Any]]) -> alt.Chart:
    """A chart of ``values`` whose x and y are pixels."""
    chart: alt.Chart = alt.Chart({"values": values}).encode(
        x=alt.X("x:Q", scale=None, axis=None), y=alt.Y("y:Q", scale=None, axis=None)
    )
    return chart


def _axis(marks: _Marks, x: Callable[[float], float], k: int, top: float, critical_difference: float) -> None:
    """The axis of ranks 1 to k, and above it a ruler as long as the critical difference."""
    marks.line([(x(1), top), (x(k), top)], INK, 1.5)
    for rank in range(1, k + 1):
        marks.line([(x(rank), top), (x(rank), top - TICK)], INK, 1.5)
        marks.text(x(rank), top - TICK - 9, str(rank), "center", 12)
    marks.text(x(1) - 12, top - TICK - 9, "best", "right", 11, FAINT)
    marks.text(x(k) + 12, top - TICK - 9, "worst", "left", 11, FAINT)
    if math.isfinite(critical_difference):
        y = top - 46
        end = x(1 + critical_difference)
        marks.line([(x(1), y - 4), (x(1), y + 4)], INK, 1.5)
        marks.line([(x(1), y), (end, y)], INK, 1.5)
        marks.line([(end, y - 4), (end, y + 4)], INK, 1.5)
        marks.text(end + 8, y, f"CD = {critical_difference:.2f}", "left", 12)


def _label(marks: _Marks, ranking: Ranking, j: int, x: float, y: float, on_left: bool, colour: str) -> None:
    """The method's name and, on a second line, its model."""
    align: Align = "right" if on_left else "left"
    model = ranking.models.get(ranking.methods[j], "")
    marks.text(x, y - 7 if model else y, _name(ranking, j), align, 13, colour, bold=True)
    if model:
        marks.text(x, y + 8, model, align, 11, FAINT)


def _name(ranking: Ranking, j: int) -> str:
    method = ranking.methods[j]
    return f"{method} (control)" if method == ranking.control else method


def _label_width(ranking: Ranking, j: int) -> float:
    """Pixels, at a generous width per character: fonts are not measured here."""
    return max(7.8 * len(_name(ranking, j)), 6.0 * len(ranking.models.get(ranking.methods[j], "")))


def _reach(at: Sequence[float], group: tuple[int, ...]) -> tuple[float, float]:
    """Where a group's bar begins and ends.

    Beyond the group, so that a bar over equal ranks can be seen, but never near the next method's line.
    """
    first, last = group[0], group[-1]
    before = at[first] - at[first - 1] if first > 0 else math.inf
    after = at[last + 1] - at[last] if last + 1 < len(at) else math.inf
    return at[first] - min(OVERHANG, before / 2), at[last] + min(OVERHANG, after / 2)


def _levels(bars: Sequence[tuple[float, float]]) -> list[int]:
    """The lowest level for each bar, bars from left to right, on which it keeps clear of all others."""
    ends: list[float] = []
    levels = []
    for low, high in bars:
        level = next((level for level, end in enumerate(ends) if low - end > BAR), len(ends))
        ends[level : level + 1] = [high]
        levels.append(level)
    return levels


def _subtitle(ranking: Ranking) -> list[str]:
    test, seeds = ranking.friedman, len(ranking.seeds)
    n = f"{test.n} instance{'s' if test.n > 1 else ''}, {seeds} seed{'s' if seeds > 1 else ''} each"
    blue = " Blue: with a language model." if ranking.models else ""
    if not math.isfinite(ranking.nemenyi.critical_difference):
        return [f"n = {n}: no critical difference with fewer than two instances.{blue}"]
    verdict = "" if test.f_p <= ranking.alpha else ": not shown to differ"
    return [
        f"n = {n}. Friedman test (Iman-Davenport): p = {test.f_p:.2g}{verdict}.",
        f"A bar joins methods that the Nemenyi test cannot tell apart at alpha = {ranking.alpha:g}.{blue}",
    ]
