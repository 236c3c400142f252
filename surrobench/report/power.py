"""Compute how many seeds and instances the differences of a pilot study need, as a table. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from surrobench.arrays import Floats
from surrobench.errors import ResultsError, UnknownName, UsageError
from surrobench.report.data.seed_array import SeedArray
from surrobench.report.data.study_data import Blocks
from surrobench.stats.power import Power, Variation, detectable, powers, simulated, variation

FEW_SEEDS = 4
"""With fewer seeds, what a pilot observes of a small effect is mostly the noise of its seeds."""

MOST = 200
"""The largest number of instances that the search for the needed number tries."""


@dataclass(frozen=True)
class Row:
    """The powers of a method with a number of seeds.

    Attributes:
        method: the method whose difference to the control is to be found.
        observed: the pilot's difference in quantile regret (pseudomedian); positive where better than the
            control.
        effect: the difference that is to be found.
        detectable: the smallest difference that the pilot itself would have found with the power asked for.
        seeds: the number of seeds of the planned study.
        power: one power for each number of instances.
        needed: the fewest instances with the power asked for; None if more than ``MOST`` are needed.
    """

    method: str
    observed: float
    effect: float
    detectable: float
    seeds: int
    power: tuple[Power, ...]
    needed: int | None


@dataclass(frozen=True)
class Plan:
    """The powers of planned studies.

    Attributes:
        rows: the rows, by method, then seeds.
        instances: the numbers of instances, one for each column.
        wanted: the power asked for.
        notes: what a reader must know.
    """

    rows: tuple[Row, ...]
    instances: tuple[int, ...]
    wanted: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Pilot:
    """What is known of some methods that have the same seeds and trials in common with the control."""

    cells: SeedArray
    methods: tuple[str, ...]
    found: Variation

    @staticmethod
    def of(one: SeedArray, control: str) -> _Pilot:
        """Return the pilot that the regrets of some methods and of the control make."""
        methods = tuple(method for method in one.methods if method != control)
        return _Pilot(one, methods, variation(_gains(one, control, methods)))

    @property
    def seeds(self) -> int:
        """Return the number of seeds that are common to the methods and the control."""
        return len(self.cells.seeds)

    def tried(self, seeds: Sequence[int]) -> set[int]:
        """Return the numbers of seeds to plan for; by default half, one, two and four times the pilot's."""
        s = self.seeds
        if s == 1:
            return {1} & set(seeds) if seeds else {1}
        return set(seeds) or {max(1, s // 2), s, 2 * s, 4 * s}


@dataclass(frozen=True)
class _Simulator:
    """A simulator that draws studies like a pilot.

    Attributes:
        groups: the groups of the pilot; methods are in their order.
        effect: the difference to be found; None for each method's observed difference.
        alpha: the family-wise level.
        simulations: the number of studies for each size.
        seed: the seed of the simulation.
    """

    groups: Sequence[_Pilot]
    effect: float | None
    alpha: float
    simulations: int
    seed: int

    @property
    def centre(self) -> Floats:
        """Return the observed difference of each method, shape (m,)."""
        return np.concatenate([group.found.centre for group in self.groups])

    def powers(self, size: int, count: int) -> list[Power]:
        """Return the power for each method on ``size`` instances with ``count`` seeds."""
        noise = [self._noise(group, size, count) for group in self.groups]
        return powers(np.concatenate(noise, axis=2), self.centre, self.effect, self.alpha)

    def detectable(self, wanted: float, alpha: float) -> dict[str, float]:
        """Return the smallest difference of each method that the pilot itself finds with this power."""
        least: dict[str, float] = {}
        for group in self.groups:
            as_run = self._noise(group, len(group.cells.instances), group.seeds)
            for j, method in enumerate(group.methods):
                least[method] = detectable(as_run[:, :, j], alpha, wanted)
        return least

    def _noise(self, group: _Pilot, size: int, count: int) -> Floats:
        # The same generator for each group draws the same instances, because the groups are one study.
        rng = np.random.default_rng([self.seed, size, count])
        return simulated(group.found, size, count, self.simulations, rng)


def plan_power(
    pilots: Sequence[SeedArray],
    control: str,
    *,
    methods: Sequence[str] = (),
    effect: float | None = None,
    wanted: float = 0.8,
    alpha: float = 0.05,
    seeds: Sequence[int] = (),
    instances: Sequence[int] = (),
    simulations: int = 1000,
    seed: int = 0,
    blocks: Blocks = "data-set",
    progress: Callable[[Sequence[int]], Iterator[int]] = iter,
) -> Plan:
    """Simulate studies of many sizes from a pilot.

    Args:
        pilots: the quantile regrets of the pilot, as ``cells_beside`` returns them: all on the same
            instances, the control in each, every other method in one of them.
        control: the method that the other methods are compared with.
        methods: those whose power is shown; by default all but the control. Holm's method counts all of them.
        effect: the difference in quantile regret to be found; by default each method's observed difference.
        wanted: the power asked for, in (0, 1).
        alpha: the family-wise level.
        seeds: the numbers of seeds to try; by default half, one, two and four times those that a method has
            in common with the control. A method with one such seed is shown with one only.
        instances: the numbers of instances to try.
        simulations: the number of studies for each size.
        seed: of the simulation.
        blocks: what an instance of the pilots is, for the notes.
        progress: an iterator over the numbers of seeds, which passes each on when it is begun.

    Raises:
        UnknownName: a method or the control is not in the pilot.
        UsageError: more seeds are asked for, but a requested method, or every method, has only one in common
            with the control; or the control itself is asked for.
        ResultsError: the pilot has one instance, or no method except the control.
    """
    others = _compared(pilots, control, methods)
    if (n := len(pilots[0].instances)) < 2:
        raise ResultsError("A pilot needs two benchmarks, and this has one.", "Run the suite on more.")
    groups = [_Pilot.of(pilot, control) for pilot in pilots]
    group_of = {method: group for group in groups for method in group.methods}
    shown = list(dict.fromkeys(methods)) or sorted(others)
    _check_seeds(seeds, {method: group_of[method].seeds for method in shown}, control, named=bool(methods))
    tried = {method: group_of[method].tried(seeds) for method in shown}
    columns = sorted({*instances} or {max(2, n // 2), n, 2 * n, 4 * n})
    simulator = _Simulator(groups, effect, alpha, simulations, seed)
    least = simulator.detectable(wanted, alpha / len(others))
    rows: list[Row] = []
    for count in progress(sorted(set().union(*tried.values()))):
        of_count = {method: others.index(method) for method in shown if count in tried[method]}
        table = [simulator.powers(size, count) for size in columns]
        needed = _needed(partial(simulator.powers, count=count), list(of_count.values()), wanted)
        rows += [
            Row(
                method=method,
                observed=float(simulator.centre[j]),
                effect=float(simulator.centre[j]) if effect is None else effect,
                detectable=least[method],
                seeds=count,
                power=tuple(of_size[j] for of_size in table),
                needed=needed[j],
            )
            for method, j in of_count.items()
        ]
    rows.sort(key=lambda row: (shown.index(row.method), row.seeds))
    notes = tuple(_notes(rows, groups, control, alpha, effect, blocks))
    return Plan(tuple(rows), tuple(columns), wanted, notes)


def _gains(pilot: SeedArray, control: str, others: Sequence[str]) -> Floats:
    """Return the gains of m methods, shape (n, s, m): positive where a method is better than the control."""
    columns = [pilot.methods.index(method) for method in others]
    gains = pilot.regret[:, [pilot.methods.index(control)]] - pilot.regret[:, columns]
    return gains.transpose(0, 2, 1)


def _compared(pilots: Sequence[SeedArray], control: str, methods: Sequence[str]) -> list[str]:
    """Return all methods except the control, in the order of the pilots."""
    known = list(dict.fromkeys(method for pilot in pilots for method in pilot.methods))
    for name in (control, *methods):
        if name not in known:
            raise UnknownName("method", name, sorted(known))
    if control in methods:
        raise UsageError(f"{control} is the control.", "Name one of the other methods.")
    others = [method for method in known if method != control]
    if not others:
        raise ResultsError(f"There is only {control} in the pilot.", "Add a method to the suite and run it.")
    return others


def _check_seeds(seeds: Sequence[int], common: Mapping[str, int], control: str, *, named: bool) -> None:
    """Check that the common seeds allow planning with these numbers of seeds.

    Args:
        seeds: the numbers of seeds that are asked for.
        common: method that is shown -> the number of seeds that it has in common with the control.
        control: the control.
        named: whether exactly these methods were asked for; if not, some of them may have one seed.

    Raises:
        UsageError: they do not allow it.
    """
    lone = [method for method, count in common.items() if count == 1]
    if set(seeds) - {1} and lone and (named or len(lone) == len(common)):
        raise UsageError(
            f"{', '.join(lone)} and {control} have one common seed, so nothing is known of how seeds vary.",
            "Run them with two or more, or leave out --seeds.",
        )


def _needed(
    simulate: Callable[[int], list[Power]], methods: Sequence[int], wanted: float
) -> dict[int, int | None]:
    """Return for each method the fewest instances that reach a power, up to ``MOST``; None if none do.

    All methods are simulated at once. Sizes are therefore tried in steps of a quarter, then between the last
    two.
    """
    needed: dict[int, int | None] = dict.fromkeys(methods)
    known: dict[int, list[Power]] = {}

    def reaches(size: int, method: int) -> bool:
        if size not in known:
            known[size] = simulate(size)
        return known[size][method].value >= wanted

    for method in methods:
        low, high = 1, 4
        while high < MOST and not reaches(high, method):
            low, high = high, min(MOST, math.ceil(high * 1.25))
        if high == MOST and not reaches(high, method):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reaches(middle, method) else (middle, high)
        needed[method] = high
    return needed


def _notes(
    rows: Sequence[Row],
    groups: Sequence[_Pilot],
    control: str,
    alpha: float,
    effect: float | None,
    blocks: Blocks,
) -> Iterator[str]:
    n = len(groups[0].cells.instances)
    m = sum(len(group.methods) for group in groups)
    counted = "Benchmarks of one data set count as one instance."
    if blocks == "instance":
        counted = "Each benchmark is an instance of its own, as asked for, even where two share a data set."
    yield (
        f"Pilot: {n} instances{_in_common(groups)}. Test: Wilcoxon signed-rank against "
        f"the control {control}, two-sided, Holm over {m} comparison{'s' if m > 1 else ''}, alpha = "
        f"{alpha:g}; found: significant, and in the direction of the effect. ± is the Monte-Carlo standard "
        f"error; it leaves out that the pilot is a sample. {counted}"
    )
    if len(groups) > 1:
        yield "Each method is compared on the seeds, and after the trials, that it and the control have."
    yield (
        "Effect: difference in quantile regret, positive where better than the control; 0.01 is one "
        "hundredth of the search space. It is added to what instances and seeds of the pilot vary by; the "
        "other methods keep their observed effects."
    )
    yield (
        "Detectable: the smallest effect that the pilot itself would have found with this power, at Holm's "
        "least favourable step."
    )
    if effect is None:
        yield (
            "The effects are the pilot's own: uncertain, and too large where a method was picked for its "
            "good result. --effect sets the smallest that would matter."
        )
        few = min(group.seeds for group in groups)
        if few < FEW_SEEDS:
            yield (
                f"With {few} seed{'s' * (few > 1)}, a small effect looks two to three times as large as it "
                "is, and its power with it: state --effect."
            )
    lone = [method for group in groups if group.seeds == 1 for method in group.methods]
    if len(lone) == m:
        yield "One seed tells nothing of how seeds vary: more seeds cannot be planned for."
    elif lone:
        yield (
            f"{', '.join(lone)}: one seed tells nothing of how seeds vary, so more cannot be planned for; "
            "where the others have more, Holm's correction takes these as they are with one."
        )
    if any(not math.isfinite(row.detectable) for row in rows):
        yield f"n = {n} instances are too few for this test to find an effect of any size."


def _in_common(groups: Sequence[_Pilot]) -> str:
    """Return in words the seeds that methods share with the control; with several groups, the trials, too."""

    def seeds(group: _Pilot) -> str:
        return f"{group.seeds} common seed{'s' if group.seeds > 1 else ''}"

    if len(groups) == 1:
        return f", {seeds(groups[0])}"

    def extent(group: _Pilot) -> str:
        trials = group.cells.trials
        return seeds(group) + (f" after {trials} trials" if trials else "")

    return "; " + "; ".join(f"{', '.join(group.methods)}: {extent(group)}" for group in groups)


_FRAME = {
    "method": pl.String, "seeds": pl.Int64, "instances": pl.Int64, "power": pl.Float64, "error": pl.Float64,
    "effect": pl.Float64, "observed": pl.Float64, "detectable": pl.Float64, "needed": pl.Int64,
}  # fmt: skip


def power_frame(plan: Plan) -> pl.DataFrame:
    """Return a row per method, number of seeds and of instances; ``error`` is the power's standard error."""
    rows = [
        (
            row.method, row.seeds, n, one.value, one.error, row.effect, row.observed, row.detectable,
            row.needed,
        )
        for row in plan.rows
        for n, one in zip(plan.instances, row.power, strict=True)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=_FRAME, orient="row")
