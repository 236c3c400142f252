"""The reference is complete: every suite key, command, option, column and key of a file is in it."""

from __future__ import annotations

import gzip
import inspect
import json
import re

import click
import polars as pl
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

import surrobench
from surrobench.cli import group
from surrobench.plan.run import OPTIONAL
from surrobench.report.data.external_results import COLUMNS
from surrobench.results.schema import common_schema
from tests.docs.pages import ROOT, generator
from tests.test_layers import LAYERS

RECORDING = ROOT / "results/recordings/default-seed"
FILES = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
REFERENCE = generator()


def section(title: str) -> str:
    return FILES.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(title: str) -> list[str]:
    """The names in the first column of the tables of a section."""
    rows = re.findall(r"^\| (`[^|]*) \|", section(title), re.MULTILINE)
    return [name for cell in rows for name in re.findall(r"`([^`]+)`", cell)]


def keys_of(kind: type[BaseModel], seen: set[type]) -> set[str]:
    """Every key of a pydantic model and of the models in it, found without the script's help."""
    seen.add(kind)
    keys = {field.alias or key for key, field in kind.model_fields.items()}
    for definition in kind.model_json_schema().get("$defs", {}).values():
        keys |= set(definition.get("properties", {}))
    return keys


def test_every_suite_key_is_in_the_reference_with_its_meaning():
    from surrobench.suite.schema import Suite

    page = REFERENCE.suite_keys()
    rows = dict(re.findall(r"^\| `(\w+)` \|(?:.*)\| (.*) \|$", page, re.MULTILINE))
    assert keys_of(Suite, set()) <= set(rows)
    assert [key for key, meaning in rows.items() if not meaning.strip()] == []


def test_every_command_and_option_is_in_the_reference():
    page = REFERENCE.command_line()
    found = list(REFERENCE.commands())
    assert {path for path, _, _ in found} >= {f"surrobench {name}" for name in group.list_commands(None)}
    for path, command, _ in found:
        assert re.search(rf"^###? {path}$|^## {path}$", page, re.MULTILINE), path
        part = re.split(r"^##", page.split(f" {path}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert all(name in part for name in (*option.opts, *option.secondary_opts)), (path, option)
            elif isinstance(option, click.Argument):
                assert option.make_metavar(click.Context(command)) in part, (path, option)


def test_everything_that_is_promised_in_python_is_in_the_reference():
    page = REFERENCE.python_api()
    for name in surrobench.__all__:
        if name.startswith("__"):
            continue
        assert f"## surrobench.{name}\n" in page
        thing = getattr(surrobench, name)
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for member in REFERENCE.public_members(thing):
                assert f"### {name}.{member}\n" in page


def test_the_columns_of_trials_are_those_of_the_schema():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section("Trials"), re.MULTILINE)
    assert rows == [(name, str(dtype)) for name, dtype in pl.Schema(common_schema()).items()]


def test_the_columns_of_the_plan_are_those_of_a_recording():
    rows = re.findall(r"^\| (`[^|]*) \| (\w+) \|", section("Plan"), re.MULTILINE)
    said = [(name, dtype) for cell, dtype in rows for name in re.findall(r"`(\w+)`", cell)]
    schema = pl.read_parquet_schema(RECORDING / "plan.parquet")
    assert sorted(said) == sorted((name, str(dtype)) for name, dtype in schema.items())


def test_the_keys_of_a_journal_are_those_of_a_recording():
    with gzip.open(RECORDING / "journal.jsonl.gz", "rt", encoding="utf-8") as file:
        written = {key for line in file for key in json.loads(line)}
    said = set(first_cells("Journal"))
    assert written - {"versions", "schema_version"} <= said
    assert said - written <= {"thinking", "tokens_thinking", "crc", "served"}, (
        "only where there was any, or since later"
    )


def test_the_keys_of_a_manifest_are_those_of_a_recording():
    written = set(json.loads((RECORDING / "manifest.json").read_text(encoding="utf-8")))
    assert written <= set(first_cells("Manifest"))
    since = {"weights", "id_schemes", "text_rules", "checksum"}
    assert set(first_cells("Manifest")) - written <= since, "since later"


def test_the_fields_of_a_run_are_those_of_a_recording():
    (path, *_) = sorted(RECORDING.glob("trials/*/*.parquet"))
    stored = json.loads(pl.read_parquet_metadata(path)["surrobench"])
    said = set(first_cells("Runs")) - {"surrobench", "schema_version", "runs"}
    assert said - set(stored["runs"]["columns"]) <= {"served", *OPTIONAL}, "newer than it"


@pytest.mark.yahpo
def test_the_keys_of_a_ranking_are_those_of_its_json():
    done = CliRunner().invoke(group, ["rank", str(RECORDING), "--format", "json"])
    assert done.exit_code == 0, done.output
    assert set(first_cells("`rank --format json`")) == set(json.loads(done.stdout))


def test_the_columns_of_others_results_are_those_that_are_read():
    assert first_cells("Results of others") == list(COLUMNS)


def test_the_layers_are_those_that_are_tested():
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    said = page.split("**Layers.**")[1].split("```text\n")[1].split("```")[0]
    assert [tuple(line.split(", ")) for line in said.splitlines()] == LAYERS


def test_the_layout_names_every_room():
    page = (
        (ROOT / "docs/design.md").read_text(encoding="utf-8").split("## Layout")[1].split("## Contracts")[0]
    )
    rooms = {path.parent.name for path in (ROOT / "surrobench").glob("*/__init__.py")}
    leaves = {path.name for path in (ROOT / "surrobench").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert [name for name in sorted(rooms) if f"`{name}/`" not in page] == []
    assert [name for name in sorted(leaves) if f"{name}`" not in page] == []


def test_the_glossary_has_ten_words():
    page = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^:   ", page, re.MULTILINE)) == 10
