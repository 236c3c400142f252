from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from surrobench.errors import DataError, MissingLibrary, SuiteError
from surrobench.libraries import Library
from surrobench.llm.prompt_variants import method_name
from surrobench.llm.prompts import TEXT_RULES
from surrobench.optimizers.llm.toy_task import Rehearsed
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.plan import identity
from surrobench.plan.planning import plan
from surrobench.plan.run import Run
from surrobench.suite.loading import parse_suite

CLASSICAL = """\
name = "study"
benchmarks = ["hpobench/mlp/car"]
trials = 20
seeds = 1
control = "LABEL"
[optimizers.LABEL]
"""
AGENT = """\
[optimizers.agent]
method = "karpathy-agent"
models = ["tiny"]
[models.tiny]
url = "http://127.0.0.1:8000/v1"
model = "tiny-1b"
"""


def classical(method: str = "random", label: str = "it", head: str = "", tail: str = "") -> Run:
    """The only run of a suite with one classical method; ``head`` and ``tail`` are added lines."""
    text = CLASSICAL.replace("[optimizers", f"{head}\n[optimizers").replace("LABEL", label)
    [run] = plan(parse_suite(f'{text}method = "{method}"\n{tail}\n'))
    return run


def agent(head: str = "", method: str = "", model: str = "", text_rules: int | None = None) -> Run:
    """The agent's run of a suite, with lines added at the top, to the method or to the model."""
    text = CLASSICAL.replace("[optimizers", f"{head}\n[optimizers").replace("LABEL", "random")
    text += AGENT.replace("[models", f"{method}\n[models") + model + "\n"
    [_, run] = plan(parse_suite(text), text_rules=text_rules)
    return run


def test_a_method_whose_library_is_missing_is_an_error_of_the_plan_and_not_of_the_suite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = replace(OPTIMIZERS["random"], needs=Library("no_such_library", "extra"))
    monkeypatch.setitem(OPTIMIZERS, "special", entry)
    suite = parse_suite(CLASSICAL.replace("LABEL", "special"))
    with pytest.raises(MissingLibrary) as caught:
        plan(suite)
    assert str(caught.value) == (
        "Optimizer 'special' needs no_such_library, which is not installed. pip install 'surrobench[extra]'"
    )
    assert caught.value.exit_code == 1


def test_a_method_that_cannot_be_had_is_unknown_with_the_reason() -> None:
    with pytest.raises(SuiteError, match=r"Unknown optimizer 'hebo'.* needs numpy < 1\.25"):
        classical("hebo")


# ---------------------------------------------------------------------- identity


def test_ids_are_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    # Frozen on purpose: a change here orphans every result and recording that anyone has. If a run's trials
    # really change, count up the version of its optimizer or benchmark, and freeze the new ids.
    monkeypatch.setattr(identity, "prompts_hash", lambda method, replaced: "0123456789abcdef")
    monkeypatch.setattr(identity, "_rehearsed", lambda run, entry: Rehearsed("0123456789abcdef", {}))
    assert classical().id == "64f0cf424b88bd41"
    assert agent().id == "cb3886eb5a83c1e7"


def test_the_rules_of_writing_and_reading_are_part_of_the_id_of_what_asks_a_model() -> None:
    assert agent().text_rules == TEXT_RULES
    assert agent().id == agent(text_rules=TEXT_RULES).id != agent(text_rules=1).id
    assert classical().text_rules == 1
    old = plan(parse_suite(CLASSICAL.replace("LABEL", "random") + AGENT), text_rules=1)
    again = plan(old.origin.suite, known=old)
    assert [run.id for run in again] == [run.id for run in old]


@pytest.mark.parametrize("head", ["description = 'x'", "invalid = 'clip'", ""])
def test_what_does_not_touch_a_classical_method_leaves_its_id(head: str) -> None:
    assert classical(head=head).id == classical().id


def test_labels_and_names_leave_the_id() -> None:
    run = classical(label="another")
    assert run.method == "another"
    assert run.id == classical().id


def test_a_larger_budget_extends_a_run_unless_its_method_needs_a_horizon() -> None:
    def with_trials(method: str, trials: int) -> str:
        text = CLASSICAL.replace("LABEL", method).replace("trials = 20", f"trials = {trials}")
        [run] = plan(parse_suite(text))
        assert run.trials == trials
        return run.id

    assert with_trials("random", 20) == with_trials("random", 30)
    assert with_trials("grid", 20) != with_trials("grid", 30)


@pytest.mark.parametrize(
    "change",
    [
        {"head": "noise = 'fresh'"},
        {"head": "noise = 'mean'"},
        {"head": "initial = 'none'"},
        {"head": "initial = 'random:2'"},
        {"method": "sobol"},
    ],
)
def test_what_changes_a_classical_run_changes_its_id(change: dict[str, str]) -> None:
    assert classical(**change).id != classical().id


def test_a_parameter_changes_the_id_and_its_default_written_out_does_not() -> None:
    default = classical("tpe")
    startup = default.parameters["startup"]
    assert classical("tpe", tail=f"parameters = {{ startup = {startup} }}").id == default.id
    assert classical("tpe", tail=f"parameters = {{ startup = {startup + 1} }}").id != default.id


@pytest.mark.parametrize(
    "change",
    [
        {"head": "invalid = 'clip'"},
        {"head": "invalid = 'retry:2'"},
        {"method": "parameters = { history = 5 }"},
        {"model": "revision = 'b'"},
        {"model": "sampling = { temperature = 0.1 }"},
        {"model": "structured = 'none'"},
        {"model": "seed = false"},
    ],
)
def test_what_changes_a_models_answers_changes_the_id(change: dict[str, str]) -> None:
    assert agent(**change).id != agent().id


def test_another_model_changes_the_id() -> None:
    [_, other] = plan(parse_suite((CLASSICAL + AGENT).replace("LABEL", "random").replace("tiny-1b", "x")))
    assert other.id != agent().id


def test_the_prompts_change_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before, control = agent().id, classical().id
    monkeypatch.setattr(identity, "prompts_hash", lambda method, replaced: "other")
    assert agent().id != before
    assert classical().id == control


@pytest.mark.parametrize(
    "model",
    [
        "concurrency = 3",
        "timeout = 5.0",
        "retries = 0",
        "slots = 7",
        "context = 512",
        "key_env = 'KEY'",
        "size = '1B'",
    ],
)
def test_how_the_server_is_reached_leaves_the_id(model: str) -> None:
    assert agent(model=model).id == agent().id


def test_the_servers_address_and_the_models_label_leave_the_id() -> None:
    text = (CLASSICAL + AGENT).replace("LABEL", "random")
    [_, moved] = plan(parse_suite(text.replace("127.0.0.1:8000", "example.org")))
    [_, renamed] = plan(parse_suite(text.replace('"tiny"', '"small"').replace("models.tiny", "models.small")))
    assert moved.id == renamed.id == agent().id
    assert renamed.model == "small"


# ---------------------------------------------------------------------- the plan


def test_runs_are_ordered_by_benchmark_method_model_and_seed_and_all_differ() -> None:
    text = (CLASSICAL + AGENT).replace("LABEL", "random").replace("mlp/car", "mlp/c*")
    text = text.replace("seeds = 1", "seeds = 3").replace('models = ["tiny"]', 'models = ["tiny"]\nseeds = 2')
    planned = plan(parse_suite(text))
    assert [(run.benchmark.rpartition("/")[2], run.method, run.model, run.seed) for run in planned] == [
        (instance, *rest)
        for instance in ("car", "credit_g")
        for rest in [
            ("random", None, 0),
            ("random", None, 1),
            ("random", None, 2),
            ("agent", "tiny", 0),
            ("agent", "tiny", 1),
        ]
    ]
    assert len({run.id for run in planned}) == len(planned)


def test_a_run_says_all_that_an_engine_needs_and_survives_json() -> None:
    run = agent(head="initial = 'random:2'\ninvalid = 'retry:1'")
    assert (run.optimizer, run.model, run.trials, run.initial) == ("karpathy-agent", "tiny", 20, "random:2")
    assert (run.noise, run.invalid, run.seed) == ("seeded", "retry:1", 0)
    assert run.parameters["history"] == 20
    back: dict[str, Any] = json.loads(json.dumps(run.as_dict()))
    assert Run(**back) == run


def test_one_method_under_two_labels_is_refused_by_name() -> None:
    with pytest.raises(SuiteError, match="'one' and 'two' are the same"):
        plan(
            parse_suite(
                CLASSICAL.replace("LABEL", "one")
                + 'method = "tpe"\n[optimizers.two]\nmethod = "tpe"\nparameters = { startup = 10 }\n'
            )
        )


def test_one_model_under_two_labels_is_refused_by_name() -> None:
    text = (CLASSICAL + AGENT).replace("LABEL", "random").replace('["tiny"]', '["tiny", "twin"]')
    text += '[models.twin]\nurl = "http://other/v1"\nmodel = "tiny-1b"\n'
    with pytest.raises(SuiteError, match=r"'agent \(tiny\)' and 'agent \(twin\)' are the same"):
        plan(parse_suite(text))


def test_a_method_is_named_with_its_model() -> None:
    assert method_name("agent", "tiny") == "agent (tiny)"
    assert method_name("random", None) == "random"


@pytest.mark.parametrize("method", ["random", "grid", "cma-es", "tpe", "sobol"])
def test_a_table_of_constants_is_refused_for_every_method_alike(tmp_path: Path, method: str) -> None:
    (tmp_path / "flat.csv").write_text("config.a,config.b,minimize.loss\n3,relu,0.5\n")
    text = CLASSICAL.replace("LABEL", method).replace("hpobench/mlp/car", f"table:{tmp_path}/flat.csv")
    with pytest.raises(DataError, match=r"every hyperparameter has one value\. There is nothing to tune"):
        plan(parse_suite(text))
