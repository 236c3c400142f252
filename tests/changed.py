"""``python -m tests.changed``: the tests of what differs from ``main``, one path a line, for ``make check``.

A module ``surrobench/ROOM/NAME.py`` is tested by ``tests/ROOM/test_NAME.py`` or, where there is none, by all
files of ``tests/ROOM``. Tests that changed are run, and ``ALWAYS`` is run whatever changed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ALWAYS = (
    "tests/plan",
    "tests/suite",
    "tests/test_layers.py",
    "tests/test_libraries.py",
    "tests/test_paths.py",
)
"""What is tested whatever changed."""

MOST = 12
"""Files of tests; where more are concerned the answer would take minutes."""


def git(*words: str) -> list[str]:
    """The lines that git prints; none where it fails, as without a repository."""
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.splitlines()


def tests_of(file: Path) -> list[Path]:
    """The test files of one changed file, as far as they exist."""
    if file.suffix != ".py" or file.parts[0] not in ("surrobench", "tests"):
        return []
    if file.parts[0] == "tests":
        return [file] if file.name.startswith("test_") and file.is_file() else []
    room = Path("tests", *file.parts[1:-1])
    own = room / f"test_{file.stem}.py"
    return [own] if own.is_file() else sorted(room.glob("test_*.py")) if room != Path("tests") else []


def main(since: str = "main") -> None:
    """Print the paths; pytest is run in the folder that this is run in, the repository's."""
    [base] = git("merge-base", since, "HEAD") or ["HEAD"]
    files = {*git("diff", "--name-only", base), *git("ls-files", "--others", "--exclude-standard")}
    tests = {str(test) for file in files for test in tests_of(Path(file))}
    if len(tests) > MOST:
        print(f"{len(tests)} files of tests are concerned: run make test for them.", file=sys.stderr)
        tests.clear()
    print("\n".join([*ALWAYS, *sorted(test for test in tests if not test.startswith(ALWAYS))]))


if __name__ == "__main__":
    main(*sys.argv[1:])
