"""Forget the prompt templates that this process has read, for tests that change them."""

from surrobench.llm import prompts


def forget_templates() -> None:
    """Let the next prompt read its templates anew."""
    for cached in (prompts._hash, prompts._template, prompts._environment):
        cached.cache_clear()
