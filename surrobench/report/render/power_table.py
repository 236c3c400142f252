"""Make the table of planned studies: the power of each size to find each method's difference."""

from __future__ import annotations

import math

from surrobench.report.power import MOST, Plan, Row
from surrobench.report.render.table import Cell, Column, Table


def power_table(plan: Plan) -> Table:
    """Return a row for each method and number of seeds, with a column for each number of instances."""
    rows: list[tuple[Cell, ...]] = []
    before = None
    for row in plan.rows:
        rows.append(_row(row, plan.wanted, first=row.method != before))
        before = row.method
    return Table(
        key="power",
        title="Power in %, by number of instances",
        columns=(
            Column("method", "method", words=True),
            Column("effect", "effect"),
            Column("detectable", "detectable"),
            Column("seeds", "seeds"),
            *(Column(f"power_{n}", str(n)) for n in plan.instances),
            Column("needed", f"n for {plan.wanted:.0%}"),
        ),
        rows=tuple(rows),
        notes=plan.notes,
    )


def _row(row: Row, wanted: float, first: bool) -> tuple[Cell, ...]:
    """Return the cells of a row; what all rows of a method have in common stands in the first one."""
    detectable = f"{row.detectable:.2g}" if math.isfinite(row.detectable) else "none"
    return (
        Cell(row.method if first else "", row.method),
        Cell(f"{row.effect:+.2g}" if first else "", row.effect),
        Cell(detectable if first else "", row.detectable),
        Cell(str(row.seeds), row.seeds),
        *(
            Cell(f"{100 * one.value:.0f}±{100 * one.error:.0f}", one.value, bold=one.value >= wanted)
            for one in row.power
        ),
        Cell(str(row.needed) if row.needed else f"> {MOST}", row.needed),
    )
