"""What a command line changes of a suite: its models, and which part of it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surrobench.benchmarks.registry import expand
from surrobench.errors import DataError, UnknownName
from surrobench.patterns import matching
from surrobench.suite.schema import Suite


@dataclass(frozen=True)
class Selection:
    """Which part of a suite is run; the rest can follow, in the same results folder or in one of its own.

    Attributes:
        benchmarks: patterns of ids, as a shell knows them; none for all.
        methods: patterns of labels; none for all.
        seeds: how many of each method at most.
    """

    benchmarks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: int | None = None

    @staticmethod
    def recorded(manifest: Mapping[str, Any]) -> Selection:
        """The part that was run last in a results folder; the whole where its manifest names none."""
        found = manifest["suite"].get("part")
        return (
            Selection(tuple(found["benchmarks"]), tuple(found["methods"]), found["seeds"])
            if found
            else Selection()
        )

    def of(self, suite: Suite) -> Suite:
        """The suite with this part of it only, and the control, which everything is compared with.

        Its claims stay as they are, since they are about the whole.

        Raises:
            UnknownName: a pattern matches nothing in the suite.
            DataError: ... or only what may be in data that is missing.
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
        """What this and another part of a suite have in common, by names."""
        common = self.of(other.of(suite))
        return Selection(tuple(common.benchmark_ids()), tuple(common.optimizers), common.seeds)

    def __str__(self) -> str:
        """In words; nothing where it is the whole."""
        seeds = f"at most {self.seeds} seed{'s' * (self.seeds > 1)}" if self.seeds else ""
        parts = [seeds, " ".join(self.methods), " ".join(self.benchmarks)]
        return "; ".join(filter(None, parts))


def extent(suite: Suite) -> dict[str, int | None]:
    """How many benchmarks, methods and seeds a suite has; None benchmarks where data is missing."""
    try:
        benchmarks = len(suite.benchmark_ids())
    except DataError:
        benchmarks = None
    seeds = max(method.seeds or suite.seeds for method in suite.optimizers.values())
    return {"benchmarks": benchmarks, "methods": len(suite.optimizers), "seeds": seeds}


def _benchmarks(suite: Suite, patterns: Sequence[str]) -> list[str]:
    """The ids that patterns mean; that other data of the suite is missing does not matter."""
    here, missing = suite.present()
    try:
        return matching("benchmark", patterns, expand(here))
    except UnknownName:
        if missing:
            raise next(iter(missing.values())) from None
        raise
