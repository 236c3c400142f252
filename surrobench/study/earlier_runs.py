"""Find the runs that a results folder or a recording holds under the ids of an older scheme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surrobench.llm.journal import Journal
from surrobench.plan.plan import Plan
from surrobench.results.folder import Results

FIRST_SCHEME = 1


@dataclass(frozen=True)
class EarlierRuns:
    """The ids of the runs that were begun before, where some of them are of an older scheme.

    Attributes:
        ids: of all runs that have a record or a completion; empty where all ids are of the present scheme.
        models: label of a model -> its settings, as the folder's manifest has them.
    """

    ids: frozenset[str] = frozenset()
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def names(self, plan: Plan) -> Plan:
        """Return a plan in which the runs that were begun under older ids keep these."""
        return plan.as_held(self.ids, self.models) if self.ids else plan


def earlier_runs(folder: Results | None, journal: Path | None = None) -> EarlierRuns:
    """Return which runs were begun under ids of an older scheme.

    Args:
        folder: a results folder; None where there is none.
        journal: a recording's journal that stands alone, without a folder.

    Raises:
        ResultsError: the journal is damaged.
    """
    if folder is None:
        ids = Journal(journal).runs() if journal is not None else ()
        return EarlierRuns(frozenset(ids))
    if FIRST_SCHEME not in folder.manifest.get("id_schemes", [FIRST_SCHEME]):
        return EarlierRuns()
    ids = folder.endings().keys() | Journal(folder.journal_path).runs()
    return EarlierRuns(frozenset(ids), folder.manifest.get("models", {}))
