"""Tell a model's thinking from its reply, where a server leaves both in one text.

Servers that know a model's way of thinking put it into a field of its own. Other servers leave the marks of
the model in the text. A configuration within the thinking is a draft that the model may have rejected.
"""

from __future__ import annotations

import re

TAGS = (
    "think", "thinking", "thought", "thoughts", "reason", "reasoning", "reflection", "analysis", "scratchpad",
    "seed:think", "longcat_think",
)  # fmt: skip
"""The tags, as in ``<think> ... </think>``, that models put around their thinking."""
PAIRS = (
    *((f"<{tag}>", f"</{tag}>") for tag in TAGS),
    ("[THINK]", "[/THINK]"),  # Mistral
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),  # Kimi
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Cohere
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
)
"""The marks at the beginning and at the end of thinking."""
_MARK = re.compile("|".join(re.escape(mark) for pair in PAIRS for mark in pair), re.IGNORECASE)
_CLOSING = {opening.lower(): re.compile(re.escape(closing), re.IGNORECASE) for opening, closing in PAIRS}

_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)(?:(?!<\|message\|>).)*<\|message\|>", re.DOTALL)
"""The head of a message in the harmony format of gpt-oss, which names the message's channel."""
_END = re.compile(r"<\|(?:end|return|call|start)\|>")
_BARE = re.compile(r"\s*analysis(?:(?=[A-Z])|(?=.*assistantfinal))(.*?)(?:assistantfinal|\Z)", re.DOTALL)
"""The same format from a server that leaves out the special tokens."""


def apart(text: str) -> tuple[str, str]:
    """Return the thinking in a text, and the text without it, which is the reply.

    The mark that begins the thinking may have ended the prompt, so that only the second one is in the text.
    Thinking that was never closed was cut off, and there is no reply after it. A text that begins as JSON is
    a reply: the marks in it are within its strings.
    """
    if "<|channel|>" in text:
        return _of_channels(text)
    if found := _BARE.match(text):
        return found[1].strip(), text[found.end() :].strip()
    thoughts: list[str] = []
    kept: list[str] = []
    rest = text
    while not _begins_as_json(rest) and (mark := _MARK.search(rest)):
        closing = _CLOSING.get(mark[0].lower())
        before, after = rest[: mark.start()], rest[mark.end() :]
        if closing is None:
            thoughts.append("".join([*kept, before]))
            kept, rest = [], after
            continue
        kept.append(before)
        closed = closing.search(after)
        thoughts.append(after[: closed.start()] if closed else after)
        rest = after[closed.end() :] if closed else ""
    if not thoughts:
        return "", text
    return "\n".join(filter(None, map(str.strip, thoughts))), "".join([*kept, rest]).strip()


def _begins_as_json(text: str) -> bool:
    begun = text.lstrip()
    return begun.startswith("{") or (begun.startswith("[") and not _MARK.match(begun))


def _of_channels(text: str) -> tuple[str, str]:
    """Return the messages on all channels but the last, and those on the channel ``final``."""
    heads = list(_CHANNEL.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    said: dict[bool, list[str]] = {True: [], False: []}
    for head, end in zip(heads, ends, strict=True):
        said[head[1] == "final"].append(_END.split(text[head.end() : end])[0].strip())
    if not heads:
        return "", text
    return "\n".join(filter(None, said[False])), "\n".join(filter(None, said[True]))
