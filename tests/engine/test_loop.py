from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrobench.benchmarks.base import Columns
from surrobench.benchmarks.registry import benchmark
from surrobench.engine.loop import drive, drive_async
from surrobench.engine.outcome import Outcome, Progress
from surrobench.engine.replay import Recording
from surrobench.errors import ModelUnavailable, RequestRefused, ResultsError, SurrobenchError
from surrobench.llm.journal import Call, Journal
from surrobench.llm.journalled_model import JournalledModel
from surrobench.llm.prompts import number
from surrobench.llm.scripted import SCRIPTED, ScriptedClient
from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.plan.run import Run
from surrobench.protocol.requests import Complete, Completion, Evaluate, Evaluated, Message, Waste
from surrobench.seeding import content_hash

CAR = "hpobench/mlp/car"
SPACE = benchmark(CAR).space
ASK = Complete((Message("user", "q"),), "propose")
Register = Callable[..., str]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Adds a generator function to the registry for one test, and gives its name."""

    def add(function: Callable[..., Any]) -> str:
        name = f"test-{function.__name__}"
        entry = Optimizer("tests:none", "for a test")
        entry.__dict__["function"] = function  # where cached_property keeps it
        monkeypatch.setitem(OPTIMIZERS, name, entry)
        return name

    return add


def run_of(optimizer: str = "random", id_: str = CAR, seed: int = 0, trials: int = 10, **other: Any) -> Run:
    fields: dict[str, Any] = {
        "benchmark": id_,
        "method": optimizer,
        "optimizer": optimizer,
        "parameters": OPTIMIZERS[optimizer].resolve({}),
        "model": None,
        "seed": seed,
        "trials": trials,
        "initial": "none",
        "noise": "seeded",
        "invalid": "waste",
        **other,
    }
    return Run(id=content_hash([optimizer, id_, seed, other]), **fields)


def outcomes(runs: list[Run], **options: Any) -> dict[str, Outcome]:
    """Every run's outcome, each delivered exactly once."""
    finished: list[Outcome] = []
    drive(runs, finished.append, **options)
    assert sorted(outcome.run.id for outcome in finished) == sorted(run.id for run in runs)
    return {outcome.run.id: outcome for outcome in finished}


def only(run: Run, **options: Any) -> Outcome:
    return outcomes([run], **options)[run.id]


def assert_same(one: Outcome, other: Outcome) -> None:
    assert (one.state, one.error) == (other.state, other.error)
    for name in ("configurations", "values", "score", "cost", "duplicate"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert (one.origins, one.lengths, one.spent) == (other.origins, other.lengths, other.spent)


def means(outcome: Outcome, target: int = 0) -> Any:
    where = benchmark(outcome.run.benchmark)
    observed = where.evaluate(outcome.configurations)
    return observed[where.scenario.objectives[target].name]


# ---------------------------------------------------------------------- batches


def test_a_run_is_the_same_alone_and_among_others_in_any_order() -> None:
    runs = [
        run_of(optimizer, id_, seed, initial=initial)
        for optimizer, initial in [("random", "default"), ("sobol", "none"), ("cma-es", "random:3")]
        for id_ in (CAR, "hpobench/mlp/kc1", "hpolib/fcnet/protein_structure", "nasbench201/cell/cifar10")
        for seed in range(3)
    ]
    together = outcomes(runs)
    shuffled = list(runs)
    random.Random(1).shuffle(shuffled)
    for run_id, outcome in outcomes(shuffled).items():
        assert_same(outcome, together[run_id])
    for run in runs[::4]:
        assert_same(only(run), together[run.id])
    assert all(outcome.state == "ok" and outcome.n == 10 for outcome in together.values())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.integers(1, 40),
    st.sampled_from(["seeded", "fresh"]),
)
def test_the_budget_is_kept_exactly_and_values_do_not_depend_on_how_requests_are_cut(
    sizes: list[int], trials: int, noise: Any
) -> None:
    def chunks(task: Task, rng: np.random.Generator) -> Steps:
        while True:
            for size in sizes:
                answer = yield Evaluate(task.space.sample(size, rng))
                assert len(answer.losses) == size  # a request that was cut is never answered

    def single(task: Task, rng: np.random.Generator) -> Steps:
        while True:
            yield Evaluate(task.space.sample(1, rng))

    with pytest.MonkeyPatch.context() as patch:
        entries = {}
        for function in (chunks, single):
            entries[function] = Optimizer("tests:none", "for a test")
            entries[function].__dict__["function"] = function
        patch.setitem(OPTIMIZERS, "split", entries[chunks])
        run = run_of("split", trials=trials, noise=noise)
        cut = only(run)
        patch.setitem(OPTIMIZERS, "split", entries[single])
        whole = only(run)
    assert cut.state == whole.state == "ok"
    assert cut.n == trials == sum(cut.lengths)
    assert np.array_equal(cut.configurations, whole.configurations)
    assert np.array_equal(cut.values, whole.values)


def test_a_longer_run_extends_a_shorter_one() -> None:
    for name in ("random", "sobol", "tpe", "cma-es"):
        short, long = (only(run_of(name, trials=trials, initial="default")) for trials in (12, 20))
        assert np.array_equal(long.configurations[:12], short.configurations)
        assert np.array_equal(long.values[:12], short.values)


def test_thousands_of_runs_share_an_engine() -> None:
    runs = [run_of(id_=id_, seed=seed, trials=3) for id_ in (CAR, "hpobench/mlp/kc1") for seed in range(1500)]
    progress = Progress()
    done = outcomes(runs, progress=progress)
    assert all(outcome.state == "ok" and outcome.n == 3 for outcome in done.values())
    assert (progress.runs, progress.trials) == (3000, 9000)
    assert_same(only(runs[1234]), done[runs[1234].id])


def test_losses_are_lower_the_better_whatever_the_direction(register: Register) -> None:
    told: list[Evaluated] = []

    def listener(task: Task, rng: np.random.Generator) -> Steps:
        told.append((yield Evaluate(task.space.sample(4, rng))))

    name = register(listener)
    for id_, sign in [(CAR, -1), ("hpolib/fcnet/protein_structure", 1)]:
        outcome = only(run_of(name, id_))
        assert np.array_equal(told[-1].losses, sign * outcome.values[:, 0])


# ---------------------------------------------------------------------- ending


def test_the_generator_is_closed_at_the_budget(register: Register) -> None:
    events: list[str] = []

    def tidy(task: Task, rng: np.random.Generator) -> Steps:
        try:
            while True:
                yield Evaluate(task.space.sample(3, rng))
                events.append("answered")
        finally:
            events.append("closed")

    assert only(run_of(register(tidy), trials=7)).n == 7
    assert events == ["answered", "answered", "closed"]


def test_an_optimizer_that_stops_early_exhausts_its_run(register: Register) -> None:
    def brief(task: Task, rng: np.random.Generator) -> Steps:
        yield Evaluate(task.space.sample(4, rng))

    def nothing(task: Task, rng: np.random.Generator) -> Steps:
        yield from ()

    outcome = only(run_of(register(brief)))
    assert (outcome.state, outcome.error, outcome.n) == ("exhausted", "", 4)
    empty = only(run_of(register(nothing)))
    assert (empty.state, empty.n) == ("exhausted", 0)
    assert empty.configurations.shape == (0, SPACE.d)
    assert empty.values.shape == (0, 3)


# Each of these breaks the contract in its own way, after one good trial.


def _raises(task: Task) -> Iterator[Any]:
    raise ZeroDivisionError("by\nzero")
    yield


def _rubbish(task: Task) -> Iterator[Any]:
    yield "a proposal"


def _bare_matrix(task: Task) -> Iterator[Any]:
    yield task.space.sample(50, np.random.default_rng(0))


def _empty_list(task: Task) -> Iterator[Any]:
    yield []


def _mixed_list(task: Task) -> Iterator[Any]:
    yield [ASK, Evaluate(task.default[None, :])]


def _vector(task: Task) -> Iterator[Any]:
    yield Evaluate(task.default)


def _too_wide(task: Task) -> Iterator[Any]:
    yield Evaluate(np.zeros((2, task.space.d + 1)))


def _no_rows(task: Task) -> Iterator[Any]:
    yield Evaluate(np.zeros((0, task.space.d)))


def _ragged(task: Task) -> Iterator[Any]:
    yield Evaluate([[0.0], [0.0, 1.0]])  # type: ignore[arg-type]


def _words(task: Task) -> Iterator[Any]:
    yield Evaluate([["a", "b", "c", "d", "e"]])  # type: ignore[arg-type]


def _off_grid(task: Task) -> Iterator[Any]:
    yield Evaluate(task.default[None, :] + 0.5)


def _out_of_range(task: Task) -> Iterator[Any]:
    yield Evaluate(np.vstack([task.default, np.full(task.space.d, 99.0)]))


def _nan(task: Task) -> Iterator[Any]:
    yield Evaluate(np.full((1, task.space.d), np.nan))


def _infinite(task: Task) -> Iterator[Any]:
    yield Evaluate(np.full((1, task.space.d), np.inf))


def _asks(task: Task) -> Iterator[Any]:
    yield ASK


def _fails_to_close(task: Task) -> Iterator[Any]:
    try:
        yield Evaluate(np.repeat(task.default[None, :], 99, axis=0))
    finally:
        raise RuntimeError("cannot tidy up")


def _does_not_close(task: Task) -> Iterator[Any]:
    while True:
        try:
            yield Evaluate(np.repeat(task.default[None, :], 99, axis=0))
        except GeneratorExit:
            yield "not yet"


BREACHES: list[tuple[Callable[[Task], Iterator[Any]], str]] = [
    (_raises, "ZeroDivisionError: by zero (test_loop.py:"),
    (_rubbish, "'a proposal', which is no request"),
    (_bare_matrix, "which is no request"),
    (_empty_list, "[], which is no request"),
    (_mixed_list, "which is no request"),
    (_vector, "an array of shape (5,); it must be (m, 5)"),
    (_too_wide, "an array of shape (2, 6); it must be (m, 5)"),
    (_no_rows, "no configuration"),
    (_ragged, "no matrix"),
    (_words, "no matrix"),
    (_off_grid, "an illegal configuration: ["),
    (_out_of_range, "an illegal configuration: [99.0"),
    (_nan, "an illegal configuration: [nan"),
    (_infinite, "an illegal configuration: [inf"),
    (_asks, "asks a language model, but the suite names none"),
    (_fails_to_close, "RuntimeError: cannot tidy up (test_loop.py:"),
    (_does_not_close, "generator ignored GeneratorExit"),
]


@pytest.mark.parametrize(("breach", "says"), BREACHES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_breach_of_contract_fails_its_own_run_and_no_other(
    register: Register, breach: Callable[[Task], Iterator[Any]], says: str
) -> None:
    def faulty(task: Task, rng: np.random.Generator) -> Steps:
        yield Evaluate(task.space.sample(1, rng))
        yield from breach(task)

    bad = run_of(register(faulty))
    good = [run_of(seed=seed, initial="default") for seed in range(3)]
    done = outcomes([good[0], bad, *good[1:]])
    assert done[bad.id].state == "failed"
    assert says in done[bad.id].error
    assert "\n" not in done[bad.id].error
    assert len(done[bad.id].error) < 300
    assert done[bad.id].n >= 1  # what was observed before is kept
    for run in good:
        assert_same(done[run.id], only(run))


def test_an_optimizer_that_is_no_generator_fails_its_own_run(register: Register) -> None:
    def plain(task: Task, rng: np.random.Generator) -> None:
        return None

    def picky(task: Task, rng: np.random.Generator, *, size: int) -> Steps:
        yield Evaluate(task.space.sample(size, rng))

    for name in (register(plain), register(picky)):
        outcome = only(run_of(name, parameters={}))
        assert outcome.state == "failed"
        assert outcome.error.startswith("TypeError: ")


def test_a_value_a_rounding_error_off_the_grid_is_the_grids(register: Register) -> None:
    def sloppy(task: Task, rng: np.random.Generator) -> Steps:
        answer = yield Evaluate(task.space.sample(20, rng) - 5e-10)
        assert np.array_equal(answer.configurations, np.rint(answer.configurations))

    def exact(task: Task, rng: np.random.Generator) -> Steps:
        yield Evaluate(task.space.sample(20, rng))

    name = register(exact)
    right = only(run_of(name, trials=40))
    OPTIMIZERS[name].__dict__["function"] = sloppy
    assert_same(only(run_of(name, trials=40)), right)


def test_an_optimizer_may_reuse_its_array(register: Register) -> None:
    def thrifty(task: Task, rng: np.random.Generator) -> Steps:
        X = np.empty((1, task.space.d))
        while True:
            X[:] = task.space.sample(1, rng)
            yield Evaluate(X)

    outcome = only(run_of(register(thrifty), noise="mean"))
    assert len(np.unique(outcome.configurations, axis=0)) > 1
    assert np.array_equal(outcome.values[:, 0], means(outcome))


# ---------------------------------------------------------------------- noise


def _same(name: str, register: Register, X: Any) -> str:
    def same(task: Task, rng: np.random.Generator) -> Steps:
        yield Evaluate(X, source=name)

    same.__name__ = name
    return register(same)


def test_seeded_noise_is_common_to_all_methods_and_differs_between_seeds(register: Register) -> None:
    X = SPACE.sample(50, np.random.default_rng(0))
    one, other = (only(run_of(_same(name, register, X), trials=50)) for name in ("one", "other"))
    assert one.values.tobytes() == other.values.tobytes()
    backwards = only(run_of(_same("backwards", register, X[::-1]), trials=50))
    assert backwards.values[::-1].tobytes() == one.values.tobytes()
    next_seed = only(run_of(_same("one", register, X), seed=1, trials=50))
    assert np.mean(next_seed.values[:, 0] != one.values[:, 0]) > 0.5
    assert np.array_equal(next_seed.score, one.score)


def test_seeded_noise_repeats_itself_within_a_run_and_fresh_noise_does_not(register: Register) -> None:
    x = SPACE.sample(1, np.random.default_rng(3))
    name = _same("again", register, np.repeat(x, 40, axis=0))
    seeded, fresh = (only(run_of(name, trials=40, noise=noise)) for noise in ("seeded", "fresh"))
    assert len(np.unique(seeded.values[:, 0])) == 1
    assert len(np.unique(fresh.values[:, 0])) == 5  # all repetitions of the table turn up
    assert np.unique(fresh.score).size == 1


def test_mean_noise_is_none(register: Register) -> None:
    outcome = only(run_of(trials=30, noise="mean"))
    assert np.array_equal(outcome.values[:, 0], outcome.score)
    assert np.array_equal(outcome.score, means(outcome))


def test_the_score_is_the_mean_whatever_was_observed() -> None:
    outcome = only(run_of(trials=30))
    assert np.array_equal(outcome.score, means(outcome))
    assert not np.array_equal(outcome.values[:, 0], outcome.score)


def test_runs_with_different_noise_do_not_share_an_engine() -> None:
    with pytest.raises(SurrobenchError, match="different noise"):
        outcomes([run_of(noise="mean"), run_of(noise="seeded")])


# ---------------------------------------------------------------------- what is recorded


@pytest.mark.parametrize("initial", ["default", "random:5"])
def test_the_initial_design_is_the_same_for_all_methods(initial: str) -> None:
    granted = 1 if initial == "default" else 5
    done = [only(run_of(name, initial=initial)) for name in ("random", "sobol", "tpe", "cma-es", "grid")]
    for outcome in done:
        assert outcome.n == 10
        assert outcome.origins[0].source == "initial"
        assert outcome.lengths[0] == granted
        assert outcome.configurations[:granted].tobytes() == done[0].configurations[:granted].tobytes()
        assert outcome.values[:granted].tobytes() == done[0].values[:granted].tobytes()
    if initial == "default":
        assert np.array_equal(done[0].configurations[0], benchmark(CAR).scenario.default())


def test_a_method_is_told_its_initial_design_and_the_horizon_it_leaves(register: Register) -> None:
    tasks: list[Task] = []

    def curious(task: Task, rng: np.random.Generator) -> Steps:
        tasks.append(task)
        yield from ()

    name = register(curious)
    outcome = only(run_of(name, initial="random:4"))
    assert np.array_equal(tasks[0].initial.configurations, outcome.configurations)
    assert np.array_equal(tasks[0].initial.losses, -outcome.values[:, 0])
    assert tasks[0].horizon == 6
    only(run_of(name))
    assert len(tasks[1].initial.losses) == 0
    assert tasks[1].horizon == 10


def test_source_status_and_duplicates_are_recorded(register: Register) -> None:
    told: list[Evaluated] = []

    def varied(task: Task, rng: np.random.Generator) -> Steps:
        X = task.space.sample(3, rng)
        yield Evaluate(X, source="one")
        yield Evaluate(X[[1]], source="two", repairs=("snapped:width",))
        told.append((yield Waste("unparsable: no object")))
        told.append((yield Waste("unparsable: no object")))
        yield Evaluate(X[[0, 0]], source="three")

    outcome = only(run_of(register(varied)))
    assert [(origin.source, origin.status) for origin in outcome.origins] == [
        ("one", "ok"),
        ("two", "ok"),
        ("llm", "invalid"),
        ("llm", "invalid"),
        ("three", "ok"),
    ]
    assert outcome.origins[1].repairs == ("snapped:width",)
    assert outcome.origins[2].error == "unparsable: no object"
    assert outcome.lengths == [3, 1, 1, 1, 2]
    assert outcome.duplicate.tolist() == [False, False, False, True, False, False, True, True]
    assert np.isnan(outcome.configurations[4:6]).all()
    assert np.isnan(outcome.values[4:6]).all()
    assert outcome.cost[4:6].tolist() == [0, 0]
    assert all(np.isnan(answer.losses).tolist() == [True] for answer in told)


def test_a_wasted_trial_costs_one_of_the_budget(register: Register) -> None:
    def hopeless(task: Task, rng: np.random.Generator) -> Steps:
        while True:
            yield Waste("refused: no")

    outcome = only(run_of(register(hopeless), trials=6))
    assert (outcome.state, outcome.n) == ("ok", 6)


# ---------------------------------------------------------------------- language models


class Model:
    """A client made of a coroutine, that notes calls and slots."""

    completions = tokens_in = tokens_out = 0

    def __init__(self, answer: Callable[[Complete], Any]) -> None:
        self.answer = answer
        self.in_flight = 0
        self.asked: list[tuple[Complete, int | None]] = []

    async def complete(
        self, request: Complete, seed: int | None, slot: int | None = None
    ) -> list[Completion]:
        self.asked.append((request, slot))
        self.in_flight += 1
        try:
            text = await self.answer(request)
        finally:
            self.in_flight -= 1
        return [Completion(text, "stop", 10, 2, 0.5)] * request.n

    def stop(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        pass


Serve = Callable[..., dict[str, JournalledModel]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Gives the models of a study whose only model is ``client``, with the journal of the test's folder."""
    journals: list[Journal] = []

    def models(
        client: Any,
        *,
        folder: str = ".",
        slots: int | None = None,
        kind: type[JournalledModel] = JournalledModel,
    ) -> dict[str, JournalledModel]:
        journals.append(Journal(tmp_path / folder / "journal.jsonl", versions={}))
        return {"m": kind(SCRIPTED, journals[-1], client, slots)}

    yield models
    for journal in journals:
        journal.close()


def agent(seed: int = 0, **other: Any) -> Run:
    return run_of("karpathy-agent", seed=seed, model="m", **{"initial": "default", **other})


def sensible(messages: tuple[Message, ...], purpose: str = "propose") -> str:
    """A reply that depends on the whole prompt and on nothing else; every fourth is no configuration."""
    seed = int(content_hash([message.content for message in messages]), 16)
    if seed % 4 == 0:
        return "I would rather not."
    x = SPACE.sample(1, np.random.default_rng(seed))
    return json.dumps({name: number(value) for name, value in SPACE.decode(x)[0].items()})


def test_a_run_that_waits_for_the_model_does_not_hold_up_the_others(serve: Serve) -> None:
    order: list[str] = []

    async def go() -> None:
        classical_done = asyncio.Event()

        async def answer(request: Complete) -> str:
            await asyncio.wait_for(classical_done.wait(), 20)
            return sensible(request.messages)

        def finished(outcome: Outcome) -> None:
            order.append(outcome.run.optimizer)
            if order.count("random") == 2:
                classical_done.set()

        models = serve(Model(answer))
        runs = [agent(trials=3), run_of(seed=0, trials=50), run_of(seed=1, trials=50)]
        await drive_async(runs, finished, models=models)

    asyncio.run(go())
    assert order == ["random", "random", "karpathy-agent"]


def test_requests_of_many_runs_are_in_flight_together(serve: Serve) -> None:
    peak = 0

    async def answer(request: Complete) -> str:
        nonlocal peak
        peak = max(peak, model.in_flight)
        await asyncio.sleep(0.01)
        return sensible(request.messages)

    model = Model(answer)
    done = outcomes([agent(seed, trials=4) for seed in range(30)], models=serve(model))
    assert peak == 30
    assert all(outcome.state == "ok" and outcome.n == 4 for outcome in done.values())


def test_a_list_is_answered_in_request_order_though_it_finished_in_another(
    serve: Serve, tmp_path: Path, register: Register
) -> None:
    got: list[Any] = []
    finished: list[str] = []

    async def answer(request: Complete) -> str:
        text = request.messages[0].content
        await asyncio.sleep(0.05 * (3 - int(text)))
        finished.append(text)
        return text

    def asks(task: Task, rng: np.random.Generator) -> Steps:
        ask = [Complete((Message("user", str(i)),), "predict", n=1 + i) for i in range(3)]
        got.append((yield ask))
        got.append((yield ask[2]))

    run = run_of(register(asks), model="m")
    outcome = only(run, models=serve(Model(answer)))
    assert outcome.state == "exhausted"
    assert finished[:3] == ["2", "1", "0"]
    assert [[completion.text for completion in reply] for reply in got[0]] == [["0"], ["1"] * 2, ["2"] * 3]
    assert [completion.text for completion in got[1]] == ["2"] * 3
    journal = Journal(tmp_path / "journal.jsonl")
    recorded = [[entry.completion.text for entry in journal.get(Call(run.id, call, 0))] for call in range(4)]
    assert recorded == [["0"], ["1"] * 2, ["2"] * 3, ["2"] * 3]


def test_what_completions_cost_is_booked_on_the_next_trial(serve: Serve, register: Register) -> None:
    async def answer(request: Complete) -> str:
        return "x"

    def asks(task: Task, rng: np.random.Generator) -> Steps:
        yield Evaluate(task.default[None, :])
        yield replace(ASK, n=2)
        yield ASK
        yield Evaluate(task.space.sample(2, rng))
        yield Waste("no")

    outcome = only(run_of(register(asks), model="m"), models=serve(Model(answer)))
    assert [tuple(spent) for spent in outcome.spent] == [(0, 0, 0, 0.0), (3, 30, 6, 1.5), (0, 0, 0, 0.0)]


def test_re_asks_keep_the_ordinal_of_their_call(serve: Serve, tmp_path: Path) -> None:
    replies = iter(["no", "still no", "never"] * 3)
    client = ScriptedClient(lambda messages, purpose: next(replies))
    run = agent(trials=3, initial="none", invalid="retry:2")
    outcome = only(run, models=serve(client))
    assert [origin.status for origin in outcome.origins] == ["invalid"] * 3
    keys = [entry.key for entry in Journal(tmp_path / "journal.jsonl").of_run(run.id)]
    assert keys == [Call(run.id, call, attempt) for call in range(3) for attempt in range(3)]


def test_no_more_runs_than_slots_are_taken_on_and_each_keeps_its_slot(serve: Serve) -> None:
    slots_of: dict[str, set[int | None]] = {}
    alive: set[str] = set()
    peak = 0

    async def answer(request: Complete) -> str:
        await asyncio.sleep(0.001)
        return sensible(request.messages)

    class Watched(JournalledModel):
        async def complete(self, where: Call, request: Complete, slot: int | None) -> list[Completion]:
            nonlocal peak
            alive.add(where.run)
            peak = max(peak, len(alive))
            slots_of.setdefault(where.run, set()).add(slot)
            return await super().complete(where, request, slot)

    def finished(outcome: Outcome) -> None:
        alive.discard(outcome.run.id)
        done.append(outcome)

    done: list[Outcome] = []
    runs = [agent(seed, trials=5) for seed in range(11)]
    drive([*runs, run_of()], finished, models=serve(Model(answer), slots=3, kind=Watched))
    assert [outcome.state for outcome in done] == ["ok"] * 12
    assert peak == 3
    assert all(len(slots) == 1 for slots in slots_of.values())
    assert set().union(*slots_of.values()) == {0, 1, 2}
    assert len(slots_of) == 11


def test_a_slot_is_free_again_when_its_run_fails_at_once(serve: Serve, register: Register) -> None:
    def broken(task: Task, rng: np.random.Generator) -> Steps:
        raise RuntimeError("no")
        yield

    name = register(broken)
    client = ScriptedClient(sensible)
    runs = [run_of(name, seed=seed, model="m") for seed in range(5)] + [agent(seed) for seed in range(3)]
    done = outcomes(runs, models=serve(client, slots=1))
    assert [done[run.id].state for run in runs] == ["failed"] * 5 + ["ok"] * 3


# ---------------------------------------------------------------------- a model that fails


def _failing(error: Exception, bad: Callable[[Complete], bool]) -> Callable[[Complete], Any]:
    async def answer(request: Complete) -> str:
        if bad(request):
            raise error
        return sensible(request.messages)

    return answer


def test_a_server_that_dies_parks_its_runs_and_all_others_finish(serve: Serve) -> None:
    model = Model(_failing(ModelUnavailable("The server is gone."), lambda request: True))
    runs = [*(agent(seed) for seed in range(4)), run_of(seed=1), run_of(seed=2)]
    done = outcomes(runs, models=serve(model))
    assert [done[run.id].state for run in runs] == ["parked"] * 4 + ["ok"] * 2
    assert all("The server is gone." in done[run.id].error for run in runs[:4])


def test_a_refused_request_fails_its_own_run(serve: Serve) -> None:
    def too_long(request: Complete) -> bool:
        return request.messages[0].content.count(" -> ") == 3 and "car" in request.messages[0].content

    model = Model(_failing(RequestRefused("The prompt is too long."), too_long))
    bad, good = agent(), agent(id_="hpobench/mlp/kc1")
    done = outcomes([bad, good], models=serve(model))
    assert (done[bad.id].state, done[good.id].state) == ("failed", "ok")
    assert "too long" in done[bad.id].error
    assert done[bad.id].n >= 3


def test_a_run_that_diverges_from_its_journal_is_parked(serve: Serve) -> None:
    run, other = agent(), agent(seed=1)
    outcomes([run], models=serve(ScriptedClient(sensible)))
    changed = replace(run, parameters={**run.parameters, "history": 2})  # but with the id of the recording
    done = outcomes([changed, other], models=serve(ScriptedClient(sensible)))
    assert done[run.id].state == "parked"
    assert "diverged at call" in done[run.id].error
    assert done[other.id].state == "ok"


def test_a_journal_that_cannot_be_written_stops_the_study(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = serve(ScriptedClient(sensible))

    def full(self: Journal, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "_write", full)
    with pytest.raises(ResultsError, match="No space left on device"):
        outcomes([agent(), agent(seed=1)], models=models)


# ---------------------------------------------------------------------- resuming and replaying


@pytest.mark.parametrize("answered", [0, 1, 7, 20])
@pytest.mark.parametrize("invalid", ["waste", "retry:1"])
def test_an_interrupted_study_resumes_where_it_was_without_a_repeated_question(
    serve: Serve, tmp_path: Path, answered: int, invalid: str
) -> None:
    runs = [agent(seed, invalid=invalid, noise="fresh") for seed in range(3)]
    whole = outcomes(runs, models=serve(ScriptedClient(sensible), folder="whole"))
    prompts = Journal(tmp_path / "whole" / "journal.jsonl")

    class Interrupted(ScriptedClient):
        async def complete(
            self, request: Complete, seed: int | None, slot: int | None = None
        ) -> list[Completion]:
            if self.completions >= answered:
                raise ModelUnavailable("The plug was pulled.")
            return await super().complete(request, seed, slot)

    first = outcomes(runs, models=serve(Interrupted(sensible)))
    assert all(outcome.state == "parked" for outcome in first.values())
    journalled = len(Journal(tmp_path / "journal.jsonl"))
    assert answered <= journalled < len(prompts)

    client = ScriptedClient(sensible)
    second = outcomes(runs, models=serve(client))
    assert client.completions == len(prompts) - journalled
    for run in runs:
        assert_same(second[run.id], whole[run.id])

    replayed = outcomes(runs, models={"m": JournalledModel(SCRIPTED, Journal(tmp_path / "journal.jsonl"))})
    for run in runs:
        assert_same(replayed[run.id], whole[run.id])


def test_a_replay_serves_recorded_values_in_place_of_the_benchmarks() -> None:
    run = run_of()
    outcome = only(run)
    made_up = Columns(outcome.values + 1, outcome.score + 2, outcome.cost + 3)
    replayed = only(run, recorded={run.id: Recording(outcome.configurations, made_up)})
    assert np.array_equal(replayed.values, made_up.values)
    assert np.array_equal(replayed.score, made_up.score)
    assert np.array_equal(replayed.cost, made_up.cost)


def test_a_replay_that_reevaluates_reports_the_first_trial_that_differs() -> None:
    run = run_of()
    outcome = only(run)
    columns = Columns(outcome.values.copy(), outcome.score, outcome.cost)
    recorded = {run.id: Recording(outcome.configurations, columns)}
    assert_same(only(run, recorded=recorded, reevaluate=True), outcome)
    columns.values[6, 0] += 1e-12
    diverged = only(run, recorded=recorded, reevaluate=True)
    assert diverged.state == "parked"
    assert "diverged at trial 6: the benchmark gives another value" in diverged.error


def test_a_replay_that_proposes_something_else_is_parked() -> None:
    run = run_of()
    outcome = only(run)
    others = outcome.configurations.copy()
    others[3, 0] = (others[3, 0] + 1) % 10
    recorded = {run.id: Recording(others, Columns(outcome.values, outcome.score, outcome.cost))}
    diverged = only(run, recorded=recorded)
    assert diverged.state == "parked"
    assert "diverged at trial 3: it proposes another configuration" in diverged.error


@pytest.mark.parametrize("size", [1, 4])
def test_a_replay_beyond_the_end_of_its_recording_is_parked(register: Register, size: int) -> None:
    def steps(task: Task, rng: np.random.Generator) -> Steps:
        while True:
            yield Evaluate(task.space.sample(size, rng))

    run = run_of(register(steps))
    outcome = only(run)
    columns = Columns(outcome.values, outcome.score, outcome.cost)
    recorded = {run.id: Recording(outcome.configurations, columns)}
    longer = only(replace(run, trials=12), recorded=recorded)
    assert longer.state == "parked"
    assert "ends after 10 trials" in longer.error
    assert longer.n == 10 // size * size
