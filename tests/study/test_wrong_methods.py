"""Methods of a user's that leave, crash or never yield: each fails its own runs, and the study goes on."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from surrobench.engine.loop import drive
from surrobench.engine.outcome import Outcome
from surrobench.llm.journal import Journal
from surrobench.llm.journalled_model import JournalledModel
from surrobench.llm.scripted import SCRIPTED, ScriptedClient
from surrobench.plan.planning import plan
from surrobench.results.folder import Results
from surrobench.suite.loading import parse_suite
from tests.studies import run, surrobench

METHODS = """
import os, signal, sys, time
from os import _exit
from surrobench.protocol.requests import Evaluate

class Leaves:
    def __init__(self, task, rng): pass
    def ask(self): sys.exit(0)
    def tell(self, c, l): pass

def _first(task, rng):
    yield Evaluate(task.space.sample(1, rng))

def interrupts(task, rng):
    yield from _first(task, rng)
    raise KeyboardInterrupt

def dies(task, rng):
    yield from _first(task, rng)
    os._exit(0)

def ends(task, rng):
    yield from _first(task, rng)
    if task.seed == 1:
        _exit(0)  # which nothing can refuse
    while True:
        yield Evaluate(task.space.sample(1, rng))

def crashes(task, rng):
    yield from _first(task, rng)
    os.kill(os.getpid(), signal.SIGSEGV)

def spins(task, rng):
    yield from _first(task, rng)
    while True:
        pass

def sleeps(task, rng):
    yield from _first(task, rng)
    time.sleep(1e6)

def swallows(task, rng):
    yield from _first(task, rng)
    while True:
        try:
            time.sleep(1e6)
        except BaseException:
            pass
"""
ENDED = "The optimizer ended the process that it was in."
SAYS = {
    "Leaves": "SystemExit: 0 (mine.py:",
    "interrupts": "KeyboardInterrupt: no message (mine.py:",
    "dies": "ProcessLeft: The optimizer called os._exit(0).",
    "crashes": f"{ENDED} A worker process was killed by SIGSEGV.",
    "spins": "StepLimitReached: The optimizer did not yield a request within 2 s.",
    "sleeps": "StepLimitReached: The optimizer did not yield a request within 2 s.",
    "swallows": f"{ENDED} Its optimizer took too long, and did not let",
}


def suite(folder: Path, *names: str, seeds: int = 1) -> str:
    (folder / "mine.py").write_text(METHODS)
    lines = ['name = "wrong"', 'benchmarks = ["hpobench/mlp/car"]', "trials = 4", f"seeds = {seeds}"]
    lines += ["[optimizers.random]"]
    for name in names:
        lines += [f"[optimizers.{name}]", f'method = "{folder}/mine.py:{name}"']
    return "\n".join(lines) + "\n"


def test_each_wrong_method_fails_its_own_run(tmp_path: Path) -> None:
    summary = run(suite(tmp_path, *SAYS), tmp_path / "out", jobs=2, step_seconds=2.0)
    assert summary.states == {"ok": 1, "failed": len(SAYS)}
    failed = {one.method: error for error, runs in summary.problems.items() for one in runs}
    assert failed.keys() == SAYS.keys()
    for method, error in failed.items():
        assert error.startswith(SAYS[method]), method
    log = (tmp_path / "out" / "surrobench.log").read_text()
    for line in ("sys.exit(0)", "raise KeyboardInterrupt", "os._exit(0)", "time.sleep(1e6)"):
        assert line in log  # of the traceback


def test_a_method_that_leaves_gives_status_1_and_all_others_are_stored(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(suite(tmp_path, "Leaves", "ends", seeds=2))
    done = surrobench("run", tmp_path / "s.toml", "--out", tmp_path / "out", "--jobs", "1")
    assert done.status == 1
    assert "Traceback" not in done.out + done.err
    assert "SystemExit: 0" in done.err
    assert "A worker process ended by itself, with status 0." in done.err
    states = Counter(ending.state for ending in Results(tmp_path / "out").endings().values())
    assert states == {
        "ok": 3,
        "failed": 3,
    }  # of the method that ends its process, the seed that does not is ok


@pytest.mark.parametrize("name", ["Leaves", "dies", "interrupts"])
def test_a_method_that_asks_a_model_cannot_end_the_study_either(tmp_path: Path, name: str) -> None:
    model = 'models = ["m"]\n[models.m]\nurl = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
    text = suite(tmp_path, name) + model
    [asking] = [one for one in plan(parse_suite(text)) if one.method == name]
    good = [one for one in plan(parse_suite(text)) if one.method == "random"]
    ended: list[Outcome] = []
    journal = Journal(tmp_path / "journal.jsonl", versions={})
    models = {"m": JournalledModel(SCRIPTED, journal, ScriptedClient(lambda messages, purpose: "{}"))}
    drive([asking, *good], ended.append, models=models)
    journal.close()
    assert {one.run.method: one.state for one in ended} == {name: "failed", "random": "ok"}
    assert next(one for one in ended if one.state == "failed").error.startswith(SAYS[name])
    (tmp_path / "s.toml").write_text(text)
    assert surrobench("run", tmp_path / "s.toml", "--dry-run").status == 0


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e9"])
def test_a_limit_that_is_none_is_refused(tmp_path: Path, seconds: str) -> None:
    (tmp_path / "s.toml").write_text(suite(tmp_path))
    done = surrobench("run", tmp_path / "s.toml", "--out", tmp_path / "out", "--step-limit", seconds)
    assert done.status == 2
    assert "Traceback" not in done.err


def guarded(expendable: bool, body: str) -> subprocess.CompletedProcess[str]:
    """Call a function under a short limit, in a process whose timer is not that of a test's own limit."""
    program = f"""
import signal, time
from surrobench.engine.guard import Guard
from surrobench.foreign_code import Raised

def step():
    {body}

guard = Guard(0.2, expendable={expendable}, grace=0.1)
with guard.watching():
    for _ in range(2):
        try:
            guard.call(step)
        except Raised as raised:
            print(repr(raised.error))
"""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("body", ["while True: pass", "time.sleep(1e6)"])
def test_a_step_in_a_process_that_must_live_is_interrupted(body: str) -> None:
    ended = guarded(False, body)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("did not yield a request within 0.2 s") == 2


def test_compiled_code_that_never_returns_ends_its_worker() -> None:
    # Compiled code is deaf to signals, too.
    ended = guarded(True, "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM}); time.sleep(1e6)")
    assert ended.returncode not in (0, -9)
    assert ended.stdout == ""
    assert "in step" in ended.stderr
