"""Print the mutants of some modules that no fast test notices: ``make mutants``.

    python -m tests.mutants [MODULE ...] [--share N] [--jobs N] [--limit SECONDS]

Each job has a copy of the repository. It writes one mutant after the other into the copy, and runs the tests
of the module there until one fails.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from tests.mutants.changes import Mutant, mutants

ROOT = Path(__file__).parents[2]
_OF = "tests/engine/test_"
TESTS: dict[str, tuple[str, ...]] = {
    "engine/account": (f"{_OF}token_budget.py", f"{_OF}simulated_time.py"),
    "engine/batch": (f"{_OF}fidelity.py", f"{_OF}loop.py"),
    "engine/guard": (f"{_OF}validation.py", "tests/study/test_wrong_methods.py"),
    "engine/ledger": (f"{_OF}loop.py", f"{_OF}simulated_time.py"),
    "engine/loop": (f"{_OF}validation.py", f"{_OF}loop.py"),
    "engine/model_calls": (f"{_OF}token_budget.py", f"{_OF}validation.py"),
    "engine/replay": (f"{_OF}loop.py",),
    "engine/run_state": (f"{_OF}token_budget.py", f"{_OF}simulated_time.py", f"{_OF}fidelity.py"),
    "engine/validation": (f"{_OF}validation.py",),
    "protocol/budget": (f"{_OF}token_budget.py", f"{_OF}simulated_time.py"),
    "results": ("tests/results",),
}
"""Module or room below ``surrobench`` -> the tests that are run for it, those that fail soonest first."""
PYTEST = ("-x", "-q", "-n0", "-p", "no:cacheprovider", "-m", "not slow and not embedded and not yahpo")
COPIED = ("surrobench", "tests", "prompts", "suites", "results", "docs", "pyproject.toml", "README.md")


def main(words: Sequence[str] | None = None) -> None:
    """Run the mutants that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--share", type=int, default=1, help="try one mutant of N, drawn with a fixed seed")
    parser.add_argument("--jobs", type=int, default=2, help="how many mutants are tried at a time")
    parser.add_argument("--limit", type=float, default=300.0, help="a mutant that takes longer is noticed")
    options = parser.parse_args(words)
    chosen = [
        (path, one, tests)
        for name in options.modules
        for tests in [TESTS[name]]
        for path in _files(name)
        for one in _drawn(path, options.share)
    ]
    with TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for job in range(options.jobs):
            copies.put(_copy(Path(folder) / str(job)))

        def survives(case: tuple[Path, Mutant, Sequence[str]]) -> bool:
            copy = copies.get()
            try:
                return _survives(copy, *case, options.limit)
            finally:
                copies.put(copy)

        paths = {tests: path for path, _, tests in chosen}
        for tests, path in paths.items():
            if not survives((path, Mutant(0, "", "", ast.parse(path.read_text())), tests)):
                sys.exit(f"These tests fail without any mutant: {' '.join(tests)}.")
        survivors = sum(pool.map(survives, chosen))
    print(f"{len(chosen)} mutants, of which {survivors} survived.")


def _files(name: str) -> list[Path]:
    path = ROOT / "surrobench" / name
    return sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def _drawn(path: Path, share: int) -> list[Mutant]:
    draws = random.Random(path.name)
    return [one for one in mutants(path.read_text()) if draws.randrange(share) == 0]


def _copy(to: Path) -> Path:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to / name)
    return to


def _survives(copy: Path, path: Path, mutant: Mutant, tests: Sequence[str], limit: float) -> bool:
    """Return whether all tests pass in a copy of the repository that holds a mutant."""
    place = copy / path.relative_to(ROOT)
    place.write_text(ast.unparse(mutant.tree))
    command = [sys.executable, "-m", "pytest", *PYTEST, *tests]
    variables = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        status = subprocess.run(
            command, cwd=copy, env=variables, capture_output=True, timeout=limit, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        status = 1
    finally:
        shutil.copy(path, place)
    if status == 0 and mutant.line:
        before, after = (" ".join(text.split())[:90] for text in (mutant.before, mutant.after))
        print(f"{path.relative_to(ROOT)}:{mutant.line}: {before}  ->  {after}", flush=True)
    return status == 0


if __name__ == "__main__":
    main()
