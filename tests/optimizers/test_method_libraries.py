"""A method names the libraries that its trials depend on: a run's record says which versions they had."""

from __future__ import annotations

from pathlib import Path

import pytest

import surrobench
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.source_files import _imported
from surrobench.system import installed_version

PACKAGES = {
    "optuna": "optuna",
    "cmaes": "cmaes",
    "smac": "smac",
    "sklearn": "scikit-learn",
    "nevergrad": "nevergrad",
    "torch": "torch",
    "scipy": "scipy",
}
"""Module -> the package that has it, of those that decide which configuration is next."""
BESIDE = {"centaur-tpe": {"cmaes"}}
"""Packages of another method, of whose module a method uses what needs no library."""
NOT_FOLLOWED = {"registry", "entry", "user_defined", "optuna_samplers", "base", "ask_tell"}
ROOT = Path(surrobench.__file__).parent


def imported(module: str, seen: set[str]) -> set[str]:
    """The top-level modules that a module of a method imports, and those of methods that it imports."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    if module in seen or not path.is_file() or module.rpartition(".")[2] in NOT_FOLLOWED:
        return set()
    seen.add(module)
    found = set()
    for name in _imported(path.read_bytes(), ""):
        if name.startswith("surrobench.optimizers."):
            found |= imported(name.removeprefix("surrobench."), seen)
        found.add(name.partition(".")[0])
    return found


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_library_that_a_methods_modules_import_is_named(name: str) -> None:
    entry = OPTIMIZERS[name]
    used = imported(f"optimizers.{entry.target.partition(':')[0]}", set())
    assert {PACKAGES[module] for module in used & PACKAGES.keys()} <= {
        *entry.libraries,
        *BESIDE.get(name, ()),
    }


def test_a_method_that_hands_over_records_what_the_other_depends_on() -> None:
    entry = OPTIMIZERS["zero-shot"]
    versions = entry.library_versions(entry.resolve({"then": "cma-es"}))
    assert versions["cmaes"] == installed_version("cmaes")
    assert "optuna" not in versions
    assert versions["numpy"] == installed_version("numpy")
