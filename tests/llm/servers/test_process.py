from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from surrobench.errors import ModelError
from surrobench.llm.models import ModelSpec
from surrobench.llm.servers.process import models_of, running_server

SPEC = ModelSpec(serve="embedded")
OUR_CHILD = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def another() -> Iterator[tuple[int, list[str]]]:
    """A healthy server of another process, its port, and the names of its models."""
    names = ["other"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"data": [{"id": name} for name in names]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http.server_port, names
        http.shutdown()
        thread.join()


def test_the_health_of_another_server_does_not_pass_for_ours(
    tmp_path: Path, another: tuple[int, list[str]]
) -> None:
    port, names = another
    with (
        pytest.raises(ModelError, match=r"Another server answers .* it offers other, and not SmolLM2"),
        running_server("The model", OUR_CHILD, "127.0.0.1", port, tmp_path / "log", 10, SPEC),
    ):
        pass
    names.append(SPEC.model)
    with running_server("The model", OUR_CHILD, "127.0.0.1", port, tmp_path / "log", 10, SPEC) as server:
        assert models_of(server.url, SPEC) == ["other", SPEC.model]
    assert models_of("http://127.0.0.1:9/v1", SPEC) == []
