"""Run a suite: plan, skip what is finished, execute the rest, store it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from surrobench.benchmarks.registry import expand, scenario
from surrobench.engine.loop import Timing, drive_async
from surrobench.engine.outcome import Outcome
from surrobench.errors import ModelError, ModelUnavailable, ResultsError, SurrobenchError, UsageError
from surrobench.execution.process_pool import InlineExecutor, process_pool, stop_workers
from surrobench.execution.shards import estimate, execute, make_shards
from surrobench.llm.capabilities import Capabilities, as_record, capabilities, lacking
from surrobench.llm.journal import Journal
from surrobench.llm.journalled_model import JournalledModel
from surrobench.llm.models import ModelSpec
from surrobench.plan.planning import plan
from surrobench.plan.run import Run
from surrobench.protocol.requests import Complete, Completion
from surrobench.results.files import locked
from surrobench.results.folder import Results
from surrobench.results.manifest import library_versions, make_manifest
from surrobench.study import journal_files
from surrobench.study.fallbacks import Fallbacks, stored_fallbacks, with_fallbacks
from surrobench.suite.schema import Suite
from surrobench.suite.selection import Selection

if TYPE_CHECKING:
    from surrobench.execution.dask import ClusterExecutor

from surrobench.study.options import Options
from surrobench.study.progress import Status
from surrobench.study.summary import Summary


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
    note = status.note if status else Status.note
    settled_part, fallbacks, able, begun = _settle(options.part.of(suite), options, note)
    suite = suite.model_copy(update={"models": settled_part.models})
    runs = plan(settled_part)
    if options.replay and options.out.resolve() in {
        options.replay.resolve(),
        options.replay.resolve().parent,
    }:
        raise UsageError(f"{options.out} is the recording itself.", "Name another folder with --out.")
    with locked(options.out), contextlib.ExitStack() as stack:
        manifest = {**make_manifest(suite, text, options.part), "fallbacks": fallbacks}
        listed = [*runs, *_of_other_parts(suite, options, runs)]
        results = Results.create(options.out, manifest, listed)
        return _Session(suite, runs, listed, options, status or Status(), results, able, begun, stack).run()


def _of_other_parts(suite: Suite, options: Options, runs: Sequence[Run]) -> list[Run]:
    """The runs of the suite that the folder was to hold before, and that are not in the part run now."""
    if options.part == Selection() or not (options.out / "manifest.json").exists():
        return []
    before = Results(options.out).plan()
    others = before.filter(~pl.col("run").is_in([run.id for run in runs]))
    known = set(expand(suite.present()[0]))
    benchmarks = [name for name in others["benchmark"].unique(maintain_order=True) if name in known]
    labels = [label for label in others["optimizer"].unique(maintain_order=True) if label in suite.optimizers]
    if not benchmarks or not labels:
        return []
    ids = set(others["run"])
    return [run for run in plan(Selection(tuple(benchmarks), tuple(labels)).of(suite)) if run.id in ids]


def _settle(
    suite: Suite, options: Options, note: Callable[[str], None]
) -> tuple[Suite, Fallbacks, dict[str, Capabilities], set[str]]:
    """The suite as it is really asked for; what of it is a fallback; what the servers can do; and the models
    that would fall back now, but of which runs were begun.

    Only servers that will be asked something are probed.
    """
    before = stored_fallbacks(suite, options.replay or options.out)
    as_begun, kept = with_fallbacks(suite, {}, before, lambda line: None)
    labels = {label for method in as_begun.optimizers.values() for label in method.models}
    labels &= suite.models.keys()  # slot controls have no server
    if options.replay or not labels:
        return as_begun, kept, {}, set()
    if (options.out / "manifest.json").exists():
        unfinished = Results(options.out).unfinished(plan(as_begun))
        labels = {run.model for run in unfinished if run.model and run.asks_model}
    able = {}
    for label in sorted(labels):
        with contextlib.suppress(ModelError):  # it is said where the model is opened, and its runs are parked
            able[label] = capabilities(suite.models[label])
            if able[label].lacks:
                note(f"{label}: {able[label]}")
    _, fallbacks = with_fallbacks(suite, able, before, lambda line: None)
    begun = {label for label in fallbacks if fallbacks[label] != kept.get(label)}
    if begun:  # rare, and reading a journal takes its time
        begun &= _begun(as_begun, options.out)
    return *with_fallbacks(suite, able, before, note, begun), able, begun


def _begun(suite: Suite, out: Path) -> set[str]:
    """The models of which a results folder holds runs, finished or not."""
    if not (out / "manifest.json").exists():
        return set()
    results = Results(out)
    held = results.records().keys() | Journal(results.journal_path).runs()
    return {run.model for run in plan(suite) if run.id in held and run.model and run.asks_model}


class _Session:
    """One call of ``run_study``, once the results folder is open."""

    def __init__(
        self,
        suite: Suite,
        runs: Sequence[Run],
        listed: Sequence[Run],
        options: Options,
        status: Status,
        results: Results,
        able: dict[str, Capabilities],
        begun: set[str],
        stack: contextlib.ExitStack,
    ) -> None:
        self._suite, self._options, self._status, self._results = suite, options, status, results
        self._able, self._begun = able, begun
        self._timing = Timing()
        self._storing = 0.0
        self._trials = 0
        self._states: Counter[str] = Counter()
        self._problems: dict[str, list[Run]] = {}
        self._start = time.perf_counter()
        self._total = len(runs)
        if options.retry_failed:
            failed = [run for run, record in results.records().items() if record.state == "failed"]
            results.forget(failed)
        records = results.records()
        self._pending = results.unfinished(runs)
        # What does not reach far enough is replaced, whatever it has more of.
        results.forget(run.id for run in self._pending if run.id in records)
        self._listed = listed
        self._unnamed = len(records.keys() - {run.id for run in listed})
        for run in runs:
            if run.id in records and records[run.id].state == "failed" and run not in self._pending:
                self._problems.setdefault(records[run.id].error, []).append(run)
        self._recorded = journal_files.load_recorded(options.replay)
        self._services = self._open_models(stack)
        self._cores = options.jobs
        self._cluster = self._open_cluster(stack)

    def run(self) -> Summary:
        with_model = [run for run in self._pending if run.asks_model]
        without = [run for run in self._pending if not run.asks_model]
        status = self._status
        status.total, status.done = self._total, self._total - len(self._pending)
        status.work = sum(map(estimate, self._pending))
        status.models = list(self._services.values())
        live_trials = sum(run.expected_trials for run in with_model)
        status.seconds_per_live_trial = sum(map(estimate, with_model)) / max(live_trials, 1)
        for key in sorted({run.benchmark.rpartition("/")[0] for run in self._pending}):
            scenario(key).prepare()
        try:
            if self._pending:
                asyncio.run(self._execute(with_model, without))
            self._store(self._results.merge)
        finally:
            for service in self._services.values():
                service.journal.close()
            self._end()
        return Summary(
            total=self._total,
            finished_before=self._total - len(self._pending),
            states=self._states,
            problems=self._problems,
            wall=time.perf_counter() - self._start,
            cores=self._cores if self._cluster is None else self._cluster.workers,
            timing=self._timing,
            storing=self._storing,
            trials=self._trials,
            unnamed=self._unnamed,
            models=list(self._services.values()),
        )

    # ------------------------------------------------------------------ execution

    async def _execute(self, with_model: Sequence[Run], without: Sequence[Run]) -> None:
        """Runs with a model in this process and, at the same time, all others in shards."""
        self._status.begin()
        shards = make_shards(without)
        executor: Executor
        if self._cluster is not None:
            executor = self._cluster
        elif self._options.jobs == 1 and not with_model:
            executor = InlineExecutor()
        else:
            executor = process_pool(min(self._options.jobs, len(shards)) or 1)
        try:
            async with asyncio.TaskGroup() as group:
                of_shards = group.create_task(self._execute_shards(executor, shards))
                if any(service.spec.serve == "embedded" for service in self._services.values()):
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

    async def _execute_shards(self, executor: Executor, shards: Sequence[list[Run]]) -> None:
        waiting: set[asyncio.Future[Any]] = set()
        for shard in shards:
            recorded = {run.id: self._recorded[run.id] for run in shard if run.id in self._recorded}
            future = executor.submit(execute, shard, recorded, reevaluate=self._options.reevaluate)
            if future.done():  # inline: store it before the next is executed
                self._shard_done(*future.result())
            else:
                waiting.add(wrapped := asyncio.wrap_future(future))
                # Where the first error ends the study, nobody asks for those that follow from it.
                wrapped.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.sleep(0)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for finished in done:
                try:
                    self._shard_done(*finished.result())
                except BrokenExecutor as error:
                    raise ResultsError(
                        str(error),
                        "Repeat the command, with fewer --jobs if memory is short: it goes on where it was.",
                    ) from None

    async def _execute_live(self, runs: Sequence[Run]) -> None:
        try:
            timing = await drive_async(
                runs,
                lambda outcome: self._finished([outcome]),
                models=self._services,
                recorded=self._recorded,
                reevaluate=self._options.reevaluate,
                progress=self._status.live,
            )
            self._timing.add(timing)
        finally:
            for service in self._services.values():
                if service.client is not None:
                    await service.client.aclose()

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
            self._status.work_done += estimate(outcome.run)
            if outcome.error:
                self._problems.setdefault(outcome.error, []).append(outcome.run)

    def _store(self, write: Callable[[], None]) -> None:
        start = time.perf_counter()
        write()
        self._storing += time.perf_counter() - start

    def _end(self) -> None:
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
                "servers": as_record(self._able),
                **{key: self._results.manifest[key] for key in ("versions", "hardware", "commit")},
            }
        )

    def _open_cluster(self, stack: contextlib.ExitStack) -> ClusterExecutor | None:
        """Dask's workers, where they are asked for and there is something for them to do."""
        if self._options.cluster is None or all(run.asks_model for run in self._pending):
            return None
        from surrobench.execution.dask import connect

        return stack.enter_context(connect(self._options.cluster, self._status.note))

    # ------------------------------------------------------------------ models

    def _open_models(self, stack: contextlib.ExitStack) -> dict[str, JournalledModel]:
        """A service for each model that a pending run needs."""
        labels = sorted({run.model for run in self._pending if run.model and run.asks_model})
        if not labels:
            return {}
        journal = self._open_journal()
        if self._options.replay:
            return {label: JournalledModel(self._suite.models[label], journal) for label in labels}
        return {label: self._open_model(label, journal, stack) for label in labels}

    def _open_model(self, label: str, journal: Journal, stack: contextlib.ExitStack) -> JournalledModel:
        from surrobench.llm.client import Client

        spec = self._suite.models[label]
        able = self._able.get(label, Capabilities())
        service = JournalledModel(spec, journal, slots=spec.slots if spec.serve == "embedded" else None)
        try:
            if (problem := lacking(spec, able, begun=label in self._begun)) is not None:
                raise problem
            url = spec.url or self._start_server(label, spec, stack)
            service.client = Client(spec, url, samples=able.samples is not False)
        except ModelError as error:
            # Its runs are parked with this reason; all others go on.
            self._status.note(str(error))
            service.dead = error if isinstance(error, ModelUnavailable) else _unavailable(error)
            service.client = _Nobody()
        return service

    def _start_server(self, label: str, spec: ModelSpec, stack: contextlib.ExitStack) -> str:
        """Start a model's own server, which ends with the session; its URL."""
        from surrobench.llm.servers.llama_cpp import embedded_server
        from surrobench.llm.servers.providers import provided_server
        from surrobench.llm.servers.vllm import vllm_server

        log = self._results.folder / f"server-{label}.log"
        if spec.serve == "embedded":
            self._status.note(f"Starting the embedded model {spec.model} ...")
            return stack.enter_context(embedded_server(spec, log)).url
        if spec.serve != "vllm":
            self._status.note(f"Starting {spec.model} with {spec.serve} ...")
            return stack.enter_context(provided_server(spec, log))
        self._status.note(f"Starting vLLM with {spec.model}; its log: {log} ...")
        return stack.enter_context(vllm_server(spec, log)).url

    def _open_journal(self) -> Journal:
        path, options = self._results.journal_path, self._options
        if options.replay:
            return journal_files.open_replay(options.replay, path)
        # Those of other parts, too: a journal has one set of versions.
        pending = {run.id for run in self._results.unfinished(self._listed)}
        return journal_files.open_journal(
            path, pending, library_versions(), discard_unfinished=options.discard_unfinished
        )


class _Nobody:
    """Stands for a server that could not be started; its service is marked dead and never asks it."""

    in_flight = completions = tokens_in = tokens_out = 0

    async def complete(
        self, request: Complete, seed: int | None, slot: int | None = None
    ) -> list[Completion]:
        raise ModelUnavailable("There is no server.")

    async def aclose(self) -> None:
        pass


def _unavailable(error: SurrobenchError) -> ModelUnavailable:
    return ModelUnavailable(error.message, error.remedy)
