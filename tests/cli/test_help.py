"""The help of every command, and what all commands share: ``-v``, ``-q``, ``-V`` and old names of options."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import surrobench as package
from surrobench.cli import COMMANDS, group
from surrobench.results.folder import Results
from tests.studies import MLP, run, suite_text, surrobench

VERBS = {
    "Add", "Ask", "Choose", "Colour", "Compare", "Compute", "Correct", "Count", "Draw", "Drop", "Evaluate",
    "Exit", "Fetch", "Find", "Fit", "Give", "Import", "Keep", "Leave", "List", "Listen", "Load", "Look",
    "Make", "Measure", "Name", "Offer", "Pass", "Plan", "Print", "Rank", "Recompute", "Repair", "Run", "Say",
    "Scale", "Seed", "Serve", "Set", "Share", "Show", "Simulate", "Start", "Store", "Take", "Try",
    "Use", "Write",
}  # fmt: skip
WIDEST = 30
"""Characters of an option with its metavar; click puts the text of a longer one on a line of its own."""


def commands():
    """Every command of the click tree, with the words that lead to it."""

    def walk(command, words):
        yield words, command
        if isinstance(command, click.Group):
            ctx = click.Context(command)
            for name in command.list_commands(ctx):
                yield from walk(command.get_command(ctx, name), (*words, name))

    return dict(walk(group, ()))


TREE = commands()
WORDS = [list(words) for words in TREE]


def is_sentence(text):
    """Whether a text begins with a verb and its first paragraph ends with a full stop."""
    first = text.split("\n\n")[0].strip()
    return first.split()[0] in VERBS and first.endswith(".")


# ---------------------------------------------------------------------- help


@pytest.mark.parametrize("words", TREE, ids=" ".join)
def test_every_sentence_of_the_help_begins_with_a_verb(words):
    command = TREE[words]
    assert is_sentence(command.help)
    ctx = click.Context(command, info_name="x")
    for parameter in command.get_params(ctx):
        if isinstance(parameter, click.Option):
            written, _ = parameter.get_help_record(ctx)
            assert is_sentence(parameter.help), written
            assert len(written) <= WIDEST, written
    lines = command.get_help(ctx).splitlines()
    assert max(map(len, lines)) <= 100
    assert not re.search(r"\[x?[<>=]|INTEGER|FLOAT|TEXT|PATH", "\n".join(lines))


def test_every_line_of_the_list_of_commands_begins_with_a_verb():
    assert all(map(is_sentence, COMMANDS.values()))
    text = surrobench("--help").out
    headings = [line for line in text.splitlines() if re.fullmatch(r"[A-Z]\w+:", line)]
    assert headings == ["Run:", "Analyse:", "Inspect:", "Data:", "Options:"]


def test_help_of_every_command_shows_an_example_and_loads_no_heavy_library():
    program = """
import json, sys
from surrobench.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["surrobench", *words, "--help"]
    print("=====", *words)
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
heavy = {"numpy", "polars", "scipy", "ConfigSpace", "optuna", "pydantic", "httpx", "altair", "rich", "jinja2"}
print("loaded:", sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(WORDS)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    *helps, loaded = re.split(r"^(?:===== ?|(?=loaded:))", done.stdout, flags=re.MULTILINE)[1:]
    assert loaded == "loaded: []\n"
    assert len(helps) == len(WORDS)
    for words, text in zip(WORDS, helps, strict=True):
        assert f"  surrobench {' '.join(words)}".rstrip() in text, words
    for name in COMMANDS:
        assert f"  {name} " in helps[0]


@pytest.mark.parametrize("words", [[], ["data"]])
def test_a_command_that_is_not_finished_shows_its_help_not_an_error(words):
    done = surrobench(*words)
    assert done.status == 2
    assert done.err.startswith("Usage: ")
    assert "pull" in done.err or "Analyse:" in done.err


# ---------------------------------------------------------------------- what all commands share


def test_the_version_has_a_short_option():
    assert (
        surrobench("-V").out == surrobench("--version").out == f"surrobench, version {package.__version__}\n"
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("help") / "r"
    run(suite_text(MLP, "hpobench/mlp/car", methods=["random", "sobol"]), folder)
    return folder


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], ["warned", "failed"]),
        (["-v"], ["said", "warned", "failed"]),
        (["-vv"], ["traced", "said", "warned", "failed"]),
        (["-q"], ["failed"]),
        (["-q", "-v"], ["failed"]),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_verbose_and_quiet_choose_the_log_records(words, shown, before, results, monkeypatch):
    log = logging.getLogger("surrobench.somewhere")

    records = [(40, "failed"), (30, "warned"), (20, "said"), (10, "traced")]

    def name(self):
        while records:
            log.log(*records.pop())
        return "name"

    monkeypatch.setattr(Results, "suite_name", property(name))
    done = surrobench(*words, "status", results) if before else surrobench("status", results, *words)
    assert done.status == 0
    lines = {"traced": "surrobench.somewhere: traced", "said": "said", "warned": "Warning: warned"}
    assert done.err.splitlines() == [lines.get(text, f"Error: {text}") for text in shown]
    assert not logging.getLogger("surrobench").handlers  # a program that calls main() logs as before


def test_quiet_leaves_results_and_errors(tmp_path, results):
    path = tmp_path / "tiny.toml"
    path.write_text(suite_text())
    done = surrobench("run", path, "--out", tmp_path / "r", "-q", "-j", 1)
    assert done == (0, "", "")
    assert surrobench("-q", "rank", results).out == surrobench("rank", results).out
    assert surrobench("-q", "rank", "nowhere").error.startswith("Error: No results folder nowhere.")


def test_verbose_says_what_a_ranking_reads(results):
    done = surrobench("rank", results, "-v")
    assert done.err == f"Reading {results}.\nFound incumbents of 2 methods on 2 benchmarks.\n"
    assert done.out == surrobench("rank", results).out


def test_twice_verbose_shows_where_an_error_was_raised():
    done = surrobench("-vv", "rank", "nowhere")
    assert done.status == 1
    assert "Traceback" in done.err
    assert done.err.splitlines()[-1].startswith("Error: No results folder nowhere.")


RENAMED = {
    (words, old): new
    for words, command in TREE.items()
    for old, new in getattr(command, "renamed", {}).items()
}


@pytest.mark.parametrize(("words", "old"), RENAMED, ids=str)
def test_an_old_name_of_an_option_is_hidden_and_understood(words, old):
    command, new = TREE[words], RENAMED[words, old]
    assert old not in surrobench(*words, "--help").out.split()
    assert new in {flag for parameter in command.params for flag in parameter.opts}


def test_who_uses_an_old_name_is_told_the_new_one(results):
    old = surrobench("rank", results, "--by=family", "--test")
    new = surrobench("rank", results, "--group-by=family", "--test-metric")
    assert (old.out, old.status, new.err) == (new.out, 0, "")
    assert old.err == (
        "Warning: --by is now --group-by; the next release drops the old form.\n"
        "Warning: --test is now --test-metric; the next release drops the old form.\n"
    )
    assert surrobench("rank", results, "-q", "--by", "family").err == ""


def test_the_table_of_renamed_options_is_complete():
    text = (Path(__file__).parents[2] / "docs" / "renamed-options.md").read_text()
    rows = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines()}
    for (words, old), new in RENAMED.items():
        assert (f"`{' '.join(words)} {old}`", f"`{' '.join(words)} {new}`") in {row[:2] for row in rows}
