"""Read JSON and TOML that others wrote.

Whatever is wrong with such a text is a ``ValueError``, so that callers need to think of one exception only.
Python's own readers also raise a ``RecursionError`` where values are nested deeply. So would code that later
walks through such a value.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

DEEPEST = 100
"""How deeply values may be nested. No file of surrobench, and no reply of a server, comes near it."""


def load_json(text: str | bytes) -> Any:
    """Return the value that a JSON text holds.

    Raises:
        ValueError: the text is no JSON, or nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    opening: Any = (b"[", b"{") if isinstance(text, bytes) else ("[", "{")
    return _shallow(value, sum(map(text.count, opening))) if type(value) in _NESTS else value


def load_toml(text: str) -> dict[str, Any]:
    """Return the table that a TOML text holds.

    Raises:
        ValueError: the text is no TOML (a ``tomllib.TOMLDecodeError``), or nested too deeply.
    """
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    # Dotted keys open a table each.
    table: dict[str, Any] = _shallow(value, text.count("[") + text.count("{") + text.count("."))
    return table


_NESTS = (dict, list)
TOO_DEEP = f"its values are nested more than {DEEPEST} deep"


def _shallow(value: Any, openings: int) -> Any:
    """Return the value if it is nested within the limit. A text with few opening brackets is not walked."""
    level: list[Any] = [value]
    depth = 0
    while openings > DEEPEST and level:
        inner = (part for of in level for part in (of.values() if isinstance(of, dict) else of))
        level = [part for part in inner if type(part) in _NESTS]
        depth += 1
        if depth > DEEPEST:
            raise ValueError(TOO_DEEP)
    return value
