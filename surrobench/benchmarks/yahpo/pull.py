"""Fetch the published data from GitHub, checked and resumable: ``surrobench data pull yahpo``.

The tag's listing names the git id of every file, which is a checksum of its content. A file is downloaded
beside its final place. The download goes on where an earlier one stopped. The file is then compared with its
id and moved into place as one rename. A file that is there and right is not fetched again. Ids that are known
to this package have priority over those of the listing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from surrobench.benchmarks.yahpo.data import (
    ENCODING,
    MODEL,
    SPACE,
    STATISTICS,
    SUITES,
    VERSION,
    git_blob,
    pulled_folder,
    shipped,
)
from surrobench.errors import DataError, UnknownName
from surrobench.untrusted import load_json

REPOSITORY = "slds-lmu/yahpo_data"
TAG = f"v{VERSION}"
API, RAW = "https://api.github.com", "https://raw.githubusercontent.com"
RETRIES = 3
_REMEDY = (
    "What has arrived is kept: repeat the command when this machine is online, or fetch "
    f"https://github.com/{REPOSITORY} at tag {TAG} elsewhere and name its folder in SURROBENCH_YAHPO_DATA."
)


def pull(
    scenarios: Sequence[str] = (),
    note: Callable[[str], None] = lambda _: None,
    *,
    api: str = API,
    raw: str = RAW,
    backoff: float = 1.0,
) -> Path:
    """Fetch some scenarios, or all of them, into the cache, and return the folder that they are in.

    Args:
        scenarios: the names of the scenarios.
        note: takes a line on each file.
        api: the address of the listing.
        raw: the address of the files.
        backoff: seconds before the first retry. They are doubled for each further retry.

    Raises:
        UnknownName: there is no such scenario.
        DataError: the machine is offline, a disk is full, or what arrived is damaged; whole files are kept.
    """
    known = shipped()["scenarios"]
    for name in scenarios:
        if name not in known:
            raise UnknownName("scenario of YAHPO Gym", name, known)
    wanted = ["VERSION", STATISTICS, *SUITES.values()]
    # The network is fetched last: a scenario counts as present once its three files are there.
    wanted += [f"{name}/{file}" for name in scenarios or known for file in (SPACE, ENCODING, MODEL)]
    folder = pulled_folder()
    with httpx.Client(timeout=httpx.Timeout(60, connect=10), follow_redirects=True) as client:
        source = _Source(client, api, raw, backoff)
        listing: dict[str, str] | None = None
        for number, path in enumerate(wanted, 1):
            expected = shipped()["git_blobs"].get(path)
            if expected is None:
                listing = listing or source.listing()
                if path not in listing:
                    raise DataError(f"The tag {TAG} of {REPOSITORY} has no file {path}.", _REMEDY)
                expected = listing[path]
            note(f"{number} of {len(wanted)}: {path}")
            _fetch(source, path, folder / path, expected)
    return folder


def _fetch(source: _Source, path: str, target: Path, expected: str) -> None:
    """Bring one file into place, unless it is there."""
    unfinished = target.with_name(f"{target.name}.part")
    try:
        if target.is_file() and git_blob(target.read_bytes()) == expected:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        source.download(path, unfinished)
        if git_blob(unfinished.read_bytes()) != expected:
            # An earlier download may have left part of another file: fetch it once more from the start.
            unfinished.unlink()
            source.download(path, unfinished)
        if git_blob(unfinished.read_bytes()) != expected:
            unfinished.unlink()
            raise DataError(f"{path} arrived damaged, twice.", "Repeat the command.")
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror or error}.",
            "Free some space, or name another folder in SURROBENCH_CACHE.",
        ) from error


class _Source:
    """The repository on the web, read with retries."""

    def __init__(self, client: httpx.Client, api: str, raw: str, backoff: float) -> None:
        self._client, self._api, self._raw, self._backoff = client, api, raw, backoff

    def listing(self) -> dict[str, str]:
        """Return the git id of every file at the tag: path -> id."""
        url = f"{self._api}/repos/{REPOSITORY}/git/trees/{TAG}?recursive=1"
        found: dict[str, str] = {}

        def read() -> None:
            answer = self._client.get(url)
            answer.raise_for_status()
            entries: list[dict[str, Any]] = load_json(answer.content)["tree"]
            found.update({entry["path"]: entry["sha"] for entry in entries if entry["type"] == "blob"})

        self._retried(read, "its listing")
        return found

    def download(self, path: str, target: Path) -> None:
        """Write a file to ``target``, and go on after the part that ``target`` holds."""
        url = f"{self._raw}/{REPOSITORY}/{TAG}/{path}"

        def read() -> None:
            there = target.stat().st_size if target.exists() else 0
            headers = {"Range": f"bytes={there}-"} if there else {}
            # Ask for the file as it is, because a compressed answer could not be resumed.
            headers["Accept-Encoding"] = "identity"
            with self._client.stream("GET", url, headers=headers) as answer:
                if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return  # the whole file is there; its checksum decides
                answer.raise_for_status()
                resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
                with target.open("ab" if resumed else "wb") as file:
                    for part in answer.iter_bytes():
                        file.write(part)

        self._retried(read, path)

    def _retried(self, read: Callable[[], None], what: str) -> None:
        """Read, and try again after errors that may disappear with time.

        Raises:
            DataError: all tries failed.
        """
        for attempt in range(RETRIES + 1):
            try:
                read()
            except httpx.HTTPStatusError as error:
                status = error.response.status_code
                problem = f"the server answered {status}"
                if status not in {403, 408, 429} and status < 500:
                    break
            except httpx.TransportError as error:
                problem = " ".join(str(error).split()) or type(error).__name__
            except (ValueError, KeyError, TypeError):
                problem = "the answer was not understood"
                break
            else:
                return
            if attempt < RETRIES:
                time.sleep(self._backoff * 2**attempt)
        raise DataError(f"{REPOSITORY}: {what} cannot be fetched ({problem}).", _REMEDY)
