"""Run a suite: plan, skip what is finished, execute the rest, store it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from surrobench.benchmarks.yahpo.data import copy_carried, remember
from surrobench.engine.guard import Guard
from surrobench.engine.ledger import failed_without_trials
from surrobench.engine.loop import drive_async
from surrobench.engine.outcome import Outcome
from surrobench.engine.replay import Recorded
from surrobench.engine.timing import Timing
from surrobench.errors import ResultsError, SurrobenchError, UsageError
from surrobench.execution.process_pool import InlineExecutor, WorkerEnded, process_pool, stop_workers
from surrobench.execution.shards import execute, finished_shards, make_shards
from surrobench.llm.journalled_model import JournalledModel
from surrobench.plan.plan import Plan
from surrobench.plan.planning import plan
from surrobench.plan.run import Run
from surrobench.results.files import locked
from surrobench.results.folder import Results
from surrobench.results.ledger import continued
from surrobench.results.manifest import library_versions, make_manifest
from surrobench.results.recordings import read_recordings
from surrobench.study import journal_files
from surrobench.study.earlier_runs import EarlierRuns, earlier_runs, planned_as_begun
from surrobench.study.fallbacks import stored_fallbacks, with_fallbacks, with_recorded_weights
from surrobench.study.left_to_do import Work, left_to_do
from surrobench.study.log_file import log_file
from surrobench.study.model_servers import ModelSettings, choose_settings, open_models
from surrobench.study.options import Options
from surrobench.study.progress import Status
from surrobench.study.summary import Summary
from surrobench.suite.schema import Suite
from surrobench.suite.selection import Selection

if TYPE_CHECKING:
    from surrobench.execution.dask import ClusterExecutor

log = logging.getLogger(__name__)


def run_study(suite: Suite, text: str, options: Options, status: Status | None = None) -> Summary:
    """Run what is not finished of a suite.

    Args:
        suite: the study.
        text: its file, for the manifest.
        options: how to run it.
        status: counters to keep up to date.

    Raises:
        ResultsError: the folder cannot be used, or a disk is full; what is stored stays whole.
        KeyboardInterrupt: Ctrl-C; finished runs are stored, the same command goes on.
    """
    start = time.perf_counter()
    status = status or Status()
    if options.replay:
        remember(options.replay)
        suite = with_recorded_weights(suite, options.replay)
    before = stored_fallbacks(suite, options.replay or options.out)
    as_stored, fallbacks = with_fallbacks(suite, {}, before, lambda line: None)
    planned = planned_as_begun(as_stored, options)
    if options.replay and options.out.resolve() in {
        options.replay.resolve(),
        options.replay.resolve().parent,
    }:
        raise UsageError(f"{options.out} is the recording itself.", "Name another folder with --out.")
    with locked(options.out), contextlib.ExitStack() as stack:
        opened = Results(options.out) if (options.out / "manifest.json").exists() else None
        recording = _recording(options.replay)
        earlier = earlier_runs(opened)
        if options.replay:
            earlier = earlier_runs(recording, journal_files.recorded_journal(options.replay))
        settings, as_now = ModelSettings(as_stored, fallbacks), planned
        planned = earlier.names(as_now)
        if recording:
            planned = planned.with_versions(recording.versions())
        if not options.replay:
            settings = choose_settings(suite, settings, planned, opened, status.note)
            planned = earlier.names(as_now.with_models(settings.suite))
        others = _of_other_parts(planned, opened, earlier)
        manifest = {**make_manifest(planned, text), "fallbacks": settings.fallbacks}
        if recording:
            # A replay is no new data: what was stated before them stays stated.
            now, there = manifest["ledger"]["statements"][-1], len(recording.recorded_runs())
            manifest["ledger"] = {"statements": continued(recording.manifest, now, there)}
        results = Results.create(options.out, manifest, planned, others, opened)
        if options.replay:
            copy_carried(options.replay, options.out)
        stack.enter_context(log_file(options.out))
        work = left_to_do(planned, others, results, retry_failed=options.retry_failed)
        session = _Session(
            planned,
            work,
            options,
            status,
            results,
            recorded=read_recordings(recording, planned.scenarios) if recording else {},
            models=_open_models(work, settings, options, results, status.note, stack),
            cluster=_open_cluster(work.pending, options, status.note, stack),
            start=start,
        )
        return session.run(settings.servers)


def _recording(replay: Path | None) -> Results | None:
    """Return the results that a replay serves; a journal alone has none, and the benchmarks are asked.

    Raises:
        ResultsError: there is neither, or a file is damaged.
    """
    if replay is None:
        return None
    if (replay / "manifest.json").exists():
        recording = Results(replay)
        recording.check()
        return recording
    if journal_files.recorded_journal(replay) is None:
        raise ResultsError(f"{replay} holds no recording.", "Name a results folder, or a journal.")
    return None


def _of_other_parts(planned: Plan, opened: Results | None, earlier: EarlierRuns) -> list[Run]:
    """Return the runs of the suite that the folder was to hold before, and that are not in the plan."""
    assert planned.origin is not None, "a session is about a suite"
    suite = planned.origin.suite
    if planned.origin.part == Selection() or opened is None:
        return []
    others = opened.plan().filter(~pl.col("run").is_in([run.id for run in planned]))
    known = planned.origin.benchmarks
    benchmarks = [name for name in others["benchmark"].unique(maintain_order=True) if name in known]
    labels = [label for label in others["optimizer"].unique(maintain_order=True) if label in suite.optimizers]
    if not benchmarks or not labels:
        return []
    ids = set(others["run"])
    part = Selection(tuple(benchmarks), tuple(labels))
    return [run for run in earlier.names(plan(suite, part, planned)) if run.id in ids]


def _open_models(
    work: Work,
    settings: ModelSettings,
    options: Options,
    results: Results,
    note: Callable[[str], None],
    stack: contextlib.ExitStack,
) -> dict[str, JournalledModel]:
    """Open each model that a pending run needs, and the journal of their completions."""
    labels = sorted({run.model for run in work.pending if run.model and run.asks_model})
    if not labels:
        return {}
    if options.replay:
        journal = journal_files.open_replay(options.replay, results.folder)
        stack.callback(journal.close)
        return {label: JournalledModel(settings.suite.models[label], journal) for label in labels}
    journal = journal_files.open_journal(
        results.journal_path,
        library_versions(),
        pending={run.id for run in work.pending},
        unfinished=work.unfinished,
        discard_unfinished=options.discard_unfinished,
    )
    stack.callback(journal.close)
    return open_models(labels, settings, journal, results.folder, note, stack)


def _open_cluster(
    pending: Plan, options: Options, note: Callable[[str], None], stack: contextlib.ExitStack
) -> ClusterExecutor | None:
    """Connect to Dask's workers, where they are asked for and there is something for them to do."""
    if options.cluster is None or all(run.asks_model for run in pending):
        return None
    from surrobench.execution.dask import connect

    return stack.enter_context(connect(options.cluster, note))


class _Session:
    """Executes what is left to do of a plan, stores the outcomes, and counts."""

    def __init__(
        self,
        planned: Plan,
        work: Work,
        options: Options,
        status: Status,
        results: Results,
        *,
        recorded: Recorded,
        models: Mapping[str, JournalledModel],
        cluster: ClusterExecutor | None,
        start: float,
    ) -> None:
        self._planned, self._work, self._options = planned, work, options
        self._status, self._results = status, results
        self._recorded, self._models, self._cluster = recorded, models, cluster
        self._start = start
        self._timing = Timing()
        self._storing = 0.0
        self._trials = 0
        self._states: Counter[str] = Counter()
        self._problems: dict[str, list[Run]] = {}
        for run, ending in work.failed:
            self._problems.setdefault(ending.error, []).append(run)

    def run(self, servers: Mapping[str, Any]) -> Summary:
        """Run the session.

        Args:
            servers: what the models' servers can do, for the manifest.
        """
        pending, total = self._work.pending, len(self._planned)
        with_model = pending.only(run for run in pending if run.asks_model)
        without = pending.only(run for run in pending if not run.asks_model)
        log.info("%d runs, of which %d are left to do", total, len(pending))
        status, seconds = self._status, self._planned.expected_seconds
        status.total, status.done = total, total - len(pending)
        status.work = sum(map(seconds, pending))
        status.models = list(self._models.values())
        live_trials = sum(map(pending.expected_trials, with_model))
        status.seconds_per_live_trial = sum(map(seconds, with_model)) / max(live_trials, 1)
        for key in sorted({run.benchmark.rpartition("/")[0] for run in pending}):
            pending.scenarios[key].prepare()
        try:
            if len(pending):
                asyncio.run(self._execute(with_model, without))
            self._store(self._results.merge)
        finally:
            self._end(servers)
        return Summary(
            total=total,
            finished_before=total - len(pending),
            states=self._states,
            problems=self._problems,
            wall=time.perf_counter() - self._start,
            cores=self._options.jobs if self._cluster is None else self._cluster.workers,
            timing=self._timing,
            storing=self._storing,
            trials=self._trials,
            unnamed=self._work.unnamed,
            models=list(self._models.values()),
        )

    # ------------------------------------------------------------------ execution

    async def _execute(self, with_model: Plan, without: Plan) -> None:
        """Runs with a model in this process and, at the same time, all others in shards."""
        self._status.begin()
        self._status.live.note = self._status.note
        shards = make_shards(without)
        executor: Executor
        if self._cluster is not None:
            executor = self._cluster
        elif self._options.jobs == 1 and not len(with_model) and not self._has_users_methods(without):
            executor = InlineExecutor()
        else:
            executor = process_pool(min(self._options.jobs, len(shards)) or 1)
        lost: list[SurrobenchError] = []
        try:
            async with asyncio.TaskGroup() as group:
                of_shards = group.create_task(self._execute_shards(executor, shards, lost))
                if any(model.spec.serve == "embedded" for model in self._models.values()):
                    # It computes on the same cores: one after the other is faster than both at a time.
                    await of_shards
                group.create_task(self._execute_live(with_model))
        except BaseExceptionGroup as errors:
            stop_workers(executor)
            raise errors.exceptions[0] from None
        except BaseException:
            stop_workers(executor)
            raise
        finally:
            executor.shutdown(cancel_futures=True)
        if lost:
            raise lost[0]

    async def _execute_shards(
        self, executor: Executor, shards: Sequence[list[Run]], lost: list[SurrobenchError]
    ) -> None:
        """Execute shards and store what comes of them.

        Args:
            executor: where.
            shards: the runs.
            lost: takes the errors of workers that are gone. The caller raises the first at the end, since
                runs with a model do not need these workers.
        """
        here = isinstance(executor, InlineExecutor)

        def submit(shard: list[Run]) -> Future[Any]:
            return executor.submit(
                execute,
                self._work.pending.only(shard) if here else shard,
                {run.id: self._recorded[run.id] for run in shard if run.id in self._recorded},
                reevaluate=self._options.reevaluate,
                recording=self._options.replay,
                step_seconds=self._options.step_seconds,
            )

        async for shard, came in finished_shards(shards, submit, executor, lost):
            if isinstance(came, WorkerEnded):
                self._finished([self._lost(run, came) for run in shard])
            else:
                self._shard_done(*came)
        if lost and self._models:
            self._status.note(f"{lost[0].message} Runs with a model go on.")

    def _has_users_methods(self, runs: Plan) -> bool:
        """Whether a method is the user's: it may end the process that it is in, or never yield."""
        return any(self._planned.optimizers[run.optimizer].user_defined for run in runs)

    def _lost(self, run: Run, ended: WorkerEnded) -> Outcome:
        scenario = self._planned.benchmarks[run.benchmark].scenario
        return failed_without_trials(
            run, scenario, f"The optimizer ended the process that it was in. {ended}"
        )

    async def _execute_live(self, runs: Plan) -> None:
        try:
            timing = await drive_async(
                runs,
                lambda outcome: self._finished([outcome]),
                models=self._models,
                recorded=self._recorded,
                reevaluate=self._options.reevaluate,
                progress=self._status.live,
                guard=Guard(self._options.step_seconds),
            )
            self._timing.add(timing)
        finally:
            for model in self._models.values():
                if model.client is not None:
                    await model.client.aclose()

    def _shard_done(self, outcomes: list[Outcome], timing: Timing) -> None:
        self._timing.add(timing)
        self._status.trials += sum(outcome.n for outcome in outcomes)
        self._finished(outcomes)

    def _finished(self, outcomes: list[Outcome]) -> None:
        """Store outcomes, parked ones excepted, and count them."""
        self._store(lambda: self._results.write([o for o in outcomes if o.state != "parked"]))
        for outcome in outcomes:
            self._states[outcome.state] += 1
            self._trials += outcome.n
            self._status.done += outcome.state != "parked"
            self._status.live_stored += outcome.n if outcome.run.asks_model else 0
            self._status.work_done += self._planned.expected_seconds(outcome.run)
            if outcome.error:
                _log_problem(outcome)
                self._problems.setdefault(outcome.error, []).append(outcome.run)

    def _store(self, write: Callable[[], None]) -> None:
        start = time.perf_counter()
        write()
        self._storing += time.perf_counter() - start

    def _end(self, servers: Mapping[str, Any]) -> None:
        seconds = time.perf_counter() - self._start
        self._results.end_session(
            {
                "ended": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(seconds, 3),
                "jobs": self._options.jobs if self._cluster is None else self._cluster.workers,
                "cluster": self._cluster is not None,
                "replay": self._options.replay is not None,
                "runs": dict(self._states),
                "library_seconds": round(self._timing.library, 3),
                "servers": servers,
                **{key: self._results.manifest[key] for key in ("versions", "hardware", "commit")},
            }
        )


def _log_problem(outcome: Outcome) -> None:
    run = outcome.run
    name = f"{run.id}, {run.name} on {run.benchmark}, seed {run.seed}"
    trace = f"\n{outcome.traceback.rstrip()}" if outcome.traceback else ""
    log.info("%s run %s: %s%s", outcome.state, name, outcome.error, trace)
