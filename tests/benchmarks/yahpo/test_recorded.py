"""Recordings rank and replay where the data of YAHPO Gym is not, and give the same numbers."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrobench.benchmarks.base import Reference
from surrobench.benchmarks.yahpo import data, recorded
from surrobench.benchmarks.yahpo.recorded import CarriedScenario, open_carried, pack
from surrobench.errors import DataError
from surrobench.paths import data_dir, recordings

RECORDINGS = data_dir("results/recordings")
DEFAULT_SEED = RECORDINGS / "default-seed"


def surrobench(*arguments, hidden, cache):
    """Run the command line with the data of YAHPO Gym hidden, or as it is here."""
    environment = dict(os.environ)
    if hidden:
        nowhere = str(cache / "nowhere")
        environment |= {
            "SURROBENCH_YAHPO_DATA": nowhere, "XDG_CACHE_HOME": nowhere, "YAHPO_LOCAL_CONFIG": nowhere,
        }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "surrobench", *map(str, arguments)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", recordings())
def test_a_recording_ranks_without_the_data(name, tmp_path):
    text = surrobench("rank", RECORDINGS / name, "--format", "csv", hidden=True, cache=tmp_path)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) > 3
    assert {"random", "tpe", "cma-es"} <= {row["method"] for row in rows}
    if name == "default-seed":
        assert {row["method"]: round(float(row["mean_rank"]), 2) for row in rows[:3]} == {
            "tpe": 1.58, "random": 1.92, "cma-es": 2.5,
        }  # fmt: skip


@pytest.mark.yahpo
@pytest.mark.parametrize("name", ["default-seed", "ferreira2026"])
def test_with_and_without_the_data_the_ranking_is_the_same(name, tmp_path):
    arguments = ("rank", RECORDINGS / name, "--format", "json")
    hidden, shown = (surrobench(*arguments, hidden=hides, cache=tmp_path) for hides in (True, False))
    assert hidden == shown


def test_a_recording_replays_without_the_data_and_its_replay_ranks(tmp_path):
    out = tmp_path / "replay"
    part = ("--seeds", 1, "--method", "random", "--method", "cma-es", "--jobs", 2)
    surrobench(
        "run", "default-seed", "--replay", DEFAULT_SEED, *part, "--out", out, hidden=True, cache=tmp_path
    )
    document = json.loads(surrobench("rank", out, "--format", "json", hidden=True, cache=tmp_path))
    assert {row["method"] for row in document["methods"]} == {"random", "cma-es"}
    assert document["instances"] == 12


@pytest.fixture
def scenario(monkeypatch):
    monkeypatch.setattr(data, "_remembered", [])
    data.remember(DEFAULT_SEED / "journal.jsonl.gz")  # a recording is named by its journal, too
    return open_carried("lcbench")


def test_a_carried_scenario_says_what_it_is_and_evaluates_nothing(scenario):
    assert isinstance(scenario, CarriedScenario)
    assert scenario.target == "val_accuracy"
    assert "3945" in scenario.instances
    assert scenario.card("3945").dataset
    scenario.prepare()
    with pytest.raises(DataError, match="cannot be evaluated: its data is not on this machine") as error:
        scenario.evaluate(scenario.default()[None, :], np.zeros(1, np.intp), None)
    assert "surrobench data pull yahpo --scenario lcbench" in error.value.remedy


def test_reference_values_that_are_not_carried_are_an_error(scenario):
    assert len(scenario.reference("3945").sorted_losses) == 20_000
    with pytest.raises(DataError, match="reference values of yahpo/lcbench/7593 are not"):
        scenario.reference("7593")
    with pytest.raises(DataError, match="for val_cross_entropy are not"):
        scenario.reference("3945", "val_cross_entropy")


def test_a_damaged_reference_is_named(scenario, tmp_path, monkeypatch):
    shutil.copytree(DEFAULT_SEED / "yahpo", tmp_path / "yahpo")
    path = tmp_path / "yahpo/lcbench/3945.reference"
    path.write_bytes(path.read_bytes()[:-100])
    monkeypatch.setattr(data, "_remembered", [tmp_path / "yahpo"])
    with pytest.raises(DataError, match=r"3945\.reference is damaged"):
        scenario.reference("3945")


def test_nothing_carried_is_no_scenario(monkeypatch):
    monkeypatch.setattr(data, "_remembered", [])
    assert open_carried("lcbench") is None


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_a_sample_is_read_as_it_was_written(values):
    sample = np.sort(np.array(values, np.float32)).astype(np.float64) + 0.0  # no negative zero
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"surrobench-{os.getpid()}.reference"
    try:
        recorded._write_reference(path, Reference(-1.5, float(np.median(sample)), 0.1, sample, exact=False))
        found = recorded._read_reference(path)
    finally:
        path.unlink(missing_ok=True)
    assert np.array_equal(found.sorted_losses, sample)
    assert (found.best, found.median, found.worst) == (-1.5, float(np.median(sample)), 0.1)


@pytest.mark.yahpo
def test_what_is_committed_is_what_would_be_packed_now(tmp_path):
    names = [f"yahpo/lcbench/{path.stem}" for path in (DEFAULT_SEED / "yahpo/lcbench").glob("*.reference")]
    assert pack(tmp_path, [*names, "hpobench/mlp/car"]) == len(names)
    for path in (tmp_path / "yahpo/lcbench").iterdir():
        if path.suffix == ".reference":
            ours, theirs = (
                recorded._read_reference(at) for at in (path, DEFAULT_SEED / "yahpo/lcbench" / path.name)
            )
            assert np.array_equal(ours.sorted_losses, theirs.sorted_losses)
            assert (ours.best, ours.worst) == (theirs.best, theirs.worst)
        else:
            assert path.read_bytes() == (DEFAULT_SEED / "yahpo/lcbench" / path.name).read_bytes()


@pytest.mark.parametrize("flipped", ["scenarios.json", "lcbench/config_space.json", "lcbench/3945.reference"])
def test_a_flipped_bit_in_what_a_folder_carries_is_noticed(tmp_path, monkeypatch, flipped):
    shutil.copytree(DEFAULT_SEED / "yahpo", tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(recorded, "remembered", lambda: [tmp_path])
    before = open_carried("lcbench").reference("3945")  # no checksums yet, as older versions packed it
    recorded._list_checksums(tmp_path)
    assert open_carried("lcbench").reference("3945").best == before.best
    content = bytearray((tmp_path / flipped).read_bytes())
    content[9] ^= 1
    (tmp_path / flipped).write_bytes(content)
    with pytest.raises(DataError, match=f"{flipped} is damaged"):
        open_carried("lcbench")
    if flipped != "scenarios.json":
        assert open_carried("rbv2_xgboost") is not None


def test_where_there_is_nothing_of_yahpo_nothing_is_packed(tmp_path):
    assert pack(tmp_path, ["hpobench/mlp/car"]) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.yahpo
def test_a_carried_scenario_of_the_users_has_the_version_that_it_had(tmp_path, monkeypatch):
    """Its runs are then found in a replay without the network."""
    source, folder, results = data.require_folder(), tmp_path / "data", tmp_path / "results"
    folder.mkdir()
    shutil.copy(source / "VERSION", folder)
    shutil.copytree(source / "rbv2_rpart", folder / "mine")
    (folder / "scenarios.json").write_text(json.dumps({"mine": data.shipped()["scenarios"]["rbv2_rpart"]}))
    data._facts_of_all.cache_clear()
    monkeypatch.setenv("SURROBENCH_YAHPO_DATA", str(folder))
    losses = np.linspace(0, 1, 5)
    found = Reference(0.0, 0.5, 1.0, losses, exact=False)
    monkeypatch.setattr(recorded.Surrogate, "reference", lambda self, instance: found)
    results.mkdir()
    pack(results, ["yahpo/mine/14"])
    version = recorded.Surrogate("mine", folder, data.read_facts(folder, "mine")).version
    assert version != 1
    monkeypatch.setattr(data, "_remembered", [results / "yahpo"])
    assert open_carried("mine").version == version
