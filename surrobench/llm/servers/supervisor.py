"""Runs a server for as long as its own standard input is open: ``python supervisor.py COMMAND [ARG...]``.

The end of standard input also comes when the parent is killed, so no server outlives the study that started
it. The supervisor leads a process group (its parent starts it in a session of its own), which holds the
server and every process that the server starts. A vLLM server is half a dozen processes, and one that is
killed cannot end the others itself. Only the standard library is used: the script is run by path.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE = 10.0
"""Seconds a server has to end by itself."""


def main(command: list[str]) -> None:
    """Run the command until it ends or standard input does; then end all that is left of it."""
    # Our own standard input is the parent's signal: the server must not read from it.
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
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():  # not where somebody tries this out in a shell
        os.killpg(0, signal.SIGKILL)  # this process, too


if __name__ == "__main__":
    main(sys.argv[1:])
