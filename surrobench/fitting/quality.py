"""Say how far a surrogate can be believed, from predictions of models that have not seen the trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrobench.fitting.arrays import TrialArrays
from surrobench.fitting.candidates import refitted
from surrobench.fitting.noise import Noise
from surrobench.fitting.selection import OUTER, Chosen, folds, rank_correlation
from surrobench.seeding import stream

ENOUGH = 0.7
"""The rank correlation below which a surrogate is refused."""
RESAMPLES = 300
LEVEL = 0.9
"""The level of the intervals whose coverage is reported."""
_NORMAL = 1.6448536269514722  # the half width of a normal interval of that level


@dataclass(frozen=True)
class Estimate:
    """A number with a 95 % interval: percentiles over configurations drawn with replacement."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Quality:
    """How good a surrogate is at full fidelity, for the objective that is optimized.

    Attributes:
        model: the chosen candidate.
        trials, failed: how many trials have a result, and how many failed and are left out.
        r2: the share of the variance that is explained.
        rank_correlation: Spearman's, of all configurations.
        best_tenth: Spearman's, of the tenth of the configurations with the best results.
        coverage: the share of results in the surrogate's own 90 % intervals.
        choice: the share of the trials that are better than the one that unseen predictions call best.
        learning: number of configurations -> the rank correlation with so many.
        with_twice: the rank correlation expected of twice the configurations; None if more did not help.
        noise: the standard deviation of an observation.
        noise_source: what the noise was estimated from.
    """

    model: str
    trials: int
    failed: int
    r2: Estimate
    rank_correlation: Estimate
    best_tenth: Estimate
    coverage: Estimate
    choice: float
    learning: dict[int, float]
    with_twice: float | None
    noise: float
    noise_source: str

    def sentences(self) -> list[str]:
        """Return what a person should know, a sentence each."""
        lines = [
            f"The surrogate is a {self.model}, fitted to {self.trials:,} trials.",
            f"Its rank correlation with trials that it has not seen is {self.rank_correlation}, and "
            f"{self.best_tenth} in the best tenth; it explains {self.r2.value:.0%} of the variance.",
            f"{self.coverage.value:.0%} of the unseen results lie in its {LEVEL:.0%} intervals.",
            f"{self.choice:.1%} of the trials are better than the one that it would have chosen unseen.",
        ]
        if self.failed:
            lines.append(f"{self.failed:,} trials failed and are left out: the surrogate never fails.")
        if self.with_twice is not None:
            lines.append(
                f"Twice as many trials are expected to bring the rank correlation to {self.with_twice:.2f}."
            )
        return lines

    def as_record(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def quality(arrays: TrialArrays, chosen: Chosen, noise: Noise) -> Quality:
    """Return how good the chosen surrogate is.

    Args:
        arrays: the trials.
        chosen: the choice made for the optimized objective.
        noise: of that objective.
    """
    full = arrays.full
    if full.sum() < len(full) / 20:  # hardly any trial got that far
        full = np.ones(len(full), dtype=bool)
    sign = 1 if next(iter(arrays.objectives.values())) else -1
    loss, predicted = sign * arrays.y[full, 0], sign * chosen.out_of_fold[:, full]
    group = arrays.group[full]
    sigma = noise.at(arrays.features[full])
    inside = np.abs(loss - predicted) <= _NORMAL * sigma

    def estimated(measure: Callable[[NDArray[np.intp]], float]) -> Estimate:
        return _estimate(measure, group)

    learning = _learning(arrays, chosen)
    return Quality(
        model=chosen.name,
        trials=len(arrays.y) if arrays.fidelity is None else arrays.configurations,
        failed=arrays.failed,
        r2=estimated(lambda rows: _mean(lambda p: _r2(loss[rows], p[rows]), predicted)),
        rank_correlation=estimated(
            lambda rows: _mean(lambda p: rank_correlation(loss[rows], p[rows]), predicted)
        ),
        best_tenth=estimated(lambda rows: _mean(lambda p: _of_best_tenth(loss[rows], p[rows]), predicted)),
        coverage=estimated(lambda rows: float(inside[:, rows].mean())),
        choice=_mean(lambda p: float(np.mean(loss < loss[np.argmin(p)])), predicted),
        learning=learning,
        with_twice=_extrapolated(learning),
        noise=float(np.mean(sigma)),
        noise_source=noise.source,
    )


def _mean(measure: Callable[[NDArray[np.float64]], float], predicted: NDArray[np.float64]) -> float:
    """Return the mean of a measure over repetitions of the cross-validation."""
    return float(np.mean([measure(one) for one in predicted]))


def _estimate(measure: Callable[[NDArray[np.intp]], float], group: NDArray[np.intp]) -> Estimate:
    """Return a measure of all rows, and its percentiles over configurations drawn with replacement."""
    names, first = np.unique(group, return_index=False), np.argsort(group, kind="stable")
    starts = np.searchsorted(group[first], names)
    ends = np.append(starts[1:], len(group))
    rng = stream("quality")
    drawn = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(len(names), size=len(names))
        drawn.append(measure(np.concatenate([first[starts[k] : ends[k]] for k in chosen])))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(measure(np.arange(len(group))), float(low), float(high))


def _r2(y: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    spread = float(np.var(y))
    return 1 - float(np.mean((y - predicted) ** 2)) / spread if spread else 0.0


def _of_best_tenth(loss: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    best = np.argsort(loss, kind="stable")[: max(5, len(loss) // 10)]
    return rank_correlation(loss[best], predicted[best])


def _learning(arrays: TrialArrays, chosen: Chosen) -> dict[int, float]:
    """Return the rank correlation with a quarter, a half and all configurations of the training folds."""
    found: dict[int, float] = {}
    for share in (0.25, 0.5, 1.0):
        predicted = np.empty(len(arrays.y))
        count = 0
        for train, test in folds(arrays.group, OUTER, 0):
            names = stream("learning", share).permutation(np.unique(arrays.group[train]))
            kept = names[: max(2, int(share * len(names)))]
            rows = train[np.isin(arrays.group[train], kept)]
            fit = refitted(chosen.fit, arrays.features[rows], arrays.y[rows, 0], 0)
            predicted[test] = fit(arrays.features[test])
            count = len(kept)
        full = arrays.full if arrays.full.any() else slice(None)
        found[count] = rank_correlation(arrays.y[full, 0], predicted[full])
    return found


def _extrapolated(learning: dict[int, float]) -> float | None:
    """Return the rank correlation with twice the trials: 1 less it falls with a power of their number."""
    (n, rho), (m, best) = list(learning.items())[-2:]
    if not 0 < rho < best < 1:
        return None
    exponent = np.log((1 - rho) / (1 - best)) / np.log(m / n)
    return float(1 - (1 - best) * 2.0**-exponent)
