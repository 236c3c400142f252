"""Choose which part of a suite is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surrobench.benchmarks.registry import expand
from surrobench.errors import UnknownName
from surrobench.patterns import matching
from surrobench.suite.schema import Suite


@dataclass(frozen=True)
class Selection:
    """Selects a part of a suite; the rest can follow, in the same results folder or in another.

    Attributes:
        benchmarks: shell-style patterns of ids; none for all.
        methods: shell-style patterns of labels; none for all.
        seeds: how many seeds of each method at most; None for all.
    """

    benchmarks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: int | None = None

    @staticmethod
    def recorded(manifest: Mapping[str, Any]) -> Selection:
        """Return the part that was run last in a results folder; the whole if its manifest names none."""
        found = manifest["suite"].get("part")
        return (
            Selection(tuple(found["benchmarks"]), tuple(found["methods"]), found["seeds"])
            if found
            else Selection()
        )

    def of(self, suite: Suite) -> Suite:
        """Return the suite with this part of it only, and with the control, which all else is compared with.

        The claims stay as they are, since they are about the whole suite.

        Raises:
            UnknownName: a pattern matches nothing in the suite.
            DataError: a pattern matches nothing, and data of the suite is missing that it may mean.
        """
        changed: dict[str, object] = {}
        if self.benchmarks:
            changed["benchmarks"] = _benchmarks(suite, self.benchmarks)
        methods = matching("method", self.methods, suite.optimizers) if self.methods else [*suite.optimizers]
        if self.seeds is not None:
            changed["seeds"] = min(suite.seeds, self.seeds)
        changed["optimizers"] = {
            label: method
            if self.seeds is None or method.seeds is None
            else method.model_copy(update={"seeds": min(method.seeds, self.seeds)})
            for label, method in suite.optimizers.items()
            if label in methods or label == suite.control
        }
        return suite.model_copy(update=changed)

    def within(self, other: Selection, suite: Suite) -> Selection:
        """Return what this and another part of a suite have in common, by names."""
        common = self.of(other.of(suite))
        return Selection(tuple(common.benchmark_ids()), tuple(common.optimizers), common.seeds)

    def __str__(self) -> str:
        """Return the selection in words; nothing if it is the whole suite."""
        seeds = f"at most {self.seeds} seed{'s' * (self.seeds > 1)}" if self.seeds else ""
        parts = [seeds, " ".join(self.methods), " ".join(self.benchmarks)]
        return "; ".join(filter(None, parts))


def _benchmarks(suite: Suite, patterns: Sequence[str]) -> list[str]:
    """Return the ids that match patterns; other data of the suite may be missing."""
    here, missing = suite.present()
    try:
        return matching("benchmark", patterns, expand(here))
    except UnknownName:
        if missing:
            raise next(iter(missing.values())) from None
        raise
