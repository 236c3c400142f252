"""The engine: holds many runs, answers all their pending requests of a kind at once.

``Evaluate`` requests of all runs on one scenario become one array call. ``Complete`` requests go out
concurrently; a run that waits for the model never holds up one that does not. No optimizer is special-cased.
What a run gets depends only on its own identity, never on which other runs share its batch.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from surrobench.benchmarks import benchmark
from surrobench.benchmarks.base import Benchmark, Columns
from surrobench.errors import ModelUnavailable, ReplayDiverged, ResultsError, SurrobenchError, UsageError
from surrobench.llm.journal import Call
from surrobench.llm.service import ModelService
from surrobench.optimizers import optimizer
from surrobench.optimizers.base import Stopwatch, Task
from surrobench.requests import Complete, Completion, Evaluate, Evaluated, Matrix, Request, Waste
from surrobench.runs import Run
from surrobench.seeding import Keys, key, mix, stream
from surrobench.trial import NOTHING_SPENT, Origin, Outcome, RunState, Spent, TrialLog, close_log

Recorded = Mapping[str, tuple[Matrix, Columns]]
"""Run id -> the configurations and the observations of a recording."""


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


@dataclass(eq=False)
class _Active:
    """A run under way."""

    run: Run
    benchmark: Benchmark
    program: Generator[Request, Any, None]
    noise_key: int
    library: Stopwatch
    slot: int | None
    log: TrialLog = field(default_factory=TrialLog)
    spent: Spent = NOTHING_SPENT
    calls: int = 0
    """Completions asked for, re-asks not counted: the ordinal of the next call."""


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
        self._evaluating: list[tuple[_Active, Evaluate | Waste]] = []
        self._asking: dict[asyncio.Task[Any], tuple[_Active, bool]] = {}
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
        while self._evaluating:
            self._evaluate()
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
        library = Stopwatch()
        active = _Active(
            run=run,
            benchmark=where,
            program=program(run, where, library),
            noise_key=key("noise", run.benchmark, run.seed, run.initial),
            library=library,
            slot=slot,
        )
        self._advance(active, None)

    def _end(self, active: _Active, state: RunState, error: str = "") -> None:
        try:
            active.program.close()
        except Exception as problem:  # an optimizer's clean-up must not end the other runs
            state, error = "failed", error or _describe(problem)
        if active.slot is not None:
            self._free_slots[active.run.model or ""].append(active.slot)
        scenario = active.benchmark.scenario
        shape = (active.benchmark.space.d, len(scenario.objectives), len(scenario.fidelities))
        self.timing.library += active.library.seconds
        self._progress.runs += 1
        self._finished(
            close_log(
                active.run, active.log, state, error, shape=shape, library_seconds=active.library.seconds
            )
        )

    # ------------------------------------------------------------------ requests

    def _advance(self, active: _Active, answer: Any) -> None:
        """Hand a run its answer and take its next request."""
        try:
            request = active.program.send(answer)
        except StopIteration:
            self._end(active, "exhausted")
            return
        except Exception as error:
            self._end(active, "failed", _describe(error))
            return
        if isinstance(request, Evaluate | Waste):
            problem = _problem(request, active.benchmark)
            if problem:
                self._end(active, "failed", problem)
            else:
                self._evaluating.append((active, request))
        elif isinstance(request, Complete):
            self._ask(active, [request], alone=True)
        elif _is_list_of_completes(request):
            self._ask(active, request, alone=False)
        else:
            self._end(active, "failed", f"The optimizer yielded {_brief(request)}, which is no request.")

    def _ask(self, active: _Active, requests: Sequence[Complete], *, alone: bool) -> None:
        model = self._models.get(active.run.model or "")
        if model is None:
            self._end(
                active, "failed", "The optimizer asks a language model, but the suite names none for it."
            )
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
        for completion in (completion for answer in answers for completion in answer):
            active.spent = active.spent.plus(
                Spent(1, completion.tokens_in, completion.tokens_out, completion.latency)
            )
        self._advance(active, answers[0] if alone else answers)

    # ------------------------------------------------------------------ evaluation

    def _evaluate(self) -> None:
        """Answer everything that is to be evaluated now, scenario by scenario."""
        pending, self._evaluating = self._evaluating, []
        scenarios: dict[str, list[tuple[_Active, Evaluate, Matrix]]] = {}
        for active, request in pending:
            if isinstance(request, Waste):
                self._record(active, request, *_nothing(active.benchmark))
            else:
                left = active.run.trials - active.log.n
                X = np.asarray(request.configurations, dtype=np.float64)[:left]
                scenarios.setdefault(active.benchmark.scenario.key, []).append((active, request, X))
        for requests in scenarios.values():
            self._evaluate_scenario(requests)

    def _evaluate_scenario(self, requests: list[tuple[_Active, Evaluate, Matrix]]) -> None:
        """One array call for the requests of all runs on one scenario."""
        scenario = requests[0][0].benchmark.scenario
        lengths = np.array([len(X) for _, _, X in requests])
        ends = np.cumsum(lengths)
        X = np.concatenate([X for _, _, X in requests])
        instances = np.repeat([active.benchmark.index for active, _, _ in requests], lengths)
        legal, snapped = scenario.snap(X, instances)
        if not legal.all():
            self._reject(requests, legal, ends)
            return
        X = snapped
        start = time.perf_counter()
        columns = scenario.evaluate(X, instances, _noise(requests, lengths), _fidelity(requests, lengths))
        self.timing.benchmark += time.perf_counter() - start
        for (active, request, asked), end in zip(requests, ends.tolist(), strict=True):
            part = slice(end - len(asked), end)
            own = X[part]
            mine = columns.rows(part)
            if active.run.id in self._recorded:
                try:
                    mine = self._replayed(active, own, mine)
                except ReplayDiverged as error:
                    self._end(active, "parked", str(error))
                    continue
            self._record(active, request, own, mine)

    def _reject(self, requests: list[tuple[_Active, Evaluate, Matrix]], legal: Any, ends: Any) -> None:
        """Fail the runs that asked for an illegal configuration; the others ask again next time."""
        for (active, request, own), end in zip(requests, ends.tolist(), strict=True):
            bad = np.flatnonzero(~legal[end - len(own) : end])
            if len(bad):
                row = own[bad[0]]
                self._end(
                    active, "failed", f"The optimizer proposed an illegal configuration: {row.tolist()}."
                )
            else:
                self._evaluating.append((active, request))

    def _replayed(self, active: _Active, X: Matrix, anew: Columns) -> Columns:
        """What was recorded for a run's next trials.

        Raises:
            ReplayDiverged: other configurations were recorded there, or, with ``reevaluate``, other values.
        """
        configurations, columns = self._recorded[active.run.id]
        part = slice(active.log.n, active.log.n + len(X))
        recorded = columns.rows(part)
        if len(recorded.cost) < len(X):
            raise ReplayDiverged(
                f"The recording of run {active.run.id} ends after {len(columns.cost)} trials.",
                "It was made with a smaller budget or cut short; leave out --replay to go on.",
            )
        same = np.isclose(configurations[part], X, rtol=0, atol=1e-9, equal_nan=True).all(axis=1)
        what = "it proposes another configuration"
        if same.all() and recorded.fidelity is not None and anew.fidelity is not None:
            same = (recorded.fidelity == anew.fidelity).all(axis=1)
            what = "it asks for another fidelity"
        if same.all() and self._reevaluate:
            a, b = recorded.values, anew.values
            same = ((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=1)
            what = "the benchmark gives another value"
        if not same.all():
            first = active.log.n + int(np.argmin(same))
            raise ReplayDiverged(
                f"Run {active.run.id} diverged at trial {first}: {what} than was recorded.",
                "Use the library versions of the recording (see its manifest.json).",
            )
        return recorded

    def _record(self, active: _Active, request: Evaluate | Waste, X: Matrix, columns: Columns) -> None:
        """Book trials on their run, answer it, and end it when its budget is spent."""
        origin = (
            Origin(request.source, "invalid", error=request.reason)
            if isinstance(request, Waste)
            else Origin(request.source, repairs=request.repairs)
        )
        active.log.add(X, columns, origin, active.spent)
        active.spent = NOTHING_SPENT
        self._progress.trials += len(X)
        if active.log.n >= active.run.trials:
            self._end(active, "ok")
            return
        target = active.benchmark.scenario.target_index
        # Of a wasted trial the values are NaN already.
        self._advance(active, Evaluated(X, columns.values[:, target] * active.benchmark.objective.sign))


def program(run: Run, where: Benchmark, library: Stopwatch) -> Generator[Request, Any, None]:
    """A run from its first trial to its last: the granted initial design, then the optimizer."""
    space, default = where.space, where.scenario.default()
    initial = Evaluated(np.empty((0, space.d)), np.empty(0))
    if run.initial == "default":
        initial = yield Evaluate(default[None, :], source="initial")
    elif run.initial.startswith("random:"):
        rng = stream("initial", run.benchmark, run.seed, run.initial)
        initial = yield Evaluate(space.sample(int(run.initial[7:]), rng), source="initial")
    task = Task(
        space=space,
        objective=where.objective,
        card=where.card,
        default=default,
        initial=initial,
        horizon=run.trials - len(initial.losses),
        invalid=run.invalid,
        library=library,
        fidelities=where.scenario.fidelities,
    )
    rng = stream("optimizer", run.benchmark, run.optimizer, run.parameters, run.seed)
    yield from optimizer(run.optimizer).function(task, rng, **run.parameters)


def _is_list_of_completes(request: Any) -> TypeGuard[Sequence[Complete]]:
    listed = isinstance(request, list | tuple) and len(request) > 0
    return listed and all(isinstance(part, Complete) for part in request)


async def _together(jobs: list[Any]) -> list[list[Completion]]:
    return list(await asyncio.gather(*jobs))


def _noise(requests: list[tuple[_Active, Evaluate, Matrix]], lengths: Any) -> Keys | None:
    """Shape (m,): the noise key of each trial, or None if all are to be means."""
    kinds = {active.run.noise for active, _, _ in requests}
    if kinds == {"mean"}:
        return None
    if len(kinds) > 1:
        raise SurrobenchError("Runs with different noise cannot share an engine.", "Run them as two suites.")
    keys = np.repeat(np.array([active.noise_key for active, _, _ in requests], dtype=np.uint64), lengths)
    if kinds == {"fresh"}:
        trials = np.concatenate([active.log.n + np.arange(len(X)) for active, _, X in requests])
        keys = mix(keys, trials.astype(np.uint64))
    return keys


def _fidelity(requests: list[tuple[_Active, Evaluate, Matrix]], lengths: Any) -> Matrix | None:
    """Shape (m, number of fidelities): the fidelity of each trial, or None if all are full."""
    if not any(request.fidelity for _, request, _ in requests):
        return None
    scenario = requests[0][0].benchmark.scenario
    rows = [scenario.fidelity_row(request.fidelity or {}) for _, request, _ in requests]
    return np.repeat(np.array(rows), lengths, axis=0)


def _nothing(where: Benchmark) -> tuple[Matrix, Columns]:
    """A trial without configuration and observation."""
    nan = np.full(1, np.nan)
    fidelities = len(where.scenario.fidelities)
    return np.full((1, where.space.d), np.nan), Columns(
        np.full((1, len(where.scenario.objectives)), np.nan),
        nan,
        np.zeros(1),
        np.full((1, fidelities), np.nan) if fidelities else None,
    )


def _problem(request: Evaluate | Waste, where: Benchmark) -> str:
    """What is wrong with a request's form, or the empty string."""
    if isinstance(request, Waste):
        return ""
    try:
        shape = np.asarray(request.configurations, dtype=np.float64).shape
    except (TypeError, ValueError) as error:
        return f"The optimizer asked to evaluate something that is no matrix: {' '.join(str(error).split())}."
    if len(shape) != 2 or shape[1] != where.space.d:
        return f"The optimizer asked to evaluate an array of shape {shape}; it must be (m, {where.space.d})."
    if request.fidelity is not None:
        if not isinstance(request.fidelity, Mapping):
            return f"The optimizer asked for {_brief(request.fidelity)}, which is no mapping of fidelities."
        try:
            where.scenario.fidelity_row(request.fidelity)
        except UsageError as error:
            return f"The optimizer asked for an illegal fidelity: {error}"
    return "" if shape[0] else "The optimizer asked to evaluate no configuration."


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
