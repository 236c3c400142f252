"""Find how a study was begun by an older version: under other ids, or with other rules of prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surrobench.llm.journal import Journal
from surrobench.llm.prompts import TEXT_RULES
from surrobench.plan.plan import Plan
from surrobench.plan.planning import plan
from surrobench.results.folder import Results
from surrobench.results.manifest import text_rules_of
from surrobench.study.options import Options
from surrobench.suite.schema import Suite

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


def planned_as_begun(suite: Suite, options: Options) -> Plan:
    """Return the plan of a suite, with the rules of writing and reading that its runs were begun with."""
    source = options.replay or options.out
    planned = plan(suite, options.part, text_rules=text_rules_of(source))
    if not source.is_file() or (source.parent / "manifest.json").is_file():
        return planned
    # A journal alone does not say its rules, but the identities of its runs do.
    recorded = Journal(source).runs()
    for rules in range(TEXT_RULES, 0, -1):
        candidate = plan(suite, options.part, planned, rules)
        if any(run.id in recorded for run in candidate.as_held(recorded, {})):
            return candidate
    return planned
