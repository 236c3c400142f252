"""Open a results folder: all of surrobench reads and writes results through here.

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

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from surrobench.benchmarks.base import Scenario
from surrobench.benchmarks.yahpo.data import remember
from surrobench.engine.outcome import Outcome
from surrobench.errors import ResultsError
from surrobench.plain_files import read_parquet
from surrobench.plan.plan import Plan
from surrobench.plan.run import Run
from surrobench.results import writing
from surrobench.results.files import (
    check_parquet,
    damaged_file,
    disk_errors,
    remove_leftovers,
    write_json,
    write_parquet,
)
from surrobench.results.ledger import continued
from surrobench.results.manifest import read_manifest
from surrobench.results.reading import TrialFiles
from surrobench.results.schema import plan_frame
from surrobench.results.upgrades import SHOWN_BEFORE


class Results(TrialFiles):
    """A results folder: its manifest, its plan and its trials.

    Raises:
        ResultsError: it is no results folder, is damaged, or a newer version of surrobench wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        remember(folder)
        super().__init__(folder)
        self._scenarios: Mapping[str, Scenario] = {}
        self._written: set[str] = set()

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
            folder: the results folder.
            manifest: the manifest of the study.
            plan: the runs that will be written, with their benchmarks.
            others: further runs that the folder is to hold.
            opened: the folder, where it is open for reading already.

        Raises:
            ResultsError: the folder holds something else, or another suite's results.
        """
        if (folder / "manifest.json").exists():
            before = opened.manifest if opened else read_manifest(folder)
            if before["suite"]["name"] != manifest["suite"]["name"]:
                raise ResultsError(
                    f"{folder} holds results of suite {before['suite']['name']!r}, not of "
                    f"{manifest['suite']['name']!r}.",
                    "Name another folder with --out.",
                )
            schemes = {*manifest["id_schemes"], *before.get("id_schemes", [1])}
            manifest = {**manifest, "sessions": before["sessions"], "id_schemes": sorted(schemes)}
            finished = len((opened or Results(folder)).recorded_runs())
            statements = continued(before, manifest["ledger"]["statements"][-1], finished)
            manifest["ledger"] = {"statements": statements}
        elif folder.exists() and any(path.name != ".lock" for path in folder.iterdir()):
            raise ResultsError(f"{folder} is not empty and holds no results.", "Name another with --out.")
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for of in (folder, *folder.glob("trials/*")):
                remove_leftovers(of)
            write_json(folder / "manifest.json", manifest)
            write_parquet(plan_frame([*plan, *others]), folder / "plan.parquet", {})
        results = opened or Results(folder)
        results.manifest, results._scenarios = dict(manifest), plan.scenarios
        return results

    @property
    def journal_path(self) -> Path:
        """The file of the completions; that of a published recording is compressed."""
        plain, compressed = self.folder / "journal.jsonl", self.folder / "journal.jsonl.gz"
        return compressed if compressed.exists() and not plain.exists() else plain

    @property
    def suite_name(self) -> str:
        """The name of the study."""
        return str(self.manifest["suite"]["name"])

    def plan(self) -> pl.DataFrame:
        """Return a row per run that the suite names: run, benchmark, optimizer, llm, variant, seed, budget.

        Raises:
            ResultsError: the file of the plan is missing or damaged.
        """
        path, remedy = self.folder / "plan.parquet", "Repeat the run command, which writes it."
        check_parquet(path, remedy)
        try:
            plan = read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise damaged_file(path, remedy) from error
        limits = plan_frame([]).schema
        if "variant" not in plan.columns:
            plan = plan.with_columns(variant=SHOWN_BEFORE)
        return plan.with_columns(
            pl.lit(None, dtype).alias(name) for name, dtype in limits.items() if name not in plan.columns
        ).select(limits.names())

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Store finished runs, see ``writing.write_outcomes``."""
        self._written |= writing.write_outcomes(self, outcomes, self._scenarios)

    def merge(self) -> None:
        """Merge the files of each scenario into one, see ``writing.merge``.

        A forgotten run that was written again loses its old record. One that was not is remembered.
        """
        self.forgotten = {(path, run) for path, run in self.forgotten if run in self._written}
        writing.merge(self)

    def forget(self, runs: Iterable[str]) -> None:
        """Leave out what is recorded of some runs until they are written again."""
        gone = set(runs)
        for path, records in self.held.items():
            self.forgotten |= {(path, run) for run in gone.intersection(records.ids)}

    def end_session(self, session: Mapping[str, Any]) -> None:
        """Add a session to the manifest."""
        self.manifest = {**self.manifest, "sessions": [*self.manifest["sessions"], dict(session)]}
        with disk_errors(self.folder):
            write_json(self.folder / "manifest.json", self.manifest)
