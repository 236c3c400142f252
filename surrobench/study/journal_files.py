"""Recordings: the journal of a study opened to go on with it, to replay it, or to repair it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from surrobench.errors import ResultsError, UsageError
from surrobench.llm.journal import SCHEMA_VERSION, Journal, newer_journal
from surrobench.llm.journal_lines import Index, JournalFile, decode, index_of
from surrobench.results.files import disk_errors, locked, sync_folder, write_file
from surrobench.results.folder import Results

PACKED = "journal.jsonl.gz"


def open_journal(
    path: Path,
    versions: dict[str, str],
    *,
    pending: set[str],
    unfinished: set[str],
    discard_unfinished: bool,
) -> Journal:
    """The journal of a study, to be appended to.

    Args:
        path: the file, which need not exist.
        versions: of the libraries that shape requests, now.
        pending: ids of the runs that are to be finished now.
        unfinished: their ids, and those of all other runs of the suite that are not finished.
        discard_unfinished: drop what is there of pending runs, and of all unfinished ones that were begun
            under other versions.

    Raises:
        ResultsError: there are runs begun under other versions, and they are not to be dropped; or the file
            is damaged.
    """
    if path.suffix == ".gz":
        path = _unpacked(path)
    journal = Journal(path)
    stale = journal.runs() & unfinished if journal.versions != versions else set()
    if stale and not discard_unfinished:
        raise _other_versions(len(stale), journal.versions, versions)
    if discard_unfinished and (dropped := stale | journal.runs() & pending):
        _drop(path, index_of(JournalFile(path).blocks()), dropped)
        journal = Journal(path)
    journal.begin(versions)
    return journal


def recorded_journal(replay: Path) -> Path | None:
    """The journal of a recording, a results folder or the journal itself; None where there is none."""
    candidates = [replay / "journal.jsonl", replay / PACKED] if replay.is_dir() else [replay]
    return next((file for file in candidates if file.is_file()), None)


def open_replay(replay: Path, folder: Path) -> Journal:
    """The journal of a recording, read only; a copy of it is kept in ``folder``, with the replay's results.

    Raises:
        UsageError: there is no recording.
        ResultsError: ``folder`` holds completions of its own, which nobody could get back.
    """
    source = recorded_journal(replay)
    if source is None:
        raise UsageError(f"No recording at {replay}.", "Name a results folder or its journal.jsonl.")
    journal = Journal(source)
    plain, packed = folder / "journal.jsonl", folder / PACKED
    own = next((file for file in (plain, packed) if file.exists()), None)
    if own is not None and not _begins_with(source, own):
        raise ResultsError(
            f"{own} holds completions that {source} does not.", "Name another folder with --out."
        )
    with disk_errors(folder):
        _unpack(source, plain)
        packed.unlink(missing_ok=True)
    return journal


def _begins_with(whole: Path, part: Path) -> bool:
    """Return whether a journal begins with the lines of another one."""
    own = JournalFile(part)
    end = index_of(own.blocks()).end
    pairs = zip_longest(JournalFile(whole).blocks(end), own.blocks(end), fillvalue=b"")
    return all(theirs == mine for theirs, mine in pairs)


def _other_versions(n: int, before: Mapping[str, str], now: Mapping[str, str]) -> ResultsError:
    changed = [f"{name} {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]]
    return ResultsError(
        f"{n} half-finished runs were begun under other versions ({', '.join(changed)}).",
        "Install those again, or start these runs anew with --discard-unfinished.",
    )


def _unpacked(compressed: Path) -> Path:
    """The journal of a recording as one that can be appended to, in its place."""
    path = compressed.with_suffix("")
    with disk_errors(path.parent):
        _unpack(compressed, path)
        compressed.unlink()
    return path


def _unpack(source: Path, path: Path) -> None:
    """Copy the whole lines of a journal, compressed or not, unless they are there."""
    file = JournalFile(source)
    end = index_of(file.blocks()).end
    if not path.exists() or path.stat().st_size != end:
        write_file(path, file.blocks(end))


def _drop(path: Path, index: Index, runs: set[str]) -> Path:
    """Rewrite a journal without some runs and without damaged lines; returns where the old one is kept."""
    gone = {offset for run in runs for offset in index.places.get(run, ())[::2]}
    gone |= {line.offset for line in index.damaged}
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    copy = path.with_name(f"journal.{time.time_ns() // 10**6}{path.suffix.removeprefix('.jsonl')}.bak")
    with disk_errors(path.parent):
        if plain == path:
            _keep(path, copy)
        write_file(plain, JournalFile(path).without(gone, index.end))
        if plain != path:
            path.replace(copy)
    return copy


def _keep(path: Path, copy: Path) -> None:
    """Give a file a second name, or a copy where the disk has no hard links."""
    try:
        copy.hardlink_to(path)
    except (OSError, NotImplementedError):
        with path.open("rb") as file:
            write_file(copy, iter(lambda: file.read(1 << 20), b""))
    sync_folder(path.parent)


# ---------------------------------------------------------------------- damage


class Repaired(NamedTuple):
    """What ``repair`` did.

    Attributes:
        path: the journal.
        entries: how many completions it holds now.
        runs: of how many runs.
        damaged: the numbers of the lines that were damaged.
        dropped: id of each run that lost its completions -> how many whole ones it had.
        copy: where the damaged journal is kept; None where nothing was to be repaired.
    """

    path: Path
    entries: int
    runs: int
    damaged: list[int]
    dropped: dict[str, int]
    copy: Path | None


def repair(results: Results) -> Repaired:
    """Drop the damaged lines of a journal, with all other lines of the runs that these were of.

    A run that lacks a line cannot be resumed: its later requests follow from the answer that is gone. Where a
    damaged line does not say which run it is of, all runs lose their entries whose calls have gaps.

    Raises:
        ResultsError: there is no journal, it cannot be read at all, or another process is writing it.
    """
    path = results.journal_path
    if not path.exists():
        raise ResultsError(f"{results.folder} has no journal.", "Only a study with a model has one.")
    with locked(results.folder):
        file = JournalFile(path)
        index = index_of(file.blocks())
        if index.schema_version > SCHEMA_VERSION:
            raise newer_journal(path)
        if not index.damaged:
            return Repaired(path, index.entries, len(index.places), [], {}, None)
        dropped = _runs_of(index, file, results)
        copy = _drop(path, index, dropped)
    sizes = {run: len(index.places.get(run, ())) // 2 for run in sorted(dropped)}
    return Repaired(
        path,
        index.entries - sum(sizes.values()),
        len(index.places.keys() - dropped),
        [line.number for line in index.damaged],
        sizes,
        copy,
    )


def _runs_of(index: Index, file: JournalFile, results: Results) -> set[str]:
    """Return the runs that damaged lines are of."""
    known = index.places.keys() | set(results.plan()["run"]) | results.endings().keys()
    of_lines = [{run for run in known if run.encode() in line.data} for line in index.damaged]
    found = set().union(*of_lines)
    if all(runs or b'"versions"' in line.data for runs, line in zip(of_lines, index.damaged, strict=True)):
        return found
    return found | {run for run, places in index.places.items() if _has_gaps(file.lines(places))}


def _has_gaps(lines: Iterable[bytes]) -> bool:
    """Return whether a call, an attempt or a sample is missing among the lines of a run."""
    there = {(said["call"], said["attempt"], said["sample"]) for said in map(decode, lines)}
    before = {
        (call, attempt, sample - 1) if sample else (call, attempt - 1, 0) if attempt else (call - 1, 0, 0)
        for call, attempt, sample in there
    }
    return any(call >= 0 for call, _, _ in before - there)
