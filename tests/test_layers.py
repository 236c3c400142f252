"""Data flows one way: no module imports what is downstream of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import surrobench

ROOT = Path(surrobench.__file__).parent
DOWNSTREAM = {
    "benchmarks": {"optimizers", "stats", "report", "reproduce", "cli"},
    "stats": {"benchmarks", "optimizers", "llm", "report", "reproduce", "cli"},
    "optimizers": {"stats", "report", "reproduce", "cli"},
    "report": {"reproduce", "cli"},
    "reproduce": {"cli"},
}


@pytest.mark.parametrize("package", DOWNSTREAM)
def test_nothing_downstream_is_imported(package: str) -> None:
    texts = {path: path.read_text() for path in (ROOT / package).rglob("*.py")}
    imported = re.compile(r"^\s*(?:from|import) surrobench\.(\w+)", re.M)
    found = {path.name: DOWNSTREAM[package] & set(imported.findall(text)) for path, text in texts.items()}
    assert found
    assert {name: packages for name, packages in found.items() if packages} == {}
