"""Fidelity from an optimizer's request to the results, and studies on surrogates."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from surrobench.benchmarks.base import Columns
from surrobench.benchmarks.registry import benchmark
from surrobench.engine.replay import Recording
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.protocol.requests import Evaluate, Waste
from tests.engine.test_loop import only, outcomes, run_of
from tests.studies import MLP, files, run, suite_text, surrobench, trials

pytestmark = pytest.mark.yahpo

VEHICLE, TREE = "yahpo/lcbench/167168", "yahpo/rbv2_rpart/14"


@pytest.fixture
def climbing(monkeypatch: pytest.MonkeyPatch) -> str:
    """An optimizer that asks for a configuration at three fidelities, and wastes every fourth trial."""

    def climb(task: Task, rng: np.random.Generator) -> Steps:
        vary = task.fidelities[0]
        while True:
            x = task.space.sample(1, rng)
            for value in (vary.useful[0], vary.useful[1]):
                yield Evaluate(x, source="climb", fidelity={vary.name: value})
            yield Evaluate(x, source="climb")
            yield Waste("on purpose")

    entry = Optimizer("tests:none", "for a test")
    entry.__dict__["function"] = climb  # where cached_property keeps it
    monkeypatch.setitem(OPTIMIZERS, "climb", entry)
    return "climb"


def asking(monkeypatch: pytest.MonkeyPatch, fidelity: Any) -> str:
    def ask(task: Task, rng: np.random.Generator) -> Steps:
        yield Evaluate(task.space.sample(1, rng), fidelity=fidelity)

    entry = Optimizer("tests:none", "for a test")
    entry.__dict__["function"] = ask
    monkeypatch.setitem(OPTIMIZERS, "asking", entry)
    return "asking"


def test_each_request_is_evaluated_at_its_own_fidelity(climbing: str) -> None:
    runs = [run_of(climbing, VEHICLE, seed, trials=8) for seed in range(3)] + [run_of("random", VEHICLE)]
    found = outcomes(runs)
    for one in runs[:3]:
        outcome = found[one.id]
        assert outcome.fidelity is not None
        expected = [2, 51, 52, np.nan]
        assert np.array_equal(outcome.fidelity[:, 0], expected * 2, equal_nan=True)
        where = benchmark(VEHICLE)
        for row, epoch in enumerate(expected[:3]):
            alone = where.evaluate(outcome.configurations[[row]], fidelity={"epoch": epoch})
            assert outcome.values[row].tolist() == [alone[o.name][0] for o in where.scenario.objectives]
            assert outcome.cost[row] == alone["cost"][0]
        assert np.all(np.diff(outcome.cost[:3]) > 0)
        # The same configuration at another fidelity is no repetition.
        assert not outcome.duplicate.any()
    full = found[runs[3].id].fidelity
    assert full is not None
    assert (full == 52).all()


@pytest.mark.parametrize(
    ("fidelity", "message"),
    [
        ({"epoch": 53}, "illegal fidelity: epoch = 53 is no fidelity of yahpo/lcbench"),
        ({"epochs": 5}, "illegal fidelity: yahpo/lcbench has no fidelity 'epochs'"),
        (5, "with fidelity = 5; it must be a mapping of name to number"),
    ],
)
def test_an_illegal_fidelity_fails_its_run_alone(
    monkeypatch: pytest.MonkeyPatch, fidelity: Any, message: str
) -> None:
    bad, good = run_of(asking(monkeypatch, fidelity), VEHICLE), run_of("random", VEHICLE)
    found = outcomes([bad, good])
    assert found[bad.id].state == "failed"
    assert message in found[bad.id].error
    assert found[good.id].state == "ok"


def test_a_table_refuses_a_fidelity(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = only(run_of(asking(monkeypatch, {"epoch": 3}), MLP))
    assert "hpobench/mlp has no fidelity 'epoch'. It has none." in outcome.error


def test_fidelities_are_recorded_and_replayed(tmp_path: Path, climbing: str) -> None:
    text = suite_text(VEHICLE, TREE, MLP, methods=["random"], trials=5)
    surrogates = suite_text(VEHICLE, TREE, methods=["random", climbing], trials=6, name="climb")
    run(text, tmp_path / "a")
    run(surrogates, tmp_path / "b")
    lcbench, tree = trials(tmp_path / "b", "yahpo/lcbench"), trials(tmp_path / "b", "yahpo/rbv2_rpart")
    assert lcbench["fidelity.epoch"].dtype == pl.Int64
    by_method = lcbench.filter(pl.col("optimizer") == climbing, pl.col("seed") == 0)
    assert by_method["fidelity.epoch"].to_list() == [52, 2, 51, 52, None, 2]  # the granted default first
    assert tree["fidelity.trainsize"].drop_nulls().unique().sort().to_list() == [0.03, 1.0]
    assert tree["fidelity.repl"].drop_nulls().unique().to_list() == [10]
    assert not any(column.startswith("fidelity") for column in trials(tmp_path / "a", "hpobench/mlp").columns)
    run(surrogates, tmp_path / "c", replay=tmp_path / "b", reevaluate=True)
    assert files(tmp_path / "c") == files(tmp_path / "b")


def test_a_replay_at_another_fidelity_diverges(climbing: str) -> None:
    one = run_of(climbing, VEHICLE, trials=3)
    outcome = only(one)
    assert outcome.fidelity is not None
    other = Columns(outcome.values, outcome.score, outcome.cost, outcome.fidelity - 1)
    parked = only(one, recorded={one.id: Recording(outcome.configurations, other)})
    assert parked.state == "parked"
    assert "asks for another fidelity" in parked.error


def test_a_study_is_the_same_whatever_runs_beside_it(tmp_path: Path) -> None:
    methods = ["random", "sobol", "cma-es"]
    mixed = suite_text("yahpo/lcbench/16716*", TREE, MLP, methods=methods, trials=20, seeds=3)
    alone = suite_text("yahpo/lcbench/16716*", methods=methods, trials=20, seeds=3)
    run(mixed, tmp_path / "one")
    run(mixed, tmp_path / "two", jobs=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    run(alone, tmp_path / "alone")
    expected = trials(tmp_path / "one", "yahpo/lcbench")
    assert_frame_equal(trials(tmp_path / "alone", "yahpo/lcbench"), expected, check_exact=True)
    # Half of the runs first, and with another budget: as after an interruption.
    run(suite_text("yahpo/lcbench/16716*", methods=methods[:2], trials=7, seeds=2), tmp_path / "resumed")
    run(alone, tmp_path / "resumed")
    assert files(tmp_path / "resumed") == files(tmp_path / "alone")


def test_a_study_on_surrogates_can_be_ranked(tmp_path: Path) -> None:
    run(suite_text("yahpo/lcbench/16718*", methods=["random", "sobol"], trials=10, seeds=2), tmp_path / "r")
    done = surrobench("rank", tmp_path / "r", "--format", "json")
    assert done.status == 0, done.err
