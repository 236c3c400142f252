"""The critical-difference diagram of a ranking.

Source: J. Demšar, JMLR 7 (2006), figure 1. His axis has the best method on the right; here it is on the left,
first in reading order, as in the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt

from surrobench.errors import UsageError
from surrobench.report.figures.save import check_suffix, save
from surrobench.report.figures.theme import (
    COLUMN,
    FAINT,
    INK,
    LINE,
    NORMAL,
    SMALL,
    Align,
    Margins,
    Style,
    framed,
    styles,
    text_width,
    wrapped,
)
from surrobench.report.ranking.model import Ranking
from surrobench.report.ranking.shared_model import shared_model
from surrobench.stats.paired import Comparisons

# Points.
EDGE = 4  # around everything
TICK = 3
BAR = 6  # between two levels of clique bars, and between two bars of one level
THICK = 2.5  # of a bar
OVERHANG = 2.5  # of a bar beyond its group
ROW_GAP = 3  # between two labels
GAP = 2  # from a label to its line
STUB = 20  # of a line: room for the mean rank
AXIS = 76  # at least from the best method to the worst
SOLID = Style(INK, (1, 0))
LABEL = 11  # of a rank on the axis: half of two digits, and a bit


def cd_diagram(ranking: Ranking, path: Path) -> None:
    """Draw ``cd_chart`` to a file; its suffix is the format.

    Raises:
        UsageError: the suffix is not known, or there is only one method.
    """
    check_suffix(path)
    save(cd_chart(ranking), path)


def cd_chart(ranking: Ranking, *, width: float = COLUMN, bare: bool = False) -> Any:
    """Draw the mean ranks, with a bar over each group that the test of all pairs cannot tell apart.

    Where there are so few data sets that this test could not tell any two methods apart, whatever they found,
    the figure says that, and shows no order.

    Args:
        ranking: two methods or more.
        width: of the figure, in points; it is wider where a name that cannot be broken needs that.
        bare: whether to leave out title and notes.

    Raises:
        UsageError: there is only one method.
    """
    k = len(ranking.methods)
    if k < 2:
        raise UsageError("A critical-difference diagram needs two methods, but got one.")
    if shortage := _too_few(ranking):
        return _without_order(ranking, shortage, width)
    ranks = [float(rank) for rank in ranking.mean_rank]
    labels = [_label(ranking, j, (width - AXIS) / 2 - STUB - GAP - EDGE) for j in range(k)]
    left = (k + 1) // 2  # labels on the left side
    sides = [max(label.width for label in part) for part in (labels[:left], labels[left:])]
    # Where lines may stand: between the labels, each with its stub.
    low, high = (side + EDGE + GAP + STUB for side in sides)
    width = max(width, low + high + AXIS)
    start, length = _axis_reach(ranks, k, low, width - high, width)

    def x(rank: float) -> float:
        return start + length * (rank - 1) / (k - 1)

    critical_difference = (
        ranking.tested.nemenyi.critical_difference if ranking.settings.posthoc == "nemenyi" else math.nan
    )
    top = 30.0 if math.isfinite(critical_difference) else 16.0
    groups = [_reach([x(rank) for rank in ranks], group) for group in ranking.cliques]
    levels = _levels(groups)
    first = top + 8 + BAR * (1 + max(levels, default=-1))
    marks = Marks()
    _axis(marks, x, k, top, critical_difference, width)
    looks = styles(ranking.methods, ranking.control)
    height = first
    # The outermost method of either side is the topmost: no line crosses another.
    for on_left, side in ((True, range(left)), (False, range(k - 1, left - 1, -1))):
        y = first
        for j in side:
            y += labels[j].height / 2
            edge = sides[0] + EDGE if on_left else width - sides[1] - EDGE
            end = edge + (GAP if on_left else -GAP)
            marks.line([(x(ranks[j]), top), (x(ranks[j]), y), (end, y)], looks[ranking.methods[j]], 1.2)
            marks.text(end, y - 4.5, f"{ranks[j]:.2f}", "left" if on_left else "right", SMALL, FAINT)
            labels[j].draw(marks, edge, y, "right" if on_left else "left")
            y += labels[j].height / 2 + ROW_GAP
        height = max(height, y)
    for (begin, end), level in zip(groups, levels, strict=True):
        y = top + 5 + BAR * level
        marks.line([(begin, y), (end, y)], SOLID, THICK)
    return framed(
        marks.layers(),
        width=width,
        height=height,
        margins=Margins(0, 0, 2, EDGE),
        title="" if bare else "Mean ranks and critical difference",
        notes=() if bare else _notes(ranking),
    )


def _too_few(ranking: Ranking) -> str:
    """Return why the test of all pairs cannot tell any two methods apart, or nothing where it could."""
    n, k = ranking.friedman.n, len(ranking.methods)
    if ranking.settings.untested:
        return f"nothing is tested, as {ranking.settings.untested}"
    critical_difference = ranking.tested.nemenyi.critical_difference
    if not math.isfinite(critical_difference):
        return "there is no critical difference with fewer than two"
    if ranking.settings.posthoc == "nemenyi" and critical_difference >= k - 1 - 1e-9:
        return (
            f"mean ranks of {k} methods differ by at most {k - 1}, and the critical difference of {n} is "
            f"{critical_difference:.3g}"
        )
    if isinstance(ranking.tested.pairs, Comparisons) and ranking.tested.pairs.smallest_p > ranking.alpha:
        return f"the smallest corrected p that {n} can give is {ranking.tested.pairs.smallest_p:.2g}"
    return ""


def _without_order(ranking: Ranking, shortage: str, width: float) -> Any:
    """Return a figure with all methods below one bar, which says why there is no order."""
    n = ranking.friedman.n
    width = max(width, 2 * EDGE + max(text_width(f"{name},", NORMAL) for name in ranking.methods))
    marks = Marks()
    marks.line([(EDGE, 8), (width - EDGE, 8)], SOLID, THICK)
    lines = [""]
    for name in sorted(ranking.methods):
        longer = f"{lines[-1]}, {name}" if lines[-1] else name
        if lines[-1] and text_width(longer, NORMAL) > width - 2 * EDGE:
            lines[-1] += ","
            lines.append(name)
        else:
            lines[-1] = longer
    for i, line in enumerate(lines):
        marks.text(width / 2, 18 + LINE * i, line, "center", NORMAL)
    return framed(
        marks.layers(),
        width=width,
        height=18 + LINE * len(lines),
        margins=Margins(0, 0, 2, EDGE),
        title="Too few data sets to order the methods",
        notes=[
            f"{n} data set{'' if n == 1 else 's'}: {shortage}. At alpha = {ranking.alpha:g}, "
            f"{_TESTS[ranking.settings.posthoc]} could tell no two of them apart, whatever they had found."
        ],
    )


class Marks:
    """The lines and texts of a drawing in points, y downwards; texts stand on top."""

    def __init__(self) -> None:
        self._corners: list[dict[str, Any]] = []
        self._texts: dict[tuple[Align, bool], list[dict[str, Any]]] = {}
        self._lines = 0

    def line(self, points: Sequence[tuple[float, float]], style: Style, thickness: float) -> None:
        """Add a line through some points."""
        self._corners += [
            {
                "line": self._lines, "x": x, "y": y, "order": order,
                "colour": style.colour, "dash": list(style.dash), "thickness": thickness,
            }
            for order, (x, y) in enumerate(points)
        ]  # fmt: skip
        self._lines += 1

    def text(
        self, x: float, y: float, text: str, align: Align, size: float, colour: str = INK, bold: bool = False
    ) -> None:
        """Add a line of text, centred at the height ``y``."""
        self._texts.setdefault((align, bold), []).append(
            {"x": x, "y": y, "text": text, "size": size, "colour": colour}
        )

    def layers(self) -> list[alt.Chart]:
        """Return the charts to put on top of each other."""
        lines = _chart(self._corners).mark_line(strokeCap="butt", strokeJoin="miter")
        lines = lines.encode(
            detail="line:N",
            order="order:Q",
            color=alt.Color("colour:N", scale=None),
            strokeWidth=alt.StrokeWidth("thickness:Q", scale=None),
            strokeDash=alt.StrokeDash("dash:N", scale=None),
        )
        return [lines] + [
            _chart(texts)
            .mark_text(align=align, baseline="middle", fontWeight="bold" if bold else "normal")
            .encode(
                text="text:N",
                size=alt.Size("size:Q", scale=None),
                color=alt.Color("colour:N", scale=None),
            )
            for (align, bold), texts in self._texts.items()
        ]


def _chart(values: list[dict[str, Any]]) -> alt.Chart:
    """Return a chart of ``values`` whose x and y are points of the page."""
    chart: alt.Chart = alt.Chart({"values": values}).encode(
        x=alt.X("x:Q", scale=None, axis=None), y=alt.Y("y:Q", scale=None, axis=None)
    )
    return chart


@dataclass(frozen=True)
class _Label:
    """The lines of a label: the method's name, then whether it is the control, then its model."""

    name: list[str]
    remarks: list[str]

    @property
    def width(self) -> float:
        names = [text_width(line, NORMAL, bold=True) for line in self.name]
        return max(names + [text_width(line, SMALL) for line in self.remarks])

    @property
    def height(self) -> float:
        # A label of one line needs room for the mean rank above its line as well.
        return max(LINE * (len(self.name) + len(self.remarks)), 10.0)

    def draw(self, marks: Marks, x: float, y: float, align: Align) -> None:
        lines = [(line, True) for line in self.name] + [(line, False) for line in self.remarks]
        for i, (line, is_name) in enumerate(lines):
            at = y + LINE * (i - (len(lines) - 1) / 2)
            if is_name:
                marks.text(x, at, line, align, NORMAL, INK, bold=True)
            else:
                marks.text(x, at, line, align, SMALL, FAINT)


def _label(ranking: Ranking, j: int, width: float) -> _Label:
    method = ranking.methods[j]
    model = "" if shared_model(ranking) is not None else ranking.models.get(method, "")
    return _Label(
        wrapped(method, width, NORMAL, bold=True),
        (["(control)"] if method == ranking.control else [])
        + (wrapped(model, width, SMALL) if model else []),
    )


def _axis_reach(ranks: Sequence[float], k: int, low: float, high: float, width: float) -> tuple[float, float]:
    """Return where the axis begins and its length: as long as the page allows.

    The best method must stand right of ``low`` and the worst left of ``high``, where the labels are; the axis
    itself may pass over them.
    """
    best, worst = (ranks[0] - 1) / (k - 1), (ranks[-1] - 1) / (k - 1)
    edge = EDGE + LABEL
    limits = [
        (width - 2 * edge, 1.0),
        (high - edge, worst),
        (width - edge - low, 1 - best),
        (high - low, worst - best),
    ]
    length = min(room / share for room, share in limits if share > 0)
    start = max(edge, low - length * best)
    return start, length


def _axis(
    marks: Marks, x: Callable[[float], float], k: int, top: float, critical_difference: float, width: float
) -> None:
    """Draw the axis of ranks 1 to k, and above it a ruler as long as the critical difference."""
    marks.line([(x(1), top), (x(k), top)], SOLID, 0.8)
    every = next(step for step in (1, 2, 5, 10, 50) if step * (x(2) - x(1)) >= LABEL)
    for rank in range(1, k + 1):
        numbered = rank in (1, k) or (rank % every == 0 and every <= rank - 1 and every <= k - rank)
        marks.line([(x(rank), top), (x(rank), top - (TICK if numbered else TICK / 2))], SOLID, 0.8)
        if numbered:
            marks.text(x(rank), top - TICK - 5, str(rank), "center", SMALL)
    if math.isfinite(critical_difference):
        y = 6.0
        # Longer than the axis where nothing could be told apart: then the ruler ends with the page.
        end = min(x(1 + critical_difference), width - EDGE)
        marks.line([(x(1), y), (end, y)], SOLID, 0.8)
        for at in (x(1), end):
            marks.line([(at, y - 2.5), (at, y + 2.5)], SOLID, 0.8)
        text = f"CD = {critical_difference:.2f}"
        fits = end + 4 + text_width(text, SMALL) < width - EDGE
        if fits:
            marks.text(end + 4, y, text, "left", SMALL)
        else:
            marks.text((x(1) + end) / 2, y + 7, text, "center", SMALL)


_TESTS = {
    "nemenyi": "the Nemenyi test",
    "conover": "Conover's test",
    "wilcoxon": "Wilcoxon's test of all pairs",
}


def _reach(at: Sequence[float], group: tuple[int, ...]) -> tuple[float, float]:
    """Return where a group's bar begins and ends.

    The bar reaches beyond the group, so that it can be seen over equal ranks, but never near the line of the
    next method.
    """
    first, last = group[0], group[-1]
    before = at[first] - at[first - 1] if first > 0 else math.inf
    after = at[last + 1] - at[last] if last + 1 < len(at) else math.inf
    return at[first] - min(OVERHANG, before / 2), at[last] + min(OVERHANG, after / 2)


def _levels(bars: Sequence[tuple[float, float]]) -> list[int]:
    """Return the lowest level for each bar, from left to right, on which it keeps clear of all others."""
    ends: list[float] = []
    levels = []
    for low, high in bars:
        level = next((level for level, end in enumerate(ends) if low - end > BAR), len(ends))
        ends[level : level + 1] = [high]
        levels.append(level)
    return levels


def _notes(ranking: Ranking) -> list[str]:
    test, seeds = ranking.friedman, len(ranking.seeds)
    blocks = f"{test.n} instance{'s' if test.n > 1 else ''}"
    if test.n < len(ranking.instances):
        blocks = f"{test.n} data sets ({len(ranking.instances)} instances)"
    n = f"{blocks}, {seeds} seed{'s' if seeds > 1 else ''} each"
    p = f"p = {test.p:.2g}" if test.p >= 1e-16 else "p < 1e-16"
    verdict = ": not shown to differ, so that one bar joins all" if not test.p <= ranking.alpha else ""
    if ranking.settings.posthoc == "wilcoxon":
        # Its pairs are corrected by themselves, and do not wait for Friedman's test.
        verdict = ""
    return [
        f"n = {n}. Friedman's permutation test: {p}{verdict}. A bar joins methods that "
        f"{_TESTS[ranking.settings.posthoc]} cannot tell apart at alpha = {ranking.alpha:g}. "
        "Rank 1 is the best." + (f" {model}." if (model := shared_model(ranking)) else ""),
    ]
