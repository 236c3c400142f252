"""The rows of a study's results go back in: what is inactive is null in them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from surrobench.results.folder import Results
from tests.studies import run, surrobench, trials

XGBOOST = "yahpo/rbv2_xgboost/16"
LINEAR = {
    "alpha": 0.5,
    "booster": "gblinear",
    "lambda": 0.5,
    "nrounds": 100,
    "num.impute.selected.cpo": "impute.mean",
    "subsample": 0.7,
}
TREE = {
    **LINEAR,
    "booster": "gbtree",
    "colsample_bylevel": 0.5,
    "colsample_bytree": 0.5,
    "eta": 0.1,
    "gamma": 0.1,
    "max_depth": 6,
    "min_child_weight": 3.0,
}
SUITE = """\
name = "again"
benchmarks = ["yahpo/rbv2_xgboost/16"]
trials = {trials}
seeds = 1
initial = "{initial}"
[optimizers.random]
"""
PROPOSALS = """\
[optimizers.proposals]
parameters = {{ file = "{file}" }}
"""
pytestmark = pytest.mark.yahpo


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """The configurations of five random trials, as the Parquet file has them."""
    folder = tmp_path_factory.mktemp("rows") / "r"
    run(SUITE.format(trials=5, initial="default"), folder)
    frame = Results(folder).trials(scenario_key="yahpo/rbv2_xgboost").collect()
    names = [name for name in frame.columns if name.startswith("config.")]
    return frame.select(names).rename({name: name[7:] for name in names}).to_dicts()


def csv_of(path: Path, rows: list[dict[str, object]]) -> Path:
    configurations = [json.dumps(row) for row in rows]
    keys = {"benchmark": [XGBOOST] * len(rows), "seed": [0] * len(rows), "trial": list(range(len(rows)))}
    pl.DataFrame({**keys, "config": configurations}).write_csv(path)
    return path


def test_evaluate_takes_them(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    assert any(value is None for value in rows[0].values())
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = surrobench("evaluate", XGBOOST, "--config", file)
    assert done.status == 0
    assert len(done.out.splitlines()) == 5


def test_proposals_and_an_initial_design_take_them(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    file = csv_of(tmp_path / "given.csv", rows)
    text = SUITE.format(trials=5, initial="none") + PROPOSALS.format(file=file)
    run(text.replace("[optimizers.random]", 'control = "proposals"'), tmp_path / "proposed")
    assert trials(tmp_path / "proposed")["status"].to_list() == ["ok"] * 5
    assert trials(tmp_path / "proposed")["repairs"].to_list() == [None] * 5
    run(SUITE.format(trials=7, initial=f"file:{file}"), tmp_path / "granted")
    granted = trials(tmp_path / "granted").filter(pl.col("source") == "initial")
    assert granted["value"].to_list() == trials(tmp_path / "proposed")["value"].to_list()


def test_proposals_leave_out_what_is_inactive_whatever_it_is(tmp_path: Path) -> None:
    said = [{**LINEAR, "max_depth": value} for value in (None, 3, 99, "unused")]
    file = csv_of(tmp_path / "given.csv", said)
    text = SUITE.format(trials=4, initial="none") + PROPOSALS.format(file=file)
    run(text.replace("[optimizers.random]", 'control = "proposals"'), tmp_path / "r")
    assert trials(tmp_path / "r")["status"].to_list() == ["ok"] * 4
    assert trials(tmp_path / "r")["repairs"].to_list() == [None] + ["dropped:max_depth"] * 3


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        (LINEAR, ""),
        ({**LINEAR, "max_depth": None}, ""),
        ({**LINEAR, "max_depth": 3}, "'max_depth' is inactive and must be left out, or null"),
        ({**LINEAR, "booster": "gbtree"}, "'colsample_bylevel' is missing"),
        (TREE, ""),
        ({**TREE, "rate_drop": 0.1}, "'rate_drop' is inactive and must be left out, or null"),
        ({**TREE, "nrounds": 100.0}, ""),
        ({**TREE, "nrounds": "100"}, "nrounds = '100' is not in the space"),
    ],
)
def test_evaluate_says_what_is_inactive_and_what_is_missing(configuration: dict, message: str) -> None:
    done = surrobench("evaluate", XGBOOST, "--config", json.dumps(configuration))
    assert done.status == (2 if message else 0)
    assert message in done.err
