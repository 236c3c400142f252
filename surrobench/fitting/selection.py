"""Choose a model by nested cross-validation, with the rows of a configuration never on both sides.

The inner folds choose the candidate. The outer folds never see that choice, so what they measure is true of
the whole procedure. Source: Varma & Simon, "Bias in error estimation when using cross-validation for model
selection" (BMC Bioinformatics 2006).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surrobench.fitting.candidates import Fit, candidates, refitted
from surrobench.seeding import stream
from surrobench.space.hyperparameter import Matrix

OUTER, INNER = 5, 3


@dataclass(frozen=True)
class Chosen:
    """The chosen candidate, and what the outer folds say of the choice.

    Attributes:
        name: of the candidate.
        fit: the candidate, fitted to all rows.
        scores: candidate -> its rank correlation in the inner folds, with all rows.
        out_of_fold: for each repetition the prediction of each row by a model that has not seen its
            configuration, shape (repetitions, rows).
    """

    name: str
    fit: Fit
    scores: dict[str, float]
    out_of_fold: Matrix


def choose(features: Matrix, y: NDArray[np.float64], group: NDArray[np.intp], repetitions: int) -> Chosen:
    """Return the candidate with the highest rank correlation, judged by nested cross-validation.

    Args:
        features: shape (rows, number of features).
        y: values, shape (rows,).
        group: the configuration of each row, shape (rows,).
        repetitions: how often the outer folds are drawn anew.
    """
    out_of_fold = np.empty((repetitions, len(y)))
    for repetition in range(repetitions):
        for train, test in folds(group, OUTER, repetition):
            name, fit, _ = _best(features[train], y[train], group[train], repetition)
            out_of_fold[repetition, test] = fit(features[test])
    name, fit, scores = _best(features, y, group, repetitions)
    return Chosen(name, fit, scores, out_of_fold)


def _best(
    features: Matrix, y: NDArray[np.float64], group: NDArray[np.intp], seed: int
) -> tuple[str, Fit, dict[str, float]]:
    """Return the name of the best candidate, the candidate fitted to all rows, and all scores."""
    fits, scores = {}, {}
    for name, make in candidates(len(y)).items():
        fits[name] = Fit(make(features.shape[1], seed), features, y)
        scores[name] = rank_correlation(y, validated(fits[name], features, y, group, INNER, seed))
    best = max(scores, key=scores.__getitem__)
    return best, fits[best], scores


def validated(
    fit: Fit, features: Matrix, y: NDArray[np.float64], group: NDArray[np.intp], number: int, seed: int
) -> NDArray[np.float64]:
    """Return predictions of each row by refits to the other folds, shape (rows,)."""
    predicted = np.empty(len(y))
    for train, test in folds(group, number, seed):
        predicted[test] = refitted(fit, features[train], y[train], seed)(features[test])
    return predicted


def folds(
    group: NDArray[np.intp], number: int, seed: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the rows for training and for testing of each fold; a configuration is in one fold only."""
    names = np.unique(group)
    fold_of = np.empty(len(names), dtype=np.intp)
    fold_of[stream("folds", seed).permutation(len(names))] = np.arange(len(names)) % number
    fold = fold_of[np.searchsorted(names, group)]
    for k in range(number):
        yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation; 0 where one of the two is constant."""
    from scipy.stats import rankdata

    x, y = rankdata(a), rankdata(b)
    spread = float(np.std(x) * np.std(y))
    return float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread else 0.0
