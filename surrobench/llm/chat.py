"""Write the JSON body of a chat request, and read completions from the JSON of a chat reply."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from surrobench.llm.models import ModelSpec, shape_of
from surrobench.llm.sampling import flat
from surrobench.llm.schemas import strict_shape
from surrobench.llm.thinking import apart
from surrobench.llm.transport import Answer
from surrobench.protocol.requests import Complete, Completion, FinishReason, Served
from surrobench.untrusted import load_json

LIMITS = ("max_tokens", "max_completion_tokens")
"""The names of the limit of tokens."""
QUESTION = "Say hello, in JSON."
"""The question of a probe. Only a server that decodes by the schema answers as the schema says."""
BROKEN_OFF = ("abort", "error", "cancelled")
"""Reasons with which servers and gateways say that a reply ended by their own trouble."""
TEXT_PARTS, THINKING_PARTS = ("text", "output_text"), ("thinking", "reasoning")
"""The kinds of parts that a message's content may be made of."""
MOST_TOKENS = 2**24
"""The largest number of tokens that is believed of one request."""
SEED_MASK = 0x7FFFFFFF
"""A mask for seeds: llama.cpp takes 32 bits of seed, and their largest value means "random"."""


def chat_body(spec: ModelSpec, request: Complete, seed: int | None) -> dict[str, Any]:
    """Return the JSON body of a chat request.

    The suite's sampling parameters have priority over the method's. ``max_completion_tokens`` means the same
    as ``max_tokens``, and is the only name that some servers take.
    """
    body: dict[str, Any] = {
        **_sampling(spec, request),
        "model": spec.model,
        "messages": [message._asdict() for message in request.messages],
    }
    if request.n > 1:
        body["n"] = request.n
    if request.schema is not None:
        mode = spec.structured_for(shape_of(request.schema))
        if mode == "json_object":
            body["response_format"] = {"type": mode}
        elif mode != "none":
            # The order of the keys is kept, because it is the order in which the model writes the fields.
            schema = dict(request.schema)
            if mode != "json_schema":
                schema = strict_shape(schema, bounds=mode == "strict")
            named = {"name": "reply", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
    if spec.seed and seed is not None:
        body["seed"] = seed & SEED_MASK
    return body


def _sampling(spec: ModelSpec, request: Complete) -> dict[str, Any]:
    """Return the sampling parameters of a request, its limit of tokens with room for thinking."""
    own = {name: value for name, value in request.sampling.items() if name not in spec.omit}
    suite = flat(spec.sampling)
    if spec.limit != "max_tokens":
        own = {spec.limit if name == "max_tokens" else name: value for name, value in own.items()}
    if "max_completion_tokens" in suite and "max_tokens" not in suite:
        own.pop("max_tokens", None)
    sampling = {**own, **suite}
    if spec.thinking:
        for name in LIMITS:
            if isinstance(sampling.get(name), int):
                sampling[name] += spec.thinking
    return sampling


class NotACompletion(Exception):
    """The error for a server that answered 200, but not with what the protocol promises.

    Attributes:
        status: the status code that the server states within its answer, if it does.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def completions_of(answer: Answer, in_flight: int = 0) -> list[Completion]:
    """Return the completions that an answer holds; the first has the costs of all.

    The completions come in the order of their indices. A choice that the server broke off is left out.

    Args:
        answer: the server's answer.
        in_flight: how many requests the server had when this one was sent.

    Raises:
        NotACompletion: the answer is no chat completion, or all of it was broken off.
    """
    try:
        data = load_json(answer.content)
    except ValueError:
        raise NotACompletion(f"no JSON: {answer.content[:100].decode(errors='replace')!r}") from None
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices:
        if isinstance(data, dict) and data.get("error"):
            raise _stated(data["error"])
        raise NotACompletion("no choices")
    whole = [choice for choice in sorted(choices, key=_index) if not _is_broken_off(choice)]
    if not whole:
        first = choices[0]
        if first.get("error"):
            raise _stated(first["error"])
        raise NotACompletion(f"the reply was broken off (finish_reason {first['finish_reason']!r})")
    replies = [_reply(choice) for choice in whole]
    usage = data.get("usage")
    read = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    written = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    # The protocol counts tokens and time per request. The first sample gets all of both, so that sums are
    # true.
    first = replace(
        replies[0],
        tokens_in=_count(usage, "prompt_tokens"),
        tokens_out=_count(usage, "completion_tokens"),
        latency=answer.seconds,
        tokens_thinking=_count(written, "reasoning_tokens"),
        served=Served(
            at=answer.at,
            model=_word(data.get("model")),
            fingerprint=_word(data.get("system_fingerprint")),
            tokens_cached=_count(read, "cached_tokens"),
            in_flight=in_flight,
        ),
    )
    return [first, *replies[1:]]


def message_of(content: bytes) -> str:
    """Return what a server says is wrong, on one line; empty if it says nothing."""
    try:
        data = load_json(content)
    except ValueError:
        data = None
    error = data.get("error", data) if isinstance(data, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    text = message if isinstance(message, str) else content[:2000].decode(errors="replace")
    return " ".join(_storable(text).split())[:300].rstrip(".")


def _stated(error: Any) -> NotACompletion:
    """Return the error that a server states within an answer of status 200."""
    code = error.get("code") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, int | str) and str(code).isdecimal() else 0
    return NotACompletion(
        message_of(json.dumps({"error": error}).encode()), status if 400 <= status < 600 else None
    )


def _is_broken_off(choice: Any) -> bool:
    return isinstance(choice, dict) and choice.get("finish_reason") in BROKEN_OFF


def _index(choice: Any) -> float:
    index = choice.get("index") if isinstance(choice, dict) else None
    return index if isinstance(index, int) else 0


def _word(value: Any) -> str:
    return _storable(value)[:200] if isinstance(value, str) else ""


def _reply(choice: Any) -> Completion:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise NotACompletion("a choice without a message")
    content = message.get("content")
    if isinstance(content, list):
        thoughts, content = _of_parts(content, THINKING_PARTS), _of_parts(content, TEXT_PARTS)
        message = {"reasoning": thoughts, **message} if thoughts else message
    text = "" if content is None else content
    if not isinstance(text, str):
        raise NotACompletion("content that is not text")
    thought, text = _apart(message, _storable(text))
    reason: FinishReason = "stop"
    if choice.get("finish_reason") == "length":
        reason = "length"
    elif choice.get("finish_reason") == "content_filter" or (not text and message.get("refusal")):
        reason = "refusal"
    return Completion(text, reason, 0, 0, 0.0, thought)


def _of_parts(parts: Any, kinds: tuple[str, ...]) -> str:
    """Return the text of those parts of a message that are of some kinds.

    A part has its text under ``text``, or under the name of its kind, there also as parts of its own.
    """
    found = []
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, str) and kinds is TEXT_PARTS:
            found.append(part)
        elif isinstance(part, dict) and part.get("type") in kinds:
            inner = part.get("text", part.get(part["type"]))
            found.append(inner if isinstance(inner, str) else _of_parts(inner, TEXT_PARTS))
    return "".join(found)


def _storable(text: str) -> str:
    # JSON may contain half a surrogate pair, which no file and no later prompt could hold.
    return text.encode("utf-8", "replace").decode("utf-8")


def _apart(message: dict[str, Any], text: str) -> tuple[str, str]:
    """Return a message's thinking, and its reply without the thinking.

    Servers that know the model's way of thinking put it into a field of its own: ``reasoning`` (vLLM) or
    ``reasoning_content`` (DeepSeek, llama.cpp, older vLLM). Other servers leave it in the text, see
    ``thinking.apart``.
    """
    for name in ("reasoning", "reasoning_content"):
        if isinstance(thought := message.get(name), str) and thought:
            return _storable(thought), text
    return apart(text)


def _count(usage: Any, key: str) -> int:
    """Return a number of tokens, at most ``MOST_TOKENS``; 0 if the server states none."""
    value = usage.get(key) if isinstance(usage, dict) else None
    counted = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return min(value, MOST_TOKENS) if counted else 0  # type: ignore[type-var,return-value]
