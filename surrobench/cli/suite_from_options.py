"""The suite that ``surrobench run --benchmark B --optimizer M --trials N`` stands for, as TOML text.

Such a study is stored, resumed and extended like any other: the text goes into its manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surrobench.llm.models import ModelSpec

DEFAULT_SEEDS = 5
_LONGEST_NAME = 60
"""Characters of a results folder's name, above which its end is replaced by a hash."""


def suite_text(
    benchmarks: Sequence[str],
    optimizers: Sequence[str],
    trials: int,
    seeds: int,
    models: Mapping[str, ModelSpec],
) -> str:
    """Return the TOML text of a suite.

    The control is random search where it is among the optimizers, else the first optimizer.

    Args:
        benchmarks: ids and patterns.
        optimizers: names, as ``method`` in a suite; each gets a label of its own.
        trials: budget of a run.
        seeds: repetitions.
        models: label -> language model, for every optimizer that asks one.

    Raises:
        UnknownName: there is no such benchmark or optimizer.
        UsageError: an optimizer needs a language model and none is given, or the other way round.
    """
    from surrobench.benchmarks.registry import expand

    expand(benchmarks)
    labels = _labels(optimizers)
    control = next((label for label, name in labels.items() if name == "random"), next(iter(labels)))
    lines = [
        f"name = {_quoted(_name(benchmarks, labels))}",
        f"benchmarks = [{', '.join(map(_quoted, benchmarks))}]",
        f"trials = {trials}",
        f"seeds = {seeds}",
        f"control = {_quoted(control)}",
    ]
    asking = _asking(labels, models)
    for label, name in labels.items():
        lines += ["", f"[optimizers.{label}]"]
        lines += [f"method = {_quoted(name)}"] if label != name else []
        lines += [f"models = [{', '.join(map(_quoted, models))}]"] if label in asking else []
    for label, model in models.items():
        lines += ["", f"[models.{_quoted(label)}]"]
        if model.serve:
            lines.append(f"serve = {_quoted(model.serve)}")
        else:
            lines += [f"url = {_quoted(str(model.url))}", f"model = {_quoted(model.model)}"]
    return "\n".join(lines) + "\n"


def _asking(labels: Mapping[str, str], models: Mapping[str, ModelSpec]) -> set[str]:
    """Return the labels of the optimizers that ask a language model; see ``suite_text`` for errors."""
    from surrobench.errors import UsageError
    from surrobench.optimizers.registry import optimizer

    entries = {label: optimizer(name) for label, name in labels.items()}
    asking = {label for label, entry in entries.items() if entry.prompts is not None}
    asking |= {label for label, entry in entries.items() if entry.user_defined and models}
    if asking and not models:
        raise UsageError(
            f"{min(asking)} asks a language model.",
            "Add --llm smollm2 (the embedded model), or --llm NAME=URL,MODEL.",
        )
    if models and not asking:
        raise UsageError("None of the optimizers asks a language model.", "Leave out --llm.")
    return asking


def _labels(optimizers: Sequence[str]) -> dict[str, str]:
    """Return a label for each optimizer: its name, or the class of ``./mine.py:HillClimbing``."""
    from surrobench.errors import UsageError

    labels: dict[str, str] = {}
    for name in dict.fromkeys(optimizers):
        label = re.sub(r"[^A-Za-z0-9_-]+", "-", name.rpartition(":")[2]).strip("-") or "optimizer"
        if label in labels:
            raise UsageError(
                f"{labels[label]} and {name} would have the same label.",
                "Give each its own in a suite file: surrobench run ... --print-suite > mine.toml",
            )
        labels[label] = name
    return labels


def _name(benchmarks: Sequence[str], labels: Mapping[str, str]) -> str:
    """Return a name for the study: benchmarks and optimizers, whatever their order.

    Trials and seeds are left out, so that a study with more of them extends the same results folder.
    """
    words = [name.replace("*", "-all") for name in [*sorted(set(benchmarks)), *sorted(labels)]]
    name = re.sub(r"[^a-z0-9_]+", "-", "-".join(words).lower()).strip("-_")
    if len(name) <= _LONGEST_NAME:
        return name
    digits = hashlib.sha256("\n".join(words).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9].rstrip('-_')}-{digits}"


def _quoted(text: str) -> str:
    """Return a TOML string; JSON's quoting is a part of TOML's."""
    return json.dumps(text, ensure_ascii=False)
