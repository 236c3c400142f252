"""An axis of numbers, linear or logarithmic, with as many ticks as there is room for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from surrobench.report.figures.theme import LINE, SMALL, text_width


@dataclass(frozen=True)
class Axis:
    """An axis from the first to the last of ``points``.

    Attributes:
        points: values in ascending order; a logarithmic axis begins with the first that is positive.
        title: beside the axis.
        log: whether the axis is logarithmic.
        upright: whether the axis is vertical, so that labels need their height and not their width.
    """

    points: NDArray[np.float64]
    title: str
    log: bool
    upright: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """Where the axis begins and ends."""
        low, high = float(self.points[0]), float(self.points[-1])
        if self.log and low <= 0:
            low = float(min(self.points[self.points > 0], default=high / 10))
        return (low, high) if high > low else (low, low * 2 if low > 0 else low + 1)

    def place(self, value: float, length: float) -> float:
        """Return where a value stands, in points from the beginning of the axis."""
        low, high = self.ends
        if self.log:
            return math.log(max(value, low) / low) / math.log(high / low) * length
        return (value - low) / (high - low) * length

    def ticks(self, length: float) -> list[float]:
        """Return the values to write down: on a log axis powers of ten, with twos and fives if they fit."""
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
        """Return whether the labels keep clear of each other."""
        for one, other in pairwise(values):
            between = self.place(other, length) - self.place(one, length)
            wide = (text_width(tick(one), SMALL) + text_width(tick(other), SMALL)) / 2 + 6
            if between < (2 * LINE if self.upright else max(wide, 20)):
                return False
        return True

    def encoded(self, channel: Any, field: str, length: float) -> Any:
        """Return the channel of a chart with this axis, ``length`` points long."""
        ticks = self.ticks(length)
        return channel(
            f"{field}:Q",
            title=self.title,
            scale=alt.Scale(type="log" if self.log else "linear", domain=list(self.ends), nice=False),
            axis=alt.Axis(values=ticks, labelExpr=TICK_LABEL, labelOverlap=False, labelFlush=False),
        )

    def label_width(self, length: float) -> float:
        """Return the width of the widest label, in points."""
        return max((text_width(tick(value), SMALL) for value in self.ticks(length)), default=10)


def tick(value: float) -> str:
    """Return the label of a tick: 1e-4, 0.02, 5, 15k."""
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
"""``tick`` in Vega's language."""
