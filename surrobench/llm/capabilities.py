"""Say what a server can do, and what a study does about the rest.

How decoding is constrained and whether seeds are sent is part of a run's identity, so a fallback must not be
silent. What a suite says explicitly is never changed. If a server cannot do it, that is an error, and the
message has the line to write. What a suite leaves to the defaults falls back *before* the runs are planned
(``study.fallbacks``), so that the planned runs are those that are really asked for.

The manifest keeps the fallbacks. The study is thus the same one tomorrow, when its server may not answer, and
in a replay. For the same reason nothing falls back once runs of the model were begun. If its server lost a
feature since, that is an error, and does not lead to other runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from surrobench.errors import ModelError
from surrobench.llm.models import ModelSpec, Shape, Structured

SCHEMAS: tuple[Structured, ...] = ("json_schema", "strict", "strict_unbounded")
"""The ways of constraining replies that need a schema."""

_LABELS = {
    "json_schema": "JSON schemas",
    "json_object": "JSON objects",
    "seed": "seeds",
    "samples": "several completions per request",
    "logprobs": "log-probabilities",
    "usage": "token counts",
}


@dataclass(frozen=True)
class Capabilities:
    """The capabilities that a server was seen to have; None stands for one that is not known.

    Attributes:
        server: the server's name and version, as far as it tells them.
        json_schema, json_object: whether the server constrains decoding in this way.
        seed: whether a request may carry a seed.
        samples: whether one request gets several completions.
        logprobs: whether the server tells the probabilities of tokens.
        usage: whether the server counts tokens.
        thinks: whether the model thought before its reply.
        limit: the name of the limit of tokens that the server takes, if it is another than asked with.
        omit: sampling parameters of the methods that the server refuses.
        shapes: shape of replies -> the best way of constraining them, where the server refuses schemas that
            the study will send.
        model, fingerprint: what the server states of the model.
    """

    server: str = ""
    json_schema: bool | None = None
    json_object: bool | None = None
    seed: bool | None = None
    samples: bool | None = None
    logprobs: bool | None = None
    usage: bool | None = None
    thinks: bool | None = None
    limit: str = ""
    omit: tuple[str, ...] = ()
    shapes: Mapping[Shape, Structured] = field(default_factory=dict)
    model: str = ""
    fingerprint: str = ""

    def best(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the settings of a model that its server does not support, with the best that it does."""
        changed: dict[str, Any] = {}
        if (structured := self._structured(spec)) != spec.structured:
            changed["structured"] = structured
        if spec.seed and self.seed is False:
            changed["seed"] = False
        if self.limit and self.limit != spec.limit:
            changed["limit"] = self.limit
        if not set(self.omit) <= set(spec.omit):
            changed["omit"] = sorted({*spec.omit, *self.omit})
        return changed

    def _structured(self, spec: ModelSpec) -> Structured | dict[Shape, Structured]:
        wanted = spec.structured
        if isinstance(wanted, dict):
            return wanted | {shape: self._weaker(mode, shape) for shape, mode in wanted.items()}
        whole = self._weaker(wanted)
        if whole != wanted or not self.shapes:
            return whole
        by_shape = {shape: self._weaker(wanted, shape) for shape in self.shapes}
        changed = {shape: mode for shape, mode in by_shape.items() if mode != wanted}
        if not changed:
            return wanted
        return changed if wanted == "json_schema" else {**dict.fromkeys(get_args(Shape), wanted), **changed}

    def _weaker(self, wanted: Structured, shape: Shape | None = None) -> Structured:
        """Return the wanted way of constraining replies, or the next weaker one that the server has."""
        if wanted in SCHEMAS and self.json_schema is False:
            wanted = "json_object"
        if shape is not None and wanted in SCHEMAS and shape in self.shapes:
            order = get_args(Structured)
            wanted = max(wanted, self.shapes[shape], key=order.index)
        if wanted == "json_object" and self.json_object is False:
            wanted = "none"
        return wanted

    def __str__(self) -> str:
        has = [label for name, label in _LABELS.items() if getattr(self, name)]
        said = [", ".join(has)] if has else []
        said += [f"no {', no '.join(self.lacks)}"] if self.lacks else []
        return f"{self.server or 'a server'}: {'; '.join(said) or 'nothing is known of it'}"

    @property
    def lacks(self) -> list[str]:
        """Return the features that the server was seen to lack, in words."""
        return [label for name, label in _LABELS.items() if getattr(self, name) is False]


EMBEDDED = Capabilities("llama.cpp", json_schema=True, json_object=True, seed=True, usage=True)
"""The capabilities of the embedded server.

They say nothing of ``samples``, because a request that is pinned to a slot is for one completion.
"""


def lacking(
    spec: ModelSpec, found: Capabilities, *, begun: bool = False, counts: bool = False
) -> ModelError | None:
    """Return the error for what a model's server cannot do, with the line that mends it, or None.

    Args:
        spec: the model.
        found: what its server can do.
        begun: whether runs of the model were begun with these settings. That line would start them anew.
        counts: whether the suite limits tokens, which the server has to count then.
    """
    if counts and found.usage is False:
        return ModelError(
            f"The server of {spec.model} does not count tokens, and the suite limits them.",
            "Limit trials or seconds instead of tokens, or use a server that reports usage.",
        )
    changed = found.best(spec)
    if not changed:
        return None
    line = as_toml(changed)
    refused = {key: getattr(spec, key) for key in changed}
    problem = f"The server of {spec.model} does not take {as_toml(refused)}"
    if list(changed) == ["seed"]:
        problem = f"The server of {spec.model} takes no seed"
    if begun:
        return ModelError(
            f"{problem}, with which its runs here were begun.",
            f"Start the server that they were begun with; or write {line} into its table in the suite, "
            "and all of them start anew.",
        )
    return ModelError(f"{problem}.", f"Write {line} into its table in the suite.")


def as_toml(settings: Mapping[str, Any]) -> str:
    """Return settings of a model as a suite writes them, on one line."""
    return ", ".join(f"{key} = {_value(value)}" for key, value in settings.items())


def _value(value: Any) -> str:
    return f"{{ {as_toml(value)} }}" if isinstance(value, Mapping) else json.dumps(value)
