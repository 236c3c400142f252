"""Find what a session has to do: the runs of the plan that are not finished."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from surrobench.plan.plan import Plan
from surrobench.plan.run import Run
from surrobench.results.folder import Results
from surrobench.results.run_records import Ending


@dataclass(frozen=True)
class Work:
    """What a session has to do.

    Attributes:
        pending: the runs of the plan that are not finished.
        unfinished: their ids, and those of the suite's other parts: a journal has one set of versions.
        failed: runs of the plan that failed before and are not tried again.
        unnamed: how many runs of the folder the suite does not name (any more).
    """

    pending: Plan
    unfinished: set[str]
    failed: list[tuple[Run, Ending]]
    unnamed: int


def left_to_do(planned: Plan, others: Sequence[Run], results: Results, *, retry_failed: bool) -> Work:
    """Find what is not finished, and have the results forget what will be run again."""
    endings = results.endings()
    if retry_failed:
        results.forget([run for run, ending in endings.items() if ending.state == "failed"])
        endings = {run: ending for run, ending in endings.items() if ending.state != "failed"}

    def unfinished(runs: Iterable[Run]) -> list[Run]:
        return [run for run in runs if not (run.id in endings and endings[run.id].finishes(run.budget))]

    pending = unfinished(planned)
    ids = {run.id for run in pending}
    # What does not reach far enough is replaced, whatever it has more of.
    results.forget(ids & endings.keys())
    failed = [
        (run, endings[run.id])
        for run in planned
        if run.id in endings and endings[run.id].state == "failed" and run.id not in ids
    ]
    return Work(
        planned.only(pending),
        ids | {run.id for run in unfinished(others)},
        failed,
        len(endings.keys() - {run.id for run in planned} - {run.id for run in others}),
    )
