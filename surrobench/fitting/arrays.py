"""Turn past trials into arrays that models are fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.benchmarks.fitted.features import Features
from surrobench.benchmarks.fitted.folder import FidelityFacts
from surrobench.errors import DataError
from surrobench.past_trials.trials import COST, FAILED, PastTrials
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace

FEWEST = 30
"""The number of configurations with a result below which nothing is fitted."""


@dataclass(frozen=True)
class TrialArrays:
    """Measurements as arrays; a row is a configuration that was measured at a fidelity.

    Attributes:
        space: the search space.
        fidelity: the fidelity; None if there is none.
        objectives: name -> whether smaller is better; the first one is optimized.
        X: configurations in the vector encoding, shape (rows, d).
        at: fidelities, shape (rows,); NaN without a fidelity.
        features: what models read, shape (rows, number of features).
        y: measured values in their natural direction, shape (rows, objectives).
        seconds: durations, shape (rows,); NaN where not known.
        group: the number of the configuration of each row, shape (rows,).
        failed: how many trials failed; they have no row.
    """

    space: SearchSpace
    fidelity: FidelityFacts | None
    objectives: dict[str, bool]
    X: Matrix
    at: NDArray[np.float64]
    features: Matrix
    y: Matrix
    seconds: NDArray[np.float64]
    group: NDArray[np.intp]
    failed: int

    @property
    def configurations(self) -> int:
        """Return the number of different configurations."""
        return int(self.group.max()) + 1

    @property
    def full(self) -> NDArray[np.bool_]:
        """Return which rows were measured at full fidelity, shape (rows,)."""
        if self.fidelity is None:
            return np.ones(len(self.y), dtype=bool)
        return np.asarray(self.at == self.fidelity.upper)

    def losses(self) -> NDArray[np.float64]:
        """Return the optimized objective as a loss, shape (rows,): lower is better."""
        minimize = next(iter(self.objectives.values()))
        return self.y[:, 0] if minimize else -self.y[:, 0]


def arrays(trials: PastTrials) -> TrialArrays:
    """Return the trials that have a result as arrays.

    Raises:
        DataError: there are too few, or all of them have the same result; one line.
    """
    space = SearchSpace(trials.space)
    frame = trials.frame.filter(~pl.col(FAILED))
    failed = len(trials.frame) - len(frame)
    measured = trials.columns("minimize", "maximize")
    config = trials.columns("config")
    usable = frame.select(pl.struct(config).n_unique()).item()
    if usable < FEWEST:
        raise DataError(
            f"{trials.title} has {usable} usable trials, and a surrogate needs {FEWEST}."
            + (f" {failed} failed." if failed else ""),
            f"Add at least {FEWEST - usable} trials, best drawn at random.",
        )
    objectives = {name.partition(".")[2]: name.startswith("minimize.") for name in measured}
    y = frame.select(measured).to_numpy().astype(np.float64)
    if np.ptp(y[:, 0]) == 0:
        raise DataError(
            f"All trials of {trials.title} have the same {next(iter(objectives))}: {y[0, 0]:g}.",
            "There is nothing to optimize.",
        )
    X = space.from_columns({name: frame[f"config.{name}"].to_list() for name in space.names})
    fidelity, at = _fidelity(trials, frame)
    group = frame.select(pl.struct(config).rank("dense")).to_series().to_numpy().astype(np.intp) - 1
    return TrialArrays(
        space=space,
        fidelity=fidelity,
        objectives=objectives,
        X=X,
        at=at,
        features=Features(space, fidelity)(X, None if fidelity is None else at),
        y=y,
        seconds=frame[COST].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        group=group,
        failed=failed,
    )


def _fidelity(trials: PastTrials, frame: pl.DataFrame) -> tuple[FidelityFacts | None, NDArray[np.float64]]:
    names = trials.columns("fidelity")
    if not names or frame[names[0]].n_unique() == 1:
        return None, np.full(len(frame), np.nan)
    column = frame[names[0]]
    at = column.cast(pl.Float64).to_numpy()
    facts = FidelityFacts(
        name=names[0].partition(".")[2],
        lower=float(at.min()),
        upper=float(at.max()),
        integer=column.dtype.is_integer(),
    )
    return facts, at
