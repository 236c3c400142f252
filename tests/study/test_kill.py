"""Real processes, really killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from surrobench.execution.process_pool import InlineExecutor
from surrobench.results.folder import Results
from tests.llm.faulty_server import FaultyServer, hang
from tests.studies import AGENT, MLP, NAS, Done, answer, asked, files, journalled, run, suite_text, surrobench

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")

LIMIT = 60.0
"""Seconds until something that is waited for counts as not happening."""
MAIN = (
    # A shell that starts tests in the background lets them ignore Ctrl-C, and this is inherited.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from surrobench.cli import main;"
    "main()"
)


SLOW_DISK = (
    "import os, time; sync = os.fsync;os.fsync = lambda descriptor: (time.sleep(0.3), sync(descriptor));"
)


@contextlib.contextmanager
def study(folder: Path, *arguments: str, before: str = ""):
    """``surrobench run tiny.toml`` in a process of its own; killed at the end, whatever happens.

    It has a group of its own, as in a terminal, where Ctrl-C is sent to the whole group.
    """
    command = [sys.executable, "-c", before + MAIN, "run", "tiny.toml", "--out", "r", *arguments]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def go_on(folder: Path) -> Done:
    """The same command once more, to its end; in this process, which takes a tenth of the time."""
    return surrobench("run", folder / "tiny.toml", "--out", folder / "r", "--jobs", 1)


@pytest.fixture(autouse=True)
def no_worker_of_ours(monkeypatch):
    monkeypatch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())


def wait_for(condition, what: str):
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT} s"
        time.sleep(0.01)
    return found


def descendants(pid: int) -> dict[int, str]:
    """Process ids and command lines of all children of a process, and theirs."""
    parents, commands = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                commands[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    found, front = {}, [pid]
    while front:
        front = [child for child, parent in parents.items() if parent in front]
        found |= {child: commands.get(child, "") for child in front}
    return found


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie that nobody has collected."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def gone(pids) -> bool:
    return not any(map(alive, pids))


@pytest.fixture
def server():
    """Answers the same request in the same way, after a while."""
    with FaultyServer(lambda body: answer(body, delay=0.03)) as running:
        yield running


def write_suite(folder: Path, server: FaultyServer) -> str:
    # One request at a time: plenty of time to be killed in.
    text = suite_text(
        MLP,
        NAS,
        methods=["random", "tpe"],
        models={"m": server.url},
        trials=8,
        seeds=2,
        model="concurrency = 1",
    )
    (folder / "tiny.toml").write_text(text)
    return text


CALLS = 2 * 2 * 7


def test_after_kill_9_no_journalled_call_is_repeated_and_the_end_is_the_same(tmp_path, server):
    text = write_suite(tmp_path, server)
    journal = tmp_path / "r" / "journal.jsonl"
    on_disk: set = set()
    for session in range(2):
        before = len(server.bodies)
        with study(tmp_path, "--jobs", "2") as process:
            wait_for(lambda: len(server.bodies) >= before + 7, "calls")  # noqa: B023 - used at once
            workers = {
                pid: line for pid, line in descendants(process.pid).items() if "execution/worker" in line
            }
            process.kill()
            process.wait(LIMIT)
        if session == 0:
            assert workers, "a study with --jobs 2 has workers"
        wait_for(lambda: gone(workers), f"the end of the workers {workers}")  # noqa: B023
        anew = list(map(asked, server.bodies[before:]))
        assert not on_disk & set(anew)
        on_disk_now = journalled(journal)
        assert len(on_disk_now) >= len(on_disk) + 5  # all but the one in flight, and what was on its way
        assert on_disk < on_disk_now < on_disk | set(anew) | {("", 0)}
        on_disk = on_disk_now
        assert len(on_disk) < CALLS, "killed too late"

    before = len(server.bodies)
    done = go_on(tmp_path)
    assert done.status == 0, done.err
    assert "12 runs: " in done.err
    anew = list(map(asked, server.bodies[before:]))
    assert not on_disk & set(anew)
    assert len(on_disk) + len(anew) == len(on_disk | set(anew)) == CALLS
    run(text, tmp_path / "replay", replay=journal)
    assert files(tmp_path / "replay") == files(tmp_path / "r")
    sources = Results(tmp_path / "r").trials(["optimizer", "source"]).collect()
    assert set(sources.filter(pl.col("optimizer") == AGENT)["source"]) == {"initial", "llm"}


def test_ctrl_c_is_one_line_and_status_130_and_the_same_command_goes_on(tmp_path, server):
    write_suite(tmp_path, server)
    with study(tmp_path, "--jobs", "2") as process:
        wait_for(lambda: len(server.bodies) >= 5, "calls")
        children = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert out == ""
    # The terminal has echoed ^C, so the line begins on a new one.
    error = "\nError: Interrupted. What is finished is stored; the same command goes on from there.\n"
    assert err.endswith(error)
    assert " ".join(err.removesuffix(error).split()) in ("", waiting(1))
    wait_for(lambda: gone(children), "the end of the children")
    [session] = json.loads((tmp_path / "r" / "manifest.json").read_text())["sessions"]
    assert session["jobs"] == 2

    on_disk, before = journalled(tmp_path / "r" / "journal.jsonl"), len(server.bodies)
    assert 4 <= len(on_disk) < CALLS
    assert go_on(tmp_path).status == 0
    anew = list(map(asked, server.bodies[before:]))
    assert not on_disk & set(anew)
    assert len(on_disk) + len(anew) == CALLS
    assert {record.state for record in Results(tmp_path / "r").records().values()} == {"ok"}


def waiting(replies: int) -> str:
    what = "1 reply" if replies == 1 else f"{replies} replies"
    return f"Interrupted: waiting at most 10 s for {what} on the way. Ctrl-C again ends at once."


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_loses_no_reply_that_has_arrived_or_is_on_its_way(tmp_path, jobs):
    with FaultyServer(lambda body: answer(body, delay=0.5)) as server:
        methods = ["random"] if jobs == "1" else ["random", "smac"]
        text = suite_text(MLP, NAS, methods=methods, models={"m": server.url}, trials=8, seeds=20)
        (tmp_path / "tiny.toml").write_text(text)
        with study(tmp_path, "--jobs", jobs, before=SLOW_DISK) as process:
            wait_for(lambda: len(server.bodies) >= 60, "calls")
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 130
        assert "Traceback" not in err
        # What was asked when the study was told to stop is answered, and on disk; no new request was sent.
        assert journalled(tmp_path / "r" / "journal.jsonl") == set(map(asked, server.bodies))


def test_a_second_ctrl_c_waits_for_nothing(tmp_path):
    with FaultyServer([hang()]) as server:
        write_suite(tmp_path, server)
        with study(tmp_path, "--jobs", "1") as process:
            wait_for(lambda: server.bodies, "a call")
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(1)
            assert process.poll() is None
            start = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=LIMIT)
        assert time.monotonic() - start < 8
        assert process.returncode == 130
        assert "Traceback" not in err
        assert waiting(1) in " ".join(err.split())


def test_a_second_process_does_not_write_into_a_folder_in_use(tmp_path, server):
    write_suite(tmp_path, server)
    with study(tmp_path, "--jobs", "1") as first:
        wait_for(lambda: server.bodies, "a call")
        second = go_on(tmp_path)
        assert first.poll() is None
    assert second.status == 1
    assert "r is being written by another process. Wait for it, or name another with --out." in second.error


@pytest.mark.embedded
def test_the_embedded_model_ends_with_a_killed_study(tmp_path):
    text = suite_text(models={"m": "-"}, trials=3, seeds=1)
    text = text[: text.index("[models.m]")] + '[models.m]\nserve = "embedded"\nslots = 1\ncontext = 2048\n'
    (tmp_path / "tiny.toml").write_text(text)
    log = tmp_path / "r" / "server-m.log"
    with study(tmp_path, "--jobs", "1") as process:
        wait_for(lambda: log.exists() and b"processing task" in log.read_bytes(), "a request")
        children = {
            pid: line for pid, line in descendants(process.pid).items() if "llama_cpp_process.py" in line
        }
        os.kill(process.pid, signal.SIGKILL)
        process.wait(LIMIT)
    assert len(children) == 2, "a supervisor and the server"
    wait_for(lambda: gone(children), "the end of the embedded model")
