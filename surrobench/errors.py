"""Every error a user can cause or mend, each with its remedy.

The command line prints ``message`` and ``remedy`` on one line and exits with ``exit_code``; a traceback
is shown only for what is not in this tree, because that is a defect of ours.

    SurrobenchError                 1
    ├── UsageError                  2   the command or its arguments are wrong
    │   ├── UnknownName             2   a name that is in no registry, with the near miss
    │   └── SuiteError              2   a suite file that cannot be read or is not valid
    ├── DataError                   1   a benchmark's data is missing or damaged
    ├── MissingLibrary              1   an optional library that a method needs is not installed
    ├── ResultsError                1   a results folder is missing, damaged, locked or of another suite
    ├── ModelError                  1   a model or its server
    │   ├── ModelUnavailable        1   the server does not answer: its runs are parked, others go on
    │   └── RequestRefused          1   the server refuses one request (4xx): that run fails, others go on
    ├── OutputError             1   standard output cannot be written
    ├── ClusterError            1   a Dask cluster does not answer, or a worker cannot be used
    └── ReplayDiverged              1   a replayed run asked something else than what was recorded
        └── RecordingEnds           1   a replayed run goes on where its recording ends
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class SurrobenchError(Exception):
    """Base of the tree: what went wrong (``message``) and what to do about it (``remedy``)."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(message, remedy)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UsageError(SurrobenchError):
    """The command line or a value given to it is wrong.

    Attributes:
        keys: of the value that is wrong, where it stands in a table of a suite; the outermost first.
    """

    exit_code = 2
    keys: tuple[str, ...] = ()


class UnknownName(UsageError):
    """A name that is in no registry; the message suggests the nearest known one."""

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        known = list(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"Unknown {kind} {name!r}.{guess}", remedy or f"Known: {', '.join(known)}.")

    def __reduce__(self) -> tuple[object, ...]:
        # The constructor's arguments differ from the base's: rebuild from the finished message.
        return (_rebuild, (UnknownName, self.message, self.remedy))


class SuiteError(UsageError):
    """A suite file cannot be read, or does not say a valid study."""


class DataError(SurrobenchError):
    """The data of a benchmark is missing or damaged."""


class MissingLibrary(SurrobenchError):
    """A method of the study needs an optional library that is not installed."""


class ResultsError(SurrobenchError):
    """A results folder is missing, damaged, in use, incomplete, or belongs to another suite."""


class ModelError(SurrobenchError):
    """A language model cannot be used."""


class ModelUnavailable(ModelError):
    """The server does not answer (or only with errors that time could mend), after all retries."""


class RequestRefused(ModelError):
    """The server refuses this request for good (4xx, such as a prompt longer than its context)."""


class OutputError(SurrobenchError):
    """Standard output cannot be written, since a disk is full, say."""


class ClusterError(SurrobenchError):
    """A Dask cluster cannot be reached, was lost, or has a worker that would give other results."""


class ReplayDiverged(SurrobenchError):
    """A replayed run made a request, or got an objective value, that differs from the recorded one."""


class RecordingEnds(ReplayDiverged):
    """A replayed run goes on where its recording ends."""


@contextmanager
def located_at(key: str) -> Iterator[None]:
    """A ``UsageError`` raised within the ``with`` block is about this key, or one below it."""
    try:
        yield
    except UsageError as error:
        error.keys = (key, *error.keys)
        raise


def in_one_line(error: BaseException) -> str:
    """Describe an exception on one line, with the place in the source that it came from.

    An error of this tree is its own message. A syntax error names its place itself.
    """
    if isinstance(error, SurrobenchError):
        return str(error)
    try:
        message = " ".join(str(error).split())
    except Exception:  # another's error may not even have a text
        message = ""
    text = f"{type(error).__name__}: {message or 'no message'}"
    if isinstance(error, SyntaxError) or error.__traceback__ is None:
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{text} ({Path(frame.filename).name}:{frame.lineno})"


def _rebuild(kind: type[SurrobenchError], message: str, remedy: str) -> SurrobenchError:
    error = kind.__new__(kind)
    SurrobenchError.__init__(error, message, remedy)
    return error
