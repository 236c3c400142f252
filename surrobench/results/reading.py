"""Read the Parquet files of a results folder: which of their records count, and the trials of these."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.errors import ResultsError
from surrobench.plain_files import panics_as_errors, parquet_metadata, read_parquet, scan_parquet
from surrobench.plan.run import Run
from surrobench.results.files import (
    DELETE_AND_REPEAT,
    METADATA,
    check_parquet,
    damaged_file,
    folder_of,
    just_merged,
)
from surrobench.results.run_records import Ending, Records, RunRecord
from surrobench.results.schema import SCHEMA_VERSION, common_schema
from surrobench.results.stored import Unfit, check_types
from surrobench.results.upgrades import WITHOUT_VARIANTS, as_now
from surrobench.untrusted import load_json

_DAMAGED = (OSError, LookupError, ValueError, TypeError, AttributeError)
"""What reading the metadata of a file raises that is not what surrobench writes."""
_PORTION = 1 << 21
"""Trials that are read at a time where they are only passed through."""
_State = tuple[dict[Path, Records], set[tuple[Path, str]]]
"""The files with their records, and the records (by file and run) that are forgotten."""


class TrialFiles:
    """The Parquet files of a results folder.

    A run may stand in several files, after a process was killed while it merged them. Then one record counts,
    the one with most trials (see ``_count``), and reading leaves the others out.

    Attributes:
        folder: the results folder.
        held: path -> the records of the file, in the order of its rows.
        outdated: path -> the version of the file's schema, of files that must be upgraded as they are read.
        forgotten: the file and the run of each record that does not count any more.

    A file's checksum is verified before its trials are read; opening reads the metadata alone.

    Raises:
        ResultsError: a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: dict[Path, Records] = {}
        self.outdated: dict[Path, int] = {}
        self.forgotten: set[tuple[Path, str]] = set()
        self._checked: set[Path] = set()
        self._fitting: set[Path] = set()
        self._last_counted: tuple[_State, dict[Path, Sequence[int]]] | None = None
        self._last_endings: tuple[Mapping[Path, Sequence[int]], dict[str, Ending]] | None = None
        for path in sorted(folder.glob("trials/*/*.parquet")):
            version, self.held[path] = _read_records(path)
            if version <= WITHOUT_VARIANTS:
                self.outdated[path] = version

    def records(self) -> dict[str, RunRecord]:
        """Return the record of each run by the run's id, from the file that counts."""
        out: dict[str, RunRecord] = {}
        for path, places in self.counted().items():
            try:
                out |= {self.held[path].ids[i]: self.held[path][i] for i in places}
            except (LookupError, ValueError, TypeError) as error:
                raise damaged_file(path, DELETE_AND_REPEAT) from error
        return out

    def endings(self) -> dict[str, Ending]:
        """Return how each recorded run ended, by its id; the records themselves are not built."""
        counted = self.counted()
        if self._last_endings is None or self._last_endings[0] is not counted:
            found = (ending for path, places in counted.items() for ending in self.held[path].endings(places))
            self._last_endings = counted, dict(found)
        return dict(self._last_endings[1])

    def unfinished(self, runs: Sequence[Run]) -> list[Run]:
        """Return those of some runs that have something left to do within their budgets."""
        endings = self.endings()
        return [run for run in runs if not (run.id in endings and endings[run.id].finishes(run.budget))]

    def recorded_runs(self) -> pl.DataFrame:
        """Return a row per recorded run, with the columns of ``Records.frame``; no record is built."""
        frames = [
            frame if len(places) == len(frame) else frame[list(places)]
            for path, places in self.counted().items()
            for frame in [self.held[path].frame()]
        ]
        return pl.concat(frames) if frames else Records.of([]).frame()

    def made_with(self) -> pl.DataFrame:
        """Return a row per recorded run, with the columns of ``Records.made_with``."""
        frames = [self.held[path].made_with()[list(places)] for path, places in self.counted().items()]
        return pl.concat(frames) if frames else Records.of([]).made_with()

    def versions(self) -> dict[str, Mapping[str, str]]:
        """Return the versions of the libraries of each recorded run, by its id; empty where unknown."""
        found: dict[str, Mapping[str, str]] = {}
        for path, places in self.counted().items():
            ids, versions = self.held[path].ids, self.held[path].versions()
            found |= {ids[i]: versions[i] for i in places}
        return found

    def run_settings(self) -> pl.DataFrame:
        """Return a row per recorded run, with the columns of ``Records.settings``."""
        frames = [self.held[path].settings()[list(places)] for path, places in self.counted().items()]
        return pl.concat(frames) if frames else Records.of([]).settings()

    def trials(self, columns: Sequence[str] | None = None, scenario_key: str | None = None) -> pl.LazyFrame:
        """Return the trials of all recorded runs as a lazy frame, in order within each file.

        Args:
            columns: names of the columns; by default, those that all scenarios have.
            scenario_key: the only scenario that is read, with all its columns unless ``columns`` are given.
        """
        if columns is None and scenario_key is None:
            columns = list(common_schema())
        frames = []
        for path, counted in self.counted().items():
            if scenario_key is not None and path.parent.name != folder_of(scenario_key):
                continue
            frame = self._scan(path)
            if len(counted) < len(self.held[path]):
                frame = frame.filter(pl.col("run").is_in([self.held[path].ids[i] for i in counted]))
            frames.append(frame if columns is None else frame.select(columns))
        if not frames:
            return pl.LazyFrame(schema=common_schema())
        return pl.concat(frames)

    def runs_in(
        self, scenario_key: str, columns: Sequence[str]
    ) -> Iterator[tuple[list[str], NDArray[np.int64], pl.DataFrame]]:
        """Yield the trials of a scenario in portions of whole runs, each run's rows together and in order.

        This is faster than ``trials``: the records tell which rows a run has, and its id is not read per row.

        Args:
            scenario_key: the scenario.
            columns: names of the columns; ``trial`` must be one of them.

        Yields:
            runs: the ids of the runs of the portion.
            bounds: the row where each run begins, and the end, shape (runs + 1,).
            rows: the columns.
        """
        for path, counted in self.counted().items():
            if path.parent.name != folder_of(scenario_key):
                continue
            ids, lengths = self.held[path].ids, self.held[path].spent
            ends = np.cumsum(lengths)
            low = 0
            while low < len(ids):
                begin = int(ends[low] - lengths[low])
                high = max(low + 1, int(np.searchsorted(ends, begin + _PORTION, side="right")))
                with self.reading():
                    rows = (
                        self._scan(path).slice(begin, int(ends[high - 1]) - begin).select(columns).collect()
                    )
                runs, sizes = ids[low:high], lengths[low:high]
                if not np.array_equal(rows["trial"].to_numpy(), _from_zero(sizes)):
                    raise damaged_file(path, DELETE_AND_REPEAT)
                if len(counted) < len(ids):
                    mine = np.isin(np.arange(low, high), counted)
                    rows, sizes = rows.filter(pl.Series(np.repeat(mine, sizes))), sizes[mine]
                    runs = [run for run, counts in zip(runs, mine, strict=True) if counts]
                yield runs, np.concatenate([[0], np.cumsum(sizes)]), rows
                low = high

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Name the file that is to blame where collecting the trials fails.

        Raises:
            ResultsError: a file is damaged behind its intact metadata, or was merged by another process.
        """
        try:
            with panics_as_errors(self.folder):
                yield
        except (OSError, pl.exceptions.PolarsError) as failed:
            for path in self.held:
                with _readable(path):
                    read_parquet(path)
            why = str(failed).partition("\n")[0].rstrip(".")
            raise ResultsError(
                f"The trials in {self.folder / 'trials'} do not fit together: {why}.",
                "They may be of several folders, or edited: restore them from a copy.",
            ) from failed

    def counted(self) -> Mapping[Path, Sequence[int]]:
        """Return, for each file, the places of the records that count."""
        # Asked for once a scenario, and slow where there are many runs.
        state = dict(self.held), set(self.forgotten)
        if self._last_counted is None or self._last_counted[0] != state:
            self._last_counted = state, _count(*state)
        return self._last_counted[1]

    def check(self) -> None:
        """See that the checksums of all files hold.

        Raises:
            ResultsError: one does not.
        """
        for path in self.held:
            self._check(path)

    def _check(self, path: Path) -> None:
        if path not in self._checked:
            check_parquet(path, DELETE_AND_REPEAT)
            self._checked.add(path)

    def _scan(self, path: Path) -> pl.LazyFrame:
        self._check(path)
        with _readable(path):
            frame = scan_parquet(path)
            if path in self.outdated:
                frame = as_now(frame, self.outdated[path])
            if path not in self._fitting:
                check_types(frame.collect_schema(), common_schema())
                rows, recorded = frame.select(pl.len()).collect().item(), int(self.held[path].spent.sum())
                if rows != recorded:
                    raise Unfit(f"it has {rows} trials, and its records say {recorded}")
                self._fitting.add(path)
        return frame


def _count(held: Mapping[Path, Records], forgotten: set[tuple[Path, str]]) -> dict[Path, Sequence[int]]:
    """Return, for each file, the places of its records that are not forgotten and stand in no better file."""
    everything = [run for records in held.values() for run in records.ids]
    if not forgotten and len(set(everything)) == len(everything):
        return {path: range(len(records)) for path, records in held.items()}
    best: dict[str, tuple[Path, int]] = {}
    for path, records in held.items():
        for i, run in enumerate(records.ids):
            if (path, run) not in forgotten and (
                run not in best or _is_more(records, i, held[best[run][0]], best[run][1])
            ):
                best[run] = path, i
    counted: dict[Path, list[int]] = {path: [] for path in held}
    for path, i in best.values():
        counted[path].append(i)
    return {path: sorted(places) for path, places in counted.items()}


def _is_more(records: Records, i: int, others: Records, j: int) -> bool:
    """Return whether a record counts rather than another of the same run.

    The larger budget decides; if neither budget covers the other, or they are equal, the number of trials.
    """
    mine, theirs = records.budget(i), others.budget(j)
    if mine.covers(theirs) != theirs.covers(mine):
        return mine.covers(theirs)
    return bool(records.spent[i] > others.spent[j])


def _read_records(path: Path) -> tuple[int, Records]:
    """Read the metadata of a file.

    Returns:
        version: the version of the file's schema.
        records: the records of its runs.

    Raises:
        ResultsError: the file is damaged, or surrobench did not write it.
    """
    with _readable(path):
        metadata = load_json(parquet_metadata(path)[METADATA])
        version = int(metadata["schema_version"])
        if version > SCHEMA_VERSION:
            raise ResultsError(f"{path} was written by a newer surrobench.", "Upgrade surrobench.")
        records = Records.from_json(metadata["runs"])
        for key in {name.rpartition("/")[0] for name in records.benchmarks}:
            if folder_of(key) != path.parent.name:
                raise Unfit(f"it holds runs on {key}, and lies in the folder {path.parent.name}")
        # As their trials, whose rows are found by the place of the record.
        return version, records.shown_in_full() if version <= WITHOUT_VARIANTS else records


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say that a file is damaged, and why, where reading it fails.

    Raises:
        ResultsError: the file is damaged, or was merged by another process.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise just_merged(path) from error
    except (*_DAMAGED, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise damaged_file(path, DELETE_AND_REPEAT, error if isinstance(error, Unfit) else "") from error


def _from_zero(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, ... up to each length, one range after the other."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
