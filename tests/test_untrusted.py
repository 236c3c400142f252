from __future__ import annotations

import json
from pathlib import Path

import pytest

from surrobench.errors import DataError, ResultsError, SuiteError
from surrobench.llm.journal import Journal
from surrobench.results.manifest import read_manifest
from surrobench.study.fallbacks import stored_fallbacks
from surrobench.suite.loading import parse_suite, suite_from_dict
from surrobench.untrusted import DEEPEST, load_json, load_toml
from tests.studies import MLP, suite_text, surrobench

DEEP = "[" * 50_000 + "]" * 50_000


@pytest.mark.parametrize("depth", [DEEPEST + 1, 500, 50_000])
def test_what_is_nested_too_deeply_is_a_value_error(depth: int) -> None:
    with pytest.raises(ValueError, match="nested more than"):
        load_json("[" * depth + "]" * depth)
    with pytest.raises(ValueError, match="nested more than"):
        load_json(b'{"a":' * depth + b"1" + b"}" * depth)
    with pytest.raises(ValueError, match="nested more than"):
        load_toml(f"a = {'[' * depth}{']' * depth}")
    with pytest.raises(ValueError, match="nested more than"):
        load_toml(f"{'a.' * depth}b = 1")


def test_what_is_not_nested_too_deeply_is_read() -> None:
    text = "[" * DEEPEST + "]" * DEEPEST
    assert load_json(text) == json.loads(text)
    wide = [[[]] for _ in range(3 * DEEPEST)]
    assert load_json(json.dumps(wide)) == wide
    assert load_json(json.dumps("[" * 3 * DEEPEST)) == "[" * 3 * DEEPEST, "brackets in a string nest nothing"
    assert load_toml("a.b = [[1]]") == {"a": {"b": [[1]]}}


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "Expecting value"), ("{", "Expecting"), ("9" * 5000, "digits"), (b"\xff", "decode")],
)
def test_what_is_no_json_is_a_value_error(text: str | bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        load_json(text)


def test_no_reader_of_files_ends_in_a_recursion_error(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="nested"):
        parse_suite(f"a = {DEEP}")
    value: list[object] = []
    for _ in range(50_000):
        value = [value]
    with pytest.raises(SuiteError, match="TOML does not know"):
        suite_from_dict({"a": value})
    (tmp_path / "manifest.json").write_text(f'{{"suite": {DEEP}}}')
    with pytest.raises(ResultsError, match="damaged"):
        read_manifest(tmp_path)
    assert stored_fallbacks(parse_suite(suite_text(models={"m": "http://127.0.0.1:9/v1"})), tmp_path) == {}
    (tmp_path / "journal.jsonl").write_text(f"{DEEP}\n")
    with pytest.raises(ResultsError, match="line 1"):
        Journal(tmp_path / "journal.jsonl")
    from surrobench.benchmarks.user_table_files import _description

    (tmp_path / "own.toml").write_text(f"a = {DEEP}")
    with pytest.raises(DataError, match="nested"):
        _description(tmp_path / "own.toml")


def test_a_configuration_on_the_command_line_may_be_nested_as_it_likes() -> None:
    done = surrobench("evaluate", MLP, "--config", '{"a":' + "[" * 50_000)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "is not JSON" in done.err
    done = surrobench("evaluate", MLP, "--config", f'{{"a": {DEEP}}}')
    assert (done.status, done.err.count("\n")) == (2, 1)
