"""The wheel, away from the checkout: it must carry what the checkout has beside the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import surrobench
from surrobench.results.folder import Results
from tests.llm.faulty_server import FaultyServer
from tests.studies import AGENT, answer, suite_text

ROOT = Path(surrobench.__file__).resolve().parent.parent
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


def call(folder: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Python in another folder, with nothing of ours but ``path``."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_prompts_suites_and_published_figures_come_from_the_wheel(installed, tmp_path):
    found = call(
        tmp_path,
        "-c",
        "import json, surrobench; from surrobench.paths import data_dir;"
        "names = ['prompts', 'suites', 'results/published'];"
        "print(json.dumps([surrobench.__file__, *map(str, map(data_dir, names))]))",
        path=installed,
    )
    places = [Path(place) for place in json.loads(found.stdout)]
    assert [place.is_relative_to(installed) for place in places] == [True] * 4
    for place, name in zip(places[1:], ["prompts", "suites", "results/published"], strict=True):
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
