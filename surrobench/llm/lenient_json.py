"""Read JSON as language models write it: with the slips that leave no doubt about what is meant.

Every slip that is mended is named, so that it can be recorded. Whatever leaves a doubt stays an error: a
value that is cut off, a comma that is missing, a word that is no value, NaN.
"""

from __future__ import annotations

import json
import re
from typing import Any

DEEPEST = 100
"""How deeply values may be nested."""

_SPACE = re.compile(r"[ \t\n\r\ufeff\xa0]+|(//[^\n]*|#[^\n]*|/\*.*?\*/)", re.DOTALL)
_NUMBER = re.compile(r"([-+]?)(\d+|\d*\.\d+|\d+\.)([eE][-+]?\d+)?(?![\w.])")
_STRICT = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?\Z")
_WORD = re.compile(r"[A-Za-z]+")
_STRING = {
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL),
}
_LITERALS = {"true": True, "false": False, "null": None}
_OF_PYTHON = {"True": True, "False": False, "None": None}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Reader:
    """Reads values from one text.

    Attributes:
        mends: what was mended in the value that was read last, in the order of its first occurrence:
            ``comma``, ``comment``, ``quotes``, ``literal``, ``number``, ``newline`` or ``key-twice``.
    """

    MOST_TOKENS = 100_000
    """The most tokens that are read of one text, false starts included: it may come from a model that repeats
    itself, while all other runs wait."""

    def __init__(self, text: str) -> None:
        self.mends: list[str] = []
        self._text, self._at, self._tokens = text, 0, 0
        self._decoder = json.JSONDecoder(
            parse_constant=_no_constant, parse_int=integer, object_pairs_hook=self._object
        )

    def read(self, start: int) -> tuple[Any, int]:
        """Return the value that begins at a place, and the place where it ends.

        Raises:
            ValueError: there is no complete value.
        """
        self.mends = []
        try:
            return self._decoder.raw_decode(self._text, start)
        except (ValueError, RecursionError):
            self.mends, self._at = [], start
        value = self._value(0)
        return value, self._at

    def _mended(self, what: str) -> None:
        if what not in self.mends:
            self.mends.append(what)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object; of a key that occurs twice the last value counts."""
        found = dict(pairs)
        if len(found) < len(pairs):
            self._mended("key-twice")
        return found

    def _peek(self) -> str:
        """Return the next character that is no space and in no comment, without passing it."""
        self._tokens += 1
        if self._tokens > self.MOST_TOKENS:
            raise ValueError("too long")
        while space := _SPACE.match(self._text, self._at):
            self._at = space.end()
            if space[1]:
                self._mended("comment")
        return self._text[self._at : self._at + 1]

    def _value(self, depth: int) -> Any:
        opening = self._peek()
        if opening in ("{", "["):
            if depth >= DEEPEST:
                raise ValueError("nested too deeply")
            self._at += 1
            return self._members(depth) if opening == "{" else self._elements(depth)
        if opening in _STRING:
            return self._string(opening)
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return self._as_number(number[0])
        word = _WORD.match(self._text, self._at)
        name = word[0] if word else ""
        if name not in _LITERALS:
            if name not in _OF_PYTHON:
                raise ValueError("no value")
            self._mended("literal")
        self._at += len(name)
        return (_LITERALS | _OF_PYTHON)[name]

    def _members(self, depth: int) -> dict[str, Any]:
        pairs: list[tuple[str, Any]] = []
        while (opening := self._peek()) != "}":
            if opening not in _STRING:
                raise ValueError("no name")
            name = self._string(opening)
            if self._peek() != ":":
                raise ValueError("no colon")
            self._at += 1
            pairs.append((name, self._value(depth + 1)))
            self._comma("}")
        self._at += 1
        return self._object(pairs)

    def _elements(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while self._peek() != "]":
            found.append(self._value(depth + 1))
            self._comma("]")
        self._at += 1
        return found

    def _comma(self, closing: str) -> None:
        """Pass a comma; it may stand before the closing bracket, and there it may also be missing."""
        follows = self._peek()
        if follows == ",":
            self._at += 1
            if self._peek() == closing:
                self._mended("comma")
        elif follows != closing:
            raise ValueError("no comma")

    def _string(self, quote: str) -> str:
        found = _STRING[quote].match(self._text, self._at)
        if not found:
            raise ValueError("a string that does not end")
        self._at = found.end()
        body = found[1]
        if quote == "'":
            self._mended("quotes")
            body = _ESCAPE.sub(lambda escape: "'" if escape[1] == "'" else escape[0], body)
            body = re.sub(r'(?<!\\)((?:\\\\)*)"', r'\1\\"', body)
        if re.search(r"[\x00-\x1f]", body):
            self._mended("newline")
        text: str = json.loads(f'"{body}"', strict=False)
        return text

    def _as_number(self, written: str) -> int | float:
        if not _STRICT.match(written):
            self._mended("number")
        digits = written.lstrip("+")
        return integer(digits) if re.fullmatch(r"-?\d+", digits) else float(digits)


def integer(digits: str) -> int | float:
    """Return the number that digits stand for.

    An integer that no float can hold would overflow in every comparison that needs a float. Such an integer
    is returned as infinity.
    """
    return int(digits) if len(digits) < 300 else float(digits)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
