"""A notebook that runs a study and shows a ranking and a chart, executed, then opened without a network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import surrobench

nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
nbconvert = pytest.importorskip("nbconvert", reason="nbconvert is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

CELLS = [
    "import surrobench\n"
    "suite = {'name': 'tiny', 'benchmarks': ['hpobench/mlp/car', 'hpobench/mlp/vehicle'], 'trials': 6,\n"
    "         'seeds': 2, 'optimizers': {'random': {}, 'sobol': {}}}\n"
    "study = surrobench.run(suite, jobs=2)",
    "study.rank()",
    "study.plot('curves')",
    "study.trials().head(2)",
]
pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook with its outputs."""
    folder = tmp_path_factory.mktemp("notebook")
    kernel = folder / "kernels" / "here"
    kernel.mkdir(parents=True)
    command = f'["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"]'
    (kernel / "kernel.json").write_text(
        f'{{"argv": {command}, "display_name": "here", "language": "python"}}'
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PYTHONPATH", str(Path(surrobench.__file__).parent.parent))
        patch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing is to be fetched
        patch.setenv("https_proxy", "http://127.0.0.1:9")
        client = nbclient.NotebookClient(
            notebook, timeout=120, kernel_name="here", resources={"metadata": {"path": str(folder)}}
        )
        client.execute()
    return notebook


def outputs(notebook, number, kind):
    shown = [output.get("data", {}) for output in notebook.cells[number].outputs]
    return "".join(data[kind] for data in shown if kind in data)


@pytest.mark.filterwarnings("ignore")
def test_a_notebook_shows_progress_a_ranking_and_a_chart(executed):
    assert "8 of 8 runs are finished" in outputs(executed, 0, "text/html")
    assert "<table" in outputs(executed, 1, "text/html")
    assert "rank" in outputs(executed, 1, "text/plain")
    assert "<iframe" in outputs(executed, 2, "text/html")
    assert not [
        output for cell in executed.cells for output in cell.outputs if output.output_type == "stream"
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_without_a_network_draws_the_chart(executed, tmp_path):
    page, _ = nbconvert.HTMLExporter(template_name="basic").from_notebook_node(executed)
    frame = re.search(r"<iframe.*?</iframe>", page, re.S)
    assert frame
    # What a frame holds stands in no dump of the page around it: it tells it by its title.
    (tmp_path / "page.html").write_text(
        f"<!doctype html><meta charset='utf-8'>{page}<script>\n"
        "function look() {\n"
        "  const inner = document.querySelector('iframe');\n"
        "  const marks = inner.contentDocument?.querySelectorAll('svg path, canvas').length ?? -1;\n"
        "  document.title = 'marks ' + marks;\n"
        "}\n"
        "setInterval(look, 100);</script>"
    )
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000",
            "--disable-web-security", "--dump-dom", (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    marks = re.search(r"<title>marks (-?\d+)</title>", done.stdout)
    assert marks
    assert int(marks[1]) > 0, frame[0][:200]
