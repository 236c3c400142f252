"""Decide whether runs of several folders may be tested against each other: were they run under the same
settings?

A method that observes the mean of a table's repetitions has an easier task than one that observes a single
repetition, and four workers are more than one. Where such settings differ on a benchmark, a difference of two
methods may be one of their settings.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from surrobench.benchmarks.registry import benchmark
from surrobench.errors import ResultsError
from surrobench.results.folder import Results

SETTINGS = ("initial", "noise", "workers", "overhead", "invalid")
"""The settings that all methods of a suite share."""


def unlike_settings(folders: Sequence[Results], plan: pl.DataFrame) -> str:
    """Return a sentence on the settings that differ between runs on one benchmark; empty where none do.

    Noise counts where a table has repetitions, and what happens to an invalid reply counts for methods that
    ask a model.

    Args:
        folders: the results.
        plan: the runs that are compared, with the number of their ``folder``.
    """
    if len(folders) < 2:
        return ""
    recorded = pl.concat(
        folder.run_settings().with_columns(folder=pl.lit(number, pl.UInt32))
        for number, folder in enumerate(folders)
    )
    runs = plan.select("run", "benchmark", "folder").join(recorded, on=["run", "folder"], how="inner")
    repeated = {name: benchmark(name).scenario.noisy for name in runs["benchmark"].unique()}
    of_table = pl.col("benchmark").replace_strict(repeated, return_dtype=pl.Boolean)
    runs = runs.with_columns(noise=pl.when(of_table).then("noise"))
    differing = []
    for name in SETTINGS:
        known = runs.filter(pl.col(name).is_not_null())
        mixed = known.group_by("benchmark").agg(pl.col(name).n_unique()).filter(pl.col(name) > 1)
        if mixed.is_empty():
            continue
        on = known.filter(pl.col("benchmark").is_in(mixed["benchmark"].implode()))
        values = [
            f"{_shown(value)} in {', '.join(str(folders[number].folder) for number in sorted(numbers))}"
            for value, numbers in on.group_by(name, maintain_order=True)
            .agg(pl.col("folder").unique())
            .iter_rows()
        ]
        differing.append(f"{name} is {' and '.join(values)}")
    return "; ".join(differing)


def check_settings(folders: Sequence[Results], plan: pl.DataFrame, *, mixed: bool) -> str:
    """Return what ``unlike_settings`` returns, where mixed settings are accepted.

    Raises:
        ResultsError: settings differ, and ``mixed`` is false.
    """
    differing = unlike_settings(folders, plan)
    if differing and not mixed:
        raise ResultsError(
            f"These folders were run under different settings: {differing}.",
            "Rank them apart; --mixed-settings shows them together, without tests.",
        )
    return differing


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
