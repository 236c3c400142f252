"""How much of a model server's throughput does a suite get? ``make bench-llm``.

A suite's completions per second beside those of a bare client that keeps the same server full with the same
prompts, and those of many requests in flight beside one at a time. The server is started anew for each, both
have the same number of requests in flight, at least twice as many runs as that take part, and the end, when
fewer runs than that are left, is not counted. Exit status 1 if a limit is missed.

    python -m tests.bench.llm                          the embedded model
    python -m tests.bench.llm --vllm FOLDER_OR_NAME    vLLM, of the Python that SURROBENCH_VLLM_PYTHON names
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import httpx
from rich.console import Console
from rich.table import Table

from surrobench.llm.chat import chat_body
from surrobench.llm.journalled_model import JournalledModel
from surrobench.llm.models import ModelSpec
from surrobench.llm.servers.llama_cpp import embedded_server
from surrobench.llm.servers.process import Server
from surrobench.llm.servers.vllm import vllm_server
from surrobench.seeding import key
from surrobench.study.options import Options
from surrobench.study.session import run_study
from surrobench.suite.schema import Method, Suite

SHARE_OF_BARE = 0.9
GAIN_OF_BATCHING = 2.0
REPLY = 96
"""Tokens of a reply at most: a configuration has about 50."""


@dataclass(frozen=True)
class Rate:
    """What was answered per second while the server was full.

    Attributes:
        completions, tokens: per second; tokens are those of the replies.
        seconds, count: how long that was, and how many completions it has.
    """

    completions: float
    tokens: float
    seconds: float
    count: int


@dataclass
class Log:
    """When each completion came, and what was sent for it."""

    start: float = math.inf
    ends: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    """Run -> (time, tokens of the reply), in order."""
    bodies: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def rate(self, in_flight: int) -> Rate:
        """Until the number of unfinished runs falls below the number of requests in flight."""
        last = sorted(ends[-1][0] for ends in self.ends.values())
        until = last[len(last) - in_flight]
        counted = [tokens for ends in self.ends.values() for when, tokens in ends if when <= until]
        seconds = until - self.start
        return Rate(len(counted) / seconds, sum(counted) / seconds, seconds, len(counted))


# ---------------------------------------------------------------------- the suite


def make_suite(spec: ModelSpec, runs: int, trials: int) -> Suite:
    """So many runs of the agent, on eight tables; all ask for short replies."""
    return Suite(
        name="bench-llm",
        benchmarks=["hpobench/mlp/*"],
        trials=trials + 1,  # the first is the default configuration
        seeds=math.ceil(runs / 8),
        control="karpathy-agent",
        optimizers={"karpathy-agent": Method(models=["m"], parameters={"max_tokens": REPLY})},
        models={"m": spec},
    )


def run_suite(spec: ModelSpec, runs: int, trials: int) -> Log:
    """A study, whose server it starts itself, in a folder of its own."""
    log = Log()
    complete = JournalledModel.complete

    async def noting(self: JournalledModel, where: Any, request: Any, slot: int | None) -> Any:
        # Without a seed where the study found that its server takes none: the service has that spec.
        log.start = min(log.start, time.perf_counter())
        seed = key("model", where.run, where.call, where.attempt, 0) >> 33
        log.bodies[where.run].append(chat_body(self.spec, request, seed))
        completions = await complete(self, where, request, slot)
        log.ends[where.run].append((time.perf_counter(), sum(done.tokens_out for done in completions)))
        return completions

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(JournalledModel, "complete", noting):
        results = Path(folder) / "results"
        summary = run_study(make_suite(spec, runs, trials), "", Options(results))
        if not summary.complete:
            said = "".join(
                path.read_text(errors="replace")[-20_000:] for path in results.glob("server-*.log")
            )
            sys.exit(f"{said}\nThe suite could not be finished: {list(summary.problems)}")
    return log


# ---------------------------------------------------------------------- the bare client


def run_bare(url: str, bodies: Mapping[str, Sequence[dict[str, Any]]], in_flight: int, *, slots: bool) -> Log:
    """Send recorded requests, so many at a time: each worker those of one run after those of another.

    Args:
        url: of the server.
        bodies: run -> requests.
        in_flight: workers.
        slots: whether each worker has one of llama.cpp's, whose cache then holds its run's prompt.
    """
    log = Log()
    runs = iter(bodies.items())

    async def work(http: httpx.AsyncClient, slot: int) -> None:
        pinned = {"id_slot": slot, "cache_prompt": True} if slots else {}
        for run, requests in runs:
            for body in requests:
                reply = await http.post(f"{url}/chat/completions", json=body | pinned)
                tokens = reply.json()["usage"]["completion_tokens"]
                log.ends[run].append((time.perf_counter(), tokens))

    async def go() -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=in_flight)
        async with httpx.AsyncClient(timeout=600, limits=limits, trust_env=False) as http:
            log.start = time.perf_counter()
            await asyncio.gather(*(work(http, slot) for slot in range(in_flight)))

    asyncio.run(go())
    return log


# ---------------------------------------------------------------------- side by side


@dataclass(frozen=True)
class Measured:
    """One repeat: the suite, the bare client and, where it was measured, one request at a time."""

    suite: Rate
    bare: Rate
    alone: Rate | None = None

    @property
    def share(self) -> float:
        """Of what the bare client got."""
        return self.suite.tokens / self.bare.tokens

    @property
    def gain(self) -> float:
        """Over one request at a time; NaN where that was not measured."""
        return self.suite.completions / self.alone.completions if self.alone else math.nan


def at_a_time(spec: ModelSpec, many: int) -> ModelSpec:
    """The model with so many requests in flight."""
    return spec.model_copy(update={"slots": many, "concurrency": many})


def server(spec: ModelSpec) -> AbstractContextManager[Server]:
    """As the suite starts it."""
    start = embedded_server if spec.serve == "embedded" else vllm_server
    return start(spec, Path(tempfile.gettempdir()) / "surrobench-bench-llm.log")


def measure(spec: ModelSpec, in_flight: int, runs: int, trials: int, *, alone: int = 0) -> Measured:
    """One repeat.

    Args:
        spec: the model, with ``serve``.
        in_flight: requests at a time.
        runs: at least twice as many.
        trials: completions of each run.
        alone: runs that are also made one request at a time; none if 0.
    """
    assert runs >= 2 * in_flight, "fewer runs would not keep the server full"
    spec = at_a_time(spec, in_flight)
    suite = run_suite(spec, runs, trials)
    with server(spec) as running:
        bare = run_bare(running.url, suite.bodies, in_flight, slots=spec.serve == "embedded")
    one = run_suite(at_a_time(spec, 1), alone, trials).rate(1) if alone else None
    return Measured(suite.rate(in_flight), bare.rate(in_flight), one)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--vllm", metavar="MODEL", help="a folder or hub name for vLLM; else the embedded model"
    )
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--extra", action="append", default=[], help="a further argument for vLLM")
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--in-flight", type=int, help="requests at a time (2, or 32 for vLLM)")
    parser.add_argument("--runs", type=int, help="(four times as many, or twice as many for vLLM)")
    parser.add_argument("--trials", type=int, default=4, help="completions of each run")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    if options.vllm:
        spec = ModelSpec(
            serve="vllm",
            model=Path(options.vllm).name,
            weights=options.vllm,
            dtype=options.dtype,
            max_model_len=options.max_model_len,
            extra=options.extra,
        )
    else:
        spec = ModelSpec(serve="embedded", context=2048)
    in_flight = options.in_flight or (32 if options.vllm else 2)
    runs = options.runs or in_flight * (2 if options.vllm else 4)
    found = []
    with Console(stderr=True).status("Measuring ...") as status:
        for repeat in range(options.repeats):
            status.update(f"Measuring {spec.model}: {repeat + 1} of {options.repeats} ...")
            found.append(measure(spec, in_flight, runs, options.trials, alone=8))
    return report(spec, found, in_flight, limit=bool(options.vllm))


def report(spec: ModelSpec, found: Sequence[Measured], in_flight: int, *, limit: bool) -> int:
    """Print the table; 1 if a limit is missed.

    Args:
        spec: the model.
        found: the repeats; ratios are those of neighbours, of which the median is held against the limit.
        in_flight: requests at a time.
        limit: whether batching has to gain something (llama.cpp on few cores has nothing to gain).
    """
    table = Table("", title=f"{spec.model}, {in_flight} in flight", title_justify="left")
    for column in ("completions/s", "tokens/s", "of the bare client's", "over one at a time"):
        table.add_column(column, justify="right")
    for number, one in enumerate(found, 1):
        for name, rate in (("suite", one.suite), ("bare client", one.bare), ("one at a time", one.alone)):
            if rate is not None:
                ratios = (f"{one.share:.1%}", f"{one.gain:.2f} x") if name == "suite" else ("", "")
                table.add_row(f"{number}: {name}", f"{rate.completions:.2f}", f"{rate.tokens:.0f}", *ratios)
    share, gain = median(one.share for one in found), median(one.gain for one in found)
    enough, gains = share >= SHARE_OF_BARE, gain >= GAIN_OF_BATCHING
    console = Console() if sys.stdout.isatty() else Console(width=120)
    console.print(table)
    console.print(f"share of the bare client's: {share:.1%} (limit {SHARE_OF_BARE:.0%}): {_mark(enough)}")
    console.print(
        f"gain over one at a time: {gain:.2f} x "
        + (f"(limit {GAIN_OF_BATCHING:g} x): {_mark(gains)}" if limit else "(no limit for this server)")
    )
    return 0 if enough and (gains or not limit) else 1


def _mark(ok: bool) -> str:
    return "[green]pass[/]" if ok else "[red]MISSED[/]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
