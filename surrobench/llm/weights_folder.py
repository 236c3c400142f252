"""Know the weights of a model that lie in a folder by their content, not by where the folder is."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

_WHOLE = 1 << 20
"""A file of at most so many bytes is read whole."""
_PIECE, _PIECES = 1 << 16, 64
"""Of a larger file, so many bytes are read at so many places, evenly spread from its beginning to its end."""


def weights_identity(weights: str) -> str:
    """Return what tells weights apart: a hub name as it is, a folder or file by the digits of its content.

    Weights have gigabytes, so that of large files pieces are read, at most 4 MiB each. Two trainings of a
    network differ in almost every number, and so in every piece.
    """
    path = Path(weights).expanduser()
    if not path.exists():
        return weights
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    shown = [file for file in files if not any(p.startswith(".") for p in file.relative_to(path).parts)]
    stamps = tuple((file.stat().st_size, file.stat().st_mtime_ns) for file in shown)
    return _digits(path, tuple(shown), stamps)


@cache
def _digits(path: Path, files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> str:
    """Return the digits of some files; ``stamps`` (sizes and times) say when these are to be read again."""
    digest = hashlib.blake2b(digest_size=8)
    for file, (size, _) in zip(files, stamps, strict=True):
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        digest.update(f"{name}\0{size}\0".encode())
        with file.open("rb") as opened:
            if size <= _WHOLE:
                digest.update(opened.read())
                continue
            for i in range(_PIECES):
                opened.seek((size - _PIECE) * i // (_PIECES - 1), os.SEEK_SET)
                digest.update(opened.read(_PIECE))
    return f"content {digest.hexdigest()}"
