"""``surrobench reproduce`` as a user sees it: every format, narrow terminals, and what is wrong."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil

import pytest
from rich.console import Console

from surrobench.paths import data_dir
from surrobench.report.render.formats import render
from surrobench.report.render.table import Cell, Column, Table, number, word
from surrobench.report.render.terminal import terminal
from surrobench.reproduce import PAPERS, Means, ferreira2026, llambo2024
from surrobench.reproduce.published import against
from tests.studies import surrobench

TABLE = Table(
    "odd",
    "50 % of a_b & [c]",
    (Column("who", "who", words=True), Column("paper", "paper"), Column("here", "here"), Column("d", "d ±")),
    (
        (word("[x] {y} | #1"), *against("0.50", 0.5049), number(-0.25, "+.2f")),
        (word("z"), *against("0.50", 0.51), Cell("±0.1", 0.1)),
        (word("w"), *against("12", None), number(float("nan"), ".1f")),
    ),
    ("a note",),
)


@pytest.mark.parametrize("paper", PAPERS)
def test_papers_are_listed_with_their_citation(paper):
    done = surrobench("reproduce")
    assert (done.status, done.err) == (0, "")
    assert paper in done.out
    assert "arXiv" in done.out


def test_an_unknown_paper_is_one_line_with_the_near_miss():
    done = surrobench("reproduce", "fereira2026")
    assert done.status == 2
    assert "Unknown paper 'fereira2026'. Did you mean 'ferreira2026'?" in done.error


def test_the_terminal_shows_every_sheet():
    done = surrobench("reproduce", "ferreira2026")
    assert (done.status, done.err) == (0, "")
    for sheet in ferreira2026.reproduce(Means()):
        assert sheet.title in done.out
    assert re.search(r"SMAC +0\.9778 +0\.9778 ✓ +0\.0020 +0\.0020 ✓ +36 +36 ✓ +trials", done.out)


def test_json_and_csv_hold_every_digit():
    done = surrobench("reproduce", "ferreira2026", "--format", "json")
    table = json.loads(done.out)["sheets"]["table"]["rows"]
    tpe = next(row for row in table if row["method"] == "TPE")
    assert tpe["mean_published"] == 0.9768
    assert tpe["mean"] == {"value": pytest.approx(0.976840333), "mark": "matches"}
    rows = list(csv.DictReader(io.StringIO(surrobench("reproduce", "ferreira2026", "--format", "csv").out)))
    [mean] = [
        row for row in rows if (row["sheet"], row["row"], row["column"]) == ("table", "TPE, trials", "mean")
    ]
    assert (float(mean["value"]), mean["mark"]) == (tpe["mean"]["value"], "matches")


def test_a_figure_that_differs_makes_the_command_fail(tmp_path, monkeypatch):
    shutil.copytree(data_dir("results/published"), tmp_path / "published")
    monkeypatch.setattr("surrobench.reproduce.published.data_dir", lambda name: tmp_path / "published")
    table = tmp_path / "published" / "ferreira2026" / "paper_table.csv"
    table.write_text(table.read_text().replace("0.9873,", "0.9874,"))
    done = surrobench("reproduce", "ferreira2026")
    assert done.status == 1
    assert re.search(r"Random +0\.9874 +0\.9873 ✗", done.out)


# ---------------------------------------------------------------------- rendering


def test_a_figure_agrees_to_the_printed_digits_and_no_further():
    marks = [against("0.9768", value)[1].mark for value in (0.97684, 0.97675001, 0.97686, 0.97674)]
    assert marks == ["matches", "matches", "differs", "differs"]
    assert against("11", 10.68)[1] == Cell("11", 10.68, "matches")
    assert against("0.5", None)[1] == Cell("", None, "unknown")
    assert against("-0.00070925", -0.00070925, "+.4f")[0].text == "-0.0007"
    assert against("0.00", -0.001)[1].mark == "matches"


def test_markdown_and_latex_escape_what_they_must():
    markdown = render([TABLE], "markdown", "c")
    assert r"| \[x\] {y} \| #1 | 0.50 | 0.50 ✓ | -0.25 |" in markdown
    assert "| w | 12 | ? | nan |" in markdown
    latex = render([TABLE], "latex", "c")
    assert r"{[}x{]} \{y\} \textbar{} \#1 & 0.50 & 0.50 $\surd$ & $-0.25$ \\" in latex
    assert r"z & 0.50 & 0.51 $\times$ & $\pm$0.1 \\" in latex
    assert r"\caption{50 \% of a\_b \& {[}c{]}}" in latex
    assert latex.isascii()
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")


def test_json_has_no_nan():
    document = json.loads(render([TABLE], "json", "c"))
    assert document["sheets"]["odd"]["rows"][2] == {
        "who": "w",
        "paper": 12.0,
        "here": {"value": None, "mark": "unknown"},
        "d": None,
    }


@pytest.mark.parametrize("width", [80, 100])
def test_nothing_is_cut_on_a_narrow_terminal(width):
    made = [*ferreira2026.reproduce(Means()), next(llambo2024.reproduce(Means()))]
    for sheet in made:
        console = Console(width=width, file=io.StringIO(), record=True)
        console.print(terminal(sheet))
        shown = console.export_text()
        assert max(map(len, shown.splitlines())) <= width
        assert "…" not in shown
        for row in sheet.rows:
            for column, cell in zip(sheet.columns, row, strict=True):
                assert column.words or cell.shown in shown
