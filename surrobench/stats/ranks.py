"""Compute ranks per block, Friedman's test, and which pairs differ by Nemenyi's or Conover's test.

Nemenyi's test gives a critical difference. A block is a benchmark instance with its seeds averaged first: two
seeds of one instance are not two independent data sets. Losses are lower-is-better, so rank 1 is the best.
Methods that tie share their mean rank.

Sources: J. Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006); R. L. Iman
& J. M. Davenport, Approximations of the critical region of the Friedman statistic, Communications in
Statistics A 9 (1980); S. García & F. Herrera, JMLR 9 (2008); W. J. Conover, Practical Nonparametric
Statistics, 3rd edition (1999), section 5.8.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from surrobench.stats.correction import Correction, correct
from surrobench.stats.rank_null import rank_null
from surrobench.stats.shapes import complete


@dataclass(frozen=True)
class Friedman:
    """Friedman's test that k methods rank alike over n blocks.

    Attributes:
        mean_ranks: shape (k,), the mean ranks; 1 is the best.
        p: the p-value of the permutation test, see ``rank_null``. It holds for any n and k.
        how: how the permutation distribution was found: exactly, or from how many random tables.
        chi_square: the statistic, corrected for ties, with k - 1 degrees of freedom.
        chi_square_p: the upper tail of the chi-square, an approximation for many blocks.
        f: Iman and Davenport's statistic, with k - 1 and (k - 1)(n - 1) degrees of freedom; infinite if the
            methods rank identically in every block.
        f_p: the upper tail of F, an approximation for many blocks: at 5 %, it rejects 19 % for 3 methods in 3
            blocks, and 12.5 % for 2 methods in 7.
        n: the number of blocks.
        k: the number of methods.
        note: why there is nothing to test (then every p is NaN), or how to read the result; or "".
    """

    mean_ranks: NDArray[np.float64]
    p: float
    how: str
    chi_square: float
    chi_square_p: float
    f: float
    f_p: float
    n: int
    k: int
    note: str = ""

    @staticmethod
    def without(mean_ranks: NDArray[np.float64], n: int, note: str = "") -> Friedman:
        """Return mean ranks that are not tested, and why."""
        nan = float("nan")
        return Friedman(mean_ranks, nan, "", nan, nan, nan, nan, n, len(mean_ranks), note)


@dataclass(frozen=True)
class Nemenyi:
    """The result of Nemenyi's test of all pairs.

    Attributes:
        critical_difference: two methods differ if their mean ranks differ by more than this, at level
            ``alpha``; NaN with fewer than two blocks.
        p: shape (k, k), p-values adjusted for all pairs; 1 on the diagonal.
        alpha: the family-wise level.
        how: how the distribution of the range was found: ``rank_null``, or "studentised range".
    """

    critical_difference: float
    p: NDArray[np.float64]
    alpha: float
    how: str

    @staticmethod
    def without(k: int, alpha: float = float("nan")) -> Nemenyi:
        """Return the result where k methods cannot be tested."""
        return Nemenyi(float("nan"), np.where(np.eye(k, dtype=bool), 1.0, np.nan), alpha, "")


@dataclass(frozen=True)
class Conover:
    """The result of Conover's test of all pairs after Friedman's.

    Attributes:
        t: shape (k, k), the difference of rank sums over its standard error, which comes from the variance
            that the ranks leave unexplained. It is infinite where the methods rank identically in every
            block, and NaN where not testable.
        p: shape (k, k), two-sided p-values, corrected for all pairs; 1 on the diagonal.
        p_raw: shape (k, k), uncorrected p-values; never below ``smallest_p``.
        dof: the degrees of freedom of t, (n - 1)(k - 1).
        correction: the correction for the number of pairs.
        alpha: the level of the test.
        note: how to read p where the tail of t was below ``smallest_p``; or "".
    """

    t: NDArray[np.float64]
    p: NDArray[np.float64]
    p_raw: NDArray[np.float64]
    dof: int
    correction: Correction
    alpha: float
    note: str = ""


def rank_blocks(losses: ArrayLike) -> NDArray[np.float64]:
    """Return the rank of each method within each block, shape (n, k); 1 is the best, ties share their mean.

    Args:
        losses: shape (n, k), n blocks by k methods, lower is better.

    Raises:
        ValueError: ``losses`` is not a matrix, is empty, or has a NaN.
    """
    losses = complete(losses, "blocks", "methods", finite=False)
    return np.asarray(stats.rankdata(losses, axis=1), dtype=np.float64)


def smallest_p(ranks: NDArray[np.float64]) -> float:
    """Return the probability that n blocks ordered at random agree as far as their ties let them.

    That is the p of the most extreme outcome in the permutation test of "all methods rank alike". In that
    test, every block is any arrangement of its ranks, equally likely. No test that is based on agreement
    between blocks can honestly report less. Without ties, all blocks share one order of k!: the probability
    is k! / k!^n. With ties, blocks agree when no two methods are ordered one way in one block and the other
    way in another. What is then left to chance is which methods have which ranks once every block is sorted.

    Args:
        ranks: shape (n, k), as ``rank_blocks`` returns them.

    Returns:
        More than 0, even where the probability is less than the smallest (normal) float, and 1 where all tie.
    """
    ordered = np.sort(ranks, axis=1)
    # Methods with the same ranks in every sorted block are interchangeable.
    favourable = _arrangements(np.unique(ordered, axis=1, return_counts=True)[1])
    possible = math.prod(_arrangements(np.unique(row, return_counts=True)[1]) for row in ordered)
    # The quotient of integers is rounded once: 1/20 must not exceed a level of 0.05.
    return max(favourable / possible, sys.float_info.min)


def _arrangements(counts: NDArray[np.intp]) -> int:
    """Return the number of orders of things, given how many are alike: a multinomial coefficient."""
    alike = [int(count) for count in counts]
    return math.factorial(sum(alike)) // math.prod(math.factorial(count) for count in alike)


def friedman(losses: ArrayLike) -> Friedman:
    """Return Friedman's permutation test, with the chi-square, corrected for ties, and Iman and Davenport's
    F.

    The chi-square is that of ``scipy.stats.friedmanchisquare``; here it is computed for two methods as well.
    F grows with it, so that both have one permutation test, whose p is ``Friedman.p``. Demšar (2006)
    recommends the tail of F, but it is an approximation that rejects far too often with few blocks.

    Args:
        losses: shape (n, k), n blocks by k methods, lower is better.

    Raises:
        ValueError: ``losses`` is not a matrix, is empty, or has a NaN.
    """
    ranks = rank_blocks(losses)
    n, k = ranks.shape
    mean_ranks = ranks.mean(axis=0)
    if n < 2 or k < 2:
        what = f"{n} instance" if n < 2 else f"{k} method"
        return Friedman.without(mean_ranks, n, f"{what}: not testable, two are needed")
    # The formula is that of a two-way analysis of variance. Deviations are multiples of 1/2, so n times
    # either sum of squares is exact: no rounding decides whether ties are complete or agreement is perfect.
    deviations = ranks - (k + 1) / 2
    total = n * float(np.square(deviations).sum())
    between = float(np.square(deviations.sum(axis=0)).sum())
    if total == 0:
        note = "all methods tie in every instance"
        return Friedman(mean_ranks, 1.0, "exact", 0.0, 1.0, 0.0, 1.0, n, k, note)
    chi_square = n * (k - 1) * between / total
    # (n - 1) chi2 / (n (k - 1) - chi2), Iman & Davenport (1980), with chi2 inserted and simplified.
    f = (n - 1) * between / (total - between) if between < total else float("inf")
    null = rank_null(ranks)
    return Friedman(
        mean_ranks,
        # Doubled sums are integers, and so is four times the sum of squares.
        p=null.squares(round(4 * between)),
        how=null.how,
        chi_square=chi_square,
        chi_square_p=float(stats.chi2.sf(chi_square, k - 1)),
        f=f,
        f_p=float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))),
        n=n,
        k=k,
        note="the methods rank identically in every instance" if between == total else "",
    )


def nemenyi(losses: ArrayLike, alpha: float = 0.05, *, permutation: bool = True) -> Nemenyi:
    """Return the critical difference of mean ranks and the p-value of each pair (Demšar 2006, section 3.2.2).

    The p-value of a pair is the probability that chance makes *any* two rank sums differ as much. It presumes
    that all methods are alike: two methods that vary much, among others that lie between them, are called
    different too often (``python -m tests.bench.validity``).

    Args:
        losses: shape (n, k), n blocks by k methods, lower is better.
        alpha: the family-wise level.
        permutation: whether the range of rank sums has its permutation distribution, given the ties; else it
            has that of the studentised range, as published, an approximation for many blocks without ties.

    Raises:
        ValueError: ``losses`` is not a matrix, is empty, or has a NaN.
    """
    ranks = rank_blocks(losses)
    n, k = ranks.shape
    if n < 2 or k < 2:
        return Nemenyi.without(k, alpha)
    sums = np.rint(2 * ranks.sum(axis=0)).astype(np.int64)
    p = np.ones((k, k))
    i, j = np.triu_indices(k, 1)
    differences = np.abs(sums[i] - sums[j])
    if permutation:
        null = rank_null(ranks)
        p[i, j] = p[j, i] = [null.span(int(difference)) for difference in differences]
        # The largest difference that chance reaches more often than the level says.
        kept = np.flatnonzero(null.span.tail > alpha)
        widest = float(null.span.values[kept[-1]]) if len(kept) else 0.0
        return Nemenyi(widest / (2 * n), p, alpha, null.how)
    # The studentised range, divided by sqrt(2), is Demšar's q.
    unit = np.sqrt(k * (k + 1) / (12 * n))
    p[i, j] = p[j, i] = stats.studentized_range.sf(differences / (2 * n * unit), k, np.inf)
    widest = float(stats.studentized_range.isf(alpha, k, np.inf) * unit)
    return Nemenyi(widest, p, alpha, "studentised range")


def conover(losses: ArrayLike, alpha: float = 0.05, correction: Correction = "holm") -> Conover:
    """Return the p-value of each pair by Conover's t on rank sums (1999, section 5.8).

    The test is more powerful than Nemenyi's, because it uses the variance that the methods leave unexplained.
    It is valid only where Friedman's test rejects. Unlike Nemenyi's, its pairs need a correction. Where the
    methods rank identically in every block, t is infinite and its tail is 0, however few the blocks are. The
    p is therefore never below ``smallest_p``. Like t, that bound presumes that all methods rank alike: two
    methods that are alike among methods that are not agree by chance more often.

    Args:
        losses: shape (n, k), n blocks by k methods, lower is better.
        alpha: the level of the test.
        correction: the correction for the number of pairs.

    Raises:
        ValueError: ``losses`` is not a matrix, is empty, or has a NaN; or the correction is unknown.
    """
    ranks = rank_blocks(losses)
    n, k = ranks.shape
    dof = (n - 1) * (k - 1)
    one = np.eye(k, dtype=bool)
    if dof == 0:
        unknown = np.where(one, 1.0, np.nan)
        return Conover(np.where(one, 0.0, np.nan), unknown, unknown, dof, correction, alpha)
    sums = ranks.sum(axis=0)
    # Both sums of squares are exact, see friedman: no rounding leaves a variance where agreement is perfect.
    deviations = ranks - (k + 1) / 2
    unexplained = n * float(np.square(deviations).sum()) - float(np.square(deviations.sum(axis=0)).sum())
    difference = sums[:, None] - sums
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(difference == 0, 0.0, difference / np.sqrt(2 * unexplained / dof))
    tails, least = np.where(one, 1.0, 2 * stats.t.sf(np.abs(t), dof)), smallest_p(ranks)
    # The bound is applied before the correction, which does not know how few outcomes there are.
    p_raw = np.maximum(tails, least)
    p = np.ones((k, k))
    i, j = np.triu_indices(k, 1)
    p[i, j] = p[j, i] = correct(p_raw[i, j], correction, k)
    note = f"no uncorrected p of these {n} instances can be less than {least:.3g}"
    return Conover(t, p, p_raw, dof, correction, alpha, note if (tails < least).any() else "")


def cliques(mean_ranks: ArrayLike, critical_difference: float) -> list[tuple[int, ...]]:
    """Return the maximal groups of methods whose extremes differ by at most the critical difference.

    A group has two or more methods. The groups are the bars of a critical-difference diagram: none lies
    inside another.

    Args:
        mean_ranks: shape (k,).
        critical_difference: the largest difference within a group; NaN gives no groups.

    Returns:
        Indices into ``mean_ranks``, each group from best to worst, groups from best to worst.
    """
    ranks = np.asarray(mean_ranks, dtype=np.float64)
    # Equal differences of mean ranks are equal but for their last digits.
    return bars(ranks, ~(np.abs(ranks[:, None] - ranks) <= critical_difference + 1e-9))


def bars(mean_ranks: ArrayLike, apart: ArrayLike) -> list[tuple[int, ...]]:
    """Return the maximal stretches of mean ranks over which no two methods are apart, by any test of pairs.

    A bar is read as "these do not differ". It may therefore cover no pair that differs: neither its ends, nor
    a method between them, nor a method at the same mean rank as another. In Wilcoxon's test, two methods that
    are not apart can have a method between them that is; such a pair can share no bar. No bar lies inside
    another, and none depends on the order in which methods are listed.

    Args:
        mean_ranks: shape (k,).
        apart: shape (k, k) of bool, symmetric, whether the two methods differ. From p-values, use ``~(p >
            alpha)``, so that a pair that could not be tested gets no bar.

    Returns:
        Indices into ``mean_ranks``, two or more each, from best to worst, groups from best to worst.
    """
    ranks, apart = np.asarray(mean_ranks, dtype=np.float64), np.asarray(apart, dtype=bool)
    off_diagonal = apart & ~np.eye(len(ranks), dtype=bool)
    places = [np.flatnonzero(ranks == rank) for rank in np.unique(ranks)]
    groups: list[tuple[int, ...]] = []
    covered = 0
    for start in range(len(places)):
        members = np.array([], dtype=np.intp)
        end = start
        for place in places[start:]:
            longer = np.concatenate([members, place])
            if off_diagonal[np.ix_(longer, longer)].any():
                break
            members, end = longer, end + 1
        if end > covered and len(members) > 1:
            groups.append(tuple(int(index) for index in members))
            covered = end
    return groups
