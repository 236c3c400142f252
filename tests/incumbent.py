"""Which configuration a run ended with: chosen by what was observed, scored by its mean.

Under noise, scoring a run by the best mean among its trials would be an oracle: it rewards having *visited*
a good configuration that the run itself could not tell from others.
"""

from __future__ import annotations

import polars as pl


def final_incumbents(trials: pl.LazyFrame, budget: int | None) -> pl.DataFrame:
    """The first trial with the smallest observed loss of each run, within the budget.

    Losses at different fidelities cannot be compared: of a run that varies its fidelity, the trials of the
    highest one that it has observed count, which is the full one as soon as it has reached that.

    Args:
        trials: one row per trial, in any order. Columns: ``run`` (string); ``trial`` (integer, from 0);
            ``loss`` (the observed target objective, lower is better; null or NaN where nothing was
            observed); ``score`` (the mean loss of the configuration at full fidelity, lower is better).
            Where fidelities vary, ``fidelity`` (its share of the full one) too.
        budget: only trials with ``trial < budget`` count; None: all.

    Returns:
        Columns run, trial, loss, score, one row for each run in ``trials``, ordered by run. A run that
        observed nothing within the budget has null in the other three.
    """
    of_full = pl.col("fidelity") if "fidelity" in trials.collect_schema() else pl.lit(1.0)
    trials = trials.select(
        "run",
        of_full.alias("fidelity"),
        pl.col("trial").cast(pl.Int64),
        # NaN becomes null, which no minimum picks; how NaN itself compares is a convention.
        pl.col("loss").cast(pl.Float64).fill_nan(None),
        pl.col("score").cast(pl.Float64).fill_nan(None),
    )
    runs = trials.select("run").unique()
    within = trials if budget is None else trials.filter(pl.col("trial") < budget)
    observed = within.filter(pl.col("loss").is_not_null())
    highest = observed.filter(pl.col("fidelity") == pl.col("fidelity").max().over("run"))
    incumbents = (
        highest.filter(pl.col("loss") == pl.col("loss").min().over("run"))
        .drop("fidelity")
        .sort("run", "trial")
        .unique("run", keep="first", maintain_order=True)
    )
    return runs.join(incumbents, on="run", how="left").sort("run").collect()
