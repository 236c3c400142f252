"""Replace default settings of models that their servers do not support.

How decoding is constrained and whether seeds are sent is part of a run's identity, so fallbacks are decided
before the runs are planned, and the manifest keeps them: the study is the same one tomorrow, when its server
may not answer, and in a replay. What a suite says explicitly never falls back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from surrobench.llm.capabilities import Capabilities, as_toml
from surrobench.suite.schema import Suite
from surrobench.untrusted import load_json

Fallbacks = dict[str, dict[str, Any]]
"""Label of a model -> setting -> what it fell back to."""


def with_fallbacks(
    suite: Suite,
    found: Mapping[str, Capabilities],
    before: Fallbacks,
    note: Callable[[str], None],
    started: Collection[str] = (),
) -> tuple[Suite, Fallbacks]:
    """Return the suite with unsupported default settings replaced by the best that each server supports.

    Args:
        suite: as written.
        found: label -> what its server can do.
        before: the fallbacks of the study's first session; they stay, whatever the server can do now.
        note: takes a line for each fallback.
        started: labels of models of which runs were started: only their fallbacks of ``before`` count, since
            others would make other runs of them.

    Returns:
        suite: with the models as they are asked.
        fallbacks: what was replaced.
    """
    models, fallbacks = dict(suite.models), {}
    for label, spec in suite.models.items():
        server = Capabilities() if label in started else found.get(label, Capabilities())
        kept = {
            key: value for key, value in before.get(label, {}).items() if key not in spec.model_fields_set
        }
        wanted = spec.model_copy(update=kept)
        found_now = server.best(wanted).items()
        changed = kept | {key: value for key, value in found_now if key not in spec.model_fields_set}
        if not changed:
            continue
        models[label] = spec.model_copy(update=changed)
        fallbacks[label] = changed
        note(f"{label} falls back to what its server can do, as if [models.{label}] said: {as_toml(changed)}")
    return suite.model_copy(update={"models": models}), fallbacks


def stored_fallbacks(suite: Suite, folder: Path) -> Fallbacks:
    """Return the fallbacks that a results folder stores, of the models that are still the same.

    There are none where the folder holds no results. What is wrong with the folder is reported when it is
    opened.
    """
    try:
        manifest = load_json((folder / "manifest.json").read_text())
        return {
            label: dict(kept)
            for label, kept in manifest["fallbacks"].items()
            if label in suite.models and manifest["models"][label]["model"] == suite.models[label].model
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def with_recorded_weights(suite: Suite, recording: Path) -> Suite:
    """Return a suite that knows the weights that its recording was made with, where these are not here.

    Weights in a folder are known by their content. A replay needs the digits of the content alone.
    """
    try:
        manifest = load_json((recording / "manifest.json").read_text())
        known = {
            label: spec.model_copy(update={"weights": manifest["weights"][label]})
            for label, spec in suite.models.items()
            if label in manifest["weights"] and manifest["models"][label]["weights"] == spec.weights
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return suite
    return suite.model_copy(update={"models": {**suite.models, **known}})
