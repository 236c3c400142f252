"""Offer servers of language models from installed packages: ``serve = "NAME"`` in a model's table.

An entry point of the group ``surrobench.models`` names a function ``(spec, log)``. The function returns a
context manager that starts an OpenAI-compatible server for the ``ModelSpec`` and yields its base URL (up to
and including ``/v1``). It stops the server when it is left. ``log`` is the path of a file that the server may
write to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from surrobench.errors import ModelError, in_one_line
from surrobench.foreign_code import Raised, foreign_code
from surrobench.llm.models import PROVIDERS, ModelSpec


def provided() -> dict[str, EntryPoint]:
    """Return the providers that installed packages offer, by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=PROVIDERS)}


@contextmanager
def provided_server(spec: ModelSpec, log: Path) -> Iterator[str]:
    """Run the server of a model that a package provides while the context is open; yield its base URL.

    Raises:
        ModelError: no installed package provides it, or the package does not start it.
    """
    point = provided().get(spec.serve or "")
    if point is None:
        raise ModelError(
            f"No installed package provides the models of serve = {spec.serve!r}.",
            "Install the package, or name a running server by its url.",
        )
    with ExitStack() as stack:
        try:
            with foreign_code():
                url: str = stack.enter_context(point.load()(spec, log))
        except Raised as raised:
            error = raised.error
            raise ModelError(f"{point.value} does not start {spec.model}: {in_one_line(error)}.") from error
        yield url
