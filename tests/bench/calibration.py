"""How often do tests reject what is true, and intervals cover it? ``python -m tests.bench.calibration``.

Simulated studies of 12 instances by 10 seeds in which no method is better, twice over: *exchangeable*
methods, which differ by chance alone, and an *interaction*, in which each method suits some instances more
and others less, with mean zero. The second is what separates honest tests from those that take seeds for data
sets. Bands of curves are tried with fewer seeds and instances, too. Exits with status 1 if a test that should
hold its level rejects more than 6 % at 5 %, or an interval that should cover 95 % covers less than 93 %. Rows
that are known to fail are shown beside, without a limit.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import get_args

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import special, stats

from surrobench.stats.bands import Over, band
from surrobench.stats.bootstrap import (
    Interval,
    IntervalMethod,
    bootstrap,
    difference,
    interquartile_mean,
    resampled,
)
from surrobench.stats.correction import CORRECTIONS
from surrobench.stats.improvement import BOUNDS, improvement_interval, paired
from surrobench.stats.mixed import mixed_model
from surrobench.stats.paired import wilcoxon
from surrobench.stats.permutation import sign_flip
from surrobench.stats.ranks import conover, friedman, nemenyi

INSTANCES, METHODS, SEEDS = 12, 5, 10
LEVEL = 0.05
MOST_REJECTED, LEAST_COVERED = 0.06, 0.93

NULLS = {"exchangeable": 0.0, "interaction": 1.0}
"""Standard deviation of what a method gains on an instance, in units of that of its seeds."""

MEAN, HALF = 0.0, 0.5
"""What the intervals should cover: the interquartile mean of the simulated losses, and an even chance."""

FEW_SEEDS, FEW_INSTANCES = (2, 3, SEEDS), (6, INSTANCES)
"""What bands are made from: seeds on all instances, and instances with two seeds."""

UNEQUAL = np.geomspace(1, 10, INSTANCES)[:, None, None]
"""How much more the runs on some instances vary than on others."""

REALS, SHARES = (-np.inf, np.inf), (0.0, 1.0)

WITHOUT_LIMIT = ("percentile", "bca", "uncorrected", "seeds as blocks")


@dataclass(frozen=True)
class Row:
    """Of one test or interval: the share of studies in which it rejected, or covered."""

    null: str
    what: str
    share: float
    studies: int
    interval: bool

    @property
    def error(self) -> float:
        """Of the simulation, as a standard deviation."""
        return math.sqrt(self.share * (1 - self.share) / self.studies)

    @property
    def limited(self) -> bool:
        return not any(part in self.what for part in WITHOUT_LIMIT)

    @property
    def ok(self) -> bool:
        return self.share >= LEAST_COVERED if self.interval else self.share <= MOST_REJECTED


def study(rng: np.random.Generator, interaction: float) -> tuple[np.ndarray, np.ndarray]:
    """Losses of shape (instances, methods, seeds), and their expectations of shape (instances, methods)."""
    expected = rng.normal(size=(INSTANCES, 1)) + interaction * rng.normal(size=(INSTANCES, METHODS))
    return expected[..., None] + rng.normal(size=(INSTANCES, METHODS, SEEDS)), expected


def tests(losses: np.ndarray) -> Iterator[tuple[str, bool]]:
    """Whether each test rejects. Of a family: whether it rejects anything, as all of it is true."""
    means = losses.mean(axis=2)
    overall = friedman(means)
    yield "Friedman", overall.p <= LEVEL
    yield "Iman-Davenport", overall.f_p <= LEVEL
    # A post hoc test is read where the omnibus test rejects, and must hold its level without that too.
    yield "Nemenyi, any pair", nemenyi_any(means)
    for correction in CORRECTIONS:
        yield (
            f"Conover, {correction}, any pair",
            bool((conover(means, correction=correction).p <= LEVEL).any()),
        )
    for correction in CORRECTIONS:
        found = wilcoxon(means, 0, correction).comparisons
        yield f"Wilcoxon, {correction}, any vs control", any(c.p_corrected <= LEVEL for c in found)
    yield "Wilcoxon, uncorrected, any vs control", any(c.p <= LEVEL for c in found)
    yield "Wilcoxon, one pair", found[0].p <= LEVEL
    yield "sign-flip permutation, one pair", sign_flip(means[:, 0] - means[:, 1]).p <= LEVEL
    model = mixed_model(losses, 0)
    yield "mixed model, F", model.p <= LEVEL
    yield "mixed model, holm, any contrast", any(c.p_corrected <= LEVEL for c in model.contrasts)
    rows = losses[:, :2].transpose(0, 2, 1).reshape(-1, 2)
    yield "Wilcoxon, seeds as blocks, one pair", stats.wilcoxon(rows[:, 0], rows[:, 1]).pvalue <= LEVEL


def nemenyi_any(means: np.ndarray) -> bool:
    """Whether any two mean ranks are further apart than the critical difference."""
    return bool(np.ptp(friedman(means).mean_ranks) > critical_difference() + 1e-9)


@cache
def critical_difference() -> float:
    """That of every study here: it depends on their shape alone."""
    untied = np.random.default_rng(0).random((INSTANCES, METHODS))
    return nemenyi(untied, LEVEL).critical_difference


def intervals(
    losses: np.ndarray, expected: np.ndarray, seed: int, resamples: int
) -> Iterator[tuple[str, Interval | tuple[float, float], float]]:
    """Each interval, and the value that it should cover."""
    first, second = losses[:, 0], losses[:, 1]
    pair = losses[:, :2].transpose(0, 2, 1)
    iqm = interquartile_mean
    draw = partial(np.random.default_rng, seed)
    options = {"resamples": resamples}
    of_iqm = resampled(pair[..., :1], iqm, draw(), **options)
    of_paired = resampled(pair, paired, draw(), bounds=BOUNDS, **options)
    for method in get_args(IntervalMethod):
        yield f"IQM, {method}", of_iqm.interval(method), MEAN
        yield f"improvement, paired, {method}", of_paired.interval(method), HALF
    yield "difference of IQMs, bootstrap-t", bootstrap(pair, difference(iqm), draw(), **options), MEAN
    unpaired = improvement_interval(first, second, draw(), "unpaired", **options)
    yield "improvement, unpaired, bootstrap-t", unpaired, HALF
    (contrast, *_) = mixed_model(losses, 0).contrasts
    yield "mixed model, contrast", (contrast.low, contrast.high), MEAN
    # Of these instances only: what is covered is their own value, not that of all instances like them.
    options["resample"] = "seeds"
    here = float(special.ndtr((expected[:, 1] - expected[:, 0]) / math.sqrt(2)).mean())
    label = "bootstrap-t, these instances only"
    yield f"improvement, paired, {label}", improvement_interval(first, second, draw(), **options), here
    of_these = float(iqm_of_normals(expected[:, 0]))
    yield f"IQM, {label}", bootstrap(pair[..., :1], iqm, draw(), **options), of_these


def bands(losses: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, bool]]:
    """Whether each band covers the first method's mean, or its share of runs below zero."""
    losses, expected = losses[:, :1], expected[:, :1, None]
    unequal = expected + UNEQUAL * (losses - expected)
    below = (losses < 0).astype(np.float64)
    here, share = float(expected.mean()), float(special.ndtr(-expected).mean())
    for s in FEW_SEEDS:
        what = f"band over {s} seeds"
        yield what, covers(losses[:, :, :s], "seeds", here)
        yield f"{what}, unequal instances", covers(unequal[:, :, :s], "seeds", here)
        yield f"{what}, shares", covers(below[:, :, :s], "seeds", share, SHARES)
    for n in FEW_INSTANCES:
        what = f"band over {n} instances"
        yield what, covers(losses[:n, :, :2], "instances", MEAN)
        yield f"{what}, shares", covers(below[:n, :, :2], "instances", HALF, SHARES)


def covers(values: np.ndarray, over: Over, value: float, bounds: tuple[float, float] = REALS) -> bool:
    """Whether the band of one method, shape (instances, 1, seeds), at one point holds a value."""
    found = band(values[..., None], over=over, bounds=bounds)
    return bool(found.low[0, 0] <= value <= found.high[0, 0])


def iqm_of_normals(means: np.ndarray) -> float:
    """The mean of the middle half of an even mixture of normal distributions with standard deviation 1."""

    def quantile(level: float) -> float:
        low, high = means.min() - 9, means.max() + 9
        for _ in range(60):
            middle = (low + high) / 2
            below = special.ndtr(middle - means).mean() < level
            low, high = (middle, high) if below else (low, middle)
        return (low + high) / 2

    a, b = quantile(0.25) - means, quantile(0.75) - means
    density = (np.exp(-np.square(a) / 2) - np.exp(-np.square(b) / 2)) / math.sqrt(2 * math.pi)
    return float(2 * (means * (special.ndtr(b) - special.ndtr(a)) + density).mean())


def calibrate(studies: int, resamples: int, seed: int = 0) -> list[Row]:
    """The share of rejections and of coverage in so many studies under either null."""
    rows = []
    for null, interaction in NULLS.items():
        hits: dict[tuple[str, bool], int] = defaultdict(int)
        for index in range(studies):
            rng = np.random.default_rng([seed, index])
            losses, expected = study(rng, interaction)
            for what, rejected in tests(losses):
                hits[what, False] += bool(rejected)
            if not resamples:
                continue
            for what, found, value in intervals(losses, expected, index, resamples):
                low, high = (found.low, found.high) if isinstance(found, Interval) else found
                hits[what, True] += bool(low <= value <= high)
            for what, covered in bands(losses, expected):
                hits[what, True] += covered
        rows += [
            Row(null, what, count / studies, studies, interval) for (what, interval), count in hits.items()
        ]
    return rows


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--studies", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=999, help="of each bootstrap; 0: no intervals")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    rows = calibrate(options.studies, options.resamples, options.seed)
    console = Console() if sys.stdout.isatty() else Console(width=140)
    for interval, title in ((False, f"Rejected at level {LEVEL:.0%}"), (True, "Covered at 95%")):
        table = Table("what", title=f"{title}: {options.studies} studies of {INSTANCES} x {SEEDS}")
        for column in (*NULLS, "simulation error", "limit", ""):
            table.add_column(column, justify="right")
        chosen = [row for row in rows if row.interval == interval]
        for what in dict.fromkeys(row.what for row in chosen):
            of = {row.null: row for row in chosen if row.what == what}
            limit = f">= {LEAST_COVERED:.0%}" if interval else f"<= {MOST_REJECTED:.0%}"
            limited, ok = next(iter(of.values())).limited, all(row.ok for row in of.values())
            table.add_row(
                what, *(f"{of[null].share:.1%}" for null in NULLS),
                f"{max(row.error for row in of.values()):.1%}", limit if limited else "-",
                ("pass" if ok else "MISSED") if limited else ("" if ok else "as known"),
            )  # fmt: skip
        console.print(table)
    console.print(f"{time.perf_counter() - start:.0f} s")
    return 0 if all(row.ok for row in rows if row.limited) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
