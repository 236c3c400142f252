"""The trials of a run as prompts show them.

The methods that ask a language model remember their trials in this form.
"""

from __future__ import annotations

import json
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from surrobench.optimizers.base import Task, configuration_key
from surrobench.protocol.requests import Evaluated
from surrobench.space.hyperparameter import Matrix

DIGITS, MOST_DIGITS = 4, 7
"""How many significant digits an outcome has at least and at most: surrogates compute with seven."""
TOLD_APART = 5
"""How many of the best different outcomes look different."""
MORE_DIGITS = 8
"""How many more digits are tried for a configuration that would look like another."""


class History:
    """All trials that had a configuration, oldest first, including the granted initial design.

    All methods use one serializer (``METHODS.md``, confound 10). It writes a configuration as one line of
    JSON, see ``llm.shown_values``; different configurations get more digits where their lines would be equal
    and that tells them apart. It writes an outcome in the objective's natural direction, with four digits or
    as many more as it takes to tell the best ``TOLD_APART`` different outcomes apart.

    Attributes:
        configurations: each of shape (d,).
        losses: lower is better; NaN where the evaluation failed.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.configurations: list[Matrix] = []
        self.losses: list[float] = []
        self._texts: list[str] = []
        self._seen: set[bytes] = set()
        self._lines: dict[str, bytes] = {}
        self._digits = DIGITS
        self.add(task.initial)

    def add(self, answer: Evaluated) -> None:
        """Add the results of trials, except wasted ones, which have no configuration."""
        for x, loss in zip(answer.configurations, answer.losses.tolist(), strict=True):
            if np.isnan(x).all():
                continue
            self.configurations.append(x)
            self.losses.append(loss)
            self._texts.append(self._told_apart(x))
            self._seen.add(configuration_key(x))
        self._add_digits()

    def __len__(self) -> int:
        return len(self.losses)

    def __contains__(self, x: Matrix) -> bool:
        """Return whether a configuration, shape (d,), has been evaluated."""
        return configuration_key(x) in self._seen

    def text(self, x: Matrix) -> str:
        """Return a configuration, shape (d,), as one line of JSON."""
        return json.dumps(self._task.shown.write(x))

    def configuration(self, i: int) -> str:
        """Return trial i's configuration as one line of JSON."""
        return self._texts[i]

    def outcome(self, i: int) -> str:
        """Return trial i's value, or ``failed``."""
        return self.value(self.losses[i]) if np.isfinite(self.losses[i]) else "failed"

    def shown(self, i: int) -> dict[str, str]:
        """Return trial i as the variables ``configuration`` and ``outcome`` of a template."""
        return {"configuration": self.configuration(i), "outcome": self.outcome(i)}

    def line(self, i: int) -> str:
        """Return trial i as ``CONFIGURATION -> OUTCOME``."""
        return f"{self.configuration(i)} -> {self.outcome(i)}"

    def last(self, n: int) -> range:
        """Return the last n trials, oldest first; all trials where there are no more than n."""
        return range(max(len(self) - n, 0), len(self))

    def value(self, loss: float) -> str:
        """Return a loss as the value of the objective that prompts show."""
        return self._value(loss, self._digits)

    def _value(self, loss: float, digits: int) -> str:
        return f"{self._sign * loss + 0.0:.{digits}g}"  # never -0

    def _told_apart(self, x: Matrix) -> str:
        """Return a configuration's line, with more digits where it is the line of another configuration."""
        key, text = configuration_key(x), self.text(x)
        if self._task.text_rules > 1:
            longer = (json.dumps(self._task.shown.write(x, more)) for more in range(MORE_DIGITS))
            text = next((line for line in longer if self._lines.get(line, key) == key), text)
            self._lines.setdefault(text, key)
        return text

    def _add_digits(self) -> None:
        """Add digits to all outcomes until the best of them look as different as they are."""
        if self._task.text_rules == 1:
            return
        best = sorted({loss for loss in self.losses if np.isfinite(loss)})[:TOLD_APART]
        while self._digits < MOST_DIGITS and len({self._value(y, self._digits) for y in best}) < len(best):
            self._digits += 1

    @property
    def best(self) -> int | None:
        """Return the incumbent, the first of equals, or None while nothing was observed."""
        losses = np.array(self.losses)
        return int(np.nanargmin(losses)) if np.isfinite(losses).any() else None

    def best_first(self) -> list[int]:
        """Return the trials that were observed, best first, the earlier first among equals."""
        losses = np.array(self.losses)
        order = np.argsort(losses, kind="stable")
        return [int(i) for i in order if np.isfinite(losses[i])]

    def observed(self) -> tuple[Matrix, NDArray[np.float64]]:
        """Return configurations, shape (n, d), and losses, shape (n,), of the trials that did not fail."""
        kept = [i for i, loss in enumerate(self.losses) if np.isfinite(loss)]
        X = np.array([self.configurations[i] for i in kept]).reshape(len(kept), self._task.space.d)
        return X, np.array([self.losses[i] for i in kept])

    @cached_property
    def _sign(self) -> int:
        return self._task.objective.sign
