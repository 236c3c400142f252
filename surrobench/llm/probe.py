"""Find out what a server can do, with one cheap request where it can do everything.

What a study will send is tried as it will be sent: every shape of its schemas, and its sampling parameters.
Schemas fall back for each shape of replies by itself. A limit of tokens that the server does not know gets
its other name, and parameters that it refuses are left out.

The number of completions per request is no part of a run's identity. If a server refuses several completions
of one request, they are asked for one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from surrobench.errors import ModelError
from surrobench.llm.address import beside, endpoint, shown
from surrobench.llm.capabilities import EMBEDDED, Capabilities
from surrobench.llm.chat import (
    LIMITS,
    QUESTION,
    NotACompletion,
    chat_body,
    completions_of,
)
from surrobench.llm.models import ModelSpec, Shape, Structured, shape_of, weaker_than
from surrobench.llm.transport import Answer, NoAnswer, Transport, wait_with_heartbeat
from surrobench.llm.verdicts import problem_of, remedy_of, verdict
from surrobench.protocol.requests import Complete, Completion, Message
from surrobench.untrusted import load_json

TOKENS = 64
SECONDS = 60.0
"""The most seconds that a server may take for one answer to the probe."""
BEAT = 5.0
"""A server that takes longer is said to be waited for, every so many seconds."""
REFUSALS = (400, 422)
"""The status codes with which a server says that it will never answer a request.

Any other status may pass, or is about something else.
"""
_SCHEMA = {
    "type": "object",
    "properties": {"surrobench": {"enum": ["probe"]}},
    "required": ["surrobench"],
    "additionalProperties": False,
}
_ASK = Complete((Message("user", QUESTION),), "propose")
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


def capabilities(
    spec: ModelSpec,
    requests: Sequence[Complete] = (),
    beat: Callable[[float], None] = lambda seconds: None,
) -> Capabilities:
    """Return what a model's server can do; a server that is not running yet is not started for it.

    Args:
        spec: the model.
        requests: what the study will send, one request of each kind; see ``kinds``.
        beat: called with the seconds so far while the server is waited for.

    Raises:
        ModelError: see ``probe``.
    """
    if spec.serve == "embedded":
        return EMBEDDED
    if spec.serve == "vllm":
        return _of_vllm(spec)
    if spec.url is None:  # a package provides its server
        return Capabilities()
    return probe(spec, spec.url, requests, beat)


def _of_vllm(spec: ModelSpec) -> Capabilities:
    from surrobench.llm.servers.vllm import find_vllm

    known = Capabilities("vLLM", json_schema=True, json_object=True, samples=True, logprobs=True, usage=True)
    try:
        found = find_vllm(spec.python)
    except ModelError:  # the error is reported when the server is to be started
        return known
    return replace(known, server=f"vLLM {found.version}", seed=found.takes_seeds)


def kinds(requests: Iterable[Complete]) -> list[Complete]:
    """Return one request of each kind: the shape of its replies, what its schema uses, its parameters."""
    found: dict[str, Complete] = {}
    for request in requests:
        found.setdefault(kind_of(request), request)
    return list(found.values())


def kind_of(request: Complete) -> str:
    """Return what a server may refuse of a request, as a text that is the same for requests alike in it."""
    uses = [] if request.schema is None else sorted(_keywords(request.schema))
    shape = "" if request.schema is None else shape_of(request.schema)
    return json.dumps([shape, uses, sorted(request.sampling)])


def _keywords(schema: Any) -> set[str]:
    """Return what a schema is made of: keywords, types, and whether some properties are optional."""
    if not isinstance(schema, Mapping):
        return set()
    found = {f"{key}:{value}" if key == "type" else key for key, value in schema.items()}
    properties = schema.get("properties", {})
    if set(properties) - set(schema.get("required", properties)):
        found.add("optional")
    return found.union(*map(_keywords, properties.values()), _keywords(schema.get("items")))


def probe(
    spec: ModelSpec,
    url: str,
    requests: Sequence[Complete] = (),
    beat: Callable[[float], None] = lambda seconds: None,
) -> Capabilities:
    """Ask a running server what it can do.

    One request suffices if the server can do everything. If it refuses that request, there is one for each
    feature. There is one more for each kind of schema that the study will send.

    Only a status 400 or 422 refuses a feature, so that no passing trouble changes what a study asks for.
    Such trouble is not reported here: the first real request will report it, after its retries.

    Seeds are not tried with vLLM. Builds without GPU accept a seed, and their engine ends later, under load
    (``Installation.takes_seeds``). A server does not say which build it is. Users of such a build write
    ``seed = false``.

    Args:
        spec: the model.
        url: the base URL of its server, up to and including ``/v1``.
        requests: what the study will send, one request of each kind.
        beat: called with the seconds so far while the server is waited for.

    Raises:
        ModelError: the URL is not valid, the API key is missing or wrong, the model or the address is not
            there, or the server refuses every request.
    """
    transport = Transport(spec, url)
    try:
        return wait_with_heartbeat(transport.submit(_Probe(transport, url, spec, requests).run()), beat, BEAT)
    finally:
        transport.close()


class _Probe:
    """The requests that find out what a server can do."""

    def __init__(self, transport: Transport, url: str, spec: ModelSpec, requests: Sequence[Complete]) -> None:
        self._transport, self._url, self._spec, self._requests = transport, url, spec, requests
        self._sampling = {name: value for request in requests for name, value in request.sampling.items()}
        self._refusal: Answer | None = None

    async def run(self) -> Capabilities:
        """Return what the server can do; nothing is known if it does not answer."""
        try:
            server = await self._server()
            return await self._features(server, sends_seed=self._spec.seed and not server.startswith("vLLM"))
        except NoAnswer:
            return Capabilities()

    async def _ask(self, *features: Mapping[str, Any], of: Complete = _ASK) -> dict[str, Any] | None:
        """Return the server's reply to a small request with some features.

        The reply is empty if the server refuses the features. It is None if neither a reply nor a refusal
        came. That says nothing of the features: a server may be busy, starting, or behind a gateway that is.

        Raises:
            NoAnswer: there was no answer in time.
            ModelError: the server will answer no request.
        """
        request = replace(of, messages=_ASK.messages, sampling=self._sampling, n=1)
        body = chat_body(self._spec, request, None)
        # Some models take only one name of the limit.
        name = next((name for name in LIMITS[::-1] if name in body), self._spec.limit)
        body = {key: value for key, value in body.items() if key not in LIMITS}
        if "max_tokens" not in self._spec.omit:
            body[name] = TOKENS + self._spec.thinking
        for feature in features:
            body |= feature
        content = json.dumps(body, allow_nan=False).encode()
        seconds = min(self._spec.timeout, SECONDS)
        answer = await self._transport.send(endpoint(self._url, "/chat/completions"), content, seconds)
        if answer.status in REFUSALS:
            self._refusal = answer
            return {}
        if verdict(answer.status, answer.content) == "closed":
            raise _closed(answer, self._url, self._spec)
        try:
            if answer.status == 200 and completions_of(answer):
                reply: dict[str, Any] = load_json(answer.content)
                return reply
        except NotACompletion:
            pass
        return None

    async def _has(self, feature: Mapping[str, Any], shows: Callable[[dict[str, Any]], bool]) -> bool | None:
        """Return whether a request with a feature is answered and the reply shows it; None: not known."""
        reply = await self._ask(feature)
        return None if reply is None else bool(reply) and shows(reply)

    async def _features(self, server: str, *, sends_seed: bool) -> Capabilities:
        seeds = [_SEED] if sends_seed else []
        reply = await self._ask(_BY_SCHEMA, _SAMPLES, _LOGPROBS, *seeds)
        if reply:
            found = Capabilities(
                server,
                json_schema=_obeys_schema(reply),
                samples=_has_samples(reply),
                logprobs=_has_logprobs(reply),
                seed=True if seeds else None,
                **_stated(reply),
            )
        else:
            plain, changed = await self._plain()
            if plain is None:  # the server is busy, or starting
                return Capabilities(server)
            found = Capabilities(
                server,
                json_schema=await self._has(_BY_SCHEMA, _obeys_schema),
                samples=await self._has(_SAMPLES, _has_samples),
                logprobs=await self._has(_LOGPROBS, _has_logprobs),
                seed=await self._has(_SEED, bool) if seeds else None,
                **_stated(plain),
                **changed,
            )
        if found.json_schema is False:
            as_object = await self._has(_AS_OBJECT, _is_object)
            if as_object is None:  # the fallback is not known, and a study must not rest on a guess
                return replace(found, json_schema=None)
            return replace(found, json_object=as_object)
        return replace(found, shapes=await self._shapes()) if found.json_schema else found

    async def _plain(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Ask without any feature; where that is refused, without what else a server may refuse.

        From then on, requests are asked in the way that was not refused.

        Returns:
            reply: the reply; None if none came that says anything.
            changed: what had to be left out or renamed.

        Raises:
            ModelError: the server refuses the request in every way.
        """
        spec = self._spec
        other = {"limit": "max_completion_tokens"}
        ways: list[dict[str, Any]] = [
            {},
            other,
            {"omit": ["temperature"]},
            {"omit": ["temperature", "top_p"]},
        ]
        ways += [other | way for way in ways[2:]]
        refusal = None
        for way in ways:
            if spec.model_fields_set & way.keys():  # what a suite says is not changed
                continue
            self._spec = spec.model_copy(update=way)
            reply = await self._ask()
            if reply is None:
                return None, {}
            if reply:
                return reply, {key: tuple(value) if key == "omit" else value for key, value in way.items()}
            refusal = refusal or self._refusal
        assert refusal is not None, "the first way is always tried"
        raise _closed(refusal, self._url, spec)

    async def _shapes(self) -> dict[Shape, Structured]:
        """Return, for each shape of replies whose schemas are refused, the best way that is not.

        Where trouble comes between, nothing is known of a shape, and nothing is said of it.
        """
        found: dict[Shape, Structured] = {}
        for request in self._requests:
            if request.schema is None:
                continue
            shape = shape_of(request.schema)
            wanted = self._spec.structured_for(shape)
            tried = found.get(shape, wanted)
            for mode in (tried, *weaker_than(tried, shape)):
                if mode == "none":
                    found[shape] = mode
                    break
                spec, self._spec = self._spec, self._spec.model_copy(update={"structured": mode})
                try:
                    reply = await self._ask(of=request)
                finally:
                    self._spec = spec
                if reply is None:
                    break
                if reply:
                    if mode != wanted:
                        found[shape] = mode
                    break
        return found

    async def _server(self) -> str:
        """Return a server's name and version, as far as it tells them."""
        answer = await self._transport.send(
            beside(self._url, "/version"), None, min(self._spec.timeout, SECONDS)
        )
        try:
            version = load_json(answer.content)["version"] if answer.status == 200 else None
        except (ValueError, KeyError, TypeError):
            version = None
        named = f"vLLM {version}" if isinstance(version, str) else answer.headers.get("server", "")
        return named[:100]


def _closed(answer: Answer, url: str, spec: ModelSpec) -> ModelError:
    """Return the error for a server that will answer no request of a model."""
    problem = problem_of(answer.status, answer.content)
    return ModelError(
        f"The server of {spec.model} ({shown(url)}) answers no request: {problem}.",
        remedy_of(answer.status, answer.headers, spec),
    )


def _stated(reply: dict[str, Any]) -> dict[str, Any]:
    """Return what a reply shows of the model and of how tokens are counted."""
    first = _first(reply)
    assert first.served is not None, "the first completion says how it was served"
    return {
        "usage": first.tokens_out > 0,
        "thinks": bool(first.thinking or first.tokens_thinking),
        "model": first.served.model,
        "fingerprint": first.served.fingerprint,
    }


def _first(reply: dict[str, Any]) -> Completion:
    return completions_of(Answer(200, {}, json.dumps(reply).encode(), 0.0, ""))[0]


def _obeys_schema(reply: dict[str, Any]) -> bool:
    return _obeys(reply, schema=True)


def _is_object(reply: dict[str, Any]) -> bool:
    return _obeys(reply, schema=False)


def _obeys(reply: dict[str, Any], *, schema: bool) -> bool:
    """Return whether a reply shows that decoding was constrained, or at least not the contrary.

    A reasoning model may not get as far as the reply. It must then suffice that the server accepted the
    request.
    """
    first = _first(reply)
    try:
        value: object = load_json(first.text)
    except ValueError:
        return first.finish_reason == "length" and first.text.lstrip()[:1] in ("", "{")
    return value == {"surrobench": "probe"} if schema else isinstance(value, dict)


def _has_samples(reply: dict[str, Any]) -> bool:
    return len(reply["choices"]) > 1


def _has_logprobs(reply: dict[str, Any]) -> bool:
    choice = reply["choices"][0]
    return isinstance(choice, dict) and bool(choice.get("logprobs"))
