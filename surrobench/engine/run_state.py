"""A run under way: what it asks for, what that costs, and when its trials finish in simulated time.

What trials observe is the business of their scenario's desk, who asks a language model that of the engine.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import numpy as np

from surrobench.benchmarks.base import Benchmark
from surrobench.engine.account import Account
from surrobench.engine.batch import Begun, ContractViolation, PendingRows, ScenarioBatch
from surrobench.engine.ledger import TrialLog
from surrobench.engine.outcome import NOTHING_SPENT, Origin, Progress, Spent
from surrobench.engine.program import program
from surrobench.engine.replay import Recording
from surrobench.optimizers.base import Stopwatch
from surrobench.plan.run import Run
from surrobench.protocol.budget import Floats
from surrobench.protocol.requests import (
    Completion,
    Evaluate,
    Evaluated,
    Finished,
    Matrix,
    Next,
    Request,
    Submit,
    Waste,
)
from surrobench.seeding import key


class BudgetSpent(Exception):
    """A run has come to the end of its budget: nothing is wrong with it."""


class UnderWay(NamedTuple):
    """A submitted trial on its worker; they compare by time, then by the order of submission."""

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
    """A run under way.

    Its methods take a request of the generator and return the answer, or None where the run has to wait.

    Raises:
        BudgetSpent: where the run has ended.
        ContractViolation: the request makes no sense.
    """

    run: Run
    program: Generator[Request, Any, None]
    desk: ScenarioBatch
    account: Account
    noise_key: int
    instance: int
    library: Stopwatch
    answers: Counter[str]
    slot: int | None
    recorded: Recording | None
    progress: Progress
    log: TrialLog = field(default_factory=TrialLog)
    spent: Spent = NOTHING_SPENT
    calls: int = 0
    """Completions asked for, re-asks not counted: the ordinal of the next call."""
    overhead: float = 0.0
    """Seconds of thinking since the last trial was begun."""
    thinking: list[float] = field(default_factory=list)
    """Seconds of thinking before each request that begins trials, one that the budget refused included."""
    last: bool = False
    """Whether its last request was cut at the budget, or its budget refused a submission."""
    begun: list[Begun] = field(default_factory=list)
    under_way: list[UnderWay] = field(default_factory=list)
    """A heap."""

    @classmethod
    def start(
        cls,
        run: Run,
        where: Benchmark,
        desk: ScenarioBatch,
        slot: int | None,
        recorded: Recording | None,
        progress: Progress,
    ) -> RunInProgress:
        """A run before its first request.

        Args:
            run: which.
            where: its benchmark, opened.
            desk: that of its scenario.
            slot: of its language model's server, if that pins runs to slots.
            recorded: what is served instead of observations, if it is a replay.
            progress: counts its trials.
        """
        library, answers = Stopwatch(), Counter[str]()
        return cls(
            run=run,
            program=program(run, where, library, answers),
            desk=desk,
            account=Account(run.budget, run.workers),
            noise_key=key("noise", run.benchmark, run.seed, run.initial),
            instance=where.index,
            library=library,
            answers=answers,
            slot=slot,
            recorded=recorded,
            progress=progress,
        )

    # ------------------------------------------------------------------ beginning trials

    def begin(self, request: Evaluate) -> None:
        """Put a batch on the desk, cut at the budget."""
        desk, account = self.desk, self.account
        X = request.configurations
        if not (type(X) is np.ndarray and X.ndim == 2 and X.shape[1] == desk.d and X.dtype == np.float64):
            X = desk.as_matrix(X)
        if not len(X):
            raise ContractViolation("asked to evaluate no configuration.")
        if self.begun or self.under_way:
            raise ContractViolation(
                "asked to evaluate while submitted trials are under way; wait with Next first."
            )
        fidelity = desk.fidelity(request)
        share = desk.share(fidelity, request.continued_from)
        overhead = self._think()
        allowed = account.allows(share)
        if not allowed:
            raise BudgetSpent
        if allowed < len(X):
            X, self.last = X[:allowed], True
        first = account.begin(len(X), share)
        origin = _origin(request.source, request.repairs, request.reply)
        desk.pending.append(PendingRows(self, request, X, first, origin, fidelity, share, overhead))

    def submit(self, request: Submit) -> int | None:
        """Begin a trial on a free worker: its ticket. When the budget ends, what is under way is finished."""
        desk, account = self.desk, self.account
        if len(self.begun) + len(self.under_way) >= account.workers:
            raise ContractViolation(
                f"submitted a trial, but all {account.workers} workers are busy; use Next first."
            )
        x = desk.as_matrix([request.configuration])[0]
        if request.continued_from is not None and any(
            np.array_equal(x, y, equal_nan=True) for y in self._busy()
        ):
            raise ContractViolation("goes on with a configuration that is still being trained.")
        fidelity = desk.fidelity(request)
        share = desk.share(fidelity, request.continued_from)
        overhead = self._think()
        if not account.allows(share):
            self.stop()
            return None
        ticket = account.begin(1, share)
        origin = _origin(request.source, (), request.reply)
        spent = self._take_spent()
        self.begun.append(Begun(request, x, fidelity, share, origin, ticket, account.now, overhead, spent))
        return ticket

    def stop(self) -> None:
        """Begin nothing more: what is under way is finished, in the time there is, and the run ends."""
        self.last = True
        if not self.begun:
            self._finish_what_is_under_way()
        self._have_evaluated()

    def wait(self) -> Finished | None:
        """The next submitted trial that finishes; None where it has to be evaluated first."""
        if self.begun:
            self._have_evaluated()
            return None
        if not self.under_way:
            raise ContractViolation("waits for a trial, but none is under way.")
        return self._pop()

    def waste(self, request: Waste) -> Evaluated:
        """Book a trial without a configuration, which takes no simulated time."""
        account, desk = self.account, self.desk
        if self.begun or self.under_way:
            raise ContractViolation(
                "wasted a trial while submitted ones are under way; wait with Next first."
            )
        overhead = self._think()
        if not account.allows(1.0):
            raise BudgetSpent
        X, columns = desk.nothing()
        number = account.begin(1, 1.0)
        row = desk.ledger.add(X, columns, np.array([number]), 1.0)
        desk.ledger.finish_one(row, account.now, overhead)
        origin = Origin(request.source, "invalid", error=request.reason, reply=request.reply)
        self._book(row, 1, origin, self._take_spent())
        if account.spent:
            raise BudgetSpent
        return Evaluated(X, np.full(1, np.nan))

    def _have_evaluated(self) -> None:
        """Put what was submitted on the desk: its values are needed now."""
        desk, begun = self.desk, self.begun
        X = np.array([trial.configuration for trial in begun])
        at = [trial.fidelity for trial in begun]
        fidelity = None
        if any(row is not None for row in at):
            fidelity = np.vstack([desk.scenario.full_fidelity if row is None else row for row in at])
        share = np.array([trial.share for trial in begun])
        desk.pending.append(PendingRows(self, Next(), X, begun[0].ticket, _SUBMITTED, fidelity, share))

    # ------------------------------------------------------------------ finishing trials

    def settle(
        self, rows: PendingRows, first: int, X: Matrix, losses: Floats, costs: Floats
    ) -> Evaluated | Finished:
        """Let evaluated trials run their time, book those that finish in time, and answer.

        Args:
            rows: what was asked for.
            first: the ledger's row of the first of its m trials.
            X: shape (m, d), as evaluated.
            losses: shape (m,).
            costs: shape (m,), simulated seconds.
        """
        if isinstance(rows.request, Next):
            return self._put_under_way(first, X, losses, costs)
        account, ledger = self.account, self.desk.ledger
        seconds = account.budget.seconds
        if len(costs) == 1:
            ledger.finish_one(first, account.run_one(float(costs[0])), rows.overhead)
        else:
            ledger.finish(first, account.run_all(costs), rows.overhead)
        if seconds is None or account.now <= seconds:
            self._book(first, len(costs), rows.origin, self._take_spent())
        else:  # with several workers, not only the first rows may be in time
            for row in ledger.finished_by(seconds, first, len(costs)).tolist():
                self._book(row, 1, rows.origin, self._take_spent())
        if self.last or account.spent:
            raise BudgetSpent
        return Evaluated(X, losses)

    def _put_under_way(self, first: int, X: Matrix, losses: Floats, costs: Floats) -> Finished:
        """Start the clocks of submitted trials; the first that finishes."""
        for i, trial in enumerate(self.begun):
            finish = trial.start + float(costs[i])
            self.desk.ledger.finish_one(first + i, finish, trial.overhead)
            heapq.heappush(
                self.under_way,
                UnderWay(finish, trial.ticket, first + i, X[i], float(losses[i]), trial.origin, trial.spent),
            )
        self.begun.clear()
        if self.last:
            self._finish_what_is_under_way()
        return self._pop()

    def _pop(self) -> Finished:
        """The next submitted trial that finishes, booked."""
        account, seconds = self.account, self.account.budget.seconds
        trial = heapq.heappop(self.under_way)
        if seconds is not None and trial.finish > seconds:
            raise BudgetSpent
        account.now = max(account.now, trial.finish)
        self._book(trial.row, 1, trial.origin, trial.spent)
        if account.spent and not self.under_way:
            raise BudgetSpent
        return Finished(trial.ticket, trial.configuration, trial.loss)

    def _book(self, row: int, length: int, origin: Origin, spent: Spent) -> None:
        """Enter finished trials into the log."""
        self.log.add(row, length, origin, spent)
        self.progress.trials += length

    def _finish_what_is_under_way(self) -> NoReturn:
        """The end of a run whose budget allows no more submissions."""
        while self.under_way:
            self._pop()
        raise BudgetSpent

    # ------------------------------------------------------------------ thinking and completions

    def hear(self, answers: Sequence[Sequence[Completion]]) -> None:
        """Book what the completions of one request, or of several in flight together, cost.

        Those of one request came together, and the first has its latency; or one after the other, each with
        its own, where the server gives but one at a time.
        """
        for completion in (completion for completions in answers for completion in completions):
            self.account.tokens += completion.tokens_in + completion.tokens_out
            self.spent = self.spent.plus(
                Spent(1, completion.tokens_in, completion.tokens_out, completion.latency)
            )
        if self.run.overhead:
            self.overhead += max(sum(one.latency for one in completions) for completions in answers)

    @property
    def may_ask(self) -> bool:
        """Whether its tokens allow another call."""
        return self.run.tokens is None or self.account.tokens < self.run.tokens

    def _think(self) -> float:
        """Put the thinking time on the clock where it counts: as recorded, if this is a replay."""
        if not self.run.overhead:
            return 0.0
        seconds, self.overhead = self.overhead, 0.0
        past = self.recorded.thinking if self.recorded is not None else ()
        if len(self.thinking) < len(past):
            seconds = past[len(self.thinking)]
        self.thinking.append(seconds)
        self.account.now += seconds
        return seconds

    def _busy(self) -> Iterator[Matrix]:
        """The configurations of submitted trials that have not finished."""
        yield from (trial.configuration for trial in self.begun)
        yield from (trial.configuration for trial in self.under_way)

    def _take_spent(self) -> Spent:
        """What the model cost since it was last asked here."""
        spent, self.spent = self.spent, NOTHING_SPENT
        return spent


_SUBMITTED = Origin("submitted")
"""Stands for the origins of trials that were submitted, each of which has its own."""


def _origin(source: Any, repairs: Any, reply: Any) -> Origin:
    """Of a request; one object for all of the same origin, since there are as many requests as trials."""
    if not isinstance(source, str) or not isinstance(repairs, tuple):
        raise ContractViolation(
            f"gave source = {source!r:.40} and repairs = {repairs!r:.40}, not a word and a tuple."
        )
    if reply:
        return Origin(source, repairs=tuple(map(str, repairs)), reply=str(reply))
    return _shared_origin(source, repairs)


@lru_cache
def _shared_origin(source: str, repairs: tuple[str, ...]) -> Origin:
    return Origin(source, repairs=tuple(map(str, repairs)))
