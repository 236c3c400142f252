"""Find YAHPO Gym's published data, and read what it says: files and facts, without inference.

The data is the GitHub repository ``slds-lmu/yahpo_data`` at tag 1.0.2 (Apache-2.0). It has a folder per
scenario with ``config_space.json``, ``encoding.json`` and ``model.onnx``. Some facts are not in these
folders: the order of a network's inputs and outputs, the directions, and which hyperparameters are instance
and fidelity. They are in the table of the package ``yahpo-gym`` 1.0.2, which is kept here in ``yahpo.json``.
A ``scenarios.json`` in the data folder has priority over this table, so that scenarios that are not known
here can be added.

Source: Pfisterer, Schneider, Moosbauer, Binder & Bischl, AutoML 2022, arXiv 2109.03670.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from surrobench.errors import DataError, UnknownName
from surrobench.paths import cache_dir
from surrobench.plain_files import read_bytes, read_text
from surrobench.seeding import content_hash
from surrobench.untrusted import load_json

VERSION = "1.0.2"
MODEL, SPACE, ENCODING = "model.onnx", "config_space.json", "encoding.json"
DIGITS = "digits"
"""The key of a carried scenario's entry that says what ``content_digits`` were where its network was."""
STATISTICS = "global_statistics/instance_target_statistics.csv"
SUITES = {name: f"benchmark_suites/v1.0/{name}.json" for name in ("single", "multi")}
_ENVIRONMENT = "SURROBENCH_YAHPO_DATA"


def pulled_folder() -> Path:
    """Return the folder in which ``surrobench data pull yahpo`` keeps the data."""
    return cache_dir() / "yahpo" / VERSION


def find_folder() -> Path | None:
    """Return the data folder, or None if there is none.

    It is ``SURROBENCH_YAHPO_DATA`` if that is set, else the data that was pulled, else yahpo-gym's own
    folder.
    """
    if own := os.environ.get(_ENVIRONMENT):
        return Path(own).expanduser()
    if pulled_folder().is_dir():
        return pulled_folder()
    return _yahpo_gyms_folder()


def _yahpo_gyms_folder() -> Path | None:
    """Return the ``data_path`` of yahpo-gym's settings, a YAML file of one line."""
    settings = Path(os.environ.get("YAHPO_LOCAL_CONFIG", "~/.config/yahpo_gym")).expanduser()
    try:
        found = re.search(r"^data_path:\s*(.+?)\s*$", settings.read_text(), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return None
    folder = Path(found[1].strip("'\"")).expanduser() if found else None
    return folder if folder is not None and folder.is_dir() else None


CARRIED = "yahpo"
"""The subfolder of a results folder that holds the part of this data that ranking needs, see ``recorded``."""
_remembered: list[Path] = []


def remember(results: Path) -> None:
    """Use what a results folder carries in place of data that is not on this machine.

    Args:
        results: a results folder, or a file in it such as its journal. The folder need not carry any data.
    """
    folder = (results if results.is_dir() else results.parent).absolute() / CARRIED
    if folder.is_dir() and folder not in _remembered:
        _remembered.append(folder)


def remembered() -> list[Path]:
    """Return the folders that carry scenarios, in the order in which this process opened them."""
    return list(_remembered)


def copy_carried(source: Path, target: Path) -> None:
    """Copy what a recording carries into the results of its replay; see ``remember`` for ``source``."""
    carried = (source if source.is_dir() else source.parent) / CARRIED
    if carried.is_dir():
        shutil.copytree(carried, target / CARRIED, dirs_exist_ok=True)


def fetch_remedy(scenario: str = "") -> str:
    """Return the remedy for missing data."""
    option = f" --scenario {scenario}" if scenario else ""
    return (
        f"Fetch it with: surrobench data pull yahpo{option}, or name a folder that has it in {_ENVIRONMENT}."
    )


def require_folder(scenario: str = "") -> Path:
    """Return the data folder, checked.

    Raises:
        DataError: there is no such folder, or it holds another version; the message says what would help.
    """
    folder = find_folder()
    if folder is None:
        raise DataError("The data of YAHPO Gym is not on this machine.", fetch_remedy(scenario))
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", fetch_remedy(scenario))
    found = data_version(folder)
    if found != VERSION:
        what = (
            f"is version {found} of YAHPO Gym's data" if found else "holds no data of YAHPO Gym (no VERSION)"
        )
        raise DataError(f"{folder} {what}; version {VERSION} is needed.", fetch_remedy(scenario))
    return folder


def data_version(folder: Path) -> str | None:
    """Return what the file ``VERSION`` says, or None."""
    try:
        text = (folder / "VERSION").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    found = re.match(r"VERSION:\s*v?(\S+)", text)
    return found[1] if found else None


@dataclass(frozen=True)
class Facts:
    """The facts of a scenario that are not in its files.

    Attributes:
        objectives: the network's outputs, in order, and whether each is minimised.
        continuous: the numeric inputs, in order. The fidelities are among them.
        categorical: the categorical inputs, in order. The instance is among them if there are several.
        instance: the name of the hyperparameter that is the instance; None if there is one instance.
        instances: the names of the instances if ``instance`` is None.
        fidelities: the hyperparameters that are fidelities. The first is the one to vary.
        runtime: the objective that is the number of seconds that a trial takes.
    """

    objectives: Mapping[str, bool]
    continuous: tuple[str, ...]
    categorical: tuple[str, ...]
    instance: str | None
    instances: tuple[str, ...]
    fidelities: tuple[str, ...]
    runtime: str


def scenario_names(folder: Path) -> list[str]:
    """Return the scenarios that can be evaluated: all three files exist, and the facts are known."""
    known = _facts_of_all(folder)
    return sorted(
        name for name in known if all((folder / name / file).is_file() for file in (MODEL, SPACE, ENCODING))
    )


def read_facts(folder: Path, name: str) -> Facts:
    """Return the facts of a scenario.

    Raises:
        UnknownName: nothing is known of the scenario.
    """
    return _facts(scenario_entry(folder, name))


def _facts(entry: Mapping[str, Any]) -> Facts:
    dropped = entry.get("drop_predict") or []
    dropped = [dropped] if isinstance(dropped, str) else dropped
    # YAHPO's table says that the F1 score of rbv2 is minimised; like any F1 score it is better when larger
    # (and YAHPO's own table says so for iaml).
    minimize = [
        flag and target != "f1" for target, flag in zip(entry["y_names"], entry["y_minimize"], strict=True)
    ]
    return Facts(
        objectives=dict(zip(entry["y_names"], minimize, strict=True)),
        continuous=tuple(entry["cont_names"]),
        categorical=tuple(column for column in entry["cat_names"] if column not in dropped),
        instance=entry.get("instance_names"),
        instances=tuple(entry.get("instances") or ()),
        fidelities=tuple(entry["fidelity_params"]),
        runtime=entry["runtime_name"],
    )


def scenario_entry(folder: Path, name: str) -> dict[str, Any]:
    """Return what the table of all scenarios says of one scenario.

    Raises:
        UnknownName: nothing is known of the scenario.
    """
    known = _facts_of_all(folder)
    if name not in known:
        raise UnknownName("scenario of YAHPO Gym", name, known)
    return known[name]


@cache
def _facts_of_all(folder: Path) -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = dict(shipped()["scenarios"])
    path = folder / "scenarios.json"
    return known | read_json(path) if path.is_file() else known


@cache
def shipped() -> dict[str, dict[str, Any]]:
    """Return the table of this package, which has two parts.

    They are ``scenarios`` and ``git_blobs`` (file -> its id in git, at tag 1.0.2).
    """
    return read_json(Path(__file__).with_name("yahpo.json"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of the data.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        value: dict[str, Any] = load_json(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is missing or damaged.", fetch_remedy(path.parent.name)) from error
    return value


def git_blob(data: bytes) -> str:
    """Return the id that git gives to a file's content, which is what the published tag lists."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def require_model(folder: Path, name: str) -> None:
    """Check that a scenario's network exists.

    Raises:
        DataError: the network does not exist.
    """
    if not (folder / name / MODEL).is_file():
        raise DataError(f"The scenario yahpo/{name} has no model in {folder / name}.", fetch_remedy(name))


def read_model(folder: Path, name: str) -> bytes:
    """Return the bytes of a scenario's network, checked against the published ones if those are known.

    Raises:
        DataError: the network is missing or damaged.
    """
    require_model(folder, name)
    path = folder / name / MODEL
    try:
        data = read_bytes(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", fetch_remedy(name)) from error
    expected = shipped()["git_blobs"].get(f"{name}/{MODEL}")
    if expected is not None and git_blob(data) != expected:
        raise damaged_model(folder, name)
    return data


def is_published(folder: Path, name: str) -> bool:
    """Return whether a scenario is one of the published data, with the published facts.

    Its files are then checked against the published ones when they are read.
    """
    entry = shipped()["scenarios"].get(name)
    known = f"{name}/{MODEL}" in shipped()["git_blobs"]
    return known and entry is not None and read_facts(folder, name) == _facts(entry)


def content_digits(folder: Path, name: str) -> str:
    """Return the digits of what a scenario of the user's is: its facts, space, codes and network.

    Raises:
        DataError: a file is missing or damaged.
    """
    files = [read_json(folder / name / file) for file in (SPACE, ENCODING)]
    network = hashlib.sha256(read_model(folder, name)).hexdigest()
    return content_hash([asdict(read_facts(folder, name)), *files, network])


def damaged_model(folder: Path, name: str) -> DataError:
    """Return the error for a network that is not the published one, or that is no network at all."""
    return DataError(
        f"{folder / name / MODEL} is damaged or not that of version {VERSION}.", fetch_remedy(name)
    )
