"""Compare LLAMBO's published runs with GPT-3.5 (Liu et al. 2024) with classical methods from the same starts.

``results/published/llambo2024`` has the trials and names their source. The suite ``llambo2024`` makes the
runs of surrobench. In this suite the method ``proposals`` evaluates LLAMBO's trials on the same tables as all
other methods. Lower values are better throughout.

The comparison is descriptive only. The methods here optimize the balanced accuracy by which all are scored,
while LLAMBO optimized plain accuracy. A start is the same on all data sets, so that 40 runs are not 40
independent ones. An interval is Student's over the five starts, after averaging over data sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from surrobench.arrays import Floats
from surrobench.benchmarks.base import Benchmark
from surrobench.benchmarks.registry import benchmark
from surrobench.errors import ResultsError
from surrobench.paths import cache_dir
from surrobench.report.data.study_data import load_study
from surrobench.report.render.table import Cell, Column, Table, number
from surrobench.reproduce import Means
from surrobench.reproduce.published import published
from surrobench.reproduce.seeds import t_interval
from surrobench.results.folder import Results
from surrobench.stats.regret import normalised_regret, quantile_regret, random_trials_worth
from surrobench.study.options import Options
from surrobench.study.session import run_study
from surrobench.suite.loading import load_suite

PAPER = SUITE = "llambo2024"
LLAMBO = "llambo"
NEARLY_BALANCED = ("australian", "segment", "vehicle")
"""The data sets whose classes are nearly equal in size, so that plain and balanced accuracy agree."""
TRIALS, GRANTED = 30, 5

MISMATCH = (
    "LLAMBO optimized plain accuracy; the tables hold balanced accuracy, which all others optimized and all "
    "are scored by. Where classes are unequal that is to LLAMBO's disadvantage: judge it by the nearly "
    "balanced data sets (*)."
)
SHARED = (
    "The five starts are the same on every data set, so intervals are over starts (Student's, n = 5, data "
    "sets averaged first). Descriptive: no p-values."
)


@dataclass(frozen=True)
class DataSet:
    """The five runs of LLAMBO on one data set, scored by the table.

    Attributes:
        name: the name of the instance.
        best, worst: the losses whose normalised regret is 0 and 1.
        reference: the losses of the whole table, ascending, shape (N,).
        start: the losses of the start by seed and trial, shape (5, 5).
        proposed: the losses of LLAMBO's proposals by seed and trial, shape (5, 25).
        agreement: the correlation of the accuracy that LLAMBO saw with the one of the table, over its trials.
    """

    name: str
    best: float
    worst: float
    reference: Floats
    start: Floats
    proposed: Floats
    agreement: float

    @property
    def balanced(self) -> bool:
        """Return whether the classes are nearly equal in size."""
        return self.name in NEARLY_BALANCED

    def regret(self, losses: Floats) -> Floats:
        """Return (loss - best) / (worst - best)."""
        return np.asarray(normalised_regret(losses, self.best, self.worst))

    def better(self, losses: Floats) -> Floats:
        """Return the share of the table's configurations that are better."""
        return np.asarray(np.searchsorted(self.reference, losses, side="left") / len(self.reference))

    @property
    def after_start(self) -> Floats:
        """Return the best loss of each start, shape (5,)."""
        return np.asarray(self.start.min(axis=1))

    @property
    def final(self) -> Floats:
        """Return LLAMBO's best loss after all trials, shape (5,)."""
        return np.asarray(np.minimum(self.after_start, self.proposed.min(axis=1)))

    def random_regret(self, draws: int) -> Floats:
        """Return the exact expected regret after each start and a number of random draws, shape (5,)."""
        N = len(self.reference)
        # This is the chance that the best of the draws is the i-th best configuration of the table.
        beyond = (np.arange(N, -1, -1) / N) ** draws
        weights = beyond[:-1] - beyond[1:]
        losses = np.minimum(self.reference[None, :], self.after_start[:, None])
        return np.asarray(self.regret(losses) @ weights, dtype=np.float64)


def reproduce(means: Means) -> Iterator[Table]:
    """Yield LLAMBO's runs, then all methods: on all data sets, the nearly balanced ones, and the others."""
    data = data_sets()
    yield _recorded(data)
    losses = _run(means)
    for key, title, kept in (
        ("all", "All eight data sets", data),
        ("balanced", "The three nearly balanced ones", [one for one in data if one.balanced]),
        ("others", "The five others", [one for one in data if not one.balanced]),
    ):
        yield _methods(key, title, kept, losses)
    yield _by_data_set(data, losses)


# ---------------------------------------------------------------------- the published side


def data_sets() -> list[DataSet]:
    """Return LLAMBO's runs by data set, nearly balanced ones first."""
    start, proposed = published(PAPER, "start.csv"), published(PAPER, "llambo.csv")
    names = start["benchmark"].unique().sort().to_list()
    found = [_data_set(benchmark(name), *(_of(rows, name) for rows in (start, proposed))) for name in names]
    return sorted(found, key=lambda one: (not one.balanced, one.name))


def _of(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.filter(pl.col("benchmark") == name).sort("seed", "trial")


def _data_set(where: Benchmark, start: pl.DataFrame, proposed: pl.DataFrame) -> DataSet:
    rows = pl.concat([start, proposed])
    columns = [column for column in rows.columns if column.startswith("config.")]
    configurations = rows.select(pl.col(column).alias(column[len("config.") :]) for column in columns)
    X = where.space.encode(configurations.to_dicts())
    values = where.evaluate(X)[where.objective.name]
    losses = where.objective.sign * values
    seeds = start["seed"].n_unique()
    reference = where.reference
    return DataSet(
        name=where.instance,
        best=reference.best,
        worst=reference.worst,
        reference=reference.sorted_losses,
        start=losses[: len(start)].reshape(seeds, -1),
        proposed=losses[len(start) :].reshape(seeds, -1),
        agreement=float(np.corrcoef(values, rows["val_accuracy"].to_numpy())[0, 1]),
    )


def _recorded(data: list[DataSet]) -> Table:
    rows = []
    for one in data:
        first = one.proposed[:, 0]
        rows.append(
            (
                Cell(one.name + ("*" if one.balanced else ""), one.name),
                number(float(one.regret(one.after_start).mean()), ".4f"),
                number(float(one.regret(first).mean()), ".4f"),
                number(float(one.regret(one.final).mean()), ".4f"),
                number(float(one.random_regret(TRIALS - GRANTED).mean()), ".4f"),
                number(float(one.better(first).mean()), ".3f"),
                number(float(one.better(one.final).mean()), ".4f"),
                number(one.agreement, ".3f"),
            )
        )
    return Table(
        "recorded",
        "LLAMBO's published runs (gpt-3.5-turbo), scored by the tables; means of 5 seeds",
        (
            Column("data_set", "data set", words=True),
            Column("after_start", "after start"),
            Column("first", "first alone"),
            Column("llambo", "LLAMBO 30"),
            Column("random", "random 30"),
            Column("first_better", "better: first"),
            Column("llambo_better", "better: LLAMBO"),
            Column("agreement", "metrics agree"),
        ),
        tuple(rows),
        (
            "Normalised regret in balanced accuracy, (best - incumbent) / (best - worst) of the table: after "
            "the five initial configurations; of LLAMBO's first proposal alone; after 30 trials of LLAMBO, "
            "and of random search from the same five (its expectation, exactly).",
            "Better: the share of the table's 30,000 configurations that are better; half of them are better "
            "than a random one, one in 31 (0.0323) than the best of 30. Metrics agree: correlation of plain "
            "and balanced accuracy over LLAMBO's trials.",
            MISMATCH,
        ),
    )


# ---------------------------------------------------------------------- our side


Losses = dict[str, dict[str, Floats]]
"""Method -> data set -> the final losses by seed, shape (5,)."""


def _run(means: Means) -> Losses:
    """Return the final losses of all methods. The runs are made once and read afterwards."""
    suite, text = load_suite(SUITE)
    out = means.out or cache_dir() / "reproduce" / PAPER
    summary = run_study(suite, text, Options(out, means.jobs), means.status)
    if not summary.complete:
        raise ResultsError(
            f"{sum(map(len, summary.problems.values()))} runs failed: {next(iter(summary.problems))}",
            f"See surrobench status {out}.",
        )
    losses: Losses = {}
    for (method, name), part in (
        load_study(Results(out)).incumbents.sort("seed").group_by("method", "benchmark", maintain_order=True)
    ):
        losses.setdefault(str(method), {})[str(name).rpartition("/")[2]] = part["score"].to_numpy()
    return losses


def _methods(key: str, title: str, data: list[DataSet], losses: Losses) -> Table:
    """Return the table of all methods on some of the data sets, best first."""
    # The shape is (data sets, 5).
    quantile = {
        method: np.array([quantile_regret(by_name[one.name], one.reference) for one in data])
        for method, by_name in losses.items()
    }
    regret = {
        method: np.array([one.regret(by_name[one.name]) for one in data])
        for method, by_name in losses.items()
    }
    rows = []
    for method in sorted(losses, key=lambda method: (quantile[method].mean(), method)):
        q, r = t_interval(100 * quantile[method].mean(axis=0)), t_interval(regret[method].mean(axis=0))
        row = [
            Cell("LLAMBO (GPT-3.5)" if method == LLAMBO else method, method),
            number(r.mean, ".4f"),
            _half(r.half, ".4f"),
            number(q.mean, ".2f"),
            _half(q.half, ".2f"),
            number(float(random_trials_worth(q.mean / 100)), ".0f"),
        ]
        if method == LLAMBO:
            rows.append((*row, *[Cell()] * 3))
            continue
        difference = t_interval(100 * (quantile[method] - quantile[LLAMBO]).mean(axis=0))
        ahead = int((quantile[method].mean(axis=1) < quantile[LLAMBO].mean(axis=1)).sum())
        row += [number(difference.mean, "+.2f"), _half(difference.half, ".2f")]
        rows.append((*row, Cell(f"{ahead}/{len(data)}", ahead)))
    return Table(
        key,
        f"{title}: after {TRIALS} trials, {GRANTED} of them given, 5 seeds",
        (
            Column("method", "method", words=True),
            Column("regret", "norm. regret"),
            Column("regret_half_width", "95 %"),
            Column("quantile", "quant. %"),
            Column("quantile_half_width", "95 %"),
            Column("random_trials", "random trials"),
            Column("difference", "less LLAMBO"),
            Column("difference_half_width", "95 %"),
            Column("ahead", "ahead on"),
        ),
        tuple(rows),
        (
            "All methods start from the same five configurations. Quantile regret in per cent, best first; "
            "the number of random trials it is worth; its difference to LLAMBO's, negative is better; on how "
            "many data sets a method is ahead of it.",
            SHARED,
        )
        if key == "all"
        else (),
    )


def _half(width: float, form: str) -> Cell:
    return Cell(f"±{width:{form}}", width)


def _by_data_set(data: list[DataSet], losses: Losses) -> Table:
    """Return the table of the quantile regret of each method on each data set."""
    quantile = {
        method: [float(100 * quantile_regret(by_name[one.name], one.reference).mean()) for one in data]
        for method, by_name in losses.items()
    }
    return Table(
        "by_data_set",
        "By data set: quantile regret in per cent, mean of 5 seeds",
        (
            Column("method", "method", words=True),
            *(Column(one.name, _short(one.name) + ("*" if one.balanced else "")) for one in data),
        ),
        tuple(
            (
                Cell("LLAMBO (GPT-3.5)" if method == LLAMBO else method, method),
                *(number(value, ".2f") for value in quantile[method]),
            )
            for method in sorted(quantile, key=lambda method: (np.mean(quantile[method]), method))
        ),
        ("* nearly balanced. LLAMBO is its published runs; all others were run here.", MISMATCH),
    )


def _short(name: str) -> str:
    return name if len(name) <= 6 else f"{name[:5]}."
