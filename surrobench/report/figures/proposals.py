"""Draw what was proposed and by whom: parallel coordinates, and the origin of the incumbents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from surrobench.arrays import Floats
from surrobench.errors import ResultsError, UnknownName
from surrobench.report.figures.theme import (
    COLUMN,
    DASHES,
    FAINT,
    INK,
    LINE,
    NORMAL,
    PALETTE,
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

Colour = Literal["loss", "source"]
"""The meaning of a proposal's colour."""

# Points.
PANEL, SINGLE = 46.0, 110.0  # of a method among several, and of the only one
HEAD = 13.0  # above each panel: the method's name
INACTIVE = 8.0  # below the axes: where a hyperparameter was inactive
STRIP = 22.0  # of a method's bars
STRIP_GAP = 7.0
SHADES = 8
MOST = 400
"""The largest number of lines of one pen in a panel; of more lines, evenly spaced ones are drawn."""
BETTER, WORSE = (8, 81, 156), (205, 213, 228)
INITIAL = "initial"
GREY = Style("#b3b3b3", DASHES[0])


@dataclass(frozen=True)
class Proposals:
    """The trials of some methods on one benchmark.

    Attributes:
        benchmark: the name of the benchmark.
        axes: d hyperparameters, with the label of their lowest and highest value.
        values: shape (m, d), in the unit cube; NaN where a hyperparameter is inactive.
        bins: shape (d,), how wide a value of a discrete hyperparameter is in the cube; 0: continuous.
        loss: shape (m,), lower is better; NaN where nothing was observed.
        method, source: of length m.
        seeds: the number of runs of each method.
        invalid: the number of further trials that were no configuration, which is not the same as inactive.
    """

    benchmark: str
    axes: tuple[tuple[str, str, str], ...]
    values: Floats
    bins: Floats
    loss: Floats
    method: Sequence[str]
    source: Sequence[str]
    seeds: int
    invalid: int = 0


@dataclass(frozen=True)
class Origins:
    """The shares of runs whose incumbent each source had proposed.

    Attributes:
        methods: the names of k methods.
        sources: the names of s sources.
        trials: shape (t,), the numbers of trials after which the incumbents are looked at.
        share: shape (k, t, s), the share of runs, mean over instances; the rest had no incumbent yet.
        instances: the number of instances.
        seeds: the number of seeds.
        control: which of the methods is the control.
    """

    methods: tuple[str, ...]
    sources: tuple[str, ...]
    trials: NDArray[np.int64]
    share: Floats
    instances: int
    seeds: int
    control: str = ""


def parallel_coordinates(
    proposals: Proposals, *, colour: Colour = "loss", width: float = COLUMN, bare: bool = False
) -> Any:
    """Draw a panel for each method, with a line for each trial and an axis for each hyperparameter.

    The axes are those of the unit cube, so that configurations from the prior of the space fill them evenly.
    With colours by loss, a line is darker and thicker the better the rank of the trial among all shown.

    Args:
        proposals: the trials.
        colour: ``loss`` or ``source``.
        width: the width of the figure, in points.
        bare: whether to leave out title and notes.

    Raises:
        UnknownName: ``colour`` is neither.
        ResultsError: there are no trials.
    """
    if colour not in ("loss", "source"):
        raise UnknownName("colour", colour, ["loss", "source"])
    if not len(proposals.loss):
        raise ResultsError(f"There are no trials on {proposals.benchmark} to draw.")
    methods = list(dict.fromkeys(proposals.method))
    d = len(proposals.axes)
    panel = SINGLE if len(methods) == 1 else PANEL
    some_inactive = bool(np.isnan(proposals.values).any())
    left = 10 + (text_width("inactive", SMALL) if some_inactive else 4)
    plot = width - left - 12
    step = plot / max(d - 1, 1)
    sources = list(dict.fromkeys(sorted(proposals.source, key=lambda source: source != INITIAL)))
    looks = source_styles(sources)
    layers: list[alt.Chart] = []
    key_height, thinned = 0.0, False
    if colour == "source":
        key, key_height = _key([(source, looks[source]) for source in sources], -left + 4, width - 8)
        layers += key
    y = key_height
    pens, heights = _pens(proposals, colour, looks), _heights(proposals)
    for method in methods:
        layers.append(text_at(method, 0, y + HEAD / 2 - 1, bold=True))
        y += HEAD
        for j in range(d):
            x = j * step
            layers.append(line_at(x, y, x, y + panel, Style(FAINT, DASHES[0]), width=0.5))
        if some_inactive:
            layers.append(text_at("inactive", -4, y + panel + INACTIVE - 1, colour=FAINT, align="right"))
        mine = [i for i in range(len(pens)) if proposals.method[i] == method]
        thinned = thinned or max(Counter(pens[i] for i in mine).values()) > MOST
        at = np.where(np.isnan(heights), y + panel + INACTIVE, y + panel * (1 - heights))
        for pen in sorted({pens[i] for i in mine}):
            layers.append(_lines(at[[i for i in mine if pens[i] == pen]], step, pen))
        y += panel + (INACTIVE if some_inactive else 0)
    layers += (names := _Names(proposals.axes, step)).layers(y)
    n = len(proposals.loss)
    notes = [
        f"{proposals.benchmark}: {n:,} trials of {proposals.seeds} seed{'s' if proposals.seeds > 1 else ''}; "
        "axes of equal prior probability, lowest value at the bottom."
        + (" The darker and thicker, the better by rank of loss." if colour == "loss" else "")
        + (f" Of each colour {MOST} lines are drawn." if thinned else "")
        + (f" {proposals.invalid:,} more were no configuration: no line." if proposals.invalid else "")
    ]
    return framed(
        layers,
        width=width,
        height=y,
        margins=Margins(left, 12, 3, names.height + 4),
        title="" if bare else "Proposals",
        notes=[] if bare else notes,
    )


@dataclass(frozen=True, order=True)
class _Pen:
    """The look of some lines; those with a smaller ``order`` are drawn first, below the others."""

    order: int
    colour: str
    dash: tuple[float, ...]
    width: float
    opacity: float


def _pens(proposals: Proposals, colour: Colour, looks: dict[str, Style]) -> list[_Pen]:
    """Return the pen of each trial: one of ``SHADES`` by the rank of its loss, or the pen of its source."""
    m = len(proposals.loss)
    if colour == "source":
        faint = min(0.6, max(0.15, 60 / m))
        pens = {
            source: _Pen(order, style.colour, tuple(style.dash), 0.6, faint)
            for order, (source, style) in enumerate(looks.items())
        }
        return [pens[source] for source in proposals.source]
    loss = np.where(np.isnan(proposals.loss), np.inf, proposals.loss)
    quality = 1 - (rankdata(loss, method="min") - 1) / max(m - 1, 1)  # 0: worst, 1: best
    # Most of the range is for the best quarter.
    shade = np.rint(quality**4 * (SHADES - 1)).astype(int)
    found = []
    for order in range(SHADES):
        share = order / (SHADES - 1)
        ink = "#" + "".join(
            f"{round(low + share * (high - low)):02x}" for low, high in zip(WORSE, BETTER, strict=True)
        )
        found.append(_Pen(order, ink, tuple(DASHES[0]), 0.3 + 0.8 * share**2, 0.3 + 0.6 * share))
    return [found[i] for i in shade]


def _heights(proposals: Proposals) -> Floats:
    """Return where each line crosses each axis, shape (m, d).

    Discrete values are spread within their bins; else thousands of lines would hide each other.
    """
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, size=proposals.values.shape) * proposals.bins
    return np.clip(proposals.values + jitter, 0, 1)


def _lines(at: Floats, step: float, pen: _Pen) -> alt.Chart:
    """Return a layer with the lines of one pen."""
    if len(at) > MOST:
        at = at[np.unique(np.linspace(0, len(at) - 1, MOST).astype(int))]
    corners = [
        {"line": i, "x": round(j * step, 2), "y": round(y, 2)}
        for i, line in enumerate(at.tolist())
        for j, y in enumerate(line)
    ]
    chart: alt.Chart = (
        alt.Chart({"values": corners})
        .mark_line(
            color=pen.colour, strokeDash=list(pen.dash), strokeWidth=pen.width, strokeOpacity=pen.opacity,
            strokeJoin="round",
        )
        .encode(
            x=alt.X("x:Q", scale=None, axis=None), y=alt.Y("y:Q", scale=None, axis=None), detail="line:N"
        )
    )  # fmt: skip
    return chart


@dataclass(frozen=True)
class _Names:
    """The names and ranges of hyperparameters below their axes."""

    axes: tuple[tuple[str, str, str], ...]
    step: float

    @property
    def texts(self) -> list[str]:
        return [
            f"{name}  {low} to {high}" if low != high else f"{name}  {low}" for name, low, high in self.axes
        ]

    @property
    def height(self) -> float:
        return max(text_width(line, SMALL) for lines in self._wrapped() for line in lines) + 4

    def _wrapped(self) -> list[list[str]]:
        """Return name and range of each, on two lines side by side if there is room for both."""
        if self.step >= 2 * LINE:
            return [[name, f"{low} to {high}" if low != high else low] for name, low, high in self.axes]
        return [[text] for text in self.texts]

    def layers(self, y: float) -> list[alt.Chart]:
        out = []
        for j, lines in enumerate(self._wrapped()):
            for i, line in enumerate(lines):
                x = j * self.step + (LINE - 1) * (i - (len(lines) - 1) / 2)
                ink = FAINT if i else INK
                out.append(text_at(line, x, y + 4, colour=ink, align="right", angle=270))
        return out


# ---------------------------------------------------------------------- origins


def origins_chart(origins: Origins, *, width: float = COLUMN, bare: bool = False) -> Any:
    """Draw bars for each method: which source had proposed the incumbents after so many trials.

    Args:
        origins: the shares.
        width: the width of the figure, in points.
        bare: whether to leave out title and notes.
    """
    k, t, _ = origins.share.shape
    looks = source_styles(origins.sources, origins.methods, origins.control)
    names = [wrapped(method, 62, SMALL) for method in origins.methods]
    left = 8 + max(text_width(line, SMALL) for lines in names for line in lines)
    labels = [_largest_shares(origins, i) for i in range(k)]
    right = 8 + max((text_width(text, SMALL) for row in labels for _, text in row), default=0.0)
    plot = width - left - right
    step = plot / t
    cells: list[dict[str, Any]] = []
    layers: list[alt.Chart] = []
    for i in range(k):
        top = i * (STRIP + STRIP_GAP)
        bottom = np.concatenate([np.zeros((t, 1)), np.cumsum(origins.share[i], axis=1)], axis=1)
        cells += _cells(origins, i, looks, step, top, bottom)
        for n, line in enumerate(names[i]):
            at = top + STRIP / 2 + LINE * (n - (len(names[i]) - 1) / 2)
            layers.append(text_at(line, -4, at, align="right"))
        middles = [top + STRIP * (1 - (bottom[-1, s] + bottom[-1, s + 1]) / 2) for s, _ in labels[i]]
        room = spread(middles, [LINE] * len(middles), top - 3, top + STRIP + 3)
        for (_, text), at in zip(labels[i], room, strict=True):
            layers.append(text_at(text, plot + 3, at))
    bars = (
        alt.Chart({"values": cells})
        .mark_rect(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("x:Q", scale=None, axis=None), x2="x2:Q",
            y=alt.Y("y:Q", scale=None, axis=None), y2="y2:Q",
            color=alt.Color("colour:N", scale=None),
            tooltip=[alt.Tooltip(f) for f in ("method:N", "source:N", "trials:Q", "share:Q")],
        )
    )  # fmt: skip
    height = k * (STRIP + STRIP_GAP) - STRIP_GAP
    n, s = origins.instances, origins.seeds
    notes = [
        f"Share of runs whose incumbent each source had proposed; mean over {n} "
        f"instance{'s' if n > 1 else ''} of {s} seed{'s' if s > 1 else ''} each."
    ]
    return framed(
        [bars, *layers, *_trials_axis(origins, step, height)],
        width=width,
        height=height,
        margins=Margins(left, right, 6, 24),
        title="" if bare else "Origin of the incumbents",
        notes=[] if bare else notes,
    )


def _largest_shares(origins: Origins, i: int) -> list[tuple[int, str]]:
    """Return the sources, at most two, with the largest shares of a method's last incumbents, and labels."""
    last = origins.share[i, -1]
    return [
        (int(s), f"{origins.sources[s]} {100 * last[s]:.0f} %") for s in np.argsort(-last) if last[s] >= 0.005
    ][:2]


def _cells(
    origins: Origins, i: int, looks: Mapping[str, Style], step: float, top: float, bottom: Floats
) -> list[dict[str, Any]]:
    """Return the bars of a method, in points: for each number of trials, its sources above each other."""
    return [
        {
            "method": origins.methods[i], "source": source, "trials": int(trials),
            "share": float(origins.share[i, g, s]), "colour": looks[source].colour,
            "x": step * (g + 0.06), "x2": step * (g + 0.94),
            "y": top + STRIP * (1 - bottom[g, s]), "y2": top + STRIP * (1 - bottom[g, s + 1]),
        }
        for g, trials in enumerate(origins.trials)
        for s, source in enumerate(origins.sources) if origins.share[i, g, s] > 0
    ]  # fmt: skip


def _trials_axis(origins: Origins, step: float, height: float) -> list[alt.Chart]:
    """Return the numbers of trials below their bars, as many as there is room for, the last one always."""
    t = len(origins.trials)
    every = max(1, int(np.ceil(max(text_width(str(n), SMALL) for n in origins.trials) * 1.3 / step)))
    return [
        *(
            text_at(str(origins.trials[g]), step * (g + 0.5), height + 7, align="center")
            for g in range(t - 1, -1, -every)
        ),
        text_at("trials", step * t / 2, height + 17, size=NORMAL, align="center"),
    ]


def source_styles(sources: Sequence[str], methods: Sequence[str] = (), control: str = "") -> dict[str, Style]:
    """Return a style for each source: the granted start in grey, a method as in all other figures.

    Args:
        sources: the names.
        methods: all methods that are shown; a source with the name of one looks like it.
        control: which of the methods is the control.
    """
    of_methods = {name: style for name, style in styles(methods, control).items() if name in sources}
    others = [source for source in sources if source != INITIAL and source not in of_methods]
    taken = {style.colour for style in of_methods.values()}
    palette = [colour for colour in PALETTE if colour not in taken] or PALETTE
    found = {
        source: Style(palette[j % len(palette)], DASHES[j % len(DASHES)]) for j, source in enumerate(others)
    }
    return {INITIAL: GREY, **of_methods, **found}


def _key(entries: Sequence[tuple[str, Style]], left: float, room: float) -> tuple[list[alt.Chart], float]:
    """Return samples of lines with their names, in rows from (left, 0) on, and the height of all rows."""
    layers: list[alt.Chart] = []
    x, y = left, LINE / 2
    for name, style in entries:
        wide = 14 + text_width(name, SMALL) + 8
        if x > left and x + wide > left + room:
            x, y = left, y + LINE
        layers.append(line_at(x, y, x + 12, y, style, width=1.4))
        layers.append(text_at(name, x + 14, y))
        x += wide
    return layers, y + LINE / 2 + 3
