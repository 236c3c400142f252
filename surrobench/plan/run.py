"""A run: one optimizer on one benchmark with one seed, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from surrobench.benchmarks.base import Noise
from surrobench.llm.prompt_variants import VARIANTS, Variant, method_name
from surrobench.optimizers.llm.control import Control, control_named
from surrobench.protocol.budget import Budget


@dataclass(frozen=True)
class Run:
    """One run, as data: it is sent to workers and stored with its trials.

    ``id`` is a hash of all that determines the trials (``run_identity``), not of labels and budget.
    """

    id: str
    benchmark: str
    method: str
    """The optimizer's label in the suite."""
    optimizer: str
    parameters: dict[str, Any]
    model: str | None
    """The language model's label in the suite, or the slot control that stands in for one."""
    seed: int
    trials: int | None
    """Budget: how many trials the run may spend, the initial design included; see ``Budget``."""
    initial: str
    noise: Noise
    invalid: str
    equivalents: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    workers: int = 1
    """Trials that can be under way at a time, in simulated time."""
    overhead: bool = False
    """Whether the optimizer's thinking and the model's latency count as simulated time."""
    file: str | None = None
    """The user's file that the optimizer is in, absolute; workers import it. No part of the identity."""
    file_version: str | None = None
    """What it was when the run was planned: the digits of its content."""
    variant: str | None = None
    """What the language model is shown; None where there is none, or a slot control in its place."""
    given: dict[str, str] = field(default_factory=dict)
    """Files of configurations that the run reads: the digits of a file's content, which stand for it in
    ``initial`` and ``parameters``, to its absolute path. No part of the identity."""
    prompts: dict[str, str] = field(default_factory=dict)
    """The user's prompt templates, which take the place of the method's: file name -> text. Their hash is
    part of the identity; the name of a variant that brought them is not."""
    text_rules: int = 1
    """How prompts write values and replies are read, see ``llm.prompts.TEXT_RULES``; 1 where there are none.
    Records that do not name it are of runs with the first version."""
    versions: dict[str, str] = field(default_factory=dict)
    """The libraries that the trials depend on, with their versions. They are no part of the identity, but
    ``rank`` says where a method mixes them. Older records do not name them."""
    scheme: int = 1
    """Which scheme the id is of, see ``plan.identity``."""

    def with_seed(self, seed: int, identity: str, scheme: int) -> Run:
        """Return the run with a seed and its id: a study has a hundred thousand, and a field each is slow."""
        run = object.__new__(Run)
        run.__dict__.update(self.__dict__, seed=seed, id=identity, scheme=scheme)
        return run

    @cached_property
    def budget(self) -> Budget:
        """What the run may spend."""
        return Budget(self.trials, self.equivalents, self.seconds, self.tokens)

    @property
    def control(self) -> Control | None:
        """The slot control that stands in for a language model."""
        return control_named(self.model) if self.model else None

    @property
    def asks_model(self) -> bool:
        """Whether a language model answers: its run is driven where the model's client is."""
        return self.model is not None and self.control is None

    @property
    def shows(self) -> Variant:
        """The prompt variant."""
        return next((known for known in VARIANTS if known == self.variant), "full")

    @property
    def name(self) -> str:
        """How its method is called in tables."""
        return method_name(self.method, self.model, self.variant)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the optimizer is called with: the parameters, files by their paths."""
        return {
            name: self.given.get(value, value) if isinstance(value, str) else value
            for name, value in self.parameters.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON form, for the results."""
        entry = asdict(self)
        for name, default in OPTIONAL.items():
            if entry[name] == default:
                del entry[name]
        return entry


OPTIONAL: dict[str, Any] = {"prompts": {}, "text_rules": 1, "versions": {}, "scheme": 1}
"""Fields of a run that records leave out where they have these values; older records have none of them."""
