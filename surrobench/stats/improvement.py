"""Estimate the probability of improvement: that a run of one method has less loss than one of another.

Ties count half. *Paired* compares runs on the same instance with the same seed, hence from the same start and
under the same noise. *Unpaired* compares any run of one method with any run of the other on the same
instance, as rliable does (Mann and Whitney's U over the number of pairs). Both are means over instances, from
0 to 1; at 0.5, neither method is better. They answer different questions where seeds matter: a shared start
makes the paired probability more decided. Where equal seeds share nothing, as with external results, the
paired probability only throws pairs of runs away.

Sources: R. Agarwal et al., Deep RL at the edge of the statistical precipice, NeurIPS 2021; rliable,
``metrics.probability_of_improvement``; H. B. Mann & D. R. Whitney, Annals of Mathematical Statistics 18
(1947).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from surrobench.arrays import Floats
from surrobench.stats.bootstrap import Estimate, Interval, IntervalMethod, Resample, Statistic, bootstrap
from surrobench.stats.shapes import complete

Pairing = Literal["paired", "unpaired"]

BOUNDS = (0.0, 1.0)


def paired(data: Floats) -> Estimate:
    """Estimate P(first better than second on the same seed), ties half; data has shape (..., n, s, 2)."""
    score = scores(data[..., 0], data[..., 1])
    value = score.mean(axis=(-2, -1))
    return Estimate(value, score - value[..., None, None])


def unpaired(tables: Floats) -> Statistic:
    """Return a statistic for P(first better than second on the same instance), where ties count half.

    Every two runs were compared before. A resample only counts how often it holds each run, which is many
    times faster than comparing the runs anew.

    Args:
        tables: shape (n, s, s), for each instance the ``scores`` of the first method's runs, in rows, against
            the second's, in columns; or for each cluster the mean of its instances' tables.

    Returns:
        A statistic of data of shape (..., n, r, 1): the numbers of the runs, instance x s + seed, those of
        one instance in each row. A seed brings a run of each method.
    """
    n, s, _ = tables.shape

    def of_runs(data: Floats) -> Estimate:
        rows = data[..., 0].astype(np.intp)
        shape, r = rows.shape, rows.shape[-1]
        rows = rows.reshape(-1, r)
        instances = rows[:, 0] // s
        seeds = rows - s * instances[:, None]
        cells = seeds + s * np.arange(len(rows))[:, None]
        times = np.bincount(cells.ravel(), minlength=len(rows) * s).reshape(-1, s).astype(np.float64)
        # Each run is scored against all runs of the other method by one product of matrices for each
        # instance.
        beats: Floats = np.empty(rows.shape)
        beaten: Floats = np.empty(rows.shape)
        order = np.argsort(instances, kind="stable")
        of_instances = np.split(order, np.searchsorted(instances[order], np.arange(1, n)))
        for table, those in zip(tables, of_instances, strict=True):
            drawn = seeds[those]
            beats[those] = np.take_along_axis(times[those] @ table.T, drawn, axis=1) / r
            beaten[those] = np.take_along_axis(times[those] @ table, drawn, axis=1) / r
        beats, beaten = beats.reshape(shape), beaten.reshape(shape)
        of_instance = beats.mean(axis=-1, keepdims=True)
        value = of_instance.mean(axis=(-2, -1))
        # A seed brings one run of each method, so its influence is that of both runs.
        influence = beats + beaten - (of_instance + value[..., None, None])
        return Estimate(value, influence)

    return of_runs


def probability_of_improvement(first: ArrayLike, second: ArrayLike, pairing: Pairing = "paired") -> float:
    """Return P(first better than second), the mean over instances.

    Args:
        first: shape (n, s), losses of one method on n instances by s seeds, lower is better.
        second: shape (n, s), losses of the other method with the same seeds; if unpaired, (n, r) with any
            seeds.
        pairing: whether runs of the same seed are compared, or all runs with all runs.

    Raises:
        ValueError: an argument is not a matrix, is empty, or has a NaN; or the shapes do not go together.
    """
    first, second = complete(first, "instances", "seeds"), complete(second, "instances", "seeds")
    if len(first) != len(second) or (pairing == "paired" and first.shape != second.shape):
        raise ValueError(
            "both must have the same instances and, if paired, the same seeds, but got shapes "
            f"{first.shape} and {second.shape}"
        )
    if pairing == "paired":
        return float(scores(first, second).mean())
    return float(score_tables(first, second).mean())


def improvement_interval(
    first: ArrayLike,
    second: ArrayLike,
    rng: np.random.Generator,
    pairing: Pairing = "paired",
    *,
    resample: Resample = "instances and seeds",
    method: IntervalMethod = "bootstrap-t",
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Return the probability of improvement with a bootstrap interval.

    Args:
        first: shape (n, s), losses of one method on n instances by s seeds, lower is better.
        second: shape (n, s), losses of the other method with the same seeds. A drawn seed brings the runs of
            both methods, also where the probability is the unpaired one.
        rng: the generator that draws the resamples.
        pairing: whether runs of the same seed are compared, or all runs with all runs.
        resample: what is drawn anew. It decides what the interval generalises to.
        method: how the interval is computed from the resamples.
        level: the confidence level.
        resamples: the number of resamples.

    Raises:
        ValueError: see ``bootstrap``; or the shapes differ.
    """
    first, second = complete(first, "instances", "seeds"), complete(second, "instances", "seeds")
    if first.shape != second.shape:
        raise ValueError(f"both must have the same shape, but got {first.shape} and {second.shape}")
    if pairing == "unpaired":
        tables = score_tables(first, second)
        return unpaired_interval(
            tables, rng, resample=resample, method=method, level=level, resamples=resamples
        )
    return bootstrap(
        np.stack([first, second], axis=-1),
        paired,
        rng,
        resample=resample,
        method=method,
        level=level,
        resamples=resamples,
        bounds=BOUNDS,
    )


def unpaired_interval(
    tables: ArrayLike,
    rng: np.random.Generator,
    *,
    resample: Resample = "instances and seeds",
    method: IntervalMethod = "bootstrap-t",
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Return the unpaired probability of improvement with a bootstrap interval; see ``improvement_interval``.

    Args:
        tables: shape (n, s, s), see ``unpaired`` and ``score_tables``.
        rng: the generator that draws the resamples.
        resample: what is drawn anew. It decides what the interval generalises to.
        method: how the interval is computed from the resamples.
        level: the confidence level.
        resamples: the number of resamples.

    Raises:
        ValueError: see ``bootstrap``; or the tables are not square.
    """
    tables = complete(tables, "instances", "seeds", "seeds", name="tables")
    n, s, columns = tables.shape
    if s != columns:
        raise ValueError(f"tables must have the same seeds in rows and columns, but got shape {tables.shape}")
    return bootstrap(
        np.arange(n * s).reshape(n, s, 1),
        unpaired(_sorted(tables)),
        rng,
        resample=resample,
        method=method,
        level=level,
        resamples=resamples,
        bounds=BOUNDS,
    )


def score_tables(first: Floats, second: Floats) -> Floats:
    """Return how each run of the first, (n, s), scores against each of the second, (n, r), as (n, s, r)."""
    return scores(first[:, :, None], second[:, None, :])


def scores(first: Floats, second: Floats) -> Floats:
    """Return 1 where the first has less loss, 1/2 where both tie, else 0; the mean is the probability."""
    return np.asarray(((first < second).astype(np.float64) + (first <= second)) / 2)


def _sorted(tables: Floats) -> Floats:
    """Return the tables with seeds and instances in an order that depends on their values only.

    ``bootstrap`` orders losses in the same way. In the table of one instance, rows with equal sums are equal,
    and so are columns. Seeds whose row and column are equal can change places.
    """
    by_seed: list[Floats] = []
    for table in tables:
        # Round the sums, because a sum in another order may have another last digit.
        order = np.lexsort([np.diag(table), table.sum(axis=0).round(9), table.sum(axis=1).round(9)])
        by_seed.append(table[np.ix_(order, order)])
    values = [table.ravel().tolist() for table in by_seed]
    return np.stack([by_seed[i] for i in sorted(range(len(by_seed)), key=values.__getitem__)])
