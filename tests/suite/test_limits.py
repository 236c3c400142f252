"""Labels that do no harm, and numbers that have an end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from surrobench.errors import SuiteError, UsageError
from surrobench.plan.planning import plan
from surrobench.suite.labels import LONGEST, SIGNS, SIGNS_OF_MODELS, check_labels
from surrobench.suite.loading import parse_suite
from surrobench.suite.model_overrides import add_models
from tests.studies import suite_text, surrobench

GOOD = (
    "tpe",
    "random+",
    "CMA-ES (δ = 0.3)",
    "tpe [slow]",
    "mein Verfahren",
    "./mine.py:Hill",
    "模型",
    "हिन्दी",
)
WRONG_SIGN = ("a\x1bb", "a\u202eb", "</script>", "a\nb", "a\tb", "a`b", "a*b", "\ufffe")
WRONG_ENDS = ("=1+1", "+1", "-1", "@x", " a", "a ")
TABLES = {
    "optimizers": 'method = "tpe"',
    "claims": 'says = "x"\nbetter = "random"\nthan = "tpe"',
    "models": 'url = "http://127.0.0.1:9/v1"',
}


def test_labels_have_letters_digits_and_a_stated_set_of_signs() -> None:
    check_labels("optimizers", (*GOOD, "x" * LONGEST, *(f"a{sign}b" for sign in SIGNS)))
    check_labels("models", ("qwen3:8b", "m@1.0_x-y+z"), SIGNS_OF_MODELS)
    for label in ("", "x" * (LONGEST + 1), *WRONG_SIGN, *WRONG_ENDS):
        with pytest.raises(UsageError, match=r"^optimizers: the label .*\."):
            check_labels("optimizers", [label])
    for label in ("../etc", "a/b", "a b", "a[1]"):
        with pytest.raises(UsageError, match=r"the label .* has the character"):
            check_labels("models", [label], SIGNS_OF_MODELS)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("label", [*WRONG_SIGN, *WRONG_ENDS])
def test_a_suite_refuses_a_label_in_one_line(table: str, label: str) -> None:
    with pytest.raises(SuiteError) as raised:
        parse_suite(suite_text(methods=["random"]) + f"[{table}.{json.dumps(label)}]\n{TABLES[table]}\n")
    said = str(raised.value)
    assert f"{table}: the label " in said
    assert said.isprintable()
    if label == "=1+1":
        assert said.endswith(f'(line 7: [{table}."=1+1"])')


def test_a_models_label_is_no_path_wherever_it_comes_from(tmp_path: Path) -> None:
    suite = parse_suite(suite_text(models={"m": "http://127.0.0.1:9/v1"}))
    with pytest.raises(UsageError, match="the label 'a/b' has the character '/'"):
        add_models(suite, {"a/b": ("http://127.0.0.1:9/v1", "x")})
    words = ["--benchmark", "hpobench/mlp/car", "--optimizer", "karpathy-agent", "--trials", 2]
    done = surrobench("run", *words, "--llm", 'x"]y=http://127.0.0.1:9/v1,x', "--out", tmp_path / "r")
    assert (done.status, "the label" in done.error) == (2, True)


LIMITS = {
    "seeds": ("seeds = 2", "seeds = 1_000_000_000"),
    "seeds-float": ("seeds = 2", "seeds = 1e9"),
    "trials": ("trials = 4", "trials = 1e30"),
    "trials-integer": ("trials = 4", f"trials = {10**30}"),
    "workers": ("", "workers = 1_000_000_000"),
    "tokens": ("", "tokens = 10000000000000000"),
    "equivalents": ("", "equivalents = 1e300"),
    "seconds": ("", "seconds = 1e300"),
    "seconds-nan": ("", "seconds = nan"),
    "initial": ("", 'initial = "random:99999999999999999999"'),
    "invalid": ("", 'invalid = "retry:99999999999999999999"'),
    "name": ('"tiny"', f'"{"x" * 300}"'),
}


@pytest.mark.parametrize(("old", "new"), LIMITS.values(), ids=LIMITS)
def test_numbers_of_a_suite_have_an_upper_limit_with_a_sentence(old: str, new: str) -> None:
    text = suite_text(methods=["random"])
    text = text.replace(old, new) if old else text.replace("[optimizers", f"{new}\n[optimizers", 1)
    with pytest.raises(SuiteError, match=r"^suite: \w+: .+\(line \d+: "):
        parse_suite(text)


def test_a_study_has_an_upper_limit_of_runs() -> None:
    suite = parse_suite(suite_text("hpobench/mlp/*", methods=["random", "tpe"], seeds=100_000))
    with pytest.raises(SuiteError, match=r"would have 1,600,000 runs, and 1,000,000 is the limit"):
        plan(suite)


@pytest.mark.parametrize(
    "words",
    [
        ("rank", "R", "--target", "nan"),
        ("rank", "R", "--target", "inf"),
        ("rank", "R", "--rope", "nan"),
        ("rank", "R", "--alpha", "nan"),
        ("rank", "R", "--equivalents", "nan"),
        ("rank", "R", "--seconds", "inf"),
        ("rank", "R", "--budget", 10**30),
        ("power", "R", "--instances", 10**9),
        ("power", "R", "--seeds", "9" * 5000),
        ("power", "R", "--simulations", 10**12),
        ("power", "R", "--effect", "nan"),
        ("power", "R", "--seed", 10**30),
        ("run", "quick", "--jobs", 10**9),
        ("run", "quick", "--seeds", 10**9),
        ("runs", "R", "--seed", 10**30),
        ("runs", "R", "--limit", 10**30),
        ("serve", "x", "--port", 99999),
        ("serve", "x", "--max-model-len", 10**30),
        ("verify", "yahpo", "--configurations", 10**30),
        ("plot", "proposals", "R", "--out", "x.svg", "--seed", 10**30),
        ("run", "--benchmark", "hpobench/mlp/car", "--optimizer", "tpe", "--trials", 10**12),
    ],
    ids=lambda words: " ".join(map(str, words))[:40],
)
def test_numbers_of_options_have_limits_with_a_sentence(words: tuple[object, ...]) -> None:
    done = surrobench(*words)
    assert done.status == 2
    assert "Invalid value for" in done.error
