"""Make tables of a ranking, its extra tests and the claims of its suite, and render them in every format."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import RenderableType

from surrobench.report import claims
from surrobench.report.claims import Judged
from surrobench.report.ranking.model import ExtraTest, Ranking
from surrobench.report.ranking.notes import notes_to_show, unresolved_caption
from surrobench.report.ranking.shared_model import shared_model
from surrobench.report.ranking.verdict_sentence import verdict_sentence
from surrobench.report.render import formats
from surrobench.report.render.formats import Format
from surrobench.report.render.latex import PREAMBLE, latex
from surrobench.report.render.ranking_columns import COLUMNS, RankingColumn
from surrobench.report.render.ranking_document import ranking_csv, ranking_json
from surrobench.report.render.table import Cell, Column, Table, Tone
from surrobench.report.render.terminal import terminal
from surrobench.stats.correction import NAMES as CORRECTIONS
from surrobench.stats.verdict import Verdict

NAMES = ("method", "model")
"""The columns that hold words."""


def render(
    ranking: Ranking | Sequence[Ranking],
    format: Format,  # noqa: A002 - the name of the command's option
    *,
    label: str | None = None,
    caption: str | None = None,
    notes: Sequence[str] | bool = True,
) -> str:
    """Return the ranking as text that ends in a newline.

    Args:
        ranking: what to show; several are the groups of a study, shown one after the other.
        format: ``markdown``, ``latex`` (tables for a document with booktabs), ``html``, ``csv`` or ``json``.
        label: the name for a reference to the first table in LaTeX; by default there is none.
        caption: the caption of the first table in LaTeX, plain text; by default what is ranked.
        notes: whether the notes stand below the first table in LaTeX; or other notes.

    Raises:
        UnknownName: there is no such format.
    """
    rankings = [ranking] if isinstance(ranking, Ranking) else ranking
    if format == "csv":
        return ranking_csv(rankings)
    if format == "json":
        return ranking_json(rankings)
    tables = [table for one in rankings for table in tables_of(one)]
    if format == "latex":
        first = latex(tables[0], label=label, caption=caption, notes=notes)
        return PREAMBLE + "\n".join([first, *map(latex, tables[1:])])
    return formats.render(tables, format)


def rich_table(ranking: Ranking, *, notes: bool = True) -> RenderableType:
    """Return the ranking as something that Rich can print; see ``terminal`` for ``notes``."""
    return terminal(tables_of(ranking), notes=notes)


def tables_of(ranking: Ranking) -> list[Table]:
    """Return the table of the ranking and those of its extra tests, a further ranking and the claims."""
    return list(_tables(ranking))


def _tables(ranking: Ranking) -> Iterator[Table]:
    yield _main(ranking)
    if ranking.unresolved:
        yield _unresolved(ranking)
    yield from map(_extra_test, ranking.extra_tests)
    if ranking.further:
        lead = f"With more {ranking.further_by}: {', '.join(ranking.further.methods)}"
        first, *others = _tables(ranking.further)
        yield replace(first, lead=lead)
        yield from others
    if ranking.claims:
        yield _claims(ranking.claims)


# ---------------------------------------------------------------------- the ranking itself


def _main(ranking: Ranking) -> Table:
    subtitle = shared_model(ranking)
    columns = [column for column in COLUMNS if not (subtitle is not None and column.key == "model")]
    methods = range(len(ranking.methods))
    cells = [_column(ranking, column) for column in columns]
    shown = notes_to_show(ranking).notes
    return Table(
        key="ranking",
        title=_title(ranking),
        columns=tuple(
            Column(column.key, _heading(column, ranking), words=column.key in NAMES, part=column.part)
            for column in columns
        ),
        rows=tuple(tuple(of_column[j] for of_column in cells) for j in methods),
        notes=tuple(note.text for note in shown),
        more_notes=tuple(note.text for note in ranking.notes if note not in shown),
        subtitle=subtitle or "",
        lead=verdict_sentence(ranking),
    )


def _title(ranking: Ranking) -> str:
    return (f"{ranking.group}: " if ranking.group else "") + ", ".join(
        f"{number} {noun}{'' if number == 1 else 's'}"
        for number, noun in (
            (len(ranking.methods), "method"),
            (len(ranking.instances), "instance"),
            (len(ranking.seeds), "common seed"),
        )
    )


def _heading(column: RankingColumn, ranking: Ranking) -> str:
    """Return a column's title, with the correction by name."""
    if column.key == "p_corrected" and ranking.versus_control:
        return f"p ({CORRECTIONS[ranking.versus_control.correction]})"
    return column.title


def _column(ranking: Ranking, column: RankingColumn) -> list[Cell]:
    """Return the cells of a column, the best in bold; methods that read the same are both the best."""
    methods = range(len(ranking.methods))
    texts = [column.show(ranking, j) for j in methods]
    values = [column.value(ranking, j) for j in methods]
    best = ""
    if column.best and any(texts):
        exact = {j: float(value) for j, value in enumerate(values) if value is not None}
        exact = {j: value for j, value in exact.items() if not math.isnan(value)}
        best = next((texts[j] for j, value in exact.items() if value == column.best([*exact.values()])), "")
    return [
        Cell(text, value, bold=bool(best) and text == best, tone=_tone(ranking, j, column))
        for j, (text, value) in enumerate(zip(texts, values, strict=True))
    ]


def _tone(ranking: Ranking, method: int, column: RankingColumn) -> Tone:
    comparison = ranking.comparison(method)
    if column.key in ("p_corrected", "effect") and comparison and ranking.significant(method):
        return "good" if comparison.effect > 0 else "bad"
    return "faint" if column.key == "model" else ""


# ---------------------------------------------------------------------- what follows it


def _unresolved(ranking: Ranking) -> Table:
    """Return the table of the methods that the test cannot tell from the control."""
    return Table(
        key="not_resolved",
        title="Not resolved",
        columns=(
            Column("method", "method", words=True),
            Column("needed", "needed"),
            Column("observed", "observed"),
        ),
        rows=tuple(
            (
                Cell(one.method, one.method),
                Cell(f"{one.needed:.2g}" if math.isfinite(one.needed) else "no size suffices", one.needed),
                Cell(f"{one.observed:+.2g}", one.observed),
            )
            for one in ranking.unresolved
        ),
        notes=(unresolved_caption(ranking),),
    )


def _extra_test(test: ExtraTest) -> Table:
    """Return the table of an extra test: what it finds of a method is set in bold."""
    tones: dict[str, Tone] = {"better": "good", "worse": "bad"}
    return Table(
        key=test.test,
        title=test.title,
        columns=(
            Column("method", "method", words=True),
            *(Column(number.key, number.heading) for number in test.numbers),
        ),
        rows=tuple(
            (
                Cell(method, method),
                *(
                    Cell(text, value, bold=bool(finding), tone=tones.get(finding, ""))
                    for text, value in zip(test.cells(method), values, strict=True)
                ),
            )
            for method, values in test.values.items()
            for finding in [test.findings[method]]
        ),
        notes=(test.note,),
    )


_VERDICTS: dict[Verdict, Tone] = {"holds": "good", "does not hold": "bad", "not resolved": "doubt"}


def _claims(judged: Sequence[Judged]) -> Table:
    words = ("claim", "verdict")
    return Table(
        key="claims",
        title="Claims of the suite",
        columns=tuple(
            Column(heading, heading, words=heading in words, sentences=heading == "claim")
            for heading in claims.HEADINGS
        ),
        rows=tuple(
            tuple(
                Cell(
                    text,
                    text,
                    bold=heading == "verdict",
                    tone=_VERDICTS[one.verdict] if heading == "verdict" else "",
                )
                for heading, text in zip(claims.HEADINGS, claims.row(one), strict=True)
            )
            for one in judged
        ),
        notes=(claims.note(judged),),
        row_notes=tuple(map(claims.how, judged)),
    )
