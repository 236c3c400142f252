"""Start a language model's server, wait until it is healthy, and end it with every process that it started.

All servers follow one protocol: a supervisor (``supervisor.py``) runs the server's command for as long as its
own standard input is open. Closing the input ends the server. If this process is killed, the system closes
it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from surrobench.errors import ModelError
from surrobench.llm.models import ModelSpec
from surrobench.llm.servers import supervisor
from surrobench.llm.transport import api_key, authorization
from surrobench.untrusted import load_json

STOP_LIMIT = supervisor.GRACE + 5.0
"""The most seconds that the supervisor may take to end a server, before it is killed itself."""
_RAISED = re.compile(r"(?:\(.*?\) )?(?:ERROR [^\]]*\] )?((?:[\w.]*(?:Error|Exception)|[\w.]+: error): .*)")
"""A pattern for a line of a log with an exception, whoever wrote it, or with a complaint about arguments."""


@dataclass(frozen=True)
class Server:
    """A server that is running.

    Attributes:
        url: the server's base URL, up to and including ``/v1``.
        process: the server's supervisor.
    """

    url: str
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Return the id of the supervisor, which is also that of the server's process group."""
        return self.process.pid


@contextmanager
def running_server(
    name: str,
    command: Sequence[str],
    host: str,
    port: int,
    log: Path,
    start_limit: float,
    spec: ModelSpec,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server while the context is open; the context opens once the server is healthy.

    Args:
        name: what the error calls the server.
        command: the command that starts the server.
        host: the address that it listens on.
        port: the port that it listens on.
        log: the file that its output is appended to.
        start_limit: how many seconds it may take to become healthy.
        spec: the model that it serves.
        environment: variables that it gets unless they are set already.

    Raises:
        ModelError: the server did not start (the message has the line of its log that says best why), or
            another one answers in its place.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    before = log.stat().st_size if log.exists() else 0
    url = f"http://{reachable(host)}:{port}/v1"
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [sys.executable, "-I", supervisor.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**(environment or {}), **os.environ},
            # Ctrl-C reaches every process of the terminal, but the parent decides when the server may go.
            start_new_session=True,
        ) as child,
    ):
        try:
            if not wait_until_healthy(child, url, start_limit):
                raise ModelError(f"{name} did not start: {_problem(log, before)}.", f"Its log: {log}")
            if spec.model not in (names := models_of(url, spec)):
                raise ModelError(
                    f"Another server answers at {url} in the place of {name}: "
                    f"it offers {', '.join(names)[:200] or 'no model'}, and not {spec.model}.",
                    "Repeat the command, or name another port.",
                )
            yield Server(url, child)
        finally:
            stop(child)


def wait_until_healthy(child: subprocess.Popen[bytes], url: str, limit: float) -> bool:
    """Wait until a server answers its health check; return False if it ended, or took too long."""
    deadline = time.monotonic() + limit
    while child.poll() is None and time.monotonic() < deadline:
        if is_healthy(url):
            return True
        time.sleep(0.05)
    return False


def is_healthy(url: str) -> bool:
    """Return whether the server at a base URL answers its health check.

    The health checks of llama.cpp and vLLM are the same.
    """
    try:
        return httpx.get(f"{url.removesuffix('/v1')}/health", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def models_of(url: str, spec: ModelSpec) -> list[str]:
    """Return the names of the models that a server offers; empty if it does not say."""
    headers = authorization(api_key(spec), url)
    try:
        answer = httpx.get(f"{url}/models", timeout=5, trust_env=False, headers=headers)
        return [str(model["id"]) for model in load_json(answer.content)["data"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return []


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a supervisor, its server, and every process that the server started."""
    assert child.stdin is not None  # this is for the type checker: standard input is a pipe
    child.stdin.close()
    try:
        child.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
    # The supervisor ends the whole group, unless it was killed itself.
    with contextlib.suppress(OSError, AttributeError):  # Windows has no process groups
        os.killpg(child.pid, signal.SIGKILL)


def free_port(host: str, port: int = 0) -> int:
    """Return a port that nobody listens on: ``port`` itself, or any free port if it is 0.

    Raises:
        ModelError: the port is taken, or the address is none of this machine's.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Connections that an earlier server left behind do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ModelError(
                f"A server cannot listen on {host}:{port}: {error.strerror}.", "Name another port or address."
            ) from None
        return int(probe.getsockname()[1])


def reachable(host: str) -> str:
    """Return the name by which this machine reaches a server.

    An address that means "all" cannot be asked.
    """
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host


def _problem(log: Path, before: int) -> str:
    """Return the line of a log that says best why a server did not start.

    Only lines after the first ``before`` bytes of the log count.
    """
    lines = log.read_bytes()[before:].decode(errors="replace").strip().splitlines()
    # The first error is the cause. Those that follow come from processes that lost their partner.
    raised = next((found[1] for line in lines if (found := _RAISED.match(line))), "")
    last = lines[-1] if lines else "it wrote no log"
    return (raised[:300] or last).strip().rstrip(".")
