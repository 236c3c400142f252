"""Recompute Ferreira et al. 2026, classical and LLM methods on autoresearch, from the published trials.

``results/published/ferreira2026`` has the figures and names their sources. Lower values are better
throughout.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from surrobench.arrays import Floats
from surrobench.report.render.table import Cell, Column, Table, number, word
from surrobench.reproduce import Means
from surrobench.reproduce.published import LEGEND, against, published
from surrobench.reproduce.seeds import (
    LEVEL,
    exact_p,
    power,
    seeds_needed,
    smallest_p,
    t_interval,
    welch_interval,
)

Who = tuple[str, str]
"""A method and its language model, or ""."""

PAPER = "ferreira2026"
CONTROL = ("TPE", "")
SEEDS = 3  # the number of seeds in the paper's table
TRACKER_SEEDS = 8
IN_TRIALS: dict[str, Who] = {
    "Centaur (CMA-ES+LLM)": ("Centaur", "Qwen 27B"),
    **{
        name: (name, "Qwen 27B")
        for name in ("LLAMBO (Paper)", "LLAMBO (Optuna)", "Karpathy Agent (Code)", "Karpathy Agent (14 HPs)")
    },
    **{name: (name, "") for name in ("TPE", "SMAC", "CMA-ES", "Random")},
}
"""The name of a method in the file of trials -> its name in the table."""
TPE_STD = 0.0018
"""The deviation (ddof = 0) of TPE's eight values, as the tracker prints it; the values are not public."""


def reproduce(means: Means) -> Iterator[Table]:
    """Yield the paper's table, its tracker, and what neither of them says."""
    best, failed = _from_trials()
    tracker = _from_tracker()
    yield _table(best, failed, tracker)
    yield _against_tpe(best)
    yield _tracker(tracker)
    yield _tracker_lacks(tracker)
    yield _reach()


# ---------------------------------------------------------------------- the published data


def _from_trials() -> tuple[dict[Who, Floats], dict[Who, Floats]]:
    """Return the best value of each seed and the share of its trials that failed, shape (3,), by method."""
    runs = (
        published(PAPER, "paper_trials.csv.gz")
        .group_by("method", "seed")
        .agg(
            best=pl.col("val_bpb").filter(pl.col("success") == 1).min(),
            failed=1 - pl.col("success").mean(),
        )
        .sort("method", "seed")
    )
    parts = {IN_TRIALS[str(name)]: part for (name,), part in runs.group_by("method")}
    return (
        {who: part["best"].to_numpy() for who, part in parts.items()},
        {who: part["failed"].to_numpy() for who, part in parts.items()},
    )


def _from_tracker() -> dict[Who, Floats]:
    """Return the best value of each seed, shape (8,), by method."""
    rows = published(PAPER, "tracker_seeds.csv").sort("seed")
    return {
        (str(method), str(llm)): part["best_val_bpb"].to_numpy()
        for (method, llm), part in rows.group_by("method", "llm", maintain_order=True)
    }


# ---------------------------------------------------------------------- the paper's table


def _table(best: dict[Who, Floats], failed: dict[Who, Floats], tracker: dict[Who, Floats]) -> Table:
    rows = []
    for row in published(PAPER, "paper_table.csv", words=True).iter_rows(named=True):
        who = (row["method"], row["llm"] or "")
        values, source = best.get(who), "trials"
        if values is None:
            values, source = tracker.get(who), "tracker"
            values = None if values is None else values[:SEEDS]
        mean = None if values is None else float(values.mean())
        std = None if values is None else float(values.std())  # the paper's standard deviation has ddof = 0
        share = float(100 * failed[who].mean()) if who in failed else None
        rows.append(
            (
                *map(word, who),
                *against(row["mean_val_bpb"], mean),
                *against(row["std_val_bpb"], std),
                *against(row["oom_percent"], share),
                word("" if values is None else source),
            )
        )
    sheet = Table(
        "table",
        f"The results table: val_bpb after 24 hours, {SEEDS} seeds",
        (
            Column("method", "method", words=True),
            Column("llm", "llm", words=True),
            Column("mean_published", "mean paper"),
            Column("mean", "here"),
            Column("std_published", "std paper"),
            Column("std", "here"),
            Column("failed_published", "failed % paper"),
            Column("failed", "here"),
            Column("source", "from", words=True),
        ),
        tuple(rows),
    )
    whole = [all(cell.mark == "matches" for cell in row if cell.mark) for row in rows if _from(row, "trials")]
    unknown = [row for row in rows if any(cell.mark == "unknown" for cell in row)]
    notes = (
        f"{LEGEND} Deviations have ddof = 0, as the paper's; failed: ran out of memory, averaged over seeds.",
        f"{sum(whole)} of the {len(whole)} rows whose trials are public match in every cell. "
        f"In all, {sheet.count('matches')} cells match, {sheet.count('differs')} differ, "
        f"{sheet.count('unknown')} cannot be checked.",
        "Cannot be checked: "
        + "; ".join(
            f"{_name((row[0].text, row[1].text))} ({'failed' if row[3].mark != 'unknown' else 'all'})"
            for row in unknown
        )
        + ".",
        f"From the tracker: seeds 0 to {SEEDS - 1} of its per-seed values.",
    )
    return Table(sheet.key, sheet.title, sheet.columns, sheet.rows, notes)


def _from(row: tuple[Cell, ...], source: str) -> bool:
    return row[-1].text == source


def _name(who: Who) -> str:
    return f"{who[0]} {who[1]}".strip()


_LACKING = (
    Column("method", "method", words=True),
    Column("llm", "llm", words=True),
    Column("mean", "mean"),
    Column("mean_half_width", "95 %"),
    Column("difference", "less TPE"),
    Column("difference_half_width", "95 %"),
)
_POWER = (
    Column("power_3", "power n=3"),
    Column("power_8", "power n=8"),
    Column("seeds_needed", "n for 80%"),
)


def _against_tpe(best: dict[Who, Floats]) -> Table:
    rows = []
    control = best[CONTROL]
    for who, values in sorted(best.items(), key=lambda item: item[1].mean()):
        own = t_interval(values)
        row = [*map(word, who), number(own.mean, ".4f"), number(own.half, ".4f")]
        if who == CONTROL:
            rows.append((*row, *[Cell()] * 6))
            continue
        differences = values - control
        versus = t_interval(differences)
        row += [number(versus.mean, "+.4f"), number(versus.half, ".4f"), number(exact_p(differences), ".2f")]
        rows.append((*row, *_power_cells(versus.mean, float(differences.std(ddof=1)))))
    return Table(
        "against_tpe",
        f"What the paper lacks: intervals, and the power of {SEEDS} seeds",
        (*_LACKING, Column("p", "exact p"), *_POWER),
        tuple(rows),
        (
            f"95 %: half widths of Student's intervals (n = {SEEDS}, paired by seed). p: exact signed-rank "
            "test, two-sided, uncorrected.",
            "Power: of the exact signed-rank test (two-sided, 5 %) if the true difference and deviation were "
            "the observed ones, which few seeds know badly; simulated, normal differences.",
        ),
    )


def _power_cells(difference: float, std: float) -> list[Cell]:
    needed = seeds_needed(difference, std)
    return [
        number(power(difference, std, SEEDS), ".2f"),
        number(power(difference, std, TRACKER_SEEDS), ".2f"),
        Cell("> 100", None) if needed is None else number(needed, "d"),
    ]


# ---------------------------------------------------------------------- the tracker


def _tracker(tracker: dict[Who, Floats]) -> Table:
    printed = published(PAPER, "tracker_published.csv", words=True)
    [control] = printed.filter(pl.col("method") == CONTROL[0])["mean_val_bpb"]
    rows, odd = [], 0
    for row in printed.iter_rows(named=True):
        who = (row["method"], row["llm"] or "")
        if who == CONTROL:
            rows.append((*map(word, who), *against(row["mean_val_bpb"], None, ".5f"), *[Cell()] * 4))
            continue
        # The values have six digits, and there are n = 8 of them. Their mean has nine digits.
        mean = round(float(tracker[who].mean()), 9)
        p = float(row["p_one_sided_vs_tpe"])
        attainable = np.arange(1, 2**TRACKER_SEEDS + 1) / 2**TRACKER_SEEDS
        odd += not (np.abs(attainable - p) <= 0.0005 + 1e-9).any()
        rows.append(
            (
                *map(word, who),
                *against(row["mean_val_bpb"], mean, ".5f"),
                *against(row["delta_vs_tpe"], round(mean - float(control), 9), "+.5f"),
                *against(row["p_one_sided_vs_tpe"], None),
            )
        )
    return Table(
        "tracker",
        f"The tracker: val_bpb, {TRACKER_SEEDS} seeds, and the difference to TPE",
        (
            Column("method", "method", words=True),
            Column("llm", "llm", words=True),
            Column("mean_published", "mean published"),
            Column("mean", "here"),
            Column("difference_published", "less TPE"),
            Column("difference", "here"),
            Column("p_published", "p published"),
            Column("p", "here"),
        ),
        tuple(rows),
        (
            f"{LEGEND} Means and differences are compared in all nine printed digits.",
            "The p-values (Wilcoxon, one-sided, paired by seed) cannot be recomputed: TPE's own eight values "
            "are not public, only their mean. "
            + (
                f"{odd} of them are no multiple of 1/256, as an exact test of eight pairs gives."
                if odd
                else "All are multiples of 1/256, as an exact test of eight pairs gives."
            ),
        ),
    )


def _tracker_lacks(tracker: dict[Who, Floats]) -> Table:
    printed = published(PAPER, "tracker_published.csv")
    [control] = printed.filter(pl.col("method") == CONTROL[0])["mean_val_bpb"]
    control_std = TPE_STD * np.sqrt(TRACKER_SEEDS / (TRACKER_SEEDS - 1))
    rows = []
    for who, values in sorted(tracker.items(), key=lambda item: item[1].mean()):
        own, std = t_interval(values), float(values.std(ddof=1))
        versus = welch_interval(own.mean, std, control, control_std, TRACKER_SEEDS)
        rows.append(
            (
                *map(word, who),
                number(own.mean, ".4f"),
                number(own.half, ".4f"),
                number(versus.mean, "+.4f"),
                number(versus.half, ".4f"),
                *_power_cells(versus.mean, float(np.hypot(std, control_std))),
            )
        )
    return Table(
        "tracker_lacks",
        f"What the tracker lacks: intervals, and the power of {TRACKER_SEEDS} seeds",
        (*_LACKING, *_POWER),
        tuple(rows),
        (
            "95 %: half widths of intervals, Student's of the mean, Welch's of the difference: with TPE's "
            f"printed deviation ({TPE_STD}), as if seeds were not paired, since its values are not public.",
            "Power as above, for independent seeds.",
        ),
    )


# ---------------------------------------------------------------------- what can be shown at all


def _reach() -> Table:
    rows = []
    for n in (SEEDS, 5, 6, TRACKER_SEEDS, 10):
        both, one = smallest_p(n), smallest_p(n, two_sided=False)
        cells = [both, one, min(1.0, 8 * both), min(1.0, 12 * both)]
        rows.append((word(str(n)), *(number(p, ".4f") for p in cells)))
    return Table(
        "reach",
        "What seeds can show at all: the smallest p of an exact signed-rank test",
        (
            Column("seeds", "seeds", words=True),
            Column("two_sided", "two-sided"),
            Column("one_sided", "one-sided"),
            Column("corrected_8", "Holm, 8 methods"),
            Column("corrected_12", "Holm, 12 methods"),
        ),
        tuple(rows),
        (
            f"With {SEEDS} seeds no difference, however large, has a two-sided p below "
            f"{smallest_p(SEEDS):.2f}: nothing in the table can be shown at {LEVEL:.0%}. With "
            f"{TRACKER_SEEDS} a single comparison can, 12 of them, two-sided and corrected, cannot.",
            f"Student's t test can reject with {SEEDS}, if one believes that {SEEDS} minima are normal.",
            "The study has one task, and its seeds are the blocks: whatever the test, it speaks of this task "
            "and not of methods in general.",
        ),
    )
