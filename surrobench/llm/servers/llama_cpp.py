"""Start and stop the embedded model's server, on loopback, in a child process that never outlives us."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from surrobench.errors import ModelError
from surrobench.libraries import XLLAMACPP
from surrobench.llm.models import ModelSpec
from surrobench.llm.servers import llama_cpp_process as embedded
from surrobench.llm.weights import find_weights
from surrobench.system import usable_cores

START_LIMIT = 120.0
"""Seconds the model may take to load."""
STOP_LIMIT = 5.0


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: its base URL, up to and including ``/v1``.
        process: the one we started, which holds it.
    """

    url: str
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self.process.pid


@contextmanager
def embedded_server(
    spec: ModelSpec, log: Path, host: str = "127.0.0.1", port: int = 0, *, pinned: bool = True
) -> Iterator[Server]:
    """The embedded model's server, running while the context is open.

    Args:
        spec: its number of slots and the context of each.
        log: where llama.cpp's log is appended.
        host: the address it listens on.
        port: 0: any free one.
        pinned: whether requests name their slot; else the server finds the one with the likest prompt.

    Raises:
        ModelError: xllamacpp or the weights are missing, the port is taken, or the server does not start.
    """
    XLLAMACPP.require("The embedded model", ModelError)
    if port:
        free_port(host, port)
    settings = {
        "weights": str(find_weights()),
        "slots": spec.slots,
        "context": spec.context,
        # Not all of the machine's: llama.cpp's threads spin while they wait for each other, so that one
        # without a core of its own stalls all (measured on two cores: five times slower).
        "threads": usable_cores(),
        "host": host,
        "port": port,
        "pinned": pinned,
    }
    # By path, so that the child needs no installed package; -P, or it would see this folder's modules.
    command = [sys.executable, "-P", embedded.__file__]
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("ab") as stderr,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0
        ) as child,
    ):
        try:
            yield Server(_wait_until_healthy(child, json.dumps(settings), log), child)
        finally:
            _stop(child)


def _wait_until_healthy(child: subprocess.Popen[bytes], settings: str, log: Path) -> str:
    assert child.stdin is not None  # for the type checker: both are pipes
    assert child.stdout is not None
    # Reading a pipe has no time limit of its own: killing the child ends it.
    limit = threading.Timer(START_LIMIT, child.kill)
    limit.start()
    try:
        with contextlib.suppress(OSError):  # a child that died at once is reported below
            child.stdin.write(settings.encode() + b"\n")
        line = child.stdout.readline()
        if line:
            url: str = json.loads(line)["url"]
            while child.poll() is None:
                if is_healthy(url):
                    return url
                time.sleep(0.05)
    finally:
        limit.cancel()
    raise ModelError(f"The embedded model did not start: {last_line(log)}.", f"Its log: {log}")


def is_healthy(url: str) -> bool:
    """Whether the server at a base URL answers its health check (llama.cpp and vLLM have the same)."""
    try:
        return httpx.get(f"{url.removesuffix('/v1')}/health", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _stop(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()


def free_port(host: str, port: int = 0) -> int:
    """A port nobody listens on: the given one, or any if it is 0.

    Raises:
        ModelError: it is taken, or the address is none of this machine's.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Connections that an earlier server left behind are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ModelError(
                f"A server cannot listen on {host}:{port}: {error.strerror}.", "Name another port or address."
            ) from None
        return int(probe.getsockname()[1])


def reachable(host: str) -> str:
    """By which name a server is reached from this machine: an address that means "all" is none to ask."""
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host


def last_line(log: Path) -> str:
    """The last thing a server said."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else "it wrote no log"
