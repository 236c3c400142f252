"""The one reader and writer of a results folder.

    results/STUDY/
        manifest.json                     versions, suite, models, prompts, hardware, commit, sessions
        plan.parquet                      the runs the suite names, so that missing ones can be listed
        journal.jsonl                     every completion (``llm.journal``); may be compressed, as .gz
        trials/FAMILY.SCENARIO/*.parquet  a row per trial; the file's metadata holds a record per run

A run is finished when its record is in a file: a file is written under a temporary name, fsynced and moved
into place, so there is no half-written run. Writing is idempotent: where a run stands in several files, the
one with most trials counts. At the end the files of a scenario are merged into one, rows in a fixed order,
so that equal trials give equal bytes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns, Scenario
from surrobench.benchmarks.yahpo.data import remember
from surrobench.engine.outcome import Outcome
from surrobench.engine.replay import Recording
from surrobench.errors import ResultsError
from surrobench.plan.plan import Plan
from surrobench.plan.run import Run
from surrobench.results.files import (
    DELETE_AND_REPEAT,
    METADATA,
    damaged_file,
    disk_errors,
    just_merged,
    write_json,
    write_parquet,
)
from surrobench.results.run_records import Ending, Records, RunRecord
from surrobench.results.schema import SCHEMA_VERSION, common_schema, floats, plan_frame, trials_frame
from surrobench.results.upgrades import SHOWN_BEFORE, WITHOUT_VARIANTS, as_now
from surrobench.seeding import content_hash

MERGED = "all.parquet"
_PORTION = 1 << 21
"""Trials that are read at a time where they are only passed through."""
_Files = tuple[dict[Path, Records], set[tuple[Path, str]]]
"""Those of a folder, and which runs in them do not count."""
_ORDER = ["benchmark", "optimizer", "llm", "variant", "seed", "run", "trial"]


class Results:
    """A results folder.

    Raises:
        ResultsError: it is no results folder, is damaged, or of a newer version of surrobench.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = _read_manifest(folder)
        remember(folder)
        self._scenarios: Mapping[str, Scenario] = {}
        self._forgotten: set[tuple[Path, str]] = set()
        self._written: set[str] = set()
        self._files: dict[Path, Records] = {}
        self._outdated: dict[Path, int] = {}
        self._last_counted: tuple[_Files, dict[Path, Sequence[int]]] | None = None
        for path in sorted(folder.glob("trials/*/*.parquet")):
            version, self._files[path] = _read_records(path)
            if version <= WITHOUT_VARIANTS:
                self._outdated[path] = version

    @staticmethod
    def create(
        folder: Path,
        manifest: Mapping[str, Any],
        plan: Plan,
        others: Sequence[Run] = (),
        opened: Results | None = None,
    ) -> Results:
        """Open a folder for a study, making it where there is none; its manifest and plan are replaced.

        Args:
            folder: which.
            manifest: of the study.
            plan: the runs that will be written, with their benchmarks.
            others: further runs that the folder is to hold.
            opened: the folder, where it is open for reading already.

        Raises:
            ResultsError: the folder holds something else, or another suite's results.
        """
        if (folder / "manifest.json").exists():
            before = opened.manifest if opened else _read_manifest(folder)
            if before["suite"]["name"] != manifest["suite"]["name"]:
                raise ResultsError(
                    f"{folder} holds results of suite {before['suite']['name']!r}, not of "
                    f"{manifest['suite']['name']!r}.",
                    "Name another folder with --out.",
                )
            manifest = {**manifest, "sessions": before["sessions"]}
        elif folder.exists() and any(path.name != ".lock" for path in folder.iterdir()):
            raise ResultsError(f"{folder} is not empty and holds no results.", "Name another with --out.")
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob("trials/*/.*"):  # of a killed process; nobody else writes here now
                leftover.unlink()
            write_json(folder / "manifest.json", manifest)
            write_parquet(plan_frame([*plan, *others]), folder / "plan.parquet")
        results = opened or Results(folder)
        results.manifest, results._scenarios = dict(manifest), plan.scenarios
        return results

    # ------------------------------------------------------------------ reading

    @property
    def journal_path(self) -> Path:
        """Where the completions are; those of a published recording are compressed."""
        plain, compressed = self.folder / "journal.jsonl", self.folder / "journal.jsonl.gz"
        return compressed if compressed.exists() and not plain.exists() else plain

    @property
    def suite_name(self) -> str:
        """Name of the study."""
        return str(self.manifest["suite"]["name"])

    def plan(self) -> pl.DataFrame:
        """The runs the suite names: run, benchmark, optimizer, llm, variant, seed, and the budget.

        Raises:
            ResultsError: it is missing or damaged.
        """
        try:
            plan = pl.read_parquet(self.folder / "plan.parquet")
        except (OSError, pl.exceptions.PolarsError) as error:
            raise damaged_file(
                self.folder / "plan.parquet", "Repeat the run command, which writes it."
            ) from error
        limits = plan_frame([]).schema
        if "variant" not in plan.columns:
            plan = plan.with_columns(variant=SHOWN_BEFORE)
        return plan.with_columns(
            pl.lit(None, dtype).alias(name) for name, dtype in limits.items() if name not in plan.columns
        ).select(limits.names())

    def records(self) -> dict[str, RunRecord]:
        """Run id -> its record, from the file that counts."""
        return {
            self._files[path].ids[i]: self._files[path][i]
            for path, counted in self._counted().items()
            for i in counted
        }

    def endings(self) -> dict[str, Ending]:
        """Return how each recorded run ended, by its id; the records themselves are not built."""
        return dict(
            ending
            for path, counted in self._counted().items()
            for ending in self._files[path].endings(counted)
        )

    def unfinished(self, runs: Sequence[Run]) -> list[Run]:
        """Return those of some runs that have something left to do within their budgets."""
        endings = self.endings()
        return [run for run in runs if not (run.id in endings and endings[run.id].finishes(run.budget))]

    def recorded_runs(self) -> pl.DataFrame:
        """Of every record, without building it: run, state, spent, trials, equivalents, seconds, tokens."""
        frames = [
            frame if len(counted) == len(frame) else frame[list(counted)]
            for path, counted in self._counted().items()
            for frame in [self._files[path].frame()]
        ]
        return pl.concat(frames) if frames else Records.of([]).frame()

    def trials(self, columns: Sequence[str] | None = None, scenario_key: str | None = None) -> pl.LazyFrame:
        """The trials of all recorded runs, lazily, ordered within each file.

        Args:
            columns: which; by default those common to all scenarios.
            scenario_key: only this scenario's, with all its columns unless ``columns`` are given.
        """
        if columns is None and scenario_key is None:
            columns = list(common_schema())
        frames = []
        for path, counted in self._counted().items():
            if scenario_key is not None and path.parent.name != _slug(scenario_key):
                continue
            frame = self._scan(path)
            if len(counted) < len(self._files[path]):
                frame = frame.filter(pl.col("run").is_in([self._files[path].ids[i] for i in counted]))
            frames.append(frame if columns is None else frame.select(columns))
        if not frames:
            return pl.LazyFrame(schema=common_schema())
        return pl.concat(frames)

    def runs_in(
        self, scenario_key: str, columns: Sequence[str]
    ) -> Iterator[tuple[list[str], NDArray[np.int64], pl.DataFrame]]:
        """The trials of a scenario in portions of whole runs, each run's rows together, by trial.

        Faster than ``trials``: which rows are whose is known from the records, and ids are not read.

        Yields:
            The runs; shape (runs + 1,), where each begins, and the end; the columns (``trial`` must be one).
        """
        for path, counted in self._counted().items():
            if path.parent.name != _slug(scenario_key):
                continue
            ids, lengths = self._files[path].ids, self._files[path].spent
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

    def recorded(self, scenarios: Mapping[str, Scenario]) -> dict[str, Recording]:
        """Return the configurations and observations of all runs on some scenarios, to replay them.

        Args:
            scenarios: key -> scenario.
        """
        out: dict[str, Recording] = {}
        records = self.records()
        held = {record.run.benchmark.rpartition("/")[0] for record in records.values()}
        for key in sorted(held & scenarios.keys()):
            where = scenarios[key]
            with self.reading():
                trials = self.trials(scenario_key=key).collect()
            for (run,), frame in trials.group_by("run", maintain_order=True):
                values = {name: frame[f"config.{name}"].to_list() for name in where.space.names}
                at = [floats(frame[f"fidelity.{fidelity.name}"]) for fidelity in where.fidelities]
                objectives = [frame[f"objective.{objective.name}"] for objective in where.objectives]
                out[str(run)] = _by_proposal(
                    frame["proposal"].to_numpy(),
                    Recording(
                        where.space.from_columns(values),
                        Columns(
                            np.stack([floats(column) for column in objectives], axis=1),
                            floats(frame["score"]),
                            floats(frame["cost"]),
                            np.stack(at, axis=1) if at else None,
                        ),
                        records[str(run)].thinking,
                    ),
                )
        return out

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Name the file that is to blame where collecting the trials fails.

        Raises:
            ResultsError: a file is damaged behind its intact metadata, or was merged by another process.
        """
        try:
            yield
        except (OSError, pl.exceptions.PolarsError):
            for path in self._files:
                try:
                    pl.read_parquet(path)
                except FileNotFoundError as error:
                    raise just_merged(path) from error
                except (OSError, pl.exceptions.PolarsError) as error:
                    raise damaged_file(path, DELETE_AND_REPEAT) from error
            raise

    def _scan(self, path: Path) -> pl.LazyFrame:
        frame = pl.scan_parquet(path)
        return as_now(frame, self._outdated[path]) if path in self._outdated else frame

    def _counted(self) -> dict[Path, Sequence[int]]:
        """For each file, those of its records that stand in no better file, by their place."""
        # Asked for once a scenario, and slow where there are many runs.
        files = dict(self._files), set(self._forgotten)
        if self._last_counted is None or self._last_counted[0] != files:
            self._last_counted = files, self._count()
        return self._last_counted[1]

    def _count(self) -> dict[Path, Sequence[int]]:
        everything = [run for records in self._files.values() for run in records.ids]
        if not self._forgotten and len(set(everything)) == len(everything):
            return {path: range(len(records)) for path, records in self._files.items()}
        best: dict[str, tuple[Path, int]] = {}
        for path, records in self._files.items():
            for i, run in enumerate(records.ids):
                if (path, run) not in self._forgotten and (
                    run not in best or _is_more(records, i, self._files[best[run][0]], best[run][1])
                ):
                    best[run] = path, i
        counted: dict[Path, list[int]] = {path: [] for path in self._files}
        for path, i in best.values():
            counted[path].append(i)
        return {path: sorted(places) for path, places in counted.items()}

    # ------------------------------------------------------------------ writing

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Store finished runs, a file per scenario.

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
                )
                for outcome in group
            ]
            self._written |= {record.run.id for record in records}
            name = content_hash([[record.run.id, record.trials] for record in records])
            path = self.folder / "trials" / _slug(key) / f"part-{name}.parquet"
            self._store(trials_frame(group, self._scenarios[key]), records, path)

    def merge(self) -> None:
        """Merge the files of each scenario into one, with rows and records in a fixed order.

        What was forgotten is gone from then on if it was written again, and else remembered.
        """
        self._forgotten = {(path, run) for path, run in self._forgotten if run in self._written}
        for folder in sorted({path.parent for path in self._files}):
            paths = [path for path in self._files if path.parent == folder]
            if paths == [folder / MERGED]:
                continue
            counted = self._counted()
            records = [self._files[path][i] for path in paths for i in counted[path]]
            records.sort(key=lambda record: _place(record.run))
            with self.reading():
                frame = self.trials(scenario_key=folder.name.replace(".", "/", 1)).collect().sort(_ORDER)
            for path in paths:
                del self._files[path]
            self._store(frame, records, folder / MERGED)
            for path in paths:
                if path.name != MERGED:
                    path.unlink()

    def forget(self, runs: Iterable[str]) -> None:
        """Leave out what is recorded of some runs until they are written again."""
        gone = set(runs)
        for path, records in self._files.items():
            self._forgotten |= {(path, run) for run in gone.intersection(records.ids)}

    def end_session(self, session: Mapping[str, Any]) -> None:
        """Add a session to the manifest."""
        self.manifest = {**self.manifest, "sessions": [*self.manifest["sessions"], dict(session)]}
        with disk_errors(self.folder):
            write_json(self.folder / "manifest.json", self.manifest)

    def _store(self, frame: pl.DataFrame, records: list[RunRecord], path: Path) -> None:
        kept = Records.of(records)
        metadata = {"schema_version": SCHEMA_VERSION, "runs": kept.as_json()}
        with disk_errors(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_parquet(frame, path, {METADATA: json.dumps(metadata, sort_keys=True)})
        self._files[path] = kept
        self._forgotten = {(other, run) for other, run in self._forgotten if other != path}
        self._outdated.pop(path, None)


# ---------------------------------------------------------------------- files


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise ResultsError(f"No results folder {folder}.", "Make one with: surrobench run SUITE")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        version, _ = int(manifest["schema_version"]), manifest["suite"]["name"]
    except FileNotFoundError:
        raise ResultsError(f"{folder} holds no results (no manifest.json).") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged_file(path, "Restore it, or repeat the study into another folder.") from error
    if version > SCHEMA_VERSION:
        raise ResultsError(f"{folder} was written by a newer surrobench.", "Upgrade surrobench.")
    return manifest


def _place(run: Run) -> tuple[str, str, str, str, int, str]:
    """What records are sorted by: as their trials, see ``_ORDER``."""
    return run.benchmark, run.method, run.model or "", run.variant or "", run.seed, run.id


def _slug(key: str) -> str:
    return key.replace("/", ".", 1)


def _read_records(path: Path) -> tuple[int, Records]:
    """The version of a file's schema, and the run records in its metadata.

    Raises:
        ResultsError: the file is damaged, or no file of ours.
    """
    try:
        metadata = json.loads(pl.read_parquet_metadata(path)[METADATA])
        version, records = int(metadata["schema_version"]), Records.from_json(metadata["runs"])
        # As their trials, whose rows are found by the place of the record.
        return version, records.shown_in_full() if version <= WITHOUT_VARIANTS else records
    except FileNotFoundError as error:
        raise just_merged(path) from error
    except (OSError, LookupError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
        raise damaged_file(path, DELETE_AND_REPEAT) from error


def _from_zero(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... of each length, one after the other."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _is_more(records: Records, i: int, others: Records, j: int) -> bool:
    """Whether one record of a run counts rather than another: it was given what the other was, and more."""
    mine, theirs = records.budget(i), others.budget(j)
    if mine.covers(theirs) != theirs.covers(mine):
        return mine.covers(theirs)
    return bool(records.spent[i] > others.spent[j])


def _by_proposal(proposal: NDArray[np.integer[Any]], recorded: Recording) -> Recording:
    """Trials in the order they were begun; one that was dropped, unfinished at the end, is NaN."""
    n = len(proposal)
    if np.array_equal(proposal, np.arange(n)):
        return recorded

    def spread(column: Any) -> Any:
        if column is None:
            return None
        out = np.full((proposal.max() + 1, *column.shape[1:]), np.nan)
        out[proposal] = column
        return out

    columns = recorded.columns
    return Recording(
        spread(recorded.configurations),
        Columns(*map(spread, (columns.values, columns.score, columns.cost, columns.fidelity))),
        recorded.thinking,
    )
