"""A real Dask cluster of processes on this machine, one of them really killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from surrobench.errors import ClusterError, DataError
from surrobench.execution import dask as cluster
from surrobench.execution import shards
from surrobench.execution.process_pool import InlineExecutor
from surrobench.plan.planning import plan
from surrobench.study import session as study
from surrobench.study.options import Options
from surrobench.study.progress import Status
from surrobench.study.session import run_study
from surrobench.suite.loading import parse_suite
from tests.studies import FCN, MLP, files, run, suite_text, surrobench

LIMIT = 60.0
"""Seconds until something that is waited for counts as not happening."""
PROGRAM = """
import json, sys
from distributed import LocalCluster

# Workers import the main module: they must not start a cluster of their own.
if __name__ == "__main__":
    with LocalCluster(dashboard_address=None, host="127.0.0.1", **json.loads(sys.argv[1])) as cluster:
        print(json.dumps([cluster.scheduler_address, [nanny.pid for nanny in cluster.workers.values()]]))
        sys.stdout.flush()
        sys.stdin.read()
"""
WELL = {"n_workers": 2, "threads_per_worker": 1, "preload_nanny": ["surrobench.execution.dask"]}
"""How our workers are to be started; by default a nanny sets another hash seed."""


class Cluster:
    """A scheduler and its workers in processes of their own, which end with the ``with`` block."""

    def __init__(self, **options):
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(options)],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self):
        self.address, self.workers = json.loads(self._process.stdout.readline())
        self.pid = self._process.pid
        return self

    def __exit__(self, *exception):
        try:
            self._process.communicate(timeout=LIMIT)  # its standard input ends, and so does it
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise


@pytest.fixture(scope="module")
def two():
    """Two workers as they should be."""
    with Cluster(**WELL) as running:
        yield running


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """So many that some are left when a worker is killed; and no process for ``jobs=1``."""
    monkeypatch.setattr(shards, "SHARD_RUNS", 2)
    monkeypatch.setattr(study, "process_pool", lambda jobs: InlineExecutor())


def killing(pid, status):
    """Kills a process as soon as some runs are stored, and says how many were not."""
    left = []

    def wait_and_kill():
        deadline = time.monotonic() + LIMIT
        while status.done < 4 and time.monotonic() < deadline:
            time.sleep(0.005)
        left.append(status.total - status.done)
        os.kill(pid, signal.SIGKILL)

    threading.Thread(target=wait_and_kill, daemon=True).start()
    return left


def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path, two):
    text = suite_text(MLP, FCN, methods=["random", "tpe"], trials=20, seeds=6)
    status = Status()
    left = killing(two.workers[0], status)
    summary = run_study(parse_suite(text), text, Options(tmp_path / "c", cluster=two.address), status)
    assert left
    assert left[0] >= 4, "killed too late"
    assert summary.complete
    assert summary.cores == 2
    assert summary.states == {"ok": 24}
    run(text, tmp_path / "1", jobs=1)
    assert files(tmp_path / "c") == files(tmp_path / "1")
    [session] = json.loads((tmp_path / "c" / "manifest.json").read_text())["sessions"]
    assert (session["jobs"], session["cluster"]) == (2, True)


def test_a_replay_sends_what_was_recorded_along(tmp_path, two):
    text = suite_text(methods=["random", "tpe"], trials=5)
    run(text, tmp_path / "r")
    # Without models there is no journal of its own; an empty one stands for it.
    (tmp_path / "r" / "journal.jsonl").touch()
    run(text, tmp_path / "c", cluster=two.address, replay=tmp_path / "r", reevaluate=True)
    assert files(tmp_path / "c") == files(tmp_path / "r")


def test_the_error_of_a_worker_is_one_line_that_names_it(tmp_path, two, monkeypatch):
    monkeypatch.setattr(study, "execute", lacking_data)
    suite = tmp_path / "tiny.toml"
    suite.write_text(suite_text())
    done = surrobench("run", suite, "--out", tmp_path / "r", "--cluster", two.address)
    assert done.status == 1
    assert done.error.startswith("Error: Worker tcp://127.0.0.1:")
    assert done.error.endswith(": No data of YAHPO Gym. Fetch it with: surrobench data pull yahpo\n")


def lacking_data(runs, recorded, **options):
    raise DataError("No data of YAHPO Gym.", "Fetch it with: surrobench data pull yahpo")


def test_workers_with_other_versions_are_refused(tmp_path, two, monkeypatch):
    here = cluster._versions()
    monkeypatch.setattr(cluster, "_versions", lambda: here | {"optuna": "1.2.3"})
    with pytest.raises(ClusterError) as refused:
        run(suite_text(), tmp_path, cluster=two.address)
    assert f" and 1 more: It has optuna {here['optuna']} instead of 1.2.3. Install the same" in str(
        refused.value
    )


def test_workers_that_join_later_are_checked_with_their_first_shard(tmp_path, two, monkeypatch):
    here = cluster._versions()
    monkeypatch.setattr(cluster, "_versions", lambda: here | {"scipy": "0"})
    monkeypatch.setattr(cluster.ClusterExecutor, "check_workers", lambda self: None)
    with pytest.raises(ClusterError, match=r"^Worker tcp://\S+: It has scipy \S+ instead of 0\."):
        run(suite_text(), tmp_path, cluster=two.address)


def test_a_badly_started_worker_is_refused_with_the_command_that_starts_it(tmp_path):
    with Cluster(n_workers=1, threads_per_worker=2) as bad, pytest.raises(ClusterError) as refused:
        run(suite_text(), tmp_path, cluster=bad.address)
    assert refused.value.message.endswith("It was started with a hash seed other than 0, 2 threads.")
    assert refused.value.remedy == (
        f"Start workers with: dask worker {bad.address} "
        "--nthreads 1 --nworkers -1 --preload-nanny surrobench.execution.dask"
    )


def test_a_scheduler_lost_in_the_middle_is_one_line(tmp_path):
    text = suite_text(methods=["random", "tpe"], trials=20, seeds=10)
    status = Status()
    with Cluster(**{**WELL, "n_workers": 1}) as running:
        left = killing(running.pid, status)
        with pytest.raises(ClusterError, match=r"^The Dask scheduler at tcp://\S+ was lost\."):
            run_study(parse_suite(text), text, Options(tmp_path / "c", cluster=running.address), status)
    assert left[0]
    assert 0 < run(text, tmp_path / "c").finished_before < 20


class Counted:
    """A client that only knows how many workers there are; the last number stays."""

    def __init__(self, *counts):
        self._counts = list(counts)

    def nthreads(self):
        return range(self._counts.pop(0) if len(self._counts) > 1 else self._counts[0])

    def get_executor(self, **options):
        pass

    def close(self, timeout):
        pass


def test_it_is_said_once_when_there_is_no_worker_yet_and_when_none_is_left(monkeypatch):
    monkeypatch.setattr(cluster, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
    notes = []
    waiting = cluster.ClusterExecutor(Counted(0, 0, 0, 1), "tcp://here:1", notes.append)
    waiting.wait_for_workers()
    waiting.shutdown()
    assert [note[:45] for note in notes] == ["Waiting for a worker to join tcp://here:1. St"]
    notes.clear()
    left = cluster.ClusterExecutor(Counted(2, 2, 0), "tcp://here:1", notes.append)
    deadline = time.monotonic() + LIMIT
    while not notes and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    threading.Event().wait(0.05)
    left.shutdown()
    assert [note[:43] for note in notes] == ["No worker is left at tcp://here:1; waiting."]
    assert left.workers == 2


def test_an_address_where_nobody_answers_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "REACH_SECONDS", 0.5)
    suite = tmp_path / "tiny.toml"
    suite.write_text(suite_text())
    for address in ("tcp://127.0.0.1:1", "nonsense"):
        done = surrobench("run", suite, "--out", tmp_path / "r", "--cluster", address)
        assert done.status == 1
        assert done.error.startswith(f"Error: No Dask scheduler answers at {address}")
        assert done.error.endswith("Start one with: dask scheduler\n")


def test_jobs_and_cluster_exclude_each_other(tmp_path):
    done = surrobench("run", "quick", "--cluster", "tcp://127.0.0.1:1", "--jobs", 2)
    assert done.status == 2
    assert "--jobs and --cluster exclude each other" in done.error


def test_nothing_is_asked_of_a_cluster_when_all_is_finished(tmp_path):
    run(suite_text(), tmp_path)
    summary = run(suite_text(), tmp_path, cluster="tcp://127.0.0.1:1")
    assert summary.finished_before == summary.total == len(plan(parse_suite(suite_text())))
