"""Know Python code by its source files: those of a module, and of what it imports from its own package.

Imports are read off the text, wherever in a file they stand, so nothing depends on what happens to be
imported already. An import whose name is made up while the program runs is not seen.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

from surrobench.plain_files import read_bytes
from surrobench.system import installed_versions

Find = Callable[[str], Path | None]
"""Takes the dotted name of a module of the package; returns its file, or None where there is none."""


_BESIDE = "<beside>"
"""Stands for the package that a user's file and its neighbours are in; no module can be called so."""


@dataclass(frozen=True)
class Sources:
    """The source files behind something.

    Attributes:
        files: dotted name of a module -> its content, the first that of the module itself.
        others: names of the top-level modules that these files import from elsewhere.
    """

    files: dict[str, bytes]
    others: frozenset[str]

    @property
    def digits(self) -> str:
        """Return the digits of the content; that of a single file does not depend on the file's name."""
        if len(self.files) == 1:
            return hashlib.blake2b(next(iter(self.files.values())), digest_size=8).hexdigest()
        digest = hashlib.blake2b(digest_size=8)
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    @cached_property
    def versions(self) -> dict[str, str]:
        """Return the versions of the installed packages that the files import."""
        known = packages_distributions()
        return installed_versions(sorted({name for module in self.others for name in known.get(module, ())}))


def sources_of_file(path: Path, content: bytes) -> Sources:
    """Return a file and those beside it that it imports as ``from . import neighbour``.

    Args:
        path: the file.
        content: what it holds.
    """

    def find(dotted: str) -> Path | None:
        first, *rest = dotted.split(".")
        return _below(path.parent, rest) if first == _BESIDE and rest else None

    return _closure(f"{_BESIDE}.{path.stem}", content, find)


def sources_of_module(name: str) -> Sources | None:
    """Return an installed module and those of its package that it imports; None if it is not in Python files.

    Args:
        name: the dotted name of the module.
    """
    top = name.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    roots = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    alone = Path(spec.origin) if spec and spec.origin and not roots else None

    def find(dotted: str) -> Path | None:
        first, *rest = dotted.split(".")
        if first != top:
            return None
        if alone is not None:
            return alone if not rest and alone.suffix == ".py" else None
        return next((found for root in roots if (found := _below(root, rest)) is not None), None)

    start = find(name)
    return None if start is None else _closure(name, read_bytes(start), find)


def _below(folder: Path, parts: list[str]) -> Path | None:
    place = folder.joinpath(*parts)
    files = [place / "__init__.py", *([place.with_name(f"{parts[-1]}.py")] if parts else [])]
    return next((file for file in files if file.is_file()), None)


def _closure(start: str, content: bytes, find: Find) -> Sources:
    files: dict[str, bytes] = {start: content}
    others: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        package = name if _is_package(find(name)) else name.rpartition(".")[0]
        for imported in _imported(files[name], package):
            parts = imported.split(".")
            for dotted in (".".join(parts[: i + 1]) for i in range(len(parts))):
                if dotted in files or (path := find(dotted)) is None:
                    continue
                files[dotted] = read_bytes(path)
                waiting.append(dotted)
            if parts[0] != start.partition(".")[0]:
                others.add(parts[0])
    return Sources(files, frozenset(others))


def _is_package(path: Path | None) -> bool:
    return path is not None and path.name == "__init__.py"


def _imported(content: bytes, package: str) -> Iterator[str]:
    """Yield the dotted names that a file imports; ``package`` is what its relative imports start from."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # importing it will say so
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package.rsplit(".", node.level - 1)[0] if node.level else None
            module = ".".join(filter(None, [start, node.module]))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
