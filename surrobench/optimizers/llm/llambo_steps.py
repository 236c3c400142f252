"""The steps that both forms of LLAMBO share: the target, class labels, questions about candidates.

LLAMBO (Liu et al., ICLR 2024, arXiv 2402.03921) asks the model three things. It asks for configurations that
reach a target, how good a configuration will be, and whether it will be among the best. It shows examples, in
another order for each template.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from surrobench.errors import UsageError
from surrobench.llm.prompts import TEXT_RULES
from surrobench.llm.thinking import apart
from surrobench.optimizers.base import Task
from surrobench.protocol.requests import Complete, Completion, Message, Request
from surrobench.space.hyperparameter import Matrix

Vector = NDArray[np.float64]
Surrogate = Literal["discriminative", "generative"]
Example = tuple[str, str]
"""A configuration as one line of JSON, and its value or its class."""

SCHEMAS: Mapping[str, Mapping[str, Any]] = {"predict": {"type": "number"}, "classify": {"enum": [0, 1]}}

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?!\w)")
_CUT = re.compile(r"(?:[eE][-+]?\d*|(?<![\d.])[-+]?\d+)\Z")
"""A number at the very end that may have been cut where it matters: in its exponent, or before its point."""


def check(name: str, **counts: int) -> None:
    """Refuse counts that have no meaning.

    Raises:
        UsageError: a count is below 1.
    """
    for parameter, count in counts.items():
        if count < 1:
            raise UsageError(f"{name}: {parameter} = {count!r} counts nothing.", "It is at least 1.")


# ---------------------------------------------------------------------- the target


def limit(values: Vector, minimize: bool) -> float | None:
    """Return the value that a target must not reach, or None where there is no limit.

    The array ``values`` holds the values observed, shape (n,), as prompts say them. The published limits are
    1e-5 and 0.9999, for a metric in (0, 1). Here they hold where the observations look like such a metric.
    The lower limit holds if no observation is negative. The upper limit holds if none is above 1. It is 99.99
    if none is above 100 (per cent). Elsewhere there is no limit. An example is negative objectives, for which
    the published rule never ends.
    """
    if minimize:
        return 1e-5 if values.min() >= 0 else None
    scale = next((scale for scale in (1.0, 100.0) if values.max() <= scale), None)
    return None if scale is None else 0.9999 * scale


def aim(values: Vector, minimize: bool, alpha: float, ladder: Iterable[float]) -> float | None:
    """Return the target s', which is the best value, bettered by ``alpha`` times the range observed.

    Where the target reaches the limit, the steps of the ladder below alpha are tried in turn. The target is
    None if all of them reach the limit. A range of zero counts as a tenth of the largest value, as published.

    Args:
        values: shape (n,), observed, in the objective's natural direction.
        minimize: whether lower is better.
        alpha: the step. A negative one makes a target worse than the best.
        ladder: the steps, descending.
    """
    spread = float(np.ptp(values)) or 0.1 * abs(float(values.max()))
    best, better = (values.min(), -1) if minimize else (values.max(), 1)
    bound = limit(values, minimize)
    for step in (alpha, *(step for step in ladder if step < alpha)):
        target = float(best + better * step * spread)
        if bound is None or (bound - target) * better > 0:
            return target
    return None


# ---------------------------------------------------------------------- examples and candidates


def shuffled(trials: Iterable[int], ranks: Sequence[Vector], template: int) -> list[int]:
    """Return trials in the order of a template, which drew a rank for each once: ``ranks[trial][template]``.

    The order is as random as a new permutation for every prompt, but a new trial only steps in between the
    others. A server's prefix cache therefore serves all examples before it.
    """
    return sorted(trials, key=lambda trial: ranks[trial][template])


def labels(losses: Vector, top_share: float) -> NDArray[np.int64]:
    """Return 1 for losses below the percentile ``top_share``, else 0 (also for failures, NaN).

    The array has shape (n,).
    """
    observed = losses[np.isfinite(losses)]
    if not len(observed):
        return np.zeros(len(losses), dtype=np.int64)
    return (losses < np.percentile(observed, 100 * top_share)).astype(np.int64)


def rounded(x: Matrix, decimals: int) -> bytes:
    """Return a key that is equal for configurations that agree in so many decimals of their encoding.

    A configuration has shape (d,).
    """
    return (np.nan_to_num(x, nan=-1.0).round(decimals) + 0.0).tobytes()


def unseen(x: Matrix, seen: Collection[bytes], kept: Iterable[Matrix], decimals: int) -> bool:
    """Return whether a candidate is neither among the observed nor among those kept already."""
    key = rounded(x, decimals)
    return key not in seen and all(key != rounded(other, decimals) for other in kept)


# ---------------------------------------------------------------------- what the model says of candidates


def ask(
    task: Task,
    purpose: Literal["predict", "classify"],
    prompts: Sequence[Sequence[str]],
    n: int,
    sampling: Mapping[str, Any],
) -> Generator[Request, Any, Matrix]:
    """Return what the model says of each candidate, shape (candidates, templates * n).

    A value is NaN where the model says nothing.

    Args:
        task: counts the readings among its ``answers``.
        purpose: whether a number or a class is asked for.
        prompts: for each template, one for each candidate. They go out in this order, all at once.
        n: the number of completions of each prompt.
        sampling: the method's sampling parameters.
    """
    replies: list[list[Completion]] = yield [
        Complete((Message("user", prompt),), purpose, n=n, schema=SCHEMAS[purpose], sampling=sampling)
        for of_template in prompts
        for prompt in of_template
    ]
    read = [[_counted(task, purpose, reply) for reply in completions] for completions in replies]
    said = np.array(read, dtype=np.float64).reshape(len(prompts), -1, n)
    return np.concatenate(list(said), axis=1)


def _counted(task: Task, purpose: str, reply: Completion) -> float:
    if purpose == "classify" and reply.finish_reason == "length" and reply.text.strip() in ("0", "1"):
        reply = replace(reply, finish_reason="stop")  # a class is whole; what was cut off is white space
    value, verdict = read_number(reply, task.text_rules)
    if purpose == "classify" and verdict == "valid" and value not in (0.0, 1.0):
        value, verdict = np.nan, "out-of-range"
    task.answers[f"{purpose}:{verdict}"] += 1
    return value


def read_number(reply: Completion, rules: int = TEXT_RULES) -> tuple[float, str]:
    """Return the number that a reply says, and the verdict.

    The number is NaN if the reply says none or several. The first line with a number counts. What a model
    goes on to write after that line is its own continuation of the examples. More than one number in that
    line leaves open which is meant. The verdict is then ``unparsable``, as published. A number that was cut
    off in its exponent or before its point is another number. The verdict is then ``truncated``. What a model
    thinks aloud is not its answer, see ``llm.thinking``.
    """
    if reply.finish_reason == "refusal":
        return np.nan, "refused"
    text = reply.text.replace("\N{MINUS SIGN}", "-")
    if rules > 1:
        text = apart(text)[1]
    else:
        text = text.rpartition("</think>")[2]
        if "<think>" in text:  # the model has not come to its answer
            text = ""
    cut = reply.finish_reason == "length"
    for line in text.splitlines(keepends=True):
        if cut and _CUT.search(line):
            return np.nan, "truncated"
        found = _NUMBER.findall(line)
        if found:
            value = float(found[0])
            known = len(found) == 1 and np.isfinite(value)
            return (value, "valid") if known else (np.nan, "unparsable")
    return np.nan, "truncated" if cut else "unparsable"


def moments(said: Matrix) -> tuple[Vector, Vector]:
    """Return mean and standard deviation of what is said of each candidate, shapes (candidates,).

    A candidate of which nothing is said has the others' averages, as published. They are NaN if nothing is
    said of any.
    """
    known = np.isfinite(said)
    told = known.any(axis=1)
    mu, sigma = np.full(len(said), np.nan), np.full(len(said), np.nan)
    for i in np.flatnonzero(told):
        mu[i], sigma[i] = said[i, known[i]].mean(), said[i, known[i]].std()
    if told.any():
        mu[~told], sigma[~told] = mu[told].mean(), sigma[told].mean()
    return mu, sigma


def expected_improvement(mu: Vector, sigma: Vector, best: float) -> Vector:
    """Return the EI of losses, shape (candidates,).

    It is d Phi(d / sigma) + sigma phi(d / sigma) with d = best - mu.
    """
    d = best - mu
    z = d / sigma
    return np.asarray(d * ndtr(z) + sigma * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))


def winner(scores: Vector) -> int:
    """Return the candidate of the highest score, the first of equals.

    The first candidate wins if nothing is known of any.
    """
    return int(np.argmax(np.nan_to_num(scores, nan=-np.inf)))
