"""A run in progress: what it asks for, what that costs, and when its trials finish in simulated time.

What trials observe is the business of their scenario's batch; who asks a language model, that of the engine.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np

from surrobench.benchmarks.base import Benchmark
from surrobench.engine.account import Account
from surrobench.engine.batch import PendingRows, RowContext, ScenarioBatch
from surrobench.engine.ledger import TrialLog
from surrobench.engine.model_calls import ModelCalls
from surrobench.engine.outcome import NOTHING_SPENT, Origin, Progress, Spent
from surrobench.engine.program import program
from surrobench.engine.replay import Recording
from surrobench.engine.validation import ContractViolation, origin_of
from surrobench.optimizers.base import Stopwatch
from surrobench.optimizers.entry import Optimizer
from surrobench.plan.run import Run
from surrobench.protocol.budget import Floats
from surrobench.protocol.requests import (
    Completion,
    Evaluate,
    Evaluated,
    Finished,
    Matrix,
    Request,
    Submit,
    Waste,
)
from surrobench.seeding import key


class BudgetSpent(Exception):
    """A run has come to the end of its budget: nothing is wrong with it."""


class SubmittedTrial(NamedTuple):
    """A submitted trial that is not evaluated yet: its value is needed when the run waits for it."""

    request: Submit
    configuration: Matrix
    fidelity: Matrix | None
    share: float
    origin: Origin
    ticket: int
    start: float
    """Simulated seconds since the run started."""
    overhead: float
    spent: Spent


class UnderWay(NamedTuple):
    """An evaluated trial on its worker. Such trials compare by time, then by the order of submission."""

    finish: float
    ticket: int
    row: int
    """Of the ledger."""
    configuration: Matrix
    loss: float
    origin: Origin
    spent: Spent


@dataclass(eq=False, slots=True)
class RunInProgress:
    """A run in progress.

    The methods ``evaluate``, ``submit``, ``wait`` and ``waste`` take a request of the generator and return
    the answer, or None where the run has to wait; where it waits for an evaluation, its ``pending`` rows say
    for which.

    Raises:
        BudgetSpent: the run has ended.
        ContractViolation: the request makes no sense.
    """

    run: Run
    program: Generator[Request, Any, None]
    batch: ScenarioBatch
    context: RowContext
    account: Account
    model_calls: ModelCalls
    library: Stopwatch
    answers: Counter[str]
    slot: int | None
    progress: Progress
    pending: PendingRows | None = None
    """The rows that it waits for."""
    log: TrialLog = field(default_factory=TrialLog)
    spent: Spent = NOTHING_SPENT
    overhead: float = 0.0
    """Seconds of thinking since the last trial was started."""
    thinking: list[float] = field(default_factory=list)
    """Seconds of thinking before each request that starts trials, one that the budget refused included."""
    served: set[tuple[str, str]] = field(default_factory=set)
    """The names and fingerprints of the model, as its server stated them."""
    last: bool = False
    """Whether its last request was cut at the budget, or its budget refused a submission."""
    submitted: list[SubmittedTrial] = field(default_factory=list)
    under_way: list[UnderWay] = field(default_factory=list)
    """A heap."""

    @classmethod
    def start(
        cls,
        run: Run,
        benchmark: Benchmark,
        entry: Optimizer,
        batch: ScenarioBatch,
        slot: int | None,
        recording: Recording | None,
        progress: Progress,
    ) -> RunInProgress:
        """Return a run before its first request.

        Args:
            run: which.
            benchmark: that of the run, opened.
            entry: the registry entry of its optimizer.
            batch: that of its scenario.
            slot: of its language model's server, if the server pins runs to slots.
            recording: what is served instead of observations, if the run is replayed.
            progress: counts its trials.
        """
        library, answers = Stopwatch(), Counter[str]()
        account = Account(run.budget, run.workers)
        noise_key = key("noise", run.benchmark, run.seed, run.initial)
        return cls(
            run=run,
            program=program(run, benchmark, entry, library, answers),
            batch=batch,
            context=RowContext(run, benchmark.index, noise_key, account, recording),
            account=account,
            model_calls=ModelCalls(run.budget),
            library=library,
            answers=answers,
            slot=slot,
            progress=progress,
        )

    # ------------------------------------------------------------------ starting trials

    def evaluate(self, request: Evaluate) -> None:
        """Make the rows of a request pending, cut at the budget."""
        batch, account = self.batch, self.account
        X = request.configurations
        if not (type(X) is np.ndarray and X.ndim == 2 and X.shape[1] == batch.d and X.dtype == np.float64):
            X = batch.as_matrix(X)
        if not len(X):
            raise ContractViolation("asked to evaluate no configuration.")
        if self.submitted or self.under_way:
            raise ContractViolation(
                "asked to evaluate while submitted trials are under way; wait with Next first."
            )
        self.model_calls.trial()
        fidelity = batch.fidelity(request)
        share = batch.share(fidelity, request.continued_from)
        overhead = self._think()
        allowed = account.allows(share)
        if not allowed:
            raise BudgetSpent
        if allowed < len(X):
            X, self.last = X[:allowed], True
        first = account.charge(len(X), share)
        origin = origin_of(request)
        self.pending = PendingRows(self.context, (request,), X, first, origin, fidelity, share, overhead)

    def submit(self, request: Submit) -> int | None:
        """Start a trial on a free worker; returns its ticket.

        Where the budget allows no trial, those under way are finished, and the run ends.
        """
        batch, account = self.batch, self.account
        if len(self.submitted) + len(self.under_way) >= account.workers:
            raise ContractViolation(
                f"submitted a trial, but all {account.workers} workers are busy; use Next first."
            )
        self.model_calls.trial()
        x = batch.as_matrix([request.configuration])[0]
        if request.continued_from is not None and any(
            np.array_equal(x, y, equal_nan=True) for y in self._busy()
        ):
            raise ContractViolation("goes on with a configuration that is still being trained.")
        fidelity = batch.fidelity(request)
        share = batch.share(fidelity, request.continued_from)
        overhead = self._think()
        if not account.allows(share):
            self.stop()
            return None
        ticket = account.charge(1, share)
        origin = origin_of(request)
        spent = self._take_spent()
        self.submitted.append(
            SubmittedTrial(request, x, fidelity, share, origin, ticket, account.now, overhead, spent)
        )
        return ticket

    def stop(self) -> None:
        """Start no further trial: those under way are finished, in the time there is, and the run ends."""
        self.last = True
        if not self.submitted:
            self._finish_what_is_under_way()
        self._need_submitted()

    def wait(self) -> Finished | None:
        """Return the next submitted trial that finishes; None where it has to be evaluated first."""
        if self.submitted:
            self._need_submitted()
            return None
        if not self.under_way:
            raise ContractViolation("waits for a trial, but none is under way.")
        return self._pop()

    def waste(self, request: Waste) -> Evaluated:
        """Book a trial without a configuration, which takes no simulated time.

        Raises:
            NothingUsable: nothing else came for so long that the budget will not end the run.
        """
        account, batch = self.account, self.batch
        if self.submitted or self.under_way:
            raise ContractViolation(
                "wasted a trial while submitted ones are under way; wait with Next first."
            )
        overhead = self._think()
        if not account.allows(1.0):
            raise BudgetSpent
        X, columns = batch.nothing()
        number = account.charge(1, 1.0)
        row = batch.ledger.add(X, columns, np.array([number]), 1.0)
        batch.ledger.finish_one(row, account.now, overhead)
        origin = Origin(request.source, "invalid", error=request.reason, reply=request.reply)
        self._log(row, 1, origin, self._take_spent())
        if account.spent:
            raise BudgetSpent
        self.model_calls.waste()
        return Evaluated(X, np.full(1, np.nan))

    def _need_submitted(self) -> None:
        """Make the submitted trials pending: their values are needed now."""
        trials = self.submitted
        X = np.array([trial.configuration for trial in trials])
        at = [trial.fidelity for trial in trials]
        fidelity = None
        if any(row is not None for row in at):
            full = self.batch.scenario.full_fidelity
            fidelity = np.vstack([full if row is None else row for row in at])
        self.pending = PendingRows(
            self.context,
            [trial.request for trial in trials],
            X,
            trials[0].ticket,
            _SUBMITTED,
            fidelity,
            np.array([trial.share for trial in trials]),
            submitted=True,
        )

    # ------------------------------------------------------------------ finishing trials

    def complete(self, first: int, X: Matrix, losses: Floats, costs: Floats) -> Evaluated | Finished:
        """Let the evaluated rows run their time, log those that finish in time, and return the answer.

        Args:
            first: the ledger's row of the first of the m trials.
            X: shape (m, d), as evaluated.
            losses: shape (m,).
            costs: shape (m,), simulated seconds.
        """
        rows, self.pending = self.pending, None
        assert rows is not None, "only runs with pending rows are served"
        if rows.submitted:
            return self._put_under_way(first, X, losses, costs)
        account, ledger = self.account, self.batch.ledger
        seconds = account.budget.seconds
        if len(costs) == 1:
            ledger.finish_one(first, account.run_one(float(costs[0])), rows.overhead)
        else:
            ledger.finish(first, account.run_all(costs), rows.overhead)
        if seconds is None or account.now <= seconds:
            self._log(first, len(costs), rows.origin, self._take_spent())
        else:  # with several workers, not only the first rows may be in time
            for row in ledger.finished_by(seconds, first, len(costs)).tolist():
                self._log(row, 1, rows.origin, self._take_spent())
        if self.last or account.spent:
            raise BudgetSpent
        return Evaluated(X, losses)

    def _put_under_way(self, first: int, X: Matrix, losses: Floats, costs: Floats) -> Finished:
        """Start the clocks of submitted trials; returns the first that finishes."""
        for i, trial in enumerate(self.submitted):
            finish = trial.start + float(costs[i])
            self.batch.ledger.finish_one(first + i, finish, trial.overhead)
            heapq.heappush(
                self.under_way,
                UnderWay(finish, trial.ticket, first + i, X[i], float(losses[i]), trial.origin, trial.spent),
            )
        self.submitted.clear()
        if self.last:
            self._finish_what_is_under_way()
        return self._pop()

    def _pop(self) -> Finished:
        """Take the next trial that finishes off its worker, and log it."""
        account, seconds = self.account, self.account.budget.seconds
        trial = heapq.heappop(self.under_way)
        if seconds is not None and trial.finish > seconds:
            raise BudgetSpent
        account.now = max(account.now, trial.finish)
        self._log(trial.row, 1, trial.origin, trial.spent)
        if account.spent and not self.under_way:
            raise BudgetSpent
        return Finished(trial.ticket, trial.configuration, trial.loss)

    def _log(self, row: int, length: int, origin: Origin, spent: Spent) -> None:
        """Log finished trials."""
        self.log.add(row, length, origin, spent)
        self.progress.trials += length

    def _finish_what_is_under_way(self) -> NoReturn:
        """End a run whose budget allows no more submissions."""
        while self.under_way:
            self._pop()
        raise BudgetSpent

    # ------------------------------------------------------------------ thinking and completions

    @property
    def thinking_counts(self) -> bool:
        """Whether the seconds of the optimizer's thinking go on the simulated clock."""
        # With a model only its latency counts: that is journalled, so a resumed run is the same.
        return self.run.overhead and not self.run.asks_model

    def book_completions(self, answers: Sequence[Sequence[Completion]]) -> None:
        """Book what the completions of one request, or of several in flight together, cost.

        The completions of one request came together, and the first has their latency. Where the server gives
        but one at a time they came one after the other, each with its own.

        Raises:
            ModelError: the server did not count tokens, which are limited.
        """
        for completion in (completion for completions in answers for completion in completions):
            if (how := completion.served) is not None and (how.model or how.fingerprint):
                self.served.add((how.model, how.fingerprint))
            self.account.tokens += completion.tokens_in + completion.tokens_out
            self.spent = self.spent.plus(
                Spent(1, completion.tokens_in, completion.tokens_out, completion.latency)
            )
        self.model_calls.check_counted(answers, self.run.model)
        if self.run.overhead:
            self.overhead += max(sum(one.latency for one in completions) for completions in answers)

    def _think(self) -> float:
        """Put the thinking time on the clock where it counts; in a replay the recorded time."""
        if not self.run.overhead:
            return 0.0
        seconds, self.overhead = self.overhead, 0.0
        recording = self.context.recording
        past = recording.thinking if recording is not None else ()
        if len(self.thinking) < len(past):
            seconds = past[len(self.thinking)]
        self.thinking.append(seconds)
        self.account.now += seconds
        return seconds

    def _busy(self) -> Iterator[Matrix]:
        """Yield the configurations of submitted trials that have not finished."""
        yield from (trial.configuration for trial in self.submitted)
        yield from (trial.configuration for trial in self.under_way)

    def _take_spent(self) -> Spent:
        """Return what the model cost since this was last called."""
        spent, self.spent = self.spent, NOTHING_SPENT
        return spent


_SUBMITTED = Origin("submitted")
"""Stands for the origins of trials that were submitted, each of which has its own."""
