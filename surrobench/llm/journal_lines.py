"""Write and read the lines of a journal: a checksum at the end of each, and where the lines of each run are.

A line ends with the CRC of all that stands before it. Lines of older versions have none; those are parsed to
find out whether they are whole. A journal of many gigabytes is read block by block: what is kept are the
places of the lines, 16 bytes each, and no line.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import sys
import tempfile
import weakref
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from surrobench.errors import ResultsError
from surrobench.plain_files import plain
from surrobench.untrusted import load_json

_BLOCK = 1 << 22
_MARK = b',"crc":"'
_TAIL = len(_MARK) + 8 + len(b'"}')
_RUN = b'{"run":"'
_NEEDED = ("call", "attempt", "sample", "request", "purpose", "text", "finish", "tokens_in", "tokens_out")
"""What every completion states, beside its run and its latency."""


def encode(line: dict[str, Any]) -> bytes:
    """Return a line with its checksum and its end."""
    # A model can produce lone surrogates through \ud800 escapes. They have no UTF-8 form.
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))[:-1].encode(errors="replace")
    return text + b'%s%08x"}\n' % (_MARK, zlib.crc32(text))


def decode(line: bytes) -> dict[str, Any]:
    """Return what a line says.

    Raises:
        ValueError: the line is damaged.
    """
    if not _has_checksum(line) or _is_whole(line):
        said = load_json(line)
        if isinstance(said, dict) and ("versions" in said or "run" in said):
            return said
    raise ValueError("damaged")


def _has_checksum(line: bytes) -> bool:
    return line[-_TAIL:].startswith(_MARK)


def _is_whole(line: bytes) -> bool:
    return line[-10:] == b'%08x"}' % zlib.crc32(line[:-_TAIL])


class DamagedLine(NamedTuple):
    """A line whose checksum does not hold, or that says nothing.

    Attributes:
        number: of the line, from 1.
        offset: where it begins.
        data: its bytes, without its end.
    """

    number: int
    offset: int
    data: bytes


@dataclass
class Index:
    """What a journal holds, without its lines.

    Attributes:
        places: run -> offset and length of each of its lines, one after the other.
        lines: how many lines there are.
        end: the size up to the last whole line.
        versions: the versions that the last line of that kind states.
        schema_version: the largest that is stated.
        damaged: the lines that are damaged.
    """

    places: dict[str, array[int]] = field(default_factory=dict)
    lines: int = 0
    end: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    schema_version: int = 1
    damaged: list[DamagedLine] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """The number of completions."""
        return sum(map(len, self.places.values())) // 2

    def add(self, run: str, offset: int, length: int) -> array[int]:
        """Note where a further line of a run is; returns the places of that run."""
        places = self.places.setdefault(run, array("Q"))
        places.extend((offset, length))
        return places


def index_of(blocks: Iterable[bytes]) -> Index:
    """Return the index of a journal, read from its bytes in order.

    A half-written line at the end, which a killed process left, does not count.
    """
    index = Index()
    known: dict[bytes, array[int]] = {}
    rest = b""
    for block in blocks:
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        for line in lines:
            index.lines += 1
            length = len(line) + 1
            run = line[len(_RUN) : line.find(b'"', len(_RUN))]
            places = known.get(run)
            if places is not None and line.startswith(_RUN) and _has_checksum(line) and _is_whole(line):
                places.extend((index.end, length))
            else:
                _add_line(index, line, length, known)
            index.end += length
    return index


def _add_line(index: Index, line: bytes, length: int, known: dict[bytes, array[int]]) -> None:
    """Add a line whose run is new, or that is of another kind or of an older version."""
    try:
        said = decode(line)
        if "versions" in said:
            index.versions = said["versions"]
            index.schema_version = max(index.schema_version, said.get("schema_version", 1))
            return
        run = said["run"]
        if not isinstance(run, str) or not all(name in said for name in _NEEDED):
            raise ValueError
    except (ValueError, TypeError):
        index.damaged.append(DamagedLine(index.lines, index.end, line))
        return
    places = index.add(run, index.end, length)
    if "\\" not in run:
        known[run.encode(errors="replace")] = places


class JournalFile:
    """A journal on disk, for reading; a compressed one is unpacked into a file without a name.

    Raises:
        ResultsError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unpacked: int | None = None
        if path.suffix == ".gz":
            with self._errors(), tempfile.TemporaryFile() as file, gzip.open(plain(path), "rb") as packed:
                shutil.copyfileobj(packed, file, _BLOCK)
                file.flush()
                self._unpacked = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._unpacked)

    def blocks(self, size: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of the file in order; of its first ``size`` bytes, if given."""
        left = sys.maxsize if size is None else size
        with self._errors(), self._open() as file:
            while left and (block := file.read(min(_BLOCK, left))):
                left -= len(block)
                yield block

    def lines(self, places: Sequence[int]) -> Iterator[bytes]:
        """Yield some lines, without their ends; see ``Index.places``."""
        with self._errors(), self._open() as file:
            for offset, length in zip(places[::2], places[1::2], strict=True):
                file.seek(offset)
                yield file.read(length)[:-1]

    def without(self, offsets: set[int], end: int) -> Iterator[bytes]:
        """Yield the lines up to ``end`` with their ends, except those that begin at some offsets."""
        offset, rest = 0, b""
        for block in self.blocks(end):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            for line in lines:
                if offset not in offsets:
                    yield line + b"\n"
                offset += len(line) + 1

    def _open(self) -> IO[bytes]:
        if self._unpacked is None:
            return plain(self.path).open("rb")
        file = os.fdopen(os.dup(self._unpacked), "rb")
        file.seek(0)
        return file

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, zlib.error) as error:
            raise ResultsError(f"{self.path} cannot be read: {error}.") from error
