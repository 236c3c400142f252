"""Write runs into the Parquet files of a results folder, and merge the files of each scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from surrobench.benchmarks.base import Scenario
from surrobench.engine.outcome import Outcome
from surrobench.plan.run import Run
from surrobench.results.files import disk_errors, folder_of, write_parquet
from surrobench.results.reading import TrialFiles
from surrobench.results.run_records import Records, RunRecord
from surrobench.results.schema import SCHEMA_VERSION, trials_frame
from surrobench.results.upgrades import WITHOUT_SCHEMES
from surrobench.seeding import content_hash

MERGED = "all.parquet"
_ORDER = ["benchmark", "optimizer", "llm", "variant", "seed", "run", "trial"]


def write_outcomes(
    files: TrialFiles, outcomes: Sequence[Outcome], scenarios: Mapping[str, Scenario]
) -> set[str]:
    """Store finished runs in a new file per scenario, and return their ids.

    Raises:
        ResultsError: they could not be written (a full disk, say); nothing is left half-written.
    """
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.run.benchmark.rpartition("/")[0], []).append(outcome)
    for key, group in groups.items():
        records = [
            RunRecord(
                outcome.run,
                outcome.state,
                outcome.error,
                outcome.n,
                tuple(outcome.thinking),
                outcome.answers,
                tuple(outcome.served),
            )
            for outcome in group
        ]
        name = content_hash([[record.run.id, record.trials] for record in records])
        path = files.folder / "trials" / folder_of(key) / f"part-{name}.parquet"
        _store(files, trials_frame(group, scenarios[key]), records, path)
    return {outcome.run.id for outcome in outcomes}


def merge(files: TrialFiles) -> None:
    """Merge the files of each scenario into one, with rows and records in a fixed order.

    Raises:
        ResultsError: a file is damaged, or the merged one could not be written; the others stay.
    """
    for folder in sorted({path.parent for path in files.held}):
        paths = [path for path in files.held if path.parent == folder]
        if paths == [folder / MERGED]:
            continue
        counted = files.counted()
        records = [files.held[path][i] for path in paths for i in counted[path]]
        records.sort(key=lambda record: _place(record.run))
        with files.reading():
            frame = files.trials(scenario_key=folder.name.replace(".", "/", 1)).collect().sort(_ORDER)
        for path in paths:
            del files.held[path]
        _store(files, frame, records, folder / MERGED)
        for path in paths:
            if path.name != MERGED:
                path.unlink()


def _store(files: TrialFiles, frame: pl.DataFrame, records: list[RunRecord], path: Path) -> None:
    """Write a file, or replace it, and count what it holds from now on."""
    kept = Records.of(records)
    # Records that were begun under an older version, and go on so, stay readable by it.
    version = SCHEMA_VERSION if kept.is_newer else WITHOUT_SCHEMES
    metadata = {"schema_version": version, "runs": kept.as_json()}
    with disk_errors(files.folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(frame, path, metadata)
    files.held[path] = kept
    files.forgotten = {(other, run) for other, run in files.forgotten if other != path}
    files.outdated.pop(path, None)


def _place(run: Run) -> tuple[str, str, str, str, int, str]:
    """Return what records are sorted by, which is what trials are sorted by (``_ORDER``)."""
    return run.benchmark, run.method, run.model or "", run.variant or "", run.seed, run.id
