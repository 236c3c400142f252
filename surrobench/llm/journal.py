"""The journal: every completion, on disk before it is delivered.

One JSON object per line, appended and fsynced; never rewritten. An entry is keyed by (run, call, attempt,
sample) and carries the hash of its request, so a resumed or replayed run gets exactly the answers it got
before, and one that asks something else is an error ("diverged at call k") instead of a wrong answer.

The prompt is kept as the number of characters it shares with the run's previous prompt and the rest, since
prompts are mostly append-only. A session under other versions of the libraries that shape requests than the
last one first adds a line with these versions and with the version of the journal's schema. Journals that
state none are of version 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from surrobench.errors import ResultsError
from surrobench.protocol.requests import Completion, Message

SCHEMA_VERSION = 1
"""Counts up when the lines of a journal change; older journals stay readable."""


class Call(NamedTuple):
    """Which request of a run: its ordinal and the re-ask (0 for the first try)."""

    run: str
    call: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One completion as journalled."""

    key: Call
    sample: int
    request: str
    """Hash of the request."""
    purpose: str
    completion: Completion
    prompt: tuple[Message, ...] | None
    """The messages; only with the first sample of a request."""

    @property
    def where(self) -> str:
        """Which completion of its run it is, ``call.attempt.sample``: what trials name as their ``reply``."""
        return f"{self.key.call}.{self.key.attempt}.{self.sample}"


class Journal:
    """All completions of a results folder, in memory by call, and the file they are appended to.

    Raises:
        ResultsError: the file is damaged, other than by a write cut short at its end; or a newer surrobench
            wrote it.
    """

    def __init__(self, path: Path, *, versions: dict[str, str] | None = None) -> None:
        """Read ``path`` if it exists; open it for appending if ``versions`` are given."""
        self.path = path
        self._entries: dict[Call, list[Entry]] = {}
        self._last_prompt: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        """Versions under which the last session wrote; empty for a new journal."""
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        if path.exists():
            for number, line in enumerate(_lines(path), 1):
                try:
                    self._read(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise ResultsError(
                        f"{path} is damaged at line {number}.",
                        "It is no journal, or was edited; restore it from a copy.",
                    ) from None
        self._file = None
        if versions is not None:
            try:
                self._file = _open_for_appending(path)
                if versions != self.versions:
                    self._write(_encode({"versions": versions, "schema_version": SCHEMA_VERSION}))
            except OSError as error:
                self.close()
                raise self._unwritable(error) from error

    def _read(self, line: dict[str, Any]) -> None:
        if line.get("schema_version", SCHEMA_VERSION) > SCHEMA_VERSION:
            raise ResultsError(f"{self.path} was written by a newer surrobench.", "Upgrade surrobench.")
        if "versions" in line:
            self.versions = line["versions"]
            return
        key = Call(line["run"], line["call"], line["attempt"])
        prompt = None
        if "prompt" in line:
            shared, rest = line["prompt"]
            text = self._last_prompt.get(key.run, "")[:shared] + rest
            self._last_prompt[key.run] = text
            prompt = tuple(Message(*message) for message in json.loads(text))
        completion = Completion(
            line["text"],
            line["finish"],
            line["tokens_in"],
            line["tokens_out"],
            line["latency"],
            line.get("thinking", ""),
            line.get("tokens_thinking", 0),
        )
        entry = Entry(key, line["sample"], line["request"], line["purpose"], completion, prompt)
        self._entries.setdefault(key, []).append(entry)

    def get(self, key: Call) -> list[Entry]:
        """Return what is recorded for a call, in the order of the samples; empty if nothing is."""
        return self._entries.get(key, [])

    def of_run(self, run: str) -> list[Entry]:
        """Return all entries of a run in the order in which they were asked."""
        return [entry for key, entries in self._entries.items() if key.run == run for entry in entries]

    def entries(self) -> Iterator[Entry]:
        """Yield all entries, call after call."""
        return chain.from_iterable(self._entries.values())

    def runs(self) -> set[str]:
        """Return the ids of the runs that have entries."""
        return {key.run for key in self._entries}

    def __len__(self) -> int:
        """Return the number of completions."""
        return sum(map(len, self._entries.values()))

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
            ResultsError: they could not be written (a full disk, say).
        """
        first = len(self.get(key))
        lines = []
        for sample, completion in enumerate(completions, first):
            line = {
                "run": key.run,
                "call": key.call,
                "attempt": key.attempt,
                "sample": sample,
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
            if sample == 0:
                text = json.dumps(messages, ensure_ascii=False)
                before = self._last_prompt.get(key.run, "")
                shared = len(os.path.commonprefix([text, before]))  # noqa: RUF071 - of characters
                line["prompt"] = [shared, text[shared:]]
            self._read(line)
            lines.append(_encode(line))
        done = asyncio.get_running_loop().create_future()
        self._queue.append((b"".join(lines), done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        await done

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
        """Close the file; what was appended is already on disk."""
        if self._file is not None:
            # After a failed write, closing tries once more to write what nobody was told is on disk.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _encode(line: dict[str, Any]) -> bytes:
    # Lone surrogates, which a model can produce through \ud800 escapes, have no UTF-8 form.
    return (json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n").encode(errors="replace")


def _open_for_appending(path: Path) -> Any:
    """Open ``path``, without the line that a killed process may have left half-written at its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab+")
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        if whole != size:
            file.truncate(whole)
    return file


def _lines(path: Path) -> list[bytes]:
    """Return the whole lines of a file; what a killed process left half-written at its end is none."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ResultsError(f"{path} cannot be read: {error}.") from error
    return data[: data.rfind(b"\n") + 1].splitlines()
