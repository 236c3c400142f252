"""Folders of SMAC3 (made by SMAC), Ray Tune and KerasTuner (files in their form)."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from surrobench.errors import DataError
from surrobench.past_trials.sources.registry import past_trials
from surrobench.past_trials.trials import Asked


@pytest.fixture(scope="module")
def smac_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of SMAC with a conditional space, budgets and a crash."""
    smac = pytest.importorskip("smac")
    from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float

    space = ConfigurationSpace(seed=0)
    kernel, gamma, c = Categorical("kernel", ["rbf", "linear"]), Float("gamma", (1e-3, 1)), Float("C", (1, 9))
    space.add(kernel, gamma, c)
    space.add(EqualsCondition(gamma, kernel, "rbf"))

    def train(config: Any, seed: int = 0, budget: float = 9) -> float:
        if config["C"] > 8.5:
            raise RuntimeError
        return float(config["C"] + 1 / budget)

    folder = tmp_path_factory.mktemp("smac")
    scenario = smac.Scenario(
        space, output_directory=folder, n_trials=30, min_budget=1, max_budget=9, deterministic=True, seed=0
    )
    smac.MultiFidelityFacade(scenario, train, overwrite=True, logging_level=False).optimize()
    [history] = folder.rglob("runhistory.json")
    return history.parent


def test_smac3(smac_folder: Path) -> None:
    found = past_trials([str(smac_folder)])
    assert set(found.space) == {"kernel", "gamma", "C"}
    assert len(found.space.conditions) == 1
    assert found.columns("minimize") == ["minimize.cost"]
    assert found.columns("fidelity") == ["fidelity.budget"]
    ended = json.loads((smac_folder / "runhistory.json").read_text())["data"]
    measured = found.frame.filter(~found.frame["failed"])
    assert len(ended) >= len(measured) > 10
    rows = measured.select("config.C", "minimize.cost", "fidelity.budget").iter_rows()
    for c, cost, budget in rows:
        assert cost == pytest.approx(c + 1 / budget)
    assert past_trials([str(smac_folder / "runhistory.json")]).trials == found.trials


def test_a_history_of_smac3_without_its_space_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runhistory.json").write_text('{"configs": {}, "data": []}')
    with pytest.raises(DataError, match=r"configspace\.json cannot be read"):
        past_trials([str(tmp_path)])


def ray_trial(folder: Path, number: int, iterations: int, *, failed: bool = False) -> None:
    trial = folder / f"train_{number:03}"
    trial.mkdir()
    lines = [
        {
            "loss": number + 1 / i,
            "training_iteration": i,
            "time_total_s": 2.0 * i,
            "done": i == iterations,
            "trial_id": f"t{number}",
            "pid": 7,
            "config": {"lr": 0.1 * (number + 1), "net": {"depth": number % 3}},
        }
        for i in range(1, iterations + 1)
    ]
    (trial / "result.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if failed:
        (trial / "error.txt").write_text("Traceback")


def test_ray_tune(tmp_path: Path) -> None:
    for number in range(10):
        ray_trial(tmp_path, number, 2 if number % 3 else 5, failed=number == 7)
    (tmp_path / "train_empty").mkdir()
    (tmp_path / "train_empty" / "result.json").write_text("")
    found = past_trials([str(tmp_path)], Asked({"loss": True}))
    assert set(found.space) == {"lr", "net/depth"}
    assert found.trials == 10
    assert found.frame["failed"].sum() == 1
    assert found.frame["fidelity.training_iteration"].max() == 5
    assert found.dropped == {"they have no result": 1}


def test_trials_of_ray_tune_that_were_measured_once_have_no_fidelity(tmp_path: Path) -> None:
    for number in range(8):
        ray_trial(tmp_path, number, 1)
    found = past_trials([str(tmp_path)], Asked({"loss": True}))
    assert found.columns("fidelity") == []
    assert found.trials == 8


def test_a_metric_of_ray_tune_must_be_chosen(tmp_path: Path) -> None:
    ray_trial(tmp_path, 0, 2)
    with pytest.raises(DataError, match="it has loss"):
        past_trials([str(tmp_path)])


def syne_tune_folder(folder: Path, metadata: str) -> None:
    rows = [
        f"{epoch},{trial + 1 / epoch},{epoch * 2.0},CONTINUE,Completed,{trial},{0.1 * (trial + 1)},9\n"
        for trial in range(8)
        for epoch in range(1, 4 if trial % 2 else 2)
    ]
    header = "epoch,loss,st_worker_time,st_decision,st_status,trial_id,config_lr,config_epochs\n"
    with zipfile.ZipFile(folder / "results.csv.zip", "w") as archive:
        archive.writestr("results.csv", header + "".join(rows))
    (folder / "metadata.json").write_text(metadata)


def test_syne_tune_states_its_direction(tmp_path: Path) -> None:
    kwargs = '{"time_attr": "epoch"}'
    modes = f'{{"metric_names": ["loss"], "metric_mode": "max", "scheduler_kwargs": {kwargs}}}'
    syne_tune_folder(tmp_path, modes)
    found = past_trials([str(tmp_path)])
    assert found.columns("maximize") == ["maximize.loss"]
    assert found.columns("fidelity") == ["fidelity.epoch"]
    assert (found.trials, len(found.frame)) == (8, 16)


@pytest.mark.parametrize("metadata", ["", "[]", "{}", '{"metric_names": ["a", "b"], "metric_mode": ["min"]}'])
def test_damaged_metadata_of_syne_tune_are_named(tmp_path: Path, metadata: str) -> None:
    syne_tune_folder(tmp_path, metadata)
    with pytest.raises(DataError, match=r"metadata\.json cannot be read"):
        past_trials([str(tmp_path)])


def keras_trial(folder: Path, number: int, status: str = "COMPLETED") -> None:
    trial = folder / f"trial_{number:02}"
    trial.mkdir()
    layers = number % 3 + 1
    conditional = {"class_name": "Parent", "config": {"name": "layers", "values": [2, 3]}}
    content = {
        "trial_id": f"{number:02}",
        "hyperparameters": {
            "space": [
                {"class_name": "Int", "config": {"name": "layers", "conditions": []}},
                {"class_name": "Float", "config": {"name": "drop", "conditions": [conditional]}},
            ],
            "values": {"layers": layers, "drop": number / 20},
        },
        "metrics": {
            "metrics": {
                "val_accuracy": {
                    "direction": "max",
                    "observations": [{"value": [0.5 + number / 100], "step": 3}],
                }
            }
        },
        "score": 0.5,
        "best_step": 3,
        "status": status,
    }
    (trial / "trial.json").write_text(json.dumps(content))


def test_keras_tuner(tmp_path: Path) -> None:
    for number in range(18):
        keras_trial(tmp_path, number, {4: "FAILED", 5: "RUNNING"}.get(number, "COMPLETED"))
    found = past_trials([str(tmp_path)])
    [condition] = found.space.conditions
    assert (condition.child.name, list(condition.values)) == ("drop", [2, 3])
    assert found.columns("maximize") == ["maximize.val_accuracy"]
    assert found.frame["failed"].sum() == 1
    assert found.dropped == {"they had not ended": 1}


def test_a_damaged_trial_of_keras_tuner_is_named(tmp_path: Path) -> None:
    keras_trial(tmp_path, 0)
    (tmp_path / "trial_00" / "trial.json").write_text("{")
    with pytest.raises(DataError, match=r"trial\.json is no trial of KerasTuner"):
        past_trials([str(tmp_path)])
