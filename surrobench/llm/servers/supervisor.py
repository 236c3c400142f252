"""Run a server for as long as standard input is open: ``python supervisor.py COMMAND [ARG...]``.

The end of standard input also comes when the parent is killed, so no server outlives the study that started
it. The supervisor leads a process group (its parent starts it in a session of its own). The group holds the
server and every process that the server starts. A vLLM server is half a dozen processes, and a server that is
killed cannot end the others itself. Only the standard library is used, because the script is run by path.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE = 10.0
"""The seconds that a server has to end by itself."""


def main(command: list[str]) -> None:
    """Run the command until it or standard input ends; then end all processes that are left of it."""
    # The supervisor's own standard input is the parent's signal, so the server must not read from it.
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2)
    ended = threading.Event()

    def watch_parent() -> None:
        while os.read(0, 4096):
            pass
        ended.set()

    def watch_server() -> None:
        server.wait()
        ended.set()

    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: None)  # the parent decides when the server may go
    for watch in (watch_parent, watch_server):
        threading.Thread(target=watch, daemon=True).start()
    ended.wait()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.terminate()
        server.wait(GRACE)
    server.kill()
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():  # not when somebody tries this out in a shell
        os.killpg(0, signal.SIGKILL)  # this kills the supervisor, too


if __name__ == "__main__":
    main(sys.argv[1:])
