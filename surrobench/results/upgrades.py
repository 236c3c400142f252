"""Read trials that older versions stored as today's schema has them."""

from __future__ import annotations

import polars as pl

from surrobench.results.schema import common_schema

WITHOUT_VARIANTS = 3
"""The last version whose trials knew neither prompt variants nor the reply they were read from."""
SHOWN_BEFORE = pl.when(pl.col("llm").is_not_null()).then(pl.lit("full"))
"""The variant of what was run up to that version."""
WITHOUT_CLOCK = 1
"""The last version whose trials knew neither several workers nor shares of a trial."""


def as_now(trials: pl.LazyFrame, version: int) -> pl.LazyFrame:
    """Trials of an older version of the schema as they are now."""
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
