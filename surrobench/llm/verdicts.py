"""Judge what a server's answer to a request means, and name the remedy."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal

from surrobench.llm.address import shown
from surrobench.llm.chat import message_of
from surrobench.llm.models import ModelSpec, shape_of, weaker_than
from surrobench.llm.transport import Answer

Verdict = Literal["reply", "busy", "trouble", "refused", "closed"]
"""What an answer means.

- ``reply``: there is a reply.
- ``busy``: too many requests, but the server lives.
- ``trouble``: it may pass by itself.
- ``refused``: this request will never be answered.
- ``closed``: no request will be answered until somebody acts.
"""

KEY = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
SHUT = (
    *KEY,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.GONE,
)
"""Status codes about the key, the account, the model or the address, and so about no single request."""
QUOTA = ("insufficient_quota", "billing_hard_limit_reached")
"""Codes with which a status 429 says that waiting will not help."""
IN_SUITE = "Write {} into the model's table in the suite."
RESUME = "Start the server and repeat the command; it resumes where it stopped."


def verdict(status: int, content: bytes) -> Verdict:
    """Return what an answer means; a ``reply`` may still hold no completion."""
    if status == HTTPStatus.OK:
        return "reply"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "closed" if any(code.encode() in content for code in QUOTA) else "busy"
    if status == HTTPStatus.REQUEST_TIMEOUT or status >= 500:
        return "trouble"
    return "closed" if status < 400 or status in SHUT else "refused"


def problem_of(status: int, content: bytes) -> str:
    """Return an answer's status and what the server says, on one line."""
    said = message_of(content)
    if not said and status in list(HTTPStatus):
        said = HTTPStatus(status).phrase
    return f"status {status}: {said}" if said else f"status {status}"


def remedy_of(status: int, headers: Mapping[str, str], spec: ModelSpec) -> str:
    """Return what to do about an answer that no repetition mends; empty if there is no advice."""
    if status in KEY:
        return (
            f"Put a valid API key in the environment variable {spec.key_env}."
            if spec.key_env
            else "Name the environment variable that holds the API key: key_env of the model."
        )
    if status in (HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS):
        return "Look after the account of the key (its credit or quota), and repeat the command."
    if status in SHUT:
        return "Check the URL (it ends in /v1) and the model's name."
    if 300 <= status < 400 and (target := headers.get("location", "")):
        base = shown(target).removesuffix("/chat/completions")
        return f'The server sends requests elsewhere, which is not followed: check url = "{base}".'
    if status < 400:
        return "A completion has status 200: check that the URL is that of the model's server."
    return ""


def retry_after(answer: Answer) -> float:
    """Return how many seconds a server asks to wait: a number, or a date by the server's own clock.

    It is 0 if the server says nothing that can be understood.
    """
    stated = answer.headers.get("retry-after", "")
    try:
        seconds = float(stated)
    except ValueError:
        until, now = _time(stated), _time(answer.headers.get("date", ""))
        seconds = 0.0 if until is None else until - (time.time() if now is None else now)
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def _time(date: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(date)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def clock(seconds: float) -> str:
    """Return the time of day, or the date, that is some seconds from now."""
    at = datetime.now().astimezone().timestamp() + seconds
    when = datetime.fromtimestamp(at).astimezone()
    return when.strftime("%H:%M" if seconds < 12 * 3600 else "%Y-%m-%d %H:%M")


def line_to_write(sent: Mapping[str, Any], problem: str) -> str:
    """Return the remedy if a server may have refused what a request has beside its messages."""
    said = problem.lower()
    if "max_completion_tokens" in said and "max_tokens" in sent:
        return IN_SUITE.format('limit = "max_completion_tokens"')
    for name in ("temperature", "top_p"):
        if name in said and name in sent:
            return IN_SUITE.format(f'omit = ["{name}"]')
    schema = sent.get("response_format", {}).get("json_schema", {}).get("schema")
    if schema is None:
        return ""
    shape = shape_of(schema)
    modes = [f'"{mode}"' for mode in weaker_than("json_schema", shape)]
    one = f"{', '.join(modes[:-1])} or {modes[-1]}"
    line = IN_SUITE.format(f"structured = {{ {shape} = MODE }}")
    return f"If it does not take this schema: {line[0].lower()}{line[1:-1]} (MODE is {one})."
