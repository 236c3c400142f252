"""Keep the journal: every completion is on disk before it is delivered.

The journal has one JSON object per line. Lines are appended and fsynced, and never rewritten. An entry is
keyed by (run, call, attempt, sample) and carries the hash of its request. A resumed or replayed run thus gets
exactly the answers that it got before. A run that asks something else is an error ("diverged at call k")
instead of a wrong answer.

Opening a journal checks that every line is whole and notes where the lines of each run are. The lines of a
run are read when the run resumes; those of a finished run never are.

Prompts mostly grow at their end. Therefore a prompt is kept as the number of characters that it shares with
the run's previous prompt, and the rest.

The versions of the libraries that shape requests may differ from those of the last session. A session then
first adds a line with these versions and with the version of the journal's schema. Journals that state no
version are of version 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from surrobench.errors import ResultsError
from surrobench.llm.journal_lines import Index, JournalFile, decode, encode, index_of
from surrobench.protocol.requests import Completion, Message, Served
from surrobench.untrusted import load_json

SCHEMA_VERSION = 1
"""The schema's version. It counts up when the lines of a journal change; older journals stay readable."""


class Call(NamedTuple):
    """The place of a request in a run: its ordinal and the number of the re-ask (0 for the first try)."""

    run: str
    call: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A completion as it is in the journal."""

    key: Call
    sample: int
    request: str
    """The hash of the request."""
    purpose: str
    completion: Completion
    prompt: tuple[Message, ...] | None
    """The messages. Only the first sample of a request has them, and only in ``Journal.of_run``."""

    @property
    def where(self) -> str:
        """Return which completion of its run this is, ``call.attempt.sample``.

        Trials name it as their ``reply``.
        """
        return f"{self.key.call}.{self.key.attempt}.{self.sample}"


@dataclass
class _Loaded:
    """A run whose lines were read: its entries without prompts, and the text of its last prompt."""

    entries: dict[Call, list[Entry]] = field(default_factory=dict)
    last_prompt: str = ""


class Journal:
    """The completions of a results folder: where each run's are in the file, and those of runs under way.

    Raises:
        ResultsError: the file is damaged in another way than by a write cut short at its end, or a newer
            surrobench wrote it.
    """

    def __init__(self, path: Path, *, versions: dict[str, str] | None = None) -> None:
        """Open ``path``, which need not exist, for reading; for appending too, if ``versions`` are passed."""
        self.path = path
        self._source = JournalFile(path) if path.exists() else None
        self._index = index_of(self._source.blocks()) if self._source else Index()
        if self._index.schema_version > SCHEMA_VERSION:
            raise newer_journal(path)
        if self._index.damaged:
            raise _damaged(path, f"at line {self._index.damaged[0].number}")
        self._loaded: dict[str, _Loaded] = {}
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._file: Any = None
        if versions is not None:
            self.begin(versions)

    @property
    def versions(self) -> dict[str, str]:
        """The versions under which the last session wrote; empty for a new journal."""
        return self._index.versions

    def begin(self, versions: dict[str, str]) -> None:
        """Open the journal for appending, by a session under these versions."""
        try:
            self._file = _open_for_appending(self.path, self._index.end)
            self._source = self._source or JournalFile(self.path)
            if versions != self.versions:
                line = encode({"versions": versions, "schema_version": SCHEMA_VERSION})
                self._write(line)
                self._index.end += len(line)
                self._index.versions = versions
        except OSError as error:
            self.close()
            raise self._unwritable(error) from error

    def get(self, key: Call) -> list[Entry]:
        """Return the recorded entries of a call, in the order of the samples; empty if there are none.

        The lines of its run are read, and kept until ``release``.
        """
        return self._load(key.run).entries.get(key, [])

    def of_run(self, run: str, *, prompts: bool = True) -> list[Entry]:
        """Return the entries of a run that are on disk, with prompts or without, in the order of asking."""
        entries: dict[Call, list[Entry]] = {}
        for entry, _ in self._read(run, prompts=prompts):
            entries.setdefault(entry.key, []).append(entry)
        return [entry for of_call in entries.values() for entry in of_call]

    def entries(self, *, prompts: bool = True) -> Iterator[Entry]:
        """Yield all entries, run after run, see ``of_run``."""
        for run in self._index.places:
            yield from self.of_run(run, prompts=prompts)

    def runs(self) -> set[str]:
        """Return the ids of the runs that have entries."""
        return set(self._index.places)

    def release(self, run: str) -> None:
        """Let go of the entries of a run that has ended."""
        self._loaded.pop(run, None)

    def __len__(self) -> int:
        """Return the number of completions."""
        return self._index.entries

    def _load(self, run: str) -> _Loaded:
        loaded = self._loaded.get(run)
        if loaded is None:
            loaded = self._loaded[run] = _Loaded()
            for entry, prompt in self._read(run, prompts=False):
                loaded.entries.setdefault(entry.key, []).append(entry)
                loaded.last_prompt = prompt
        return loaded

    def _read(self, run: str, *, prompts: bool) -> Iterator[tuple[Entry, str]]:
        """Yield the entries of a run in the order of their lines, each with the text of the last prompt."""
        last = ""
        for line in self._source.lines(self._index.places.get(run, ())) if self._source else ():
            try:
                said = decode(line)
                if "prompt" in said:
                    shared, rest = said["prompt"]
                    last = last[:shared] + rest
                messages = load_json(last) if prompts and "prompt" in said else None
                prompt = None if messages is None else tuple(Message(*message) for message in messages)
                yield _entry(said, prompt), last
            except (ValueError, KeyError, TypeError, AttributeError):
                raise _damaged(self.path, f"in the lines of run {run}") from None

    async def append(
        self,
        key: Call,
        request: str,
        purpose: str,
        messages: tuple[Message, ...],
        completions: Iterable[Completion],
    ) -> None:
        """Add completions of a call and return when they are on disk.

        Concurrent calls share one write and one fsync.

        Raises:
            ResultsError: the completions could not be written (because of a full disk, say).
        """
        loaded = self._load(key.run)
        of_call = loaded.entries.setdefault(key, [])
        lines = []
        for completion in completions:
            line = {
                "run": key.run,
                "call": key.call,
                "attempt": key.attempt,
                "sample": len(of_call),
                "request": request,
                "purpose": purpose,
                "text": completion.text,
                "finish": completion.finish_reason,
                "tokens_in": completion.tokens_in,
                "tokens_out": completion.tokens_out,
                "latency": completion.latency,
            }
            if completion.thinking or completion.tokens_thinking:
                line |= {"thinking": completion.thinking, "tokens_thinking": completion.tokens_thinking}
            if completion.served is not None:
                stated = asdict(completion.served)
                line["served"] = {name: value for name, value in stated.items() if value}
            if not of_call:
                text = json.dumps(messages, ensure_ascii=False)
                shared = _shared_length(text, loaded.last_prompt)
                line["prompt"] = [shared, text[shared:]]
                loaded.last_prompt = text
            of_call.append(_entry(line, None))
            lines.append(encode(line))
            self._index.add(key.run, self._index.end, len(lines[-1]))
            self._index.end += len(lines[-1])
        done = asyncio.get_running_loop().create_future()
        self._queue.append((b"".join(lines), done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        await done

    async def drain(self) -> None:
        """Return when everything that was appended is on disk, or could not be written."""
        if self._flusher is not None:
            await asyncio.wait([self._flusher])

    async def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            failure: Exception | None = None
            try:
                await asyncio.to_thread(self._write, b"".join(data for data, _ in batch))
            except OSError as error:
                failure = self._unwritable(error)
            for _, done in batch:
                if done.cancelled():
                    continue
                if failure:
                    done.set_exception(failure)
                else:
                    done.set_result(None)
        self._flusher = None

    def _unwritable(self, error: OSError) -> ResultsError:
        return ResultsError(
            f"{self.path} cannot be written: {error.strerror}.", "Free some space and repeat the command."
        )

    def _write(self, data: bytes) -> None:
        assert self._file is not None, "a journal opened for reading only"
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; everything that was appended is already on disk."""
        if self._file is not None:
            # After a failed write, closing tries once more to write the entries that were not confirmed to be
            # on disk.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _served(stated: dict[str, Any]) -> Served:
    known = {field.name for field in fields(Served)}
    return Served(**{name: value for name, value in stated.items() if name in known})


def newer_journal(path: Path) -> ResultsError:
    """Return the error that a journal is of a newer version."""
    return ResultsError(f"{path} was written by a newer surrobench.", "Upgrade surrobench.")


def _damaged(path: Path, where: str) -> ResultsError:
    """Return the error that a journal is damaged somewhere."""
    return ResultsError(
        f"{path} is damaged {where}.",
        "If it is no journal, name another file. Restore it from a copy, or drop the runs that are damaged: "
        f"surrobench journal repair {path.parent}",
    )


def _entry(line: dict[str, Any], prompt: tuple[Message, ...] | None) -> Entry:
    """Return what a line says of a completion."""
    completion = Completion(
        line["text"],
        line["finish"],
        line["tokens_in"],
        line["tokens_out"],
        line["latency"],
        line.get("thinking", ""),
        line.get("tokens_thinking", 0),
        served=_served(line["served"]) if "served" in line else None,
    )
    key = Call(line["run"], line["call"], line["attempt"])
    return Entry(key, line["sample"], line["request"], line["purpose"], completion, prompt)


def _shared_length(a: str, b: str) -> int:
    """Return how many characters two texts have in common at their beginnings."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _open_for_appending(path: Path, whole: int) -> Any:
    """Open ``path``, and cut it after its whole lines: a killed process may have left half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    if file.tell() > whole:
        file.truncate(whole)
    return file
