"""A real vLLM server, without a GPU: ``make test-vllm`` installs it and converts the embedded model."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from surrobench.llm.journal import Journal
from surrobench.llm.journalled_model import JournalledModel
from surrobench.llm.models import ModelSpec
from surrobench.llm.probe import probe
from surrobench.llm.servers.process import Server, free_port
from surrobench.llm.servers.vllm import PYTHON, vllm_server
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.results.folder import Results
from surrobench.study.options import Options
from surrobench.study.progress import Status
from surrobench.study.session import run_study
from surrobench.suite.schema import Method, Suite
from tests.bench.llm import GAIN_OF_BATCHING, SHARE_OF_BARE, measure
from tests.llm.faulty_server import FaultyServer
from tests.studies import AGENT, MLP, NAS, answer
from tests.study.test_kill import MAIN, descendants, gone, wait_for

WEIGHTS = os.environ.get("SURROBENCH_TEST_VLLM", "")

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.skipif(not WEIGHTS, reason="needs a vLLM environment of its own: make test-vllm"),
]

SERVED: dict[str, Any] = {
    "model": "smollm2",
    "weights": WEIGHTS,
    "dtype": "float32",
    "max_model_len": 8192,
    "extra": ["--enforce-eager"],
}
# What a method must do without here: a small model on few cores writes thirty tokens a second.
SMALL = {"max_tokens": 160, "warmup": 2, "startup": 2, "start": 2, "n_initial": 2, "k": 2, "per_step": 2}
SMALL |= {"candidates": 2, "templates": 1, "n_gens": 2, "rounds": 2, "at_least": 1}
PATIENCE = 600.0
"""Seconds until something that is waited for counts as not happening; loading takes one, with others two."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    with vllm_server(ModelSpec(serve="vllm", **SERVED), log) as running:
        yield running


def asking(server: Server, **settings: Any) -> ModelSpec:
    return ModelSpec(url=server.url, **{"model": "smollm2", "retries": 1, "seed": False, **settings})


def metric(server: Server, name: str) -> float:
    text = httpx.get(f"{server.url.removesuffix('/v1')}/metrics", timeout=60, trust_env=False).text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if re.match(rf"vllm:{name}(_total)?[{{ ]", line)
    )


def usable(entry: Optimizer) -> bool:
    return entry.prompts is not None and not (entry.needs and not entry.available)


def small(entry: Optimizer) -> dict[str, Any]:
    """The smallest parameters of a method, as far as they go by a common name."""
    known = entry.parameters()
    return {name: value for name, value in SMALL.items() if isinstance(known.get(name), int)}


def suite(
    models: dict[str, ModelSpec], *, trials: int = 4, seeds: int = 1, agents_only: bool = False
) -> Suite:
    """Random search, and every method that asks a model (or the one agent) with each of the models."""
    asking = {
        name: Method(models=list(models), parameters=small(entry))
        for name, entry in OPTIMIZERS.items()
        if usable(entry) and (name == AGENT or not agents_only)
    }
    return Suite(
        name="tiny",
        benchmarks=[MLP, "hpobench/mlp/car"],  # llambo-optunahub refuses a space of nothing but categories
        trials=trials,
        seeds=1,
        optimizers={"random": Method(), **asking},
        models=models,
    )


@pytest.fixture
def schemas(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """The schema of every request that has one, with each of its completions."""
    asked: list[tuple[Any, Any]] = []
    complete = JournalledModel.complete

    async def noting(self: JournalledModel, where: Any, request: Any, slot: int | None) -> Any:
        completions = await complete(self, where, request, slot)
        if request.schema is not None:
            asked.extend((request.schema, completion) for completion in completions)
        return completions

    monkeypatch.setattr(JournalledModel, "complete", noting)
    return asked


def test_it_can_do_all_that_a_study_wants(server: Server) -> None:
    found = probe(asking(server), server.url)
    assert found.server.startswith("vLLM ")
    assert (found.json_schema, found.samples, found.logprobs, found.usage) == (True, True, True, True)
    assert found.seed is None, "a seed ends the engine of this build, under load: it is not tried"


def test_every_method_that_asks_a_model(
    server: Server, tmp_path: Path, schemas: list[tuple[Any, Any]]
) -> None:
    hits, queries = metric(server, "prefix_cache_hits"), metric(server, "prefix_cache_queries")
    study = suite({"m": asking(server)}, trials=6)
    summary = run_study(study, "", Options(tmp_path / "r"))
    assert summary.complete, list(summary.problems)
    results, journal = Results(tmp_path / "r"), Journal(tmp_path / "r" / "journal.jsonl")
    with_model = {row["run"] for row in results.plan().iter_rows(named=True) if row["llm"]}
    assert journal.runs() == with_model
    calls = len(journal)
    assert calls == sum(model.client.completions for model in summary.models if model.client)
    run_study(study, "", Options(tmp_path / "again", replay=tmp_path / "r"))
    assert len(Journal(tmp_path / "again" / "journal.jsonl")) == calls

    assert schemas
    whole = [(schema, done) for schema, done in schemas if done.finish_reason == "stop"]
    for schema, done in whole:
        jsonschema.validate(json.loads(done.text), schema)
    assert len(whole) >= 0.9 * len(schemas), "replies are cut off"

    hit = (metric(server, "prefix_cache_hits") - hits) / (metric(server, "prefix_cache_queries") - queries)
    print(f"{calls} completions, {len(whole)} of {len(schemas)} whole, {hit:.0%} of prompt tokens cached")
    assert hit > 0.2  # whole blocks of 128 tokens only, and the first prompt of each run is new


def test_a_suite_starts_and_stops_its_own_server(tmp_path: Path) -> None:
    study = suite({"m": ModelSpec(serve="vllm", **SERVED)}, trials=3, agents_only=True)
    before = descendants(os.getpid())
    status = Status(note=(notes := []).append)
    assert run_study(study, "", Options(tmp_path / "r"), status).complete
    assert any("as if [models.m] said: seed = false" in note for note in notes), "this build takes no seed"
    assert (tmp_path / "r" / "server-m.log").stat().st_size > 0
    left = descendants(os.getpid())
    assert not [line for pid, line in left.items() if pid not in before and "supervisor.py" in line]
    [session] = json.loads((tmp_path / "r" / "manifest.json").read_text())["sessions"]
    assert session["servers"]["m"]["server"].startswith("vLLM ")


TOML = """
name = "tiny"
benchmarks = ["{mlp}", "{nas}"]
trials = 7
seeds = 2
[optimizers.random]
[optimizers.karpathy-agent]
models = ["m", "other"]
parameters = {{ max_tokens = 96 }}
[models.m]
url = "http://127.0.0.1:{port}/v1"
model = "smollm2"
retries = 1
concurrency = 2
seed = false
[models.other]
url = "{other}"
model = "other"
"""


def test_a_server_killed_in_the_middle_parks_its_runs_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    spec, port = ModelSpec(serve="vllm", **SERVED), free_port("127.0.0.1")
    journal = tmp_path / "r" / "journal.jsonl"

    def of_m() -> list[bytes]:
        lines = journal.read_bytes().splitlines() if journal.exists() else []
        return [line for line in lines if b'"run":"' in line and line.split(b'"')[3].decode() in runs_of_m]

    with FaultyServer(answer) as other:
        text = TOML.format(mlp=MLP, nas=NAS, port=port, other=other.url)
        (tmp_path / "tiny.toml").write_text(text)
        with vllm_server(spec, tmp_path / "first.log", port=port) as first:
            with study_process(tmp_path) as process:
                wait_for((tmp_path / "r" / "plan.parquet").exists, "a plan")
                plan = Results(tmp_path / "r").plan()
                runs_of_m = set(plan.filter(plan["llm"] == "m")["run"])
                patiently(lambda: len(of_m()) >= 5, "five completions")
                inner = descendants(first.pid)
                for pid, line in inner.items():
                    if "api_server" in line:
                        os.kill(pid, signal.SIGKILL)
                out, err = process.communicate(timeout=PATIENCE)
            patiently(lambda: gone(inner), "the end of all processes of the killed server")
        assert process.returncode == 1, out + err
        assert "Resume with: " in err
        states = {run: record.state for run, record in Results(tmp_path / "r").records().items()}
        assert set(states) == set(plan["run"]) - runs_of_m, "all others are finished, its own are parked"
        assert set(states.values()) == {"ok"}
        before, asked_other = of_m(), len(other.bodies)
        assert 5 <= len(before) < 4 * 6

        with vllm_server(spec, tmp_path / "second.log", port=port) as second:
            per_probe = -metric(second, "request_success")
            probe(asking(second), second.url)
            per_probe += metric(second, "request_success")
            served = metric(second, "request_success")
            with study_process(tmp_path) as process:
                out, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, out + err
            served = metric(second, "request_success") - served - per_probe
    assert of_m()[: len(before)] == before
    assert len(of_m()) == 4 * 6
    assert served == len(of_m()) - len(before), "what was journalled was not asked again"
    assert len(other.bodies) == asked_other == 4 * 6, "the other model had nothing to do"
    assert {record.state for record in Results(tmp_path / "r").records().values()} == {"ok"}


@contextlib.contextmanager
def study_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", MAIN, "run", "tiny.toml", "--out", "r", "--jobs", "1"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=here()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def here() -> dict[str, str]:
    """The environment, from which this checkout is imported wherever the process runs."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


def patiently(condition: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(0.1)


def test_ctrl_c_stops_surrobench_serve_and_all_that_it_started(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    options = ["--dtype", "float32", "--extra=--enforce-eager", "--port", port, "--log", tmp_path / "log"]
    command = [sys.executable, "-c", MAIN, "serve", WEIGHTS, *map(str, options)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=here()
    ) as process:
        assert process.stdout is not None
        said = ""
        while "surrobench run quick" not in said:
            said += (line := process.stdout.readline())
            assert line, said
        started = descendants(process.pid)
        assert len(started) >= 3, "a keeper, a server and an engine"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f'[models.{Path(WEIGHTS).name}]\nurl = "http://127.0.0.1:{port}/v1"\n' in said
    assert "seed = false" in said, "this build takes none"
    wait_for(lambda: gone(started), "the end of all it started")


def test_throughput() -> None:
    """With others at work on the machine, neighbours in time are disturbed alike; a repeat is allowed."""
    assert os.environ.get(PYTHON)
    for _ in range(2):
        one = measure(ModelSpec(serve="vllm", **SERVED), in_flight=32, runs=64, trials=4, alone=8)
        print(f"suite {one.suite}\nbare client {one.bare}\none at a time {one.alone}")
        print(f"{one.share:.1%} of the bare client's, {one.gain:.2f} times one at a time")
        if one.share >= SHARE_OF_BARE and one.gain >= GAIN_OF_BATCHING:
            return
    pytest.fail(f"{one.share:.1%} of the bare client's, {one.gain:.2f} times one at a time")
