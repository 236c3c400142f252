"""Print results, remarks, log records and errors.

All that a command prints goes through here. Results go to standard output, all else to standard error, so
that ``-q`` silences it in one place. Text that others wrote is made printable in one place, too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Literal, TextIO

import click

from surrobench.printable import printable, printable_lines, printing

if TYPE_CHECKING:
    from rich.table import Table

    from surrobench.terminal import Terminal

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

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Go on where standard error cannot be written: a remark is not worth a study."""


class _Formatter(logging.Formatter):
    """A line for people: the level only where it warns, the module only when debugging."""

    def format(self, record: logging.LogRecord) -> str:
        text = printable_lines(super().format(record))
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
        complain(text)


def complain(text: str) -> None:
    """Print on standard error what ``-q`` does not silence; go on where that cannot be written."""
    with contextlib.suppress(OSError):
        click.echo(printable_lines(text), err=True)


def fail(text: str) -> None:
    """Print an error on one line."""
    complain(printable(f"Error: {text}"))


def write(text: str, *, nl: bool = True) -> None:
    """Print text on standard output.

    Raises:
        OutputError: standard output cannot be written.
    """
    with printing():
        click.echo(printable_lines(text), nl=nl)


def discard() -> None:
    """Let what is still to be written to standard output vanish; else Python would complain at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console(*, wide: bool = True) -> Terminal:
    """Return the console for tables on standard output.

    Args:
        wide: whether it is wide where standard output is a file or a pipe: a program that reads a table wants
            each row on one line; 80 columns are for eyes only.
    """
    from surrobench.terminal import Terminal

    aside = sys.stdout is not None and not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Terminal(width=_WIDE if wide and aside else None)


def errors(*, quiet: bool | None = None) -> Terminal:
    """Return the console for standard error.

    Args:
        quiet: whether it prints nothing; by default whether ``-q`` was given.
    """
    from surrobench.terminal import Terminal

    return Terminal(stderr=True, quiet=is_quiet() if quiet is None else quiet)


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
