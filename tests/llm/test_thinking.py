from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.llm.client import Client
from surrobench.llm.journal import Call, Journal
from surrobench.llm.journal_lines import decode, encode
from surrobench.llm.models import ModelSpec
from surrobench.llm.parse import parse_configuration
from surrobench.llm.prompt_variants import ShownSpace
from surrobench.protocol.requests import Complete, Completion, Message, Served
from tests.studies import AGENT, MLP, answer, configuration, suite_text, surrobench

from .faulty_server import FaultyServer, ok, raw, truncated

ASK = Complete((Message("user", "hello"),), "propose")


def reply(behaviour: Any) -> Completion:
    async def go(url: str) -> Completion:
        async with Client(ModelSpec(url=url, model="m")) as client:
            [completion] = await client.complete(ASK, 1)
            return completion

    with FaultyServer([behaviour]) as server:
        return asyncio.run(go(server.url))


def thought(content: str | None, name: str, text: str) -> Any:
    return raw({"choices": [{"message": {"content": content, name: text}, "finish_reason": "stop"}]})


@pytest.mark.parametrize(
    ("behaviour", "thinking", "text"),
    [
        (thought("42", "reasoning", "six by seven"), "six by seven", "42"),  # vLLM
        (thought("42", "reasoning_content", "six by seven"), "six by seven", "42"),  # DeepSeek, llama.cpp
        (thought(None, "reasoning", "six\ud800"), "six?", ""),
        (ok("<think>\nsix by seven\n</think>\n\n42"), "six by seven", "42"),
        (ok("<think></think>42"), "", "42"),
        (ok("six by seven</think>42"), "six by seven", "42"),  # the prompt ended with the first tag
        (ok("  <think>six</think>4<think>2</think>"), "six\n2", "4"),
        (ok('{"a": "</think>"}'), "", '{"a": "</think>"}'),
        (ok("no thought"), "", "no thought"),
        (truncated("<think>six by"), "six by", ""),
    ],
)
def test_thinking_is_kept_apart(behaviour: Any, thinking: str, text: str) -> None:
    completion = reply(behaviour)
    assert (completion.thinking, completion.text) == (thinking, text)


def test_tokens_of_thinking_are_those_the_server_tells() -> None:
    usage = {"completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 40}}
    told = reply(raw({"choices": [{"message": {"content": "42"}}], "usage": usage}))
    assert (told.tokens_out, told.tokens_thinking) == (50, 40)
    not_told = reply(ok("<think>six by seven</think>42"))
    assert (not_told.tokens_out, not_told.tokens_thinking) == (5, 0)


@pytest.mark.parametrize(
    "behaviour",
    [
        truncated('<think>Perhaps {"depth": 1}? Or'),
        raw({"choices": [{"message": {"content": None, "reasoning": "Or"}, "finish_reason": "length"}]}),
    ],
)
def test_thinking_that_used_up_the_tokens_is_a_truncated_reply(behaviour: Any) -> None:
    space = benchmark(MLP).scenario.space
    proposal = parse_configuration(reply(behaviour), ShownSpace(space), clip=False, default=space.default)
    assert (proposal.configuration, proposal.defect) == (None, "truncated")


def test_the_journal_keeps_thinking_and_reads_what_was_written_without(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    plain = Completion("42", "stop", 7, 3, 0.25)
    deep = Completion("42", "stop", 7, 30, 0.25, "six by seven", 27)

    async def go() -> None:
        journal = Journal(path, versions={})
        await journal.append(Call("r", 0, 0), "hash", "propose", ASK.messages, [plain, deep])
        journal.close()

    asyncio.run(go())
    first, second = path.read_text().splitlines()
    assert "thinking" in second
    assert "thinking" not in first, "an entry without thinking is what it was in earlier versions"
    assert [entry.completion for entry in Journal(path).get(Call("r", 0, 0))] == [plain, deep]


def test_the_journal_keeps_how_a_request_was_served(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    served = Served(at="2026-11-28T12:00:00.000+00:00", model="m-1", tokens_cached=7, in_flight=3)
    completion = Completion("42", "stop", 7, 3, 0.25, served=served)

    async def go() -> None:
        journal = Journal(path, versions={})
        await journal.append(Call("r", 0, 0), "hash", "propose", ASK.messages, [completion])
        journal.close()

    asyncio.run(go())
    [entry] = Journal(path).get(Call("r", 0, 0))
    assert entry.completion == completion
    assert "fingerprint" not in path.read_text(), "what the server does not state leaves no trace"
    line = decode(path.read_bytes().splitlines()[-1])
    line["served"]["weather"] = "fine"
    path.write_bytes(encode({name: value for name, value in line.items() if name != "crc"}))
    assert Journal(path).get(Call("r", 0, 0)) == [entry], "an entry may state more than this version knows"


def test_a_study_of_a_reasoning_model_and_what_show_says(tmp_path: Path) -> None:
    def reason(body: dict[str, Any]) -> Any:
        text = json.dumps(configuration(body))
        return ok(f"<think>Let me see: \x1b[31m[bold]{{'lr': 1}}\n</think>{text}")

    with FaultyServer(reason) as thinking, FaultyServer(answer) as plain:
        for name, server in (("thinking", thinking), ("plain", plain)):
            path = tmp_path / f"{name}.toml"
            path.write_text(suite_text(models={"m": server.url}, trials=3, seeds=1))
            done = surrobench("run", path, "--out", tmp_path / name, "--jobs", 1)
            assert done.status == 0, done.err
    shown = surrobench("show", f"{AGENT}:{MLP}:0", "--results", tmp_path / "thinking", "--prompts").out
    assert "thinking\nLet me see: \\x1b[31m[bold]{'lr': 1}\nreply (stop, 10 tokens in, 5 out" in shown
    assert "invalid" not in shown
    without = surrobench("show", f"{AGENT}:{MLP}:0", "--results", tmp_path / "plain", "--prompts").out
    assert "thinking" not in without
