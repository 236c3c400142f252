"""Find out what a server can do, with one cheap request, and what a study does about the rest.

How decoding is constrained and whether seeds are sent is part of a run's identity, so a fallback must not be
silent. What a suite says explicitly is never changed. If a server cannot do it, that is an error, and the
message has the line to write. What a suite leaves to the defaults falls back *before* the runs are planned
(``study.fallbacks``), so that the planned runs are those that are really asked for.

The manifest keeps the fallbacks. The study is thus the same one tomorrow, when its server may not answer, and
in a replay. For the same reason nothing falls back once runs of the model were begun. If its server lost a
feature since, that is an error, and does not lead to other runs.

The number of completions per request is no part of the identity. If a server refuses several completions of
one request, they are asked for one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import httpx

from surrobench.errors import ModelError
from surrobench.llm.chat import THINK, UNTHINK
from surrobench.llm.client import authorization, is_here
from surrobench.llm.models import ModelSpec

Structured = Literal["json_schema", "json_object", "none"]

QUESTION = "Say hello, in JSON."
"""The question of the probe. Only a server that decodes by the schema answers as the schema says."""
TOKENS = 64
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
REFUSALS = (httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY)
"""The status codes with which a server says that it will never answer a request.

Any other status may pass, or is about something else.
"""
_SCHEMA = {
    "type": "object",
    "properties": {"surrobench": {"enum": ["probe"]}},
    "required": ["surrobench"],
    "additionalProperties": False,
}
_BY_SCHEMA = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "reply", "strict": True, "schema": _SCHEMA},
    }
}
_AS_OBJECT = {"response_format": {"type": "json_object"}}
_SAMPLES = {"n": 2}
_LOGPROBS = {"logprobs": True, "top_logprobs": 1}
_SEED = {"seed": 1}


_LABELS = {
    "json_schema": "JSON schemas",
    "json_object": "JSON objects",
    "seed": "seeds",
    "samples": "several completions per request",
    "logprobs": "log-probabilities",
    "usage": "token counts",
}


@dataclass(frozen=True)
class Capabilities:
    """The capabilities that a server was seen to have; None stands for one that is not known.

    Attributes:
        server: the server's name and version, as far as it tells them.
        json_schema, json_object: whether the server constrains decoding in this way.
        seed: whether a request may carry a seed.
        samples: whether one request gets several completions.
        logprobs: whether the server tells the probabilities of tokens.
        usage: whether the server counts tokens.
    """

    server: str = ""
    json_schema: bool | None = None
    json_object: bool | None = None
    seed: bool | None = None
    samples: bool | None = None
    logprobs: bool | None = None
    usage: bool | None = None

    def best(self, wanted: Structured) -> Structured:
        """Return the wanted way of constraining replies, or the next weaker one that the server has."""
        if wanted == "json_schema" and self.json_schema is False:
            wanted = "json_object"
        if wanted == "json_object" and self.json_object is False:
            wanted = "none"
        return wanted

    def __str__(self) -> str:
        has = [label for name, label in _LABELS.items() if getattr(self, name)]
        said = [", ".join(has)] if has else []
        said += [f"no {', no '.join(self.lacks)}"] if self.lacks else []
        return f"{self.server or 'a server'}: {'; '.join(said) or 'nothing is known of it'}"

    @property
    def lacks(self) -> list[str]:
        """Return the features that the server was seen to lack, in words."""
        return [label for name, label in _LABELS.items() if getattr(self, name) is False]


EMBEDDED = Capabilities("llama.cpp", json_schema=True, json_object=True, seed=True, usage=True)
"""The capabilities of the embedded server.

They say nothing of ``samples``, because a request that is pinned to a slot is for one completion.
"""


def capabilities(spec: ModelSpec) -> Capabilities:
    """Return what a model's server can do; a server that is not running yet is not started for it."""
    if spec.serve == "embedded":
        return EMBEDDED
    if spec.serve == "vllm":
        return _of_vllm(spec)
    if spec.url is None:  # a package provides its server
        return Capabilities()
    return probe(spec, spec.url)


def _of_vllm(spec: ModelSpec) -> Capabilities:
    from surrobench.llm.servers.vllm import find_vllm

    known = Capabilities("vLLM", json_schema=True, json_object=True, samples=True, logprobs=True, usage=True)
    try:
        found = find_vllm(spec.python)
    except ModelError:  # the error is reported when the server is to be started
        return known
    return replace(known, server=f"vLLM {found.version}", seed=found.takes_seeds)


def probe(spec: ModelSpec, url: str) -> Capabilities:
    """Ask a running server what it can do.

    One request suffices if the server can do everything. If it refuses that request, there is one for each
    feature.

    Only a status 400 or 422 refuses a feature, so that no passing trouble changes what a study asks for.
    Errors are not reported here: the first real request will report them, after its retries.

    Seeds are not tried with vLLM. Builds without GPU accept a seed, and their engine ends later, under load
    (``Installation.takes_seeds``). A server does not say which build it is. Users of such a build write
    ``seed = false``.

    Args:
        spec: the model.
        url: the base URL of its server, up to and including ``/v1``.

    Raises:
        ModelError: the URL is not valid, or the API key is missing.
    """
    url = url.rstrip("/")
    with httpx.Client(headers=authorization(spec), timeout=TIMEOUT, trust_env=not is_here(url)) as http:
        try:
            server = _server(http, url)
            ask = _Asking(http, url, spec)
            return _probe(ask, server, sends_seed=spec.seed and not server.startswith("vLLM"))
        except httpx.HTTPError:
            return Capabilities()


@dataclass(frozen=True)
class _Asking:
    http: httpx.Client
    url: str
    spec: ModelSpec

    def __call__(self, *features: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the server's reply to a small request with some features.

        The reply is empty if the server refuses the features. It is None if neither a reply nor a refusal
        came. That says nothing of the features: a server may be busy, starting, or behind a gateway that is.
        """
        body: dict[str, Any] = dict(self.spec.sampling)
        # Some models take only this name of the parameter, and the suite then uses it.
        body["max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"] = TOKENS
        body |= {"model": self.spec.model, "messages": [{"role": "user", "content": QUESTION}]}
        for feature in features:
            body |= feature
        response = self.http.post(f"{self.url}/chat/completions", json=body)
        if response.status_code in REFUSALS:
            return {}
        try:
            reply = response.json()
        except ValueError:
            return None
        usable = response.is_success and isinstance(reply, dict) and reply.get("choices")
        return reply if usable else None

    def has(self, feature: Mapping[str, Any], shows: Callable[[dict[str, Any]], bool]) -> bool | None:
        """Return whether a request with a feature is answered and the reply shows it; None: not known."""
        reply = self(feature)
        return None if reply is None else bool(reply) and shows(reply)


def _probe(ask: _Asking, server: str, *, sends_seed: bool) -> Capabilities:
    seeds = [_SEED] if sends_seed else []
    reply = ask(_BY_SCHEMA, _SAMPLES, _LOGPROBS, *seeds)
    if reply:
        found = Capabilities(
            server,
            json_schema=_obeys_schema(reply),
            samples=_has_samples(reply),
            logprobs=_has_logprobs(reply),
            seed=True if seeds else None,
            usage=_counts(reply),
        )
    else:
        plain = ask()
        if not plain:  # the server is busy, has a model of another name, or got a wrong key
            return Capabilities(server)
        found = Capabilities(
            server,
            json_schema=ask.has(_BY_SCHEMA, _obeys_schema),
            samples=ask.has(_SAMPLES, _has_samples),
            logprobs=ask.has(_LOGPROBS, _has_logprobs),
            seed=ask.has(_SEED, bool) if seeds else None,
            usage=_counts(plain),
        )
    if found.json_schema is not False:
        return found
    as_object = ask.has(_AS_OBJECT, _is_object)
    if as_object is None:  # the fallback is not known, and a study must not rest on a guess
        return replace(found, json_schema=None)
    return replace(found, json_object=as_object)


def _obeys_schema(reply: dict[str, Any]) -> bool:
    return _obeys(reply, schema=True)


def _is_object(reply: dict[str, Any]) -> bool:
    return _obeys(reply, schema=False)


def _obeys(reply: dict[str, Any], *, schema: bool) -> bool:
    """Return whether a reply shows that decoding was constrained, or at least not the contrary.

    A reasoning model may not get as far as the reply. It must then suffice that the server accepted the
    request.
    """
    try:
        choice = reply["choices"][0]
        text = (choice["message"].get("content") or "").rpartition(UNTHINK)[2].lstrip()
        cut_off: bool = choice.get("finish_reason") == "length"
        value: object = json.loads(text)
    except (KeyError, TypeError, AttributeError):
        return False
    except ValueError:
        return cut_off and (not text or text.startswith(("{", THINK)))
    return value == {"surrobench": "probe"} if schema else isinstance(value, dict)


def _has_samples(reply: dict[str, Any]) -> bool:
    return len(reply["choices"]) > 1


def _has_logprobs(reply: dict[str, Any]) -> bool:
    choice = reply["choices"][0]
    return isinstance(choice, dict) and bool(choice.get("logprobs"))


def _counts(reply: dict[str, Any]) -> bool:
    usage = reply.get("usage")
    return isinstance(usage, dict) and bool(usage.get("completion_tokens"))


def _server(http: httpx.Client, url: str) -> str:
    """Return a server's name and version, as far as it tells them."""
    response = http.get(f"{url.removesuffix('/v1')}/version")
    try:
        version = response.json()["version"] if response.is_success else None
    except (ValueError, KeyError, TypeError):
        version = None
    return f"vLLM {version}" if isinstance(version, str) else response.headers.get("server", "")


# ---------------------------------------------------------------------- what a study makes of it


def lacking(
    spec: ModelSpec, found: Capabilities, *, begun: bool = False, counts: bool = False
) -> ModelError | None:
    """Return the error for what a model's server cannot do, with the line that mends it, or None.

    Args:
        spec: the model.
        found: what its server can do.
        begun: whether runs of the model were begun with these settings. That line would start them anew.
        counts: whether the suite limits tokens, which the server has to count then.
    """
    if counts and found.usage is False:
        return ModelError(
            f"The server of {spec.model} does not count tokens, and the suite limits them.",
            "Limit trials or seconds instead of tokens, or use a server that reports usage.",
        )
    best = found.best(spec.structured)
    if best != spec.structured:
        problem = f"The server of {spec.model} does not take structured = {spec.structured!r}"
        line = f'structured = "{best}"'
    elif spec.seed and found.seed is False:
        problem, line = f"The server of {spec.model} takes no seed", "seed = false"
    else:
        return None
    if begun:
        return ModelError(
            f"{problem}, with which its runs here were begun.",
            f"Start the server that they were begun with; or write {line} into its table in the suite, "
            "and all of them start anew.",
        )
    return ModelError(f"{problem}.", f"Write {line} into its table in the suite.")
