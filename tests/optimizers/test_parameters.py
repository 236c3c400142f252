"""Values of parameters that their annotations do not allow are errors of the suite, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surrobench.errors import SuiteError, UnknownName, UsageError
from surrobench.optimizers.registry import OPTIMIZERS, optimizer
from surrobench.suite.loading import parse_suite

SUITE = """name = "s"
benchmarks = ["hpobench/mlp/car"]
trials = 20
seeds = 1
control = "m"
[optimizers.m]
method = "{name}"
{models}
"""
MESSAGES = [
    ("opro", 'order = "sortde"', "Unknown order 'sortde'. Did you mean 'sorted'?"),
    ("zero-shot", 'context = "parital"', "Unknown context 'parital'. Did you mean 'partial'?"),
    ("llambo", 'surrogate = "generativ"', "Unknown surrogate 'generativ'. Did you mean 'generative'?"),
    ("llambo-optunahub", 'surrogate = "forest"', "Unknown surrogate 'forest'. Known: discriminative, gen"),
    ("centaur", 'injection = "cliped"', "Unknown injection 'cliped'. Did you mean 'clipped'?"),
    ("llinbo", 'mode = "all"', "Unknown mode 'all'. Known: transient, justify, constrained."),
    ("llinbo", "mode = 1", "mode must be 'transient' or 'justify' or 'constrained', but got 1."),
    ("karpathy-agent", 'history = "ten"', "history must be a whole number, but got 'ten'."),
    ("karpathy-agent", "history = 2.0", "history must be a whole number, but got 2.0."),
    ("karpathy-agent", "history = true", "history must be a whole number, but got True."),
    ("centaur", "ratio = false", "ratio must be a number, but got False."),
    ("hyperband", 'min_fidelity = "low"', "min_fidelity must be a number, but got 'low'."),
    ("llambo", "warm_start = [1]", "warm_start must be a whole number, but got [1]."),
    ("llambo-optunahub", 'fallback = "no"', "fallback must be true or false, but got 'no'."),
    ("zero-shot", "then = 5", "then must be a text, but got 5."),
]


def suite(name: str, parameters: str, *, table: bool) -> Any:
    """A suite with one method, its parameters in a table of their own (line 9) or on one line (8)."""
    models = 'models = ["control:random"]' if OPTIMIZERS[name].prompts else ""
    text = SUITE.format(name=name, models=models)
    text += f"[optimizers.m.parameters]\n{parameters}" if table else f"parameters = {{ {parameters} }}"
    return parse_suite(text)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize(("name", "parameters", "says"), MESSAGES)
def test_a_wrong_value_is_one_line_of_the_suite(name: str, parameters: str, says: str, table: bool) -> None:
    with pytest.raises(SuiteError) as caught:
        suite(name, parameters, table=table)
    message = str(caught.value)
    assert f"optimizers.m.parameters: {says}" in message
    assert f"(line {10 if table else 9}: " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("centaur", "ratio = 1"),  # a whole number is a number
        ("llambo", "warm_start = 0"),
        ("hyperband", "min_fidelity = 1"),
        ("llinbo", 'mode = "justify"'),
        ("llambo-optunahub", "fallback = false"),
        ("zero-shot", "then_parameters = { startup = 3 }"),
    ],
)
def test_a_right_value_is_accepted(name: str, parameters: str) -> None:
    assert suite(name, parameters, table=True).optimizers["m"].parameters


def test_what_is_wrong_with_the_method_that_goes_on_is_found_in_its_table() -> None:
    its_own = '[optimizers.m.parameters.then_parameters]\nstartup = "x"'
    with pytest.raises(SuiteError, match=r"startup must be a whole number, but got 'x'.* \(line 12: startup"):
        suite("zero-shot", f'then = "tpe"\n{its_own}', table=True)
    with pytest.raises(SuiteError, match=r"then_parameters must be a table, but got 3.* \(line 10: "):
        suite("zero-shot", "then_parameters = 3", table=True)
    with pytest.raises(SuiteError, match=r"Unknown optimizer 'tpee'.* \(line 11: then = "):
        suite("zero-shot", 'k = 3\nthen = "tpee"', table=True)


def test_every_parameter_of_ours_is_judged() -> None:
    for entry in filter(lambda entry: entry.available, OPTIMIZERS.values()):
        for name in entry.signature():
            with pytest.raises(UsageError, match=f"{name} must be "):
                entry.resolve({name: object()})


# ---------------------------------------------------------------------- what a user brings


@pytest.fixture
def brought(tmp_path: Path) -> Callable[[str], Any]:
    """A user's optimizer with these parameters."""

    def entry(parameters: str, head: str = "from __future__ import annotations\n") -> Any:
        (tmp_path / "mine.py").write_text(f"{head}def mine(task, rng, {parameters}):\n    yield\n")
        return optimizer(f"{tmp_path / 'mine.py'}:mine")

    return entry


def test_without_annotation_every_value_passes(brought: Callable[[str], Any]) -> None:
    entry = brought("step=0.5")
    assert entry.resolve({"step": "wide"}) == {"step": "wide"}


@pytest.mark.parametrize(
    "annotation", ["NoSuchName", "list[int]", "int | NoSuchName", "int | list[int]", "1 / 0"]
)
def test_an_annotation_that_says_something_else_is_not_judged(
    brought: Callable[[str], Any], annotation: str
) -> None:
    assert brought(f"step: {annotation} = 1").resolve({"step": "wide"}) == {"step": "wide"}


def test_a_plain_annotation_of_a_user_s_is_judged(brought: Callable[..., Any]) -> None:
    for head in ("from __future__ import annotations\n", ""):
        entry = brought("step: float = 0.5, n: int = None, kind: 'str' = 'a'", head)
        assert entry.resolve({"step": 1, "n": None}) == {"step": 1, "n": None, "kind": "a"}
        with pytest.raises(UsageError, match="step must be a number, but got 'wide'"):
            entry.resolve({"step": "wide"})
    entry = brought("kind: Literal['fast', 'slow'] | None = None, n: int = 3", "from typing import Literal\n")
    assert entry.resolve({"kind": "slow"}) == {"kind": "slow", "n": 3}
    with pytest.raises(UnknownName, match=r"Unknown kind 'solw'\. Did you mean 'slow'"):
        entry.resolve({"kind": "solw"})
