"""Define what an optimizer may ask for, and the answers that it gets.

An optimizer is a generator that yields these requests (see ``surrobench/optimizers/base.py``); the engine
answers all pending requests of a kind at once. Objective values are losses here: lower is better for every
benchmark, maximised objectives having been negated once, at the engine's boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
"""A batch of configurations, shape (m, d), in ConfigSpace's vector encoding; NaN where inactive."""

Purpose = Literal["propose", "predict", "classify", "reflect"]
FinishReason = Literal["stop", "length", "refusal"]

Kernel = Callable[[Sequence[Any]], Sequence[Any]]
"""A function of the states of many runs, which returns an answer for each of them, in their order. What a run
gets depends on its own state alone, never on which others are there, nor on their order. A kernel is a
function of a module: requests are put together by kernel."""


class Message(NamedTuple):
    """Holds one message of a chat: its role (``system``, ``user`` or ``assistant``) and its text."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Evaluate a batch of configurations, in row order; one trial per row.

    The batch is cut at the budget, after which the engine closes the generator.
    """

    configurations: Matrix
    source: str = "optimizer"
    """Who proposed the configurations: a word such as ``random``, ``tpe`` or ``llm``."""
    repairs: tuple[str, ...] = ()
    """What was mended in a model's proposal before it could be evaluated, e.g. ``snapped:width``."""
    fidelity: Mapping[str, float] | None = None
    """The fidelity of all rows, name to value such as ``{"epoch": 10}``; what is not named is full. Legal
    values are in ``Task.fidelities``."""
    continued_from: float | None = None
    """The value of the first fidelity from which training goes on. This run must have evaluated every row
    there before, and only the difference is paid for. None: training starts anew. It needs
    ``Fidelity.resumable``."""
    reply: str = ""
    """The completion that the configurations were read from, if any: its ``Completion.where``."""
    unit: bool = False
    """Whether the rows are points of the unit cube, which ``SearchSpace.from_unit`` maps. The engine maps
    the rows of all runs at once, which is faster than one at a time."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Start one trial on a free worker, in simulated time, and go on without waiting for it.

    The answer comes at once: its ticket, an integer, 0 for the first of the run. At most ``Task.workers``
    trials may be under way; ``Next`` waits for one.
    """

    configuration: Matrix
    """Shape (d,)."""
    source: str = "optimizer"
    fidelity: Mapping[str, float] | None = None
    continued_from: float | None = None
    """As in ``Evaluate``."""
    reply: str = ""
    """As in ``Evaluate``."""


@dataclass(frozen=True, slots=True)
class Next:
    """Wait until the next submitted trial finishes, in simulated time; the answer is a ``Finished``.

    Of trials that finish at the same time, the one submitted first comes first. No value is known before its
    trial has finished. A trial that is unfinished when the budget ends is dropped.
    """


@dataclass(frozen=True, slots=True)
class Finished:
    """Answers ``Next`` with a submitted trial and its observed loss.

    Attributes:
        ticket: the answer that ``Submit`` got.
        configuration: shape (d,), as evaluated (snapped to the benchmark's grid).
        loss: lower is better; NaN for a failed evaluation.
    """

    ticket: int
    configuration: Matrix
    loss: float


@dataclass(frozen=True, slots=True)
class Waste:
    """Spend one trial on a proposal that cannot be evaluated (recorded with status ``invalid``)."""

    reason: str
    source: str = "llm"
    reply: str = ""
    """The completion that the proposal was read from: its ``Completion.where``."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Answers ``Evaluate`` and ``Waste``.

    Attributes:
        configurations: shape (m, d), as evaluated (snapped to the benchmark's grid).
        losses: shape (m,), the observed target objective, lower is better; NaN where nothing was
            observed (status ``invalid`` or ``failed``).
    """

    configurations: Matrix
    losses: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Complete:
    """Ask the language model for ``n`` completions of one chat.

    Yield a list of these to have them in flight together; the answers come in request order.
    """

    messages: tuple[Message, ...]
    purpose: Purpose
    n: int = 1
    schema: Mapping[str, Any] | None = None
    """The JSON schema that the reply must satisfy, for servers that constrain decoding."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """The method's published sampling parameters (temperature, top_p, max_tokens). Those of the suite win."""
    attempt: int = 0
    """0 for the first try of a call; a re-ask of the same call counts up."""
    configurations: int = 1
    """How many configurations the reply to a proposal lists; more than one are a JSON array. The number tells
    a slot control (``optimizers.llm.control``) what to answer; the prompt tells a model."""


@dataclass(frozen=True, slots=True)
class Compute:
    """Do work that is the optimizer's own, together with all other runs that ask for the same.

    The engine answers the requests of all runs for one kernel on one scenario by one call. The answer is the
    kernel's for this state. No budget is charged.
    """

    kernel: Kernel
    state: Any
    """What the kernel needs of this run. The kernel leaves it as it is."""

    def alone(self) -> Any:
        """Return the answer without other runs, which is the same."""
        [answer] = self.kernel([self.state])
        return answer


def one_by_one(function: Callable[[Any], Any]) -> Kernel:
    """Return a kernel for work that has no form for many runs: a loop over their states."""

    def kernel(states: Sequence[Any]) -> Sequence[Any]:
        return [function(state) for state in states]

    return kernel


@dataclass(frozen=True, slots=True)
class Served:
    """Holds what is known of how a request was served, once per request.

    None of it is seen by prompts, and none of it determines a run's trials.
    """

    at: str = ""
    """When the reply had arrived: UTC, ISO 8601 with milliseconds."""
    model: str = ""
    """The name of the model as the server states it."""
    fingerprint: str = ""
    """The ``system_fingerprint`` that the server states."""
    tokens_cached: int = 0
    """How many prompt tokens came from the server's cache, if the server tells."""
    in_flight: int = 0
    """How many requests of the study the server had when this one was sent, this one included. ``latency``
    was taken under this load."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Holds one reply of the language model."""

    text: str
    finish_reason: FinishReason
    tokens_in: int
    """The number of prompt tokens, counted once per request: 0 for the samples after the first."""
    tokens_out: int
    latency: float
    """Seconds from sending the request to the last byte of its reply, counted once per request."""
    thinking: str = ""
    """What a reasoning model wrote before its reply; not in ``text``, but counted in ``tokens_out``."""
    tokens_thinking: int = 0
    """How many of ``tokens_out`` were for thinking, if the server tells, counted once per request."""
    where: str = ""
    """Which completion of the run this is, as in the journal: ``call.attempt.sample``."""
    served: Served | None = None
    """How the request was served, with the first of its completions; None in older recordings."""


Request = Evaluate | Submit | Next | Waste | Compute | Complete | Sequence[Complete]
Answer = Evaluated | int | Finished | list[Completion] | list[list[Completion]] | Any
"""``Submit`` is answered by a ticket, ``Next`` by a ``Finished``, ``Complete`` by its ``n`` completions and a
list of ``Complete`` by a list of such lists. ``Compute`` is answered by what its kernel returns."""
