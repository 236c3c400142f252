"""Notice files that have changed on disk: each states the CRC-32 of its content.

Polars neither writes nor checks the checksums that Parquet has for its pages: a flipped bit in a page is
another number. The CRC of a Parquet file stands in its own metadata, and is taken with zeros in that place.
Files of older versions state none; they are read as they are.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from surrobench.plain_files import plain

NAME = "checksum"
NONE = "00000000"
"""Stands in the place of a checksum until it is known."""
_MARK = f'"{NAME}": "'.encode()
_BLOCK = 1 << 20
_END = 8
"""Bytes at the end of a Parquet file: the length of its footer, and a magic word."""


def hexadecimal(checksum: int) -> str:
    """Return a checksum as it is written."""
    return f"{checksum:08x}"


# ---------------------------------------------------------------------- JSON


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its checksum, which holds however the object is written."""
    bare = {name: of for name, of in value.items() if name != NAME}
    return {**bare, NAME: _checksum_of(bare)}


def unsealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object without its checksum, if it has one.

    Raises:
        ValueError: the checksum does not hold.
    """
    bare = {name: of for name, of in value.items() if name != NAME}
    if NAME in value and value[NAME] != _checksum_of(bare):
        raise ValueError("its checksum does not hold")
    return bare


def _checksum_of(value: Mapping[str, Any]) -> str:
    return hexadecimal(zlib.crc32(json.dumps(value, sort_keys=True).encode()))


# ---------------------------------------------------------------------- Parquet


def seal_parquet(data: bytes) -> bytes:
    """Put the checksum of a Parquet file into its metadata, where ``"checksum": "00000000"`` stands."""
    place = data.rindex(_MARK + NONE.encode()) + len(_MARK)
    return data[:place] + hexadecimal(zlib.crc32(data)).encode() + data[place + len(NONE) :]


def is_whole_parquet(path: Path) -> bool:
    """Return whether the checksum of a Parquet file holds; true where it states none.

    Raises:
        OSError: the file cannot be read.
    """
    with plain(path).open("rb") as file:
        place = _place(file)
        if place is None:
            return True
        file.seek(place)
        stated = file.read(len(NONE))
        checksum = 0
        for block in _blocks(file, place, NONE.encode()):
            checksum = zlib.crc32(block, checksum)
    return stated == hexadecimal(checksum).encode()


def _place(file: IO[bytes]) -> int | None:
    """Return where the checksum of a Parquet file stands; None where its footer has none."""
    size = file.seek(0, 2)
    file.seek(max(size - _END, 0))
    length = int.from_bytes(file.read(_END)[:4], "little")
    start = max(size - _END - length, 0)
    file.seek(start)
    found = file.read().rfind(_MARK)
    return None if found < 0 else start + found + len(_MARK)


def _blocks(file: IO[bytes], place: int, instead: bytes) -> Iterator[bytes]:
    """Yield the content of a file with other bytes in one place."""
    file.seek(0)
    left = place
    while left and (block := file.read(min(left, _BLOCK))):
        left -= len(block)
        yield block
    yield instead
    file.seek(place + len(instead))
    while block := file.read(_BLOCK):
        yield block


# ---------------------------------------------------------------------- other files


def file_checksum(path: Path) -> str:
    """Return the checksum of a file.

    Raises:
        OSError: the file cannot be read.
    """
    checksum = 0
    with plain(path).open("rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return hexadecimal(checksum)
