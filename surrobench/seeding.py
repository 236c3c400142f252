"""From what identifies a run to its independent, named random streams.

A stream is a function of its name and of an identity, never of the order in which streams are made, of the
number of workers, or of Python's hash seed:

- ``initial`` and ``noise`` come from (benchmark, seed, initial design): methods share them and are paired;
- ``optimizer`` comes from (benchmark, optimizer, seed);
- ``model`` comes from (run, call, attempt): the seed sent with a request.

The budget is in no stream, so that a run of 100 trials extends a run of 30.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Keys = NDArray[np.uint64]


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same text for the same value, everywhere."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def plain(value: Any) -> Any:
    """Return a JSON value in which a whole number is an integer, so that 1 and 1.0 have one text."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def content_hash(value: Any, digits: int = 16) -> str:
    """Hexadecimal digest of a JSON value, ``digits`` long (4 bits each)."""
    return hashlib.blake2b(canonical(value).encode(), digest_size=digits // 2).hexdigest()


def stream(name: str, *identity: Any) -> Generator:
    """The random stream called ``name`` of whatever ``identity`` (JSON values) describes."""
    return np.random.default_rng(int(content_hash([name, *identity], digits=32), 16))


def key(name: str, *identity: Any) -> int:
    """A 64-bit key for counter-based draws (``mix``) and for seeds sent to others."""
    return int(content_hash([name, *identity], digits=16), 16)


def mix(keys: Keys, counters: Keys) -> Keys:
    """A uniform 64-bit number for each (key, counter) pair, elementwise: SplitMix64's finaliser, twice.

    Stateless, so what a trial draws does not depend on which trials were evaluated with it.
    Source: Steele, Lea & Flood, OOPSLA 2014 (the mixing function of ``SplittableRandom``).
    """
    with np.errstate(over="ignore"):
        return _finalise(_finalise(counters + np.uint64(0x9E3779B97F4A7C15)) ^ keys)


def _finalise(z: Keys) -> Keys:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
