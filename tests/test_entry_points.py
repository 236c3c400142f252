"""What an installed package may offer beside optimizers: benchmarks, servers of models, prompt variants."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from surrobench.benchmarks import registry
from surrobench.errors import ModelError, SuiteError, UnknownName
from surrobench.llm.models import ModelSpec
from surrobench.llm.servers.providers import provided_server
from surrobench.plan.planning import plan
from surrobench.suite.loading import parse_suite
from tests.studies import AGENT, MLP

POINTS = """\
[surrobench.benchmarks]
toy/table = fake_offers:scenario
toys = fake_offers
[surrobench.models]
fake = fake_offers:server
broken = fake_offers:broken
late = fake_offers:late
[surrobench.prompt_variants]
brief = fake_offers.brief
"""
MODULE = """\
from contextlib import contextmanager
from surrobench.benchmarks.tables import hpobench

def scenario():
    made = hpobench()
    made.key = "toy/table"
    return made

def available():
    return ["mlp"]

def open_scenario(name):
    made = hpobench()
    made.key = f"toys/{name}"
    return made

@contextmanager
def server(spec, log):
    log.write_text("started")
    yield f"http://127.0.0.1:1/{spec.model}/v1"
    log.write_text("stopped")

def broken(spec, log):
    raise RuntimeError("no licence")

@contextmanager
def late(spec, log):
    raise RuntimeError("port is taken")
    yield
"""


def forget() -> None:
    """Let the registry look anew at what is installed."""
    registry.offered.cache_clear()
    registry.scenario.cache_clear()
    registry.source_digits.cache_clear()


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A distribution as pip leaves it: a package, and a folder that says what it offers."""
    package = tmp_path / "fake_offers"
    (package / "brief").mkdir(parents=True)
    (package / "__init__.py").write_text(MODULE)
    (package / "brief" / "question.jinja").write_text("Go:")
    info = tmp_path / "fake_offers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-offers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    forget()
    yield
    forget()
    for name in [name for name in sys.modules if name.startswith("fake_offers")]:
        del sys.modules[name]


@pytest.mark.parametrize("key", ["toy/table", "toys/mlp"])
def test_benchmarks_are_found_and_evaluated(key: str) -> None:
    assert f"{key}/australian" in registry.known()
    assert len(registry.expand([f"{key}/*"])) == len(registry.scenario("hpobench/mlp").instances)
    theirs, ours = registry.benchmark(f"{key}/australian"), registry.benchmark(MLP)
    X = ours.space.default[None, :]
    name = ours.objective.name
    np.testing.assert_array_equal(theirs.evaluate(X)[name], ours.evaluate(X)[name])


@pytest.mark.parametrize("key", ["toy/table", "toys/mlp"])
def test_an_edit_of_their_source_makes_other_runs_and_ours_stay(key: str, tmp_path: Path) -> None:
    def ids() -> tuple[str, str]:
        names = [f"{key}/australian", MLP]
        text = f'name = "n"\nbenchmarks = {json.dumps(names)}\ntrials = 4\nseeds = 1\n[optimizers.random]\n'
        theirs, ours = plan(parse_suite(text))
        return theirs.id, ours.id

    before = ids()
    assert ids() == before
    source = tmp_path / "fake_offers" / "__init__.py"
    source.write_text(MODULE + "\n# edited\n")
    forget()
    after = ids()
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)


def test_an_unknown_benchmark_of_theirs_has_a_near_miss() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'toy/table/australian'"):
        registry.benchmark("toy/table/austrlian")


def test_a_server_is_started_and_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with provided_server(ModelSpec(serve="fake", model="m"), log) as url:
        assert (url, log.read_text()) == ("http://127.0.0.1:1/m/v1", "started")
    assert log.read_text() == "stopped"
    with pytest.raises(ModelError, match="no licence"):
        provided_server(ModelSpec(serve="broken"), log).__enter__()
    with pytest.raises(ModelError, match="port is taken"):
        provided_server(ModelSpec(serve="late"), log).__enter__()
    with pytest.raises(ValueError, match="did you mean 'fake'"):
        ModelSpec(serve="fakes")


def test_a_prompt_variant_goes_by_its_name() -> None:
    head = f'name = "own"\nbenchmarks = ["{MLP}"]\ntrials = 4\nseeds = 1\n'
    text = f'{head}[optimizers.random]\n[optimizers.{AGENT}]\nmodels = ["tiny"]\nvariants = ["%s"]\n'
    text += '[models.tiny]\nserve = "fake"\nmodel = "tiny"\n'
    [run] = [run for run in plan(parse_suite(text % "brief")) if run.method == AGENT]
    assert (run.variant, run.shows, run.prompts) == ("brief", "full", {"question.jinja": "Go:"})
    with pytest.raises(SuiteError, match="Did you mean 'brief'"):
        parse_suite(text % "brif")
