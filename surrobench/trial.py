"""Records of trials: what a run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns
from surrobench.requests import Matrix
from surrobench.runs import Run

TrialStatus = Literal["ok", "invalid", "failed"]
"""``ok``: observed; ``invalid``: a model's reply was no configuration; ``failed``: the benchmark gave NaN."""

RunState = Literal["ok", "exhausted", "failed", "parked"]
"""``exhausted``: the optimizer stopped before the budget (a small grid); ``parked``: not finished, its model
does not answer, to be resumed."""


class Spent(NamedTuple):
    """What the completions between two trials cost."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    latency: float = 0.0

    def plus(self, other: Spent) -> Spent:
        """The sum, field by field."""
        return Spent(
            self.calls + other.calls,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.latency + other.latency,
        )


NOTHING_SPENT = Spent()


class Origin(NamedTuple):
    """What the trials of one request have in common."""

    source: str
    status: Literal["ok", "invalid"] = "ok"
    repairs: tuple[str, ...] = ()
    error: str = ""


@dataclass
class TrialLog:
    """The trials of one run, request by request."""

    configurations: list[Matrix] = field(default_factory=list)
    columns: list[Columns] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    spent: list[Spent] = field(default_factory=list)
    n: int = 0

    def add(self, X: Matrix, columns: Columns, origin: Origin, spent: Spent) -> None:
        """Append the m trials of one request; ``spent`` is booked on the first of them."""
        self.configurations.append(X)
        self.columns.append(columns)
        self.origins.append(origin)
        self.spent.append(spent)
        self.n += len(X)


@dataclass(frozen=True)
class Outcome:
    """One run and its trials, as arrays.

    Attributes:
        configurations: shape (n, d).
        values, score, cost, fidelity: see ``benchmarks.base.Columns``; shapes (n, objectives), (n,), (n,),
            (n, fidelities).
        origins: one per request; ``lengths``, their numbers of trials, sum to n.
        spent: one per request.
        duplicate: shape (n,), whether the run had evaluated the same configuration, at the same fidelity,
            before.
        library_seconds: time inside an optimization library.
        error: why the run failed or is parked.
    """

    run: Run
    state: RunState
    error: str
    configurations: Matrix
    values: NDArray[np.float64]
    score: NDArray[np.float64]
    cost: NDArray[np.float64]
    fidelity: NDArray[np.float64] | None
    origins: list[Origin]
    lengths: list[int]
    spent: list[Spent]
    duplicate: NDArray[np.bool_]
    library_seconds: float

    @property
    def n(self) -> int:
        """Number of trials."""
        return len(self.cost)


def close_log(
    run: Run,
    log: TrialLog,
    state: RunState,
    error: str,
    *,
    shape: tuple[int, int, int],
    library_seconds: float,
) -> Outcome:
    """A run's log as arrays; ``shape``, for one without trials: (d, number of objectives, of fidelities)."""
    X = np.concatenate(log.configurations) if log.n else np.empty((0, shape[0]))
    fidelity = [c.fidelity for c in log.columns if c.fidelity is not None] or [np.empty((0, shape[2]))]
    at = np.concatenate(fidelity) if shape[2] else None
    return Outcome(
        run=run,
        state=state,
        error=error,
        configurations=X,
        values=np.concatenate([c.values for c in log.columns]) if log.n else np.empty((0, shape[1])),
        score=np.concatenate([c.score for c in log.columns]) if log.n else np.empty(0),
        cost=np.concatenate([c.cost for c in log.columns]) if log.n else np.empty(0),
        fidelity=at,
        origins=log.origins,
        lengths=[len(x) for x in log.configurations],
        spent=log.spent,
        duplicate=_repeats(X if at is None else np.column_stack([X, at]), log),
        library_seconds=library_seconds,
    )


def _repeats(X: Matrix, log: TrialLog) -> NDArray[np.bool_]:
    """Shape (n,): rows equal to an earlier one. Invalid trials have no configuration and repeat none."""
    if not len(X):
        return np.zeros(0, dtype=bool)
    valid = np.repeat([origin.status == "ok" for origin in log.origins], [len(x) for x in log.configurations])
    # Rows as opaque bytes: unique on those sorts once instead of column by column. NaN has one form here.
    rows = np.ascontiguousarray(np.where(np.isnan(X), np.nan, X + 0.0)).view(f"V{X.shape[1] * 8}").ravel()
    first = np.zeros(len(X), dtype=bool)
    first[np.unique(rows, return_index=True)[1]] = True
    return np.asarray(~first & valid)
