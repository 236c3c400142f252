"""Say where the runs of one method were made with different things that are no part of their ids.

These are the libraries that its trials depend on, and the model that a server stated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl

from surrobench.results.folder import Results

MOST = 5
"""The number of methods that are listed."""


def mixed_makings(folders: Sequence[Results], plan: pl.DataFrame) -> list[str]:
    """Return a sentence for each kind of thing that some method mixes.

    Args:
        folders: the results folders.
        plan: the runs that are compared: run, method, and the number of the folder that each is read from.
    """
    recorded = pl.concat(
        folder.made_with().with_columns(folder=pl.lit(number, pl.UInt32))
        for number, folder in enumerate(folders)
    )
    made = plan.join(recorded, on=["run", "folder"]).select("method", "versions", "served").unique()
    return [*_of_libraries(made), *_of_models(made)]


def _of_libraries(made: pl.DataFrame) -> list[str]:
    found: dict[str, dict[str, set[str]]] = {}
    for method, text in made.select("method", "versions").drop_nulls().unique().iter_rows():
        for library, version in json.loads(text).items():
            found.setdefault(method, {}).setdefault(library, set()).add(version)
    said = [
        f"{method} ({', '.join(differing)})"
        for method, libraries in sorted(found.items())
        if (differing := [f"{name} {_list(of)}" for name, of in sorted(libraries.items()) if len(of) > 1])
    ]
    return [f"Some methods mix versions of a library: {_some(said)}."] if said else []


def _of_models(made: pl.DataFrame) -> list[str]:
    found: dict[str, set[str]] = {}
    for method, text in made.select("method", "served").drop_nulls().unique().iter_rows():
        for model, fingerprint in json.loads(text):
            found.setdefault(method, set()).add(" ".join(filter(None, [model, fingerprint])))
    said = [f"{method} ({_list(of)})" for method, of in sorted(found.items()) if len(of) > 1]
    return [f"Behind one model's name, servers stated different ones: {_some(said)}."] if said else []


def _list(names: set[str]) -> str:
    *before, last = sorted(names)
    return f"{', '.join(before)} and {last}" if before else last


def _some(said: list[str]) -> str:
    more = f"; and {len(said) - MOST} more" if len(said) > MOST else ""
    return "; ".join(said[:MOST]) + more
