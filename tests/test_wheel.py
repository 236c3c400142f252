"""The wheel, away from the checkout: it must carry what the checkout has beside the package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from importlib.metadata import PathDistribution, distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import surrobench
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.results.folder import Results
from tests.llm.faulty_server import FaultyServer
from tests.studies import AGENT, answer, suite_text

ROOT = Path(surrobench.__file__).resolve().parent.parent
CARRIED = ["prompts", "suites", "results/published", "results/recordings"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds nothing but what is in the wheel."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)]
    call(wheels, *build)
    [wheel] = wheels.glob("surrobench-*.whl")
    assert wheel.name.startswith(f"surrobench-{surrobench.__version__}-")
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    call(wheels, *pip, "--target", str(target), str(wheel))
    return target


@pytest.fixture(scope="module")
def core(installed, tmp_path_factory):
    """The Python of an environment that holds the wheel and what it requires, without any extra."""
    folder = tmp_path_factory.mktemp("core")
    venv.create(folder, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    for entry in installed.iterdir():
        (site / entry.name).symlink_to(entry)
    [metadata] = installed.glob("*.dist-info")
    for found in map(distribution, closure(PathDistribution(metadata).requires)):
        for top in {file.parts[0] for file in found.files} - {"..", "__pycache__"}:
            (site / top).symlink_to(found.locate_file(top))
    return folder / "bin" / "python"


def closure(lines: list[str]) -> set[str]:
    """The distributions that a list of requirements brings, directly or not, as they are installed here."""
    names: set[str] = set()
    todo = [(line, "") for line in lines]
    while todo:
        line, extra = todo.pop()
        need = Requirement(line)
        name = canonicalize_name(need.name)
        if name in names or (need.marker and not need.marker.evaluate({"extra": extra})):
            continue
        names.add(name)
        todo += [(more, extra) for extra in ("", *need.extras) for more in requires(name) or ()]
    return names


def call(
    folder: Path,
    *arguments: str,
    path: Path | None = None,
    python: Path | str = sys.executable,
    status: int = 0,
) -> subprocess.CompletedProcess[str]:
    """Python in another folder, with nothing of ours but ``path``; it must end with this status."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [python, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_prompts_suites_figures_and_recordings_come_from_the_wheel(installed, tmp_path):
    found = call(
        tmp_path,
        "-c",
        "import json, surrobench; from surrobench.paths import data_dir;"
        f"names = {CARRIED};"
        "print(json.dumps([surrobench.__file__, *map(str, map(data_dir, names))]))",
        path=installed,
    )
    places = [Path(place) for place in json.loads(found.stdout)]
    assert [place.is_relative_to(installed) for place in places] == [True] * 5
    for place, name in zip(places[1:], CARRIED, strict=True):
        packed = {file.relative_to(place): file.read_bytes() for file in place.rglob("*") if file.is_file()}
        beside = {
            file.relative_to(ROOT / name): file.read_bytes()
            for file in (ROOT / name).rglob("*")
            if file.is_file()
        }
        assert packed == beside
        assert packed
    assert (installed / "surrobench" / "py.typed").is_file()
    assert not (installed / "tests").exists()


def test_a_paper_is_reproduced_from_the_wheel(installed, tmp_path):
    made = call(tmp_path, "-m", "surrobench", "reproduce", "ferreira2026", "--format", "json", path=installed)
    assert len(json.loads(made.stdout)["sheets"]["table"]["rows"]) == 15
    # The start and the proposals lie beside the suites there, too.
    asked = call(tmp_path, "-m", "surrobench", "run", "llambo2024", "--dry-run", path=installed)
    assert "runs" in asked.stdout


def test_a_study_with_a_model_runs_and_ranks_from_the_wheel(installed, tmp_path):
    listed = call(tmp_path, "-m", "surrobench", "list", "suites", path=installed)
    assert {"quick", "tabular"} <= {line.split(" ")[0] for line in listed.stdout.splitlines()}
    with FaultyServer(answer) as server:
        (tmp_path / "tiny.toml").write_text(suite_text(models={"m": server.url}, trials=3, seeds=1))
        call(tmp_path, "-m", "surrobench", "run", "tiny.toml", "--jobs", "1", path=installed)
        assert len(server.bodies) == 2
    ranked = call(tmp_path, "-m", "surrobench", "rank", "results/tiny", "--format", "json", path=installed)
    methods = {row["method"] for row in json.loads(ranked.stdout)["methods"]}
    assert methods == {"random", f"{AGENT} (m)"}
    manifest = Results(tmp_path / "results" / "tiny").manifest
    assert manifest["commit"] is None  # of the checkout, which had no part in it
    assert manifest["surrobench"] == surrobench.__version__


def surrobench_in(python: Path, folder: Path, *arguments: str, status: int = 0) -> str:
    """What the command line of an environment prints; its error, where it must fail."""
    done = call(folder, "-m", "surrobench", *arguments, python=python, status=status)
    return done.stderr if status else done.stdout


OPTIONAL = {
    "altair": ("rank", "results/tiny", "--figure", "cd.svg"),
    "distributed": ("run", "tiny.toml", "--cluster", "tcp://127.0.0.1:1", "--out", "elsewhere"),
    "nevergrad": ("run", "ngopt.toml"),
    "smac": ("run", "gp.toml"),
    "xllamacpp": ("serve", "smollm2"),
}
"""Library -> a command that needs it."""


def test_the_core_alone_runs_and_ranks_a_study(core, tmp_path):
    suite = suite_text(methods=["random", "tpe", "cma-es"], trials=3, seeds=1)
    (tmp_path / "tiny.toml").write_text(suite)
    assert " rank " in surrobench_in(core, tmp_path, "--help")
    surrobench_in(core, tmp_path, "run", "tiny.toml", "--jobs", "1")
    ranked = json.loads(surrobench_in(core, tmp_path, "rank", "results/tiny", "--format", "json"))
    assert {row["method"] for row in ranked["methods"]} == {"random", "tpe", "cma-es"}
    recorded = surrobench_in(core, tmp_path, "rank", "llm-quick")
    assert AGENT in recorded

    for method in ("ngopt", "gp"):
        (tmp_path / f"{method}.toml").write_text(suite_text(methods=["random", method]))
    for library, command in OPTIONAL.items():
        said = surrobench_in(core, tmp_path, *command, status=1)
        one_line = rf"Error: .+ needs {library}, which is not installed\. pip install 'surrobench\[\w+\]'\n"
        assert re.fullmatch(one_line, said)
    listed = surrobench_in(core, tmp_path, "list", "optimizers")
    unavailable = {name for name, entry in OPTIMIZERS.items() if entry.needs}
    assert listed.count("pip install") == len(unavailable)


@pytest.mark.yahpo
def test_without_its_network_library_yahpo_is_listed_and_says_what_is_missing(core, tmp_path):
    assert "unavailable: pip install 'surrobench[yahpo]'" in " ".join(
        surrobench_in(core, tmp_path, "list", "benchmarks").split()
    )
    (tmp_path / "tiny.toml").write_text(suite_text("yahpo/lcbench/167168"))
    said = surrobench_in(core, tmp_path, "run", "tiny.toml", status=1)
    assert said == (
        "Error: YAHPO Gym needs onnxruntime, which is not installed. pip install 'surrobench[yahpo]'\n"
    )
