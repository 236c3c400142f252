"""Answer the requests of many runs for one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from surrobench.engine.batch import ContractViolation
from surrobench.protocol.requests import Kernel


class Computed(NamedTuple):
    """Holds what a kernel answered one run, or why it did not."""

    value: Any = None
    error: Exception | None = None


def answers_of(kernel: Kernel, states: Sequence[Any]) -> list[Computed]:
    """Return the answers of a kernel, by one call.

    Where that call fails, the kernel is called for each run alone, and only those fail that fail alone.
    """
    try:
        return [Computed(value) for value in _called(kernel, states)]
    except Exception as error:
        if len(states) == 1:
            return [Computed(error=error)]
    return [answer for state in states for answer in answers_of(kernel, [state])]


def _called(kernel: Kernel, states: Sequence[Any]) -> Sequence[Any]:
    values = kernel(states)
    if len(values) != len(states):
        raise ContractViolation(f"has a kernel that gave {len(values)} answers to {len(states)} states.")
    return values
