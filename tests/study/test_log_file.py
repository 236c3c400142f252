"""The log of a results folder, and the loggers of the package."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import polars as pl
import pytest

import surrobench
from surrobench.results.folder import Results
from surrobench.study.log_file import LOG
from tests.studies import FCN, MLP, run, suite_text

BROKEN = '''\
def broken(task, rng):
    """Raises before its first request."""
    yield from ()
    divisor = 0
    innermost(divisor)

def innermost(divisor):
    raise ZeroDivisionError(f"no share of {divisor} parts")
'''
TRACE = [
    "Traceback (most recent call last):",
    "innermost(divisor)",
    "ZeroDivisionError: no share of 0 parts",
]


def failing(folder: Path) -> str:
    """Text of a suite of which one method of two fails on two benchmarks."""
    file = folder / "broken.py"
    file.write_text(BROKEN)
    method = f'[optimizers.broken]\nmethod = "{file}:broken"\n'
    return suite_text(MLP, FCN, methods=("random",), seeds=1) + method


@pytest.mark.parametrize("jobs", [1, 2], ids=["this process", "workers"])
def test_the_traceback_of_a_failed_run_is_in_the_log_alone(tmp_path: Path, jobs: int) -> None:
    out = tmp_path / "r"
    assert run(failing(tmp_path), out, jobs=jobs).states == {"ok": 2, "failed": 2}
    log = (out / LOG).read_text()
    lines = [line.strip() for line in log.splitlines()]
    assert [lines.count(line) for line in TRACE] == [2, 2, 2]
    assert str(tmp_path / "broken.py") in log, "the traceback names the file and the line"

    failed = [record for record in Results(out).records().values() if record.state == "failed"]
    assert len(failed) == 2
    for record in failed:
        assert "no share of 0 parts" in record.error
        assert f"failed run {record.run.id}, broken on {record.run.benchmark}, seed 0" in log
    for path in out.rglob("*.parquet"):
        frame = pl.read_parquet(path)
        kept = str(frame.to_dict(as_series=False)) + str(pl.read_parquet_metadata(path))
        assert "Traceback" not in kept, path
        assert "innermost" not in kept, path


def test_a_session_adds_to_the_log_and_says_how_much_is_left(tmp_path: Path) -> None:
    text = suite_text(MLP, seeds=2)
    run(text, tmp_path / "r")
    run(text, tmp_path / "r")
    said = re.findall(r"(\d+) runs, of which (\d+) are left to do", (tmp_path / "r" / LOG).read_text())
    assert said == [("2", "2"), ("2", "0")]


def test_records_name_the_module_and_the_logger_is_left_as_it_was(tmp_path: Path) -> None:
    package = logging.getLogger("surrobench")
    before = package.level, list(package.handlers)
    run(failing(tmp_path), tmp_path / "r")
    assert (package.level, package.handlers) == before
    log = (tmp_path / "r" / LOG).read_text()
    names = re.findall(r"^\d{4}-\d\d-\d\d \S+ INFO (\S+): ", log, re.MULTILINE)
    assert set(names) == {"surrobench.study.session"}
    package.warning("said after the session")
    assert "said after the session" not in (tmp_path / "r" / LOG).read_text()


def test_every_module_logs_under_its_own_name() -> None:
    root = Path(surrobench.__file__).parent
    for path in root.rglob("*.py"):
        for made in re.findall(r"^\w+ = logging\.getLogger\((.*)\)", path.read_text(), re.MULTILINE):
            assert made == "__name__", path
