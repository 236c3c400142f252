"""A path is a path: brackets, stars, pipes, folders and links in the place of a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import polars as pl
import pytest

import surrobench as package
from surrobench.benchmarks import registry
from surrobench.plain_files import parquet_metadata, plain, read_csv, read_parquet, read_text, scan_parquet
from tests.studies import suite_text, surrobench

ODD = ("run[1]", "[work] project", "a*b", "what?", "{a,b}", "x=1")
GRID = "config.x,minimize.loss\n" + "".join(f"{x},{(x - 3) ** 2 / 10 + 0.1}\n" for x in range(1, 8))


@pytest.mark.parametrize("name", ODD)
def test_a_name_means_one_file_and_no_pattern(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    mine, other = pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})
    for suffix, write in ((".csv", pl.DataFrame.write_csv), (".parquet", pl.DataFrame.write_parquet)):
        write(mine, folder / f"{name}{suffix}")
        write(other, folder / f"aXb{suffix}")
    assert read_csv(folder / f"{name}.csv").equals(mine)
    assert read_parquet(folder / f"{name}.parquet").equals(mine)
    assert scan_parquet(folder / f"{name}.parquet").collect().equals(mine)
    assert parquet_metadata(folder / f"{name}.parquet")


def test_what_is_no_plain_file_is_an_error_at_once(tmp_path: Path) -> None:
    pipe, folder, loop = tmp_path / "pipe", tmp_path / "folder.parquet", tmp_path / "loop"
    os.mkfifo(pipe)
    folder.mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(folder / "inside.parquet")
    loop.symlink_to(loop)
    for path in (pipe, folder, loop, Path(os.devnull), tmp_path / "nothing"):
        for read in (plain, read_text, read_csv, read_parquet, scan_parquet, parquet_metadata):
            with pytest.raises(OSError, match=r"."):
                read(path)


def test_every_read_of_a_table_goes_through_one_place() -> None:
    """Polars and ``glob`` take names for patterns; a pattern of ``Path.glob`` holds no name of a user's."""
    allowed = {"plain_files.py"}
    wrong = re.compile(
        r"\bpl\.(scan_|read_(?!csv\(io\.|parquet\(io\.))\w+\(|^import glob|\bfrom glob\b|glob\.i?glob\("
        r"|\.r?glob\(f[\"'](?!\*(/\{SPACE\}|\{SUFFIX\})[\"'])"
    )
    root = Path(package.__file__).parent
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in root.rglob("*.py")
        if path.name not in allowed
        for line in path.read_text().splitlines()
        if wrong.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("name", ODD)
def test_a_folder_of_any_name_works_at_every_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here = tmp_path / name
    here.mkdir()
    monkeypatch.setenv("SURROBENCH_CACHE", str(here / "cache"))
    registry.scenario.cache_clear()
    table = here / f"{name}.csv"
    table.write_text(GRID)
    # What the name would match, were it a pattern.
    (here / "aXb.csv").write_text(GRID.replace("0.1\n", "9.1\n"))
    suite = here / "s.toml"
    suite.write_text(suite_text(f"table:{name}.csv", methods=["random", "tpe"], trials=3, seeds=2))
    out = here / "results" / name
    words = [suite, "--jobs", 1, "--out", out]
    assert surrobench("run", *words, "--dry-run").status == 0
    done = surrobench("run", *words)
    assert (done.status, "12 trials" in done.err) == (0, True), done.err
    assert "4 were finished before" in surrobench("run", *words).err
    assert (
        surrobench("evaluate", f"table:{table}", "--config", '{"x": 3}').out == '{"loss": 0.1, "cost": 1.0}\n'
    )
    listed = surrobench("runs", out)
    run, benchmark = listed.out.splitlines()[1].split()[0], listed.out.splitlines()[1].split()[2]
    theirs = here / f"{name} theirs.csv"
    rows = [f"theirs,{benchmark},{seed},{trial},0.5" for seed in (0, 1) for trial in range(3)]
    theirs.write_text("\n".join(["method,benchmark,seed,trial,value", *rows]))
    for command in (
        ("status", out),
        ("show", run, "--results", out),
        ("rank", out),
        ("rank", out, "--external", theirs),
        ("plot", "wins", out, "--out", here / "wins.svg"),
        ("replies", out),
        ("data", "pack", out),
        ("run", suite, "--jobs", 1, "--replay", out, "--out", here / f"{name} again"),
    ):
        done = surrobench(*command)
        assert "damaged" not in done.err
        assert "Traceback" not in done.err
        assert done.status == (1 if command[0] == "replies" else 0), (command, done.err)
    registry.scenario.cache_clear()
