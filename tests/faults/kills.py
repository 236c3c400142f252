"""Kill studies with -9 at random moments: ``python -m tests.faults.kills [N]``.

Each study (classical, or with a model whose server answers from a script) is killed again and again, with 1
or 2 jobs, and then finished. Nothing that was journalled is asked again, no process of the study is left five
seconds after a kill, and the results equal those of a replay byte for byte.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.llm.faulty_server import Behaviour, FaultyServer
from tests.studies import FCN, MLP, NAS, Asked, answer, asked, files, journalled, suite_text

KILLS, ORPHAN_SECONDS, LIMIT = 50, 5.0, 300.0
MARK = "SURROBENCH_KILLED"
"""A variable of the environment by which the processes of a study are known."""


@dataclass
class Count:
    """What a campaign found.

    Attributes:
        kills, studies: how many there were.
        journalled: completions on disk at the kills.
        repeated: of these, the ones that were asked again.
        orphans: processes that lived on for too long.
        unequal: studies whose results are not those of their replay.
        slowest: the longest that a process outlived its study, in seconds.
    """

    kills: int = 0
    studies: int = 0
    journalled: int = 0
    repeated: int = 0
    slowest: float = 0.0
    orphans: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, and nothing left behind."""
        return not (self.repeated or self.orphans or self.unequal)

    def __str__(self) -> str:
        """Return the figures on one line."""
        return (
            f"{self.kills} kills in {self.studies} studies; {self.journalled} journalled completions, "
            f"{self.repeated} asked again; {len(self.unequal)} replays that differ; {len(self.orphans)} "
            f"processes alive after {ORPHAN_SECONDS:.0f} s (the last ended after {self.slowest:.1f} s)"
        )


def campaign(kills: int, seed: int = 0) -> Count:
    """Kill studies until there were so many kills."""
    count, draw = Count(), random.Random(seed)
    kinds = [(live, jobs) for live in (True, False) for jobs in (2, 1)]
    while count.kills < kills:
        live, jobs = kinds[count.studies % len(kinds)]
        with tempfile.TemporaryDirectory() as folder, FaultyServer(_answer) as server:
            _one_study(Path(folder), server, live, jobs, min(7, kills - count.kills), draw, count)
        count.studies += 1
    return count


def _answer(body: dict[str, Any]) -> Behaviour:
    return answer(body, delay=0.02)


def _one_study(
    folder: Path, server: FaultyServer, live: bool, jobs: int, kills: int, draw: random.Random, count: Count
) -> None:
    methods = ["random", "tpe", "smac"]
    text = suite_text(
        *(MLP, NAS, FCN) if not live else (MLP, NAS),
        methods=methods,
        models={"m": server.url} if live else None,
        trials=16,
        seeds=3,
        model="concurrency = 4",
    )
    (folder / "tiny.toml").write_text(text)
    journal = folder / "r" / "journal.jsonl"
    on_disk: set[Asked] = set()
    for _ in range(kills):
        before = len(server.bodies)
        with _study(folder, "--out", "r", "--jobs", str(jobs)) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(draw.uniform(0.3, 12.0))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            _wait_for_the_end(str(folder), count)
        count.kills += 1
        count.repeated += len(on_disk & set(map(asked, server.bodies[before:])))
        on_disk = journalled(journal) if live and journal.exists() else set()
        count.journalled += len(on_disk)
    before = len(server.bodies)
    _finish(folder, "--out", "r", "--jobs", str(jobs))
    count.repeated += len(on_disk & set(map(asked, server.bodies[before:])))
    _finish(folder, "--out", "again", "--jobs", "1", "--replay", "r")
    if not files(folder / "r") or files(folder / "r") != files(folder / "again"):
        count.unequal.append(f"{'live' if live else 'classical'}, {jobs} jobs")


@contextlib.contextmanager
def _study(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """``surrobench run`` in a process of its own, whose children can be told by their environment."""
    command = [sys.executable, "-m", "surrobench", "-q", "run", "tiny.toml", *arguments]
    environment = {**os.environ, MARK: str(folder)}
    with (
        (folder / "said").open("ab") as said,
        subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, env=environment) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _finish(folder: Path, *arguments: str) -> None:
    with _study(folder, *arguments) as process:
        status = process.wait(LIMIT)
    if status:
        raise RuntimeError((folder / "said").read_text(errors="replace")[-2000:])


def _wait_for_the_end(mark: str, count: Count) -> None:
    """Wait until no process of a study is left; what lives for too long is counted, and ended."""
    start = time.monotonic()
    while left := _marked(mark):
        passed = time.monotonic() - start
        if passed > ORPHAN_SECONDS:
            count.orphans += left.values()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    count.slowest = max(count.slowest, time.monotonic() - start)


def _marked(mark: str) -> dict[int, str]:
    """Return the processes whose environment has the mark: id -> command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"{MARK}={mark}\0".encode() in (entry / "environ").read_bytes() + b"\0":
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


if __name__ == "__main__":
    result = campaign(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
    print(f"kills: {result}")
    for problem in (*result.unequal, *result.orphans):
        print(f"  {problem}")
    sys.exit(0 if result.ok else 1)
