"""A study that was begun under ids of scheme 1 goes on, is ranked, and is replayed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from surrobench.llm.journal import Journal
from surrobench.report.data.load import joint_plan
from surrobench.report.data.study_data import load_study
from surrobench.results.folder import Results
from surrobench.study import session
from surrobench.study.earlier_runs import EarlierRuns
from tests.llm.faulty_server import FaultyServer
from tests.studies import AGENT, MLP, NAS, answer, files, run, suite_text, trials

METHODS = ("random", "tpe", "sobol")


class Every:
    """Stands for a folder that holds whatever it is asked about, except runs of the present scheme."""

    def __contains__(self, run: object) -> bool:
        return run not in self.present

    def __init__(self, present: set[str]) -> None:
        self.present = present

    def __bool__(self) -> bool:
        return True


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a study as surrobench did when ids were of scheme 1: ids, records and manifest are as then."""

    def begin(text: str, out: Path, **options: Any) -> None:
        with monkeypatch.context() as patch:
            present = {run.id for run in session.plan(session_suite(text))}
            patch.setattr(session, "earlier_runs", lambda *_: EarlierRuns(Every(present)))  # type: ignore[arg-type]
            run(text, out, **options)
        manifest = json.loads((out / "manifest.json").read_text())
        for name in ("id_schemes", "weights", "checksum"):
            manifest.pop(name, None)
        (out / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 4}))

    return begin


def session_suite(text: str) -> Any:
    from surrobench.suite.loading import parse_suite

    return parse_suite(text)


def schemes(out: Path) -> dict[str, int]:
    return {run: record.run.scheme for run, record in Results(out).records().items()}


def test_what_is_finished_is_not_repeated_and_what_is_new_has_new_ids(tmp_path: Path, before: Any) -> None:
    out = tmp_path / "out"
    before(suite_text(MLP, NAS, methods=METHODS, seeds=2), out)
    old = schemes(out)
    assert set(old.values()) == {1}
    assert len(old) == 12
    again = run(suite_text(MLP, NAS, methods=METHODS, seeds=2), out)
    assert (again.finished_before, again.trials, again.unnamed) == (12, 0, 0)
    more = run(suite_text(MLP, NAS, methods=METHODS, seeds=3), out)
    assert (more.finished_before, sum(more.states.values()), more.unnamed) == (12, 6, 0)
    now = schemes(out)
    assert old.items() <= now.items()
    assert sorted(now.values()) == [1] * 12 + [2] * 6
    assert Results(out).manifest["id_schemes"] == [1, 2]
    last = run(suite_text(MLP, NAS, methods=METHODS, seeds=3), out)
    assert (last.finished_before, last.trials) == (18, 0)
    assert set(load_study(Results(out)).incumbents["seed"]) == {0, 1, 2}


def test_a_larger_budget_extends_a_run_under_its_old_id(tmp_path: Path, before: Any) -> None:
    out = tmp_path / "out"
    before(suite_text(MLP, methods=METHODS, seeds=1), out)
    old, short = schemes(out), trials(out)
    run(suite_text(MLP, methods=METHODS, seeds=1, trials=6), out)
    assert schemes(out) == old
    long = trials(out)
    common = ["run", "trial", "value"]
    assert long.filter(pl.col("trial") < 4).select(common).equals(short.select(common))


def test_no_completion_is_asked_for_again(tmp_path: Path, before: Any) -> None:
    out = tmp_path / "out"
    settings = "retries = 0\nsampling = { temperature = 1.0 }"
    with FaultyServer(answer) as server:
        text = suite_text(MLP, seeds=2, models={"m": server.url}, model=settings)
        before(text, out)
        of_model = pl.col("llm").is_not_null()
        complete, asked = trials(out).filter(of_model).drop("latency"), len(server.bodies)
        # All records are lost, and the last completion of one run.
        ids = {record.run.id for record in Results(out).records().values() if record.run.method == AGENT}
        shutil.rmtree(out / "trials")
        *lines, _ = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
        (out / "journal.jsonl").write_bytes(b"".join(lines))
        run(text, out)
        assert len(server.bodies) == asked + 1
    assert trials(out).filter(of_model).drop("latency").equals(complete)
    assert Journal(out / "journal.jsonl").runs() == ids


def test_a_recording_is_replayed_to_the_same_bytes_from_its_folder_and_from_its_journal(
    tmp_path: Path, before: Any
) -> None:
    text = suite_text(MLP, seeds=1, models={"m": "URL"}, model="retries = 0")
    with FaultyServer(answer) as server:
        text = text.replace("URL", server.url)
        before(text, tmp_path / "out")
    run(text, tmp_path / "folder", replay=tmp_path / "out")
    assert files(tmp_path / "folder") == files(tmp_path / "out")
    alone = tmp_path / "alone.jsonl"
    shutil.copy(tmp_path / "out" / "journal.jsonl", alone)
    replayed = run(text, tmp_path / "journal", replay=alone)
    assert replayed.complete
    of_model = pl.col("llm").is_not_null()
    assert trials(tmp_path / "journal").filter(of_model).equals(trials(tmp_path / "out").filter(of_model))


def test_a_recording_knows_the_weights_that_are_gone(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"weights")
    with FaultyServer(answer) as server:
        model = f"retries = 0\nweights = {json.dumps(str(weights))}"
        text = suite_text(MLP, seeds=1, models={"m": server.url}, model=model)
        run(text, tmp_path / "out")
    shutil.rmtree(weights)
    assert run(text, tmp_path / "again", replay=tmp_path / "out").complete
    assert files(tmp_path / "again") == files(tmp_path / "out")


def test_other_weights_are_other_runs_for_a_study_of_before_too(tmp_path: Path, before: Any) -> None:
    with FaultyServer(answer) as server:
        models, out = {"m": server.url}, tmp_path / "out"
        before(suite_text(MLP, seeds=1, models=models, model='weights = "org/one"'), out)
        run(suite_text(MLP, seeds=1, models=models, model='weights = "org/one"'), out)
        assert set(schemes(out).values()) == {1}
        other = run(suite_text(MLP, seeds=1, models=models, model='weights = "org/two"'), out)
    assert other.states["ok"] == 1
    assert sorted(schemes(out).values()) == [1, 1, 2]


def test_a_folder_of_before_and_one_of_now_hold_the_same_runs(tmp_path: Path, before: Any) -> None:
    before(suite_text(MLP, methods=("random", "tpe"), seeds=2), tmp_path / "old")
    run(suite_text(MLP, methods=("random", "sobol"), seeds=2), tmp_path / "new")
    plan = joint_plan([Results(tmp_path / "old"), Results(tmp_path / "new")])
    assert plan.group_by("method").len().sort("method").rows() == [("random", 2), ("sobol", 2), ("tpe", 2)]
