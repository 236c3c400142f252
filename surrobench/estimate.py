"""What a suite would cost, without running it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surrobench.active import nothing, program, task_of
from surrobench.benchmarks import benchmark
from surrobench.optimizers.base import Stopwatch
from surrobench.optimizers.control import StandIn
from surrobench.requests import Complete, Evaluate, Evaluated, Finished, Next, Submit
from surrobench.results import Results
from surrobench.runs import Run, plan
from surrobench.seeding import stream
from surrobench.suite import Suite
from surrobench.workers import estimate


@dataclass(frozen=True)
class Estimate:
    """What a suite would cost."""

    runs: int
    pending: int
    trials: int
    seconds: float
    calls: int
    tokens_in: int
    tokens_out: int
    disk_bytes: int


CHARACTERS_PER_TOKEN = 2.6
"""Of prompts full of numbers; measured with SmolLM2's tokenizer."""
SECONDS_PER_COMPLETION = 1.5
"""Of the embedded model on two cores, one after the other."""
BYTES_PER_TRIAL = 40
"""On disk, merged; measured on the tabular suites."""


def dry_run(suite: Suite, out: Path, jobs: int) -> Estimate:
    """Estimate runs, time, tokens and disk of what is not finished.

    Tokens are counted on a rehearsal: each method with a model is driven once per benchmark and prompt
    variant, with random configurations as replies.
    """
    runs = plan(suite)
    pending = Results(out).unfinished(runs) if (out / "manifest.json").exists() else runs
    calls = characters_in = characters_out = 0
    seconds = {"model": 0.0, "library": 0.0}
    rehearsed: dict[tuple[str, str, str, bool], tuple[int, int, int]] = {}
    for run in pending:
        if not run.asks_model:
            seconds["library"] += estimate(run) / jobs
            continue
        spec = suite.models.get(run.model or "")
        one_by_one = spec is not None and spec.serve == "embedded"
        kind = (run.benchmark, run.method, run.shows, one_by_one)
        if kind not in rehearsed:
            rehearsed[kind] = rehearse(run, one_by_one=one_by_one)
        count, asked, answered = rehearsed[kind]
        calls, characters_in, characters_out = calls + count, characters_in + asked, characters_out + answered
        seconds["model"] += count * SECONDS_PER_COMPLETION
    trials = sum(run.expected_trials for run in pending)
    return Estimate(
        runs=len(runs),
        pending=len(pending),
        trials=trials,
        seconds=max(seconds.values()),
        calls=calls,
        tokens_in=round(characters_in / CHARACTERS_PER_TOKEN),
        tokens_out=round(characters_out / CHARACTERS_PER_TOKEN),
        disk_bytes=trials * BYTES_PER_TRIAL + round(1.5 * (characters_out + 300 * calls)),
    )


def rehearse(run: Run, *, one_by_one: bool = False) -> tuple[int, int, int]:
    """Completions, prompt characters and reply characters of a run whose model proposes at random.

    A method that raises is counted as far as it came: the run itself will say what is wrong.

    Args:
        run: which.
        one_by_one: whether each of several completions is a request of its own, with its prompt.
    """
    where = benchmark(run.benchmark)
    task = task_of(run, where, nothing(where), Stopwatch(), Counter())
    stand_in = StandIn(task, "random", stream("rehearsal", run.benchmark))
    steps = program(run, where, Stopwatch(), Counter())
    calls = asked = answered = trials = 0
    submitted: list[Submit] = []
    answer: Any = None
    while trials < run.expected_trials:
        try:
            request = steps.send(answer)
        except Exception:  # StopIteration, or an error of the method
            break
        if isinstance(request, Complete | list | tuple):
            batch = [request] if isinstance(request, Complete) else request
            answers = [stand_in.answer(part) for part in batch]
            calls += sum(part.n for part in batch)
            for part in batch:
                prompt = sum(len(message.content) for message in part.messages)
                asked += prompt * part.n if one_by_one else prompt
            answered += sum(len(reply.text) for replies in answers for reply in replies)
            answer = answers[0] if isinstance(request, Complete) else answers
            continue
        if isinstance(request, Submit):
            answer, trials = trials, trials + 1
            submitted.append(request)
        elif isinstance(request, Next):
            x = submitted.pop(0).configuration
            answer = Finished(trials - len(submitted) - 1, x, 0.0)
        else:
            X = request.configurations if isinstance(request, Evaluate) else where.scenario.default()[None, :]
            trials += len(X)
            answer = Evaluated(X, where.evaluate(X)[where.objective.name] * where.objective.sign)
        stand_in.hear(answer)
    steps.close()
    return calls, asked, answered
