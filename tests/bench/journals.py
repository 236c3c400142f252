"""A journal of a gigabyte, made by the product's own writer, and how long it takes to go on with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from surrobench.llm.journal import SCHEMA_VERSION, Call, Journal
from surrobench.llm.journal_lines import encode

RUNS, VERSIONS = 2_000, {"numpy": "0"}


def store_journal(path: Path, size: int) -> None:
    """Write a journal of ``RUNS`` runs that advance in turn, until it has ``size`` bytes."""
    rng = np.random.default_rng(0)
    prompt = json.dumps([["user", "Propose a configuration. " * 40]])
    runs = [f"{number:016x}" for number in range(RUNS)]
    written, call = 0, 0
    with path.open("wb") as file:
        file.write(encode({"versions": VERSIONS, "schema_version": SCHEMA_VERSION}))
        while written < size:
            values = rng.random((RUNS, 8))
            for run, row in zip(runs, values.tolist(), strict=True):
                text = json.dumps({f"hyperparameter_{i}": value for i, value in enumerate(row)})
                line = {
                    "run": run,
                    "call": call,
                    "attempt": 0,
                    "sample": 0,
                    "request": "0123456789abcdef",
                    "purpose": "propose",
                    "text": text,
                    "finish": "stop",
                    "tokens_in": 900,
                    "tokens_out": 120,
                    "latency": 0.25,
                    "prompt": [len(prompt) - 30, f"trial {call}: {text} and so on"] if call else [0, prompt],
                }
                written += file.write(encode(line))
            call += 1


def resume(path: Path) -> int:
    """Open a journal as a session does, and read one run of it; returns how many completions there are."""
    journal = Journal(path, versions=VERSIONS)
    assert journal.get(Call(f"{RUNS - 1:016x}", 0, 0))
    journal.close()
    return len(journal)
