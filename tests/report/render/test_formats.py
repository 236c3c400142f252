"""One table in every format: what is hostile stays text, and nothing breaks where a terminal is narrow."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from surrobench.errors import UnknownName
from surrobench.printable import printable
from surrobench.report.render.formats import render
from surrobench.report.render.html import html
from surrobench.report.render.latex import latex
from surrobench.report.render.table import Cell, Column, Table, number, word
from surrobench.report.render.terminal import terminal

HOSTILE = "a|b</td><script>alert(1)</script>[red]x[/]\x1b[31m\x00\nc\u202ed & 5% _x_ $y$ #z \\end{table}"
LONG = "agent-without-names (smollm2, anonymous)"
COLUMNS = (
    Column("method", "method", words=True),
    Column("model", "model", words=True),
    *(Column(f"c{i}", f"quantile regret{i}") for i in range(6)),
)


def table(*names: str, **fields: object) -> Table:
    rows = tuple((word(name), word("m"), *(number(-0.25 * i, ".3f") for i in range(6))) for name in names)
    return replace(Table("t", "A title", COLUMNS, rows, ("one", "two")), **fields)  # type: ignore[arg-type]


def printed(shown: Table, width: int, **options: bool) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(terminal(shown, **options))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


class Elements(HTMLParser):
    """Collects which elements there are, and the text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_hostile_name_is_text_in_every_format() -> None:
    hostile = table(HOSTILE, title=HOSTILE, notes=(HOSTILE,), subtitle=HOSTILE, lead=HOSTILE)
    shown = printed(hostile, 400)
    assert "[red]x[/]" in shown
    for text in (shown, *(render([hostile], form) for form in ("markdown", "latex", "html"))):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
        assert r"\x1b" in text.replace(r"\textbackslash{}", "\\").replace("\\\\", "\\")
    page = Elements(html([hostile]))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert page.tags.count("td") == 8
    rows = [line for line in render([hostile], "markdown").splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {9}
    body = [line for line in render([hostile], "latex").splitlines() if not line.startswith("%")]
    assert "\n".join(body).count(r"\end{table}") == 1
    assert next(csv.DictReader(io.StringIO(render([hostile], "csv"))))["method"] == HOSTILE
    assert json.loads(render([hostile], "json"))["t"]["rows"][0]["method"] == HOSTILE


def test_what_can_be_printed_stays_as_it_is() -> None:
    assert printable("Łukasz's ± 模型 ✓ a b") == "Łukasz's ± 模型 ✓ a b"
    assert printable("two\nlines\n") == "two lines"


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120, 160])
@pytest.mark.parametrize("grouped", [False, True])
def test_a_name_takes_at_most_two_lines_and_numbers_are_never_broken(width: int, grouped: bool) -> None:
    shown = printed(table(LONG, "random", grouped=grouped), width)
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("-0.250") == shown.count("-1.250") == 2
    start = shown.splitlines()
    [first] = [i for i, line in enumerate(start) if "agent-without" in line]
    assert "anonymous)" in start[first] + start[first + 1]


def test_a_table_of_parts_is_split_before_its_names_are_broken() -> None:
    columns = tuple(replace(column, part=i // 4) for i, column in enumerate(COLUMNS))
    shown = printed(table("karpathy-agent (smollm2)", columns=columns), 66)
    assert shown.count("karpathy-agent (smollm2)") == 2
    assert shown.count("───") >= 2


def test_further_notes_are_folded_unless_they_are_asked_for() -> None:
    noted = table("a", more_notes=("three", "four"))
    assert "2 more notes: --notes" in printed(noted, 100, notes=False)
    assert "three" not in printed(noted, 100, notes=False)
    assert "four" in printed(noted, 100)
    for form in ("markdown", "latex", "html", "json"):
        assert "four" in render([noted], form)  # type: ignore[arg-type]
    assert "<summary" in html([noted])


def test_latex_takes_a_label_a_caption_and_notes() -> None:
    shown = latex(table("a"), label="tab:ranking_1", caption="50 % of all", notes=["mine"])
    assert r"\caption{50 \% of all}" + "\n" + r"\label{tab:ranking_1}" in shown
    assert "mine" in shown
    assert "one" not in shown
    assert "minipage" not in latex(table("a"), notes=False)
    assert r"\label" not in latex(table("a"))
    assert r"\label{a-b-}" in latex(table("a"), label="a}b}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+0.28", "$+0.28$"),
        ("-0.246 to -0.0898", "$-0.246$ to $-0.0898$"),
        ("1.0e-05", r"$1.0 \cdot 10^{-5}$"),
        ("-1.2e-12", r"$-1.2 \cdot 10^{-12}$"),
        ("0.001*", r"0.001\textsuperscript{*}"),
        ("8/0/4", "8/0/4"),
        ("5-10", "5-10"),
        ("+0.1 [-0.2, +1,000]", "$+0.1$ {[}$-0.2$, $+1,000${]}"),
        ("±0.1", r"$\pm$0.1"),
    ],
)
def test_numbers_are_mathematics_in_latex_where_they_need_that(text: str, expected: str) -> None:
    one = Table("t", "t", (Column("m", "m", words=True), Column("x", "x")), ((word("-1"), Cell(text)),))
    assert rf"-1 & {expected} \\" in latex(one)


def test_html_has_a_row_for_each_method_and_needs_nothing_from_outside() -> None:
    page = html([table("random", "tpe")])
    assert Elements(page).tags.count("tr") == 3
    assert not re.search(r"https?:|<link|<style|src=", page)


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'latex'"):
        render([table("a")], "latx")  # type: ignore[arg-type]
