"""The documentation's own optimizer and own table, against the field: one command to run, one to rank."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import polars as pl
import pytest

from tests.own_tables import made_up
from tests.studies import Done, surrobench, trials

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
SUITE = """
name = "own"
benchmarks = ["table:grid.csv"]
trials = 15
seeds = 3
[optimizers.random]
[optimizers.tpe]
[optimizers.cma-es]
[optimizers.hill-climbing]
method = "./mine.py:HillClimbing"
parameters = { explore = 0.3 }
"""


def shown(page: str, file: str) -> str:
    """Text of the fenced block with that title on a page of the how-tos."""
    text = (PAGES / page).read_text()
    return re.search(rf'```\w+ title="{re.escape(file)}"\n(.*?)```', text, re.DOTALL)[1]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the method that the page shows, on a longer table."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(shown("own-method.md", "mine.py"))
    Path("own.toml").write_text(SUITE)
    made_up().select(pl.exclude("fidelity.epoch").filter(pl.col("fidelity.epoch") == 9)).write_csv("grid.csv")
    return tmp_path


def run(*options: str, jobs: int = 1) -> Done:
    return surrobench("run", "own.toml", "--jobs", jobs, *options)


def ids(folder: Path) -> set[str]:
    return set(pl.read_parquet(folder / "results/own/plan.parquet")["run"])


def test_the_optimizer_is_shorter_than_twenty_lines_of_code() -> None:
    lines = [line for line in shown("own-method.md", "mine.py").splitlines() if line.strip()]
    assert len(lines) < 20


def test_an_own_optimizer_on_an_own_table_is_ranked_against_the_field(here: Path) -> None:
    done = run(jobs=2)
    assert done.status == 0, done.err
    ranked = surrobench("rank", "results/own", "--format", "json")
    assert ranked.status == 0, ranked.err
    methods = {row["method"] for row in json.loads(ranked.out)["methods"]}
    assert methods == {"random", "tpe", "cma-es", "hill-climbing"}
    frame = trials(here / "results/own")
    assert frame.height == 4 * 2 * 3 * 15
    assert frame["benchmark"].str.contains(r"^table/grid@[0-9a-f]{8}/(iris|wine)$").all()
    assert set(frame.filter(pl.col("optimizer") == "hill-climbing")["source"]) == {"initial", "HillClimbing"}

    again = run()
    assert "24 were finished before" in again.err
    assert "0 trials" in again.err


def test_only_what_depends_on_an_edited_file_is_run_anew(here: Path) -> None:
    run(jobs=2)
    before = ids(here)
    with Path("mine.py").open("a") as file:
        file.write("\n# Another thought.\n")
    assert "18 were finished before, now 6 ok" in run().err
    assert len(before & ids(here)) == 18

    made_up().select(pl.exclude("fidelity.epoch").filter(pl.col("fidelity.epoch") == 3)).write_csv("grid.csv")
    assert "0 were finished before, now 24 ok" in run().err
    assert surrobench("rank", "results/own").status == 0


def test_a_study_is_the_same_wherever_its_files_lie(here: Path, tmp_path_factory, monkeypatch) -> None:
    run()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("mine.py", "own.toml", "grid.csv"):
        shutil.copy(name, elsewhere)
    monkeypatch.chdir(elsewhere.parent)
    done = surrobench("run", elsewhere / "own.toml", "--jobs", "1", "--out", elsewhere / "results/own")
    assert done.status == 0, done.err
    assert ids(elsewhere) == ids(here)
    assert trials(elsewhere / "results/own").equals(trials(here / "results/own"))


def test_a_replay_serves_what_was_recorded(here: Path) -> None:
    run()
    done = run("--replay", "results/own")
    assert done.status == 0, done.err
    assert trials(here / "results/own-replay").equals(trials(here / "results/own"))


def test_ranking_needs_neither_file_any_more(here: Path) -> None:
    run()
    for name in ("mine.py", "grid.csv"):
        Path(name).unlink()
    assert surrobench("rank", "results/own").status == 0


def test_the_other_blocks_are_what_they_say(here: Path) -> None:
    Path("small.csv").write_text(shown("own-table.md", "grid.csv"))
    done = surrobench("evaluate", "table:small.csv", "--config", '{"lr": 0.001, "activation": "relu"}')
    assert json.loads(done.out) == pytest.approx({"val_loss": 0.32, "cost": 12.3})

    described = shown("own-table.md", "trials.toml")
    columns = ["params_lr", "params_depth", "epoch", "seed", "dataset", "value", "seconds"]
    rows = [
        (lr, d, e, s, "a", lr * d / e + s, 2.0 * e)
        for lr in (0.1, 0.2)
        for d in (1, 2)
        for e in (1, 9)
        for s in (1, 2)
    ]
    pl.DataFrame(rows, columns, orient="row").write_parquet(tomllib.loads(described)["file"])
    Path("trials.toml").write_text(described)
    one = '{"params_lr": 0.2, "params_depth": 2}'
    done = surrobench("evaluate", "table:trials.toml", "--fidelity", "1", "--config", one)
    assert json.loads(done.out) == pytest.approx({"value": 0.4 + 1.5, "cost": 2.0})
