"""What an optimizer may ask for, and the answers it gets.

An optimizer is a generator that yields these requests (see ``surrobench/optimizers/base.py``); the engine
answers all pending requests of a kind at once. Objective values are losses here: lower is better for every
benchmark, maximised objectives having been negated once, at the engine's boundary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
"""A batch of configurations, shape (m, d), in ConfigSpace's vector encoding; NaN = inactive."""

Purpose = Literal["propose", "predict", "classify", "reflect"]
FinishReason = Literal["stop", "length", "refusal"]


class Message(NamedTuple):
    """One message of a chat: who speaks (``system``, ``user`` or ``assistant``) and what."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Evaluate a batch of configurations, in row order; one trial per row.

    The batch is cut at the budget, after which the engine closes the generator.
    """

    configurations: Matrix
    source: str = "optimizer"
    """Who proposed them: a word such as ``random``, ``tpe`` or ``llm``."""
    repairs: tuple[str, ...] = ()
    """What was mended in a model's proposal before it could be evaluated, e.g. ``snapped:width``."""
    fidelity: Mapping[str, float] | None = None
    """At which fidelity, name to value such as ``{"epoch": 10}``; what is not named is full. The same for all
    rows. Legal values are in ``Task.fidelities``."""
    continued_from: float | None = None
    """Value of the first fidelity at which training goes on, every row having been evaluated there before by
    this run; only the difference is paid for. None: training starts anew. Needs ``Fidelity.resumable``."""
    reply: str = ""
    """The completion they were read from, if they were: its ``Completion.where``."""
    unit: bool = False
    """Whether the rows are points of the unit cube, which ``SearchSpace.from_unit`` maps: for all runs at
    once, so that a method that asks for one configuration at a time does not map it on its own."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Start one trial on a free worker, in simulated time, and go on without waiting for it.

    Answered at once by its ticket (an integer, 0 for the first of the run). At most ``Task.workers`` trials
    may be under way; ``Next`` waits for one.
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
    """Wait until the next submitted trial finishes, in simulated time: answered by a ``Finished``.

    Of trials that finish at the same time, the one submitted first comes first. A value is not to be had
    before its trial has finished; what is unfinished when the budget ends is dropped.
    """


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer to ``Next``: a submitted trial with its observed loss.

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
    """The completion it was read from: its ``Completion.where``."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The answer to ``Evaluate`` and ``Waste``.

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
    """JSON schema the reply must satisfy, for servers that constrain decoding."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """The method's published sampling parameters (temperature, top_p, max_tokens); the suite's win."""
    attempt: int = 0
    """0 for the first try of a call; a re-ask of the same call counts up."""
    configurations: int = 1
    """Of a proposal: how many configurations a reply is to list (more than one: as a JSON array). It tells a
    slot control (``optimizers.llm.control``) what to answer; the model is told by the prompt."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One reply of the language model."""

    text: str
    finish_reason: FinishReason
    tokens_in: int
    """Prompt tokens; counted once per request (0 for the samples after the first)."""
    tokens_out: int
    latency: float
    """Seconds from sending the request to its last byte; per request, as ``tokens_in``."""
    thinking: str = ""
    """What a reasoning model wrote before its reply, which is no part of it; ``tokens_out`` counts it."""
    tokens_thinking: int = 0
    """How many of ``tokens_out`` were for thinking, where the server tells; per request, as ``tokens_in``."""
    where: str = ""
    """Which completion of the run it is, as in its journal: ``call.attempt.sample``."""


Request = Evaluate | Submit | Next | Waste | Complete | Sequence[Complete]
Answer = Evaluated | int | Finished | list[Completion] | list[list[Completion]]
"""``Submit`` is answered by a ticket, ``Next`` by a ``Finished``, ``Complete`` by its ``n`` completions and a
list of ``Complete`` by a list of such lists."""
