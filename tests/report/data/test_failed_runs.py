"""A failed run of one method counts by a stated rule, and removes no data set from the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import surrobench as api
from surrobench.benchmarks.registry import benchmark
from surrobench.errors import ResultsError, UsageError
from surrobench.report.data.incumbents import without_gaps
from surrobench.report.data.study_data import StudyData, load_study
from surrobench.results.folder import Results
from tests.studies import run, surrobench

LATE, AT_ONCE, NEVER = "hpobench/mlp/car", "hpobench/mlp/vehicle", "hpobench/mlp/phoneme"
METHOD = """
from surrobench.protocol.requests import Evaluate

def flaky(task, rng):
    if task.benchmark == "hpobench/mlp/vehicle" and task.seed == 0:
        raise ValueError("at once")
    for _ in range(3):
        yield Evaluate(task.space.sample(1, rng))
    if task.benchmark == "hpobench/mlp/car" and task.seed == 1:
        raise ValueError("late")
    while True:
        yield Evaluate(task.space.sample(1, rng))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("failed")
    (where / "mine.py").write_text(METHOD)
    text = f"""
name = "failed"
benchmarks = {json.dumps([LATE, AT_ONCE, NEVER])}
trials = 8
seeds = 2
initial = "none"
[optimizers.random]
[optimizers.flaky]
method = "{where}/mine.py:flaky"
"""
    summary = run(text, where / "out")
    assert summary.states == {"ok": 10, "failed": 2}
    return where / "out"


def scores(study: StudyData, name: str, seed: int) -> list[float]:
    mine = study.incumbents.filter(method="flaky", benchmark=name, seed=seed)
    return mine["score"].to_list()


def found_by_then(folder: Path, name: str, seed: int) -> float:
    """The mean loss of what the failed run had found, from its trials."""
    trials = (
        Results(folder)
        .trials()
        .filter((pl.col("optimizer") == "flaky") & (pl.col("benchmark") == name) & (pl.col("seed") == seed))
        .collect()
    )
    sign = benchmark(name).objective.sign
    assert len(trials) == 3
    losses = sign * trials["value"].to_numpy()
    return float(sign * trials["score"][int(np.argmin(losses))])


def test_without_a_rule_failed_runs_are_missing(folder: Path) -> None:
    with pytest.raises(
        ResultsError, match=r"2 runs are missing, failed .*--failed says how failed runs count"
    ):
        load_study(Results(folder))


def test_with_the_incumbent_all_benchmarks_stay(folder: Path) -> None:
    study = load_study(Results(folder), failed="incumbent", area=True, units=("trials",))
    assert list(study.references) == [LATE, AT_ONCE, NEVER]
    assert scores(study, LATE, 1) == [pytest.approx(found_by_then(folder, LATE, 1))]
    assert scores(study, AT_ONCE, 0) == [benchmark(AT_ONCE).reference.worst]
    area = study.incumbents.filter(method="flaky", benchmark=AT_ONCE, seed=0)["area"]
    assert area.to_list() == [1.0]
    assert study.left_out == ()
    assert any(
        "2 runs failed (2 of flaky) and count with what was found before" in note for note in study.notes
    )


def test_with_the_worst_nothing_that_was_found_counts(folder: Path) -> None:
    study = load_study(Results(folder), failed="worst", area=True)
    for name, seed in ((LATE, 1), (AT_ONCE, 0)):
        assert scores(study, name, seed) == [benchmark(name).reference.worst]
    plain = load_study(Results(folder), failed="incumbent", area=True)
    for name, seed in ((LATE, 0), (NEVER, 1)):
        assert scores(study, name, seed) == scores(plain, name, seed)
    late = pl.col("benchmark").eq(LATE) & pl.col("method").eq("flaky") & pl.col("seed").eq(1)
    assert study.incumbents.filter(late)["area"][0] > plain.incumbents.filter(late)["area"][0]
    assert study.incumbents.filter(late)["area"][0] > 0.9
    assert any(
        "count with the worst value of the benchmark (failed = 'worst')" in note for note in study.notes
    )


def test_leaving_out_takes_the_benchmarks_of_failed_runs_alone(folder: Path) -> None:
    study = load_study(Results(folder), failed="leave out")
    assert list(study.references) == [NEVER]
    assert set(study.left_out) == {LATE, AT_ONCE}
    assert any("their benchmarks are left out for all methods" in note for note in study.notes)


def test_a_run_that_is_missing_is_an_error_whatever_failed(folder: Path) -> None:
    incumbents = pl.DataFrame(
        {"run": ["a", "b", "c"], "benchmark": ["x", "y", "z"], "method": "m", "seed": 0, "score": 0.5}
    )
    failed, done = pl.Series(["b"]), pl.Series(["c"])
    with pytest.raises(ResultsError, match="1 runs are missing, failed or observed nothing: m on x seed 0"):
        without_gaps(incumbents, done, [Results(folder)], partial=False, failed=failed)
    left, missing = without_gaps(incumbents, done, [Results(folder)], partial=True, failed=failed)
    assert (left["run"].to_list(), missing["run"].to_list()) == (["c"], ["a", "b"])
    left, missing = without_gaps(
        incumbents, pl.Series(["a", "c"]), [Results(folder)], partial=False, failed=failed
    )
    assert (left["run"].to_list(), missing["run"].to_list()) == (["a", "c"], ["b"])


def test_an_unknown_rule_is_named(folder: Path) -> None:
    with pytest.raises(UsageError, match="no rule 'best' for failed runs"):
        load_study(Results(folder), failed="best")


@pytest.mark.parametrize("rule", ["incumbent", "worst", "leave-out"])
def test_rank_takes_the_rule_and_says_it(folder: Path, rule: str) -> None:
    done = surrobench("rank", folder, "--failed", rule, "--target", "0.3")
    assert done.status == 0, done.err
    assert "2 runs failed (2 of flaky)" in " ".join(done.out.split())
    ranking = api.load(folder).rank(failed=rule.replace("-", " "))
    assert "2 runs failed (2 of flaky)" in ranking.to_markdown()
