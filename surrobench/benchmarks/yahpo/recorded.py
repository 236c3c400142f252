"""Open scenarios of YAHPO Gym that a results folder carries: they have everything but the network.

A recording can be ranked and replayed without the data of YAHPO Gym. Its folder holds what that takes.

    results/STUDY/yahpo/
        scenarios.json                  the facts of the scenarios, as in the published data
        SCENARIO/config_space.json      the published search space
        SCENARIO/encoding.json          the published codes of categories
        SCENARIO/INSTANCE.reference     best and worst loss, and the frozen sample, see ``reference``
        checksums.json                  of all these files; older folders have none

``pack`` writes these files. If the data is present, the data is used. Both give the same numbers.
"""

from __future__ import annotations

import json
import lzma
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surrobench.arrays import Floats
from surrobench.benchmarks.base import Columns, Reference
from surrobench.benchmarks.yahpo.data import (
    CARRIED,
    DIGITS,
    ENCODING,
    SPACE,
    content_digits,
    fetch_remedy,
    is_published,
    read_facts,
    remembered,
    require_folder,
    scenario_entry,
)
from surrobench.benchmarks.yahpo.surrogate import Surrogate
from surrobench.checksums import file_checksum, sealed, unsealed
from surrobench.errors import DataError
from surrobench.seeding import Keys
from surrobench.space.hyperparameter import Matrix
from surrobench.untrusted import load_json

_CHECKSUMS = "checksums.json"


def open_carried(name: str) -> CarriedScenario | None:
    """Return a scenario that an opened results folder carries, or None."""
    folder = next((folder for folder in remembered() if (folder / name / SPACE).is_file()), None)
    if folder is None:
        return None
    _check(folder, "scenarios.json", f"{name}/")
    return CarriedScenario(name, folder, read_facts(folder, name))


class CarriedScenario(Surrogate):
    """A scenario without its network: it says what it is, but cannot evaluate anything."""

    can_evaluate = False

    def content(self) -> str:
        """Return the digits that its files had where the network was; empty in older recordings."""
        return str(scenario_entry(self.folder, self.name).get(DIGITS, ""))

    def prepare(self) -> None:
        """Do nothing: there is no network to load."""

    def evaluate(
        self, X: Matrix, instances: NDArray[np.intp], noise: Keys | None, fidelity: Matrix | None = None
    ) -> Columns:
        """Refuse to evaluate.

        Raises:
            DataError: always.
        """
        raise DataError(
            f"{self.key} cannot be evaluated: its data is not on this machine, and a recording holds only "
            "what was observed.",
            fetch_remedy(self.name),
        )

    def reference(self, instance: str, objective: str | None = None) -> Reference:
        """Return the reference values that an opened results folder carries.

        Raises:
            DataError: no folder carries those of this instance and objective.
        """
        paths = [folder / self.name / f"{instance}.reference" for folder in remembered()]
        path = next((path for path in paths if path.is_file()), None)
        if path is None or objective not in (None, self.target):
            what = f"{self.key}/{instance}" + (f" for {objective}" if objective else "")
            raise DataError(
                f"The reference values of {what} are not on this machine.", fetch_remedy(self.name)
            )
        return _read_reference(path)


def pack(results: Path, benchmarks: Iterable[str]) -> int:
    """Write what ranking and replaying some benchmarks of YAHPO Gym takes into a results folder.

    Args:
        results: the folder.
        benchmarks: ids of benchmarks. Those of other families are passed over.

    Returns:
        The number of benchmarks that were packed.

    Raises:
        DataError: the data is not on this machine.
    """
    mine = sorted(name for name in benchmarks if name.startswith("yahpo/"))
    if not mine:
        return 0
    source, target = require_folder(), results / CARRIED
    names = sorted({name.split("/")[1] for name in mine})
    target.mkdir(exist_ok=True)
    entries = {name: scenario_entry(source, name) for name in names}
    for name in names:
        if not is_published(source, name):
            entries[name] = {**entries[name], DIGITS: content_digits(source, name)}
    (target / "scenarios.json").write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n")
    opened = {name: Surrogate(name, source, read_facts(source, name)) for name in names}
    for name in names:
        (target / name).mkdir(exist_ok=True)
        for file in (SPACE, ENCODING):
            shutil.copyfile(source / name / file, target / name / file)
    for benchmark in mine:
        _, name, instance = benchmark.split("/")
        _write_reference(target / name / f"{instance}.reference", opened[name].reference(instance))
    _list_checksums(target)
    return len(mine)


def _list_checksums(target: Path) -> None:
    """Write the checksums of all files that a folder carries."""
    listed = {
        path.relative_to(target).as_posix(): file_checksum(path)
        for path in sorted(target.glob("**/*"))
        if path.is_file() and path.name != _CHECKSUMS
    }
    (target / _CHECKSUMS).write_text(json.dumps(sealed(listed), indent=1) + "\n")


def _check(folder: Path, *beginnings: str) -> None:
    """See that the checksums of some files hold, which are named by their beginnings.

    Raises:
        DataError: one does not.
    """
    path = folder / _CHECKSUMS
    if not path.exists():
        return
    try:
        listed = unsealed(load_json(path.read_bytes()))
        for name in listed:
            path = folder / name
            if name.startswith(beginnings) and file_checksum(path) != listed[name]:
                raise ValueError
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is damaged.", "Restore it with the recording that it belongs to.") from error


# ---------------------------------------------------------------------- reference values


def _write_reference(path: Path, reference: Reference) -> None:
    """Write best and worst, then the sample as differences of its neighbours.

    The network computes in single precision. As integers of the same order, its values differ little from one
    to the next. The four bytes of the differences are compressed one after the other.
    """
    sample = reference.sorted_losses.astype(np.float32)
    differences = np.diff(_as_integers(sample), prepend=0).astype("<u4")
    planes = differences.view(np.uint8).reshape(-1, 4).T.tobytes()
    ends = struct.pack("<dd", reference.best, reference.worst)
    path.write_bytes(ends + lzma.compress(planes, format=lzma.FORMAT_XZ, preset=9))


def _read_reference(path: Path) -> Reference:
    """Read what ``_write_reference`` wrote.

    Raises:
        DataError: the file is damaged.
    """
    try:
        data = path.read_bytes()
        best, worst = struct.unpack("<dd", data[:16])
        planes = np.frombuffer(lzma.decompress(data[16:]), np.uint8).reshape(4, -1)
    except (OSError, ValueError, struct.error, lzma.LZMAError) as error:
        raise DataError(f"{path} is damaged.", "Restore it with the recording that it belongs to.") from error
    differences = np.ascontiguousarray(planes.T).view("<u4")[:, 0]
    sample = _as_losses(np.cumsum(differences, dtype=np.int64))
    return Reference(best, float(np.median(sample)), worst, sample, exact=False)


def _as_integers(losses: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return finite numbers as integers in the same order.

    Each number gets an integer of its own (-0.0 comes before 0.0).
    """
    bits = losses.view(np.uint32).astype(np.int64)
    return np.where(bits >> 31, 0xFFFFFFFF - bits, bits | 0x80000000)


def _as_losses(integers: NDArray[np.int64]) -> Floats:
    bits = np.where(integers >> 31, integers & 0x7FFFFFFF, 0xFFFFFFFF - integers)
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)
