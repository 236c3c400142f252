"""How many seeds and instances the differences of a pilot study need, as a table. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from surrobench.errors import ResultsError, UnknownName, UsageError
from surrobench.report.cells import Cells, Floats
from surrobench.stats.power import Power, detectable, powers, simulated, variation

MOST = 200
"""Instances up to which it is searched how many are needed."""


@dataclass(frozen=True)
class Row:
    """A method with a number of seeds.

    Attributes:
        method: whose difference to the control is to be found.
        observed: the pilot's difference in quantile regret, pseudomedian; positive: better than the control.
        effect: the difference that is to be found.
        detectable: the smallest that the pilot itself would have found with the power asked for.
        seeds: of the planned study.
        power: one for each number of instances.
        needed: the fewest instances with the power asked for; None: more than ``MOST``.
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
        rows: by method, then seeds.
        instances: the columns.
        wanted: the power asked for.
        notes: what a reader must know.
    """

    rows: tuple[Row, ...]
    instances: tuple[int, ...]
    wanted: float
    notes: tuple[str, ...]


def plan_power(
    pilot: Cells,
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
    progress: Callable[[Sequence[int]], Iterator[int]] = iter,
) -> Plan:
    """Simulate studies of many sizes from a pilot.

    Args:
        pilot: its quantile regrets, of all methods.
        control: what the others are compared with.
        methods: whose power is shown; by default all but the control.
        effect: the difference in quantile regret to be found; by default each method's observed one.
        wanted: the power asked for, in (0, 1).
        alpha: family-wise level.
        seeds: the numbers of seeds to try; by default half, one, two and four times the pilot's.
        instances: ... of instances.
        simulations: studies for each size.
        seed: of the simulation.
        progress: passes on the numbers of seeds, each when it is begun.

    Raises:
        UnknownName: a method or the control is not in the pilot.
        UsageError: more seeds are asked for, but the pilot has one; or the control is asked for.
        ResultsError: the pilot has one instance, or no method besides the control.
    """
    n, s = len(pilot.instances), len(pilot.seeds)
    others = _compared(pilot, control, methods)
    if n < 2:
        raise ResultsError("A pilot needs two benchmarks, and this has one.", "Run the suite on more.")
    if s == 1 and set(seeds) - {1}:
        raise UsageError(
            "The pilot has one common seed, so nothing is known of how seeds vary.",
            "Run it with two or more, or leave out --seeds.",
        )
    tried = sorted(set(seeds)) or sorted({max(1, s // 2), s, 2 * s, 4 * s} if s > 1 else {1})
    columns = sorted(set(instances)) or sorted({max(2, n // 2), n, 2 * n, 4 * n})
    found = variation(_gains(pilot, control, others))
    shown = [others.index(method) for method in (methods or others)]

    def noise(size: int, count: int) -> Floats:
        rng = np.random.default_rng([seed, size, count])
        return simulated(found, size, count, simulations, rng)

    def simulate(size: int, count: int) -> list[Power]:
        return powers(noise(size, count), found.centre, effect, alpha)

    as_run = noise(n, s)
    least = {j: detectable(as_run[:, :, j], alpha / len(others), wanted) for j in shown}
    rows: list[Row] = []
    for count in progress(tried):
        table = [simulate(size, count) for size in columns]
        needed = _needed(partial(simulate, count=count), shown, wanted)
        rows += [
            Row(
                method=others[j],
                observed=float(found.centre[j]),
                effect=float(found.centre[j]) if effect is None else effect,
                detectable=least[j],
                seeds=count,
                power=tuple(of_size[j] for of_size in table),
                needed=needed[j],
            )
            for j in shown
        ]
    rows.sort(key=lambda row: (shown.index(others.index(row.method)), row.seeds))
    notes = _notes(rows, n, s, len(others), control, alpha, effect)
    return Plan(tuple(rows), tuple(columns), wanted, tuple(notes))


def _gains(pilot: Cells, control: str, others: Sequence[str]) -> Floats:
    """Shape (n, s, m): positive where one of m methods is better than the control."""
    columns = [pilot.methods.index(method) for method in others]
    gains = pilot.regret[:, [pilot.methods.index(control)]] - pilot.regret[:, columns]
    return gains.transpose(0, 2, 1)


def _compared(pilot: Cells, control: str, methods: Sequence[str]) -> list[str]:
    for name in (control, *methods):
        if name not in pilot.methods:
            raise UnknownName("method", name, pilot.methods)
    if control in methods:
        raise UsageError(f"{control} is the control.", "Name one of the other methods.")
    others = [method for method in pilot.methods if method != control]
    if not others:
        raise ResultsError(f"There is only {control} in the pilot.", "Add a method to the suite and run it.")
    return others


def _needed(
    simulate: Callable[[int], list[Power]], methods: Sequence[int], wanted: float
) -> dict[int, int | None]:
    """For each method, the fewest instances that reach a power, up to ``MOST``; None where they do not.

    All methods are simulated at once, so sizes are tried in steps of a quarter, then between the last two.
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
    rows: Sequence[Row], n: int, s: int, m: int, control: str, alpha: float, effect: float | None
) -> Iterator[str]:
    yield (
        f"Pilot: {n} instances, {s} common seed{'s' if s > 1 else ''}. Test: Wilcoxon signed-rank against "
        f"the control {control}, two-sided, Holm over {m} comparison{'s' if m > 1 else ''}, alpha = "
        f"{alpha:g}; found: significant, and in the direction of the effect. ± is the Monte-Carlo standard "
        "error. Benchmarks of one data set count as one instance."
    )
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
    if s == 1:
        yield "One seed tells nothing of how seeds vary: more seeds cannot be planned for."
    if any(not math.isfinite(row.detectable) for row in rows):
        yield f"n = {n} instances are too few for this test to find an effect of any size."
