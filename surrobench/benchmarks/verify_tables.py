"""Compare benchmarks with their reference: here, every row of every table with the package's own records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from surrobench.benchmarks.registry import SCENARIOS, scenario
from surrobench.benchmarks.tables import RUNTIME, Table, load_records


@dataclass(frozen=True)
class Verified:
    """The findings of a comparison on one benchmark."""

    benchmark: str
    rows: int
    values: int
    """The number of values: rows times repetitions times metrics."""
    different: int
    example: str


def verify_tables() -> Iterator[Verified]:
    """Compare, benchmark by benchmark, all metrics of all repetitions of all configurations, bit for bit.

    The configuration of each record is looked up in the way of a user's configuration: from its values,
    through the search space.
    """
    for key in SCENARIOS:
        table = scenario(key)
        if isinstance(table, Table):
            for instance in table.instances:
                yield _verify(table, instance)


def _verify(table: Table, instance: str) -> Verified:
    records = load_records(table, instance)
    digits = np.array([list(name) for name in records], dtype=np.int64)
    columns = {name: [values[i] for i in digits[:, j]] for j, (name, values) in enumerate(table.grid.items())}
    rows = table.rows(table.space.from_columns(columns))
    index = table.instances.index(instance)
    names = [metric.record for metric in table.metrics] + [RUNTIME]
    values = different = 0
    example = ""
    for (name, record), row in zip(records.items(), rows.tolist(), strict=True):
        expected = np.transpose([record[metric] for metric in names])
        found = table.lookup(index, row)
        values += expected.size
        if found.shape != expected.shape or not np.array_equal(found, expected):
            different += 1
            example = example or f"record {name}: {found.tolist()} instead of {expected.tolist()}"
    return Verified(f"{table.key}/{instance}", len(records), values, different, example)
