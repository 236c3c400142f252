"""The engine: holds many runs, answers all their pending requests of a kind at once.

``Evaluate`` requests of all runs on one scenario become one array call. ``Complete`` requests go out
concurrently; a run that waits for the model never holds up one that does not. No optimizer is special-cased.
What a run gets depends only on its own identity, never on which other runs share its batch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np

from surrobench.benchmarks.registry import benchmark
from surrobench.engine.batch import ContractViolation, PendingRows, ScenarioBatch
from surrobench.engine.ledger import close_log
from surrobench.engine.outcome import Outcome, Progress, RunState
from surrobench.engine.replay import Recorded
from surrobench.engine.run_state import BudgetSpent, RunInProgress
from surrobench.errors import ModelUnavailable, ReplayDiverged, ResultsError, SurrobenchError, in_one_line
from surrobench.llm.journal import Call
from surrobench.llm.journalled_model import JournalledModel
from surrobench.plan.run import Run
from surrobench.protocol.requests import Complete, Completion, Evaluate, Next, Submit, Waste


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


def drive(
    runs: Sequence[Run],
    finished: Callable[[Outcome], None],
    *,
    models: Mapping[str, JournalledModel] | None = None,
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
    engine = Engine(finished, models or {}, recorded or {}, reevaluate, progress or Progress())
    if models:
        asyncio.run(engine.drive(runs))
    else:
        engine.drive_without_models(runs)
    return engine.timing


async def drive_async(
    runs: Sequence[Run],
    finished: Callable[[Outcome], None],
    *,
    models: Mapping[str, JournalledModel] | None = None,
    recorded: Recorded | None = None,
    reevaluate: bool = False,
    progress: Progress | None = None,
) -> Timing:
    """``drive`` within a running event loop."""
    engine = Engine(finished, models or {}, recorded or {}, reevaluate, progress or Progress())
    await engine.drive(runs)
    return engine.timing


class Engine:
    """Holds runs under way, and answers their requests; see ``drive`` for the arguments."""

    def __init__(
        self,
        finished: Callable[[Outcome], None],
        models: Mapping[str, JournalledModel],
        recorded: Recorded,
        reevaluate: bool,
        progress: Progress,
    ) -> None:
        self._finished = finished
        self._models = models
        self._recorded = recorded
        self._reevaluate = reevaluate
        self._progress = progress
        self._desks: dict[str, ScenarioBatch] = {}
        self._asking: dict[asyncio.Task[Any], tuple[RunInProgress, bool]] = {}
        self._free_slots = {
            label: deque(range(model.slots)) for label, model in models.items() if model.slots is not None
        }
        self.timing = Timing()

    async def drive(self, runs: Sequence[Run]) -> None:
        """Run them all, of which some may ask a model."""
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
            desk = self._desks[where.scenario.key] = ScenarioBatch(
                where.scenario, reevaluate=self._reevaluate
            )
        self._advance(
            RunInProgress.start(run, where, desk, slot, self._recorded.get(run.id), self._progress), None
        )

    def _end(self, active: RunInProgress, state: RunState, error: str = "") -> None:
        try:
            active.program.close()
        except Exception as problem:  # an optimizer's clean-up must not end the other runs
            state, error = "failed", error or in_one_line(problem)
        if active.slot is not None:
            self._free_slots[active.run.model or ""].append(active.slot)
        self.timing.library += active.library.seconds
        self._progress.runs += 1
        outcome = close_log(
            active.run,
            active.log,
            active.desk.ledger,
            state,
            error,
            library_seconds=active.library.seconds,
            thinking=active.thinking,
            answers=dict(active.answers),
        )
        recorded = active.recorded
        if recorded is not None and not error and not recorded.has(outcome.proposal).all():
            outcome = replace(outcome, state="parked", error=str(recorded.ends(active.run)))
        self._finished(outcome)

    # ------------------------------------------------------------------ requests

    def _advance(self, active: RunInProgress, answer: Any) -> None:
        """Hand a run its answer and take its next request, until it waits for something or ends."""
        try:
            while True:
                request = self._next_request(active, answer)
                if isinstance(request, Evaluate):
                    active.begin(request)
                    return
                answer = self._take(active, request)
                if answer is None:
                    return
        except StopIteration:
            self._end(active, "exhausted")
        except BudgetSpent:
            self._end(active, "ok")
        except ContractViolation as breach:
            self._end(active, "failed", f"The optimizer {breach}")
        except _Raised as raised:
            self._end(active, "failed", str(raised))

    def _next_request(self, active: RunInProgress, answer: Any) -> Any:
        """What a generator yields next.

        Raises:
            StopIteration: it stopped.
            _Raised: it raised something else.
        """
        # With a model only its latency counts: that is journalled, so a resumed run is the same.
        counts = active.run.overhead and not active.run.asks_model
        start = time.perf_counter() if counts else 0.0
        try:
            request = active.program.send(answer)
        except StopIteration:
            raise
        except Exception as error:
            raise _Raised(in_one_line(error)) from error
        if counts:
            active.overhead += time.perf_counter() - start
        return request

    def _take(self, active: RunInProgress, request: Any) -> Any:
        """The answer to a request that can be answered at once; None where the run has to wait.

        Raises:
            ContractViolation: the request is none, or makes no sense now.
            BudgetSpent: nothing is left for it.
        """
        if isinstance(request, Submit):
            return active.submit(request)
        if isinstance(request, Next):
            return active.wait()
        if isinstance(request, Waste):
            return active.waste(request)
        if isinstance(request, Complete):
            self._ask(active, [request], alone=True)
        elif _is_list_of_completes(request):
            self._ask(active, request, alone=False)
        else:
            raise ContractViolation(f"yielded {_brief(request)}, which is no request.")
        return None

    def _ask(self, active: RunInProgress, requests: Sequence[Complete], *, alone: bool) -> None:
        model = self._models.get(active.run.model or "")
        if model is None:
            raise ContractViolation("asks a language model, but the suite names none for it.")
        if not active.may_ask:
            active.stop()
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
        active.hear(answers)
        self._advance(active, answers[0] if alone else answers)

    # ------------------------------------------------------------------ evaluation

    def _serve(self, desk: ScenarioBatch) -> None:
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
            try:
                answer = rows.active.settle(rows, base + start, X[part], losses[part], costs[part])
            except BudgetSpent:
                self._end(rows.active, "ok")
            else:
                self._advance(rows.active, answer)

    def _reject(self, desk: ScenarioBatch, asked: list[PendingRows], legal: Any) -> None:
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
