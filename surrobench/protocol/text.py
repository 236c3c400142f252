"""Make text storable: what optimizers, models and errors say goes into files, frames and requests."""

from __future__ import annotations


def storable(text: str) -> str:
    """Return a text with a question mark for each lone surrogate, which no file in UTF-8 can hold.

    A text without any, nearly every one, is returned as it is.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text
