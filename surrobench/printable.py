"""Show text that others wrote: names in suites and files, errors of servers, the words of language models.

Printed as it is, such a text could move the cursor of a terminal, retitle its window, hide a link, reverse
the direction of writing, or end the row of a table.
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterator

from surrobench.errors import OutputError

_OBEYED = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Categories of characters that a terminal or a browser obeys instead of showing them, or cannot show."""


def obeyed(character: str) -> bool:
    """Return whether a character is obeyed instead of shown, or cannot be shown."""
    no_character = ord(character) & 0xFFFE == 0xFFFE  # U+FFFE, say, which no XML may hold
    return no_character or unicodedata.category(character) in _OBEYED


def printable(text: str) -> str:
    """Return the text on one line: control characters as visible escapes, line ends as spaces."""
    text = " ".join(text.splitlines()) if len(text.splitlines()) > 1 else text.rstrip("\r\n")
    return _shown(text, "")


def printable_lines(text: str) -> str:
    """Return the text with every control character as a visible escape; line ends and tabs stay."""
    return _shown(text, "\n\t")


def _shown(text: str, kept: str) -> str:
    if text.isascii() and (text.isprintable() or text.translate({ord(c): None for c in kept}).isprintable()):
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if obeyed(character) and character not in kept
        else character
        for character in text
    )


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Turn what the operating system says of standard output into one line.

    Raises:
        OutputError: standard output cannot be written.
        BrokenPipeError: its reader has left.
    """
    try:
        yield
    except BrokenPipeError as error:
        # Without a number: click would end with status 1 for one of its own.
        raise BrokenPipeError(str(error)) from error
    except OSError as error:
        raise OutputError(f"Standard output cannot be written: {error.strerror or error}.") from error
