"""Read external results, to be ranked together with a study: a CSV file with a row per trial.

    method,benchmark,seed,trial,value
    their method,hpobench/mlp/car,0,0,0.71

``value`` is the benchmark's target objective in its natural direction (see ``surrobench list benchmarks``).
It is empty, NaN or infinite where a trial observed nothing. Trials are numbered from 0 or from 1. A method,
or even a run, may be split over several files.

Columns ``config.NAME`` hold the configurations, empty where a hyperparameter is inactive. Incumbents are then
scored as those of the study are, by the mean of their configuration. Without these columns, they are scored
by the value that they observed. Where a table has repetitions, that is the best of many lucky draws, and
nothing is tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from surrobench.benchmarks.base import Benchmark
from surrobench.benchmarks.registry import benchmark
from surrobench.errors import ResultsError, UsageError
from surrobench.plain_files import read_csv
from surrobench.protocol.budget import ROUNDING, Budget
from surrobench.report.data.load import Portion
from surrobench.space.hyperparameter import values_of
from surrobench.stats.steps import Unit, incumbent_steps

COLUMNS = {
    "method": pl.String,
    "benchmark": pl.String,
    "seed": pl.UInt32,
    "trial": pl.UInt32,
    "value": pl.Float64,
}
CONFIG = "config."
"""How the names of the columns begin that hold a configuration."""

_RUN = ("method", "benchmark", "seed")


def read_others(paths: Sequence[Path]) -> pl.DataFrame:
    """Return the checked trials of some files; trials are numbered from 0.

    Raises:
        ResultsError: a file cannot be read, lacks a column, or has a value of another kind; or a trial occurs
            twice or is missing.
        UnknownName: a benchmark is not known.
    """
    trials = pl.concat(
        (_read(path).with_columns(file=pl.lit(number, pl.UInt32)) for number, path in enumerate(paths)),
        how="diagonal",
    )
    trials = trials.sort(*_RUN, "trial", maintain_order=True)
    # Check all files together: two files with the same run would each pass, and the better of both would
    # count.
    _check_numbers(trials, paths)
    trials = trials.with_columns(trial=(pl.col("trial") - pl.col("trial").min().over(_RUN)).cast(pl.UInt32))
    for name in trials["benchmark"].unique(maintain_order=True):
        benchmark(name)
    return trials.select(*COLUMNS, *(name for name in trials.columns if name.startswith(CONFIG)))


def _read(path: Path) -> pl.DataFrame:
    """Return the rows of a file, typed, with the ``line`` of each; trials are numbered as in the file."""
    try:
        text = read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise ResultsError(f"{path} cannot be read: {reason}.", _form()) from None
    absent = [name for name in COLUMNS if name not in text.columns]
    if absent:
        has = ", ".join(text.columns)
        raise ResultsError(f"{path} has no column {', '.join(absent)}; it has {has}.", _form())
    config = [name for name in text.columns if name.startswith(CONFIG)]
    text = text.select(pl.col(name).str.strip_chars() for name in (*COLUMNS, *config))
    typed = text.with_columns(pl.col(name).cast(kind, strict=False) for name, kind in COLUMNS.items())
    for name in COLUMNS:
        # Only a value may be empty, or NaN.
        bad = typed[name].is_null()
        if name == "value":
            bad &= text[name].is_not_null() & (text[name] != "")
        if bad.any():
            row = int(bad.arg_true()[0])
            raise ResultsError(f"{path} line {row + 2}: {text[name][row]!r} is no {name}.", _form())
    # An infinite value has diverged: as an incumbent it would have a rank, but no difference to any other.
    observed = pl.when(pl.col("value").is_finite()).then("value")
    return typed.with_columns(value=observed, line=pl.int_range(2, pl.len() + 2))


def _check_numbers(trials: pl.DataFrame, paths: Sequence[Path]) -> None:
    """Check that the trials of each run are numbered from 0 or 1, without gaps.

    Args:
        trials: the trials of all files, by run and trial; ``file`` is a number in ``paths``.
        paths: the files.

    Raises:
        ResultsError: a run has a trial twice, or lacks one.
    """
    trials = trials.with_columns(pl.col("trial").cast(pl.Int64))
    place = pl.int_range(pl.len(), dtype=pl.Int64).over(_RUN)
    begins = pl.col("trial").min().over(_RUN)
    off = trials.filter((pl.col("trial") != place + begins) | (begins > 1))
    if off.is_empty():
        return
    mine = trials.join(off[:1], on=_RUN, how="semi", maintain_order="left")
    run = f"{off['method'][0]} on {off['benchmark'][0]} seed {off['seed'][0]}"
    remedy = "Number the trials of each run from 0 or 1, without gaps."
    double = mine.filter(pl.col("trial").is_duplicated())
    if len(double):
        lines = [f"{paths[file]} line {line}" for file, line in double[:2].select("file", "line").iter_rows()]
        raise ResultsError(f"{run} has trial {double['trial'][0]} twice: {' and '.join(lines)}.", remedy)
    known = mine["trial"].to_list()
    gap = next(trial for trial in range(min(known[0], 1), known[-1]) if trial not in known)
    files = ", ".join(str(paths[file]) for file in mine["file"].unique(maintain_order=True))
    raise ResultsError(f"{files}: {run} lacks trial {gap}.", remedy)


def _form() -> str:
    return f"Needed are the columns {', '.join(COLUMNS)}; value may be empty."


@dataclass(frozen=True)
class Beside:
    """External results beside those of a study.

    Attributes:
        runs: rows of a plan.
        portion: the step curves of these runs.
        notes: what must be shown.
        untested: why nothing may be tested with them; or "".
    """

    runs: pl.DataFrame
    portion: Portion
    notes: tuple[str, ...]
    untested: str = ""


def others_beside(
    others: pl.DataFrame, plan: pl.DataFrame, units: Sequence[Unit], limit: Budget | None = None
) -> Beside:
    """Return external results as rows of a plan and as step curves.

    Args:
        others: see ``read_others``.
        plan: the runs that the external results are ranked with. Benchmarks that the plan lacks are left out.
        units: the units of the steps.
        limit: the budget within which external trials count.

    Raises:
        ResultsError: no benchmark is common, or an external method has the name of one of the study's
            methods.
        UsageError: the external results cannot be counted in a unit.
    """
    limits = {unit: most for unit, most in asdict(limit or Budget()).items() if most is not None}
    if unknown := {*units, *limits} - {"trials", "equivalents"}:
        raise UsageError(
            f"Results of others are known by trial, not by {', '.join(sorted(unknown))}.",
            "Leave out --external, or count in trials.",
        )
    # External trials are at full fidelity.
    within = others
    for most in limits.values():
        within = within.filter(pl.col("trial") + 1.0 <= most + ROUNDING)
    common = within.join(plan.select("benchmark").unique(), on="benchmark", how="semi", maintain_order="left")
    if common.is_empty():
        raise ResultsError(
            "The results of others share no benchmark with the study.", "Compare on the same ids."
        )
    same = sorted(set(common["method"].unique()) & set(plan["method"].unique()))
    if same:
        raise ResultsError(f"{same[0]} is a method of the study and of the others.", "Rename it in the file.")
    signs = {name: benchmark(name).objective.sign for name in common["benchmark"].unique()}
    loss = pl.col("value") * pl.col("benchmark").replace_strict(signs, return_dtype=pl.Float64)
    looked_up, observed = _means(common)
    mean = pl.col("mean") * pl.col("benchmark").replace_strict(signs, return_dtype=pl.Float64)
    trials = common.with_columns(mean=looked_up).with_columns(
        loss=loss, score=pl.coalesce(mean, loss), share=pl.lit(1.0), run=pl.concat_str(*_RUN, separator="\n")
    )
    runs = trials.group_by("run", maintain_order=True).agg(
        *(pl.col(name).first() for name in _RUN), trials=pl.len().cast(plan.schema["trials"])
    )
    # A method is compared after as many trials as all its runs have.
    runs = runs.with_columns(pl.col("trials").min().over("method"), optimizer=pl.col("method"))
    first_row = len(plan)
    runs = runs.with_row_index("row", offset=first_row)
    ids, steps = incumbent_steps(trials, units)
    after = {
        most: incumbent_steps(trials, units, most)[1]
        for most in pl.concat([plan["trials"], runs["trials"]]).drop_nulls().unique().to_list()
        if (trials["trial"] >= most).any()
    }
    rows = ids.to_frame().join(runs.select("run", "row"), on="run", how="left", maintain_order="left")["row"]
    names = ", ".join(sorted(runs["method"].unique()))
    how = "by the values they observed" if observed else "by the means of their configurations"
    notes = [f"{names}: results of others, scored {how}."]
    left = sorted(set(others["benchmark"].unique()) - set(common["benchmark"].unique()))
    if left:
        notes.append(f"Of the others' benchmarks, {len(left)} are not in the study: {', '.join(left[:5])}.")
    portion = Portion(rows.to_numpy().astype("int64"), steps, None, after=after)
    return Beside(runs, portion, tuple(notes), _by_luck(observed))


def _by_luck(observed: Sequence[str]) -> str:
    """Return why nothing may be tested with what others observed on these benchmarks; or ""."""
    lucky = [name for name in observed if benchmark(name).scenario.noisy]
    if not lucky:
        return ""
    more = f" and {len(lucky) - 1} more" if len(lucky) > 1 else ""
    return (
        f"results of others are scored by what they observed on {lucky[0]}{more}, where the methods of the "
        "study are scored by means: the best of lucky draws. Columns config.NAME with their configurations "
        "make them comparable"
    )


def _means(trials: pl.DataFrame) -> tuple[pl.Series, list[str]]:
    """Return the mean value of each trial's configuration, null where it is not known.

    Returns:
        The means, and the benchmarks on which a trial that observed something has none.

    Raises:
        ResultsError: a configuration is not in the space of its benchmark.
    """
    config = [name for name in trials.columns if name.startswith(CONFIG)]
    means: list[float | None] = [None] * len(trials)
    rows = trials.select("benchmark", "value", *config).with_row_index("row")
    for (name,), part in rows.filter(pl.col("value").is_not_null()).group_by("benchmark"):
        chosen = benchmark(str(name))
        columns = [f"{CONFIG}{one}" for one in chosen.space.names if f"{CONFIG}{one}" in config]
        given = part.filter(pl.any_horizontal(pl.col(columns).is_not_null())) if columns else part[:0]
        if given.is_empty() or not chosen.scenario.can_evaluate:
            continue
        try:
            values = chosen.evaluate([_configuration(chosen, row) for row in given.to_dicts()])
        except UsageError as error:
            raise ResultsError(f"The results of others on {name}: {error.message}", error.remedy) from None
        for row, value in zip(given["row"], values[chosen.objective.name].tolist(), strict=True):
            means[row] = value
    found = pl.Series("mean", means, pl.Float64)
    unknown = trials.filter(found.is_null() & pl.col("value").is_not_null())
    return found, unknown["benchmark"].unique(maintain_order=True).to_list()


def _configuration(chosen: Benchmark, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a row of texts, with the active hyperparameters' values as the space has
    them.
    """
    return {
        name: _value(chosen.space[name], text)
        for name in chosen.space.names
        if (text := row.get(f"{CONFIG}{name}")) not in (None, "")
    }


def _value(hyperparameter: Any, text: str) -> Any:
    """Return the value that a text stands for: one of the choices as they are written, or a number."""
    for choice in values_of(hyperparameter) or ():
        if str(choice).lower() == text.lower():
            return choice
    try:
        return float(text)
    except ValueError:
        return text
