"""Records of trials: what a run leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from surrobench.plan.run import Run
from surrobench.protocol.requests import Matrix

TrialStatus = Literal["ok", "invalid", "failed"]
"""``ok``: observed; ``invalid``: a model's reply was no configuration; ``failed``: the benchmark gave NaN."""

RunState = Literal["ok", "exhausted", "failed", "parked"]
"""``exhausted``: the optimizer stopped before the budget (a small grid); ``parked``: not finished, its model
does not answer, to be resumed."""


class Spent(NamedTuple):
    """What the completions between two trials cost."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    latency: float = 0.0

    def plus(self, other: Spent) -> Spent:
        """The sum, field by field."""
        return Spent(
            self.calls + other.calls,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.latency + other.latency,
        )


NOTHING_SPENT = Spent()


class Origin(NamedTuple):
    """What the trials of one request have in common."""

    source: str
    status: Literal["ok", "invalid"] = "ok"
    repairs: tuple[str, ...] = ()
    error: str = ""
    reply: str = ""
    """The completion that proposed them, ``Completion.where``."""


@dataclass
class Progress:
    """Counters that a progress bar reads, and where a line is said that cannot wait."""

    runs: int = 0
    trials: int = 0
    note: Callable[[str], None] = lambda text: None
    """Takes a line worth saying at once."""


@dataclass(frozen=True)
class Outcome:
    """One run and its trials, as arrays, in the order they finished (those of one request in its order).

    Attributes:
        configurations: shape (n, d).
        values, score, cost, fidelity: see ``benchmarks.base.Columns``; shapes (n, objectives), (n,), (n,),
            (n, fidelities). The score is that at full fidelity; the cost is what was paid: of training that
            went on, the difference.
        share: shape (n,), full-fidelity equivalents of each trial.
        finished: shape (n,), simulated seconds from the start of the run to the end of the trial.
        overhead: shape (n,), seconds of thinking before a request, where the run counts them.
        proposal: shape (n,), numbers of the trials in the order they were begun.
        origins: one per request; ``lengths``, their numbers of trials, sum to n.
        spent: one per request.
        duplicate: shape (n,), whether the run had evaluated the same configuration, at the same fidelity,
            before.
        library_seconds: time inside an optimization library.
        thinking: seconds before each request that began trials, where the run counts them; for a replay.
        answers: how many of the model's replies came to what, see ``optimizers.base.Task``.
        served: the name and the fingerprint of each model that answered, as its server stated them.
        error: why the run failed or is parked.
        traceback: of what the optimizer raised, for the log; it is not stored with the results.
    """

    run: Run
    state: RunState
    error: str
    configurations: Matrix
    values: NDArray[np.float64]
    score: NDArray[np.float64]
    cost: NDArray[np.float64]
    fidelity: NDArray[np.float64] | None
    share: NDArray[np.float64]
    finished: NDArray[np.float64]
    overhead: NDArray[np.float64]
    proposal: NDArray[np.int64]
    origins: list[Origin]
    lengths: list[int]
    spent: list[Spent]
    duplicate: NDArray[np.bool_]
    library_seconds: float
    thinking: list[float] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    served: list[tuple[str, str]] = field(default_factory=list)
    traceback: str = ""

    @property
    def n(self) -> int:
        """Number of trials."""
        return len(self.cost)
