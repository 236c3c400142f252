"""How often do tests reject what is true, for few data sets and many? ``python -m tests.bench.validity``.

Studies without a difference are simulated for k methods on n data sets: *normal*; *heavy-tailed* (Student's t
with two degrees of freedom); *tied* (three values); *clustered* (four benchmarks of one data set, averaged to
one block); and *erratic*, where two methods vary twenty times as much as the others, which lie between them.
In all of them the differences of any two methods are symmetric about 0. Beside each test that is used now
(after) stands the one that it replaced (before). A second part lets a study grow over ten looks, a third
covers intervals.

Exits with status 1 if a test labelled confirmatory rejects significantly more than 5.5 % at 5 %, or an
interval covers significantly less than 93 %: by more than three standard errors of the simulation.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from surrobench.stats.bayes import signed_rank as bayes
from surrobench.stats.bootstrap import interquartile_mean, mean, resampled
from surrobench.stats.looks import always_valid_p, e_value, level_of_look
from surrobench.stats.mixed import mixed_model
from surrobench.stats.permutation import sign_flip
from surrobench.stats.rank_null import rank_null
from surrobench.stats.ranks import conover, friedman, nemenyi, rank_blocks, smallest_p
from surrobench.stats.signed_rank import signed_rank

METHODS, SETS = (2, 3, 5, 8), (3, 4, 5, 6, 8, 12, 30)
ALPHA, MOST, LEAST = 0.05, 0.055, 0.93
FEW = 500
"""How many studies of a cell are simulated where each takes long: of tied ranks, and of the mixed model."""

_PAIR_TESTS = ("Nemenyi, the erratic pair", "Conover, the erratic pair")

Draw = Callable[[np.random.Generator, int, int, int], np.ndarray]

NULLS: dict[str, Draw] = {
    "normal": lambda rng, s, n, k: rng.normal(size=(s, n, k)),
    "heavy-tailed": lambda rng, s, n, k: rng.standard_t(2, size=(s, n, k)),
    "tied": lambda rng, s, n, k: rng.integers(0, 3, size=(s, n, k)).astype(float),
    "clustered": lambda rng, s, n, k: rng.normal(size=(s, n, k)) + rng.normal(size=(s, n, k, 4)).mean(axis=3),
    "erratic": lambda rng, s, n, k: _erratic(rng, rng.normal(size=(s, n, k))),
}
"""Losses of s studies of n data sets by k methods in which no difference of two methods has a centre but
0."""


def _erratic(rng: np.random.Generator, losses: np.ndarray) -> np.ndarray:
    """Make the first two methods exchangeable and erratic: where one is far ahead, the other is far
    behind."""
    losses[..., 0] *= 20
    losses[..., 1] = rng.normal(size=losses.shape[:2]) - losses[..., 0]
    return losses


@dataclass(frozen=True)
class Cell:
    """How often one test rejected in one kind of study."""

    test: str
    null: str
    n: int
    k: int
    share: float
    studies: int
    confirmatory: bool

    @property
    def error(self) -> float:
        """Of the simulation, as a standard deviation, if the true share is at the limit."""
        return math.sqrt(MOST * (1 - MOST) / self.studies)

    @property
    def ok(self) -> bool:
        return not self.confirmatory or self.share <= MOST + 3 * self.error


def cells(null: str, n: int, k: int, studies: int, rng: np.random.Generator) -> Iterator[Cell]:
    """The tests of ranks and of pairs in one kind of study."""
    tied = null == "tied"
    count = min(FEW, studies) if tied else studies
    losses = NULLS[null](rng, count, n, k)

    def cell(test: str, rejected: np.ndarray, confirmatory: bool = True) -> Cell:
        return Cell(test, null, n, k, float(np.mean(rejected)), len(rejected), confirmatory)

    if null != "erratic":
        # Friedman's test is about methods that are exchangeable; erratic ones are not.
        for test, rejected, confirmatory in _of_ranks(losses, tied=tied):
            yield cell(test, rejected, confirmatory)
    else:
        pairs = [(nemenyi(study).p[0, 1], conover(study).p[0, 1]) for study in losses[:FEW]]
        for test, p in zip(_PAIR_TESTS, np.array(pairs).T, strict=True):
            yield cell(test, p <= ALPHA, False)
    gains = np.stack([losses[..., j] - losses[..., i] for i, j in combinations(range(k), 2)], axis=1)
    p, _ = signed_rank(gains)
    yield cell("Wilcoxon, all pairs, Holm", p.min(axis=1) * p.shape[1] <= ALPHA)
    versus = p[:, : k - 1]  # the pairs with the first method, which is erratic where any is
    yield cell("Wilcoxon against the control, Holm", versus.min(axis=1) * (k - 1) <= ALPHA)
    if tied and n > 13:
        scipy, _ = signed_rank(gains, exact_with_ties=13)
        yield cell("before: Wilcoxon, normal approximation", scipy.min(axis=1) * p.shape[1] <= ALPHA, False)
    some = gains[: min(count, 2 * FEW), 0]
    yield cell("sign-flip, one pair", np.array([sign_flip(one, rng, 2000).p for one in some]) <= ALPHA)


def _of_ranks(losses: np.ndarray, *, tied: bool) -> Iterator[tuple[str, np.ndarray, bool]]:
    _, n, k = losses.shape
    if tied:
        found = [friedman(study) for study in losses]
        yield "Friedman, permutation", np.array([one.p for one in found]) <= ALPHA, True
        least = [smallest_p(rank_blocks(study)) for study in losses]
        before = np.maximum([one.f_p for one in found], least)
        yield "before: Iman-Davenport F", before <= ALPHA, False
        any_pair = [(nemenyi(study).p <= ALPHA).any() for study in losses]
        yield "Nemenyi, permutation", np.array(any_pair), True
        return
    ranks = losses.argsort(axis=2).argsort(axis=2) + 1.0
    sums = np.rint(2 * ranks.sum(axis=1)).astype(int)
    squares = np.square(sums - n * (k + 1)).sum(axis=1)
    span = sums.max(axis=1) - sums.min(axis=1)
    null = rank_null(ranks[0])
    yield "Friedman, permutation", np.array([null.squares(int(one)) for one in squares]) <= ALPHA, True
    yield "Nemenyi, permutation", np.array([null.span(int(one)) for one in span]) <= ALPHA, True
    between, total = squares / 4, n * n * k * (k * k - 1) / 12
    with np.errstate(divide="ignore"):
        f = (n - 1) * between / (total - between)
    before = np.maximum(stats.f.sf(f, k - 1, (k - 1) * (n - 1)), smallest_p(ranks[0]))
    yield "before: Iman-Davenport F", before <= ALPHA, False
    chi_square = n * (k - 1) * between / total
    yield "before: chi-square", stats.chi2.sf(chi_square, k - 1) <= ALPHA, False
    unit = 2 * n * np.sqrt(k * (k + 1) / (12 * n))
    widest = stats.studentized_range.isf(ALPHA, k, np.inf)
    yield "before: Nemenyi, studentised range", span / unit > widest, False


def unequal(studies: int, rng: np.random.Generator) -> Iterator[Cell]:
    """The mixed model where one method, or the control, varies five times as much as the others."""
    for where, column in (("erratic method", 3), ("erratic control", 0)):
        for n in (6, 12, 30):
            losses = rng.normal(size=(studies, n, 5, 1)) * np.where(np.arange(5) == column, 5, 1)[:, None]
            models = [mixed_model(study, 0) for study in losses]
            yield Cell("mixed model, F", where, n, 5, _share([m.p for m in models]), studies, n >= 12)
            first = [m.contrasts[0].p for m in models]
            yield Cell("mixed model, one contrast", where, n, 5, _share(first), studies, True)
            t = [m.contrasts[0].difference / _pooled(study) for m, study in zip(models, losses, strict=True)]
            before = 2 * stats.t.sf(np.abs(t), 4 * (n - 1))
            yield Cell("before: contrast, pooled", where, n, 5, _share(before), studies, False)


def _pooled(losses: np.ndarray) -> float:
    means = losses.mean(axis=2)
    n, k = means.shape
    rest = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
    return math.sqrt(2 * np.square(rest).sum() / ((k - 1) * (n - 1)) / n)


def _share(p: object) -> float:
    return float(np.mean(np.asarray(p) <= ALPHA))


def looks(studies: int, rng: np.random.Generator, number: int = 10) -> Iterator[Cell]:
    """A study that grows over ten looks, by a seed for each data set and by data sets."""
    effects = rng.normal(size=(studies, 12))
    seeds = rng.normal(size=(studies, 12, number)) * 2
    plain, spending, unlimited = (np.zeros(studies, bool) for _ in range(3))
    e_values = np.empty((studies, number))
    for look in range(1, number + 1):
        gains = (effects[..., None] + seeds[..., :look]).mean(axis=2)[:, : min(12, 7 + look // 2)]
        p, _ = signed_rank(gains, "greater")
        plain |= p <= ALPHA
        spending |= p <= level_of_look(ALPHA, look, number)
        e_values[:, look - 1] = [e_value(row) for row in gains]
        unlimited |= np.array([always_valid_p(row[:look]) for row in e_values]) <= ALPHA
    for test, rejected, confirmatory in (
        ("before: looking until it holds", plain, False),
        ("looks = 10", spending, True),
        ('looks = "unlimited"', unlimited, True),
    ):
        yield Cell(test, f"{number} looks", 12, 2, float(rejected.mean()), studies, confirmatory)


def posteriors(studies: int, rng: np.random.Generator) -> Iterator[Cell]:
    """How often the Bayesian signed-rank test is 95 % sure of one side of two equal methods."""
    for n in (3, 6, 12, 30):
        for rope in (0.0, 0.5):
            found = [bayes(rng.normal(size=n), rope, rng, 1000) for _ in range(studies)]
            sure = np.mean([max(one.better, one.worse) >= 0.95 for one in found])
            test = f"Bayesian signed-rank, rope {rope:g} sd"
            yield Cell(test, "normal", n, 2, float(sure), studies, False)


def intervals(studies: int, rng: np.random.Generator) -> Iterator[tuple[str, str, int, float, int]]:
    """Coverage of the intervals: test, null, n, share, studies."""
    for n in (6, 8, 12, 30):
        for null in ("normal", "heavy-tailed"):
            draws = NULLS[null](rng, studies, n, 2)
            runs = draws[..., None] + rng.normal(size=(studies, n, 2, 5))
            covers: dict[str, list[bool]] = {}
            for study in runs:
                for name, statistic in (("mean", mean), ("IQM", interquartile_mean)):
                    # Both centres are 0, as all of it is symmetric.
                    one = resampled(study[:, 0, :, None], statistic, rng, resamples=500).interval()
                    covers.setdefault(f"{name}, bootstrap-t", []).append(one.low <= 0 <= one.high)
                contrast = mixed_model(study, 0).contrasts[0]
                covers.setdefault("mixed model, contrast", []).append(contrast.low <= 0 <= contrast.high)
            for name, found in covers.items():
                yield name, null, n, float(np.mean(found)), studies


def simulate(studies: int, seed: int = 0) -> Iterator[Cell]:
    """Every cell of the first two parts."""
    for number, (null, n, k) in enumerate((null, n, k) for null in NULLS for n in SETS for k in METHODS):
        # The pair needs others between; each pattern of ties has its own distribution, slow for many k.
        if (null == "erratic" and k < 3) or (null == "tied" and k > (3 if n > 6 else 5)):
            continue
        yield from cells(null, n, k, studies, np.random.default_rng([seed, number]))
    yield from unequal(min(studies, 1000), np.random.default_rng([seed, 10**6]))
    yield from looks(studies, np.random.default_rng([seed, 10**6 + 1]))
    yield from posteriors(min(studies, 500), np.random.default_rng([seed, 10**6 + 2]))


def summary(found: list[Cell]) -> Table:
    """The largest share of each test and kind of study, over all n and k."""
    table = Table("test", "null", "most", "n", "k", "± (MC)", "confirmatory")
    groups: dict[tuple[str, str], list[Cell]] = {}
    for one in found:
        groups.setdefault((one.test, one.null), []).append(one)
    for (test, null), of in sorted(groups.items()):
        worst = max(of, key=lambda one: one.share)
        error = math.sqrt(max(worst.share * (1 - worst.share), 1e-4) / worst.studies)
        mark = ("yes" if worst.ok else "EXCEEDED") if worst.confirmatory else "no"
        table.add_row(test, null, f"{worst.share:.1%}", str(worst.n), str(worst.k), f"{error:.1%}", mark)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=5000)
    parser.add_argument("--coverage", type=int, default=400, help="studies per interval; 0 for none")
    options = parser.parse_args()
    start, console = time.perf_counter(), Console(width=110)
    found = list(simulate(options.studies))
    console.print(summary(found))
    short = False
    if options.coverage:
        table = Table("interval", "null", "n", "covers")
        for name, null, n, share, studies in intervals(options.coverage, np.random.default_rng(1)):
            table.add_row(name, null, str(n), f"{share:.1%}")
            short |= share < LEAST - 3 * math.sqrt(LEAST * (1 - LEAST) / studies)
        console.print(table)
    console.print(f"{time.perf_counter() - start:.0f} s")
    sys.exit(1 if short or not all(one.ok for one in found) else 0)


if __name__ == "__main__":
    main()
