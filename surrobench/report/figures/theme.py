"""Define how all figures look: sizes in points, one font, colours that everyone can tell apart.

A unit of a chart is a point (1/72 inch). A figure is therefore exactly as wide as a column of a paper, and
its text is read at the size it is set in. Widths of text are computed, so that nothing overlaps.

The colours are those of M. Okabe & K. Ito, Color Universal Design (2008), without the yellow, which cannot be
seen on white paper. A colour is never the only sign: a dash, a label or a number says the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np
from scipy.optimize import isotonic_regression

from surrobench.report.figures.offline import displayable, size

Align = Literal["left", "center", "right"]

COLUMN, PAGE = 237.6, 496.8
"""3.3 inches, a column of a two-column paper, and 6.9, both columns."""

# vl-convert carries Liberation Sans: PNG and PDF look the same on every machine, and PDF embeds it. Arial and
# Helvetica have the same widths, so that an SVG keeps its layout where only they are installed.
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
SMALL, NORMAL, TITLE = 7.0, 7.5, 8.5
LINE = 9.0
"""The distance from one line of small text to the next."""
INK, FAINT, RULE = "#1a1a1a", "#5f5f5f", "#dddddd"
# Okabe & Ito's, dark ones first.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1a1a1a",
)  # fmt: skip
DASHES = ([1, 0], [5, 2], [1.5, 1.5], [6, 1.5, 1.5, 1.5])
CONTROL_DASH = [3, 2]


@dataclass(frozen=True)
class Style:
    """The colour and the dash of a method's lines."""

    colour: str
    dash: Sequence[float]


def styles(methods: Iterable[str], control: str = "") -> dict[str, Style]:
    """Return a style for each method, which depends on its name and not on its rank.

    All charts take their looks from here, so that a method looks the same in all figures of a study. The
    control is grey. Any other two of 28 methods differ in colour or dash, and neighbours in both.
    """
    others = sorted(set(methods) - {control})
    found = {
        method: Style(PALETTE[j % len(PALETTE)], DASHES[j % len(DASHES)]) for j, method in enumerate(others)
    }
    return {control: Style(FAINT, CONTROL_DASH), **found}


# ---------------------------------------------------------------------- text

# Advance widths of Helvetica, and of the fonts made to its measure, in thousandths of the size.
_WIDTHS = {
    222: "ijl'`",
    278: " !,./:;I[\\]ft",
    333: '()-r{}|"',
    389: "*",
    500: "Jcksvxyz^",
    556: "#$0123456789L?_abdeghnopqu",
    584: "+<=>~",
    611: "FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
    1015: "@",
}
_WIDTH = {character: width for width, characters in _WIDTHS.items() for character in characters}
_OTHER = 722  # a generous guess for what is not ASCII
_BOLD = 1.09  # the widest excess of the bold over the regular, seen over names of methods


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return how wide a text is, in points."""
    thousandths = sum(_WIDTH.get(character, _OTHER) for character in text)
    return thousandths / 1000 * size * (_BOLD if bold else 1.0)


def wrapped(text: str, width: float, size: float, bold: bool = False) -> list[str]:
    """Return the text in lines no wider than ``width``, broken after spaces and hyphens if there are any.

    Equations and numbers stay together: p = 1e-05.
    """
    lines = [""]
    for part in re.findall(r"(?: [=<] |(?<=\d)e-(?=\d)|[^\s\-/_])*[\s\-/_]*", text):
        if lines[-1] and text_width((lines[-1] + part).rstrip(), size, bold) > width:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines if line.strip()] or [""]


def spread(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Return middles of labels near the wanted ones that do not overlap; within [low, high] if they fit.

    The order of the labels is kept. The sum of squared shifts is minimal, before labels that stick out are
    pushed in: once the room of each label is subtracted, this is an isotonic regression.
    """
    order = np.argsort(wanted, kind="stable")
    height = np.asarray(heights, dtype=np.float64)[order]
    room = np.cumsum(height) - height / 2  # where middles are if labels are stacked from 0
    at = isotonic_regression(np.asarray(wanted, dtype=np.float64)[order] - room).x + room
    at = np.maximum(at, low + room)
    at = np.minimum(at, high - height.sum() + room)
    out = np.empty(len(at))
    out[order] = at
    return [float(y) for y in out]


# ---------------------------------------------------------------------- the frame


@dataclass(frozen=True)
class Margins:
    """The room around the plot for axes and labels, in points. Title and notes stand above ``top``."""

    left: float = 34
    right: float = 8
    top: float = 6
    bottom: float = 26


def framed(
    layers: Sequence[alt.Chart],
    *,
    width: float,
    height: float,
    margins: Margins,
    title: str = "",
    notes: Sequence[str] = (),
) -> Any:
    """Return a chart of the layers with a title and notes, exactly ``width`` wide in all.

    Args:
        layers: from the lowest to the topmost.
        width: the width of the whole figure.
        height: the height of the plot alone.
        margins: the room around the plot.
        title: the title, which is wrapped; "" for none.
        notes: sentences below the title, which are wrapped.
    """
    room = width - 8
    heading = wrapped(title, room, TITLE, bold=True) if title else []
    lines = [line for note in notes for line in wrapped(note, room, SMALL)]
    above = (TITLE + 2) * len(heading) + LINE * len(lines) + (5 if heading or lines else 0)
    # Placed by hand: where a title stands otherwise depends on what the marks reach to.
    texts = []
    y = -margins.top - above + TITLE / 2 + 4
    for line in heading:
        texts.append(text_at(line, 4 - margins.left, y, size=TITLE, bold=True))
        y += TITLE + 2
    y += (SMALL - TITLE) / 2
    for line in lines:
        texts.append(text_at(line, 4 - margins.left, y, colour=FAINT))
        y += LINE
    chart = displayable(alt.layer(*layers, *texts)).properties(
        width=width - margins.left - margins.right,
        height=height,
        padding={
            "left": margins.left,
            "right": margins.right,
            "top": margins.top + above,
            "bottom": margins.bottom,
        },
        autosize=alt.AutoSizeParams(type="none"),
        background="white",
        description=" ".join([title, *notes]),
    )
    return (
        chart.resolve_scale(color="independent")
        .configure(font=FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelFontSize=SMALL, labelColor=INK, labelPadding=2, labelFontWeight="normal",
            titleFontSize=NORMAL, titleColor=INK, titleFontWeight="normal", titlePadding=3,
            tickSize=3, tickColor=FAINT, tickWidth=0.6, domainColor=FAINT, domainWidth=0.6,
            gridColor=RULE, gridWidth=0.4,
        )
    )  # fmt: skip


def text_at(
    text: str,
    x: float,
    y: float,
    *,
    size: float = SMALL,
    colour: str = INK,
    align: Align = "left",
    bold: bool = False,
    angle: float = 0,
) -> alt.Chart:
    """Return a layer with a text at a place of the plot, in points from its upper left corner."""
    chart: alt.Chart = alt.Chart({"values": [{}]}).mark_text(
        text=text,
        x=x,
        y=y,
        fontSize=size,
        color=colour,
        align=align,
        fontWeight="bold" if bold else "normal",
        baseline="middle",
        angle=angle,
    )
    return chart


def line_at(x: float, y: float, x2: float, y2: float, style: Style, *, width: float = 0.6) -> alt.Chart:
    """Return a layer with a straight line between two places of the plot, in points."""
    chart: alt.Chart = (
        alt.Chart({"values": [{}]})
        .mark_rule(color=style.colour, strokeDash=list(style.dash), strokeWidth=width)
        .encode(x=alt.value(x), y=alt.value(y), x2=alt.value(x2), y2=alt.value(y2))
    )
    return chart


def height_of(chart: Any) -> float:
    """Return the height of a whole figure, in points."""
    return size(chart.to_dict())[1]
