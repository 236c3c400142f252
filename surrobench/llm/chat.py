"""Write the JSON body of a chat request, and read completions from the JSON of a chat reply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx

from surrobench.llm.models import ModelSpec
from surrobench.llm.thinking import apart
from surrobench.protocol.requests import Complete, Completion, FinishReason
from surrobench.untrusted import load_json

THINK, UNTHINK = "<think>", "</think>"
"""The tags that open reasoning models put around their thinking."""
SEED_MASK = 0x7FFFFFFF
"""A mask for seeds: llama.cpp takes 32 bits of seed, and their largest value means "random"."""


def chat_body(spec: ModelSpec, request: Complete, seed: int | None) -> dict[str, Any]:
    """Return the JSON body of a chat request.

    The suite's sampling parameters have priority over the method's. ``max_completion_tokens`` means the same
    as ``max_tokens``, and is the only name that some servers take.
    """
    sampling = {**request.sampling, **spec.sampling}
    if "max_completion_tokens" in spec.sampling and "max_tokens" not in spec.sampling:
        sampling.pop("max_tokens", None)
    body: dict[str, Any] = {
        **sampling,
        "model": spec.model,
        "messages": [message._asdict() for message in request.messages],
    }
    if request.n > 1:
        body["n"] = request.n
    if request.schema is not None and spec.structured != "none":
        body["response_format"] = {"type": spec.structured}
        if spec.structured == "json_schema":
            # The order of the keys is kept, because it is the order in which the model writes the fields.
            schema = {"name": "reply", "strict": True, "schema": dict(request.schema)}
            body["response_format"]["json_schema"] = schema
    if spec.seed and seed is not None:
        body["seed"] = seed & SEED_MASK
    return body


class NotACompletion(Exception):
    """The error for a server that answered 200, but not with what the protocol promises."""


def completions_of(response: httpx.Response, latency: float) -> list[Completion]:
    """Return the completions that a reply holds; the first has the costs of all.

    Raises:
        NotACompletion: the reply is no chat completion.
    """
    try:
        data = load_json(response.content)
    except ValueError:
        raise NotACompletion(f"no JSON: {response.text[:100]!r}") from None
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices:
        raise NotACompletion("no choices")
    replies = [_reply(choice) for choice in choices]
    usage = data.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    # The protocol counts tokens and time per request. The first sample gets all of both, so that sums are
    # true.
    first = replace(
        replies[0],
        tokens_in=_count(usage, "prompt_tokens"),
        tokens_out=_count(usage, "completion_tokens"),
        latency=latency,
        tokens_thinking=_count(details, "reasoning_tokens"),
    )
    return [first, *replies[1:]]


def _reply(choice: Any) -> Completion:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise NotACompletion("a choice without a message")
    text = message.get("content")
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise NotACompletion("content that is not text")
    thought, text = _apart(message, _storable(text))
    reason: FinishReason = "stop"
    if choice.get("finish_reason") == "length":
        reason = "length"
    elif choice.get("finish_reason") == "content_filter" or (not text and message.get("refusal")):
        reason = "refusal"
    return Completion(text, reason, 0, 0, 0.0, thought)


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
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value > 0 else 0
