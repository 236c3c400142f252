"""Journals that are replayed, resumed, discarded and repaired: nothing that was answered is lost by it."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from surrobench.errors import ResultsError
from surrobench.execution.process_pool import InlineExecutor
from surrobench.llm.journal import Journal
from surrobench.llm.journal_lines import decode, encode
from surrobench.results.folder import Results
from tests.llm.faulty_server import FaultyServer, error
from tests.studies import answer, files, run, suite_text, surrobench


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())


class Model:
    """Answers, but not more often than ``most``; then the server is broken."""

    def __init__(self) -> None:
        self.most = 10**6
        self.asked = 0

    def __call__(self, body: dict[str, object]) -> object:
        self.asked += 1
        return answer(body) if self.asked <= self.most else error(500)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def text(model: Model) -> Iterator[str]:
    with FaultyServer(model) as server:
        yield suite_text(models={"m": server.url}, seeds=3, trials=4, model="retries = 0\nconcurrency = 1")


def half_finished(text: str, model: Model, folder: Path) -> Path:
    """A study of which each run has some completions and none is finished; its journal."""
    model.most = model.asked + 5
    assert run(text, folder).states["parked"] == 3
    model.most = 10**6
    return folder / "journal.jsonl"


def pack(folder: Path) -> bytes:
    """Compress a folder's journal as that of a published recording; returns its bytes."""
    data = (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl.gz").write_bytes(gzip.compress(data))
    (folder / "journal.jsonl").unlink()
    return data


# ---------------------------------------------------------------------- replaying


def test_a_replay_into_a_folder_with_a_compressed_journal_keeps_the_journal(tmp_path, text, model):
    run(text, tmp_path / "live")
    run(text.replace("seeds = 3", "seeds = 1"), tmp_path / "r", replay=tmp_path / "live")
    data = pack(tmp_path / "r")
    assert run(text, tmp_path / "r", replay=tmp_path / "live").complete
    assert files(tmp_path / "r") == files(tmp_path / "live")
    assert (
        Results(tmp_path / "r").journal_path.read_bytes()
        == data
        == (tmp_path / "live/journal.jsonl").read_bytes()
    )
    assert not (tmp_path / "r/journal.jsonl.gz").exists()
    asked = model.asked
    shutil.copytree(tmp_path / "r", tmp_path / "again")
    assert run(text, tmp_path / "again").finished_before == 6
    assert model.asked == asked


def test_a_compressed_journal_of_other_completions_is_left_alone(tmp_path, text):
    run(text, tmp_path / "live")
    run(text.replace("seeds = 3", "seeds = 4"), tmp_path / "own")
    pack(tmp_path / "own")
    before = (tmp_path / "own/journal.jsonl.gz").read_bytes()
    with pytest.raises(ResultsError, match=r"journal\.jsonl\.gz holds completions that .* does not"):
        run(text.replace("seeds = 3", "seeds = 5"), tmp_path / "own", replay=tmp_path / "live")
    assert (tmp_path / "own/journal.jsonl.gz").read_bytes() == before
    assert not (tmp_path / "own/journal.jsonl").exists()


def test_a_full_disk_while_a_journal_is_unpacked_leaves_it_as_it_was(tmp_path, text, model, monkeypatch):
    half_finished(text, model, tmp_path)
    data = pack(tmp_path)

    def full(descriptor: int) -> None:
        if "journal" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ResultsError, match="No space left on device"):
            run(text, tmp_path)
    assert gzip.decompress((tmp_path / "journal.jsonl.gz").read_bytes()) == data
    assert [path.name for path in tmp_path.glob("*journal*")] == ["journal.jsonl.gz"]
    assert run(text, tmp_path).complete
    assert (tmp_path / "journal.jsonl").read_bytes().startswith(data)


@pytest.mark.parametrize("first", ["default", "none"])
def test_a_recording_with_a_refused_run_replays_to_the_same_bytes(tmp_path, first):
    def one_refused(body: dict[str, object]) -> object:
        return error(400, "too long") if body["seed"] % 2 else answer(body)

    with FaultyServer(one_refused) as server:
        text = suite_text(models={"m": server.url}, seeds=6, head=f'initial = "{first}"')
        live = run(text, tmp_path / "live")
    assert live.states["failed"] > 0
    replayed = run(text, tmp_path / "r", replay=tmp_path / "live")
    assert replayed.states == live.states
    assert files(tmp_path / "r") == files(tmp_path / "live")


# ---------------------------------------------------------------------- starting anew


def test_half_finished_runs_are_discarded_whatever_the_versions(tmp_path, text, model):
    journal = half_finished(text, model, tmp_path)
    before = journal.read_bytes()
    model.asked = 0
    assert run(text, tmp_path, discard_unfinished=True).complete
    assert model.asked == 9
    assert len(Journal(journal)) == 9
    [copy] = tmp_path.glob("journal.*.bak")
    assert copy.read_bytes() == before


def test_a_diverged_run_can_be_started_anew(tmp_path, text, model):
    journal = half_finished(text, model, tmp_path)
    lines = [decode(line) for line in journal.read_bytes().splitlines()]
    [diverged, *_] = [line["run"] for line in lines if "run" in line]
    journal.write_bytes(
        b"".join(
            encode({**line, "request": "other"} if line.get("run") == diverged else line)
            for line in ({name: of for name, of in line.items() if name != "crc"} for line in lines)
        )
    )
    summary = run(text, tmp_path)
    assert summary.states == {"ok": 2, "parked": 1}
    assert "start it anew with --discard-unfinished" in next(iter(summary.problems))
    assert run(text, tmp_path, discard_unfinished=True).complete
    assert len(Journal(journal)) == 9


# ---------------------------------------------------------------------- repairing


def damage(journal: Path, number: int, find: bytes, instead: bytes) -> None:
    lines = journal.read_bytes().split(b"\n")
    assert find in lines[number]
    lines[number] = lines[number].replace(find, instead, 1)
    journal.write_bytes(b"\n".join(lines))


@pytest.mark.parametrize("knows", [True, False], ids=["the line says whose it is", "it does not"])
def test_repair_drops_the_run_of_a_damaged_line_alone(tmp_path, text, model, knows):
    folder = tmp_path / "r"
    (tmp_path / "tiny.toml").write_text(text)
    assert run(text, folder).complete
    journal = folder / "journal.jsonl"
    entries = [decode(line) for line in journal.read_bytes().splitlines()]
    place, victim = next((i, line["run"]) for i, line in enumerate(entries) if line.get("call") == 1)
    damage(journal, place, *((b'"text":"', b'"text":!') if knows else (victim.encode(), b"?" * len(victim))))
    before = journal.read_bytes()
    refused = surrobench("show", victim, "--results", folder)
    assert f"damaged at line {place + 1}" in refused.error
    assert f"surrobench journal repair {folder}" in refused.error

    done = surrobench("journal", "repair", folder)
    assert done.status == 0, done.err
    assert f"1 line ({place + 1})" in done.out
    assert f"Run {victim} has lost 2 whole completions, too: it keeps its trials" in done.out
    repaired = Journal(journal)
    assert repaired.runs() == {line["run"] for line in entries if "run" in line} - {victim}
    assert len(repaired) == 6
    [copy] = folder.glob("journal.*.bak")
    assert copy.read_bytes() == before
    assert "is whole: 6 completions of 2 runs." in surrobench("journal", "repair", folder).out
    asked = model.asked
    assert run(text, folder).finished_before == 6
    assert model.asked == asked


def test_after_a_repair_a_half_finished_run_starts_from_the_beginning(tmp_path, text, model):
    journal = half_finished(text, model, tmp_path)
    entries = [decode(line) for line in journal.read_bytes().splitlines()]
    place, victim = next((i, line["run"]) for i, line in enumerate(entries) if line.get("call") == 0)
    kept = sum(line.get("run") not in (None, victim) for line in entries)
    damage(journal, place, b'"purpose"', b'"purposf"')
    with pytest.raises(ResultsError, match="damaged at line"):
        run(text, tmp_path)
    assert "it starts from the beginning" in surrobench("journal", "repair", tmp_path).out
    model.asked = 0
    assert run(text, tmp_path).complete
    assert model.asked == 9 - kept


def test_there_is_nothing_to_repair_without_a_journal(tmp_path):
    run(suite_text(), tmp_path)
    done = surrobench("journal", "repair", tmp_path)
    assert (done.status, "has no journal" in done.error) == (1, True)
