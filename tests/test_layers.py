"""Data flows one way: every import goes down the layers, no two modules import each other, parts stay small.

Every import counts: those inside functions and those for type checking, too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import surrobench

ROOT = Path(surrobench.__file__).parent

LAYERS: list[tuple[str, ...]] = [
    ("__main__",),
    ("cli",),
    ("reproduce",),
    ("__init__",),
    ("api",),
    ("study", "report"),
    ("execution",),
    ("results",),
    ("engine",),
    ("plan",),
    ("suite",),
    ("optimizers",),
    ("llm",),
    ("fitting",),
    ("benchmarks", "stats"),
    ("past_trials",),
    ("space", "protocol"),
    ("source_files",),
    ("seeding", "patterns", "system", "paths", "libraries", "terminal"),
    ("printable", "checksums"),
    ("foreign_code", "errors", "arrays", "plain_files", "untrusted"),
]
"""Rooms from the top down. A room imports itself and what stands below it, not its neighbours on a line."""

NOT_EVEN_BELOW = {
    "report": {"execution", "engine"},
    "stats": {"space", "seeding", "patterns", "system", "paths"},
    **{
        name: {"stats"}
        for name in ("study", "execution", "results", "engine", "plan", "suite", "optimizers", "llm")
    },
}
"""What a room does not import although it stands below: a report needs no engine, and statistics are about
numbers that are there."""

AT_THE_ROOT = {
    "__init__",
    "__main__",
    "arrays",
    "checksums",
    "errors",
    "foreign_code",
    "libraries",
    "paths",
    "plain_files",
    "printable",
    "seeding",
    "source_files",
    "patterns",
    "system",
    "terminal",
    "untrusted",
}

TOLERATED: set[tuple[str, str]] = set()
"""Imports against the layers that are still to be removed. The test fails when one of them is gone."""

TOLERATED_CYCLES: list[set[str]] = []
"""Modules that import each other, still to be separated. The test fails when they are."""


def modules() -> dict[str, Path]:
    """The path of every module of the package, by its name below the package."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imported(path: Path, names: set[str]) -> Iterator[str]:
    """The modules that a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        dotted: list[str] = []
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                dotted.append(inner if inner.removeprefix("surrobench.") in names else str(node.module))
        for name in dotted:
            if name == "surrobench":
                yield "__init__"
            elif name.startswith("surrobench."):
                yield name.removeprefix("surrobench.")


def imports() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports."""
    names = modules()
    return {name: set(imported(path, set(names))) - {name} for name, path in names.items()}


def room(module: str) -> str:
    """The room of a module: its first folder, or itself at the root."""
    return module.partition(".")[0]


def allowed(source: str, target: str) -> bool:
    """Whether a room may import another."""
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    return source == target or (
        level[source] < level[target] and target not in NOT_EVEN_BELOW.get(source, set())
    )


def cycles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The groups of modules each of which imports all others of its group, directly or through others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for target in graph[waiting.pop()] - seen:
                seen.add(target)
                waiting.append(target)
        return seen

    downstream = {module: reached(module) for module in graph}
    groups: list[set[str]] = []
    for module, below in downstream.items():
        group = {other for other in below if module in downstream[other]}
        if group and group not in groups:
            groups.append(group)
    return groups


def test_every_room_has_its_layer() -> None:
    known = [name for layer in LAYERS for name in layer]
    assert len(known) == len(set(known))
    assert {room(name) for name in modules()} <= set(known)


def test_the_root_holds_the_front_door_and_leaves_only() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} <= AT_THE_ROOT


def test_every_import_goes_down_the_layers() -> None:
    graph = imports()
    against = {
        (source, target)
        for source, targets in graph.items()
        for target in targets
        if not allowed(room(source), room(target))
    }
    assert sorted(against - TOLERATED) == [], "these imports go against the layers"
    assert sorted(TOLERATED - against) == [], "these are gone: take them from the list"


def test_no_modules_import_each_other() -> None:
    found = cycles(imports())
    assert [sorted(group) for group in found if group not in TOLERATED_CYCLES] == []
    assert [sorted(group) for group in TOLERATED_CYCLES if group not in found] == [], "these are gone"


@pytest.mark.parametrize(
    "line",
    [
        "import surrobench.cli.main",
        "from surrobench.cli import main",
        "def f():\n    from surrobench.cli.main import x",
        "if TYPE_CHECKING:\n    from surrobench.cli.main import X",
    ],
)
def test_imports_are_found_wherever_they_stand(tmp_path: Path, line: str) -> None:
    file = tmp_path / "m.py"
    file.write_text(line)
    assert list(imported(file, {"cli.main"})) == ["cli.main"]


def test_a_cycle_is_found_however_long() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}
    assert cycles(graph) == [{"a", "b", "c"}]


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The name of every function of a module, and its number of lines; options of a command do not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_function_is_longer_than_70_lines() -> None:
    long = {
        f"{module}: {name}": lines
        for module, path in modules().items()
        for name, lines in functions(ast.parse(path.read_text()))
        if lines > 70
    }
    assert long == {}


def test_a_file_of_more_than_400_lines_says_why() -> None:
    silent = {
        module: path.read_text().count("\n")
        for module, path in modules().items()
        if path.read_text().count("\n") > 400
        and "The file is long because" not in (ast.get_docstring(ast.parse(path.read_text())) or "")
    }
    assert silent == {}
