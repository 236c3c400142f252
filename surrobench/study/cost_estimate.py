"""What a suite would cost, without running it."""

from __future__ import annotations

import contextlib
import os.path
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from surrobench.engine.guard import Guard
from surrobench.engine.program import nothing, program, task_of
from surrobench.engine.validation import ContractViolation, validated
from surrobench.errors import SurrobenchError
from surrobench.foreign_code import Raised
from surrobench.optimizers.base import Stopwatch, computed
from surrobench.optimizers.llm.control import StandIn
from surrobench.plan.plan import Plan
from surrobench.plan.planning import plan, resolved
from surrobench.plan.run import Run
from surrobench.protocol.requests import Complete, Evaluate, Evaluated, Finished, Next, Submit
from surrobench.results.folder import Results
from surrobench.results.manifest import text_rules_of
from surrobench.seeding import stream
from surrobench.study.earlier_runs import earlier_runs
from surrobench.suite.schema import Suite


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
READ_PER_SECOND, WRITTEN_PER_SECOND = 200.0, 90.0
"""Tokens of the embedded model on two cores: of prompts beyond what is cached, and of replies. Fitted to
completions of ``default-seed`` (100 such tokens in, 94 out) and ``ferreira2026`` (900 in, 80 out)."""
BYTES_PER_TRIAL = 40
"""On disk, merged; measured on the tabular suites."""
MOST_CALLS = 100_000
"""At most so many completions of a run are counted: a method may ask without ever trying anything."""


def dry_run(suite: Suite, out: Path, jobs: int) -> Estimate:
    """Estimate runs, time, tokens and disk of what is not finished.

    Tokens are counted on a rehearsal: each method with a model is driven once per benchmark and prompt
    variant, with random configurations as replies.
    """
    planned = plan(suite, text_rules=text_rules_of(out))
    opened = Results(out) if (out / "manifest.json").exists() else None
    planned = earlier_runs(opened).names(planned)
    pending = opened.unfinished(planned) if opened else planned
    asked = Counter(dict.fromkeys(Asked._fields, 0))
    library = 0.0
    rehearsed: dict[tuple[str, str, str, bool], Asked] = {}
    for run in pending:
        if not run.asks_model:
            library += planned.expected_seconds(run) / jobs
            continue
        spec = suite.models.get(run.model or "")
        one_by_one = spec is not None and spec.serve == "embedded"
        kind = (run.benchmark, run.method, run.shows, one_by_one)
        if kind not in rehearsed:
            rehearsed[kind] = rehearse(run, planned, one_by_one=one_by_one)
        asked.update(rehearsed[kind]._asdict())
    trials = sum(map(planned.expected_trials, pending))
    tokens = {name: count / CHARACTERS_PER_TOKEN for name, count in asked.items()}
    return Estimate(
        runs=len(planned),
        pending=len(pending),
        trials=trials,
        # The embedded model computes on the same cores, and after all else.
        seconds=library + tokens["fresh"] / READ_PER_SECOND + tokens["written"] / WRITTEN_PER_SECOND,
        calls=asked["calls"],
        tokens_in=round(tokens["read"]),
        tokens_out=round(tokens["written"]),
        # The journal keeps what is new of a prompt, the reply, and what belongs to it.
        disk_bytes=trials * BYTES_PER_TRIAL
        + round(1.1 * (asked["fresh"] + asked["written"]) + 250 * asked["calls"]),
    )


class Asked(NamedTuple):
    """What a run asks of its model.

    Attributes:
        calls: completions.
        read: characters of prompts.
        fresh: those of them that do not stand at the same place of the run's prompt before, and so are in no
            cache.
        written: characters of replies.
    """

    calls: int
    read: int
    fresh: int
    written: int


def rehearse(
    run: Run,
    plan: Plan | None = None,
    *,
    one_by_one: bool = False,
    most: int | None = None,
    asks: Callable[[Complete], None] = lambda request: None,
) -> Asked:
    """Return what a run asks whose model proposes at random.

    A method that raises, or asks for what it may not, is counted as far as it came: the run itself will say
    what is wrong.

    Args:
        run: which.
        plan: the one that the run is of; without, the names of the run are resolved first.
        one_by_one: whether each of several completions is a request of its own, with its prompt.
        most: stop after so many trials.
        asks: called with each request.
    """
    plan, guard = plan or resolved([run]), Guard()
    with guard.watching():
        return _rehearse(run, plan, guard, one_by_one, most, asks)


def _rehearse(
    run: Run, plan: Plan, guard: Guard, one_by_one: bool, most: int | None, asks: Callable[[Complete], None]
) -> Asked:
    where, entry = plan.benchmarks[run.benchmark], plan.optimizers[run.optimizer]
    task = task_of(run, where, nothing(where), Stopwatch(), Counter())
    stand_in = StandIn(task, "random", stream("rehearsal", run.benchmark))
    steps = computed(program(run, where, entry, Stopwatch(), Counter()))
    calls = read = fresh = written = trials = 0
    before = ""
    submitted: list[Submit] = []
    answer: Any = None
    expected = plan.expected_trials(run)
    expected = expected if most is None else min(expected, most)
    while trials < expected and calls < MOST_CALLS:
        try:
            request = validated(guard.call(steps.send, answer))
        except (StopIteration, Raised, ContractViolation):
            break
        if isinstance(request, Complete | Sequence):
            batch = [request] if isinstance(request, Complete) else request
            answers = [stand_in.answer(part) for part in batch]
            calls += sum(part.n for part in batch)
            for part in batch:
                asks(part)
                prompt = "".join(message.content for message in part.messages)
                read += len(prompt) * (part.n if one_by_one else 1)
                fresh += len(prompt) - len(os.path.commonprefix([before, prompt]))  # noqa: RUF071 - of characters
                before = prompt
            written += sum(len(reply.text) for replies in answers for reply in replies)
            answer = answers[0] if isinstance(request, Complete) else answers
            continue
        if isinstance(request, Submit):
            answer, trials = trials, trials + 1
            submitted.append(request)
        elif isinstance(request, Next):
            if not submitted:
                break
            x = submitted.pop(0).configuration
            answer = Finished(trials - len(submitted) - 1, x, 0.0)
        else:
            X = request.configurations if isinstance(request, Evaluate) else where.scenario.default()[None, :]
            try:
                losses = where.evaluate(X)[where.objective.name] * where.objective.sign
            except (SurrobenchError, ValueError, TypeError):
                break
            trials += len(X)
            answer = Evaluated(X, losses)
        stand_in.tell(answer)
    with contextlib.suppress(Raised):
        guard.call(steps.close)
    return Asked(calls, read, fresh, written)
