"""Run the embedded server in its own process: ``python llama_cpp_process.py SETTINGS``.

llama.cpp runs in a child process, so that a crash of native code costs no results and its log does not mix
with that of surrobench. SETTINGS is a JSON object with the arguments of ``_serve``. The process serves until
a signal ends it. Its supervisor sends one when the study ends.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any


def main() -> None:
    """Serve until a signal ends the process; there is nothing to clean up."""
    server = _serve(**json.loads(sys.argv[1]))
    threading.Event().wait()
    del server  # this line is never reached: the server serves for as long as a name refers to it


def _serve(
    weights: str, name: str, slots: int, context: int, threads: int, host: str, port: int, *, pinned: bool
) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    # The list of models tells this server from another one that took its port.
    params.model_alias = {name}
    params.hostnames = [host]
    params.port = port
    params.n_parallel = slots
    params.n_ctx = slots * context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    if pinned:
        # The client pins a run to its slot. The server must not move it to a slot with a similar prompt.
        params.slot_prompt_similarity = 0.0
    # The server must not keep copies of prompts in memory (8 GB by default) for runs that have left.
    params.cache_ram_mib = 0
    params.endpoint_metrics = True
    params.ui = False
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
