"""Read an experiment of Syne Tune: a folder with ``results.csv.zip`` and ``metadata.json``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from surrobench.errors import DataError
from surrobench.past_trials.sources.table import of_frame, read_frame
from surrobench.past_trials.trials import Asked, Found
from surrobench.untrusted import load_json

RESULTS, METADATA = "results.csv.zip", "metadata.json"


def recognizes(path: Path) -> bool:
    """Return whether a folder is an experiment of Syne Tune."""
    return (path / RESULTS).is_file() and (path / METADATA).is_file()


def read(source: str, asked: Asked) -> list[Found]:
    """Return the trials of an experiment; its metadata say what was optimized.

    Raises:
        DataError: a file is damaged; one line.
    """
    folder = Path(source)
    try:
        metadata = load_json((folder / METADATA).read_bytes())
        names, modes = metadata["metric_names"], metadata["metric_mode"]
        modes = [modes] * len(names) if isinstance(modes, str) else modes
        stated = {str(name): mode == "min" for name, mode in zip(names, modes, strict=True)}
        time = str(metadata.get("scheduler_kwargs", {}).get("time_attr") or "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / METADATA} cannot be read: {error}.") from None
    frame = read_frame(folder / RESULTS)
    asked = replace(
        asked,
        objectives=asked.objectives or stated,
        fidelity=asked.fidelity or (time if time in frame.columns else ""),
    )
    return [of_frame(frame, folder.name, folder.name, asked)]
