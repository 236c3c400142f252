"""The pages of the documentation and their fenced blocks, as the tests of this folder need them."""

from __future__ import annotations

import importlib.util
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
GENERATED = {"command-line.md", "suite.md", "python.md", "changelog.md", "contributing.md"}
"""Pages that ``make docs`` writes; what they are made from is tested itself."""
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name not in GENERATED),
]
_FENCE = re.compile(
    r"(?:^<!-- (?P<remark>.*?) -->\n)?^```(?P<language>\w+)(?: title=\"(?P<file>.*?)\")?\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        remark: what the HTML comment before it says, such as ``not run: it needs a SLURM cluster``.
        file: its title, the file that it shows; empty if it has none.
    """

    page: Path
    language: str
    remark: str
    file: str
    text: str

    def __str__(self) -> str:
        head = (self.file or self.text.strip().partition("\n")[0])[:40]
        return f"{self.page.relative_to(ROOT)}: {head}"


def blocks(*languages: str) -> list[Block]:
    """All fenced blocks in these languages, in the order of the pages."""
    return [
        Block(page, found["language"], found["remark"] or "", found["file"] or "", found["text"])
        for page in PAGES
        for found in _FENCE.finditer(page.read_text(encoding="utf-8"))
        if found["language"] in languages
    ]


def commands(block: Block) -> list[tuple[list[str], list[str]]]:
    """The commands of a block as arguments, each with the lines that are shown below it.

    Of a shell script only the lines that begin with ``surrobench``.
    """
    found: list[tuple[list[str], list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("surrobench" if block.language == "sh" else "$ "):
            found.append((shlex.split(line.removeprefix("$ "), comments=True), []))
        elif found and block.language != "sh":
            found[-1][1].append(line)
    return found


def generator() -> ModuleType:
    """The script that makes the reference pages."""
    spec = importlib.util.spec_from_file_location("generate_reference", ROOT / "docs/generate_reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
