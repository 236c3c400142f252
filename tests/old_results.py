"""Results folders as older versions of surrobench wrote them, made from new ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from tests.studies import edit_manifest

KEY = "surrobench"
"""Of a file's metadata."""


def as_version_3(folder: Path, out: Path, keep: Callable[[dict[str, Any]], bool] = lambda run: True) -> Path:
    """A folder as schema version 3 wrote it: neither variants nor replies in trials, plan and records, no
    verdicts.

    Args:
        folder: written by this version; its runs have trials of one scenario.
        out: where to.
        keep: which runs, by the fields of their records.
    """
    shutil.copytree(folder, out)
    edit_manifest(out, lambda manifest: manifest.update(schema_version=3))
    plan = pl.read_parquet(out / "plan.parquet").drop("variant")
    plan.write_parquet(out / "plan.parquet")
    for path in out.glob("trials/*/*.parquet"):
        metadata = json.loads(pl.read_parquet_metadata(path)[KEY])
        columns = {
            name: _values(column, metadata["runs"]["n"])
            for name, column in metadata["runs"]["columns"].items()
            if name not in ("variant", "answers")
        }
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        kept = [row for row in rows if keep(row)]
        stored = {"n": len(kept), "columns": {name: [row[name] for row in kept] for name in columns}}
        trials = pl.read_parquet(path).drop("variant", "reply")
        trials.filter(pl.col("run").is_in([row["id"] for row in kept])).write_parquet(
            path, metadata={KEY: json.dumps({"schema_version": 3, "runs": stored})}
        )
    return out


def _values(column: Any, n: int) -> list[Any]:
    if isinstance(column, list):
        return column
    if "value" in column:
        return [column["value"]] * n
    return [column["values"][code] for code in column["codes"]]
