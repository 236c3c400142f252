import re

import pytest

from surrobench.errors import DataError
from surrobench.libraries import Library
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.study import overhead
from surrobench.study.overhead import Overhead, measure
from tests.studies import AGENT, surrobench


@pytest.fixture
def only(monkeypatch):
    """Leaves some optimizers in the registry, and adds others."""

    def keep(*names, **others):
        kept = {name: OPTIMIZERS[name] for name in names} | others
        monkeypatch.setattr(overhead, "OPTIMIZERS", kept)
        monkeypatch.setattr("surrobench.optimizers.registry.OPTIMIZERS", kept)
        for name, entry in others.items():
            monkeypatch.setitem(OPTIMIZERS, name, entry)

    return keep


def test_the_library_is_told_from_what_is_ours():
    tpe = measure("tpe", seconds=0.009)
    assert tpe.trials == 30
    assert tpe.method > tpe.ours > 0
    assert tpe.share == tpe.ours / tpe.method
    random = measure("random", seconds=0.01)
    assert random.method > 0  # its own code: it has no library
    assert random.trials == 100 * 10


def breaking(task, rng):
    raise ZeroDivisionError("on purpose")
    yield


class Breaking(Optimizer):
    function = staticmethod(breaking)


def no_data(suite):
    raise DataError(f"No data for {suite.benchmarks[0]}.", "Fetch it.")


def test_what_cannot_be_measured_says_why(only, monkeypatch):
    only(
        AGENT,
        needy=Optimizer("nowhere:nothing", "", needs=Library("no_such_library", "extra")),
        breaking=Breaking("breaking:breaking", ""),
        varying=Optimizer("classical.random_search:random_search", "", multi_fidelity=True),
    )
    assert measure(AGENT).problem == "needs a language model"
    assert measure("needy").problem == "no_such_library is not installed"
    assert measure("breaking").problem.startswith("ZeroDivisionError: on purpose")
    monkeypatch.setattr(overhead, "plan", no_data)
    assert measure("varying").problem == "No data for yahpo/lcbench/167168."


@pytest.mark.parametrize(
    ("library", "ours", "small"),
    [(1e-3, 99e-6, True), (1e-3, 101e-6, False), (1e-6, 49e-6, True), (0.0, 51e-6, False)],
)
def test_small_is_a_tenth_of_the_library_or_fifty_microseconds(library, ours, small):
    assert Overhead("x", 1, library, ours).small is small


def test_list_optimizers_bench_prints_a_row_for_each(only, monkeypatch):
    only("random", "tpe", AGENT)
    monkeypatch.setattr(overhead.measure, "__defaults__", (0.009,))
    done = surrobench("list", "optimizers", "--bench")
    assert (done.status, done.err) == (0, "")
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert re.fullmatch(r"random +[\d,]+ +\d+\.\d+ +\d+\.\d +[\d.]+% +[✓✗] *", rows["random"])
    assert re.fullmatch(r"tpe +30 +\d+\.\d{3} +\d+\.\d +\d+\.\d% +[✓✗] *", rows["tpe"])
    assert "skipped: needs a language model" in rows[AGENT]


def test_bench_goes_with_optimizers():
    done = surrobench("list", "suites", "--bench")
    assert done.status == 2
    assert "--bench goes with optimizers." in done.error
