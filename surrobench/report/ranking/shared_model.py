"""State once which language model the methods of a ranking ask, where all ask the same."""

from __future__ import annotations

from surrobench.optimizers.llm.control import PREFIX
from surrobench.report.ranking.model import Ranking


def shared_model(ranking: Ranking) -> str | None:
    """Return a phrase that names the only language model; empty if there is none, None if there are several.

    A control in a model's place is part of the method's name, and needs no mention.
    """
    models = {method: ranking.models[method] for method in ranking.methods if method in ranking.models}
    asking = [method for method, model in models.items() if not model.startswith(PREFIX)]
    names = sorted({models[method] for method in asking})
    if len(names) > 1:
        return None
    if not names:
        return ""
    # Where the model's label stands in the names of the methods, it is clear which methods ask it.
    labelled = all(method.endswith(")") for method in asking)
    return f"Language model: {names[0]}" if labelled else f"Language model of {', '.join(asking)}: {names[0]}"
