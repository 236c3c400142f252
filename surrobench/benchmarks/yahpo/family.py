"""Offer the family ``yahpo``.

Its scenarios are those of the data on this machine, or else those that results folders carry.
"""

from __future__ import annotations

from surrobench.benchmarks.yahpo.data import (
    SPACE,
    VERSION,
    data_version,
    find_folder,
    read_facts,
    remembered,
    require_folder,
    require_model,
    scenario_names,
)
from surrobench.benchmarks.yahpo.recorded import open_carried
from surrobench.benchmarks.yahpo.surrogate import Surrogate
from surrobench.errors import DataError, UnknownName


def available() -> list[str]:
    """Return the names of the scenarios whose data is here; this is quick if there is none."""
    folder = find_folder()
    here = [] if folder is None or data_version(folder) != VERSION else scenario_names(folder)
    carried = {path.parent.name for folder in remembered() for path in folder.glob(f"*/{SPACE}")}
    return sorted({*here, *carried})


def open_scenario(name: str) -> Surrogate:
    """Open the scenario called ``yahpo/NAME``.

    Raises:
        DataError: the scenario's data is missing, damaged, or of another version; the message says what would
            help.
        UnknownName: there is no such scenario.
    """
    try:
        folder = require_folder(name)
        facts = read_facts(folder, name)
        require_model(folder, name)
    except (DataError, UnknownName):
        if scenario := open_carried(name):
            return scenario
        raise
    return Surrogate(name, folder, facts)
