"""Upgrade trials that older versions of surrobench stored."""

from __future__ import annotations

import polars as pl

from surrobench.results.schema import common_schema

WITHOUT_VARIANTS = 3
"""The last schema version whose trials name neither a prompt variant nor the reply they were read from."""
SHOWN_BEFORE = pl.when(pl.col("llm").is_not_null()).then(pl.lit("full"))
"""The prompt variant of the trials that were run up to that version."""
WITHOUT_SCHEMES = 4
"""The last schema version whose records have ids of the first scheme alone, see ``plan.identity``."""
WITHOUT_CLOCK = 1
"""The last schema version without several workers and without shares of a trial."""


def as_now(trials: pl.LazyFrame, version: int) -> pl.LazyFrame:
    """Return trials of an older version of the schema with the columns of the present one."""
    now = trials.with_columns(variant=SHOWN_BEFORE, reply=pl.lit(None, pl.String))
    if version <= WITHOUT_CLOCK:
        now = now.with_columns(
            share=pl.lit(1.0),
            finished=pl.col("cost").cum_sum().over("run", order_by="trial"),
            overhead=pl.lit(0.0),
            proposal=pl.col("trial").cast(pl.UInt32),
        )
    common = list(common_schema())
    return now.select(*common, pl.exclude(common))
