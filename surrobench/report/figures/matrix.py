"""Draw figures with a cell for each pair: methods by instances, methods by methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np

from surrobench.arrays import Floats
from surrobench.errors import UnknownName
from surrobench.report.figures.theme import (
    COLUMN,
    FAINT,
    INK,
    SMALL,
    Margins,
    framed,
    text_width,
    wrapped,
)
from surrobench.report.ranking.model import DECIMALS, Ranking

Measure = Literal["rank", "quantile", "normalised"]
"""What a heat map shows."""

# Points.
ROW = 10.0
TIGHT = 7.5  # rows lower than this have no room for text
PLOT = 560.0  # a plot of many instances is no higher
LEGEND = 24.0
NARROW = 4.0  # a cell without a number
MIXED = "#f7f7f7"
# From better to worse. Both prints well in grey: the better the darker, or the further from the middle.
BETTER, WORSE = "#08519c", "#eff3ff"
WIN, LOSS = "#0072b2", "#d55e00"

_MEASURES = {
    "rank": ("Ranks per instance", "rank"),
    "quantile": ("Quantile regret per instance", "quantile regret"),
    "normalised": ("Normalised regret per instance", "normalised regret"),
}


def heat_map(
    ranking: Ranking, *, measure: Measure = "rank", width: float = COLUMN, bare: bool = False
) -> Any:
    """Draw a cell for each instance and method, methods from best to worst mean rank.

    Numbers stand in the cells if they fit; else a legend says what the colours mean.

    Args:
        ranking: the ranking to show.
        measure: ``rank``, or the mean ``quantile`` or ``normalised`` regret, coloured by its logarithm.
        width: the width of the figure, in points.
        bare: whether to leave out title and notes.

    Raises:
        UnknownName: there is no such measure.
    """
    if measure not in _MEASURES:
        raise UnknownName("measure", measure, _MEASURES)
    title, name = _MEASURES[measure]
    values = {
        "rank": ranking.ranks,
        "quantile": ranking.measured.quantile,
        "normalised": ranking.measured.normalised,
    }[measure]
    n, k = values.shape
    names = instance_names(ranking.instances)
    row = min(ROW, PLOT / n)
    texts = [[_short(value, measure) for value in line] for line in values.tolist()]
    widest = max(text_width(text, SMALL) for line in texts for text in line)
    left = _left(names, width, k, widest)
    cell = (width - left - 4) / k
    numbered = row >= TIGHT and widest + 1 <= cell
    if not numbered:  # the names may have that room
        left = _left(names, width, k, NARROW)
        cell = (width - left - 4) / k
    shade = values if measure == "rank" else np.log10(np.maximum(values, _floor(values)))
    lowest, highest = float(shade.min()), float(shade.max())
    cells = [
        {
            "instance": ranking.instances[i], "method": ranking.methods[j], "row": i, "column": j,
            "value": float(values[i, j]), "shade": float(shade[i, j]), "text": texts[i][j],
            # White on dark.
            "ink": "white" if shade[i, j] < lowest + 0.3 * (highest - lowest) else INK,
        }
        for i in range(n) for j in range(k)
    ]  # fmt: skip
    colour = alt.Color(
        "shade:Q",
        scale=alt.Scale(domain=[lowest, max(highest, lowest + 1e-9)], range=[BETTER, WORSE]),
        legend=None if numbered else _legend(name, measure, width, left, row * n),
    )
    grid = _Grid(ranking.methods, names, cell, row)
    base = grid.base(cells)
    layers = [base.mark_rect(stroke="white", strokeWidth=0.6 if numbered else 0.2).encode(color=colour)]
    if numbered:
        layers.append(grid.texts(cells))
    layers += grid.labels(every_row=row >= TIGHT, room=left - 6)
    return framed(
        layers,
        width=width,
        height=row * n,
        margins=Margins(left, 4, grid.head + 4, 4 if numbered else LEGEND),
        title="" if bare else title,
        notes=[]
        if bare
        else [
            f"Methods by mean rank. {_seeds(ranking)}; the darker the better."
            + (" Rank 1 is the best." if measure == "rank" else "")
        ],
    )


def _floor(values: Floats) -> float:
    """Return what a value of zero or less is coloured as: a third of the smallest one above, or 1 where none
    is.

    The logarithm of zero has no end, and a colour for it would leave none for the differences of the others.
    """
    positive = values[values > 0]
    return float(positive.min()) / 3 if positive.size else 1.0


def win_tie_loss(ranking: Ranking, *, width: float = COLUMN, bare: bool = False) -> Any:
    """Draw on how many instances the method of a row is better, equal and worse than that of a column.

    If wins, ties and losses do not fit, a cell shows the wins; the mirrored cell has the losses.

    Args:
        ranking: the ranking, whose means of quantile regret are compared.
        width: the width of the figure, in points.
        bare: whether to leave out title and notes.
    """
    quantile = ranking.measured.quantile.round(DECIMALS)
    n, k = quantile.shape
    wins = (quantile[:, :, None] < quantile[:, None, :]).sum(axis=0)
    widest = max(
        text_width(f"{wins[i, j]}/{n - wins[i, j] - wins[j, i]}/{wins[j, i]}", SMALL)
        for i, j in np.ndindex(k, k)
    )
    left = _left(ranking.methods, width, k, widest)
    full = widest + 2 <= (width - left - 4) / k
    if not full:
        widest = max(text_width(str(won), SMALL) for won in wins.ravel())
        left = _left(ranking.methods, width, k, widest)
    numbered = widest + 1.5 <= (width - left - 4) / k
    if not numbered:
        left = _left(ranking.methods, width, k, NARROW)
    cell = (width - left - 4) / k
    cells = []
    for i, j in np.ndindex(k, k):
        if i == j:
            continue
        won, lost = int(wins[i, j]), int(wins[j, i])
        cells.append(
            {
                "method": ranking.methods[i], "against": ranking.methods[j], "row": i, "column": j,
                "wins": won, "ties": n - won - lost, "losses": lost, "lead": (won - lost) / n,
                "text": f"{won}/{n - won - lost}/{lost}" if full else str(won),
                "ink": "white" if (won - lost) / n > 0.8 else INK,
            }
        )  # fmt: skip
    row = max(11.0, min(cell, 14.0))
    grid = _Grid(ranking.methods, ranking.methods, cell, row)
    colour = alt.Color("lead:Q", scale=alt.Scale(domain=[-1, 0, 1], range=[LOSS, MIXED, WIN]), legend=None)
    if full:
        what = "Wins/ties/losses of the row against the column."
    elif numbered:
        what = (
            f"Of {n} instances, those on which the row is better than the column: losses are in the mirrored "
            "cell, the rest are ties."
        )
    else:
        what = f"The stronger the colour, the larger the lead on {n} instances, wins minus losses."
    return framed(
        [
            grid.base(cells).mark_rect(stroke="white", strokeWidth=0.6).encode(color=colour),
            *([grid.texts(cells)] if numbered else []),
            *grid.labels(every_row=True, room=left - 6),
        ],
        width=width,
        height=row * k,
        margins=Margins(left, 4, grid.head + 4, 4),
        title="" if bare else "Wins, ties and losses",
        notes=[]
        if bare
        else [f"{what} Methods by mean rank. {_seeds(ranking)}. Blue: the row leads, orange: the column."],
    )


@dataclass(frozen=True)
class _Grid:
    """The places of the cells and of the names beside them, in points."""

    columns: Sequence[str]
    rows: Sequence[str]
    cell: float
    row: float

    @property
    def upright(self) -> bool:
        """Return whether the names of the columns must stand on end."""
        return max(text_width(name, SMALL) for name in self.columns) + 2 > self.cell

    @property
    def head(self) -> float:
        """Return the room above the cells, in points."""
        if not self.upright:
            return 9.0
        return max(text_width(line, SMALL) for name in self.columns for line in self._column(name)) + 4

    def _column(self, name: str) -> list[str]:
        """Return the name of a column in lines side by side, as many as the column is wide."""
        most = int(self.cell // 8)
        lines = wrapped(name, 48, SMALL)
        return lines if len(lines) <= max(most, 1) else [name]

    def base(self, cells: list[dict[str, Any]]) -> alt.Chart:
        placed = [
            {
                **cell,
                "x": self.cell * cell["column"], "x2": self.cell * (cell["column"] + 1),
                "y": self.row * cell["row"], "y2": self.row * (cell["row"] + 1),
            }
            for cell in cells
        ]  # fmt: skip
        told = ("instance:N", "method:N", "against:N", "value:Q", "wins:Q", "ties:Q", "losses:Q")
        chart: alt.Chart = alt.Chart({"values": placed}).encode(
            x=alt.X("x:Q", scale=None, axis=None),
            x2="x2:Q",
            y=alt.Y("y:Q", scale=None, axis=None),
            y2="y2:Q",
            tooltip=[alt.Tooltip(field) for field in told if field[:-2] in cells[0]],
        )
        return chart

    def texts(self, cells: list[dict[str, Any]]) -> alt.Chart:
        placed = [
            {
                "x": self.cell * (cell["column"] + 0.5),
                "y": self.row * (cell["row"] + 0.5),
                "text": cell["text"],
                "ink": cell["ink"],
            }
            for cell in cells
        ]
        return _texts(placed, "center", 0).encode(color=alt.Color("ink:N", scale=None))

    def labels(self, every_row: bool, room: float) -> list[alt.Chart]:
        """Return layers with the names of the rows to the left, and of the columns above."""
        beside = []
        for i, name in enumerate(self.rows):
            if every_row:
                beside.append({"x": -3, "y": self.row * (i + 0.5), "text": _cut(name, room)})
            elif i == 0 or _group(name) != _group(self.rows[i - 1]):
                beside.append({"x": -3, "y": self.row * i + SMALL / 2, "text": _cut(_group(name), room)})
        above = []
        for j, name in enumerate(self.columns):
            lines = self._column(name) if self.upright else [name]
            for i, line in enumerate(lines):
                x = self.cell * (j + 0.5) + (8 * (i - (len(lines) - 1) / 2) if self.upright else 0)
                above.append({"x": x, "y": -3 if self.upright else -6, "text": line})
        heads = _texts(above, "left", 270) if self.upright else _texts(above, "center", 0)
        return [_texts(beside, "right", 0), heads]


def _texts(
    values: list[dict[str, Any]], align: Literal["left", "center", "right"], angle: float
) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart({"values": values})
        .mark_text(align=align, baseline="middle", fontSize=SMALL, color=INK, angle=angle)
        .encode(x=alt.X("x:Q", scale=None, axis=None), y=alt.Y("y:Q", scale=None, axis=None), text="text:N")
    )
    return chart


def _legend(name: str, measure: Measure, width: float, left: float, height: float) -> alt.Legend:
    label = "format(datum.value, 'd')" if measure == "rank" else "format(pow(10, datum.value), '.1~e')"
    return alt.Legend(
        title=name, orient="none", direction="horizontal", legendX=0, legendY=height + 3,
        gradientLength=(width - left - 4) * 0.55, gradientThickness=6, titleOrient="left",
        titleFontSize=SMALL, titleFontWeight="normal", titleColor=FAINT, labelFontSize=SMALL,
        labelExpr=label, tickCount=4,
    )  # fmt: skip


def _left(names: Sequence[str], width: float, columns: int, widest: float) -> float:
    """Return the room for names left of the cells, in points; the numbers in the cells keep theirs."""
    wanted = max(text_width(name, SMALL) for name in names)
    return 6 + min(wanted, max(width / 3, width - 10 - columns * (widest + 2)))


def instance_names(instances: Sequence[str]) -> list[str]:
    """Return names of benchmarks without what all of them share: the family, or family and scenario."""
    parts = [instance.split("/") for instance in instances]
    shared = 0
    while all(len(part) > shared + 1 for part in parts) and len({part[shared] for part in parts}) == 1:
        shared += 1
    short = ["/".join(part[shared:]) for part in parts]
    if shared == 0:  # several families: their names go where scenarios and instances tell them apart
        without = ["/".join(part[1:] or part) for part in parts]
        short = without if len(set(without)) == len(without) else short
    return short


def _group(name: str) -> str:
    return name.rpartition("/")[0] or name


def _cut(text: str, room: float) -> str:
    """Return the text without its beginning if there is no room for all of it."""
    if text_width(text, SMALL) <= room + 0.01:
        return text
    while text and text_width("..." + text, SMALL) > room:
        text = text[1:]
    return "..." + text


def _short(value: float, measure: Measure) -> str:
    if measure == "rank":
        return f"{value:g}"
    if abs(value) < 0.0005:
        return "0" if value == 0 else f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}"


def _seeds(ranking: Ranking) -> str:
    seeds = len(ranking.seeds)
    return f"Each instance: the mean of {seeds} seeds" if seeds > 1 else "Each instance: one seed"
