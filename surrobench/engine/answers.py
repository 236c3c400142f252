"""Answer the requests of many runs for one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from surrobench.engine.guard import Guard
from surrobench.errors import SurrobenchError
from surrobench.foreign_code import Raised
from surrobench.protocol.requests import Kernel


class Computed(NamedTuple):
    """Holds what a kernel answered one run, or why it did not."""

    value: Any = None
    error: BaseException | None = None


def answers_of(kernel: Kernel, states: Sequence[Any], guard: Guard) -> list[Computed]:
    """Return the answers of a kernel, by one call through the guard.

    Where that call fails, the kernel is called for each run alone, and only those fail that fail alone.
    """
    try:
        return [Computed(value) for value in guard.call(_called, kernel, states)]
    except Raised as raised:
        if len(states) == 1:
            return [Computed(error=raised.error)]
    return [answer for state in states for answer in answers_of(kernel, [state], guard)]


def _called(kernel: Kernel, states: Sequence[Any]) -> list[Any]:
    values = list(kernel(states))
    if len(values) != len(states):
        raise SurrobenchError(f"The optimizer's kernel gave {len(values)} answers to {len(states)} states.")
    return values
