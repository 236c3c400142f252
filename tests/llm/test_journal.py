from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
import re
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrobench.errors import ResultsError
from surrobench.llm.journal import SCHEMA_VERSION, Call, Journal
from surrobench.llm.journal_lines import JournalFile
from surrobench.protocol.requests import Completion, Message

VERSIONS = {"numpy": "2.0", "surrobench": "0.1"}
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)  # lone surrogates included


def completion(text: str, tokens: int = 3) -> Completion:
    return Completion(text, "stop", 7, tokens, 0.25)


def chat(*contents: str) -> tuple[Message, ...]:
    return tuple(Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(contents))


async def add(journal: Journal, key: Call, messages: tuple[Message, ...], *texts: str) -> None:
    await journal.append(key, "hash", "propose", messages, [completion(text) for text in texts])


def write(path: Path, entries: Iterable[tuple[Call, tuple[Message, ...], tuple[str, ...]]]) -> None:
    async def go() -> None:
        journal = Journal(path, versions=VERSIONS)
        for key, messages, texts in entries:
            await add(journal, key, messages, *texts)
        journal.close()

    asyncio.run(go())


def three_calls(path: Path) -> bytes:
    write(
        path,
        [
            (Call("r", 0, 0), chat("häd\nline 1\nnext"), ("änswer 🙂",)),
            (Call("r", 1, 0), chat("häd\nline 1\nline 2\nnext"), ("zwei",)),
            (Call("r", 2, 0), chat("häd\nline 1\nline 2\n→ drei\nnext"), ("trois é\r\n",)),
        ],
    )
    return path.read_bytes()


def on_disk(text: str) -> str:
    """Half a surrogate pair has no UTF-8 form; a question mark stands in its place."""
    return text.encode(errors="replace").decode()


# ---------------------------------------------------------------------- what comes back


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.lists(ANY_TEXT, min_size=1, max_size=3),
            ANY_TEXT,
            st.integers(1, 3),
        ),
        max_size=6,
    )
)
def test_every_text_and_prompt_comes_back_as_it_was_written(
    calls: list[tuple[str, list[str], str, int]],
) -> None:
    # The fixture tmp_path would be shared by all examples.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        keys = [Call(run, number, 0) for number, (run, *_) in enumerate(calls)]
        write(
            path,
            [
                (key, chat(*contents), (reply,) * n)
                for key, (_, contents, reply, n) in zip(keys, calls, strict=True)
            ],
        )
        journal = Journal(path)
        assert len(journal) == sum(n for *_, n in calls)
        for key, (_, contents, reply, n) in zip(keys, calls, strict=True):
            entries = [entry for entry in journal.of_run(key.run) if entry.key == key]
            assert [entry.sample for entry in entries] == list(range(n))
            assert [entry.completion for entry in entries] == [completion(on_disk(reply))] * n
            assert journal.get(key) == [replace(entry, prompt=None) for entry in entries]
            assert entries[0].prompt == chat(*map(on_disk, contents))
            assert all(entry.prompt is None for entry in entries[1:])


def test_every_field_of_an_entry_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    cut_off = Completion("{", "length", 11, 2048, 1.5)

    async def go() -> None:
        journal = Journal(path, versions=VERSIONS)
        await journal.append(Call("r", 4, 2), "0123abcd", "reflect", chat("why?"), [cut_off])
        journal.close()

    asyncio.run(go())
    [entry] = Journal(path).get(Call("r", 4, 2))
    assert entry.key == Call("r", 4, 2)
    assert (entry.sample, entry.request, entry.purpose) == (0, "0123abcd", "reflect")
    assert entry.completion == cut_off


def test_a_growing_prompt_is_stored_as_its_growth(tmp_path: Path) -> None:
    head = "x" * 5000
    prompts = [chat(head + "".join(f"\ntrial {i}" for i in range(n))) for n in range(50)]
    path = tmp_path / "journal.jsonl"
    write(path, [(Call("r", n, 0), prompt, ("ok",)) for n, prompt in enumerate(prompts)])
    assert path.stat().st_size < 3 * len(head) + 50 * 200
    journal = Journal(path)
    assert [entry.prompt for entry in journal.of_run("r")] == prompts


def test_prompts_of_different_runs_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    entries = [
        (Call(run, n, 0), chat(f"run {run}" + " more" * n), ("ok",)) for n in range(4) for run in ("a", "b")
    ]
    write(path, entries)
    journal = Journal(path)
    prompts = {entry.key: entry.prompt for entry in journal.entries()}
    assert prompts == {key: prompt for key, prompt, _ in entries}
    assert journal.runs() == {"a", "b"}
    assert [entry.key.call for entry in journal.of_run("b")] == [0, 1, 2, 3]


def test_samples_added_later_go_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    key = Call("r", 0, 0)
    write(path, [(key, chat("q"), ("one", "two"))])
    write(path, [(key, chat("q"), ("three",))])
    entries = Journal(path).get(key)
    assert [(entry.sample, entry.completion.text) for entry in entries] == [
        (0, "one"),
        (1, "two"),
        (2, "three"),
    ]


def test_attempts_of_a_call_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(
        path, [(Call("r", 0, 0), chat("q"), ("bad",)), (Call("r", 0, 1), chat("q", "bad", "no"), ("good",))]
    )
    journal = Journal(path)
    assert [journal.get(Call("r", 0, attempt))[0].completion.text for attempt in (0, 1)] == ["bad", "good"]
    assert journal.get(Call("r", 0, 2)) == []


# ---------------------------------------------------------------------- versions


def test_each_change_of_versions_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for versions in (VERSIONS, VERSIONS, {"numpy": "2.1"}):
        Journal(path, versions=versions).close()
    assert path.read_bytes().count(b'{"versions":') == 2
    assert Journal(path).versions == {"numpy": "2.1"}


def test_a_new_journal_states_its_schema_version(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    three_calls(path)
    first, *others = map(json.loads, path.read_text().splitlines())
    assert first.pop("crc")
    assert first == {"versions": VERSIONS, "schema_version": SCHEMA_VERSION}
    assert not any("schema_version" in line for line in others)


def test_a_journal_without_a_schema_version_is_read_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    new = three_calls(path)
    # Lines of older versions have no checksum, either.
    old = re.sub(rb',"schema_version":\d+|,"crc":"[0-9a-f]{8}"', b"", new)
    assert len(old) < len(new)
    path.write_bytes(old)
    assert Journal(path).versions == VERSIONS
    write(path, [(Call("r", 3, 0), chat("more"), ("vier",))])
    assert path.read_bytes().startswith(old)
    assert len(Journal(path)) == 4


@pytest.mark.parametrize("versions", [None, VERSIONS], ids=["read", "append"])
def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path, versions: dict[str, str] | None) -> None:
    path = tmp_path / "journal.jsonl"
    line = {"versions": VERSIONS, "schema_version": SCHEMA_VERSION + 1}
    newer = (json.dumps(line) + '\n{"what": "nobody knows yet"}\n').encode()
    path.write_bytes(newer)
    with pytest.raises(ResultsError) as caught:
        Journal(path, versions=versions)
    assert str(caught.value) == f"{path} was written by a newer surrobench. Upgrade surrobench."
    assert path.read_bytes() == newer


def test_reading_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    data = three_calls(path) + b'{"run":"r","ca'
    path.write_bytes(data)
    assert len(Journal(path)) == 3
    assert path.read_bytes() == data
    assert len(Journal(tmp_path / "none.jsonl")) == 0
    assert not (tmp_path / "none.jsonl").exists()


def test_a_compressed_journal_is_read(tmp_path: Path) -> None:
    data = three_calls(tmp_path / "journal.jsonl")
    packed = tmp_path / "journal.jsonl.gz"
    packed.write_bytes(gzip.compress(data))
    assert Journal(packed).of_run("r") == Journal(tmp_path / "journal.jsonl").of_run("r")


@pytest.mark.parametrize("damage", ["cut", "garbled", "not compressed"])
def test_a_damaged_compressed_journal_is_a_clear_error(tmp_path: Path, damage: str) -> None:
    good = gzip.compress(three_calls(tmp_path / "journal.jsonl"))
    middle = len(good) // 2
    packed = tmp_path / "journal.jsonl.gz"
    packed.write_bytes(
        {
            "cut": good[:middle],
            "garbled": good[:20] + b"\xff" * 40 + good[60:],
            "not compressed": b"{}\n",
        }[damage]
    )
    with pytest.raises(ResultsError, match=r"journal\.jsonl\.gz cannot be read"):
        Journal(packed)


# ---------------------------------------------------------------------- damage


def test_a_half_written_last_line_is_dropped_and_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    data = three_calls(path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # hundreds of them take seconds
    last = data.rfind(b"\n", 0, len(data) - 1) + 1
    prompt = chat("häd\nline 1\nline 2\n→ drei\nnext")
    for cut in range(last, len(data)):
        path.write_bytes(data[:cut])
        assert len(Journal(path)) == 2
        write(path, [(Call("r", 2, 0), prompt, ("trois é\r\n",))])
        assert path.read_bytes() == data, f"cut at byte {cut}"


def test_a_journal_cut_within_its_first_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    data = three_calls(path)
    path.write_bytes(data[:5])
    assert three_calls(path) == data


def test_every_flipped_bit_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    data = three_calls(path)
    before = Journal(path).of_run("r")
    noticed = 0
    for bit in range(0, 8 * len(data) - 8, 3):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            journal = Journal(path)
            assert (journal.versions, journal.of_run("r")) == (VERSIONS, before), f"bit {bit}"
        except ResultsError as error:
            assert "journal.jsonl is damaged at line" in str(error)  # noqa: PT017 - most flips are noticed
            noticed += 1
    assert noticed > 0.9 * 8 * len(data) / 3


def test_the_lines_of_a_finished_run_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, [(Call(run, n, 0), chat(f"q{n}"), (f"{run}{n}",)) for n in range(3) for run in ("a", "b")])
    read: list[str] = []
    lines = JournalFile.lines

    def noting(self: JournalFile, places: Any) -> Any:
        for line in lines(self, places):
            read.append(json.loads(line)["run"])
            yield line

    monkeypatch.setattr(JournalFile, "lines", noting)
    journal = Journal(path, versions=VERSIONS)
    assert (journal.runs(), len(journal)) == ({"a", "b"}, 6)
    assert [journal.get(Call("b", n, 0))[0].completion.text for n in range(3)] == ["b0", "b1", "b2"]
    assert read == ["b"] * 3
    journal.release("b")
    journal.get(Call("b", 0, 0))
    assert read == ["b"] * 6
    journal.close()


def test_a_new_journal_gives_back_what_was_appended_to_it(tmp_path: Path) -> None:
    async def go() -> list[Any]:
        journal = Journal(tmp_path / "new" / "journal.jsonl", versions=VERSIONS)
        assert journal.of_run("r") == []
        await add(journal, Call("r", 0, 0), chat("q"), "one", "two")
        await add(journal, Call("r", 1, 0), chat("q", "one", "and?"), "three")
        journal.release("r")
        journal.close()
        assert (journal.runs(), len(journal), journal.versions) == ({"r"}, 3, VERSIONS)
        assert [entry.completion.text for entry in journal.get(Call("r", 0, 0))] == ["one", "two"]
        return journal.of_run("r")

    entries = asyncio.run(go())
    assert [entry.prompt for entry in entries] == [chat("q"), None, chat("q", "one", "and?")]
    assert entries == Journal(tmp_path / "new" / "journal.jsonl").of_run("r")


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"garbage",
        b'{"run":"r","call":1,"at',
        b'{"run":"r"}',
        b'{"other":1}',
        b"[1]",
        b"null",
        b'"run"',
        b'{"run":"r","call":0,"attempt":0,"text":"\xff"}',
        b'{"run":"r","call":1,"attempt":0,"prompt":[3,"no json"]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    lines = three_calls(path).split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], damaged, *lines[3:]]))
    with pytest.raises(ResultsError, match=r"journal\.jsonl is damaged at line 3\."):
        Journal(path)


def test_a_journal_that_cannot_be_opened_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot be written"):
        Journal(tmp_path / "file" / "journal.jsonl", versions=VERSIONS)


# ---------------------------------------------------------------------- durability


class Disk:
    """Stands in for ``os.fsync``: counts, and remembers what the file held at the last one."""

    def __init__(self, path: Path, seconds: float = 0.0) -> None:
        self.path, self.seconds = path, seconds
        self.count = 0
        self.safe = b""

    def __call__(self, descriptor: int) -> None:
        written = self.path.read_bytes()
        time.sleep(self.seconds)
        self.safe = written
        self.count += 1


def test_concurrent_appends_share_an_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    disk = Disk(path)
    monkeypatch.setattr(os, "fsync", disk)

    async def go() -> int:
        journal = Journal(path, versions=VERSIONS)
        before = disk.count
        await asyncio.gather(*(add(journal, Call(f"r{i}", 0, 0), chat("q"), f"reply {i}") for i in range(50)))
        journal.close()
        return disk.count - before

    assert asyncio.run(go()) <= 2
    assert len(Journal(path)) == 50


def test_an_append_returns_only_when_its_bytes_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    disk = Disk(path, seconds=0.01)
    monkeypatch.setattr(os, "fsync", disk)

    async def one(journal: Journal, number: int) -> bool:
        await asyncio.sleep(number * 0.002)  # so that some come while others are being written
        await add(journal, Call(f"r{number}", 0, 0), chat("q"), f"<reply {number}>")
        return f"<reply {number}>".encode() in disk.safe

    async def go() -> list[bool]:
        journal = Journal(path, versions=VERSIONS)
        safe = await asyncio.gather(*(one(journal, number) for number in range(30)))
        journal.close()
        return safe

    assert all(asyncio.run(go()))
    assert 1 < disk.count < 30


def test_a_cancelled_caller_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"

    async def go() -> None:
        journal = Journal(path, versions=VERSIONS)
        gone = asyncio.create_task(add(journal, Call("gone", 0, 0), chat("q"), "x"))
        stays = asyncio.create_task(add(journal, Call("stays", 0, 0), chat("q"), "y"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait_for(stays, 10)
        await asyncio.gather(gone, return_exceptions=True)
        journal.close()

    asyncio.run(go())
    assert Journal(path).get(Call("stays", 0, 0))


def test_a_full_disk_is_a_clear_error_for_everyone_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"

    def full(self: Journal, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def go() -> list[Any]:
        journal = Journal(path, versions=VERSIONS)
        monkeypatch.setattr(Journal, "_write", full)
        jobs = [add(journal, Call("r", number, 0), chat("q"), "x") for number in range(3)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        journal.close()
        return results

    results = asyncio.run(go())
    assert [type(result) for result in results] == [ResultsError] * 3
    assert "No space left on device" in str(results[0])
    assert len(Journal(path)) == 0


def test_after_a_real_write_error_the_journal_is_whole_and_goes_on(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "journal.jsonl"

    async def fill(n: int) -> int:
        """Number of appends that succeeded."""
        journal = Journal(path, versions=VERSIONS)
        try:
            for number in range(n):
                await add(journal, Call("r", number, 0), chat("q"), "x" * 1000)
        except ResultsError:
            return number
        finally:
            journal.close()
        return n

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # of any one file
    try:
        written = asyncio.run(fill(20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 5 < written < 10
    assert len(Journal(path)) == written
    write(path, [(Call("r", written, 0), chat("q"), ("y",))])
    assert len(Journal(path)) == written + 1
