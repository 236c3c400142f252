"""Find the runs that several folders hold under ids of different schemes, see ``plan.identity``."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from surrobench.benchmarks.registry import benchmark
from surrobench.errors import SurrobenchError
from surrobench.llm.models import ModelSpec
from surrobench.optimizers.registry import optimizer
from surrobench.plan.identity_1 import identified_1
from surrobench.results.folder import Results
from surrobench.results.run_records import RunRecord

CELL = ["benchmark", "method", "seed"]


def earlier_ids(folders: Sequence[Results], plan: pl.DataFrame) -> dict[str, str]:
    """Return the ids of scheme 1 of those runs that another folder may hold under that id.

    Args:
        folders: the results folders.
        plan: the runs that their suites name: run, benchmark, method, seed, and the number of the folder.

    Returns:
        The id of a run -> its id under scheme 1; empty where all folders have ids of one scheme.
    """
    schemes = [set(folder.manifest.get("id_schemes", [1])) for folder in folders]
    if len(set.union(*schemes)) == 1:
        return {}
    several = plan.filter(pl.col("run").n_unique().over(CELL) > 1)
    found = {}
    for number, folder in enumerate(folders):
        mine = set(several.filter(pl.col("folder") == number)["run"])
        for run, record in folder.records().items() if mine and 2 in schemes[number] else ():
            if run in mine and record.run.scheme > 1 and (before := _earlier_id(record, folder)):
                found[run] = before
    return found


def _earlier_id(record: RunRecord, folder: Results) -> str | None:
    """Return the id that a recorded run had under scheme 1; None where it cannot be known here."""
    run = record.run
    try:
        name = run.optimizer if run.file is None else f"{run.file}:{run.optimizer.rpartition(':')[2]}"
        spec = ModelSpec(**folder.manifest["models"][run.model]) if run.model and run.asks_model else None
        version = benchmark(run.benchmark).scenario.version_1
        return identified_1(run, version, optimizer(name), run.parameters, spec).id
    except (SurrobenchError, ValueError, LookupError, TypeError):
        return None
