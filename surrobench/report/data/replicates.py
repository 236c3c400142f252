"""Find out what counts as a replicate: seeds whose completions are all equal are one, and copies are none.

A deterministic model at temperature 0 that is shown the same prompt answers the same with every seed. Ten
such runs are one observation. A recording that is ranked twice, under two labels, is no comparison of two
methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from surrobench.errors import ResultsError
from surrobench.llm.journal import Journal
from surrobench.results.folder import Results
from surrobench.seeding import content_hash


@dataclass(frozen=True)
class _Asked:
    """What the model answered in one run.

    Attributes:
        method, benchmark, seed, folder: the run.
        said: the hash of all requests and texts, in order.
        event: the hash of all texts with the times that they took, which only a copy shares; empty where no
            time is known.
    """

    method: str
    benchmark: str
    seed: int
    folder: int
    said: str
    event: str


def replicate_notes(folders: Sequence[Results], plan: pl.DataFrame) -> list[str]:
    """Return notes on seeds that are one observation.

    Args:
        folders: the results.
        plan: the runs that are compared, see ``joint_plan``.

    Raises:
        ResultsError: two methods have the same completions, word by word and in the same time.
    """
    asked = list(_asked(folders, plan))
    if len(folders) > 1:
        _check_copies(asked, folders)
    seeds: dict[tuple[str, str], dict[str, list[int]]] = {}
    for one in asked:
        seeds.setdefault((one.method, one.benchmark), {}).setdefault(one.said, []).append(one.seed)
    notes = []
    for method in sorted({method for method, _ in seeds}):
        mine = {name: list(said.values()) for (of, name), said in seeds.items() if of == method}
        repeated = {name: groups for name, groups in mine.items() if any(len(group) > 1 for group in groups)}
        if not repeated:
            continue
        name, groups = min(repeated.items(), key=lambda one: (len(one[1]), one[0]))
        count = sum(map(len, groups))
        more = f", and likewise on {len(repeated) - 1} more" if len(repeated) > 1 else ""
        notes.append(
            f"{method}: the model gave the same completions with several seeds. {count} seeds on {name} are "
            f"{len(groups)} observation{'s' * (len(groups) > 1)}{more}. Tests count data sets, and hold; "
            "what is said of seeds (bands over seeds, hierarchical test, power) is surer than it should be."
        )
    return notes


def _asked(folders: Sequence[Results], plan: pl.DataFrame) -> list[_Asked]:
    """Return what models answered in the runs of a plan that ask one."""
    found = []
    columns = ("run", "method", "benchmark", "seed")
    for number, folder in enumerate(folders):
        mine = plan.filter((pl.col("folder") == number) & pl.col("llm").is_not_null())
        if mine.is_empty() or not folder.journal_path.exists():
            continue
        journal = Journal(folder.journal_path)
        known = journal.runs()
        for run, method, benchmark, seed in mine.select(columns).iter_rows():
            entries = journal.of_run(run, prompts=False) if run in known else []
            if not entries:
                continue
            said = [(entry.request, entry.completion.text) for entry in entries]
            times = [(entry.completion.text, entry.completion.latency) for entry in entries]
            timed = all(time for _, time in times)
            found.append(
                _Asked(
                    method, benchmark, seed, number, content_hash(said), content_hash(times) if timed else ""
                )
            )
            journal.release(run)
    return found


def _check_copies(asked: Sequence[_Asked], folders: Sequence[Results]) -> None:
    """Refuse two methods of two folders whose completions are the same events.

    Raises:
        ResultsError: there are such methods.
    """
    first: dict[tuple[str, str], _Asked] = {}
    for one in asked:
        other = first.setdefault((one.benchmark, one.event), one) if one.event else one
        if other.method != one.method and other.folder != one.folder:
            raise ResultsError(
                f"{other.method} in {folders[other.folder].folder} and {one.method} in "
                f"{folders[one.folder].folder} are the same completions, on {one.benchmark} seed "
                f"{one.seed}: a recording that is ranked twice is no comparison.",
                "Leave one of the folders out.",
            )
