"""Optuna's own classes, which decide where this package's arithmetic cannot tell.

This is the one place that imports private parts of Optuna, and only when it is called.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from surrobench.arrays import Floats
from surrobench.optimizers.kernels.tpe_history import Block, TpeHistory
from surrobench.optimizers.kernels.tpe_mixture import Indices, good_group
from surrobench.optimizers.kernels.tpe_space import Column


class _Drawn:
    """Stands for the random generator: gives what was drawn."""

    def __init__(self, draws: Floats, candidates: int) -> None:
        self._draws = draws.reshape(-1, candidates)
        self._next = 0

    def _take(self, rows: int) -> Floats:
        self._next += rows
        taken: Floats = self._draws[self._next - rows : self._next]
        return taken

    def choice(self, n: int, p: Floats, size: int) -> Indices:
        """Choose kernels by their weights."""
        cumulated = p.cumsum()
        cumulated /= cumulated[-1]
        return np.asarray(cumulated.searchsorted(self._take(1)[0], side="right"))

    def rand(self, size: int) -> Floats:
        """Return numbers for one categorical column."""
        taken: Floats = self._take(1)[0]
        return taken

    def uniform(self, low: float, high: float, size: tuple[int, int]) -> Floats:
        """Return numbers for all columns of numbers."""
        return self._take(size[0])


def proposed_by_optuna(history: TpeHistory, block: Block, candidates: int, draws: Floats) -> Floats:
    """Return the values of a block, shape (number of columns,), as Optuna's estimator proposes them.

    Args:
        history: the finished trials of a run.
        block: the columns.
        candidates: how many are compared.
        draws: the uniform numbers of this block.
    """
    from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
    from optuna.samplers._tpe.sampler import default_weights

    space = history.space
    columns = {space.names[j]: distribution(space.columns[j]) for j in block}
    parameters = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)
    good = history.ranking[: good_group(history.n)]
    active = ~np.isnan(history.values[:, list(block)]).any(axis=1)
    is_good = np.zeros(history.n, dtype=bool)
    is_good[good] = True
    below, above = (
        _ParzenEstimator(
            {space.names[j]: history.values[active & part, j] for j in block}, columns, parameters
        )
        for part in (is_good, ~is_good)
    )
    drawn: Any = _Drawn(draws, candidates)
    samples = below.sample(drawn, candidates)
    best = int(np.argmax(below.log_pdf(samples) - above.log_pdf(samples)))
    return np.array([samples[space.names[j]][best] for j in block])


def distribution(column: Column) -> Any:
    """Return Optuna's counterpart of a column; a category stands for its index."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if column.choices:
        return CategoricalDistribution(range(column.choices))
    if column.integer:
        return IntDistribution(int(column.low), int(column.high), log=column.log, step=int(column.step))
    return FloatDistribution(column.low, column.high, log=column.log, step=column.step or None)
