"""Budgets, workers and submitted trials: what a run may spend, and when its trials finish."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrobench.benchmarks.registry import benchmark
from surrobench.engine.account import Account
from surrobench.engine.model_calls import ModelCalls
from surrobench.engine.outcome import NOTHING_SPENT
from surrobench.engine.run_state import RunInProgress
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.plan.planning import plan
from surrobench.protocol.budget import Budget
from surrobench.protocol.requests import Completion, Evaluate, Finished, Next, Submit, Waste
from surrobench.results.folder import Results
from surrobench.results.recordings import read_recordings
from surrobench.results.run_records import Records
from surrobench.suite.loading import parse_suite
from tests.engine.test_loop import CAR, Register, assert_same, only, outcomes, register, run_of
from tests.incumbent import final_incumbents
from tests.studies import MLP, files, run, suite_text, surrobench, trials

__all__ = ["register"]  # the fixture

VEHICLE = "yahpo/lcbench/167168"
FOREST = "yahpo/rbv2_xgboost/12"


# ---------------------------------------------------------------------- budgets


@pytest.mark.parametrize(
    ("mine", "other", "covered"),
    [
        (Budget(100), Budget(30), True),
        (Budget(30), Budget(100), False),
        (Budget(None, 10.0), Budget(None, 10.0), True),
        (Budget(100), Budget(None, 50.0), False),
        (Budget(100, 50.0), Budget(100), False),
        (Budget(None, None, 9.0), Budget(5, None, 9.0), True),
    ],
)
def test_a_budget_covers_those_whose_limits_all_come_first(
    mine: Budget, other: Budget, covered: bool
) -> None:
    assert mine.covers(other) is covered


def test_a_budget_says_what_it_limits() -> None:
    assert str(Budget(1000, 2.5)) == "1,000 trials, 2.5 full-fidelity equivalents"
    assert Budget(30, 12.5).horizon == 12
    assert Budget(30, 99.0).horizon == 30


@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=40), st.integers(1, 6), st.lists(st.integers(1, 9))
)
def test_trials_run_on_the_first_worker_that_is_free(
    costs: list[float], workers: int, cuts: list[int]
) -> None:
    account = Account(Budget(1), workers)
    finished = account.run_all(np.array(costs))
    free = [0.0] * workers
    for cost, end in zip(costs, finished, strict=True):
        first = free.index(min(free))
        free[first] += cost
        assert end == pytest.approx(free[first])
    assert account.now == pytest.approx(max(free))


def stepping(task: Task, rng: np.random.Generator) -> Steps:
    while True:
        yield Evaluate(rng.random((1, task.space.d)), unit=True)


def test_points_of_the_unit_cube_are_mapped_by_the_engine(register: Register) -> None:
    def sampling(task: Task, rng: np.random.Generator) -> Steps:
        while True:
            yield Evaluate(task.space.sample(1, rng))

    name = register(stepping)
    in_the_cube = only(run_of(name, trials=30))
    OPTIMIZERS[name].__dict__["function"] = sampling
    assert_same(in_the_cube, only(run_of(name, trials=30)))


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_a_point_outside_the_unit_cube_is_illegal(register: Register, bad: float) -> None:
    def outside(task: Task, rng: np.random.Generator) -> Steps:
        U = np.full((2, task.space.d), 0.5)
        U[1, 0] = bad
        yield Evaluate(U, unit=True)

    good = run_of(register(stepping))
    outcome = outcomes([good, wrong := run_of(register(outside))])
    assert "illegal configuration" in outcome[wrong.id].error
    assert outcome[good.id].state == "ok"


def test_one_worker_takes_the_sum_of_the_costs_and_several_share_them() -> None:
    alone, four = only(run_of(trials=40)), only(run_of(trials=40, workers=4))
    assert np.allclose(alone.finished, np.cumsum(alone.cost))
    assert np.array_equal(alone.cost, four.cost)
    assert four.finished.max() < alone.finished[-1] / 2
    assert np.array_equal(four.finished, Account(Budget(1), 4).run_all(four.cost))
    assert np.array_equal(alone.proposal, np.arange(40))


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_unfinished_when_the_time_is_over_is_dropped(workers: int) -> None:
    whole = only(run_of(trials=50, workers=workers))
    limit = float(np.median(whole.finished))
    cut = only(run_of(trials=50, workers=workers, seconds=limit))
    kept = whole.finished <= limit
    assert cut.state == "ok"
    assert np.array_equal(cut.proposal, np.flatnonzero(kept))
    assert np.array_equal(cut.configurations, whole.configurations[kept])
    assert np.array_equal(cut.finished, whole.finished[kept])


def test_time_alone_may_be_the_limit() -> None:
    whole = only(run_of(trials=3000))
    limit = float(whole.finished[2500])
    cut = only(run_of(trials=None, seconds=limit))
    assert cut.n == 2501
    assert np.array_equal(cut.configurations, whole.configurations[:2501])


# ---------------------------------------------------------------------- submitted trials


def asynchronous(task: Task, rng: np.random.Generator) -> Steps:
    """Random search that keeps all workers busy, and fails where an answer contradicts another."""
    submitted: dict[int, Any] = {}
    clock = 0
    while True:
        while len(submitted) < task.workers:
            x = task.space.sample(1, rng)[0]
            submitted[(yield Submit(x, source="random"))] = x
            clock += 1
        finished: Finished = yield Next()
        assert np.array_equal(submitted.pop(finished.ticket), finished.configuration)


def test_submitted_trials_finish_in_simulated_time_and_not_before(register: Register) -> None:
    name = register(asynchronous)
    outcome = only(run_of(name, trials=40, workers=4))
    batch = only(run_of("random", trials=40, workers=4))
    assert outcome.state == "ok", outcome.error
    # Greedily submitted, the trials are laid out as those of one batch, but told in the order they finish.
    assert (np.diff(outcome.finished) >= 0).all()
    order = outcome.proposal.astype(int)
    assert sorted(order) == list(range(40))
    assert list(order) != list(range(40))
    costs = np.empty(40)
    costs[order] = outcome.cost
    assert np.allclose(outcome.finished, Account(Budget(1), 4).run_all(costs)[order])
    assert batch.finished.max() == pytest.approx(Account(Budget(1), 4).run_all(batch.cost).max())


def test_with_one_worker_submitting_is_evaluating(register: Register) -> None:
    def one_by_one(task: Task, rng: np.random.Generator) -> Steps:
        while True:
            yield Evaluate(task.space.sample(1, rng), source="random")

    submitted = only(run_of(register(asynchronous), trials=20))
    stepped = only(replace(run_of(register(one_by_one), trials=20), optimizer=register(one_by_one)))
    # Their streams differ, for they are other optimizers: times must add up in both.
    for outcome in (submitted, stepped):
        assert np.allclose(outcome.finished, np.cumsum(outcome.cost))
        assert np.array_equal(outcome.proposal, np.arange(20))


def test_what_is_under_way_at_the_end_of_the_trials_is_finished_and_of_the_time_dropped(
    register: Register,
) -> None:
    name = register(asynchronous)
    whole = only(run_of(name, trials=30, workers=5))
    assert whole.n == 30
    limit = float(whole.finished[17])
    cut = only(run_of(name, trials=30, workers=5, seconds=limit))
    assert cut.state == "ok"
    assert cut.n == 18
    assert np.array_equal(cut.configurations, whole.configurations[:18])


def _submit_too_many(task: Task) -> Iterator[Any]:
    for _ in range(task.workers + 1):
        yield Submit(task.default)


def _wait_for_nothing(task: Task) -> Iterator[Any]:
    yield Next()


def _evaluate_meanwhile(task: Task) -> Iterator[Any]:
    yield Submit(task.default)
    yield Evaluate(task.default[None, :])


def _submit_a_matrix(task: Task) -> Iterator[Any]:
    yield Submit(task.default[None, :])


def _submit_words(task: Task) -> Iterator[Any]:
    yield Submit(["a"] * task.space.d)  # type: ignore[arg-type]


def _submit_ragged(task: Task) -> Iterator[Any]:
    yield Submit([[0.0], [0.0, 1.0]])  # type: ignore[arg-type]


def _waste_meanwhile(task: Task) -> Iterator[Any]:
    yield Submit(task.default)
    yield Waste("no")


def _repairs_in_a_list(task: Task) -> Iterator[Any]:
    yield Evaluate(task.default[None, :], repairs=["a"])  # type: ignore[arg-type]


def _source_of_another_kind(task: Task) -> Iterator[Any]:
    yield Evaluate(task.default[None, :], source=3)  # type: ignore[arg-type]


def _go_on_too_early(task: Task) -> Iterator[Any]:
    yield Submit(task.default)
    yield Submit(task.default, continued_from=1)


def _submit_illegally(task: Task) -> Iterator[Any]:
    yield Submit(task.default + 0.5)
    yield Next()


@pytest.mark.parametrize(
    ("breach", "says"),
    [
        (_submit_too_many, "all 2 workers are busy"),
        (_wait_for_nothing, "none is under way"),
        (_evaluate_meanwhile, "while submitted trials are under way"),
        (_submit_a_matrix, "must be (m, 5)"),
        (_submit_illegally, "an illegal configuration"),
        (_submit_words, "something that is no matrix"),
        (_submit_ragged, "something that is no matrix"),
        (_waste_meanwhile, "wasted a trial while submitted ones are under way"),
        (_repairs_in_a_list, "it must be a tuple of words"),
        (_source_of_another_kind, "with source = 3; it must be text"),
        (_go_on_too_early, "still being trained"),
    ],
)
def test_a_submission_that_makes_no_sense_fails_its_own_run(
    register: Register, breach: Any, says: str
) -> None:
    def faulty(task: Task, rng: np.random.Generator) -> Steps:
        yield from breach(task)

    bad, good = run_of(register(faulty), workers=2), run_of(workers=2)
    done = outcomes([bad, good])
    assert done[bad.id].state == "failed"
    assert says in done[bad.id].error
    assert_same(done[good.id], only(good))


def test_asynchronous_trials_are_stored_and_replayed_in_their_order(
    register: Register, tmp_path: Path
) -> None:
    name = register(asynchronous)
    for budget in ("trials = 25", "trials = 25\nseconds = 40.0"):
        text = suite_text(MLP, methods=("random", name), head="workers = 3").replace("trials = 4", budget)
        folder = tmp_path / str(len(budget))
        assert run(text, folder).complete
        again = tmp_path / f"again-{len(budget)}"
        assert run(text, again, replay=folder, reevaluate=True).complete
        assert files(again) == files(folder)
    frame = trials(folder).filter(pl.col("optimizer") == name)
    assert (frame["finished"] <= 40.0).all()
    assert frame["proposal"].to_list() != frame["trial"].to_list()


# ---------------------------------------------------------------------- fidelity


def rungs(task: Task, rng: np.random.Generator) -> Steps:
    """Nine configurations at 6 epochs, three of them on to 18, one to 52."""
    X, z = task.space.sample(9, rng), None
    for size, epoch in ((9, 6), (3, 18), (1, 52)):
        yield Evaluate(X[:size], fidelity={"epoch": epoch}, continued_from=z)
        z = epoch


@pytest.mark.yahpo
def test_training_that_goes_on_costs_the_difference(register: Register) -> None:
    outcome = only(run_of(register(rungs), VEHICLE, trials=50))
    assert outcome.state == "exhausted", outcome.error
    where, X = benchmark(VEHICLE), outcome.configurations
    cost = {epoch: where.evaluate(X[:9], fidelity={"epoch": epoch})["cost"] for epoch in (6, 18, 52)}
    assert np.array_equal(outcome.cost[:9], cost[6])
    assert np.allclose(outcome.cost[9:12], (cost[18] - cost[6])[:3])
    assert np.allclose(outcome.cost[12:], (cost[52] - cost[18])[:1])
    assert np.allclose(outcome.share, [6 / 52] * 9 + [12 / 52] * 3 + [34 / 52])


@pytest.mark.yahpo
def test_the_score_of_a_trial_is_what_its_configuration_is_worth_at_full_fidelity(register: Register) -> None:
    outcome = only(run_of(register(rungs), VEHICLE, trials=50))
    where = benchmark(VEHICLE)
    full = where.evaluate(outcome.configurations)[where.objective.name]
    assert np.array_equal(outcome.score, full)
    assert (outcome.values[:12, where.scenario.target_index] != full[:12]).all()


@pytest.mark.yahpo
def test_equivalents_are_spent_exactly(register: Register) -> None:
    for limit, n in ((9 * 6 / 52, 9), (9 * 6 / 52 + 1e-3, 9), (2 / 52, 0), (12 / 52, 2), (200.0, 13)):
        outcome = only(run_of(register(rungs), VEHICLE, trials=None, equivalents=limit))
        assert outcome.n == n
        assert outcome.share.sum() <= limit + 1e-9
    plain = only(run_of("random", VEHICLE, trials=None, equivalents=7.5))
    assert (plain.state, plain.n) == ("ok", 7)


@pytest.mark.yahpo
@pytest.mark.parametrize(
    ("id_", "request_", "says"),
    [
        (VEHICLE, {"fidelity": {"epoch": 9}, "continued_from": 3}, "did not evaluate at epoch = 3"),
        (VEHICLE, {"fidelity": {"epoch": 9}, "continued_from": 9}, "from 9 to 9, which is not more"),
        (VEHICLE, {"fidelity": {"epoch": 9}, "continued_from": 0.5}, "illegal fidelity"),
        (FOREST, {"fidelity": {"trainsize": 0.5}, "continued_from": 0.1}, "has to start anew"),
        (CAR, {"fidelity": {}, "continued_from": 1}, "has to start anew"),
    ],
)
def test_training_goes_on_only_from_where_it_was(
    register: Register, id_: str, request_: dict[str, Any], says: str
) -> None:
    def eager(task: Task, rng: np.random.Generator) -> Steps:
        yield Evaluate(task.default[None, :], **request_)

    outcome = only(run_of(register(eager), id_))
    assert outcome.state == "failed"
    assert says in outcome.error


@pytest.mark.yahpo
def test_submitted_trials_have_a_fidelity_each(register: Register) -> None:
    def promote(task: Task, rng: np.random.Generator) -> Steps:
        X = task.space.sample(2, rng)
        for i, epoch in enumerate((10, 20)):
            yield Submit(X[i], fidelity={"epoch": epoch})
        done: Finished = yield Next()
        z = 10 if np.array_equal(done.configuration, X[0]) else 20
        yield Submit(done.configuration, fidelity={"epoch": 40}, continued_from=z)
        yield Next()
        yield Next()

    outcome = only(run_of(register(promote), VEHICLE, workers=2))
    assert outcome.state == "exhausted", outcome.error
    assert outcome.fidelity is not None
    assert sorted(outcome.fidelity[:, 0]) == [10, 20, 40]
    assert (np.diff(outcome.finished) >= 0).all()
    where = benchmark(VEHICLE)
    i = int(np.argmax(outcome.fidelity[:, 0] == 40))
    x = outcome.configurations[[i]]
    z = next(
        e
        for e, y in zip(outcome.fidelity[:, 0], outcome.configurations, strict=True)
        if e < 40 and (y == x).all()
    )
    whole, before = (where.evaluate(x, fidelity={"epoch": e})["cost"][0] for e in (40, z))
    assert outcome.cost[i] == pytest.approx(whole - before)


def test_an_incumbent_is_of_the_highest_fidelity_that_was_reached() -> None:
    frame = pl.LazyFrame(
        {
            "run": ["a"] * 4 + ["b"] * 3,
            "trial": [0, 1, 2, 3, 0, 1, 2],
            "loss": [0.1, 0.2, 0.5, 0.4, 0.3, 0.2, None],
            "score": [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0],
            "fidelity": [0.1, 0.3, 1.0, 1.0, 0.1, 0.3, 1.0],
        }
    )
    assert final_incumbents(frame, None)["trial"].to_list() == [3, 1]
    assert final_incumbents(frame, 2)["trial"].to_list() == [1, 1]
    assert final_incumbents(frame, 1)["trial"].to_list() == [0, 0]


# ---------------------------------------------------------------------- suites


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("", "a budget is missing: add trials, equivalents or seconds"),
        ("tokens = 10", "a budget is missing"),
        ("seconds = 10.0\n[optimizers.grid]", "optimizers.grid must know how many trials it has"),
        ('trials = 4\ninitial = "design:sobol:4"', "leaves nothing of 4 trials"),
        ("equivalents = 0.5", "leaves nothing of 0 trials"),
        ('trials = 4\ninitial = "design:halton:2"', "initial: "),
        ("trials = 4\nworkers = 0", "workers: "),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(tmp_path: Path, head: str, says: str) -> None:
    path = tmp_path / "s.toml"
    lines = [f'name = "s"\nbenchmarks = ["{MLP}"]\nseeds = 1', head, "[optimizers.random]\n"]
    path.write_text("\n".join(lines))
    done = surrobench("run", path, "--out", tmp_path / "r")
    assert done.status == 2
    assert says in done.error


def test_the_initial_design_may_be_sobols(tmp_path: Path) -> None:
    text = suite_text(MLP, methods=("random", "tpe"), trials=8, head='initial = "design:sobol:5"')
    assert run(text, tmp_path).complete
    granted = trials(tmp_path).filter(pl.col("source") == "initial")
    assert granted.group_by("run").len()["len"].to_list() == [5] * 4
    configurations = [name for name in trials(tmp_path, "hpobench/mlp").columns if name.startswith("config.")]
    frame = trials(tmp_path, "hpobench/mlp").filter(pl.col("source") == "initial")
    by_method = frame.partition_by("optimizer")
    assert by_method[0].select("seed", *configurations).equals(by_method[1].select("seed", *configurations))
    assert frame.select(configurations).unique().height > 5  # each seed has its own


def test_a_method_with_fewer_trials_is_compared_after_as_many_and_the_others_shown_apart(
    tmp_path: Path,
) -> None:
    text = suite_text(
        MLP, "hpobench/mlp/car", "hpobench/mlp/kc1", methods=("random", "tpe", "sobol"), trials=12, seeds=4
    )
    text = text.replace("[optimizers.sobol]", "[optimizers.sobol]\ntrials = 6\nseeds = 2")
    assert run(text, tmp_path).complete
    assert trials(tmp_path).group_by("optimizer", "seed").len()["len"].max() == 36
    done = surrobench("rank", tmp_path)
    assert done.status == 0, done.err
    first, second = done.out.split("With more seeds and trials: ")
    assert "2 seeds (0-1) after 6 trials" in " ".join(first.split())
    assert "4 seeds (0-3) after 12 trials" in " ".join(second.split())
    assert "sobol" in first
    assert "sobol" not in second
    # The first table is that of a study in which all had six trials.
    short = text.replace("trials = 12", "trials = 6").replace("seeds = 4", "seeds = 2")
    assert run(short, tmp_path / "short").complete
    rank = [surrobench("rank", folder, "--format", "csv").out for folder in (tmp_path, tmp_path / "short")]
    assert rank[1].splitlines()[1:] == [line for line in rank[0].splitlines()[1:] if line.startswith("2,")]


def test_a_budget_in_other_units_is_stored_and_ranked(tmp_path: Path) -> None:
    text = suite_text(MLP, "hpobench/mlp/car", methods=("random", "sobol"), seeds=3, head="workers = 2")
    text = text.replace("trials = 4", "equivalents = 9.0")
    assert run(text, tmp_path).complete
    frame = trials(tmp_path)
    assert frame.group_by("run").len()["len"].to_list() == [9] * 12
    for more in ([], ["--equivalents", 4], ["--seconds", float(frame["finished"].median())]):
        done = surrobench("rank", tmp_path, *more)
        assert done.status == 0, done.err
    assert "more than the suite's 9" in surrobench("rank", tmp_path, "--equivalents", 10).error
    # A larger budget extends the runs, a smaller one finds them finished.
    assert run(text.replace("9.0", "5.0"), tmp_path).finished_before == 12
    assert run(text.replace("9.0", "11.0"), tmp_path).states["ok"] == 12


def test_a_method_with_fewer_trials_among_others_whose_trials_are_not_limited(tmp_path: Path) -> None:
    text = suite_text(MLP, "hpobench/mlp/car", methods=("random", "tpe", "sobol"), seeds=2)
    text = text.replace("trials = 4", "equivalents = 12.0")
    assert run(text.replace("[optimizers.sobol]", "[optimizers.sobol]\ntrials = 4"), tmp_path).complete
    first, second = surrobench("rank", tmp_path).out.split("With more trials: ")
    assert "after 4 trials" in " ".join(first.split())
    assert "sobol" not in second
    assert "random" in second


@pytest.mark.yahpo
def test_an_asynchronous_run_is_cut_where_a_smaller_budget_would_have_ended_it(tmp_path: Path) -> None:
    text = suite_text(VEHICLE, methods=("random", "asha"), seeds=3, head='workers = 4\ninitial = "none"')
    long, short = (text.replace("trials = 4", f"equivalents = {limit}") for limit in (9.0, 4.0))
    assert run(long, tmp_path / "long").complete
    assert run(short, tmp_path / "short").complete
    cut, fresh = (
        json.loads(surrobench("rank", *words, "--format", "json").out)
        for words in ((tmp_path / "long", "--equivalents", 4), (tmp_path / "short",))
    )
    assert cut["per_instance"] == fresh["per_instance"]
    assert "Only what was reached within 4 full-fidelity equivalents counts." in cut["notes"]
    below = surrobench("rank", tmp_path / "long", "--equivalents", 0.5, "--format", "json", "--partial")
    assert below.status == 1  # random search has no trial within half an equivalent


@pytest.mark.yahpo
def test_incumbents_below_the_full_fidelity_are_said(tmp_path: Path) -> None:
    text = suite_text(VEHICLE, methods=("hyperband", "asha"), seeds=3, head='initial = "none"')
    text = text.replace("trials = 4", 'equivalents = 1.0\ncontrol = "asha"')
    assert run(text, tmp_path).complete
    notes = " ".join(json.loads(surrobench("rank", tmp_path, "--format", "json").out)["notes"])
    assert "6 of 6 runs have no trial at full fidelity" in notes


def test_thinking_is_simulated_time_only_where_the_suite_says_so(tmp_path: Path) -> None:
    text = suite_text(MLP, methods=("random", "tpe"), trials=14)
    folder, again = tmp_path / "r", tmp_path / "again"
    assert run(text, tmp_path / "off").complete
    assert (trials(tmp_path / "off")["overhead"] == 0).all()
    text = text.replace("seeds = 2", "seeds = 2\noverhead = true")
    assert run(text, folder).complete
    frame = trials(folder)
    assert (frame.filter(optimizer="tpe").group_by("run").agg(pl.col("overhead").sum())["overhead"] > 0).all()
    total = frame.group_by("run").agg(pl.col("finished").max(), pl.col("cost", "overhead").sum())
    assert np.allclose(total["finished"], total["cost"] + total["overhead"])
    # Measured once, then an input like any other: a replay gives the very same results.
    assert run(text, again, replay=folder).complete
    assert files(again) == files(folder)


def test_waiting_is_no_thinking(register: Register, tmp_path: Path) -> None:
    def waits(task: Task, rng: np.random.Generator) -> Steps:
        while True:
            time.sleep(0.2)  # as where other processes have the processor
            yield Evaluate(task.space.sample(1, rng), source="random")

    label = register(waits)
    assert run(suite_text(MLP, methods=["random", label], seeds=1, head="overhead = true"), tmp_path).complete
    assert trials(tmp_path).filter(optimizer=label)["overhead"].sum() < 0.2


@pytest.mark.parametrize("budget", ["trials = 40", "seconds = 60.0"])
@pytest.mark.parametrize("name", ["asynchronous", "random"])
def test_thinking_is_replayed_where_time_decides_what_is_dropped(
    register: Register, tmp_path: Path, name: str, budget: str
) -> None:
    def slow(task: Task, rng: np.random.Generator) -> Steps:
        for request in asynchronous(task, rng) if name == "asynchronous" else batches(task, rng):
            time.sleep(0.002)
            yield request

    def thinking(task: Task, rng: np.random.Generator) -> Steps:
        """Like the other, but it thinks."""
        steps = asynchronous(task, rng) if name == "asynchronous" else batches(task, rng)
        answer = None
        while True:
            request = steps.send(answer)
            time.sleep(0.001)
            answer = yield request

    def batches(task: Task, rng: np.random.Generator) -> Steps:
        while True:
            yield Evaluate(task.space.sample(4, rng), source="random")

    label = register(thinking)
    head = "workers = 4\noverhead = true"
    text = suite_text(MLP, methods=("random", label), head=head, seeds=4).replace("trials = 4", budget)
    folder = tmp_path / "r"
    assert run(text, folder).complete
    for number in range(2):
        again = tmp_path / f"again-{number}"
        assert run(text, again, replay=folder).complete
        assert files(again) == files(folder)


@pytest.mark.parametrize(
    ("latencies", "seconds"),
    [
        ([[3.0]], 3.0),
        ([[3.0, 0.0, 0.0]], 3.0),  # one request for three
        ([[3.0, 2.0, 2.0]], 7.0),  # a server that gives but one at a time is asked three times
        ([[3.0, 2.0], [4.0, 0.0]], 5.0),  # in flight together
    ],
)
def test_a_model_is_waited_for_as_long_as_its_answers_took(
    latencies: list[list[float]], seconds: float
) -> None:
    answers = [[Completion("", "stop", 1, 1, latency) for latency in of] for of in latencies]
    run = SimpleNamespace(overhead=True, model="m")
    calls = ModelCalls(Budget(5))
    one: Any = SimpleNamespace(
        run=run, account=Account(Budget(5)), model_calls=calls, spent=NOTHING_SPENT, overhead=1.0
    )
    RunInProgress.book_completions(one, answers)
    assert one.overhead == 1.0 + seconds
    assert one.spent.calls == sum(map(len, latencies))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("trials = 5", "seconds = 20.0"),
        ("trials = 5\nequivalents = 5.0", "trials = 5"),
        ("equivalents = 5.0", "equivalents = 5.5"),
        ("trials = 9", "trials = 4\nseconds = 1e6"),
    ],
)
def test_a_budget_of_another_kind_is_run_once_and_then_finished(
    tmp_path: Path, before: str, after: str
) -> None:
    text = suite_text(MLP, "hpobench/mlp/car", methods=("random", "sobol"))
    assert run(text.replace("trials = 4", before), tmp_path).complete
    changed = text.replace("trials = 4", after)
    assert run(changed, tmp_path).complete
    assert run(changed, tmp_path).finished_before == 8
    assert surrobench("rank", tmp_path).status == 0
    assert run(changed, tmp_path / "fresh").complete
    assert surrobench("rank", tmp_path, "--format", "json").out == (
        surrobench("rank", tmp_path / "fresh", "--format", "json").out
    )


def test_what_is_not_run_again_is_not_lost(register: Register, tmp_path: Path) -> None:
    def brittle(task: Task, rng: np.random.Generator) -> Steps:
        while True:
            yield Evaluate(task.space.sample(1, rng))

    name = register(brittle)
    text = suite_text(MLP, methods=("random", name))
    assert run(text, tmp_path).complete
    before = trials(tmp_path)
    # Longer, but interrupted before anything was written: merging must not drop what is there.
    results = Results(tmp_path)
    results.forget(results.records())
    assert results.records() == {}
    results.merge()
    assert trials(tmp_path).equals(before)


def test_time_alone_ends_a_run_that_takes_none(register: Register) -> None:
    def free(task: Task, rng: np.random.Generator) -> Steps:
        while True:
            yield Waste("nothing")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("surrobench.engine.account.MOST", 1000)
        patch.setattr("surrobench.engine.model_calls.MOST_WASTED", 2000)
        outcome = only(run_of(register(free), trials=None, seconds=10.0))
    assert (outcome.state, outcome.n) == ("ok", 1000)


def test_a_folder_of_the_first_version_can_be_extended(tmp_path: Path) -> None:
    text = suite_text(MLP, methods=("random", "tpe"), trials=5)
    assert run(text, tmp_path).complete
    as_first_version(tmp_path)
    longer = text.replace("seeds = 2", "seeds = 3")
    assert run(longer, tmp_path).states["ok"] == 2
    assert run(longer, tmp_path / "fresh").complete
    assert trials(tmp_path).equals(trials(tmp_path / "fresh"))
    assert run(longer, tmp_path / "again", replay=tmp_path).complete


def test_results_of_the_first_version_stay_readable(tmp_path: Path) -> None:
    text = suite_text(MLP, methods=("random", "tpe"), trials=5)
    assert run(text, tmp_path).complete
    new = trials(tmp_path)
    rank = surrobench("rank", tmp_path, "--format", "json").out
    as_first_version(tmp_path)
    old = trials(tmp_path)
    assert old.equals(new.select(old.columns))
    assert surrobench("rank", tmp_path, "--format", "json").out == rank
    assert len(read_recordings(Results(tmp_path), plan(parse_suite(text)).scenarios)) == 4


def as_first_version(folder: Path) -> None:
    """Rewrite a results folder as version 1 of its schema had it."""
    for path in folder.glob("trials/*/*.parquet"):
        records = Records.from_json(json.loads(pl.read_parquet_metadata(path)["surrobench"])["runs"])
        runs = [
            {**record.run.as_dict(), "state": record.state, "error": record.error, "spent": record.trials}
            for record in records
        ]
        frame = pl.read_parquet(path).drop("share", "finished", "overhead", "proposal")
        frame.write_parquet(path, metadata={"surrobench": json.dumps({"schema_version": 1, "runs": runs})})
    plan = folder / "plan.parquet"
    pl.read_parquet(plan).drop("equivalents", "seconds", "tokens").write_parquet(plan)
