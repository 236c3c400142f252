"""Nothing that others wrote is obeyed by a terminal, a spreadsheet or a browser."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import surrobench as package
from surrobench.printable import printable, printable_lines
from surrobench.report.render.csv_json import to_csv, to_json
from surrobench.results.folder import Results
from surrobench.terminal import Terminal
from tests.llm.faulty_server import FaultyServer, ok
from tests.studies import AGENT, run, suite_text, surrobench

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m"
ODD = f"[/x][link=http://evil.example]here[/link] [relu] :smile: {ESCAPE}\u202e</script><b>&\ufffe"
"""A label as an old folder may hold one: closing markup, a link, an escape sequence, another direction."""
OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ufffe]")


def test_a_text_is_printed_as_it_is_written() -> None:
    out = io.StringIO()
    console = Terminal(file=out, force_terminal=True, color_system="truecolor", width=300)
    console.print(ODD, style="bold")
    console.print("[bold]a[/]", ["[relu]"], {"a": ESCAPE})
    console.rule(ODD)
    with console.status(ODD) as status:
        status.update(ODD)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())  # Rich's own colours and moves
    assert "[/x][link=http://evil.example]here[/link] [relu] :smile: \\x1b]0;owned" in text
    assert "[bold]a[/]" in text
    assert not OBEYED.search(text.replace("\r", ""))


def test_printable_keeps_letters_of_all_scripts_and_lines_where_they_are_wanted() -> None:
    assert printable("é 模型 ± ✓\nline") == "é 模型 ± ✓ line"
    assert printable_lines("a\tb\n\x1bc\r") == "a\tb\n\\x1bc\\r"
    assert printable("\ud800\ufffe") == "\\ud800\\ufffe"


def test_nothing_but_the_output_module_prints() -> None:
    """A console of Rich's own, or ``click.echo``, would let everything through."""
    root = Path(package.__file__).parent
    allowed = {"cli/output.py", "terminal.py", "benchmarks/yahpo/reference_script.py"}
    wrong = []
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if name in allowed or not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in {"print", "click.echo", "click.secho", "Console", "Text.from_markup", "rprint"}:
                wrong.append(f"{name}:{node.lineno}: {called}")
    assert wrong == []


@pytest.fixture(scope="module")
def odd_results(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose method TPE has a label that no suite may have today."""
    folder = tmp_path_factory.mktemp("odd") / "r"
    shutil.copytree(results, folder)
    plan = pl.read_parquet(folder / "plan.parquet")
    label = pl.when(pl.col("optimizer") == "tpe").then(pl.lit(ODD)).otherwise("optimizer")
    plan.with_columns(optimizer=label).write_parquet(folder / "plan.parquet")
    return folder


def _commands(folder: Path) -> list[tuple[object, ...]]:
    plan = Results(folder).plan()
    run_id = plan.filter(pl.col("optimizer") == ODD)["run"][0]
    benchmark = plan["benchmark"][0]
    return [
        ("status", folder),
        ("runs", folder),
        ("show", run_id, "--results", folder),
        ("show", f"{ODD}:{benchmark}:0", "--results", folder),
        ("rank", folder),
        *(("rank", folder, "--format", form) for form in ("markdown", "latex", "csv")),
        ("rank", folder, "--method", "nothing"),
        ("rank", folder, "--control", ODD),
        ("power", folder, "--simulations", 10, "--seeds", 2, "--instances", 2),
        ("list", "suites", ODD),
        ("run", ODD),
        (ODD,),
    ]


def test_an_old_folder_with_an_odd_label_is_readable_and_harmless(odd_results: Path) -> None:
    for command in _commands(odd_results):
        done = surrobench(*command)
        for text in (done.out, done.err):
            assert not OBEYED.search(text), command
        assert "Traceback" not in done.err
        assert done.status == (2 if command[0] in ("list", "run", ODD) or "nothing" in command else 0), (
            command
        )


def test_json_escapes_what_a_terminal_obeys_and_reads_back_the_same(odd_results: Path) -> None:
    done = surrobench("rank", odd_results, "--format", "json")
    assert not OBEYED.search(done.out)
    assert ODD in [row["method"] for row in json.loads(done.out)["methods"]]
    assert json.loads(to_json({"a": "é\U000e0041\x9b"})) == {"a": "é\U000e0041\x9b"}
    listed = surrobench("runs", odd_results, "--json")
    assert not OBEYED.search(listed.out)
    assert ODD in {row["method"] for row in json.loads(listed.out)["runs"]}


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf", ".html"])
def test_figures_draw_odd_labels(odd_results: Path, tmp_path: Path, suffix: str) -> None:
    figure = tmp_path / f"f{suffix}"
    for command in (("plot", "wins", odd_results, "--out"), ("rank", odd_results, "--figure")):
        done = surrobench(*command, figure)
        assert done.status == 0, done.err
        content = figure.read_bytes()
        if suffix in (".svg", ".html"):
            assert b"</script><b>" not in content
            assert b"\x1b]0;" not in content


def test_a_word_that_looks_like_a_formula_is_a_word_in_a_spreadsheet() -> None:
    words = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "plain", "a=b"]
    rows = [{"word": word, "number": -1.5} for word in words]
    read = list(csv.DictReader(io.StringIO(to_csv(rows, ["word", "number"]), newline="")))
    assert [row["word"] for row in read] == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "plain", "a=b"]
    assert {row["number"] for row in read} == {"-1.5"}
    # A data frame is no spreadsheet.
    assert to_csv([{"word": "=1"}], ["word"], guarded=False) == "word\n=1\n"


def test_words_of_a_model_and_errors_of_a_server_are_shown_harmless(tmp_path: Path) -> None:
    """With ``retry:n`` the model's own words come back in a prompt."""
    refused = (400, {"error": {"message": f"no {ESCAPE}"}})
    for name, behaviour in (("words", ok(f"no {ESCAPE}")), ("error", refused)):
        with FaultyServer(lambda body, behaviour=behaviour: behaviour) as server:
            suite = tmp_path / f"{name}.toml"
            suite.write_text(
                suite_text(
                    methods=[],
                    models={"m": server.url},
                    seeds=1,
                    head=f'invalid = "retry:1"\ncontrol = "{AGENT}"',
                )
            )
            done = surrobench("run", suite, "--out", tmp_path / name, "--jobs", 1)
        assert not OBEYED.search(done.out + done.err)
        out = tmp_path / name
        shown = surrobench("show", f"{AGENT}:hpobench/mlp/australian:0", "--results", out, "--prompts")
        for text in (shown.out, shown.err, surrobench("status", out).out):
            assert not OBEYED.search(text)
        if name == "words":
            assert shown.out.count("\\x1b]0;owned") > 4  # replies, and the prompts that quote them


def test_categories_and_units_with_brackets_are_shown(tmp_path: Path) -> None:
    table = tmp_path / "exp.csv"
    table.write_text(
        "config.rate [/s],config.hidden,minimize.rough [um]\n1,[relu],3\n2,[relu],2\n1,[/x],4\n2,[/x],5\n"
    )
    run(suite_text(f"table:{table}", trials=3, seeds=1), tmp_path / "r")
    name = Results(tmp_path / "r").plan()["run"][0]
    shown = surrobench("show", name, "--results", tmp_path / "r").out
    assert "rate [/s] " in shown
    assert "hidden [relu]" in shown
    assert "value: rough [um]" in shown


# ---------------------------------------------------------------------- standard output


def _shell(command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "S": f"{sys.executable} -m surrobench", **more}
    return subprocess.run(
        ["bash", "-c", command], check=False, capture_output=True, text=True, env=environment, timeout=120
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "words", ["list suites", "run quick --print-suite", "rank {} --format csv", "--version"]
)
def test_a_full_disk_behind_standard_output_is_one_line(results: Path, words: str) -> None:
    done = _shell(f"$S {words.format(results)} >/dev/full")
    assert done.stderr == "Error: Standard output cannot be written: No space left on device.\n"
    assert done.returncode == 1


@pytest.mark.parametrize("words", ["list suites", "rank {} --format json"])
def test_a_reader_that_has_left_and_a_closed_output_are_no_traceback(results: Path, words: str) -> None:
    done = _shell(f"(sleep 0.1; $S {words.format(results)}; echo status $? >&2) | true")
    assert done.stderr == "status 0\n"
    assert "Traceback" not in _shell(f"$S {words.format(results)} >&-").stderr
    full = _shell("$S rank nowhere 2>/dev/full; echo status $?")
    assert full.stdout == "status 1\n"


def test_a_terminal_of_another_encoding_gets_escapes(results: Path) -> None:
    done = _shell(f"$S rank {results}", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2500" in done.stdout
