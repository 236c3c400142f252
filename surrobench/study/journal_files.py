"""Recordings: the journal of a study opened to go on with it, or to replay it."""

from __future__ import annotations

import gzip
import time
from collections.abc import Mapping
from pathlib import Path

from surrobench.errors import ResultsError, UsageError
from surrobench.llm.journal import Journal
from surrobench.results.files import disk_errors
from surrobench.untrusted import load_json


def open_journal(
    path: Path, pending: set[str], versions: dict[str, str], *, discard_unfinished: bool
) -> Journal:
    """The journal of a study, to be appended to.

    Args:
        path: the file, which need not exist.
        pending: ids of the runs that are not finished.
        versions: of the libraries that shape requests, now.
        discard_unfinished: drop half-finished runs that were begun under other versions.

    Raises:
        ResultsError: there are such runs, and they are not to be dropped; or the file is damaged.
    """
    if path.suffix == ".gz":
        path = _unpacked(path)
    before = Journal(path)
    unfinished = before.runs() & pending
    if unfinished and before.versions != versions:
        if not discard_unfinished:
            raise _other_versions(len(unfinished), before.versions, versions)
        _drop(path, unfinished)
    return Journal(path, versions=versions)


def recorded_journal(replay: Path) -> Path | None:
    """The journal of a recording, a results folder or the journal itself; None where there is none."""
    candidates = [replay / "journal.jsonl", replay / "journal.jsonl.gz"] if replay.is_dir() else [replay]
    return next((file for file in candidates if file.is_file()), None)


def open_replay(replay: Path, path: Path) -> Journal:
    """The journal of a recording, read only; a copy of it is kept at ``path`` with the replay's results.

    Raises:
        UsageError: there is no recording.
        ResultsError: ``path`` holds completions of its own, which nobody could get back.
    """
    source = recorded_journal(replay)
    if source is None:
        raise UsageError(f"No recording at {replay}.", "Name a results folder or its journal.jsonl.")
    journal = Journal(source)
    lines = _whole_lines(source)
    if path.exists() and (own := _whole_lines(path)) != lines[: len(own)]:
        raise ResultsError(
            f"{path} holds completions that {source} does not.", "Name another folder with --out."
        )
    with disk_errors(path.parent):
        path.write_bytes(b"".join(lines))
    return journal


def _other_versions(n: int, before: Mapping[str, str], now: Mapping[str, str]) -> ResultsError:
    changed = [f"{name} {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]]
    return ResultsError(
        f"{n} half-finished runs were begun under other versions ({', '.join(changed)}).",
        "Install those again, or start these runs anew with --discard-unfinished.",
    )


def _unpacked(compressed: Path) -> Path:
    """The journal of a recording as one that can be appended to, in its place."""
    path = compressed.with_suffix("")
    unfinished = path.with_suffix(".new")
    with disk_errors(path.parent):
        unfinished.write_bytes(b"".join(_whole_lines(compressed)))
        unfinished.replace(path)
        compressed.unlink()
    return path


def _drop(path: Path, runs: set[str]) -> None:
    """Rewrite a journal without the entries of some runs, keeping the old one beside it."""
    kept = [line for line in _whole_lines(path) if load_json(line).get("run") not in runs]
    unfinished = path.with_suffix(".new")
    with disk_errors(path.parent):
        unfinished.write_bytes(b"".join(kept))
        path.replace(path.with_suffix(f".{int(time.time())}.bak"))
        unfinished.replace(path)


def _whole_lines(path: Path) -> list[bytes]:
    """The lines of a journal, without one that a killed process left half-written at its end."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
