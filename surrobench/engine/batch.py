"""A scenario's batch: what all runs on one scenario want evaluated, as one array call.

A run's own side is ``engine.run_state.RunInProgress``: its generator, its budget and its simulated clock.
The batch is the array side: it turns the pending requests into one matrix, checks and evaluates it, and
books every row in its ledger. What a row observes depends on its own run alone, never on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns, Scenario
from surrobench.engine.ledger import Ledger
from surrobench.engine.outcome import Origin, Spent
from surrobench.errors import ReplayDiverged, SurrobenchError, UsageError
from surrobench.protocol.requests import Evaluate, Matrix, Next, Submit
from surrobench.seeding import Keys, mix

if TYPE_CHECKING:
    from surrobench.engine.run_state import RunInProgress


class ContractViolation(Exception):
    """An optimizer broke its contract; the text, after "The optimizer", says how."""


class Begun(NamedTuple):
    """A submitted trial that has not been evaluated yet: its value is needed when the run waits for it."""

    request: Submit
    configuration: Matrix
    fidelity: Matrix | None
    share: float
    origin: Origin
    ticket: int
    start: float
    overhead: float
    spent: Spent


@dataclass(slots=True)
class PendingRows:
    """Rows that a run wants evaluated."""

    active: RunInProgress
    request: Evaluate | Next
    X: Matrix
    """Shape (m, d)."""
    first: int
    """Number of the first trial in its run; the others follow."""
    origin: Origin
    fidelity: Matrix | None = None
    """Shape (m, number of fidelities) or (1, ...) for all rows; None: full."""
    share: Any = 1.0
    """Full-fidelity equivalents of each row."""
    overhead: float = 0.0


class ScenarioBatch:
    """Everything that is pending on one scenario, and the ledger of what was observed there."""

    def __init__(self, scenario: Scenario, *, reevaluate: bool) -> None:
        self.scenario = scenario
        self.d = scenario.space.d
        self.ledger = Ledger(scenario)
        self.pending: list[PendingRows] = []
        self._reevaluate = reevaluate
        self._sign = scenario.objectives[scenario.target_index].sign

    def as_matrix(self, configurations: Any) -> Matrix:
        """What an optimizer gave as a batch of configurations, as an array of shape (m, d).

        Raises:
            ContractViolation: it is none.
        """
        try:
            X = np.asarray(configurations, dtype=np.float64)
        except (TypeError, ValueError) as error:
            what = " ".join(str(error).split())
            raise ContractViolation(f"asked to evaluate something that is no matrix: {what}.") from error
        if X.ndim != 2 or X.shape[1] != self.d:
            raise ContractViolation(
                f"asked to evaluate an array of shape {X.shape}; it must be (m, {self.d})."
            )
        return X

    def matrix(self, asked: list[PendingRows]) -> tuple[NDArray[np.bool_], Matrix]:
        """Which rows are legal, shape (m,), and all rows in the vector encoding, on the grid."""
        space = self.scenario.space
        X = np.concatenate([rows.X for rows in asked])
        lengths = [len(rows.X) for rows in asked]
        inside = np.ones(len(X), dtype=bool)
        in_cube = np.array([isinstance(rows.request, Evaluate) and rows.request.unit for rows in asked])
        if in_cube.any():
            mapped = np.repeat(in_cube, lengths)
            U = X[mapped]
            inside[mapped] = ((U >= 0.0) & (U <= 1.0)).all(axis=1)
            X[mapped] = space.from_unit(np.where(inside[mapped, None], U, 0.0))
        legal, snapped = self.scenario.snap(X, np.repeat([rows.active.instance for rows in asked], lengths))
        return legal & inside, snapped

    def observe(self, asked: list[PendingRows], X: Matrix) -> Columns:
        """What the rows observe, by one array call.

        The score of a row at a lower fidelity is what its configuration is worth at the full one: that takes
        a second call, for these rows, outside of any budget.
        """
        lengths = np.array([len(rows.X) for rows in asked])
        instances = np.repeat([rows.active.instance for rows in asked], lengths)
        fidelity = self._fidelities(asked)
        columns = self.scenario.evaluate(X, instances, _noise(asked, lengths), fidelity)
        if fidelity is not None:
            lower = (fidelity != self.scenario.full_fidelity).any(axis=1)
            if lower.any():
                columns.score[lower] = self.scenario.evaluate(X[lower], instances[lower], None).score
        return columns

    def losses(self, columns: Columns) -> NDArray[np.float64]:
        """Shape (m,): the target objective, lower is better."""
        return columns.values[:, self.scenario.target_index] * self._sign

    def book(self, asked: list[PendingRows], X: Matrix, columns: Columns) -> int:
        """Enter all rows into the ledger; returns the number of the first."""
        lengths = np.array([len(rows.X) for rows in asked])
        before = np.cumsum(lengths) - lengths
        numbers = np.repeat([rows.first for rows in asked] - before, lengths) + np.arange(len(X))
        if any(rows.fidelity is not None for rows in asked):
            share = np.concatenate([np.broadcast_to(rows.share, len(rows.X)) for rows in asked])
            return self.ledger.add(X, columns, numbers, share)
        return self.ledger.add(X, columns, numbers, 1.0)

    def nothing(self) -> tuple[Matrix, Columns]:
        """A trial without configuration and observation."""
        fidelities = len(self.scenario.fidelities)
        return np.full((1, self.d), np.nan), Columns(
            np.full((1, len(self.scenario.objectives)), np.nan),
            np.full(1, np.nan),
            np.zeros(1),
            np.full((1, fidelities), np.nan) if fidelities else None,
        )

    # ------------------------------------------------------------------ fidelity

    def fidelity(self, request: Evaluate | Submit) -> Matrix | None:
        """Shape (1, number of fidelities): what a request asks for; None for full.

        Raises:
            ContractViolation: it is not legal, or training cannot go on like that.
        """
        fidelity, begun = request.fidelity, request.continued_from
        if fidelity is None and begun is None:
            return None
        fidelity = {} if fidelity is None else fidelity
        if not isinstance(fidelity, Mapping):
            raise ContractViolation(f"asked for {fidelity!r:.80}, which is no mapping of fidelities.")
        known = self.scenario.fidelities
        try:
            row = self.scenario.fidelity_row(fidelity)
            if begun is not None and known:
                self.scenario.fidelity_row({known[0].name: begun})
        except UsageError as error:
            raise ContractViolation(f"asked for an illegal fidelity: {error}") from error
        if begun is not None:
            if not known or not known[0].resumable:
                raise ContractViolation(
                    f"goes on with training, but on {self.scenario.key} it has to start anew."
                )
            if not begun < row[0]:
                raise ContractViolation(
                    f"goes on with training from {begun:g} to {row[0]:g}, which is not more."
                )
        return row[None, :] if known else None

    def share(self, fidelity: Matrix | None, continued_from: float | None) -> float:
        """Full-fidelity equivalents of a trial: its fidelity's share of the full one, less what is continued.

        Where there are several fidelities, their shares are multiplied.

        Args:
            fidelity: shape (1, number of fidelities), as ``fidelity`` gives it; None for full.
            continued_from: of the request.
        """
        if fidelity is None:
            return 1.0
        row, full = fidelity[0], self.scenario.full_fidelity
        begun = 0.0 if continued_from is None else continued_from
        return float((row[0] - begun) / full[0] * np.prod(row[1:] / full[1:]))

    def amend(self, rows: PendingRows, X: Matrix, columns: Columns) -> None:
        """What a run's own past makes of its rows: training that goes on, and a recording.

        Args:
            rows: of one run.
            X: shape (m, d), as evaluated.
            columns: of these rows, changed in place.

        Raises:
            SurrobenchError: see ``continue_training`` and ``replay``.
        """
        if rows.fidelity is not None:
            self.continue_training(rows, X, columns)
        if rows.active.recorded is not None:
            self.replay(rows, X, columns)

    def _fidelities(self, asked: list[PendingRows]) -> Matrix | None:
        """Shape (m, number of fidelities), or None if all rows are at full fidelity."""
        if all(rows.fidelity is None for rows in asked):
            return None
        full = self.scenario.full_fidelity
        return np.concatenate(
            [
                np.broadcast_to(full if rows.fidelity is None else rows.fidelity, (len(rows.X), len(full)))
                for rows in asked
            ]
        )

    def continue_training(self, rows: PendingRows, X: Matrix, columns: Columns) -> None:
        """Charge only the difference for training that goes on, and remember what was trained.

        Args:
            rows: of one run, with a fidelity.
            X: shape (m, d), as evaluated.
            columns: of these rows; their cost, that of training from the start, is replaced.

        Raises:
            SurrobenchError: a row was not evaluated where it is to go on from.
        """
        assert columns.fidelity is not None, "only scenarios with fidelities have such rows"
        account = rows.active.account
        requests: list[Evaluate | Submit] = (
            [rows.request] * len(X)
            if isinstance(rows.request, Evaluate)
            else [begun.request for begun in rows.active.begun]
        )
        for i, request in enumerate(requests):
            whole = float(columns.cost[i])
            if request.continued_from is not None:
                before = columns.fidelity[i].copy()
                before[0] = request.continued_from
                paid = account.trained(X[i], before)
                if paid is None:
                    name = self.scenario.fidelities[0].name
                    raise SurrobenchError(
                        "The optimizer goes on with a configuration that it did not evaluate at "
                        f"{name} = {request.continued_from:g}."
                    )
                columns.cost[i] = max(whole - paid, 0.0)
            account.remember(X[i], columns.fidelity[i], whole)

    # ------------------------------------------------------------------ replaying

    def replay(self, rows: PendingRows, X: Matrix, columns: Columns) -> None:
        """Put what was recorded for a run's trials in the place of what they observed anew.

        Where time is limited, or trials were submitted, some may have been dropped in the end: they are not
        in the recording and stay as they are. Whether that is so is checked when the run ends.

        Raises:
            ReplayDiverged: other configurations were recorded there, or, with ``reevaluate``, other values.
        """
        run, recorded = rows.active.run, rows.active.recorded
        assert recorded is not None, "only runs with a recording are replayed"
        numbers = rows.first + np.arange(len(X))
        there = recorded.has(numbers)
        if not there.all() and run.seconds is None and not isinstance(rows.request, Next):
            raise recorded.ends(run)
        numbers = numbers[there]
        same = np.isclose(recorded.configurations[numbers], X[there], rtol=0, atol=1e-9, equal_nan=True).all(
            axis=1
        )
        what = "it proposes another configuration"
        was = recorded.columns
        if same.all() and was.fidelity is not None and columns.fidelity is not None:
            same = (was.fidelity[numbers] == columns.fidelity[there]).all(axis=1)
            what = "it asks for another fidelity"
        if same.all() and self._reevaluate:
            a, b = was.values[numbers], columns.values[there]
            same = ((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=1)
            what = "the benchmark gives another value"
        if not same.all():
            raise ReplayDiverged(
                f"Run {run.id} diverged at trial {numbers[np.argmin(same)]}: {what} than was recorded.",
                "Use the library versions of the recording (see its manifest.json).",
            )
        columns.values[there] = was.values[numbers]
        columns.score[there] = was.score[numbers]
        columns.cost[there] = was.cost[numbers]


def _noise(asked: list[PendingRows], lengths: NDArray[np.intp]) -> Keys | None:
    """Shape (m,): the noise key of each trial, or None if all are to be means."""
    kinds = {rows.active.run.noise for rows in asked}
    if kinds == {"mean"}:
        return None
    if len(kinds) > 1:
        raise SurrobenchError("Runs with different noise cannot share an engine.", "Run them as two suites.")
    keys = np.repeat(np.array([rows.active.noise_key for rows in asked], dtype=np.uint64), lengths)
    if kinds == {"fresh"}:
        trials = np.concatenate([rows.first + np.arange(len(rows.X)) for rows in asked])
        keys = mix(keys, trials.astype(np.uint64))
    return keys
