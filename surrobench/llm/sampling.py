"""Check the sampling parameters that a suite gives a model: a misspelt one would pass in silence."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from surrobench.llm.address import is_secret

EXTRA = "extra_body"
"""The table of parameters that are sent as they are, whatever their names."""
_NUMBERS = [
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "top_a",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "repeat_penalty",
    "dynatemp_range",
    "dynatemp_exponent",
    "mirostat_tau",
    "mirostat_eta",
    "xtc_probability",
    "xtc_threshold",
    "dry_multiplier",
    "dry_base",
    "length_penalty",
]
_INTEGERS = [
    "max_tokens",
    "max_completion_tokens",
    "min_tokens",
    "top_k",
    "top_logprobs",
    "repeat_last_n",
    "mirostat",
    "dry_allowed_length",
    "thinking_budget",
    "n_keep",
    "min_keep",
]
_OTHERS = [
    "stop",
    "stop_token_ids",
    "logit_bias",
    "logprobs",
    "ignore_eos",
    "skip_special_tokens",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "enable_thinking",
    "include_reasoning",
    "chat_template_kwargs",
    "verbosity",
    "service_tier",
    "provider",
    "transforms",
    "user",
    "metadata",
    "store",
    "safety_settings",
    "samplers",
    "grammar",
    "cache_prompt",
    "truncate_prompt_tokens",
    "bad_words",
    "parallel_tool_calls",
    "prediction",
    "add_generation_prompt",
]
_TAKEN = {
    "n": "the method decides how many completions it asks for",
    "stream": "replies are read whole",
    "stream_options": "replies are read whole",
    "model": "it is the key model",
    "messages": "the method writes them",
    "response_format": "it is the key structured",
    "seed": "each request has its own; the key seed turns them off",
    "tools": "replies are text",
    "functions": "replies are text",
}
_KNOWN = (*_NUMBERS, *_INTEGERS, *_OTHERS)


def checked_sampling(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters of a suite.

    Raises:
        ValueError: a name is misspelt or not known, a parameter is not the suite's to set, or a value is none
            that a request can carry.
    """
    for name, value in sampling.items():
        if name in _TAKEN:
            raise ValueError(f"{name} is no sampling parameter of a suite: {_TAKEN[name]}")
        if name == EXTRA:
            _check_extra(value)
        elif name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.6)
            guess = f"did you mean {near[0]!r}? If not" if near else "if the server takes it"
            raise ValueError(
                f"{name!r} is no known sampling parameter; {guess}, write {EXTRA} = {{ {name} = ... }}"
            )
        _check_value(name, value)
    return dict(sampling)


def flat(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return sampling parameters as they are sent: those of ``extra_body`` beside the others."""
    return {**{name: value for name, value in sampling.items() if name != EXTRA}, **sampling.get(EXTRA, {})}


def _check_extra(value: Any) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{EXTRA} is a table of parameters, not {value!r}")
    for name in value:
        if name in _TAKEN:
            raise ValueError(f"{EXTRA}.{name} is not the suite's to set: {_TAKEN[name]}")
        if is_secret(name):
            raise ValueError(f"{EXTRA}.{name} looks like a key, which would be stored; name it by key_env")


def _check_value(name: str, value: Any) -> None:
    integer = isinstance(value, int) and not isinstance(value, bool)
    if name in _INTEGERS and not integer:
        raise ValueError(f"{name} is an integer, not {value!r}")
    if name in _NUMBERS and not (integer or isinstance(value, float)):
        raise ValueError(f"{name} is a number, not {value!r}")
    if not _is_json(value):
        raise ValueError(
            f"{name} = {value!r} is nothing that a request can carry (text, numbers, lists, tables)"
        )


def _is_json(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_json, value.values()))
    return isinstance(value, str | bool | int)
