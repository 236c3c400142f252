"""Start and stop the embedded model's server, on loopback, in a child process.

The child process never outlives the process that started it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from surrobench.errors import ModelError
from surrobench.libraries import XLLAMACPP
from surrobench.llm.models import ModelSpec
from surrobench.llm.servers import llama_cpp_process as embedded
from surrobench.llm.servers.process import Server, free_port, running_server
from surrobench.llm.weights import find_weights
from surrobench.system import usable_cores

START_LIMIT = 120.0
"""The most seconds that the model may take to load."""


@contextmanager
def embedded_server(
    spec: ModelSpec, log: Path, host: str = "127.0.0.1", port: int = 0, *, pinned: bool = True
) -> Iterator[Server]:
    """Run the embedded model's server while the context is open.

    Args:
        spec: the model, with its number of slots and the context of each slot.
        log: the file that llama.cpp's log is appended to.
        host: the address that the server listens on.
        port: the port that the server listens on; with 0, any free port.
        pinned: whether requests name their slot. If not, the server finds the slot with the most similar
            prompt.

    Raises:
        ModelError: xllamacpp or the weights are missing, the port is taken, or the server does not start.
    """
    XLLAMACPP.require("The embedded model", ModelError)
    settings = {
        "weights": str(find_weights()),
        "name": spec.model,
        "slots": spec.slots,
        "context": spec.context,
        # The server does not get all threads of the machine. llama.cpp's threads spin while they wait for
        # each other, so that one without a core of its own stalls all (measured on two cores: five times
        # slower).
        "threads": usable_cores(),
        "host": host,
        "port": (port := free_port(host, port)),
        "pinned": pinned,
    }
    # The script is run by path, so that the child needs no installed package. Without -P, the child would see
    # this folder's modules.
    command = [sys.executable, "-P", embedded.__file__, json.dumps(settings)]
    with running_server("The embedded model", command, host, port, log, START_LIMIT, spec) as server:
        yield server
