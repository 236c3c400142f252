"""The embedded server's own process: ``python -m surrobench.llm.servers.llama_cpp_process``.

llama.cpp runs in a child process so that a crash of native code costs no results, and its log does not
mix with ours. The protocol is three lines long:

- one JSON line of settings on standard input: ``weights``, ``slots``, ``context``, ``threads``,
  ``host``, ``port`` (0: any free one), ``pinned``;
- one JSON line on standard output once the model is loaded: ``{"url": "http://127.0.0.1:PORT/v1"}``;
- the end of standard input, which also comes when the parent is killed, ends the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any


def main() -> None:
    """Serve until standard input ends."""
    # Ctrl-C reaches every process of the terminal; the parent decides when the server may go.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Standard output carries one line for the parent; whatever native code prints belongs in the log.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settings = json.loads(sys.stdin.buffer.readline())
    parent = threading.Thread(target=_exit_with_parent, daemon=True)
    parent.start()  # before loading, which takes seconds in which the parent may die
    server = _serve(**settings)
    with answer:
        answer.write(json.dumps({"url": f"{server.listening_address}/v1"}) + "\n")
    parent.join()


def _exit_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)  # without clean-up: there is nothing to save, and native threads may be busy


def _serve(
    weights: str, slots: int, context: int, threads: int, host: str, port: int, *, pinned: bool
) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.hostnames = [host]
    params.port = port
    params.n_parallel = slots
    params.n_ctx = slots * context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    if pinned:
        # A run is pinned to its slot by the client; the server must not move it to one with a similar prompt.
        params.slot_prompt_similarity = 0.0
    # Nor keep copies of prompts in memory (8 GB by default) for runs that have left.
    params.cache_ram_mib = 0
    params.endpoint_metrics = True
    params.ui = False
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
