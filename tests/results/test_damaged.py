"""A folder that is damaged, of another study or of a newer version: one line that says which file is what."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from surrobench.execution.process_pool import InlineExecutor
from surrobench.plan.run import Run
from surrobench.results import stored
from surrobench.results.folder import Results
from surrobench.results.run_records import RunRecord
from tests.llm.faulty_server import FaultyServer
from tests.studies import MLP, NAS, answer, run, suite_text, surrobench

KEY = "surrobench"
SUITE = ("random", "tpe")
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study on two scenarios, with a model; not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "r"
    with FaultyServer(answer) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
        run(suite_text(MLP, NAS, methods=SUITE, models={"m": server.url}, trials=3, seeds=1), folder)
    return folder


def _manifest(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """Damage the manifest by changing its value; what the change returns, if anything, takes its place."""

    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        value = json.loads(path.read_text())
        path.write_text(json.dumps(changed if (changed := change(value)) is not None else value))

    return damage


def _suite(**values: Any) -> Damage:
    return _manifest(lambda manifest: manifest["suite"].update(values))


def _without(*keys: str) -> Damage:
    def change(manifest: dict[str, Any]) -> None:
        for key in keys[:-1]:
            manifest = manifest[key]
        del manifest[keys[-1]]

    return _manifest(change)


def _text(name: str, content: str | bytes) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def _plan(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Damage:
    def damage(folder: Path) -> None:
        change(pl.read_parquet(folder / "plan.parquet")).write_parquet(folder / "plan.parquet")

    return damage


def _first(folder: Path) -> Path:
    return min(folder.glob("trials/*/*.parquet"))


def _trials(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Damage:
    """Damage the trials and leave the records."""

    def damage(folder: Path) -> None:
        path = _first(folder)
        metadata = {KEY: pl.read_parquet_metadata(path)[KEY]}
        change(pl.read_parquet(path)).write_parquet(path, metadata=metadata)

    return damage


def _records(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """Damage the metadata with the records and leave the trials."""

    def damage(folder: Path) -> None:
        path = _first(folder)
        value = json.loads(pl.read_parquet_metadata(path)[KEY])
        changed = change(value)
        text = changed if isinstance(changed, str) else json.dumps(value if changed is None else changed)
        pl.read_parquet(path).write_parquet(path, metadata={KEY: text})

    return damage


def _column(name: str, value: Any) -> Damage:
    """Put a value into a column of the records, for all runs."""
    return _records(lambda metadata: metadata["runs"]["columns"].update({name: {"value": value}}))


def _bytes(choose: Callable[[Path], Path], change: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Path) -> None:
        path = choose(folder)
        path.write_bytes(change(path.read_bytes()))

    return damage


def _instead(name: str, make: Callable[[Path], Any]) -> Damage:
    """Put something that is no file into the place of a file."""

    def damage(folder: Path) -> None:
        path = _first(folder) if name == "trials" else folder / name
        path.unlink(missing_ok=True)
        make(path)

    return damage


def _journal(change: Callable[[list[bytes]], list[bytes]]) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "journal.jsonl"
        path.write_bytes(b"\n".join(change(path.read_bytes().splitlines())) + b"\n")

    return damage


def _entry(**values: Any) -> Damage:
    """Put values into the last line of the journal."""

    def change(lines: list[bytes]) -> list[bytes]:
        return [*lines[:-1], json.dumps({**json.loads(lines[-1]), **values}).encode()]

    return _journal(change)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _compressed(data: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "journal.jsonl"
        (folder / "journal.jsonl.gz").write_bytes(data(gzip.compress(path.read_bytes())))
        path.unlink()

    return damage


def _swapped(folder: Path) -> None:
    """Put the file of one scenario into the folder of another."""
    one, other = sorted(folder.glob("trials/*/*.parquet"))
    shutil.copy(one, other)


MANIFEST: dict[str, Damage] = {
    "empty": _text("manifest.json", ""),
    "binary": _text("manifest.json", b"\xff\xfe\x00PAR1"),
    "cut": _bytes(lambda folder: folder / "manifest.json", lambda data: data[: len(data) // 2]),
    "deep": _text("manifest.json", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "long-number": _text("manifest.json", '{"schema_version": ' + "9" * 5000 + "}"),
    "list": _text("manifest.json", "[]"),
    "null": _text("manifest.json", "null"),
    "word": _text("manifest.json", '"manifest"'),
    "folder": _instead("manifest.json", Path.mkdir),
    "pipe": _instead("manifest.json", os.mkfifo),
    "loop": _instead("manifest.json", _loop),
    "no-version": _without("schema_version"),
    "version-word": _manifest(lambda manifest: manifest.update(schema_version="four")),
    "version-null": _manifest(lambda manifest: manifest.update(schema_version=None)),
    "version-0": _manifest(lambda manifest: manifest.update(schema_version=0)),
    "newer": _manifest(lambda manifest: manifest.update(schema_version=10**6)),
    "no-suite": _without("suite"),
    "suite-word": _manifest(lambda manifest: manifest.update(suite="tiny")),
    "no-name": _without("suite", "name"),
    "name-number": _suite(name=5),
    "no-control": _without("suite", "control"),
    "control-list": _suite(control=["random"]),
    "part-word": _suite(part="all"),
    "part-seeds": _suite(part={"benchmarks": [], "methods": [], "seeds": "two"}),
    "whole-words": _suite(whole={"seeds": "many"}),
    "budget-list": _suite(budget=[3]),
    "workers-word": _suite(budget={"workers": "two"}),
    "claims-list": _suite(claims=["x"]),
    "claim-number": _suite(claims={"x": 5}),
    "text-number": _suite(text=5),
    "text-not-toml": _suite(text="= ="),
    "models-list": _manifest(lambda manifest: manifest.update(models=["m"])),
    "model-word": _manifest(lambda manifest: manifest.update(models={"m": "qwen"})),
    "model-without-name": _without("models", "m", "model"),
    "sessions-word": _manifest(lambda manifest: manifest.update(sessions="one")),
    "session-number": _manifest(lambda manifest: manifest.update(sessions=[5])),
    "session-without-end": _manifest(lambda manifest: manifest.update(sessions=[{}])),
    "session-no-time": _manifest(lambda manifest: manifest.update(sessions=[{"ended": "noon"}])),
}
PLAN: dict[str, Damage] = {
    "missing": _instead("plan.parquet", lambda path: None),
    "empty": _text("plan.parquet", ""),
    "text": _text("plan.parquet", "run,benchmark\n"),
    "folder": _instead("plan.parquet", Path.mkdir),
    "pipe": _instead("plan.parquet", os.mkfifo),
    "loop": _instead("plan.parquet", _loop),
    "cut": _bytes(lambda folder: folder / "plan.parquet", lambda data: data[: len(data) // 2]),
    "no-run": _plan(lambda plan: plan.drop("run")),
    "no-benchmark": _plan(lambda plan: plan.drop("benchmark")),
    "no-optimizer": _plan(lambda plan: plan.drop("optimizer")),
    "no-seed": _plan(lambda plan: plan.drop("seed")),
    "seed-words": _plan(lambda plan: plan.with_columns(seed=pl.lit("first"))),
    "seed-negative": _plan(lambda plan: plan.with_columns(seed=pl.lit(-1))),
    "seed-null": _plan(lambda plan: plan.with_columns(seed=pl.lit(None, pl.UInt32))),
    "run-null": _plan(lambda plan: plan.with_columns(run=pl.lit(None, pl.String))),
    "run-list": _plan(lambda plan: plan.with_columns(run=pl.concat_list("run"))),
    "trials-words": _plan(lambda plan: plan.with_columns(trials=pl.lit("many"))),
    "run-twice": _plan(lambda plan: plan.with_columns(run=pl.col("run").first())),
    "other-table": _plan(lambda plan: pl.DataFrame({"a": [1]})),
}
TRIALS: dict[str, Damage] = {
    "empty": _bytes(_first, lambda data: b""),
    "text": _bytes(_first, lambda data: b"run,benchmark\n"),
    "cut": _bytes(_first, lambda data: data[: len(data) // 2]),
    "head": _bytes(_first, lambda data: b"\0" * 200 + data[200:]),
    "folder": _instead("trials", Path.mkdir),
    "pipe": _instead("trials", os.mkfifo),
    "loop": _instead("trials", _loop),
    "swapped": _swapped,
    "newer": _records(lambda metadata: metadata.update(schema_version=10**6)),
    "no-metadata": lambda folder: pl.read_parquet(_first(folder)).write_parquet(_first(folder)),
    "metadata-text": _records(lambda metadata: "surrobench"),
    "metadata-list": _records(lambda metadata: [1]),
    "metadata-deep": _records(lambda metadata: "[" * 100_000),
    "no-records": _records(lambda metadata: metadata.pop("runs") and None),
    "records-word": _records(lambda metadata: metadata.update(runs="all")),
    "no-columns": _records(lambda metadata: metadata["runs"].pop("columns") and None),
    "columns-list": _records(lambda metadata: metadata["runs"].update(columns=[1])),
    "n-word": _records(lambda metadata: metadata["runs"].update(n="three")),
    "n-less": _records(lambda metadata: metadata["runs"].update(n=1)),
    "no-id": _records(lambda metadata: metadata["runs"]["columns"].pop("id") and None),
    "code": _records(
        lambda metadata: metadata["runs"]["columns"].update(state={"values": ["ok"], "codes": [7, 7, 7]})
    ),
    "unknown-field": _column("colour", "red"),
    "state": _column("state", "perfect"),
    "seed-word": _column("seed", "first"),
    "spent-negative": _column("spent", -1),
    "spent-huge": _column("spent", 10**12),
    "trials-word": _column("trials", "many"),
    "benchmark-number": _column("benchmark", 5),
    "benchmark-other": _column("benchmark", "hpobench/svm/car"),
    "parameters-word": _column("parameters", "k = 3"),
    "error-null": _column("error", None),
    "same-id": _column("id", "0123456789abcdef"),
}
COLUMNS: dict[str, Damage] = {
    "no-trial": _trials(lambda trials: trials.drop("trial")),
    "no-value": _trials(lambda trials: trials.drop("value")),
    "no-run": _trials(lambda trials: trials.drop("run")),
    "value-words": _trials(lambda trials: trials.with_columns(value=pl.lit("good"))),
    "trial-words": _trials(lambda trials: trials.with_columns(trial=pl.lit("first"))),
    "score-list": _trials(lambda trials: trials.with_columns(score=pl.concat_list("score"))),
    "other-table": _trials(lambda trials: pl.DataFrame({"a": [1]})),
}
ROWS: dict[str, Damage] = {
    "fewer-rows": _trials(lambda trials: trials.head(1)),
    "more-rows": _trials(lambda trials: pl.concat([trials, trials])),
    "no-rows": _trials(lambda trials: trials.clear()),
    "other-order": _trials(lambda trials: trials.sort("trial", descending=True)),
}
JOURNAL: dict[str, Damage] = {
    "binary": _text("journal.jsonl", b"\xff\xfe\x00\n"),
    "words": _text("journal.jsonl", "hello\n"),
    "number": _text("journal.jsonl", "5\n"),
    "deep": _text("journal.jsonl", "[" * 100_000 + "\n"),
    "middle": _journal(lambda lines: [*lines[:2], b'{"run": "x"', *lines[2:]]),
    "newer": _journal(lambda lines: [*lines, b'{"versions": {}, "schema_version": 99}']),
    "folder": _instead("journal.jsonl", Path.mkdir),
    "pipe": _instead("journal.jsonl", os.mkfifo),
    "no-run": _journal(lambda lines: [*lines[:-1], b'{"call": 0}']),
    "run-list": _entry(run=["x"]),
    "gzip-cut": _compressed(lambda data: data[: len(data) // 2]),
    "gzip-text": _compressed(lambda data: b"hello"),
}
OF_FILE = {
    **{f"manifest-{name}": (damage, "manifest.json") for name, damage in MANIFEST.items()},
    **{f"plan-{name}": (damage, "plan.parquet") for name, damage in PLAN.items()},
    **{f"trials-{name}": (damage, ".parquet") for name, damage in {**TRIALS, **COLUMNS, **ROWS}.items()},
    **{f"journal-{name}": (damage, "journal.jsonl") for name, damage in JOURNAL.items()},
}
NEWER = {"manifest-newer", "trials-newer", "journal-newer"}


@pytest.mark.parametrize("name", OF_FILE)
def test_every_damage_is_one_line_that_names_the_file(whole: Path, tmp_path: Path, name: str) -> None:
    damage, file = OF_FILE[name]
    run_id = Results(whole).plan()["run"][-1]  # of the model
    folder = tmp_path / "r"
    shutil.copytree(whole, folder)
    damage(folder)
    errors = []
    for words in (
        ("rank", folder, "--format", "csv"),
        ("status", folder),
        ("show", run_id, "--results", folder, "--prompts"),
        ("runs", folder),
        ("replies", folder),
    ):
        done = surrobench(*words)
        assert "Traceback" not in done.err
        if done.status:
            errors.append(done.error)
    assert errors, "nobody noticed"
    if name == "manifest-newer":
        assert all("was written by a newer surrobench. Upgrade surrobench." in error for error in errors)
        return
    about = [error for error in errors if file in error]
    assert about, errors
    if name in NEWER:
        assert all("was written by a newer surrobench" in error for error in about)


def test_every_field_of_a_record_has_a_type() -> None:
    """A field that is new, and has none, would make every file look damaged."""
    of_record = {field.name for field in fields(RunRecord)} - {"run", "trials"} | {"spent"}
    assert {field.name for field in fields(Run)} | of_record == stored._TYPES.keys()


def test_there_are_more_than_eighty_kinds_of_damage() -> None:
    assert len(OF_FILE) > 81


def test_what_is_no_results_folder_is_said_to_be_what_it_is(tmp_path: Path, whole: Path) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(suite_text())
    assert "suite.toml is a file; results are a folder." in surrobench("rank", file).error
    assert "No results folder" in surrobench("rank", tmp_path / "nothing").error
    assert "holds no results (no manifest.json)" in surrobench("rank", tmp_path).error
    assert "No such file" in surrobench("rank", whole, "--external", tmp_path / "x.csv").error
    assert "Is a directory" in surrobench("rank", whole, "--external", whole).error
