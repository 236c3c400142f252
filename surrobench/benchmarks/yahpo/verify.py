"""Compare the surrogates with the reference package, ``yahpo-gym`` 1.0.2, value by value.

The reference needs numpy below 2 and ConfigSpace up to 0.6.1. Therefore it has a virtual environment of its
own, which is made once in the cache folder. A script (``reference_script.py``, which imports nothing of
surrobench) runs in it. The script reads questions as JSON lines and writes answers as JSON. Both sides use
the same data folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.yahpo.data import require_folder
from surrobench.benchmarks.yahpo.family import available, open_scenario
from surrobench.benchmarks.yahpo.surrogate import Surrogate
from surrobench.errors import DataError
from surrobench.paths import cache_dir
from surrobench.seeding import stream
from surrobench.space.hyperparameter import Matrix

REFERENCE = "yahpo-gym==1.0.2"
# The requirement that the reference states, and those that it has without saying so. Its values do not depend
# on whether pandas and onnxruntime are of its time, but a newer numpy or ConfigSpace cannot read its spaces.
PINS = ("numpy<2", "ConfigSpace==0.6.1", "pandas", "pyyaml", "onnxruntime")
RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""The tolerances: a value agrees if it differs by at most ``RELATIVE`` of itself.

Near zero, it agrees if it differs by at most ``ABSOLUTE``.
"""
# The number of configurations in a list call and in a batch of surrobench, when speeds are compared.
_TIMED = 512
# The repeats of surrobench's batch, which then takes about as long as the calls of the reference.
_REPEATS = 40


@dataclass(frozen=True)
class Agreement:
    """The agreement on one target of one scenario.

    Attributes:
        absolute, relative: the largest differences from the reference's list call. The relative one is over
            values that differ by more than ``ABSOLUTE``.
        different: how many values do not agree.
        single: the largest relative difference between the reference's own single and list calls.
    """

    target: str
    absolute: float
    relative: float
    different: int
    single: float


@dataclass(frozen=True)
class Comparison:
    """The findings on one scenario.

    Attributes:
        configurations: how many configurations were compared.
        inactive: how many of their values were inactive.
        encodings: how many configurations have inputs to the network that differ (numbers: by more than 1 in
            a million).
        agreements: one agreement per target.
        seconds: the medians of the seconds per configuration, measured in turn. ``ours`` is in batches of
            512. The reference has ``single_checked`` and ``list_checked`` (what it does by default),
            ``single_unchecked`` and ``list_unchecked``.
    """

    scenario: str
    configurations: int
    inactive: int
    encodings: int
    agreements: list[Agreement]
    seconds: dict[str, float]

    @property
    def passed(self) -> bool:
        """Return whether every value and every encoding agrees."""
        return not self.encodings and not any(part.different for part in self.agreements)


def verify_yahpo(
    count: int,
    note: Callable[[str], None],
    done: Callable[[Comparison], None],
    scenarios: tuple[str, ...] = (),
) -> bool:
    """Compare every scenario whose data is here, and return whether all agree.

    Args:
        count: the number of configurations per scenario.
        note: takes a line on what is being done.
        done: takes each scenario's comparison.
        scenarios: the only scenarios to compare; all if empty.

    Raises:
        DataError: there is no data, or the reference cannot be installed or does not answer.
    """
    folder = require_folder()
    names = list(scenarios or available())
    opened = [open_scenario(name) for name in names]
    python = reference_environment(note)
    passed = True
    with _Reference(python, folder) as reference:
        for scenario in opened:
            note(f"comparing {scenario.key}")
            comparison = compare(scenario, reference, count)
            passed &= comparison.passed
            done(comparison)
    return passed


# ---------------------------------------------------------------------- one scenario


def questions(scenario: Surrogate, count: int) -> tuple[Matrix, NDArray[np.intp], Matrix]:
    """Return configurations to compare, of all instances and fidelities: X, instances, fidelity.

    The first rows have each hyperparameter and fidelity at both ends of its range (or at each category) in
    turn. A third of the other rows lie on random ends throughout. All hyperparameters are active if their
    conditions say so.
    """
    space, rng = scenario.space, stream("yahpo verify", scenario.key, count)
    U = rng.random((count, space.d))
    corners = rng.random(count) < 1 / 3
    U[corners] = np.rint(U[corners])
    row = 0
    for j in range(space.d):
        levels = int(space.levels[j]) if space.is_categorical[j] else 2
        for level in range(levels):
            # Conditions may leave the value inactive, so there are several rows for each.
            U[row : row + 4, j] = (level + 0.5) / levels if space.is_categorical[j] else float(level)
            row += 4
    lower, upper = (np.array([getattr(f, end) for f in scenario.fidelities]) for end in ("lower", "upper"))
    share = rng.random((count, len(lower)))
    share[::3] = np.rint(share[::3])
    fidelity = lower + share * (upper - lower)
    fidelity = np.where([f.integer for f in scenario.fidelities], np.rint(fidelity), fidelity)
    return space.from_unit(U), rng.integers(len(scenario.instances), size=count), fidelity


def compare(scenario: Surrogate, reference: _Reference, count: int) -> Comparison:
    """Ask both sides for the same values, and time them in turn."""
    X, instances, fidelity = questions(scenario, count)
    configurations = scenario.space.decode(X)
    for i, configuration in enumerate(configurations):
        if scenario.facts.instance:
            configuration[scenario.facts.instance] = scenario.instances[instances[i]]
        for known, value in zip(scenario.fidelities, fidelity[i].tolist(), strict=True):
            configuration[known.name] = int(value) if known.integer else value
        _clip(configuration, scenario)
    answer = reference.ask(scenario=scenario.name, configurations=configurations)
    categories, numbers = scenario._inputs.encode(X, instances, fidelity)
    their_numbers = np.array(answer["numbers"]).reshape(numbers.shape)
    encodings = (categories != np.array(answer["categories"]).reshape(categories.shape)).any(axis=1)
    encodings |= ~np.isclose(numbers, their_numbers, rtol=1e-6, atol=0).all(axis=1)
    values = scenario.evaluate(X, instances, None, fidelity).values
    listed, single = np.array(answer["listed"]), np.array(answer["single"])
    return Comparison(
        scenario=scenario.key,
        configurations=count,
        inactive=int(np.isnan(X).sum()),
        encodings=int(encodings.sum()),
        agreements=[
            Agreement(
                target=objective.name,
                absolute=float(np.max(np.abs(values[:, j] - listed[:, j]))),
                relative=_relative(values[:, j], listed[:, j]),
                different=int(np.sum(~np.isclose(values[:, j], listed[:, j], rtol=RELATIVE, atol=ABSOLUTE))),
                single=_relative(single[:, j], listed[: len(single), j]),
            )
            for j, objective in enumerate(scenario.objectives)
        ],
        seconds=_speeds(scenario, reference, X, instances, fidelity, configurations),
    )


def _clip(configuration: dict[str, Any], scenario: Surrogate) -> None:
    """Clip a configuration to the published ranges, in place.

    ConfigSpace 1 rounds a bound at the 13th digit, and ConfigSpace 0.6 refuses that.
    """
    for name, value in configuration.items():
        entry = scenario.published_entries[name]
        if entry["type"] == "uniform_float":
            configuration[name] = min(max(value, entry["lower"]), entry["upper"])


def _relative(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return the largest difference relative to what is expected, among those of more than ``ABSOLUTE``."""
    difference = np.abs(found - expected)
    counted = difference > ABSOLUTE
    return float(np.max(difference[counted] / np.maximum(np.abs(expected[counted]), ABSOLUTE), initial=0.0))


def _speeds(
    scenario: Surrogate,
    reference: _Reference,
    X: Matrix,
    instances: NDArray[np.intp],
    fidelity: Matrix,
    configurations: list[dict[str, Any]],
) -> dict[str, float]:
    """Return the seconds per configuration of both sides' calls, see ``Comparison.seconds``."""
    rows = np.arange(_TIMED) % len(X)
    batch = X[rows], instances[rows], None, fidelity[rows]
    asked = [configurations[row] for row in rows]
    times: list[dict[str, float]] = []
    for _ in range(5):
        theirs = reference.ask(scenario=scenario.name, configurations=asked, timed=True)
        # The reference is timed after hundreds of single calls. Therefore surrobench must not be timed with
        # cold caches, nor while the threads of the reference are still spinning.
        scenario.evaluate(*batch)
        start = time.perf_counter()
        for _ in range(_REPEATS):
            scenario.evaluate(*batch)
        times.append({**theirs, "ours": (time.perf_counter() - start) / (len(rows) * _REPEATS)})
    return {name: median(one[name] for one in times) for name in times[0]}


# ---------------------------------------------------------------------- the reference


class _Reference:
    """The reference package in a process of its own, which answers one question at a time."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python, self._folder = python, folder
        self._script = Path(__file__).with_name("reference_script.py")

    def __enter__(self) -> _Reference:
        # The reference learns the place of its data from a file, which must not be the user's.
        self._settings = tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False)
        with self._settings as file:
            file.write(f"data_path: {json.dumps(str(self._folder.resolve()))}\n")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment["YAHPO_LOCAL_CONFIG"] = self._settings.name
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [str(self._python), str(self._script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
        Path(self._settings.name).unlink(missing_ok=True)

    def ask(self, **question: Any) -> dict[str, Any]:
        """Ask one question and return its answer.

        Raises:
            DataError: the reference failed; the message has the end of its output.
        """
        sink, source = self._process.stdin, self._process.stdout
        assert sink is not None
        assert source is not None
        try:
            sink.write(json.dumps(question) + "\n")
            sink.flush()
            line = source.readline()
        except OSError:
            line = ""
        if not line:
            self._errors.seek(0)
            said = " ".join(self._errors.read().split())[-300:]
            raise DataError(f"The reference package failed: {said or 'no message'}.", _AGAIN)
        answer: dict[str, Any] = json.loads(line)
        return answer


def environment_folder() -> Path:
    """Return the folder of the reference's virtual environment."""
    return (
        cache_dir()
        / "reference"
        / f"{REFERENCE.replace('==', '-')}-python{sys.version_info[0]}.{sys.version_info[1]}"
    )


_AGAIN = "Delete its folder in the cache (reference/) and repeat the command to install it anew."


def reference_environment(note: Callable[[str], None]) -> Path:
    """Return the Python that has the reference package.

    Its environment is made first if it does not exist.

    Raises:
        DataError: the environment cannot be installed.
    """
    folder = environment_folder()
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (folder / "ready").exists():
        return python
    note(f"installing {REFERENCE} in an environment of its own (once)")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        # The environment is made in place, because its paths do not survive a move. ``ready`` says that it is
        # whole.
        venv.create(folder, with_pip=True)
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            REFERENCE,
            *PINS,
        ]
        subprocess.run(command, check=True, capture_output=True, text=True)
        (folder / "ready").touch()
    except (OSError, subprocess.CalledProcessError) as error:
        said = " ".join(str(getattr(error, "stderr", None) or error).split())[-300:]
        raise DataError(f"{REFERENCE} cannot be installed: {said}", "Is this machine offline?") from error
    return python
