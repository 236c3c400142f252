"""A ranking as text: one list of columns, shown by Rich, Markdown, LaTeX, CSV and JSON alike.

The text tables show rounded values and state how they came about; CSV and JSON keep every digit, and JSON
holds all that is needed to check the ranking, instance by instance.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from surrobench.errors import UnknownName
from surrobench.report import claims
from surrobench.report.claims import Judged
from surrobench.report.ranking.model import Ranking
from surrobench.report.ranking.pairwise import pairs_document
from surrobench.report.ranking.verdict_sentence import verdict_sentence
from surrobench.report.render.escape import latex_cell, markdown_cell
from surrobench.report.render.extra_tests import latex_beside, markdown_beside, rich_beside
from surrobench.stats.correction import NAMES as CORRECTIONS
from surrobench.stats.curves import share_won
from surrobench.stats.verdict import Verdict

Format = Literal["markdown", "latex", "csv", "json"]
Value = str | int | float | None


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        key: its name in CSV and JSON.
        title: its heading, short.
        value: the exact value of a method (its index); None where there is none.
        show: the value as people read it; what is empty for every method leaves its column out.
        best: which of the values is set in bold.
    """

    key: str
    title: str
    value: Callable[[Ranking, int], Value]
    show: Callable[[Ranking, int], str]
    best: Callable[[list[float]], float] | None = None


def _clipped(ranking: Ranking, method: int) -> str:
    return _small(min(1.0, max(0.0, float(ranking.mean_normalised[method]))))


def _small(value: float) -> str:
    """Three decimals, or two digits with an exponent where that would hide the value."""
    return f"{value:.3f}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def _extra(key: str) -> Callable[[Ranking, int], float | None]:
    def value(ranking: Ranking, method: int) -> float | None:
        return float(ranking.extra[key][method]) if key in ranking.extra else None

    return value


def _shown_extra(key: str, show: Callable[[float], str]) -> Callable[[Ranking, int], str]:
    def text(ranking: Ranking, method: int) -> str:
        value = _extra(key)(ranking, method)
        return "" if value is None or math.isnan(value) else show(value)

    return text


def _further(
    key: str, title: str, show: Callable[[float], str], best: Callable[[list[float]], float] | None = min
) -> Column:
    """A column that is there only where it was asked for."""
    return Column(key, title, _extra(key), _shown_extra(key, show), best)


def _amount(value: float) -> str:
    """What was spent, in any unit; more than anybody spent is a sign of its own."""
    if math.isinf(value):
        return "never"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _versus(attribute: str) -> Callable[[Ranking, int], Value]:
    def value(ranking: Ranking, method: int) -> Value:
        comparison = ranking.comparison(method)
        found: Value = None if comparison is None else getattr(comparison, attribute)
        return found

    return value


def _p_corrected(ranking: Ranking, method: int) -> str:
    comparison = ranking.comparison(method)
    if comparison is None:
        return "control" if ranking.methods[method] == ranking.control else ""
    return _small(comparison.p_corrected) + ("*" if ranking.significant(method) else "")


def _with_interval(key: str, title: str) -> Column:
    """A column of ``Ranking.extra`` whose interval stands there, too."""

    def value(ranking: Ranking, method: int) -> Value:
        found = ranking.extra.get(key)
        return None if found is None or math.isnan(found[method]) else float(found[method])

    def show(ranking: Ranking, method: int) -> str:
        if (estimate := value(ranking, method)) is None:
            return ""
        low, high = (float(ranking.extra[f"{key}_{end}"][method]) for end in ("low", "high"))
        return f"{estimate:.2f} [{low:.2f}, {high:.2f}]"

    return Column(key, title, value, show)


def _heading(column: Column, ranking: Ranking) -> str:
    """A column's title, with the correction by name."""
    if column.key == "p_corrected" and ranking.versus_control:
        return f"p ({CORRECTIONS[ranking.versus_control.correction]})"
    return column.title


def _effect(ranking: Ranking, method: int) -> str:
    comparison = ranking.comparison(method)
    return f"{comparison.effect:+.2f}" if comparison else ""


def _record(ranking: Ranking, method: int) -> str:
    comparison = ranking.comparison(method)
    return f"{comparison.wins}/{comparison.ties}/{comparison.losses}" if comparison else ""


def _raw_record(ranking: Ranking, method: int) -> Value:
    return _record(ranking, method) or None


COLUMNS = (
    Column("method", "method", lambda r, j: r.methods[j], lambda r, j: r.methods[j]),
    Column("model", "model", lambda r, j: r.models.get(r.methods[j]),
           lambda r, j: r.models.get(r.methods[j], "")),
    Column("mean_rank", "mean rank", lambda r, j: float(r.mean_rank[j]),
           lambda r, j: f"{r.mean_rank[j]:.2f}", min),
    Column("normalised_regret", "norm. regret", lambda r, j: float(r.mean_normalised[j]), _clipped, min),
    Column("quantile_regret", "quantile regret", lambda r, j: float(r.mean_quantile[j]),
           lambda r, j: _small(r.mean_quantile[j]), min),
    Column("random_trials", "random trials", lambda r, j: float(r.random_trials[j]),
           lambda r, j: f"{r.random_trials[j]:.1f}", max),
    _further("log_regret", "log10 regret", "{:.2f}".format),
    _further("area", "area", _small),
    _with_interval("iqm", "IQM"),
    _with_interval("improvement", "improvement (paired)"),
    _with_interval("improvement_unpaired", "improvement (unpaired)"),
    _further("test", "test metric", "{:.4g}".format, None),
    _further("target_share", "target reached", "{:.0%}".format, max),
    _further("target_median", "median to target", _amount),
    _further("target_mean", "mean to target", _amount),
    Column("share_won", "won", lambda r, j: float(share_won(r.values)[j]), lambda r, j: ""),
    Column("wins", "wins", lambda r, j: int(r.wins[j]), lambda r, j: str(r.wins[j]), max),
    Column("p", "p", _versus("p"), lambda r, j: ""),
    Column("p_corrected", "p (corrected)", _versus("p_corrected"), _p_corrected),
    Column("effect", "effect", _versus("effect"), _effect),
    Column("win_tie_loss", "w/t/l", _raw_record, _record),
)  # fmt: skip
"""What a ranking shows of each method, in order; what shows nothing stands in CSV and JSON only."""

NAME_WIDTH = 13
"""Of a method's name where the terminal is narrow."""
NAMES = ("method", "model")
"""The columns that hold words, aligned left."""

ASKED_FOR = (
    "log_regret",
    "area",
    "iqm",
    "improvement",
    "improvement_unpaired",
    "test",
    "target_share",
    "target_median",
    "target_mean",
)
"""The columns that are there only where they were asked for."""
INTERVALS = ("iqm", "improvement", "improvement_unpaired")
"""The wide ones among them, a value and its interval."""
USUAL = tuple(column.key for column in COLUMNS if column.key not in (*NAMES, *ASKED_FOR))
"""The columns that are always there."""


@dataclass(frozen=True)
class _Shown:
    """The cells of a text table, and which are the best of their column."""

    columns: list[Column]
    cells: list[list[str]]
    bold: list[list[bool]]


def _shown(ranking: Ranking, only: Collection[str] | None = None) -> _Shown:
    everyone = range(len(ranking.methods))
    columns, cells, bold = [], [], []
    for column in COLUMNS:
        if only is not None and column.key not in (*NAMES, *only):
            continue
        texts = [column.show(ranking, j) for j in everyone]
        if not any(texts):
            continue
        columns.append(column)
        cells.append(texts)
        best = ""
        if column.best:
            exact = {j: float(value) for j in everyone if (value := column.value(ranking, j)) is not None}
            exact = {j: value for j, value in exact.items() if not math.isnan(value)}
            # As shown: two methods that read the same are both bold.
            best = texts[next(j for j, value in exact.items() if value == column.best([*exact.values()]))]
        bold.append([bool(column.best) and text == best for text in texts])
    return _Shown(columns, _transposed(cells), _transposed(bold))


def _transposed(rows: list[list[Any]]) -> list[list[Any]]:
    return [list(row) for row in zip(*rows, strict=True)]


def _title(ranking: Ranking) -> str:
    return (f"{ranking.group}: " if ranking.group else "") + ", ".join(
        f"{number} {noun}{'' if number == 1 else 's'}"
        for number, noun in (
            (len(ranking.methods), "method"),
            (len(ranking.instances), "instance"),
            (len(ranking.seeds), "common seed"),
        )
    )


def render(
    ranking: Ranking | Sequence[Ranking],
    format: Format,  # noqa: A002 - the name of the command's option
) -> str:
    """The ranking as text, ending in a newline; one of the methods with more seeds or trials follows it.

    Args:
        ranking: what to show; several are the groups of a study, shown one after the other.
        format: ``markdown``, ``latex`` (a table for a document with booktabs), ``csv`` or ``json``.

    Raises:
        UnknownName: there is no such format.
    """
    formats = {"markdown": _markdown, "latex": _latex, "csv": _csv, "json": _json}
    if format not in formats:
        raise UnknownName("format", format, formats)
    return formats[format]([ranking] if isinstance(ranking, Ranking) else ranking)


def rich_table(ranking: Ranking) -> RenderableType:
    """The ranking for a terminal; a further ranking, of methods with more seeds or trials, follows it.

    A method's model stands beside it, or below it where the terminal is too narrow for that.
    """
    return _Terminal(ranking)


class _Terminal:
    """Chooses the layout once the width is known: in more tables where what was asked for does not fit."""

    def __init__(self, ranking: Ranking) -> None:
        self.ranking = ranking

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded = options.update(max_width=10_000)
        layouts = [[_rich_table(self.ranking, stacked=stacked)] for stacked in (False, True)]
        if self.ranking.extra:
            others = tuple(key for key in ASKED_FOR if key not in INTERVALS)
            for parts in ((USUAL, ASKED_FOR), (USUAL, INTERVALS, others)):
                tables = (_rich_table(self.ranking, stacked=True, only=part) for part in parts)
                # One that would show names alone is none.
                layouts.append([table for table in tables if len(table.columns) > 1])

        def fits(tables: list[Table]) -> bool:
            return all(Measurement.get(console, unbounded, t).maximum <= options.max_width for t in tables)

        yield from next((tables for tables in layouts if fits(tables)), layouts[-1])
        yield Text("\n".join(note.text for note in self.ranking.notes), style="dim")
        for one in self.ranking.extra_tests:
            yield Text()
            yield rich_beside(one)
            yield Text(one.note, style="dim")
        if self.ranking.further:
            yield Text(
                f"\nWith more {self.ranking.further_by}: {', '.join(self.ranking.further.methods)}",
                style="bold",
            )
            yield _Terminal(self.ranking.further)
        if self.ranking.claims:
            yield Text()
            yield _rich_claims(self.ranking.claims)
            yield Text(claims.note(self.ranking.claims), style="dim")


def _rich_table(ranking: Ranking, stacked: bool, only: Collection[str] | None = None) -> Table:
    """The table alone.

    Args:
        ranking: what to show.
        stacked: a method's model is a second line below its name.
        only: keys of the columns beside the names; None: all.
    """
    shown = _shown(ranking, only)
    table = Table(
        title=_title(ranking) if only in (None, USUAL) else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in shown.columns:
        if column.key in NAMES:
            if not (stacked and column.key == "model"):
                table.add_column(_heading(column, ranking), overflow="fold")
            continue
        # A heading of two words takes two lines, numbers never do.
        heading = Text(_heading(column, ranking).replace(" ", "\n", 1), justify="right")
        table.add_column(heading, justify="right", no_wrap=True)
    for j, (cells, bold) in enumerate(zip(shown.cells, shown.bold, strict=True)):
        row: list[Text] = []
        for column, whole, is_best in zip(shown.columns, cells, bold, strict=True):
            cell = _folded(whole) if stacked and column.key == "method" else whole
            text = Text(cell, style=_style(ranking, j, column, is_best))
            if stacked and column.key == "model":
                row[-1] = Text.assemble(row[-1], "\n", text) if cell else row[-1]
            else:
                row.append(text)
        table.add_row(*row)
    return table


_VERDICT_STYLES: dict[Verdict, str] = {
    "holds": "bold green",
    "does not hold": "bold red",
    "not resolved": "bold yellow",
}


def _rich_claims(judged: Sequence[Judged]) -> Table:
    """A claim each: its verdict, what it says, and below it the evidence."""
    table = Table(
        title="Claims of the suite",
        title_justify="left",
        title_style="bold",
        box=None,
        show_header=False,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    table.add_column(no_wrap=True)
    table.add_column()
    for one in judged:
        named = dict(zip(claims.HEADINGS, claims.row(one), strict=True))
        numbers = ", ".join(f"{key} {named[key]}" for key in claims.HEADINGS[2:])
        table.add_row(
            Text(one.verdict, style=_VERDICT_STYLES[one.verdict]),
            Text.assemble(one.claim.says, "\n", numbers, "\n", (claims.how(one), "dim")),
        )
    return table


def _folded(name: str) -> str:
    """A long name on several lines, broken at its hyphens and spaces."""
    return "\n".join(textwrap.wrap(name, NAME_WIDTH, break_long_words=False)) or name


def _style(ranking: Ranking, method: int, column: Column, is_best: bool) -> str:
    comparison = ranking.comparison(method)
    if column.key == "model":
        return "dim"
    if column.key in ("p_corrected", "effect") and comparison and ranking.significant(method):
        return "bold green" if comparison.effect > 0 else "bold red"
    return "bold" if is_best else ""


def _markdown(rankings: Sequence[Ranking]) -> str:
    return "\n".join(map(_markdown_one, rankings))


def _markdown_one(ranking: Ranking) -> str:
    cell = markdown_cell
    shown = _shown(ranking)
    rows = [[cell(_heading(column, ranking)) for column in shown.columns]]
    rows.append([":---" if column.key in NAMES else "---:" for column in shown.columns])
    rows += [list(map(cell, *pair)) for pair in zip(shown.cells, shown.bold, strict=True)]
    lines = [f"**{_title(ranking)}**", "", *("| " + " | ".join(row) + " |" for row in rows), ""]
    lines += [f"- {cell(note.text)}" for note in ranking.notes]
    text = "\n".join(lines) + "\n" + "".join(map(markdown_beside, ranking.extra_tests))
    if ranking.further:
        text += f"\nWith more {ranking.further_by}: {cell(', '.join(ranking.further.methods))}\n\n"
        text += _markdown_one(ranking.further)
    if ranking.claims:
        rows = [list(claims.HEADINGS), [":---", ":---", *["---:"] * (len(claims.HEADINGS) - 2)]]
        rows += [[cell(text, j == 1) for j, text in enumerate(claims.row(one))] for one in ranking.claims]
        text += "\n".join(["\n**Claims of the suite**\n", *("| " + " | ".join(row) + " |" for row in rows)])
        listed = [f"{one.claim.says}: {claims.how(one)}" for one in ranking.claims]
        text += "\n\n" + "".join(f"- {cell(item)}\n" for item in [*listed, claims.note(ranking.claims)])
    return text


def _latex(rankings: Sequence[Ranking]) -> str:
    return "\n".join(map(_latex_one, rankings))


def _latex_one(ranking: Ranking) -> str:
    cell = latex_cell
    shown = _shown(ranking)
    rows = [list(map(cell, *pair)) for pair in zip(shown.cells, shown.bold, strict=True)]
    for j, row in enumerate(rows):
        for i, column in enumerate(shown.columns):
            if column.key == "effect" and row[i]:
                row[i] = f"${shown.cells[j][i]}$"
    alignment = "".join("l" if column.key in NAMES else "r" for column in shown.columns)
    notes = " ".join(note.text for note in ranking.notes)
    lines = [
        r"% Needs \usepackage{booktabs}.",
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption[{cell(_title(ranking))}]{{{cell(_title(ranking) + '. ' + notes)}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        " & ".join(cell(_heading(column, ranking)) for column in shown.columns) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    text = "\n".join(lines) + "\n" + "".join(map(latex_beside, ranking.extra_tests))
    if ranking.further:
        text += f"\n% With more {ranking.further_by}: {', '.join(ranking.further.methods)}\n"
        text += _latex_one(ranking.further)
    if ranking.claims:
        text += "\n" + _latex_claims(ranking.claims)
    return text


def _latex_claims(judged: Sequence[Judged]) -> str:
    cell = latex_cell
    rows = [[cell(text, j == 1) for j, text in enumerate(claims.row(one))] for one in judged]
    for row in rows:
        row[3:] = [re.sub(r"[+-][\d.]+(e[+-]\d+)?", r"$\g<0>$", text) for text in row[3:]]
    how = " ".join(f"{one.claim.says}: {claims.how(one)}" for one in judged)
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption[Claims of the suite]{{Claims of the suite. {cell(claims.note(judged))} {cell(how)}}}",
        r"\begin{tabular}{p{0.32\linewidth}lrrrr}",
        r"\toprule",
        " & ".join(cell(heading) for heading in claims.HEADINGS) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _csv(rankings: Sequence[Ranking]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    grouped = any(ranking.group for ranking in rankings)
    # Only what was asked for of the tests beside: each has columns of its own.
    also = list(
        dict.fromkeys(key for ranking in rankings for one in ranking.extra_tests for key in one.columns())
    )
    keys = ["seeds", "trials", "instances", *(column.key for column in COLUMNS), *also]
    writer.writerow(["group", *keys] if grouped else keys)
    for ranking in rankings:
        part: Ranking | None = ranking
        while part:
            for j in range(len(part.methods)):
                exact = [column.value(part, j) for column in COLUMNS]
                beside = {
                    key: value
                    for one in part.extra_tests
                    for key, value in zip(one.columns(), one.values.get(part.methods[j], ()), strict=False)
                }
                row = [len(part.seeds), part.trials, len(part.instances), *exact, *map(beside.get, also)]
                writer.writerow([part.group, *row] if grouped else row)
            part = part.further
    return out.getvalue()


JSON_SCHEMA_VERSION = 1
"""The version of the JSON document; it counts up when a key is renamed, removed or changes its meaning."""


def _json(rankings: Sequence[Ranking]) -> str:
    documents = [_document(ranking) for ranking in rankings]
    whole = {"groups": documents} if any(ranking.group for ranking in rankings) else documents[0]
    document = {"schema_version": JSON_SCHEMA_VERSION, **whole}
    return json.dumps(_finite(document), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _document(ranking: Ranking) -> dict[str, Any]:
    """Return a ranking as a JSON value with all that is needed to check it.

    The whole document has ``schema_version`` first, and either one ranking or a list of them, ``groups``. A
    ranking has these keys; every number has all its digits, and null stands for what does not exist:

    - ``group``: the part of the study, where several are ranked; ``answer``: the sentence that answers the
      study's question;
    - ``instances`` (their number), ``seeds``, ``trials``, ``control``, ``metric``, ``anchor``, ``alpha``,
      ``blocks`` (the n of the tests): what is compared, and how;
    - ``methods``: a row of the table each, best first; the keys are the columns of CSV;
    - ``friedman``, ``nemenyi``, ``pairs``, ``versus_control``, ``also`` (extra tests): the tests;
    - ``not_resolved``: the methods that the test cannot tell from the control, with the difference that it
      needs and the observed one;
    - ``extra``: columns that were asked for, by method;
    - ``per_instance``: what each method reached on each instance, and by seed;
    - ``notes``: all notes; ``claims``: the suite's claims, judged; ``further``: a ranking of the methods with
      more seeds or trials.
    """
    test, versus = ranking.friedman, ranking.versus_control

    def by_method(values: Any) -> dict[str, Any]:
        return dict(zip(ranking.methods, np.asarray(values).tolist(), strict=True))

    def by_pair(values: Any) -> dict[str, Any]:
        return {method: by_method(row) for method, row in zip(ranking.methods, values, strict=True)}

    return {
        **({"group": ranking.group} if ranking.group else {}),
        "answer": verdict_sentence(ranking),
        "instances": len(ranking.instances),
        "seeds": list(ranking.seeds),
        "trials": ranking.trials,
        "control": ranking.control,
        "metric": ranking.metric,
        "anchor": ranking.settings.anchor,
        "alpha": ranking.alpha,
        "methods": [
            {column.key: column.value(ranking, j) for column in COLUMNS}
            for j in range(len(ranking.methods))
        ],
        "friedman": {
            "chi_square": test.chi_square, "p": test.p, "iman_davenport_f": test.f,
            "iman_davenport_p": test.f_p, "n": test.n, "k": test.k, "note": test.note,
        },
        "nemenyi": {
            "critical_difference": ranking.tested.nemenyi.critical_difference,
            "p": by_pair(ranking.tested.nemenyi.p),
        },
        "pairs": {
            **pairs_document(ranking),
            "p": by_pair(ranking.tested.pairs.p),
            "groups": [[ranking.methods[j] for j in group] for group in ranking.cliques],
        },
        "extra": {name: by_method(values) for name, values in ranking.extra.items()},
        "versus_control": versus and {
            "test": "wilcoxon",
            "correction": versus.correction,
            "n": versus.n,
            "comparisons": len(versus.comparisons),
            "smallest_reachable_p": versus.smallest_p,
            "statistic": {ranking.methods[c.method]: c.statistic for c in versus.comparisons},
        },
        "also": [one.document() for one in ranking.extra_tests],
        "blocks": ranking.friedman.n,
        "per_instance": [
            {
                "benchmark": instance,
                "block": ranking.clusters[i],
                "best_loss": float(ranking.measured.best[i]),
                "anchor_loss": float(ranking.measured.anchor_loss[i]),
                "loss": by_method(ranking.measured.loss[i]),
                "normalised_regret": by_method(ranking.measured.normalised[i]),
                "quantile_regret": by_method(ranking.measured.quantile[i]),
                "ranked": by_method(ranking.values[i]),
                "rank": by_method(ranking.ranks[i]),
                "by_seed": {name: by_method(runs[i]) for name, runs in ranking.by_run.items()},
            }
            for i, instance in enumerate(ranking.instances)
        ],
        "not_resolved": [asdict(one) for one in ranking.unresolved],
        "notes": [note.text for note in ranking.notes],
        "further": ranking.further and _document(ranking.further),
        "claims": [one.document() for one in ranking.claims],
    }  # fmt: skip


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null, which the notes explain."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
