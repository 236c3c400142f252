"""``surrobench status``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
def command(results: Path) -> None:
    """What is finished in the folder RESULTS, by method.

    \b
    Example:
      surrobench status results/quick
    """
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    from surrobench.llm.journal import Journal
    from surrobench.plan.run import method_name
    from surrobench.protocol.budget import budget_of
    from surrobench.report.data.load import joint_plan, missing_parts
    from surrobench.results.folder import Results

    folder = Results(results)
    records = folder.records()
    begun = Journal(folder.journal_path).runs() - records.keys()
    counts: dict[str, Counter[str]] = {}
    plan = folder.plan()
    for row in plan.iter_rows(named=True):
        record = records.get(row["run"])
        state: str = (
            record.state
            if record is not None and record.finishes(budget_of(row))
            else "half-finished"
            if row["run"] in begun
            else "to do"
        )
        counts.setdefault(method_name(row["optimizer"], row["llm"], row["variant"]), Counter())[state] += 1
    table = Table()
    states = [
        s
        for s in ("ok", "exhausted", "failed", "half-finished", "to do")
        if any(c[s] for c in counts.values())
    ]
    table.add_column("method")
    for state in states:
        table.add_column(state, justify="right")
    for method, count in counts.items():
        table.add_row(method, *[f"{count[state]:,}" if count[state] else "-" for state in states])
    console = Console()
    console.print(f"{folder.suite_name}: runs in {results}", highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    if part := missing_parts([folder], joint_plan([folder])):
        console.print(f"A part of the suite: {part}.", highlight=False)
    for record in records.values():
        if record.state == "failed":
            console.print(
                f"failed: {record.run.method} on {record.run.benchmark}, seed {record.run.seed}: ", end=""
            )
            console.print(record.error, markup=False, highlight=False, soft_wrap=True)
    unnamed = len(records.keys() - set(plan["run"]))
    if unnamed:
        console.print(f"{unnamed:,} further runs are not named by the suite.")
    sessions = folder.manifest["sessions"]
    if sessions:
        console.print(
            f"{len(sessions)} sessions, the last ended {sessions[-1]['ended']}.", style="dim", highlight=False
        )
