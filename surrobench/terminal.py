"""Print with Rich what others wrote, without obeying it.

No text is read as Rich's markup (``[link=...]``, or ``[relu]`` as a style), and no escape sequence in a text
reaches the terminal: whatever is printed through a ``Terminal`` is made printable at this one exit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from surrobench.printable import printable_lines, printing


def _as_text(said: Any) -> Any:
    """Return what Rich would read as markup as it is written."""
    return Text(said) if isinstance(said, str) else said


class _Line(Status):
    """A line with a spinner."""

    def update(self, status: RenderableType | None = None, **options: Any) -> None:
        super().update(_as_text(status), **options)


class Terminal(Console):
    """A console that shows every text as it is written, control characters as visible escapes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of what is printed; those that hold text hold nothing to be obeyed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """Return a line with a spinner; Rich would read its text as markup."""
        return _Line(_as_text(status), console=self, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as Rich does; where standard error cannot be written, go on without.

        Raises:
            OutputError: standard output cannot be written.
        """
        with contextlib.suppress(OSError) if self.stderr else printing():
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line what happens when the reader has seen enough."""
        raise BrokenPipeError
