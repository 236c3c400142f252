"""The pool of worker processes: what it calls, what it leaves alone, and how it says that a worker died."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surrobench.execution import worker_start
from surrobench.execution.process_pool import ENVIRONMENT, WorkerDied, process_pool, stop_workers


def children() -> set[int]:
    """Ids of this process's children, zombies included."""
    tasks = Path(f"/proc/{os.getpid()}/task")
    return {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}


class OddError(Exception):
    """Cannot be unpickled: its constructor takes two arguments, and it passes on one."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def environment() -> dict[str, str]:
    return {name: os.environ.get(name, "") for name in ENVIRONMENT}


def hash_of_a_string() -> int:
    return hash("surrobench")


def say(text: str) -> str:
    print(text)  # must not stand among the answers
    os.write(1, b"raw")
    return text.upper()


def fail(kind: str) -> None:
    raise {
        "value": ValueError("no"),
        "odd": OddError("no", "never"),
        "exit": KeyError("k"),
        "leave": SystemExit(0),
        "interrupt": KeyboardInterrupt(),
    }[kind]


def die(how: int) -> None:
    os.kill(os.getpid(), how)
    time.sleep(60)


def test_calls_are_made_in_other_processes_that_do_not_outlive_the_pool():
    before = children()
    with process_pool(3) as pool:
        futures = [pool.submit(divmod, 17, i) for i in range(1, 20)]
        pids = {pool.submit(os.getpid).result() for _ in range(20)}
        assert [future.result() for future in futures] == [divmod(17, i) for i in range(1, 20)]
    assert os.getpid() not in pids
    assert children() == before
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_no_process_is_started_before_there_is_work():
    before = children()
    with process_pool(2):
        assert children() == before


def test_workers_have_an_environment_of_their_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = dict(os.environ)
    with process_pool(2) as pool:
        assert pool.submit(environment).result() == ENVIRONMENT
        # The hash seed is fixed where a process starts; this process has another.
        hashes = {pool.submit(hash_of_a_string).result() for _ in range(8)}
    assert dict(os.environ) == before
    program = "print(hash('surrobench'))"
    alone = subprocess.check_output([sys.executable, "-c", program], env={"PYTHONHASHSEED": "0"})
    assert hashes == {int(alone)}


def test_what_the_called_code_prints_does_not_get_in_the_way(capfd):
    with process_pool(1) as pool:
        assert pool.submit(say, "hello").result() == "HELLO"
    out, err = capfd.readouterr()
    assert out == ""
    assert "hello" in err
    assert "raw" in err


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        ("value", ValueError),
        ("exit", KeyError),
        ("odd", RuntimeError),
        ("leave", RuntimeError),
        ("interrupt", RuntimeError),
    ],
)
def test_an_exception_comes_back_with_its_traceback(kind, raised):
    with process_pool(1) as pool:
        future = pool.submit(fail, kind)
        with pytest.raises(raised) as caught:
            future.result()
        assert "in fail" in caught.value.__notes__[0]
        assert pool.submit(say, "on").result() == "ON"


@pytest.mark.parametrize(
    ("how", "said"), [(signal.SIGKILL, "SIGKILL, as the system"), (signal.SIGTERM, "SIGTERM.")]
)
def test_a_dead_worker_ends_all_work_with_how_it_died(how, said):
    with process_pool(1) as pool:
        futures = [pool.submit(die, how), pool.submit(abs, -1)]
        for future in futures:
            with pytest.raises(WorkerDied, match=f"A worker process was killed by {said}"):
                future.result()


def test_stopping_ends_own_workers_and_nobody_elses():
    theirs = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    theirs.start()
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        pool = process_pool(2)
        pids = [pool.submit(os.getpid).result() for _ in range(2)]
        futures = [pool.submit(time.sleep, 60) for _ in range(4)]
        while not futures[0].running():
            time.sleep(0.01)
        start = time.monotonic()
        stop_workers(pool)
        pool.shutdown(cancel_futures=True)
        assert time.monotonic() - start < 10
        assert all(future.done() for future in futures)
        with pytest.raises(WorkerDied):
            futures[0].result()
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        assert theirs.is_alive()
        assert other.poll() is None
    finally:
        for process in (theirs, other):
            process.kill()
        theirs.join()
        other.wait()


BUSY = "pow(3, 10**8)"
"""Keeps Python's lock for minutes, as a call into a library may."""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has to get its turn")
@pytest.mark.parametrize("doing", ["nothing", "sleeping", "calling", "importing"])
def test_a_worker_ends_with_a_parent_that_was_killed(tmp_path, doing):
    (tmp_path / "busy.py").write_text(f"def f(): {BUSY}\n")
    (tmp_path / "slow_import.py").write_text(
        f"import os\nif os.environ.get('OMP_NUM_THREADS'): {BUSY}\nf = abs\n"
    )
    work = {
        "nothing": "os.getpid",
        "sleeping": "time.sleep, 60",
        "calling": "__import__('busy').f",
        "importing": "Late()",
    }[doing]
    program = (
        "import os, sys, time\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from surrobench.execution.process_pool import process_pool\n"
        "class Late:\n"
        "    def __reduce__(self): return (__import__, ('slow_import',))\n"
        "pool = process_pool(1)\n"
        "print(pool.submit(os.getpid).result(), flush=True)\n"
        f"pool.submit({work})\n"
        "time.sleep(60)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = Path(f"/proc/{int(parent.stdout.readline())}")
        assert child.exists()
        time.sleep(1)  # until it is busy
        parent.kill()
    wait_until_gone(child)


def test_a_worker_whose_parent_is_gone_before_it_begins_ends_at_once():
    done = subprocess.run(
        [sys.executable, "-P", worker_start.__file__, "1", *sys.path], timeout=30, check=False
    )
    assert done.returncode == 0


def wait_until_gone(process):
    deadline = time.monotonic() + 5
    while process.exists() and "Z (zombie)" not in (process / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
