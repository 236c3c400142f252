"""The engine: holds many runs, answers all their pending requests of a kind at once.

``Evaluate`` requests of all runs on one scenario become one array call. ``Complete`` requests go out
concurrently; a run that waits for the model never holds up one that does not. No optimizer is special-cased.
What a run gets depends only on its own identity, never on which other runs share its batch.
"""

from __future__ import annotations

import asyncio
import heapq
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeGuard

import numpy as np

from surrobench.benchmarks import benchmark
from surrobench.budget import Account, Floats
from surrobench.desk import Active, Asked, Begun, Breach, Desk, Recorded, UnderWay, program
from surrobench.errors import ModelUnavailable, ReplayDiverged, ResultsError, SurrobenchError
from surrobench.llm.journal import Call
from surrobench.llm.service import ModelService
from surrobench.optimizers.base import Stopwatch
from surrobench.requests import (
    Complete,
    Completion,
    Evaluate,
    Evaluated,
    Finished,
    Matrix,
    Next,
    Submit,
    Waste,
)
from surrobench.runs import Run
from surrobench.seeding import key
from surrobench.trial import Origin, Outcome, RunState, Spent, close_log


@dataclass
class Timing:
    """Where the time went, in seconds."""

    library: float = 0.0
    """Inside optimization libraries."""
    benchmark: float = 0.0
    """Looking up or predicting objective values."""
    busy: float = 0.0
    """In all, waiting for a model left out."""

    def add(self, other: Timing) -> None:
        """Add another process's share."""
        self.library += other.library
        self.benchmark += other.benchmark
        self.busy += other.busy


@dataclass
class Progress:
    """Counters that a progress bar reads."""

    runs: int = 0
    trials: int = 0


def drive(
    runs: Sequence[Run],
    finished: Callable[[Outcome], None],
    *,
    models: Mapping[str, ModelService] | None = None,
    recorded: Recorded | None = None,
    reevaluate: bool = False,
    progress: Progress | None = None,
) -> Timing:
    """Run them all; ``finished`` is called with each outcome as soon as it is there.

    Args:
        runs: what to run.
        finished: takes each outcome.
        models: label -> language model.
        recorded: observations to serve instead of the benchmarks' when replaying.
        reevaluate: ask the benchmarks all the same, and park a run whose observations differ from these.
        progress: counters to keep up to date.
    """
    engine = _Engine(finished, models or {}, recorded or {}, reevaluate, progress or Progress())
    if models:
        asyncio.run(engine.drive(runs))
    else:
        engine.drive_without_models(runs)
    return engine.timing


async def drive_async(
    runs: Sequence[Run],
    finished: Callable[[Outcome], None],
    *,
    models: Mapping[str, ModelService] | None = None,
    recorded: Recorded | None = None,
    reevaluate: bool = False,
    progress: Progress | None = None,
) -> Timing:
    """``drive`` within a running event loop."""
    engine = _Engine(finished, models or {}, recorded or {}, reevaluate, progress or Progress())
    await engine.drive(runs)
    return engine.timing


class _Engine:
    def __init__(
        self,
        finished: Callable[[Outcome], None],
        models: Mapping[str, ModelService],
        recorded: Recorded,
        reevaluate: bool,
        progress: Progress,
    ) -> None:
        self._finished = finished
        self._models = models
        self._recorded = recorded
        self._reevaluate = reevaluate
        self._progress = progress
        self._desks: dict[str, Desk] = {}
        self._asking: dict[asyncio.Task[Any], tuple[Active, bool]] = {}
        self._free_slots = {
            label: deque(range(model.slots)) for label, model in models.items() if model.slots is not None
        }
        self.timing = Timing()

    async def drive(self, runs: Sequence[Run]) -> None:
        waiting = deque(runs)
        start = time.perf_counter()
        waited = 0.0
        try:
            while True:
                self._advance_all(waiting)
                if not self._asking:
                    break
                before = time.perf_counter()
                done, _ = await asyncio.wait(self._asking, return_when=asyncio.FIRST_COMPLETED)
                waited += time.perf_counter() - before
                for task in [asked for asked in self._asking if asked in done]:  # in the order asked
                    self._deliver(task)
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)
        self.timing.busy = time.perf_counter() - start - waited

    def drive_without_models(self, runs: Sequence[Run]) -> None:
        """``drive`` for runs that ask no model: no event loop is needed, and one may be running."""
        start = time.perf_counter()
        self._advance_all(deque(runs))
        self.timing.busy = time.perf_counter() - start

    def _advance_all(self, waiting: deque[Run]) -> None:
        """Bring every run as far as it goes without an answer of a model."""
        self._admit(waiting)
        while pending := [desk for desk in self._desks.values() if desk.pending]:
            for desk in pending:
                self._serve(desk)
            self._admit(waiting)

    # ------------------------------------------------------------------ starting and ending

    def _admit(self, waiting: deque[Run]) -> None:
        """Start every waiting run whose model has a slot free (most models, and no model, need none)."""
        for _ in range(len(waiting)):
            run = waiting.popleft()
            free = self._free_slots.get(run.model or "")
            if free is None:
                self._start(run, None)
            elif free:
                self._start(run, free.popleft())
            else:
                waiting.append(run)

    def _start(self, run: Run, slot: int | None) -> None:
        where = benchmark(run.benchmark)
        desk = self._desks.get(where.scenario.key)
        if desk is None:
            desk = self._desks[where.scenario.key] = Desk(where.scenario, reevaluate=self._reevaluate)
        library = Stopwatch()
        active = Active(
            run=run,
            benchmark=where,
            program=program(run, where, library),
            desk=desk,
            account=Account(run.budget, run.workers),
            noise_key=key("noise", run.benchmark, run.seed, run.initial),
            instance=where.index,
            library=library,
            slot=slot,
            recorded=self._recorded.get(run.id),
        )
        self._advance(active, None)

    def _end(self, active: Active, state: RunState, error: str = "") -> None:
        try:
            active.program.close()
        except Exception as problem:  # an optimizer's clean-up must not end the other runs
            state, error = "failed", error or _describe(problem)
        if active.slot is not None:
            self._free_slots[active.run.model or ""].append(active.slot)
        self.timing.library += active.library.seconds
        self._progress.runs += 1
        outcome = close_log(active.run, active.log, active.desk.ledger, state, error, active.library.seconds)
        recorded = active.recorded
        if recorded is not None and not error and not recorded.has(outcome.proposal).all():
            outcome = replace(outcome, state="parked", error=str(recorded.ends(active.run)))
        self._finished(outcome)

    # ------------------------------------------------------------------ requests

    def _advance(self, active: Active, answer: Any) -> None:
        """Hand a run its answer and take its next request, until it waits for something or ends."""
        try:
            while True:
                request = self._next_request(active, answer)
                if isinstance(request, Evaluate):
                    self._begin(active, request)
                    return
                answer = self._take(active, request)
                if answer is None:
                    return
        except StopIteration:
            self._end(active, "exhausted")
        except Breach as breach:
            self._end(active, "failed", f"The optimizer {breach}")
        except _Raised as raised:
            self._end(active, "failed", str(raised))

    def _next_request(self, active: Active, answer: Any) -> Any:
        """What a generator yields next.

        Raises:
            StopIteration: it stopped.
            _Raised: it raised something else.
        """
        start = time.perf_counter() if active.run.overhead else 0.0
        try:
            request = active.program.send(answer)
        except StopIteration:
            raise
        except Exception as error:
            raise _Raised(_describe(error)) from error
        if active.run.overhead:
            active.overhead += time.perf_counter() - start
        return request

    def _take(self, active: Active, request: Any) -> Any:
        """The answer to a request that can be answered at once; None where the run waits or has ended.

        Raises:
            Breach: the request is none, or makes no sense now.
        """
        if isinstance(request, Submit):
            return self._submit(active, request)
        if isinstance(request, Next):
            return self._wait(active, request)
        if isinstance(request, Waste):
            return self._waste(active, request)
        if isinstance(request, Complete):
            self._ask(active, [request], alone=True)
        elif _is_list_of_completes(request):
            self._ask(active, request, alone=False)
        else:
            raise Breach(f"yielded {_brief(request)}, which is no request.")
        return None

    def _ask(self, active: Active, requests: Sequence[Complete], *, alone: bool) -> None:
        model = self._models.get(active.run.model or "")
        if model is None:
            self._end(
                active, "failed", "The optimizer asks a language model, but the suite names none for it."
            )
            return
        limit = active.run.tokens
        if limit is not None and active.account.tokens >= limit:
            self._end(active, "ok")
            return
        jobs = []
        for request in requests:
            if request.attempt == 0:
                active.calls += 1
            where = Call(active.run.id, active.calls - 1, request.attempt)
            jobs.append(model.complete(where, request, active.slot))
        self._asking[asyncio.ensure_future(_together(jobs))] = (active, alone)

    def _deliver(self, task: asyncio.Task[list[list[Completion]]]) -> None:
        active, alone = self._asking.pop(task)
        try:
            answers = task.result()
        except ResultsError:
            raise  # what cannot be journalled must not be used: the study stops
        except (ModelUnavailable, ReplayDiverged) as error:
            self._end(active, "parked", str(error))
            return
        except SurrobenchError as error:
            self._end(active, "failed", str(error))
            return
        completions = [completion for answer in answers for completion in answer]
        for completion in completions:
            active.account.tokens += completion.tokens_in + completion.tokens_out
            active.spent = active.spent.plus(
                Spent(1, completion.tokens_in, completion.tokens_out, completion.latency)
            )
        if active.run.overhead:  # those of one list were in flight together
            active.overhead += max(completion.latency for completion in completions)
        self._advance(active, answers[0] if alone else answers)

    # ------------------------------------------------------------------ beginning trials

    def _begin(self, active: Active, request: Evaluate) -> None:
        """Put a batch on its desk, cut at the budget.

        Raises:
            Breach: it is no batch of configurations, or cannot be evaluated now.
        """
        desk, account = active.desk, active.account
        X = request.configurations
        if not (type(X) is np.ndarray and X.ndim == 2 and X.shape[1] == desk.d and X.dtype == np.float64):
            X = desk.as_matrix(X)
        if not len(X):
            raise Breach("asked to evaluate no configuration.")
        if active.begun or active.under_way:
            raise Breach("asked to evaluate while submitted trials are under way; wait with Next first.")
        fidelity = desk.fidelity(request)
        share = 1.0 if fidelity is None else desk.share(request)
        overhead = active.take_overhead() if active.run.overhead else 0.0
        allowed = account.allows(share)
        if allowed < len(X):
            X, active.last = X[:allowed], True
        if allowed:
            first = account.begin(len(X), share)
            origin = _origin(request.source, request.repairs)
            desk.pending.append(Asked(active, request, X, first, origin, fidelity, share, overhead))
        else:
            self._end(active, "ok")

    def _submit(self, active: Active, request: Submit) -> int | None:
        """Begin a trial on a free worker; its ticket, or None where the budget does not allow it.

        Raises:
            Breach: no worker is free, or it is no configuration.
        """
        desk, account = active.desk, active.account
        if len(active.begun) + len(active.under_way) >= account.workers:
            raise Breach(f"submitted a trial, but all {account.workers} workers are busy; use Next first.")
        if np.shape(request.configuration) != (desk.d,):
            shape = np.shape(request.configuration)
            raise Breach(f"submitted an array of shape {shape}; it must be ({desk.d},).")
        share = desk.share(request)
        overhead = active.take_overhead() if active.run.overhead else 0.0
        if not account.allows(share):
            active.last = True
            self._finish_what_is_under_way(active)
            return None
        ticket = account.begin(1, share)
        active.begun.append(Begun(request, ticket, account.now, overhead, active.take_spent()))
        return ticket

    def _wait(self, active: Active, request: Next) -> Finished | None:
        """The next trial that finishes, if its value is known; None where it has to be evaluated first.

        Raises:
            Breach: nothing is under way.
        """
        if not active.begun:
            if not active.under_way:
                raise Breach("waits for a trial, but none is under way.")
            return self._pop(active)
        desk, begun = active.desk, active.begun
        X = np.array([trial.request.configuration for trial in begun], dtype=np.float64)
        at = [desk.fidelity(trial.request) for trial in begun]
        full = desk.scenario.full_fidelity
        fidelity = (
            np.vstack([full if row is None else row for row in at])
            if any(row is not None for row in at)
            else None
        )
        share = np.array([desk.share(trial.request) for trial in begun])
        desk.pending.append(Asked(active, request, X, begun[0].ticket, _SUBMITTED, fidelity, share))
        return None

    def _finish_what_is_under_way(self, active: Active) -> None:
        """End a run whose budget is used up once its submitted trials have finished, in the time left."""
        if active.begun:
            self._wait(active, Next())  # and comes back here when they are evaluated
            return
        while active.under_way:
            if self._pop(active) is None:
                return
        self._end(active, "ok")

    def _waste(self, active: Active, request: Waste) -> Evaluated | None:
        """Book a trial without a configuration, which takes no simulated time; None if that ended the run."""
        account, desk = active.account, active.desk
        overhead = active.take_overhead() if active.run.overhead else 0.0
        if not account.allows(1.0):
            self._end(active, "ok")
            return None
        X, columns = desk.nothing()
        number = account.begin(1, 1.0)
        row = desk.ledger.add(X, columns, np.array([number]), 1.0)
        desk.ledger.finish_one(row, account.now, overhead)
        origin = Origin(request.source, "invalid", error=request.reason)
        self._book(active, row, 1, origin, active.take_spent())
        if account.spent:
            self._end(active, "ok")
            return None
        return Evaluated(X, np.full(1, np.nan))

    # ------------------------------------------------------------------ evaluation

    def _serve(self, desk: Desk) -> None:
        """Answer everything that is pending on a desk: one array call."""
        asked, desk.pending = desk.pending, []
        legal, X = desk.matrix(asked)
        if not legal.all():
            self._reject(desk, asked, legal)
            return
        start = time.perf_counter()
        columns = desk.observe(asked, X)
        self.timing.benchmark += time.perf_counter() - start
        ends = np.cumsum([len(rows.X) for rows in asked]).tolist()
        refused = {}
        for i, (rows, end) in enumerate(zip(asked, ends, strict=True)):
            if rows.fidelity is not None or rows.active.recorded is not None:
                part = slice(end - len(rows.X), end)
                try:
                    desk.amend(rows, X[part], columns.rows(part))
                except SurrobenchError as error:
                    refused[i] = error
        base = desk.book(asked, X, columns)
        losses, costs = desk.losses(columns), columns.cost
        for i, (rows, end) in enumerate(zip(asked, ends, strict=True)):
            if i in refused:
                state: RunState = "parked" if isinstance(refused[i], ReplayDiverged) else "failed"
                self._end(rows.active, state, str(refused[i]))
                continue
            start = end - len(rows.X)
            part = slice(start, end)
            if isinstance(rows.request, Next):
                self._put_under_way(rows.active, base + start, X[part], losses[part], costs[part])
                continue
            if end == start + 1:
                self._finish_one(rows, base + start, float(costs[start]))
            else:
                self._finish_all(rows, base + start, costs[part])
            if rows.active.last or rows.active.account.spent:
                self._end(rows.active, "ok")
            else:
                self._advance(rows.active, Evaluated(X[part], losses[part]))

    def _reject(self, desk: Desk, asked: list[Asked], legal: Any) -> None:
        """Fail the runs that asked for an illegal configuration; the others' rows stay on the desk."""
        end = 0
        for rows in asked:
            start, end = end, end + len(rows.X)
            bad = np.flatnonzero(~legal[start:end])
            if len(bad):
                row = rows.X[bad[0]].tolist()
                self._end(rows.active, "failed", f"The optimizer proposed an illegal configuration: {row}.")
            else:
                desk.pending.append(rows)

    def _finish_one(self, rows: Asked, row: int, cost: float) -> None:
        """Let the only trial of a request run, and book it if it finishes in time."""
        active, account = rows.active, rows.active.account
        finished = account.run_one(cost)
        active.desk.ledger.finish_one(row, finished, rows.overhead)
        if account.budget.seconds is None or finished <= account.budget.seconds:
            self._book(active, row, 1, rows.origin, active.take_spent())

    def _finish_all(self, rows: Asked, first: int, costs: Floats) -> None:
        """Let the trials of a request run on the run's workers, and book those that finish in time."""
        active, account = rows.active, rows.active.account
        finished = account.run_all(costs)
        active.desk.ledger.finish(first, finished, rows.overhead)
        seconds = account.budget.seconds
        if seconds is None or account.now <= seconds:
            self._book(active, first, len(finished), rows.origin, active.take_spent())
        else:  # with several workers not only the first rows are in time
            for i in np.flatnonzero(finished <= seconds).tolist():
                self._book(active, first + i, 1, rows.origin, active.take_spent())

    def _put_under_way(self, active: Active, first: int, X: Matrix, losses: Floats, costs: Floats) -> None:
        """Start the clocks of submitted trials; then answer the run with the first that finishes."""
        for i, trial in enumerate(active.begun):
            finish = trial.start + float(costs[i])
            active.desk.ledger.finish_one(first + i, finish, trial.overhead)
            origin = Origin(trial.request.source)
            heapq.heappush(
                active.under_way,
                UnderWay(finish, trial.ticket, first + i, X[i], float(losses[i]), origin, trial.spent),
            )
        active.begun.clear()
        if active.last:
            self._finish_what_is_under_way(active)
        elif (answer := self._pop(active)) is not None:
            self._advance(active, answer)

    def _pop(self, active: Active) -> Finished | None:
        """The next submitted trial that finishes, booked; None if that ended the run."""
        account, seconds = active.account, active.account.budget.seconds
        trial = heapq.heappop(active.under_way)
        if seconds is not None and trial.finish > seconds:
            self._end(active, "ok")
            return None
        account.now = max(account.now, trial.finish)
        self._book(active, trial.row, 1, trial.origin, trial.spent)
        if account.spent and not active.under_way:
            self._end(active, "ok")
            return None
        return Finished(trial.ticket, trial.configuration, trial.loss)

    def _book(self, active: Active, row: int, length: int, origin: Origin, spent: Spent) -> None:
        """Enter finished trials into their run's log."""
        active.log.add(row, length, origin, spent)
        self._progress.trials += length


_SUBMITTED = Origin("submitted")
"""Stands for the origins of trials that were submitted, each of which has its own."""


@lru_cache
def _origin(source: str, repairs: tuple[str, ...]) -> Origin:
    """One object for all requests of the same origin: there are as many requests as trials."""
    return Origin(source, repairs=repairs)


class _Raised(Exception):
    """What an optimizer raised, in one line."""


def _is_list_of_completes(request: Any) -> TypeGuard[Sequence[Complete]]:
    listed = isinstance(request, list | tuple) and len(request) > 0
    return listed and all(isinstance(part, Complete) for part in request)


async def _together(jobs: list[Any]) -> list[list[Completion]]:
    return list(await asyncio.gather(*jobs))


def _brief(value: object) -> str:
    """A value's representation on one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}..."


def _describe(error: Exception) -> str:
    """An optimizer's exception in one line, with the place it came from."""
    if isinstance(error, SurrobenchError):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'} ({place})"
