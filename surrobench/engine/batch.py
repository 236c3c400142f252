"""Evaluate what all runs on one scenario ask for, as one array call.

A run's own side is ``engine.run_state.RunInProgress``: its generator, its budget and its simulated clock.
This is the array side: the pending rows of all runs become one matrix, which is checked, evaluated, and
entered into the scenario's ledger. What a row observes depends on its own run alone, never on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns, Scenario
from surrobench.engine.account import Account
from surrobench.engine.ledger import Ledger
from surrobench.engine.outcome import Origin
from surrobench.engine.replay import Recording, replay
from surrobench.engine.validation import ContractViolation
from surrobench.errors import SurrobenchError, UsageError, in_one_line
from surrobench.plan.run import Run
from surrobench.protocol.requests import Evaluate, Matrix, Submit
from surrobench.seeding import Keys, mix


class RowContext(NamedTuple):
    """What a run's rows depend on beside their configurations.

    Attributes:
        run: the run, as data.
        instance: index of its data set within the scenario.
        noise_key: key of its noise, the same for all methods.
        account: what the run has spent, and what its earlier training cost.
        recording: what is served instead of observations; None where nothing is replayed.
    """

    run: Run
    instance: int
    noise_key: int
    account: Account
    recording: Recording | None


@dataclass(slots=True)
class PendingRows:
    """Rows that a run wants evaluated."""

    context: RowContext
    requests: Sequence[Evaluate | Submit]
    """The request that the rows come from; of submitted trials, one request for each row."""
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
    """Seconds of thinking before the request."""
    submitted: bool = False
    """Whether the rows are submitted trials, which the run waits for."""


class ScenarioBatch:
    """Turns the pending rows of all runs on one scenario into array calls, and keeps what was observed.

    Attributes:
        scenario: which.
        d: number of its hyperparameters.
        ledger: what was observed.
    """

    def __init__(self, scenario: Scenario, *, reevaluate: bool) -> None:
        self.scenario = scenario
        self.d = scenario.space.d
        self.ledger = Ledger(scenario)
        self._reevaluate = reevaluate
        self._sign = scenario.objectives[scenario.target_index].sign

    def as_matrix(self, configurations: Any) -> Matrix:
        """Return what an optimizer gave as a batch of configurations, as an array of shape (m, d).

        Raises:
            ContractViolation: it is no such batch.
        """
        try:
            X = np.asarray(configurations, dtype=np.float64)
        except Exception as error:  # an object of others may raise anything
            raise ContractViolation(
                f"asked to evaluate something that is no matrix: {in_one_line(error)}."
            ) from error
        if X.ndim != 2 or X.shape[1] != self.d:
            raise ContractViolation(
                f"asked to evaluate an array of shape {X.shape}; it must be (m, {self.d})."
            )
        return X

    def matrix(self, pending: list[PendingRows]) -> tuple[NDArray[np.bool_], Matrix]:
        """Put all pending rows into one matrix, on the scenario's grid.

        Returns:
            legal: shape (m,), which rows are legal.
            X: shape (m, d), the rows in the vector encoding.
        """
        space = self.scenario.space
        X = np.concatenate([rows.X for rows in pending])
        lengths = [len(rows.X) for rows in pending]
        inside = np.ones(len(X), dtype=bool)
        in_cube = np.array([_in_cube(rows) for rows in pending])
        if in_cube.any():
            mapped = np.repeat(in_cube, lengths)
            U = X[mapped]
            inside[mapped] = ((U >= 0.0) & (U <= 1.0)).all(axis=1)
            X[mapped] = space.from_unit(np.where(inside[mapped, None], U, 0.0))
        legal, snapped = self.scenario.snap(
            X, np.repeat([rows.context.instance for rows in pending], lengths)
        )
        return legal & inside, snapped

    def observe(self, pending: list[PendingRows], X: Matrix) -> Columns:
        """Evaluate all pending rows by one array call.

        The score of a row at a lower fidelity is what its configuration is worth at the full one. That takes
        a second call for these rows, outside of any budget.
        """
        lengths = np.array([len(rows.X) for rows in pending])
        instances = np.repeat([rows.context.instance for rows in pending], lengths)
        fidelity = self._fidelities(pending)
        if not self.scenario.can_evaluate and not self._reevaluate and all(map(_is_recorded, pending)):
            # What was recorded takes the place of all of it, see ``amend``.
            return _nothing_observed(len(X), self.scenario, fidelity)
        columns = self.scenario.evaluate(X, instances, _noise(pending, lengths), fidelity)
        if fidelity is not None:
            lower = (fidelity != self.scenario.full_fidelity).any(axis=1)
            if lower.any():
                columns.score[lower] = self.scenario.evaluate(X[lower], instances[lower], None).score
        return columns

    def losses(self, columns: Columns) -> NDArray[np.float64]:
        """Return the target objective as a loss, shape (m,): lower is better."""
        return columns.values[:, self.scenario.target_index] * self._sign

    def enter(self, pending: list[PendingRows], X: Matrix, columns: Columns) -> int:
        """Enter all pending rows into the ledger; returns the number of the first."""
        lengths = np.array([len(rows.X) for rows in pending])
        before = np.cumsum(lengths) - lengths
        numbers = np.repeat([rows.first for rows in pending] - before, lengths) + np.arange(len(X))
        if any(rows.fidelity is not None for rows in pending):
            share = np.concatenate([np.broadcast_to(rows.share, len(rows.X)) for rows in pending])
            return self.ledger.add(X, columns, numbers, share)
        return self.ledger.add(X, columns, numbers, 1.0)

    def nothing(self) -> tuple[Matrix, Columns]:
        """Return a trial without configuration and observation: a matrix of one row, and its columns."""
        fidelities = len(self.scenario.fidelities)
        return np.full((1, self.d), np.nan), Columns(
            np.full((1, len(self.scenario.objectives)), np.nan),
            np.full(1, np.nan),
            np.zeros(1),
            np.full((1, fidelities), np.nan) if fidelities else None,
        )

    # ------------------------------------------------------------------ fidelity

    def fidelity(self, request: Evaluate | Submit) -> Matrix | None:
        """Return the fidelity that a request asks for, shape (1, number of fidelities); None for full.

        Raises:
            ContractViolation: the fidelity is not legal, or training cannot go on like that.
        """
        fidelity, trained_to = request.fidelity, request.continued_from
        if fidelity is None and trained_to is None:
            return None
        fidelity = {} if fidelity is None else fidelity
        known = self.scenario.fidelities
        try:
            row = self.scenario.fidelity_row(fidelity)
            if trained_to is not None and known:
                self.scenario.fidelity_row({known[0].name: trained_to})
        except UsageError as error:
            raise ContractViolation(f"asked for an illegal fidelity: {error}") from error
        if trained_to is not None:
            if not known or not known[0].resumable:
                raise ContractViolation(
                    f"goes on with training, but on {self.scenario.key} it has to start anew."
                )
            if not trained_to < row[0]:
                raise ContractViolation(
                    f"goes on with training from {trained_to:g} to {row[0]:g}, which is not more."
                )
        return row[None, :] if known else None

    def share(self, fidelity: Matrix | None, continued_from: float | None) -> float:
        """Return the full-fidelity equivalents of a trial: its fidelity's share of the full one.

        The part that training goes on from is not counted. Where there are several fidelities, their shares
        are multiplied.

        Args:
            fidelity: shape (1, number of fidelities), as ``fidelity`` gives it; None for full.
            continued_from: of the request.
        """
        if fidelity is None:
            return 1.0
        row, full = fidelity[0], self.scenario.full_fidelity
        trained_to = 0.0 if continued_from is None else continued_from
        return float((row[0] - trained_to) / full[0] * np.prod(row[1:] / full[1:]))

    def _fidelities(self, pending: list[PendingRows]) -> Matrix | None:
        """Return the fidelity of each row, shape (m, number of fidelities); None if all are full."""
        if all(rows.fidelity is None for rows in pending):
            return None
        full = self.scenario.full_fidelity
        return np.concatenate(
            [
                np.broadcast_to(full if rows.fidelity is None else rows.fidelity, (len(rows.X), len(full)))
                for rows in pending
            ]
        )

    # ------------------------------------------------------------------ a run's own past

    def amend(self, rows: PendingRows, X: Matrix, columns: Columns) -> None:
        """Change the columns of one run's rows where its own past matters.

        Training that goes on is charged the difference only; a recording takes the place of observations.

        Args:
            rows: of one run.
            X: shape (m, d), as evaluated.
            columns: of these rows, changed in place.

        Raises:
            SurrobenchError: see ``continue_training`` and ``engine.replay.replay``.
        """
        if rows.fidelity is not None:
            self.continue_training(rows, X, columns)
        context = rows.context
        if context.recording is not None:
            replay(
                context.recording,
                context.run,
                rows.first + np.arange(len(X)),
                X,
                columns,
                may_lack=context.run.seconds is not None or rows.submitted,
                compare=self._reevaluate,
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
        account = rows.context.account
        requests = rows.requests if rows.submitted else [rows.requests[0]] * len(X)
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


def _is_recorded(rows: PendingRows) -> bool:
    """Whether a recording holds what all rows of a run observed."""
    recording = rows.context.recording
    return recording is not None and bool(recording.has(rows.first + np.arange(len(rows.X))).all())


def _nothing_observed(m: int, scenario: Scenario, fidelity: Matrix | None) -> Columns:
    """Return the columns of m rows that nobody evaluated: their fidelity alone is known."""
    if fidelity is None and scenario.fidelities:
        fidelity = np.tile(scenario.full_fidelity, (m, 1))
    return Columns(
        np.full((m, len(scenario.objectives)), np.nan), np.full(m, np.nan), np.full(m, np.nan), fidelity
    )


def _in_cube(rows: PendingRows) -> bool:
    """Whether rows are points of the unit cube, still to be mapped."""
    request = rows.requests[0]
    return isinstance(request, Evaluate) and request.unit


def _noise(pending: list[PendingRows], lengths: NDArray[np.intp]) -> Keys | None:
    """Return the noise key of each trial, shape (m,); None if all are to be means."""
    kinds = {rows.context.run.noise for rows in pending}
    if kinds == {"mean"}:
        return None
    if len(kinds) > 1:
        raise SurrobenchError("Runs with different noise cannot share an engine.", "Run them as two suites.")
    keys = np.repeat(np.array([rows.context.noise_key for rows in pending], dtype=np.uint64), lengths)
    if kinds == {"fresh"}:
        trials = np.concatenate([rows.first + np.arange(len(rows.X)) for rows in pending])
        keys = mix(keys, trials.astype(np.uint64))
    return keys
