"""Find the reader of a source of past trials."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from surrobench.errors import DataError, UsageError
from surrobench.past_trials import description
from surrobench.past_trials.collect import collect
from surrobench.past_trials.trials import Asked, Found, PastTrials

_ROOM = "surrobench.past_trials.sources"
READERS = {
    "optuna": f"{_ROOM}.optuna_storage",
    "smac3": f"{_ROOM}.smac3",
    "keras-tuner": f"{_ROOM}.keras_tuner",
    "ray": f"{_ROOM}.ray_tune",
    "syne-tune": f"{_ROOM}.syne_tune",
    "table": f"{_ROOM}.table",
}
"""Name -> the module of a reader, in the order in which they are asked.

A reader has two functions. ``recognizes(path)`` says whether a path is of its tool, and raises no error.
``read(source, asked)`` returns what it finds.
"""


def past_trials(sources: Sequence[str], asked: Asked | None = None) -> PastTrials:
    """Return the past trials of one problem from one or several sources.

    Args:
        sources: a path each, or ``NAME:PATH`` where a reader is to be chosen by name, such as
            ``optuna:sqlite:///past.db#study``.
        asked: what the user says of the sources.

    Raises:
        DataError: a source is missing or damaged, or sources are about different problems; one line.
        UsageError: no reader knows a source.
    """
    asked = asked or Asked()
    if len(sources) == 1 and Path(sources[0]).suffix == description.SUFFIX:
        return description.read(Path(sources[0]).expanduser())
    return collect([found for source in sources for found in _read(source, asked)], asked)


def _read(source: str, asked: Asked) -> list[Found]:
    name, colon, rest = source.partition(":")
    if colon and name in READERS:
        found: list[Found] = import_module(READERS[name]).read(rest, asked)
        return found
    if "://" in source:
        return _read(f"optuna:{source}", asked)
    path = Path(source.partition("#")[0] if not Path(source).exists() else source).expanduser()
    if not path.exists():
        raise DataError(f"There is no file or folder {path}.")
    for module in map(import_module, READERS.values()):
        if module.recognizes(path):
            chosen: list[Found] = module.read(source, asked)
            return chosen
    raise UsageError(
        f"{path} is not known as a source of past trials.",
        f"Choose a reader, {', '.join(READERS)}, by writing NAME:PATH; or export the trials as CSV.",
    )
