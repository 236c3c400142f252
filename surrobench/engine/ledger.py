"""The arrays in which the engine keeps trials: one ledger per scenario, one log per run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns, Scenario
from surrobench.engine.outcome import Origin, Outcome, RunState, Spent
from surrobench.plan.run import Run
from surrobench.protocol.requests import Matrix


class Ledger:
    """What was observed on one scenario, by all runs of an engine: a row per trial, in arrays that grow.

    A run keeps the numbers of its rows (``TrialLog``) until it ends and its ``Outcome`` is gathered: slicing
    small arrays for every trial would cost more than evaluating it.
    """

    _SIZES = ("configurations", "values", "score", "cost", "fidelity", "share", "finished", "overhead")

    def __init__(self, scenario: Scenario) -> None:
        self.n = 0
        widths = {
            "configurations": scenario.space.d,
            "values": len(scenario.objectives),
            "fidelity": len(scenario.fidelities),
        }
        self._columns: dict[str, NDArray[Any]] = {
            name: np.empty((0, widths[name]) if name in widths else 0) for name in self._SIZES
        }
        self._columns["proposal"] = np.empty(0, dtype=np.int64)
        self._has_fidelity = bool(scenario.fidelities)

    def add(self, X: Matrix, columns: Columns, proposal: NDArray[np.int64], share: Any) -> int:
        """Append m trials that are not finished yet; returns the number of the first row.

        Args:
            X: shape (m, d).
            columns: what was observed.
            proposal: shape (m,), the trials' numbers within their runs, in the order they were begun.
            share: full-fidelity equivalents they cost, one number or shape (m,).
        """
        first, self.n = self.n, self.n + len(X)
        if self.n > len(self._columns["cost"]):
            for name, column in self._columns.items():
                grown = np.zeros((2 * self.n, *column.shape[1:]), column.dtype)
                grown[:first] = column[:first]
                self._columns[name] = grown
        rows = slice(first, self.n)
        self._columns["configurations"][rows] = X
        self._columns["values"][rows] = columns.values
        self._columns["score"][rows] = columns.score
        self._columns["cost"][rows] = columns.cost
        if columns.fidelity is not None:
            self._columns["fidelity"][rows] = columns.fidelity
        self._columns["proposal"][rows] = proposal
        self._columns["share"][rows] = share
        return first

    def finish_one(self, row: int, finished: float, overhead: float) -> None:
        """Say when a trial finished, and what was thought before it began."""
        self._columns["finished"][row] = finished
        if overhead:
            self._columns["overhead"][row] = overhead

    def finish(self, first: int, finished: NDArray[np.float64], overhead: float) -> None:
        """``finish_one`` for the trials of one request, from row ``first`` on."""
        self._columns["finished"][first : first + len(finished)] = finished
        self._columns["overhead"][first] = overhead

    def finished_by(self, seconds: float, first: int, length: int) -> NDArray[np.intp]:
        """Which of some neighbouring rows finished by a time: their numbers."""
        return first + np.flatnonzero(self._columns["finished"][first : first + length] <= seconds)

    def gather(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        """Some rows of every column, by name."""
        taken = {name: column[rows] for name, column in self._columns.items()}
        return taken if self._has_fidelity else {**taken, "fidelity": None}


@dataclass(slots=True)
class TrialLog:
    """The trials of one run, request by request, as rows of a ledger."""

    first: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    spent: list[Spent] = field(default_factory=list)
    n: int = 0

    def add(self, first: int, length: int, origin: Origin, spent: Spent) -> None:
        """Append trials of one request; ``spent`` is booked on the first of them."""
        self.first.append(first)
        self.lengths.append(length)
        self.origins.append(origin)
        self.spent.append(spent)
        self.n += length

    def rows(self) -> NDArray[np.intp]:
        """Shape (n,): the rows of the ledger."""
        lengths = np.array(self.lengths, dtype=np.intp)
        before = np.cumsum(lengths) - lengths
        return np.repeat(np.array(self.first, dtype=np.intp) - before, lengths) + np.arange(self.n)


def close_log(
    run: Run,
    log: TrialLog,
    ledger: Ledger,
    state: RunState,
    error: str,
    *,
    library_seconds: float,
    thinking: list[float],
    answers: dict[str, int],
    served: list[tuple[str, str]] | None = None,
) -> Outcome:
    """A run's log as arrays."""
    columns = ledger.gather(log.rows())
    X, at = columns["configurations"], columns["fidelity"]
    return Outcome(
        run=run,
        state=state,
        error=error,
        origins=log.origins,
        lengths=log.lengths,
        spent=log.spent,
        duplicate=_repeats(X if at is None else np.column_stack([X, at]), log),
        library_seconds=library_seconds,
        thinking=thinking,
        answers=answers,
        served=served or [],
        **columns,
    )


def failed_without_trials(run: Run, scenario: Scenario, error: str) -> Outcome:
    """Return the outcome of a run that failed with the process it was in: nothing of it is left."""
    ledger = Ledger(scenario)
    return close_log(run, TrialLog(), ledger, "failed", error, library_seconds=0.0, thinking=[], answers={})


def _repeats(X: Matrix, log: TrialLog) -> NDArray[np.bool_]:
    """Shape (n,): rows equal to an earlier one. Invalid trials have no configuration and repeat none."""
    if not len(X):
        return np.zeros(0, dtype=bool)
    valid = np.repeat([origin.status == "ok" for origin in log.origins], log.lengths)
    # Rows as opaque bytes: unique on those sorts once instead of column by column. NaN has one form here.
    rows = np.ascontiguousarray(np.where(np.isnan(X), np.nan, X + 0.0)).view(f"V{X.shape[1] * 8}").ravel()
    first = np.zeros(len(X), dtype=bool)
    first[np.unique(rows, return_index=True)[1]] = True
    return np.asarray(~first & valid)
