"""The log of a results folder: what a session says while it runs, with the tracebacks of failed runs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from surrobench.results.files import disk_errors

LOG = "surrobench.log"


@contextlib.contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """Append what surrobench logs to the log of a results folder, as long as the ``with`` block lasts.

    Raises:
        ResultsError: the log cannot be written.
    """
    with disk_errors(folder):
        handler = logging.FileHandler(folder / LOG, encoding="utf-8", errors="replace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.INFO)
    logger = logging.getLogger("surrobench")
    level = logger.level
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
