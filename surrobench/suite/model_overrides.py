"""Redirect a model of a suite to another server, or add a model to it (``--llm``)."""

from __future__ import annotations

from collections.abc import Mapping

from surrobench.errors import UsageError
from surrobench.llm.models import ModelSpec
from surrobench.optimizers.llm.control import PREFIX
from surrobench.suite.labels import SIGNS_OF_MODELS, check_labels
from surrobench.suite.schema import Suite


def add_models(suite: Suite, flags: Mapping[str, tuple[str, str]]) -> Suite:
    """Return a suite with models from the command line.

    A label that the suite knows is redirected; its revision is kept if the model's name is the same. A new
    label is added to every method that uses a language model.

    Args:
        suite: the suite.
        flags: label -> URL and name of the model.

    Raises:
        UsageError: no method uses a language model; or a label is that of a slot control.
    """
    if not flags:
        return suite
    if not any(method.models for method in suite.optimizers.values()):
        raise UsageError(f"No method of suite {suite.name!r} asks a language model.", "Leave out --llm.")
    check_labels("--llm", flags, SIGNS_OF_MODELS)
    models = dict(suite.models)
    methods = dict(suite.optimizers)
    for label, (url, name) in flags.items():
        if label.startswith(PREFIX):
            raise UsageError(f"--llm {label}: names that begin with {PREFIX!r} are those of slot controls.")
        if label in models:
            same = name == models[label].model
            about_the_model = set() if same else {"revision", "size"}
            # What is left to the defaults stays so: it may fall back to what the server can do.
            kept = models[label].model_dump(
                exclude={"url", "serve", "model", *about_the_model}, exclude_unset=True
            )
            models[label] = ModelSpec(**kept, url=url, model=name)
            continue
        models[label] = ModelSpec(url=url, model=name)
        for key, method in methods.items():
            if method.models:
                methods[key] = method.model_copy(update={"models": [*method.models, label]})
    return suite.model_copy(update={"models": models, "optimizers": methods})
