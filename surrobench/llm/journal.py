"""Keep the journal: every completion is on disk before it is delivered.

The journal has one JSON object per line. Lines are appended and fsynced, and never rewritten. An entry is
keyed by (run, call, attempt, sample) and carries the hash of its request. A resumed or replayed run thus gets
exactly the answers that it got before. A run that asks something else is an error ("diverged at call k")
instead of a wrong answer.

Prompts mostly grow at their end. Therefore a prompt is kept as the number of characters that it shares with
the run's previous prompt, and the rest.

The versions of the libraries that shape requests may differ from those of the last session. A session then
first adds a line with these versions and with the version of the journal's schema. Journals that state no
version are of version 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from surrobench.errors import ResultsError
from surrobench.plain_files import plain
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
    """The messages. They are kept only with the first sample of a request."""

    @property
    def where(self) -> str:
        """Return which completion of its run this is, ``call.attempt.sample``.

        Trials name it as their ``reply``.
        """
        return f"{self.key.call}.{self.key.attempt}.{self.sample}"


class Journal:
    """All completions of a results folder, in memory by call, and the file that they are appended to.

    Raises:
        ResultsError: the file is damaged in another way than by a write cut short at its end, or a newer
            surrobench wrote it.
    """

    def __init__(self, path: Path, *, versions: dict[str, str] | None = None) -> None:
        """Read ``path`` if it exists, and open it for appending if ``versions`` are passed."""
        self.path = path
        self._entries: dict[Call, list[Entry]] = {}
        self._last_prompt: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        """The versions under which the last session wrote; empty for a new journal."""
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        if path.exists():
            for number, line in enumerate(_lines(path), 1):
                try:
                    self._read(load_json(line))
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
            prompt = tuple(Message(*message) for message in load_json(text))
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
        entry = Entry(key, line["sample"], line["request"], line["purpose"], completion, prompt)
        self._entries.setdefault(key, []).append(entry)

    def get(self, key: Call) -> list[Entry]:
        """Return the recorded entries of a call, in the order of the samples; empty if there are none."""
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
            ResultsError: the completions could not be written (because of a full disk, say).
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
            if completion.served is not None:
                stated = asdict(completion.served)
                line["served"] = {name: value for name, value in stated.items() if value}
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


def _encode(line: dict[str, Any]) -> bytes:
    # A model can produce lone surrogates through \ud800 escapes. They have no UTF-8 form.
    return (json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n").encode(errors="replace")


def _open_for_appending(path: Path) -> Any:
    """Open ``path``, and remove the half-written line that a killed process may have left at its end."""
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
    """Return the whole lines of a file, without one that a killed process left half-written at its end."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(plain(path), "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ResultsError(f"{path} cannot be read: {error}.") from error
    return data[: data.rfind(b"\n") + 1].splitlines()
