"""``surrobench journal``."""

from __future__ import annotations

from pathlib import Path

import click

from surrobench.cli import output
from surrobench.cli.command import Command, verbosity_options
from surrobench.cli.options import RESULTS
from surrobench.cli.output import count


@click.group("journal", params=verbosity_options())
def command() -> None:
    """Repair the journal of a study, which holds every reply of its language models.

    \b
    Example:
      surrobench journal repair results/quick
    """


@command.command("repair", cls=Command)
@RESULTS
def repair(results: Path) -> None:
    """Drop what is damaged in the journal of the folder RESULTS.

    A damaged line is dropped together with all other lines of its run. A half-finished run is started from
    the beginning by the next surrobench run. A finished run keeps its trials, but cannot be replayed, and its
    replies cannot be shown. The journal as it was is kept beside the new one.

    \b
    Example:
      surrobench journal repair results/quick
    """
    from surrobench.results.folder import Results
    from surrobench.study.journal_files import repair as repair_journal

    folder = Results(results)
    done = repair_journal(folder)
    if done.copy is None:
        held = f"{count(done.entries, 'completion')} of {count(done.runs, 'run')}"
        output.write(f"{done.path} is whole: {held}.")
        return
    damaged = ", ".join(map(str, done.damaged[:10])) + (", ..." if len(done.damaged) > 10 else "")
    output.write(f"Damaged and dropped: {count(len(done.damaged), 'line')} ({damaged}).")
    finished = folder.endings()
    for run, entries in done.dropped.items():
        what = (
            "it keeps its trials, but cannot be replayed"
            if run in finished
            else "it starts from the beginning"
        )
        output.write(f"Run {run} has lost {count(entries, 'whole completion')}, too: {what}.")
    held = f"{count(done.entries, 'completion')} of {count(done.runs, 'run')}"
    output.write(f"The journal holds {held}; as it was, it is kept as {done.copy}.")
