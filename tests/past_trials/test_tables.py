"""Tables of trials, as tools export them and as people write them."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import optuna
import polars as pl
import pytest

from surrobench.errors import DataError
from surrobench.past_trials.sources.registry import past_trials
from surrobench.past_trials.sources.table import duration
from surrobench.past_trials.trials import Asked, PastTrials

LOSS = {"loss": True}


def imported(path: Path, **asked: object) -> PastTrials:
    return past_trials([str(path)], Asked(**asked))  # type: ignore[arg-type]


def written(folder: Path, text: str, name: str = "trials.csv") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_the_frame_that_optuna_exports(tmp_path: Path) -> None:
    """States and durations as pandas writes them; a pruned trial has no step, so it is left out."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), direction="maximize")

    def objective(trial: optuna.Trial) -> float:
        depth = trial.suggest_categorical("max depth", [3, 5, None])
        units = trial.suggest_int("units", 8, 64) if trial.suggest_int("layers", 1, 3) > 1 else 0
        if trial.number == 4:
            raise ValueError
        if trial.number == 5:
            raise optuna.TrialPruned
        return float(units + (depth or 0))

    study.optimize(objective, 60, catch=(ValueError,))
    frame = study.trials_dataframe()
    frame.to_csv(tmp_path / "trials.csv", index=False)
    found = imported(tmp_path / "trials.csv", objectives={"value": False})
    assert set(found.space) == {"max depth", "layers", "units"}
    [condition] = found.space.conditions
    assert (condition.child.name, condition.parent.name, list(condition.values)) == (
        "units",
        "layers",
        [2, 3],
    )
    assert found.frame["failed"].sum() == 1
    assert sum(found.dropped.values()) == 1
    assert found.frame["cost"].is_not_null().all()
    assert found.frame["maximize.value"].drop_nulls().to_list() == frame["value"].dropna().tolist()


def test_a_direction_that_nothing_states_is_asked_for(tmp_path: Path) -> None:
    file = written(tmp_path, "number,value,params_x,state\n0,1.0,0.5,COMPLETE\n")
    with pytest.raises(DataError, match="NAME=max; it has value"):
        imported(file)


def test_mlflow(tmp_path: Path) -> None:
    text = "run_id,status,start_time,end_time,params.lr,params.opt,metrics.loss,metrics.acc\n" + "".join(
        f"r{i},{'FAILED' if i == 3 else 'RUNNING' if i == 4 else 'FINISHED'},2026-01-01 00:00:{i:02},"
        f"2026-01-01 00:01:{i:02},{0.001 * (i + 1)},{'sgd' if i % 2 else 'adam'},{i / 10},{1 - i / 10}\n"
        for i in range(12)
    )
    found = imported(written(tmp_path, text), objectives=LOSS)
    assert set(found.space) == {"lr", "opt"}
    assert found.frame["cost"].unique().to_list() == [60.0]
    assert found.frame["failed"].sum() == 1
    assert found.dropped == {"they had not ended": 1}


def test_weights_and_biases(tmp_path: Path) -> None:
    text = "Name,State,Runtime,lr,layers,loss\n" + "".join(
        f"run-{i},{'crashed' if i == 0 else 'finished'},{30 + i},{0.1 / (i + 1)},{i % 3 + 1},{i}\n"
        for i in range(20)
    )
    found = imported(written(tmp_path, text), objectives=LOSS, hyperparameters=("lr", "layers"))
    assert found.frame["cost"].to_list() == [30.0 + i for i in range(20)]
    assert found.frame["failed"].to_list() == [True] + [False] * 19
    with pytest.raises(DataError, match=r"which columns of trials\.csv are hyperparameters"):
        imported(tmp_path / "trials.csv", objectives=LOSS)


def test_syne_tune(tmp_path: Path) -> None:
    rows = [
        f"{trial},{epoch},{0.1 * (trial + 1)},{trial + 1 / epoch},{epoch * 2.0},CONTINUE\n"
        for trial in range(8)
        for epoch in range(1, 4 if trial % 2 else 2)
    ]
    text = "trial_id,epoch,config_lr,loss,st_worker_time,st_decision\n" + "".join(rows)
    found = imported(written(tmp_path, text), objectives=LOSS)
    assert found.columns("fidelity") == ["fidelity.epoch"]
    assert len(found.frame) == 16
    assert found.trials == 8


def test_ray_tune(tmp_path: Path) -> None:
    header = "trial_id,training_iteration,time_total_s,done,loss,config/lr,config/model/depth\n"
    rows = [
        f"a{t},{i},{i * 1.5},False,{t + 1 / i},{0.1 * (t + 1)},{t % 3}\n" for t in range(6) for i in (1, 2, 3)
    ]
    found = imported(written(tmp_path, header + "".join(rows)), objectives=LOSS)
    assert set(found.space) == {"lr", "model/depth"}
    assert found.frame["fidelity.training_iteration"].max() == 3
    assert found.frame["cost"].max() == 4.5


def test_names_and_digits_are_kept(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"a b.c/d'é\"": [0.1 + i / 7 for i in range(40)], "l [x]": [i / 3 for i in range(40)]}
    )
    frame.write_parquet(tmp_path / "t.parquet")
    found = imported(tmp_path / "t.parquet", hyperparameters=("a b.c/d'é\"",), objectives={"l [x]": True})
    assert found.frame["config.a b.c/d'é\""].to_list() == frame["a b.c/d'é\""].to_list()
    assert found.frame["minimize.l [x]"].to_list() == frame["l [x]"].to_list()


def test_a_constant_is_a_constant_and_a_range_is_no_list(tmp_path: Path) -> None:
    text = "config.k,config.lr,config.n,config.grid,loss\n" + "".join(
        f"5,{10 ** (-4 * i / 49)},{i % 8 + 1},{(1, 10, 100)[i % 3]},{i}\n" for i in range(50)
    )
    space = imported(written(tmp_path, text), objectives=LOSS).space
    kinds = {name: type(space[name]).__name__ for name in space}
    assert kinds == {
        "k": "Constant",
        "lr": "UniformFloatHyperparameter",
        "n": "UniformIntegerHyperparameter",
        "grid": "OrdinalHyperparameter",
    }
    assert space["lr"].log


def test_nothing_usable_says_what_was_left_out(tmp_path: Path) -> None:
    file = written(tmp_path, "number,value,params_x,state\n0,1.0,0.5,RUNNING\n")
    with pytest.raises(DataError, match="Left out: 1: they had not ended"):
        imported(file, objectives={"value": True})


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'z'"):
        imported(written(tmp_path, "x,loss\n1,2\n"), hyperparameters=("z",), objectives=LOSS)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0 days 01:29:45.5", 5385.5),
        ("2 days, 0:00:01", 172801.0),
        ("12.5s", 12.5),
        ("2.5min", 150.0),
        (3, 3.0),
        (timedelta(minutes=2), 120.0),
        (math.nan, None),
        ("soon", None),
    ],
)
def test_durations(text: object, seconds: float | None) -> None:
    assert duration(text) == seconds
