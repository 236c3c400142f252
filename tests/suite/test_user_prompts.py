"""A user's own prompt templates: for one method, and as a prompt variant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.engine.program import nothing, task_of
from surrobench.errors import SuiteError, UsageError
from surrobench.llm import prompts
from surrobench.optimizers.base import Stopwatch
from surrobench.paths import data_dir
from surrobench.plan.planning import plan
from surrobench.results.run_records import Records, RunRecord
from surrobench.suite.loading import parse_suite
from tests.studies import AGENT, MLP

HEAD = f'name = "own"\nbenchmarks = ["{MLP}"]\ntrials = 4\nseeds = 1\n'
TAIL = '[models.tiny]\nurl = "http://127.0.0.1:1/v1"\nmodel = "tiny"\n'


def runs(folder: Path, keys: str = "", head: str = "", models: str = '["tiny"]', method: str = AGENT):
    """The runs of a method that asks a model, planned from a suite in ``folder``."""
    text = f"{HEAD}{head}\n[optimizers.random]\n[optimizers.{method}]\nmodels = {models}\n{keys}\n{TAIL}"
    return [run for run in plan(parse_suite(text, folder=folder)) if run.method == method]


def write(folder: Path, **templates: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in templates.items():
        (folder / f"{name}.jinja").write_text(text)
    return folder


def rendered(run, name: str, **values: object) -> str:
    from collections import Counter

    where = benchmark(run.benchmark)
    task = task_of(run, where, nothing(where), Stopwatch(), Counter())
    return task.prompt(AGENT, name, **values)


def test_a_folder_replaces_the_templates_of_its_names(tmp_path: Path) -> None:
    write(tmp_path / "mine", question="Now, best {{ best }}:")
    [usual], [own] = runs(tmp_path), runs(tmp_path, 'prompts = "./mine"')
    assert rendered(own, "question", best="x") == "Now, best x:"
    assert rendered(own, "head") == rendered(usual, "head")
    assert own.id != usual.id
    assert own.name == usual.name


def test_the_text_alone_counts(tmp_path: Path) -> None:
    """A copy of the method's own template changes no identity, and neither does the folder's place."""
    [usual] = runs(tmp_path)
    (tmp_path / "copy").mkdir()
    shutil.copy(data_dir("prompts") / AGENT / "question.jinja", tmp_path / "copy")
    assert [run.id for run in runs(tmp_path, 'prompts = "copy"')] == [usual.id]
    write(tmp_path / "a", question="Now:")
    write(tmp_path / "b" / "c", question="Now:")
    assert runs(tmp_path, 'prompts = "a"')[0].id == runs(tmp_path, 'prompts = "./b/c"')[0].id


def test_a_common_template_may_be_replaced_and_one_for_a_method_alone(tmp_path: Path) -> None:
    write(tmp_path / "mine", task="A black box.")
    write(tmp_path / "mine" / AGENT, question="Only here:")
    write(tmp_path / "mine" / "opro", pair="not for this method")
    [run] = runs(tmp_path, 'prompts = "mine"')
    assert set(run.prompts) == {"task.jinja", "question.jinja"}
    assert rendered(run, "head").startswith("A black box.")


def test_a_folder_is_a_variant(tmp_path: Path) -> None:
    write(tmp_path / "brief", question="Go:")
    listed = 'variants = ["full", "./brief", "anonymous"]'
    for found in (runs(tmp_path, listed), runs(tmp_path, head=listed)):
        assert [run.name for run in found] == [
            f"{AGENT} (tiny)",
            f"{AGENT} (tiny, brief)",
            f"{AGENT} (tiny, anonymous)",
        ]
        full, brief, _ = found
        assert rendered(brief, "question", best="") == "Go:"
        assert rendered(brief, "head") == rendered(full, "head")
        assert full.id == runs(tmp_path)[0].id


def test_a_variant_wins_over_the_methods_folder(tmp_path: Path) -> None:
    write(tmp_path / "mine", question="Mine:", trial="mine")
    write(tmp_path / "brief", question="Go:")
    [run] = runs(tmp_path, 'prompts = "mine"\nvariants = ["./brief"]')
    assert rendered(run, "question", best="") == "Go:"
    assert rendered(run, "trial") == "mine"


def test_a_slot_control_reads_no_prompt(tmp_path: Path) -> None:
    write(tmp_path / "mine", question="Now:")
    models = '["control:random"]'
    usual, own = (runs(tmp_path, keys, models=models) for keys in ("", 'prompts = "mine"'))
    assert [run.id for run in own] == [run.id for run in usual]


def test_the_text_is_kept_with_the_results(tmp_path: Path) -> None:
    write(tmp_path / "mine", question="Now:")
    [usual], [own] = runs(tmp_path), runs(tmp_path, 'prompts = "mine"')
    for kept in ([own, usual], [usual, own], [usual]):
        stored = Records.of([RunRecord(run, "ok", "", 4) for run in kept]).as_json()
        back = Records.from_json(json.loads(json.dumps(stored)))
        assert [record.run for record in back] == kept
        assert ("prompts" in stored["columns"]) == (own in kept)


@pytest.mark.parametrize(
    ("files", "keys", "message"),
    [
        ({"questoin": "?"}, 'prompts = "mine"', "Did you mean 'question.jinja'?"),
        ({"question": "{% if %}"}, 'prompts = "mine"', "question.jinja:1 is wrong"),
        ({}, 'prompts = "mine"', "replaces no prompt template"),
        ({"question": "?"}, 'prompts = "other"', "cannot be read"),
        ({"pair": "?"}, 'variants = ["./mine"]', "Unknown prompt template"),
        ({"question": "?"}, 'variants = ["anonymos"]', "Did you mean 'anonymous'?"),
        ({"question": "?"}, 'variants = ["./mine", "./x/mine"]', "Two prompt variants are called 'mine'"),
        ({"question": "?"}, 'variants = ["./x/full"]', "called 'full'"),
    ],
)
def test_what_is_wrong_is_said_when_the_suite_is_read(
    tmp_path: Path, files: dict[str, str], keys: str, message: str
) -> None:
    write(tmp_path / "mine", **files)
    for name in ("mine", "full"):
        write(tmp_path / "x" / name, question="?")
    with pytest.raises(SuiteError) as caught:
        runs(tmp_path, keys)
    assert message in str(caught.value)
    assert f"optimizers.{AGENT}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_method_without_a_model_has_no_prompts(tmp_path: Path) -> None:
    text = f'{HEAD}[optimizers.random]\nprompts = "mine"\n'
    with pytest.raises(SuiteError, match="has no prompts that could be replaced"):
        parse_suite(text, folder=tmp_path)


def test_a_template_cannot_reach_python(tmp_path: Path) -> None:
    write(tmp_path / "mine", question="{{ ''.__class__.__mro__ }}")
    [run] = runs(tmp_path, 'prompts = "mine"')
    with pytest.raises(UsageError, match="unsafe"):
        rendered(run, "question", best="")


def test_an_unknown_variable_is_an_error_with_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path / "mine", question="{{ bset }}")
    [run] = runs(tmp_path, 'prompts = "mine"')
    with pytest.raises(UsageError, match=r"'bset' is undefined.*variables best, card, view"):
        rendered(run, "question", best="")


def test_the_hash_of_a_method_is_that_of_before() -> None:
    assert prompts.prompts_hash(AGENT) == prompts.prompts_hash(AGENT, {})
