"""Compute anytime performance: step curves on a common grid, areas under them, and the cost of a target.

Losses and regrets are lower-is-better. Every curve is a step curve: a value is carried forward until the next
incumbent, and beyond the end of a run, and never interpolated. Axes are always in the order instances (n),
methods (k), seeds (s), grid (t). Before a run has observed anything it has no value: on a grid the value is
NaN, and in an area it counts as the worst possible value.

Sources: N. Hansen et al., COCO: Performance Assessment (2016) for targets and ERT; E. D. Dolan & J. J. More,
Mathematical Programming 91 (2002) for profiles of ratios; R. Agarwal et al., NeurIPS 2021 (rliable) for
profiles of scores.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from surrobench.arrays import Floats
from surrobench.errors import ResultsError
from surrobench.protocol.budget import ROUNDING
from surrobench.stats.regret import Anchor, Reference, normalised_regret, quantile_regret
from surrobench.stats.steps import Steps, Unit

Measure = Literal["quantile", "normalised"]
MEASURES: tuple[Measure, ...] = get_args(Measure)


@dataclass(frozen=True)
class Curves:
    """The incumbents of k methods on n instances with s seeds, at t points of what was spent.

    Attributes:
        instances, methods, seeds: names and numbers, sorted, of lengths n, k and s.
        unit: the unit of ``grid``: trials, equivalents, seconds or tokens.
        grid: shape (t,), ascending.
        quantile: shape (n, k, s, t), quantile regret; NaN before the first observation, and throughout where
            only the other measure was asked for.
        normalised: shape (n, k, s, t), normalised regret, unclipped; NaN in the same places, and throughout
            where only the other measure was asked for.
        end: shape (n, k, s), what the run has spent in all. Beyond it, the last value is carried forward.
    """

    instances: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    unit: Unit
    grid: Floats
    quantile: Floats
    normalised: Floats
    end: Floats

    def __post_init__(self) -> None:
        shape = (len(self.instances), len(self.methods), len(self.seeds))
        for name, wanted in (
            ("quantile", (*shape, len(self.grid))),
            ("normalised", (*shape, len(self.grid))),
            ("end", shape),
        ):
            if getattr(self, name).shape != wanted:
                raise ValueError(f"{name} must have shape {wanted}, but has {getattr(self, name).shape}.")


@dataclass(frozen=True)
class Reached:
    """What runs had spent when they first reached a target.

    Attributes:
        spent: shape (n, k, s), the amount spent; where the target was not reached, all that the run spent.
        censored: shape (n, k, s), whether the target was not reached.
    """

    spent: Floats
    censored: NDArray[np.bool_]


@dataclass(frozen=True)
class Anytime:
    """All step curves of k methods on n instances with s seeds, complete and exact.

    Attributes:
        instances, methods, seeds: names and numbers, sorted, of lengths n, k and s.
        steps: unit -> the steps of n * k * s runs, in the order of a C array of shape (n, k, s).
        quantile: unit -> shape (m,), the quantile regret of each step.
        normalised: unit -> shape (m,), the normalised regret of each step, unclipped.
        worst: shape (n,), the normalised regret of each instance's worst configuration.
    """

    instances: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: Mapping[Unit, Steps]
    quantile: Mapping[Unit, Floats]
    normalised: Mapping[Unit, Floats]
    worst: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (n, k, s)."""
        return len(self.instances), len(self.methods), len(self.seeds)

    def horizon(self, unit: Unit) -> float:
        """Return the most that any run has spent."""
        return float(self.steps[unit].end.max())

    def grid(self, unit: Unit, points: int = 100) -> Floats:
        """Return a common grid of at most ``points`` points: every trial where there are few trials.
        Otherwise the points begin at the earliest step and have even ratios.
        """
        most = self.horizon(unit)
        if unit == "trials" and most <= points:
            return np.arange(1, most + 1)
        spent = self.steps[unit].spent
        least = float(spent[spent > 0].min(initial=most))
        grid = np.geomspace(least, most, points) if 0 < least < most else np.array([most])
        return np.unique(np.ceil(grid)) if unit in {"trials", "tokens"} else grid

    def curves(
        self, unit: Unit, grid: ArrayLike | None = None, measures: Collection[Measure] = MEASURES
    ) -> Curves:
        """Return the curves at common points.

        Args:
            unit: one of ``steps``.
            grid: the points, shape (t,), ascending; by default those of ``grid(unit)``.
            measures: the measures to return. With many runs, each of them needs much memory.
        """
        points = self.grid(unit) if grid is None else np.asarray(grid, dtype=np.float64)
        steps, shape = self.steps[unit], (*self.shape, len(points))
        # Each run is a row of stretches: one without a value, then one for each step.
        first, lengths = _stretches(steps, np.searchsorted(points + ROUNDING, steps.spent), len(points))

        def on_grid(measure: Measure, values: Floats) -> Floats:
            if measure not in measures:
                return np.broadcast_to(np.nan, shape)
            return np.repeat(np.insert(values, first, np.nan), lengths).reshape(shape)

        return Curves(
            self.instances,
            self.methods,
            self.seeds,
            unit,
            points,
            on_grid("quantile", self.quantile[unit]),
            on_grid("normalised", self.normalised[unit]),
            steps.end.reshape(self.shape),
        )

    def area(self, unit: Unit = "trials", measure: Measure = "quantile", most: float | None = None) -> Floats:
        """Return the exact mean of each curve over what was spent, from nothing to ``most``, shape (n, k, s).

        In trials, the value after trial i counts for the i-th trial. In other units, it counts from the point
        at which it was reached. What was spent before anything was observed counts with the worst value:
        quantile regret 1, or the normalised regret of the worst configuration.

        Args:
            unit: one of ``steps``.
            measure: the regret that is averaged.
            most: where the area ends; by default the most that any run has spent.
        """
        n, k, s = self.shape
        values = (self.quantile if measure == "quantile" else self.normalised)[unit]
        nothing = np.ones(n * k * s) if measure == "quantile" else np.repeat(self.worst, k * s)
        limit = self.horizon(unit) if most is None else most
        return areas(self.steps[unit], values, nothing, limit, unit).reshape(self.shape)

    def final(self, unit: Unit = "trials", measure: Measure = "quantile") -> Floats:
        """Return the last value of each curve, shape (n, k, s); NaN where nothing was observed."""
        first = self.steps[unit].first
        values = np.append((self.quantile if measure == "quantile" else self.normalised)[unit], np.nan)
        return np.asarray(values[np.where(np.diff(first) > 0, first[1:] - 1, -1)]).reshape(self.shape)

    def reached(self, target: float, unit: Unit = "trials") -> Reached:
        """Return what each run had spent when its incumbent first had a quantile regret up to ``target``."""
        steps = self.steps[unit]
        hits = np.flatnonzero(self.quantile[unit] <= target)
        runs, index = np.unique(steps.of_run[hits], return_index=True)
        spent, censored = steps.end.copy(), np.ones(len(steps.end), dtype=bool)
        spent[runs], censored[runs] = steps.spent[hits[index]], False
        return Reached(spent.reshape(self.shape), censored.reshape(self.shape))

    def targets_reached(
        self, targets: ArrayLike, unit: Unit = "trials", grid: ArrayLike | None = None
    ) -> Floats:
        """Return the share of (instance, seed, target) reached within each grid point, shape (k, t)."""
        points = self.grid(unit) if grid is None else np.asarray(grid, dtype=np.float64)
        wanted = np.asarray(targets, dtype=np.float64).ravel()
        out = np.zeros((len(self.methods), len(points)))
        for target in wanted:
            found = self.reached(float(target), unit)
            spent = np.where(found.censored, np.inf, found.spent)
            out += score_profile(spent, points + ROUNDING)
        return out / len(wanted)


def _stretches(steps: Steps, column: NDArray[np.intp], t: int) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return where a stretch without a value is to be inserted for each run, and how long all stretches are.

    Args:
        steps: the m steps of r runs.
        column: shape (m,), the first of t points at which a step counts; t for none.
        t: the number of points.

    Returns:
        Shape (r,) and shape (m + r,).
    """
    before = steps.first[:-1]
    begins = np.insert(column, before, 0)
    ends = np.append(begins[1:], t)
    # The last stretch of a run stands before the first stretch of the next run.
    ends[before[1:] + np.arange(len(before) - 1)] = t
    return before, ends - begins


def anytime(
    runs: pl.DataFrame,
    steps: Mapping[Unit, Steps],
    references: Mapping[str, Reference],
    *,
    anchor: Anchor = "median",
) -> Anytime:
    """Return the steps of all runs with both regrets, in the order of instances, methods and common seeds.

    Args:
        runs: a row for each run of ``steps``, in the same order; columns ``benchmark``, ``method``, ``seed``.
        steps: see ``steps.incumbent_steps``.
        references: the reference values of each benchmark.
        anchor: the reference value whose normalised regret is 1.

    Raises:
        ResultsError: a run is missing or occurs twice, or no seed is common to all methods.
        DataError: the best value and the anchor of a benchmark are equal.
    """
    instances, methods = sorted(runs["benchmark"].unique()), sorted(runs["method"].unique())
    of_method = runs.group_by("method").agg(pl.col("seed").unique())["seed"]
    seeds = sorted(set.intersection(*(set(found) for found in of_method)))
    if not seeds:
        raise ResultsError("No seed is common to all methods.", "Run some seed with all of them.")
    chosen = runs.with_row_index("row").filter(pl.col("seed").is_in(seeds))
    chosen = chosen.sort("benchmark", "method", "seed")
    cells = len(instances) * len(methods) * len(seeds)
    if len(chosen) != cells or chosen.select("benchmark", "method", "seed").is_duplicated().any():
        raise ResultsError(
            f"Curves need one run for each benchmark, method and seed: {cells}, but there are {len(chosen)}.",
            "Run the suite again to complete them.",
        )
    order = chosen["row"].to_numpy()
    taken: dict[Unit, Steps] = {}
    regrets: dict[Unit, tuple[Floats, Floats]] = {}
    known = [references[instance] for instance in instances]
    for unit, of_unit in steps.items():
        mine = taken[unit] = of_unit.take(order)
        # In most units the same incumbents follow each other; only in time may the incumbents differ.
        like = next((one for one in regrets if _same_steps(taken[one], mine)), None)
        if like is not None:
            regrets[unit] = regrets[like]
            continue
        bounds = mine.first[:: len(methods) * len(seeds)]
        pieces = [mine.score[low:high] for low, high in pairwise(bounds)]
        regrets[unit] = _regrets(pieces, known, anchor)
    return Anytime(
        tuple(instances),
        tuple(methods),
        tuple(seeds),
        taken,
        {unit: both[0] for unit, both in regrets.items()},
        {unit: both[1] for unit, both in regrets.items()},
        np.array([normalised_regret(one.worst, one.best, getattr(one, anchor)) for one in known]),
    )


def _same_steps(one: Steps, other: Steps) -> bool:
    return np.array_equal(one.first, other.first) and np.array_equal(one.score, other.score)


def _regrets(scores: list[Floats], known: list[Reference], anchor: Anchor) -> tuple[Floats, Floats]:
    """Return quantile and normalised regret of the scores of each instance, one instance after the other."""
    pairs = list(zip(scores, known, strict=True))
    return (
        np.concatenate([quantile_regret(values, one.sorted_losses) for values, one in pairs]),
        np.concatenate([normalised_regret(values, one.best, getattr(one, anchor)) for values, one in pairs]),
    )


def areas(steps: Steps, values: Floats, nothing: Floats, most: float, unit: Unit) -> Floats:
    """Return the exact mean of each step curve over what was spent, from nothing to ``most``, shape (r,).

    Args:
        steps: the m steps of r runs.
        values: shape (m,), the value of each step.
        nothing: shape (r,), the value that counts before anything was observed.
        most: where the area ends. Beyond its own end, the last value of a run is carried forward. At 0 there
            is no area, and the result is NaN.
        unit: in trials, the value after trial i counts for the i-th trial; in other units, from that point
            on.
    """
    begin = np.clip(steps.spent - (unit == "trials"), 0, most)
    until = np.empty_like(begin)
    until[:-1] = begin[1:]
    observed = steps.first[1:] > steps.first[:-1]
    until[steps.first[1:][observed] - 1] = most
    before = np.full(len(steps.end), float(most))
    before[observed] = begin[steps.first[:-1][observed]]
    inside = np.bincount(steps.of_run, (until - begin) * values, minlength=len(before))
    return np.asarray((inside + before * nothing) / most) if most else np.full(len(before), np.nan)


# ---------------------------------------------------------------------- the cost of a target


def median_needed(spent: ArrayLike, censored: ArrayLike) -> float:
    """Return the least that at least half of the runs needed; infinite if fewer reached the target.

    A run that did not reach the target counts as one that never does. Kaplan and Meier's median would take it
    for a run like those that went on, whenever it ended. But runs end early for reasons of their own: a slow
    method has had fewer trials when its time is over.

    Args:
        spent: any shape, what each run needed; where censored, all that the run spent.
        censored: the same shape, whether the run did not reach the target.
    """
    needed = np.sort(np.where(np.ravel(censored), np.inf, np.ravel(spent)))
    return float(needed[(len(needed) - 1) // 2])


def expected_running_time(spent: ArrayLike, censored: ArrayLike) -> float:
    """Return the expected running time (ERT) of COCO: all that was spent, over the number of hits.

    It is what a method is expected to spend until it first reaches the target, if it is started again, with
    another seed, whenever a run ends without. It is infinite where no run reached the target.

    Args:
        spent: any shape, what each run needed; where censored, all that the run spent.
        censored: the same shape, whether the run did not reach the target.
    """
    hits = np.count_nonzero(~np.asarray(censored, dtype=bool))
    return float(np.sum(spent) / hits) if hits else float("inf")


# ---------------------------------------------------------------------- shares and profiles


def share_won(values: ArrayLike) -> Floats:
    """Return the share of instances on which each method is the best, shape (k,); methods that tie share it.

    Args:
        values: shape (n, k), lower is better.
    """
    values = np.asarray(values, dtype=np.float64)
    best = values == values.min(axis=1, keepdims=True)
    return np.asarray((best / best.sum(axis=1, keepdims=True)).mean(axis=0))


def score_profile(values: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Return the share of runs up to each threshold, shape (k, t): rliable's run-score distribution.

    Args:
        values: shape (n, k, s), lower is better.
        thresholds: shape (t,).
    """
    values = np.asarray(values, dtype=np.float64).swapaxes(0, 1)
    ordered = np.sort(values.reshape(len(values), -1), axis=1)
    counts = [np.searchsorted(row, np.asarray(thresholds), side="right") for row in ordered]
    return np.asarray(np.stack(counts) / ordered.shape[1])


def ratio_profile(costs: ArrayLike, ratios: ArrayLike) -> Floats:
    """Return the share of instances that each method solves at up to a ratio of the least cost, shape (k, t).

    This is Dolan and More's performance profile. An instance that no method solves counts as an instance, but
    for no method.

    Args:
        costs: shape (n, k), such as the cost of a target; infinite where the target was not reached.
        ratios: shape (t,), each at least 1.
    """
    costs = np.asarray(costs, dtype=np.float64)
    least = costs.min(axis=1, keepdims=True)
    ratio = np.divide(costs, least, out=np.full(costs.shape, np.inf), where=np.isfinite(costs))
    return np.asarray((ratio[:, :, None] <= np.asarray(ratios, dtype=np.float64)).mean(axis=0))
