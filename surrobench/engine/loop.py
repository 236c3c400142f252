"""The engine: holds many runs, answers all their pending requests of a kind at once.

``Evaluate`` requests of all runs on one scenario become one array call. ``Complete`` requests go out
concurrently; a run that waits for the model never holds up one that does not. ``Compute`` requests of all
runs for one kernel on one scenario become one call. No optimizer is special-cased.
What a run gets depends only on its own identity, never on which other runs share its batch.
The file is long because every answer leads to the next request, whatever its kind: it is one class.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from surrobench.engine.answers import answers_of
from surrobench.engine.batch import PendingRows, ScenarioBatch
from surrobench.engine.guard import Guard
from surrobench.engine.in_flight import drain, give_up, together
from surrobench.engine.ledger import close_log
from surrobench.engine.model_calls import NothingUsable
from surrobench.engine.outcome import Outcome, Progress, RunState
from surrobench.engine.replay import Recorded, ending
from surrobench.engine.run_state import BudgetSpent, RunInProgress
from surrobench.engine.timing import Timing
from surrobench.engine.validation import ContractViolation, validated
from surrobench.errors import ResultsError, SurrobenchError, in_one_line
from surrobench.foreign_code import Raised
from surrobench.llm.journal import Call
from surrobench.llm.journalled_model import JournalledModel
from surrobench.plan.plan import Plan
from surrobench.plan.planning import resolved
from surrobench.plan.run import Run
from surrobench.protocol.requests import (
    Complete,
    Completion,
    Compute,
    Evaluate,
    Kernel,
    Next,
    Request,
    Submit,
    Waste,
)
from surrobench.protocol.text import storable


def drive(
    runs: Sequence[Run],
    finished: Callable[[Outcome], None],
    *,
    models: Mapping[str, JournalledModel] | None = None,
    recorded: Recorded | None = None,
    reevaluate: bool = False,
    progress: Progress | None = None,
    guard: Guard | None = None,
) -> Timing:
    """Run all of some runs; ``finished`` is called with each outcome as soon as it is there.

    Args:
        runs: a plan; or plain runs, whose names are resolved first.
        finished: takes each outcome.
        models: label -> language model.
        recorded: observations to serve instead of the benchmarks' when replaying.
        reevaluate: ask the benchmarks all the same, and park a run whose observations differ from these.
        progress: counters to keep up to date.
        guard: calls the optimizers; by default, one with the default limit of a step.
    """
    plan = runs if isinstance(runs, Plan) else resolved(runs)
    engine = Engine(
        plan, finished, models or {}, recorded or {}, reevaluate, progress or Progress(), guard or Guard()
    )
    if models:
        asyncio.run(engine.drive())
    else:
        engine.drive_without_models()
    return engine.timing


async def drive_async(
    runs: Sequence[Run],
    finished: Callable[[Outcome], None],
    *,
    models: Mapping[str, JournalledModel] | None = None,
    recorded: Recorded | None = None,
    reevaluate: bool = False,
    progress: Progress | None = None,
    guard: Guard | None = None,
) -> Timing:
    """``drive`` within a running event loop."""
    plan = runs if isinstance(runs, Plan) else resolved(runs)
    engine = Engine(
        plan, finished, models or {}, recorded or {}, reevaluate, progress or Progress(), guard or Guard()
    )
    await engine.drive()
    return engine.timing


class Engine:
    """Holds runs under way, and answers their requests; see ``drive`` for the arguments."""

    def __init__(
        self,
        plan: Plan,
        finished: Callable[[Outcome], None],
        models: Mapping[str, JournalledModel],
        recorded: Recorded,
        reevaluate: bool,
        progress: Progress,
        guard: Guard,
    ) -> None:
        self._plan = plan
        self._finished = finished
        self._models = models
        self._recorded = recorded
        self._reevaluate = reevaluate
        self._progress = progress
        self._guard = guard
        self._batches: dict[str, ScenarioBatch] = {}
        self._waiting: dict[str, list[RunInProgress]] = {}
        self._computing: dict[tuple[Kernel, str], list[tuple[RunInProgress, Any]]] = {}
        self._asking: dict[asyncio.Task[Any], tuple[RunInProgress, bool]] = {}
        self._free_slots = {
            label: deque(range(model.slots)) for label, model in models.items() if model.slots is not None
        }
        self.timing = Timing()

    async def drive(self) -> None:
        """Run the whole plan, of which some may ask a model."""
        with self._guard.watching():
            await self._drive()

    async def _drive(self) -> None:
        unstarted = deque(self._plan.runs)
        start = time.perf_counter()
        waited = 0.0
        try:
            while True:
                self._advance_all(unstarted)
                if not self._asking:
                    break
                before = time.perf_counter()
                done, _ = await asyncio.wait(self._asking, return_when=asyncio.FIRST_COMPLETED)
                waited += time.perf_counter() - before
                for task in [asked for asked in self._asking if asked in done]:  # in the order asked
                    self._deliver(task)
        except asyncio.CancelledError:
            await drain(self._asking, self._models, self._progress)
            raise
        finally:
            await give_up(self._asking, self._models)
        self.timing.busy = time.perf_counter() - start - waited

    def drive_without_models(self) -> None:
        """``drive`` for runs that ask no model: no event loop is needed, and one may be running."""
        start = time.perf_counter()
        with self._guard.watching():
            self._advance_all(deque(self._plan.runs))
        self.timing.busy = time.perf_counter() - start

    def _advance_all(self, unstarted: deque[Run]) -> None:
        """Bring every run as far as it goes without an answer of a model."""
        self._admit(unstarted)
        while True:
            # Computing comes first, so that all runs want their next trials evaluated at the same time.
            if self._computing:
                for kernel, key in list(self._computing):
                    self._compute(kernel, key)
            elif scenarios := [key for key, runs in self._waiting.items() if runs]:
                for key in scenarios:
                    self._serve(key)
            else:
                return
            self._admit(unstarted)

    # ------------------------------------------------------------------ starting and ending

    def _admit(self, unstarted: deque[Run]) -> None:
        """Start every run whose model has a slot free (most models, and no model, need none)."""
        for _ in range(len(unstarted)):
            run = unstarted.popleft()
            free = self._free_slots.get(run.model or "")
            if free is None:
                self._start(run, None)
            elif free:
                self._start(run, free.popleft())
            else:
                unstarted.append(run)

    def _start(self, run: Run, slot: int | None) -> None:
        where, entry = self._plan.benchmarks[run.benchmark], self._plan.optimizers[run.optimizer]
        key = where.scenario.key
        if key not in self._batches:
            self._batches[key] = ScenarioBatch(where.scenario, reevaluate=self._reevaluate)
        recording = self._recorded.get(run.id)
        started = RunInProgress.start(run, where, entry, self._batches[key], slot, recording, self._progress)
        self._advance(started, None)

    def _end(self, run: RunInProgress, state: RunState, error: str = "", trace: str = "") -> None:
        """End a run and hand over its outcome.

        Args:
            run: which.
            state: how it ended.
            error: why it failed or is parked, in one line.
            trace: the traceback of what its optimizer raised.
        """
        try:
            self._guard.call(run.program.close)
        except Raised as raised:  # an optimizer's clean-up must not end the other runs
            state, error = "failed", error or in_one_line(raised.error)
            trace = trace or _traceback(raised.error)
        if run.slot is not None:
            self._free_slots[run.run.model or ""].append(run.slot)
        if model := self._models.get(run.run.model or ""):
            model.journal.release(run.run.id)
        self.timing.library += run.library.seconds
        self.timing.proposals += run.library.proposals
        self.timing.referred += run.library.referred
        self._progress.runs += 1
        outcome = close_log(
            run.run,
            run.log,
            run.batch.ledger,
            state,
            storable(error),
            library_seconds=run.library.seconds,
            thinking=run.thinking,
            answers=_counts(run.answers),
            served=sorted(run.served),
        )
        recording = run.context.recording
        if recording is not None and not error and not recording.has(outcome.proposal).all():
            outcome = replace(outcome, state="parked", error=str(recording.ends(run.run)))
        if trace:
            outcome = replace(outcome, traceback=trace)
        self._finished(outcome)

    # ------------------------------------------------------------------ requests

    def _advance(self, run: RunInProgress, answer: Any) -> None:
        """Hand a run its answer and take its next request, until it waits for something or ends."""
        try:
            while True:
                request = self._next_request(run, answer)
                if isinstance(request, Evaluate):
                    run.evaluate(request)
                    break
                answer = self._take(run, request)
                if answer is None:
                    break
        except StopIteration:
            self._end(run, "exhausted")
        except BudgetSpent:
            self._end(run, "ok")
        except NothingUsable as nothing:
            self._progress.note(
                f"{run.run.name} on {run.run.benchmark}, seed {run.run.seed} ends: {nothing}."
            )
            self._end(run, "exhausted")
        except ContractViolation as violation:
            self._end(run, "failed", f"The optimizer {violation}", _traceback(violation))
        except Raised as raised:
            self._end(run, "failed", in_one_line(raised.error), _traceback(raised.error))
        else:
            if run.pending is not None:
                self._waiting.setdefault(run.batch.scenario.key, []).append(run)

    def _next_request(self, run: RunInProgress, answer: Any) -> Request:
        """Return what a generator yields next, as a valid request.

        Raises:
            StopIteration: it stopped.
            Raised: it raised something else.
            ContractViolation: what it yields is no valid request.
        """
        counts = run.thinking_counts
        # The time of this thread: what other processes and threads do at the same time is no thinking.
        start = time.thread_time() if counts else 0.0
        request = self._guard.call(run.program.send, answer)
        if counts:
            run.overhead += time.thread_time() - start
        return validated(request)

    def _take(self, run: RunInProgress, request: Request) -> Any:
        """Answer a request that can be answered at once; returns None where the run has to wait.

        Raises:
            ContractViolation: the request makes no sense now.
            BudgetSpent: nothing is left for it.
        """
        if isinstance(request, Submit):
            return run.submit(request)
        if isinstance(request, Next):
            return run.wait()
        if isinstance(request, Waste):
            return run.waste(request)
        if isinstance(request, Compute):
            waiting = self._computing.setdefault((request.kernel, run.batch.scenario.key), [])
            waiting.append((run, request.state))
        elif isinstance(request, Complete):
            self._ask(run, [request], alone=True)
        elif isinstance(request, Sequence):
            self._ask(run, request, alone=False)
        return None

    def _ask(self, run: RunInProgress, requests: Sequence[Complete], *, alone: bool) -> None:
        model = self._models.get(run.run.model or "")
        if model is None:
            raise ContractViolation("asks a language model, but the suite names none for it.")
        if not run.account.may_ask:
            run.stop()
            return
        # All are numbered before any is sent: a wrong one must not leave others in flight.
        calls = [Call(run.run.id, *run.model_calls.number(request)) for request in requests]
        jobs = [
            model.complete(call, request, run.slot) for call, request in zip(calls, requests, strict=True)
        ]
        self._asking[asyncio.ensure_future(together(jobs))] = (run, alone)

    def _deliver(self, task: asyncio.Task[list[list[Completion]]]) -> None:
        run, alone = self._asking.pop(task)
        try:
            answers = task.result()
            run.book_completions(answers)
        except ResultsError:
            raise  # what cannot be journalled must not be used: the study stops
        except SurrobenchError as error:
            self._end(run, *ending(run.context.recording, error))
            return
        self._advance(run, answers[0] if alone else answers)

    # ------------------------------------------------------------------ computing

    def _compute(self, kernel: Kernel, key: str) -> None:
        """Answer all runs that wait for a kernel on a scenario, by one call."""
        waiting = self._computing.pop((kernel, key))
        start, thought = time.perf_counter(), time.thread_time()
        answers = answers_of(kernel, [state for _, state in waiting], self._guard)
        share = (time.perf_counter() - start) / len(waiting)
        thought = (time.thread_time() - thought) / len(waiting)
        for (run, _), answer in zip(waiting, answers, strict=True):
            run.library.seconds += share
            if run.thinking_counts:
                run.overhead += thought
            if answer.error is None:
                self._advance(run, answer.value)
            else:
                self._end(run, "failed", in_one_line(answer.error), _traceback(answer.error))

    # ------------------------------------------------------------------ evaluation

    def _serve(self, key: str) -> None:
        """Answer all runs that wait for a scenario, by one array call."""
        batch, runs = self._batches[key], self._waiting.pop(key)
        pending = [_pending(run) for run in runs]
        legal, X = batch.matrix(pending)
        if not legal.all():
            self._reject(key, runs, legal)
            return
        start = time.perf_counter()
        columns = batch.observe(pending, X)
        self.timing.benchmark += time.perf_counter() - start
        ends = np.cumsum([len(rows.X) for rows in pending]).tolist()
        refused: dict[int, SurrobenchError] = {}
        for i, (rows, end) in enumerate(zip(pending, ends, strict=True)):
            if rows.fidelity is not None or rows.context.recording is not None:
                part = slice(end - len(rows.X), end)
                try:
                    batch.amend(rows, X[part], columns.rows(part))
                except SurrobenchError as error:
                    refused[i] = error
        base = batch.enter(pending, X, columns)
        losses, costs = batch.losses(columns), columns.cost
        for i, (run, rows, end) in enumerate(zip(runs, pending, ends, strict=True)):
            if i in refused:
                self._end(run, *ending(run.context.recording, refused[i]))
                continue
            first = end - len(rows.X)
            part = slice(first, end)
            try:
                answer = run.complete(base + first, X[part], losses[part], costs[part])
            except BudgetSpent:
                self._end(run, "ok")
            else:
                self._advance(run, answer)

    def _reject(self, key: str, runs: list[RunInProgress], legal: Any) -> None:
        """Fail the runs that asked for an illegal configuration; the others go on waiting."""
        end = 0
        for run in runs:
            rows = _pending(run)
            start, end = end, end + len(rows.X)
            bad = np.flatnonzero(~legal[start:end])
            if len(bad):
                row = rows.X[bad[0]].tolist()
                self._end(run, "failed", f"The optimizer proposed an illegal configuration: {row}.")
            else:
                self._waiting.setdefault(key, []).append(run)


def _pending(run: RunInProgress) -> PendingRows:
    assert run.pending is not None, "only runs with pending rows wait for a scenario"
    return run.pending


def _counts(answers: Mapping[Any, Any]) -> dict[str, int]:
    """Return what an optimizer counted of its model's replies, as far as it did so as it should."""
    return {storable(name): n for name, n in answers.items() if isinstance(name, str) and isinstance(n, int)}


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
