"""Number what a run asks its language model, and notice where the asking leads nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from surrobench.engine.validation import ContractViolation
from surrobench.errors import ModelError
from surrobench.protocol.budget import MOST_CALLS, MOST_WASTED, Budget
from surrobench.protocol.requests import Complete, Completion


class NothingUsable(Exception):
    """A run's model gives no configuration any more, and nothing else would end the run."""


@dataclass(slots=True)
class ModelCalls:
    """What one run has asked its language model.

    Attributes:
        budget: the run's limits.
        calls: how many completions it asked for, re-asks not counted: the ordinal of the next call.
        attempt: the last attempt of the last call.
        asked: how many requests since the last trial was started.
        wasted: how many wasted trials since the last other one was started.
    """

    budget: Budget
    calls: int = 0
    attempt: int = 0
    asked: int = 0
    wasted: int = 0

    def number(self, request: Complete) -> tuple[int, int]:
        """Return the ordinal of a request's call, and its attempt: no two requests have the same pair.

        Raises:
            ContractViolation: the attempt does not count up, or too much is asked without a trial.
        """
        self.asked += 1
        if self.asked > MOST_CALLS:
            raise ContractViolation(f"asked its model {MOST_CALLS:,} times without a trial.")
        if request.attempt == 0:
            self.calls += 1
        elif not self.calls or request.attempt <= self.attempt:
            raise ContractViolation(
                f"asked again with attempt = {request.attempt} after attempt {self.attempt}; "
                "a call begins with 0 and counts up."
            )
        self.attempt = request.attempt
        return self.calls - 1, request.attempt

    def check_counted(self, answers: Sequence[Sequence[Completion]], model: str | None) -> None:
        """See that the server counted the tokens of some replies, if they are limited.

        Raises:
            ModelError: it did not.
        """
        if self.budget.tokens is None:
            return
        if not all(any(one.tokens_in or one.tokens_out for one in replies) for replies in answers):
            raise ModelError(
                f"The server of {model} did not count the tokens of a reply, but the budget limits them.",
                "Limit trials or seconds instead, or use a server that reports usage.",
            )

    def trial(self) -> None:
        """Note that a trial is started."""
        self.asked = self.wasted = 0

    def waste(self) -> None:
        """Note that a trial is wasted.

        Raises:
            NothingUsable: nothing else came for so long that the budget will not end the run.
        """
        self.asked, self.wasted = 0, self.wasted + 1
        if self.wasted >= MOST_WASTED and not self.budget.counts_trials:
            raise NothingUsable(f"{MOST_WASTED} replies in a row were no configuration")
