"""Check, extend and show the addresses of model servers; a password or a key in them is never shown."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from surrobench.errors import ModelError

HERE = ("localhost", "127.0.0.1", "::1")
_USER = re.compile(r"(//)[^/\s\"'@]*@")
_SECRET = re.compile(
    r"(?i)(^|[-_.])(key|apikey|token|secret|passw\w*|pwd|sig|signature|auth\w*|credential\w*)$"
)
_OPTION = re.compile(r"(--[\w-]*(?:key|token|password|secret)[\"']?(?:=|\s*,\s*|\s+)[\"']?)[^\s\"',\]]+")
_SETTING = re.compile(r"(?i)(\b[\w-]*(?:key|token|secret|password|pwd|sig)[\"']?\s*=\s*[\"']?)[^\s\"'&,}]+")


def checked(url: str) -> SplitResult:
    """Return the parts of a server's address.

    Raises:
        ModelError: it is no address of a web server, or holds a password or a key.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        valid = valid and url.isascii() and url.isprintable() and " " not in url
    except ValueError:  # a port that is no number below 65536, or brackets that do not match
        valid = False
    if not valid:
        raise ModelError(
            f"{without_secrets(url)!r} is not the URL of a model server.",
            "Give it as http://host:port/v1 (url of the model).",
        )
    if parts.username is not None or parts.password is not None:
        raise ModelError(
            f"The URL {shown(url)} holds a user or a password, which would be stored with the results.",
            "Leave it out, and put 'Basic ' and the base64 of user:password into the environment variable"
            " that key_env of the model names.",
        )
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if is_secret(name):
            raise ModelError(
                f"The URL {shown(url)} holds a key ({name}), which would be stored with the results.",
                "Leave it out, and put the key into the environment variable that key_env names.",
            )
    return parts


def endpoint(url: str, path: str) -> str:
    """Return the address of a path below a server's base URL; what stands behind its ``?`` stays there."""
    parts = checked(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}{path}", fragment=""))


def beside(url: str, path: str) -> str:
    """Return the address of a path beside ``/v1``."""
    parts = checked(url)
    return endpoint(urlunsplit(parts._replace(path=parts.path.rstrip("/").removesuffix("/v1"))), path)


def shown(url: str) -> str:
    """Return an address as messages and files show it: without user, password and what follows the ``?``."""
    return _USER.sub(r"\1", url.partition("?")[0].partition("#")[0])


def is_here(url: str) -> bool:
    """Return whether a URL is of this machine.

    A proxy from the environment must not be asked for such a URL.

    Raises:
        ModelError: the URL is not valid.
    """
    return checked(url).hostname in HERE


def is_secret(name: str) -> bool:
    """Return whether a parameter's name says that its value is a key or a password."""
    return _SECRET.search(name) is not None


def without_secrets(text: str) -> str:
    """Return a text without the passwords and keys that stand in URLs, options and settings of it."""
    return _SETTING.sub(r"\1***", _OPTION.sub(r"\1***", _USER.sub(r"\1***@", text)))
