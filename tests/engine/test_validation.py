"""Whatever an optimizer yields, its own run fails or goes on, and no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrobench.benchmarks.registry import benchmark
from surrobench.engine.outcome import Origin
from surrobench.engine.validation import ContractViolation, brief, origin_of, validated
from surrobench.llm.scripted import ScriptedClient
from surrobench.optimizers.base import Steps, Task
from surrobench.protocol.requests import Complete, Compute, Evaluate, Message, Next, Submit, Waste
from surrobench.results.schema import trials_frame
from tests.engine.test_loop import (
    Register,
    Serve,
    assert_same,
    only,
    outcomes,
    register,
    run_of,
    sensible,
    serve,
)

__all__ = ["register", "serve"]

ASK = (Message("user", "q"),)
X = np.zeros((1, 5))
HALF = "half a pair: \ud800"


class Hostile:
    """An object that can do nothing without raising."""

    def __repr__(self) -> str:
        raise RuntimeError("no words for it")

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("no array of it")


NO_TEXT: list[Any] = [None, 3, b"bytes", ["a"], ValueError("a"), Hostile(), float("nan")]
WRONG: dict[type, dict[str, list[Any]]] = {
    Evaluate: {
        "source": NO_TEXT,
        "reply": NO_TEXT,
        "repairs": [None, "word", ["word"], (["a"],), (3,), {"a": 1}],
        "fidelity": [5, "epoch", [("epoch", 5)], {"epoch": "5"}, {5: 5}, {"epoch": None}, {"epoch": True}],
        "continued_from": ["5", [5], True, Decimal(5), Hostile()],
        "unit": [None, 1, "yes"],
    },
    Submit: {
        "source": NO_TEXT,
        "reply": NO_TEXT,
        "fidelity": [5, {"epoch": "5"}, {"epoch": Hostile()}],
        "continued_from": ["5", True],
    },
    Compute: {"kernel": [None, 3, "tpe", [len], {}]},
    Waste: {"reason": NO_TEXT, "source": NO_TEXT, "reply": NO_TEXT},
    Complete: {
        "messages": [
            None,
            "hello",
            (),
            "",
            ("hello",),
            (("user", "hello", "there"),),
            (("robot", "hello"),),
            (Message("user", None),),  # type: ignore[arg-type]
            (["user", "hello"],),
            ({"role": "user", "content": "hello"},),
        ],
        "purpose": [None, "", "think", ["propose"], 3],
        "n": ["2", 0, -1, 1.0, True, None, 10**9, Hostile()],
        "schema": ["object", [], {"a": object()}, {1: 2}, {"a": float("nan")}, {"a": {1, 2}}],
        "sampling": [None, [], {"a": object()}, {"temperature": np.ones(2)}, {"top_p": float("inf")}, {3: 4}],
        "attempt": [None, -1, "0", 1.0, True],
        "configurations": [None, 0, "1", 10**9, True],
    },
}
GOOD: dict[type, dict[str, Any]] = {
    Evaluate: {"configurations": X},
    Submit: {"configuration": X[0]},
    Compute: {"kernel": len, "state": "abc"},
    Waste: {"reason": "no"},
    Complete: {"messages": ASK, "purpose": "propose"},
}
CASES = [
    pytest.param(kind, name, value, id=f"{kind.__name__}.{name}[{i}]")
    for kind, fields in WRONG.items()
    for name, values in fields.items()
    for i, value in enumerate(values)
]


@pytest.mark.parametrize(("kind", "name", "value"), CASES)
def test_a_wrong_field_is_named_in_one_line(kind: type, name: str, value: Any) -> None:
    with pytest.raises(ContractViolation) as raised:
        validated(kind(**{**GOOD[kind], name: value}))
    assert f"yielded {kind.__name__} with {name} = " in str(raised.value)
    assert "it must be" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_every_field_of_every_request_has_a_wrong_value_in_this_test() -> None:
    for kind, fields in WRONG.items():
        names = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
        assert names - set(fields) <= {"configurations", "configuration", "state"}  # the batch checks these


def test_what_is_right_passes_as_it_is() -> None:
    for request in (
        Evaluate(X),
        Evaluate(X, "llm", ("snapped:a",), {"epoch": 5}, 3, "0.0.0"),
        Submit(X[0], fidelity={"epoch": np.int64(5)}),
        Next(),
        Waste("unparsable: nothing", reply="0.0.0"),
    ):
        assert validated(request) == request or isinstance(request, Evaluate | Submit)
        assert isinstance(request, Submit | Evaluate) or validated(request) is request
    plain = Evaluate(X)
    assert validated(plain) is plain
    asked = Complete(ASK, "predict", 3, {"type": "object"}, {"temperature": 0.5}, 1, 2)
    assert validated(asked) == asked
    assert validated([asked, asked]) == [asked, asked]
    assert validated(Complete(ASK, "predict", n=np.int64(2))).n == 2  # type: ignore[arg-type, union-attr]


def test_the_origin_of_trials_says_all_that_their_request_does() -> None:
    assert origin_of(Evaluate(X, "llm", ("snapped:a",), reply="0.0.1")) == Origin(
        "llm", repairs=("snapped:a",), reply="0.0.1"
    )
    assert origin_of(Submit(X[0], "asha", reply="0.0.2")) == Origin("asha", reply="0.0.2")
    assert origin_of(Evaluate(X, "tpe")) is origin_of(Evaluate(X + 1, "tpe"))


@pytest.mark.parametrize(("length", "shown"), [(80, "'" + 78 * "a" + "'"), (81, "'" + 79 * "a" + "...")])
def test_a_long_value_is_cut_where_it_is_shown(length: int, shown: str) -> None:
    assert brief("a" * (length - 2)) == shown


def test_text_that_no_file_can_hold_is_made_storable() -> None:
    waste = validated(Waste(HALF, HALF, HALF))
    assert isinstance(waste, Waste)
    assert {waste.reason, waste.source, waste.reply} == {"half a pair: ?"}
    evaluate = validated(Evaluate(X, HALF, (HALF,), reply=HALF))
    assert isinstance(evaluate, Evaluate)
    assert {evaluate.source, *evaluate.repairs, evaluate.reply} == {"half a pair: ?"}
    asked = validated(
        Complete((Message("user", HALF),), "propose", schema={HALF: [HALF]}, sampling={"stop": HALF})
    )
    assert isinstance(asked, Complete)
    json.dumps([asked.messages, asked.schema, asked.sampling], ensure_ascii=False).encode()


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.builds(object)
    | st.builds(Hostile),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(data=st.data(), kind=st.sampled_from([Evaluate, Submit, Waste, Complete]))
@settings(deadline=None)
def test_whatever_stands_in_a_field_passes_or_is_a_breach(data: st.DataObject, kind: type) -> None:
    name = data.draw(st.sampled_from(sorted(WRONG[kind])))
    value = data.draw(ANYTHING)
    try:
        request: Any = validated(kind(**{**GOOD[kind], name: value}))
    except ContractViolation as violation:
        str(violation).encode()
    else:
        hash(request) if kind is Waste else None
        if kind is Complete:
            json.dumps([request.messages, request.schema, request.sampling], ensure_ascii=False).encode()


# ---------------------------------------------------------------------- in the engine


def _yields(*requests: Any) -> Any:
    def faulty(task: Task, rng: np.random.Generator) -> Steps:
        yield Evaluate(task.space.sample(1, rng))
        left = list(requests)
        while left:
            yield left.pop(0)

    return faulty


ENDING: list[tuple[Any, str]] = [
    (Complete("hello", "propose"), "messages = 'hello'"),  # type: ignore[arg-type]
    (Complete(ASK, "propose", n="2"), "n = '2'"),  # type: ignore[arg-type]
    (Complete(ASK, "propose", sampling={"temperature": object()}), "sampling = "),
    (Complete(ASK, "propose", attempt=1), "asked again with attempt = 1"),
    ([Complete(ASK, "propose"), Complete(ASK, "propose", n=0)], "n = 0"),
    (Waste(ValueError("a")), "reason = ValueError('a')"),  # type: ignore[arg-type]
    (Evaluate(X, repairs=(["a"],)), "repairs = (['a'],)"),  # type: ignore[arg-type]
    (Evaluate(Hostile()), "no array of it"),  # type: ignore[arg-type]
    (Evaluate([[10**400] * 5]), "no matrix: OverflowError"),  # type: ignore[arg-type]
    (Hostile(), "yielded a Hostile, which is no request"),
]


@pytest.mark.parametrize(("request_", "says"), ENDING, ids=range(len(ENDING)))
def test_a_wrong_request_fails_its_own_run_and_no_other(
    register: Register, serve: Serve, request_: Any, says: str
) -> None:
    models = serve(ScriptedClient(sensible))
    bad = run_of(register(_yields(request_)), model="m")
    good = run_of("karpathy-agent", model="m", initial="default", trials=3)
    done = outcomes([bad, good], models=models)
    assert done[bad.id].state == "failed"
    assert says in done[bad.id].error
    assert done[bad.id].traceback
    assert done[good.id].state == "ok"


def test_a_call_is_asked_again_with_attempts_that_count_up(register: Register, serve: Serve) -> None:
    def asks(*attempts: int) -> Any:
        return _yields(*(Complete(ASK, "propose", attempt=attempt) for attempt in attempts))

    models = serve(ScriptedClient(sensible))
    fine = only(run_of(register(asks(0, 1, 2, 0, 5)), model="m"), models=models)
    assert (fine.state, fine.error) == ("exhausted", "")
    for attempts, seed in (((0, 1, 1), 1), ((0, 2, 1), 2), ((1,), 3)):
        twice = only(run_of(register(asks(*attempts)), model="m", seed=seed), models=models)
        assert twice.state == "failed"
        assert "a call begins with 0 and counts up" in twice.error


def test_text_with_half_a_pair_is_stored_whatever_said_it(
    register: Register, serve: Serve, tmp_path: Path
) -> None:
    class Wordless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def says(task: Task, rng: np.random.Generator) -> Steps:
        task.answers[HALF] += 1
        task.answers[("no", "text")] += 1  # type: ignore[index]
        yield Complete((Message("user", HALF),), "propose")
        yield Waste(HALF)
        yield Evaluate(task.space.sample(1, rng), source=HALF, repairs=(HALF,))
        raise ValueError(HALF)

    def wordless(task: Task, rng: np.random.Generator) -> Iterator[Any]:
        raise Wordless
        yield

    models = serve(ScriptedClient(lambda messages, purpose: messages[0].content))
    outcome = only(run_of(register(says), model="m"), models=models)
    assert outcome.state == "failed"
    assert outcome.error.startswith("ValueError: half a pair: ? (")
    assert outcome.answers == {"half a pair: ?": 1}
    frame = trials_frame([outcome], benchmark(outcome.run.benchmark).scenario)
    assert frame["error"].to_list() == ["half a pair: ?", None]
    assert frame["source"].to_list() == ["llm", "half a pair: ?"]
    assert only(run_of(register(wordless))).error.startswith("Wordless: no message")


# ---------------------------------------------------------------------- whatever an optimizer raises


class Bare(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(0),
        SystemExit("no more"),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        Bare(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["before", "after", "closing"])
def test_whatever_an_optimizer_raises_fails_its_own_run(
    register: Register, serve: Serve, error: BaseException, where: str
) -> None:
    def raising(task: Task, rng: np.random.Generator) -> Steps:
        if where == "before":
            raise error
        yield Evaluate(task.space.sample(1, rng))
        if where == "after":
            raise error
        try:
            while True:
                yield Evaluate(task.space.sample(1, rng))
        finally:
            raise error

    good = run_of(trials=3)
    for models in ({}, serve(ScriptedClient(sensible), folder=where)):
        bad = run_of(register(raising), trials=3, seed=len(models))
        done = outcomes([bad, good], models=models)
        if where == "closing" and isinstance(error, GeneratorExit):
            assert done[bad.id].state == "ok"  # which is how a generator says that it is closed
        else:
            assert done[bad.id].state == "failed"
            assert done[bad.id].error.startswith(type(error).__name__)
            assert "in raising" in done[bad.id].traceback
        assert_same(done[good.id], only(good))
