"""What README and documentation show is true: suites parse, commands exist, Python runs, outputs are real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from surrobench.cli import group
from surrobench.suite.loading import parse_suite
from tests.docs.pages import PAGES, ROOT, Block, blocks, commands
from tests.studies import run

BASE = """
name = "base"
benchmarks = ["hpobench/mlp/car"]
trials = 100
seeds = 1
[optimizers.random]
[optimizers.tpe]
[optimizers.cma-es]
[optimizers.karpathy-agent]
models = ["smollm2"]
[models.smollm2]
serve = "embedded"
[models.qwen]
url = "http://127.0.0.1:8000/v1"
"""
"""What a block that shows a part of a suite is a part of."""
NOT_SUITES = ("a description of a table, not a suite",)
CONSOLE = [
    (block, arguments, shown) for block in blocks("console", "sh") for arguments, shown in commands(block)
]
RECORDINGS = ROOT / "results/recordings"


@pytest.fixture(scope="session")
def small_studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small study under each name that Python blocks open, and the recordings."""
    folder = tmp_path_factory.mktemp("documentation")
    (folder / "results").mkdir()
    (folder / "results/recordings").symlink_to(RECORDINGS)
    (folder / "suites").symlink_to(ROOT / "suites")
    (folder / "prompts").symlink_to(ROOT / "prompts")
    suite = """
name = "quick"
benchmarks = ["hpobench/mlp/car", "hpobench/mlp/vehicle"]
trials = 4
seeds = 2
optimizers = { random = {}, sobol = {} }
"""
    run(suite, folder / "results/quick")
    return folder


def show_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows into a folder."""
    for block in blocks("python", "toml", "csv"):
        if block.page == page and block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


# ---------------------------------------------------------------------- suites


def merged(base: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """A suite with a part of one in its place: a method or model of the part takes that of the same label."""
    both = dict(base)
    for key, value in part.items():
        both[key] = {**both.get(key, {}), **value} if isinstance(value, dict) else value
    return both


def as_toml(table: Mapping[str, Any]) -> str:
    """A table as TOML, on one line a key."""

    def value(thing: Any) -> str:
        if isinstance(thing, dict):
            return "{ " + ", ".join(f"{key(name)} = {value(inner)}" for name, inner in thing.items()) + " }"
        if isinstance(thing, list):
            return "[" + ", ".join(map(value, thing)) + "]"
        return {True: "true", False: "false"}[thing] if isinstance(thing, bool) else key(thing)

    def key(thing: Any) -> str:
        return str(thing) if isinstance(thing, int | float) else f'"{thing}"'

    return "\n".join(f"{key(name)} = {value(thing)}" for name, thing in table.items())


@pytest.mark.parametrize("block", [b for b in blocks("toml") if b.remark not in NOT_SUITES], ids=str)
def test_a_toml_block_is_a_suite_or_a_part_of_one(block: Block, tmp_path: Path):
    show_files(block.page, tmp_path)
    for folder in ("my-prompts", "terse"):
        (tmp_path / folder).mkdir()
    for template in (ROOT / "prompts/karpathy-agent").iterdir():
        (tmp_path / "my-prompts" / template.name).write_text(template.read_text())
    for template in (ROOT / "prompts/common").iterdir():
        (tmp_path / "terse" / template.name).write_text(template.read_text())
    if block.page.name == "own-method.md":
        (tmp_path / "mine.py").write_text(
            next(b.text for b in blocks("python") if b.file == "mine.py" and b.page == block.page)
        )
    table = tomllib.loads(block.text)
    text = block.text if "name" in table else as_toml(merged(tomllib.loads(BASE), table))
    suite = parse_suite(text, folder=tmp_path)
    for label, spec in suite.models.items():
        if spec.url and label in table.get("models", {}):
            assert spec.url.startswith("http")


# ---------------------------------------------------------------------- commands


def resolve(command: click.Command, arguments: list[str], context: click.Context) -> None:
    """Check that a command takes these arguments, without running it or looking for its files."""
    if isinstance(command, click.Group):
        values, rest, _ = command.make_parser(context).parse_args(list(arguments))
        if not rest and isinstance(values, dict):
            return
        name, part, rest = command.resolve_command(context, rest)
        assert part is not None, name
        resolve(part, rest, click.Context(part, info_name=name, parent=context))
        return
    values, rest, _ = command.make_parser(context).parse_args(list(arguments))
    given = {option.name: option for option in command.params}
    for name, value in values.items():
        kind = given[name].type
        if isinstance(kind, click.Path | click.File):
            continue
        listed = value if isinstance(value, list | tuple) else [value]
        for one in listed:
            if one is not None and not isinstance(one, bool) and isinstance(one, str):
                kind.convert(one, given[name], context)
    required = [
        option for option in command.params if option.required and values.get(option.name) in (None, ())
    ]
    assert not required, f"missing: {required}"
    assert not rest, f"too much: {rest}"


@pytest.mark.parametrize(
    "arguments",
    [pytest.param(arguments, id=f"{b.page.stem}: {' '.join(arguments)[:70]}") for b, arguments, _ in CONSOLE],
)
def test_a_command_exists_with_its_options(arguments: list[str]):
    match arguments:
        case ["surrobench", *rest]:
            resolve(group, rest, click.Context(group, info_name="surrobench"))
        case ["make", target]:
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        case ["pip", "install", what]:
            extra = what.partition("[")[2].rstrip("]")
            project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            assert not extra or extra in project["optional-dependencies"]
        case _:
            assert arguments[0] == "cp", arguments


SHOWN = [(block, arguments, shown) for block, arguments, shown in CONSOLE if shown]


@pytest.mark.parametrize(
    ("page", "arguments", "shown"),
    [
        pytest.param(
            block.page,
            arguments,
            shown,
            id=" ".join(arguments)[:70],
            marks=[pytest.mark.yahpo] if "results/recordings/default-seed" in arguments else [],
        )
        for block, arguments, shown in SHOWN
        if block.language == "console"
    ],
)
def test_an_output_that_is_shown_is_real(
    page: Path, arguments: list[str], shown: list[str], small_studies: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(small_studies)
    show_files(page, small_studies)
    done = CliRunner(env={"COLUMNS": "110"}).invoke(group, arguments[1:])
    assert done.exit_code == 0, done.output
    words = [line.split() for line in done.output.splitlines()]
    for line in shown:
        assert line == "..." or line.split() in words, line


CHEAP = {"list suites", "list models", "list optimizers", "reproduce", "data status"}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(list(arguments), id=" ".join(arguments)[:70])
        for arguments in sorted(
            {
                tuple(arguments[1:])
                for _, arguments, _ in CONSOLE
                if arguments[0] == "surrobench"
                and (" ".join(arguments[1:]) in CHEAP or "results/recordings/llm-quick" in arguments)
                and "--replay" not in arguments
            }
        )
    ],
)
def test_a_cheap_command_runs(arguments: list[str], small_studies: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(small_studies)
    done = CliRunner().invoke(group, arguments)
    assert done.exit_code == 0, done.output
    assert done.output.strip()


# ---------------------------------------------------------------------- Python


def programs() -> Iterator[Any]:
    """Yield for each page its Python blocks, one after the other, each with what it needs."""
    for page, found in groupby(blocks("python"), key=lambda block: block.page):
        run_here = [block for block in found if not block.remark.startswith("not run")]
        for needs, part in groupby(run_here, key=lambda block: block.remark.removeprefix("needs: ")):
            marks = [pytest.mark.yahpo] if needs == "yahpo" else []
            yield pytest.param(page, list(part), marks=marks, id=f"{page.stem}{'-' if needs else ''}{needs}")


@pytest.mark.parametrize(("page", "found"), list(programs()))
def test_the_python_blocks_of_a_page_run(page: Path, found: list[Block], small_studies: Path):
    show_files(page, small_studies)
    code = "\n".join(block.text for block in found)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code],
        cwd=small_studies,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------- the site


def test_links_of_the_readme_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_the_site_is_built_strictly(tmp_path: Path):
    pytest.importorskip("mkdocs", reason="MkDocs is not installed: pip install -e '.[docs]'")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run([sys.executable, "docs/generate_reference.py"], cwd=ROOT, env=environment, check=True)
    build = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/reference/suite/index.html").exists()
    assert PAGES
