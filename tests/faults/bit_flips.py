"""Flip single bits in the files of a results folder: ``python -m tests.faults.bit_flips [N]``.

Every flip is noticed by ``status``, ``rank`` or a replay, with one line, or is harmless: the ranking and the
trials of the replay are the same.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.llm.faulty_server import FaultyServer
from tests.studies import MLP, NAS, Done, answer, files, run, suite_text, surrobench

FLIPS = 200


@dataclass
class Count:
    """What a campaign found.

    Attributes:
        noticed: name of a file -> flips that were noticed.
        harmless: name of a file -> flips that change nothing.
        silent: the flips that changed a ranking or a replay without a word.
        broken: the flips that ended in something else than one line.
    """

    noticed: Counter[str] = field(default_factory=Counter)
    harmless: Counter[str] = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all flips were noticed or harmless."""
        return not (self.silent or self.broken)

    def __str__(self) -> str:
        """Return the figures on one line."""
        flips = self.noticed.total() + self.harmless.total() + len(self.silent) + len(self.broken)
        kinds = ", ".join(
            f"{name} {self.noticed[name]} + {self.harmless[name]}"
            for name in sorted(self.noticed | self.harmless)
        )
        return (
            f"{flips} flips: {self.noticed.total()} noticed, {self.harmless.total()} harmless, "
            f"{len(self.silent)} silent, {len(self.broken)} broken ({kinds})"
        )


@contextmanager
def study() -> Iterator[tuple[Path, str]]:
    """A finished study with a model, and its suite; half of its journal's lines are one run's."""
    with tempfile.TemporaryDirectory() as name, FaultyServer(answer) as server:
        text = suite_text(
            MLP, NAS, methods=["random", "tpe", "sobol"], models={"m": server.url}, trials=8, seeds=3
        )
        run(text, Path(name) / "r", jobs=1)
        (Path(name) / "tiny.toml").write_text(text)
        yield Path(name), text


def campaign(flips: int, seed: int = 0) -> Count:
    """Flip so many bits, each in a copy of its own; a file's size decides how often it is met."""
    count, draw = Count(), random.Random(seed)
    with study() as (folder, _):
        expected = surrobench("rank", folder / "r", "--format", "json").out
        bytes_expected = files(folder / "r")
        paths = sorted(path for path in (folder / "r").rglob("*") if path.is_file() and path.stat().st_size)
        for number in range(flips):
            # Each file in turn: the small ones matter as much.
            path = paths[number % len(paths)].relative_to(folder / "r")
            shutil.copytree(folder / "r", folder / "flipped")
            where = _flip(folder / "flipped" / path, draw)
            _judge(folder, path.name, f"{path}, {where}", expected, bytes_expected, count)
            shutil.rmtree(folder / "flipped")
            shutil.rmtree(folder / "replay", ignore_errors=True)
    return count


def _flip(path: Path, draw: random.Random) -> str:
    data = bytearray(path.read_bytes())
    place, bit = draw.randrange(len(data)), draw.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"byte {place}, bit {bit}"


def _judge(
    folder: Path, name: str, where: str, expected: str, replayed: dict[str, bytes], count: Count
) -> None:
    done = [
        surrobench("status", folder / "flipped"),
        surrobench("rank", folder / "flipped", "--format", "json"),
        surrobench("run", folder / "tiny.toml", "--replay", folder / "flipped", "--out", folder / "replay"),
    ]
    refused = [one for one in done if one.status]
    if any(_is_broken(one) for one in done):
        count.broken.append(where)
    elif refused:
        count.noticed[name] += 1
    elif done[1].out == expected and files(folder / "replay") == replayed:
        count.harmless[name] += 1
    else:
        count.silent.append(where)


def _is_broken(done: Done) -> bool:
    return done.status not in (0, 1, 2) or "Traceback" in done.err + done.out


if __name__ == "__main__":
    result = campaign(int(sys.argv[1]) if len(sys.argv) > 1 else FLIPS)
    print(f"bit flips: {result}")
    for problem in (*result.silent, *result.broken):
        print(f"  {problem}")
    sys.exit(0 if result.ok else 1)
