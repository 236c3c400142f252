"""Names that patterns mean."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from surrobench.errors import UnknownName


def fits(name: str, pattern: str) -> bool:
    """Return whether a pattern, as a shell knows them, means a name; each name means itself."""
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def matching(kind: str, patterns: Iterable[str], known: Iterable[str], remedy: str = "") -> list[str]:
    """The known names that patterns mean, in the order of ``known``.

    Args:
        kind: of thing, for the error.
        patterns: names, or patterns as a shell knows them.
        known: names.
        remedy: of the error, if not the list of what is known.

    Raises:
        UnknownName: a pattern matches nothing.
    """
    known = [*known]
    meant: set[str] = set()
    for pattern in patterns:
        found = {name for name in known if fits(name, pattern)}
        if not found:
            raise UnknownName(kind, pattern, known, remedy)
        meant |= found
    return [name for name in known if name in meant]
