"""What the command line says on standard error beside errors: remarks of a command, and log records.

Results go to standard output; all else goes through here, so that ``-q`` silences it in one place.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Literal, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDE = 240
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to standard error as it is at that moment: a progress bar may have replaced it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.quiet = False

    @property
    def stream(self) -> TextIO:  # type: ignore[override] # the base class keeps the stream of its creation
        return sys.stderr


class _Formatter(logging.Formatter):
    """A line for people: the level only where it warns, the module only when debugging."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno == logging.DEBUG:
            return f"{record.name}: {text}"
        return text if record.levelno < logging.WARNING else f"{record.levelname.capitalize()}: {text}"


_handler = _Handler()
_handler.setFormatter(_Formatter())


def configure(verbose: int = 0, *, quiet: bool = False) -> None:
    """Set what the package's loggers print: warnings, with ``-v`` progress, with ``-vv`` everything.

    Args:
        verbose: how often ``-v`` was given.
        quiet: print errors only; wins over ``verbose``.
    """
    level = logging.ERROR if quiet else _LEVELS[min(verbose, len(_LEVELS) - 1)]
    _handler.quiet = quiet
    _handler.setLevel(level)
    package = logging.getLogger("surrobench")
    package.setLevel(level if verbose else logging.NOTSET)  # a log file may want more than the terminal
    package.addHandler(_handler)


def release() -> None:
    """Undo ``configure``, so that a program that calls the command line keeps its own logging."""
    logging.getLogger("surrobench").removeHandler(_handler)


def is_quiet() -> bool:
    """Whether ``-q`` was given."""
    return _handler.quiet


def say(text: str) -> None:
    """Print a remark on standard error, unless ``-q`` was given."""
    if not _handler.quiet:
        click.echo(text, err=True)


def console() -> Console:
    """Return the console for tables on standard output, wide where that is a file or a pipe.

    A program that reads a table wants each row on one line; 80 columns are for eyes only.
    """
    from rich.console import Console

    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_WIDE if wide else None)


def table(*headings: str) -> Table:
    """Return an empty table without lines.

    Args:
        headings: of the columns; one that ends in ``>`` is aligned to the right, and never wrapped.
    """
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        right = heading.endswith(">")
        align: Literal["right", "left"] = "right" if right else "left"
        made.add_column(heading.removesuffix(">"), justify=align, no_wrap=right, overflow="fold")
    return made


def count(number: int, noun: str) -> str:
    """Return a number of things in words, such as ``1 run`` and ``1,200 runs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration in words: seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
