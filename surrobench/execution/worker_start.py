"""The program of a worker process: end with the parent, find what the parent finds, and serve.

    python -P worker_start.py PARENT PATH...

Before anything is imported, Linux is asked to end the process with its parent. Elsewhere, and where there is
no ``prctl``, the worker ends with its standard input, which a thread reads (``execution/worker.py``); the
thread gets no turn while an import or a call into a library keeps Python's lock.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""Of ``prctl``, in Linux's ``prctl.h``."""


def end_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent ends, where it can; end if the parent has ended.

    Args:
        parent: the id of the process that started this one.
    """
    if sys.platform == "linux":
        # Some builds of Python have no ctypes, and some sandboxes no prctl.
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    sys.path[:] = sys.argv[2:]
    from surrobench.execution.worker import serve

    serve()
