"""Make tables of a comparison of conditions: first proposals, and incumbents at the end."""

from __future__ import annotations

from collections.abc import Sequence

from surrobench.llm.prompt_variants import VARIANTS
from surrobench.report.llm.comparison import Advantage, Comparison, Row
from surrobench.report.ranking.extra_columns import RESAMPLES
from surrobench.report.render.table import NONE, Cell, Column, Table, Tone, small, word
from surrobench.stats.bootstrap import Interval
from surrobench.stats.correction import holm

_BASE = {"variant": "full", "model": "control"}


def tables_of(comparison: Comparison) -> list[Table]:
    """Return a table for the first proposals, and one for the incumbents at the end."""
    after = f"after {comparison.trials} trials" if comparison.trials else "at the end"
    return [
        Table(
            "first",
            "First proposal: quantile regret of what the model proposed first",
            _columns(comparison),
            tuple(_cells(row) for row in comparison.first),
            (_of_first(comparison), *_of_late(comparison.first), *_of_tests(comparison, comparison.first)),
            grouped=True,
        ),
        Table(
            "final",
            f"Incumbent: quantile regret {after}",
            _columns(comparison),
            tuple(_cells(row) for row in comparison.final),
            (
                f"{_extent(comparison)} Lower is better.",
                *_of_tests(comparison, comparison.final),
                *comparison.notes,
            ),
            grouped=True,
        ),
    ]


def _columns(comparison: Comparison) -> tuple[Column, ...]:
    over = _BASE[comparison.by]
    return (
        *(Column(name, name, words=True) for name in ("method", "model", "variant")),
        Column("runs", "runs"),
        Column("never", "never"),
        Column("late", "late"),
        Column("quantile_regret", "quantile regret"),
        Column("advantage", f"advantage over {over}"),
        Column("n", "n"),
        Column("p", "p"),
        Column("p_corrected", "p (Holm)"),
        Column("effect", "effect"),
        Column("win_tie_loss", "w/t/l"),
    )


def _cells(row: Row) -> tuple[Cell, ...]:
    condition, found = row.condition, row.advantage
    return (
        word(condition.method),
        word(condition.model),
        word(condition.variant),
        Cell("", row.runs),
        Cell(f"{row.never:,}" if row.never else NONE, row.never),
        Cell(f"{row.late:,}" if row.late else NONE, row.late),
        _ranged(row.regret, "") if row.regret else Cell(),
        *(_compared(found) if found else (Cell(),) * 6),
    )


def _compared(found: Advantage) -> tuple[Cell, ...]:
    p = found.p_corrected
    significant = p is not None and p <= 1 - found.interval.level
    tone: Tone = ("good" if found.effect > 0 else "bad") if significant else ""
    record = f"{found.wins}/{found.ties}/{found.losses}"
    return (
        _ranged(found.interval, "+"),
        Cell("", found.n),
        Cell("", None if p is None else found.p),
        Cell() if p is None else Cell(small(p) + ("*" if significant else ""), p, tone=tone),
        Cell(f"{found.effect:+.2f}", found.effect, tone=tone),
        Cell(record, record),
    )


def _ranged(interval: Interval, sign: str) -> Cell:
    shown = [format(end, f"{sign}.3f") for end in (interval.estimate, interval.low, interval.high)]
    estimate, low, high = shown
    if not sign and interval.estimate < 0.001:
        estimate, low, high = (f"{end:.1e}" for end in (interval.estimate, interval.low, interval.high))
    text = estimate if interval.low != interval.low else f"{estimate} [{low}, {high}]"
    return Cell(text, interval.estimate, interval=(interval.low, interval.high))


# ---------------------------------------------------------------------- notes


def _of_first(comparison: Comparison) -> str:
    granted = [initial for initial in comparison.initial if initial != "none"]
    text = (
        f"{_extent(comparison)} The quantile regret of a random configuration is 0.5 on average. A method "
        "without a model counts with its first trial after the initial design."
    )
    if not granted:
        return text + " No initial design was granted: the model proposed without seeing any trial."
    return text + (
        f" The suite granted an initial design ({', '.join(granted)}), which the prompt shows. To see what "
        'the model knows by itself, set initial = "none".'
    )


def _of_late(rows: Sequence[Row]) -> list[str]:
    never, late = sum(row.never for row in rows), sum(row.late for row in rows)
    notes = []
    if late:
        notes.append(
            f"Late: in {late:,} runs the first proposal could not be evaluated; a later one counts instead."
        )
    if never:
        notes.append(f"Never: {never:,} runs have no proposal that could be evaluated; they are left out.")
    return notes


def _extent(comparison: Comparison) -> str:
    """Return what the means are over."""
    blocks = f"{comparison.instances} instances"
    if comparison.blocks < comparison.instances:
        blocks = f"{comparison.blocks} blocks of {blocks}"
    seeds = "1 seed" if comparison.seeds == 1 else f"{comparison.seeds} common seeds"
    return f"Mean over {blocks}, {seeds} averaged within."


def _of_tests(comparison: Comparison, rows: Sequence[Row]) -> list[str]:
    found = [row.advantage for row in rows if row.advantage]
    if not found:
        return [_without_base(comparison)]
    tested = [one for one in found if one.p_corrected is not None]
    base = (
        "the same method and model that is shown everything"
        if comparison.by == "variant"
        else "the same method with the slot control in the model's place"
    )
    doubts = dict.fromkeys(one.interval.note for one in found if one.interval.note)
    notes = [
        f"Advantage: the regret of {base}, less the regret of the row, on the same instances and seeds; "
        f"positive where the row is better. Intervals: bootstrap-t at {1 - comparison.alpha:.0%}, each by "
        f"itself, from {RESAMPLES} resamples of the blocks; they generalise to instances like these. Effect: "
        "rank-biserial correlation, positive where the row is better. w/t/l: on how many blocks the row is "
        "better, equal and worse." + "".join(f" Some intervals: {doubt}." for doubt in doubts)
    ]
    if tested:
        least = min(holm([2.0 ** (1 - one.n) for one in tested]))
        sizes = sorted({one.n for one in tested})
        n = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        m = len(tested)
        notes.append(
            f"p: Wilcoxon's signed-rank test, two-sided, n = {n}, Holm over the {m} "
            f"comparison{'' if m == 1 else 's'} of this table; the smallest p it could reach is "
            f"{small(least)}. *: p is at most {comparison.alpha:g}."
        )
    return notes


def _without_base(comparison: Comparison) -> str:
    if comparison.by == "variant":
        listed = ", ".join(f'"{variant}"' for variant in VARIANTS)
        return f"There is nothing to compare with: add variants = [{listed}] to the suite."
    return 'There is nothing to compare with: add "control:random" to the models of a method.'
