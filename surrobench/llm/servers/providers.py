"""Servers of language models that installed packages provide: ``serve = "NAME"`` in a model's table.

An entry point of the group ``surrobench.models`` names a function ``(spec, log)``. It returns a context
manager that starts an OpenAI-compatible server for the ``ModelSpec``, gives its base URL (up to and including
``/v1``), and stops the server when it is left. ``log`` is the path of a file that the server may write to.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from surrobench.errors import ModelError, in_one_line
from surrobench.llm.models import PROVIDERS, ModelSpec


def provided() -> dict[str, EntryPoint]:
    """Return the providers that installed packages offer, by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=PROVIDERS)}


def provided_server(spec: ModelSpec, log: Path) -> AbstractContextManager[str]:
    """Start the server of a model that a package provides; the context gives its base URL.

    Raises:
        ModelError: no installed package provides it, or the package fails.
    """
    point = provided().get(spec.serve or "")
    if point is None:
        raise ModelError(
            f"No installed package provides the models of serve = {spec.serve!r}.",
            "Install the package, or name a running server by its url.",
        )
    try:
        server: AbstractContextManager[str] = point.load()(spec, log)
    except Exception as error:  # whatever another's package raises
        raise ModelError(f"{point.value} does not start {spec.model}: {in_one_line(error)}.") from error
    return server
