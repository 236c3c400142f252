"""Recorded configurations, replayed: what a file says, in its order, and what becomes of its errors."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from surrobench.benchmarks.configuration_file import configuration_file
from surrobench.benchmarks.registry import benchmark
from surrobench.errors import SuiteError, UsageError
from surrobench.execution.shards import execute
from surrobench.optimizers.classical.proposals import proposals
from surrobench.plan.planning import plan
from surrobench.protocol.requests import Evaluate, Evaluated, Waste
from surrobench.study.options import Options
from surrobench.study.session import run_study
from surrobench.suite.loading import load_suite, parse_suite
from tests.optimizers.driving import task
from tests.studies import run, trials

CAR = "hpobench/mlp/car"
GRID = benchmark(CAR).scenario.grid
FIRST = {"alpha": GRID["alpha"][0], "batch_size": 4, "depth": 1, "learning_rate_init": 1.0, "width": 16}
OTHER = {**FIRST, "depth": 3}
SUITE = """\
name = "study"
benchmarks = ["hpobench/mlp/car"]
trials = 4
seeds = {seeds}
initial = "none"
noise = "mean"
control = "theirs"
[optimizers.theirs]
method = "proposals"
parameters = {{ file = "{file}"{more} }}
"""


def write(path: Path, rows: list[tuple[str, int, int, dict]], **columns: list) -> Path:
    """A file with configurations as JSON; ``columns`` are further ones."""
    frame = pl.DataFrame(
        {
            "benchmark": [row[0] for row in rows],
            "seed": [row[1] for row in rows],
            "trial": [row[2] for row in rows],
            "config": [json.dumps(row[3]) for row in rows],
            **columns,
        }
    )
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    else:
        frame.write_csv(path)
    return path


def requests(path: Path, seed: int = 0, of: str = "") -> list[Evaluate | Waste]:
    """What the optimizer asks for until it ends."""
    space = benchmark(CAR).space
    steps = proposals(
        replace(task(space), benchmark=CAR, seed=seed), np.random.default_rng(0), file=str(path), of=of
    )
    out, answer = [], None
    while True:
        try:
            out.append(steps.send(answer))
        except StopIteration:
            return out
        m = len(out[-1].configurations) if isinstance(out[-1], Evaluate) else 1
        answer = Evaluated(np.zeros((m, space.d)), np.zeros(m))


def decoded(asked: list[Evaluate | Waste]) -> list[dict]:
    return [dict(benchmark(CAR).space.decode(r.configurations)[0]) for r in asked if isinstance(r, Evaluate)]


@pytest.mark.parametrize("name", ["theirs.csv", "theirs.csv.gz", "theirs.parquet"])
def test_they_come_in_the_order_of_their_trials_repetitions_included(tmp_path, name):
    rows = [(CAR, 0, 9, FIRST), (CAR, 0, 2, OTHER), (CAR, 1, 1, OTHER), (CAR, 0, 11, OTHER)]
    asked = requests(write(tmp_path / name, rows))
    assert decoded(asked) == [OTHER, FIRST, OTHER]
    assert {request.source for request in asked} == {"recorded"}
    assert {request.repairs for request in asked} == {()}


def test_a_column_for_each_hyperparameter_says_the_same(tmp_path):
    pl.DataFrame(
        [{"benchmark": CAR, "seed": 0, "trial": i, "note": "x"} for i in range(2)]
    ).hstack(pl.DataFrame([FIRST, OTHER]).rename(lambda name: f"config.{name}")).write_csv(
        tmp_path / "wide.csv"
    )  # fmt: skip
    assert decoded(requests(tmp_path / "wide.csv")) == [FIRST, OTHER]


def test_rounded_numbers_are_those_of_the_grid(tmp_path):
    alpha = GRID["alpha"][3]
    path = write(tmp_path / "r.csv", [(CAR, 0, 0, {**FIRST, "alpha": float(f"{alpha:.8g}")})])
    [asked] = requests(path)
    assert isinstance(asked, Evaluate)
    assert asked.repairs == ()
    assert decoded([asked])[0]["alpha"] == alpha


def test_what_is_off_the_grid_is_moved_and_said_so_and_what_is_illegal_costs_its_trial(tmp_path):
    rows = [
        (CAR, 0, 0, {**FIRST, "width": 17}),
        (CAR, 0, 1, {**FIRST, "width": 1e9}),
        (CAR, 0, 2, {**FIRST, "wdith": 16}),
        (CAR, 0, 3, FIRST),
    ]
    asked = requests(write(tmp_path / "odd.csv", rows))
    assert [type(request) for request in asked] == [Evaluate, Waste, Evaluate, Evaluate]
    assert asked[0].repairs == ("snapped:width",)
    assert decoded(asked)[0]["width"] == 16
    assert "width" in asked[1].reason
    assert asked[2].repairs == ("dropped:'wdith'",)
    assert {request.source for request in asked} == {"recorded"}


def test_in_a_study_they_end_before_the_budget_and_duplicates_are_flagged(tmp_path):
    path = write(tmp_path / "t.csv", [(CAR, 0, i, c) for i, c in enumerate([FIRST, OTHER, FIRST])])
    summary = run(SUITE.format(seeds=1, file=path, more=""), tmp_path / "out", jobs=1)
    assert summary.states == {"exhausted": 1}
    got = trials(tmp_path / "out", "hpobench/mlp")
    assert got["source"].to_list() == ["recorded"] * 3
    assert got["duplicate"].to_list() == [False, False, True]
    assert got["config.depth"].to_list() == [1, 3, 1]
    expected = benchmark(CAR).evaluate([FIRST, OTHER, FIRST])["val_balanced_accuracy"]
    assert np.array_equal(got["value"], expected)


def test_of_chooses_one_of_several_methods(tmp_path):
    rows = [(CAR, 0, 0, FIRST), (CAR, 0, 0, OTHER)]
    path = write(tmp_path / "two.csv", rows, method=["a", "b"])
    assert decoded(requests(path, of="b")) == [OTHER]
    for of, says in {"": "has 2 methods", "c": "has no method 'c'"}.items():
        with pytest.raises(UsageError, match=says):
            requests(path, of=of)
    one = write(tmp_path / "one.csv", rows[:1])
    with pytest.raises(UsageError, match="no column 'method'"):
        requests(one, of="a")


# ---------------------------------------------------------------------- identity


def test_the_files_content_is_part_of_a_runs_identity_and_its_folder_is_not(tmp_path):
    path = write(tmp_path / "t.csv", [(CAR, 0, 0, FIRST)])
    (tmp_path / "elsewhere").mkdir()
    moved = Path(shutil.copy(path, tmp_path / "elsewhere" / "renamed.csv"))
    [here], [there] = (plan(parse_suite(SUITE.format(seeds=1, file=p, more=""))) for p in (path, moved))
    assert here.id == there.id
    assert here.arguments["file"] == str(path)
    assert there.arguments["file"] == str(moved)
    write(path, [(CAR, 0, 0, OTHER)])
    [edited] = plan(parse_suite(SUITE.format(seeds=1, file=path, more="")))
    assert edited.id != here.id
    with pytest.raises(UsageError, match="edited while its study ran"):
        execute([here])


def test_the_file_is_found_beside_the_suite(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine" / "t.csv", [(CAR, 0, 0, FIRST)])
    (tmp_path / "mine" / "study.toml").write_text(SUITE.format(seeds=1, file="t.csv", more=""))
    monkeypatch.chdir(tmp_path)
    [found] = plan(load_suite("mine/study.toml")[0])
    assert found.arguments["file"] == str(tmp_path / "mine" / "t.csv")


# ---------------------------------------------------------------------- what is wrong is one line


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        plan(parse_suite(text))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_seed_or_benchmark_that_the_file_lacks_is_told_at_planning(tmp_path):
    path = write(tmp_path / "t.csv", [(CAR, 0, 0, FIRST), (CAR, 2, 0, FIRST)])
    message = refusal(SUITE.format(seeds=2, file=path, more=""))
    assert message == f"t.csv has no configurations for {CAR}, seed 1. It has seeds 0, 2."
    write(path, [("hpobench/mlp/cra", 0, 0, FIRST)])
    message = refusal(SUITE.format(seeds=1, file=path, more=""))
    assert message == f"t.csv has no configurations for {CAR}. Did you mean 'hpobench/mlp/cra'?"


def test_a_hyperparameter_that_is_none_in_every_row_is_told_at_planning(tmp_path):
    path = write(tmp_path / "t.csv", [(CAR, 0, i, {**FIRST, "wdith": 1}) for i in range(2)])
    assert "'wdith' is no hyperparameter of hpobench/mlp" in refusal(
        SUITE.format(seeds=1, file=path, more="")
    )


def test_a_suite_must_name_the_file(tmp_path):
    text = SUITE.format(seeds=1, file="", more="")
    with pytest.raises(SuiteError, match=r'reads a file: add file = "PATH"') as caught:
        parse_suite(text)
    assert "(line 10: " in str(caught.value)
    assert "cannot be read: No such file" in refusal(SUITE.format(seeds=1, file=tmp_path / "no.csv", more=""))
    (tmp_path / "no.txt").touch()
    assert "holds no configurations" in refusal(SUITE.format(seeds=1, file=tmp_path / "no.txt", more=""))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("benchmark,sed,trial,config\nb,0,0,{}\n", "no column 'seed', but 'sed'"),
        ("benchmark,seed,trial\nb,0,0\n", "has no configurations. Its columns are"),
        ("benchmark,seed,trial,config\n", "has no rows"),
        ("benchmark,seed,trial,config\nb,x,0,{}\n", "seed must be an integer in every row"),
        ("benchmark,seed,trial,config\nb,0,0,{}\nb,0,0,{}\n", "two rows for b, seed 0, trial 0"),
        ("benchmark,seed,trial,config\nb,0,0,x\n", "b, seed 0, trial 0: config is no JSON object"),
        ("", "cannot be read"),
    ],
)
def test_a_file_of_another_form_is_told_in_one_line(tmp_path, text, says):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        configuration_file(str(path)).configurations("b", 0)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_shipped_file_replays_llambos_runs(tmp_path):
    suite, text = load_suite("llambo2024")
    suite = suite.model_copy(update={"optimizers": {"llambo": suite.optimizers["llambo"]}})
    run_study(suite, text, Options(tmp_path / "out", jobs=1))
    got = trials(tmp_path / "out", "hpobench/mlp")
    assert got.group_by("source").len().sort("source").rows() == [("initial", 200), ("recorded", 1000)]
    assert set(got["status"]) == {"ok"}
    assert got["repairs"].null_count() == 1200
    assert got["duplicate"].sum() == 33
