"""Measure everything, print one table; exit status 1 if a limit is missed: ``make bench``.

Every figure is a ratio, or a time beside another one, taken in this run: absolute times differ tenfold
between machines. Rows whose limit is a target are reported only. Name cases to run only these.
"""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.table import Table

from surrobench.benchmarks.registry import scenario
from tests.bench.cases import CASES, SCENARIO

MARKS = {True: "[green]pass[/]", False: "[red]MISSED[/]", None: "[dim]-[/]"}


def main(names: list[str]) -> int:
    start = time.perf_counter()
    scenario(SCENARIO).reference(scenario(SCENARIO).instances[0])  # converts the tables where that is due
    # As wide as the table needs where nobody looks on, so that no cell of a log is folded.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    table = Table("what", title="Medians of interleaved repeats, in one process on one core")
    for column in ("surrobench", "by hand", "figure", "limit", ""):
        table.add_column(column, justify="right")
    ok = True
    with console.status("Measuring ...") as status:
        for case in CASES:
            if names and case.__name__ not in names:
                continue
            status.update(f"Measuring {case.__name__.replace('_', ' ')} ...")
            for row in case():
                table.add_row(row.what, row.ours, row.theirs, row.figure, row.limit, MARKS[row.ok])
                ok &= row.ok is not False
    console.print(table)
    console.print(f"{time.perf_counter() - start:.0f} s")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
