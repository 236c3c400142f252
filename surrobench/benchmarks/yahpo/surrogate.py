"""Evaluate YAHPO Gym: neural networks fitted to millions of real evaluations, asked in batches.

A scenario is a folder of the published data (see ``data``). Any folder that holds a space, an encoding and a
network works, without a line here.

A configuration becomes the network's input as in the reference, ``yahpo-gym`` 1.0.2. Numbers are 32-bit
floats on their own scale. Categories are given by their published code. An inactive hyperparameter is 0 or
the code of ``#na#``. ``surrobench verify yahpo`` compares the two.

Source: Pfisterer, Schneider, Moosbauer, Binder & Bischl, AutoML 2022, arXiv 2109.03670.
"""

from __future__ import annotations

import csv
import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns, Fidelity, Objective, Reference, Scenario, TaskCard
from surrobench.benchmarks.onnx import NoNetwork
from surrobench.benchmarks.yahpo import names
from surrobench.benchmarks.yahpo.data import (
    ENCODING,
    SPACE,
    STATISTICS,
    Facts,
    content_digits,
    damaged_model,
    is_published,
    read_json,
    read_model,
)
from surrobench.benchmarks.yahpo.inputs import Inputs
from surrobench.benchmarks.yahpo.network import CHUNK, Network
from surrobench.benchmarks.yahpo.quantized import without_step
from surrobench.benchmarks.yahpo.reference import cached_reference
from surrobench.errors import DataError
from surrobench.seeding import Keys, stream
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace


class Surrogate(Scenario):
    """A scenario of YAHPO Gym.

    Opening it reads small JSON files; the search space and the network are loaded when first used.

    Raises:
        DataError: a file is missing or damaged.
    """

    version_1 = 1
    libraries = ("onnxruntime",)
    noisy = False
    default_origin = (
        "the middle of each range, as published in YAHPO Gym's own search space (no library's default)"
    )

    def __init__(self, name: str, folder: Path, facts: Facts) -> None:
        self.key = f"yahpo/{name}"
        self.name = name
        self.folder = folder
        self.facts = facts
        self.runtime = list(facts.objectives).index(facts.runtime)
        self.objectives = tuple(
            Objective(target, minimize, names.OBJECTIVES.get(target, target.replace("_", " ")))
            for target, minimize in facts.objectives.items()
        )
        self.test_counterpart = {
            name: test for name, test in names.TEST_COUNTERPARTS.items() if name in facts.objectives
        }
        # YAHPO's suites optimize the objective that is first after the time.
        self.target = next(target for target in facts.objectives if target != facts.runtime)
        self.instance_key = facts.instance
        self._space_file = read_json(folder / name / SPACE)
        self.published_entries = {entry["name"]: entry for entry in self._space_file["hyperparameters"]}
        if facts.instance is None:
            self.instances = facts.instances
        else:
            self.instances = tuple(map(str, self.published_entries[facts.instance]["choices"]))
        self.fidelities = tuple(self._fidelity(fidelity) for fidelity in facts.fidelities)

    def _fidelity(self, name: str) -> Fidelity:
        entry = self.published_entries[name]
        lower, upper = float(entry["lower"]), float(entry["upper"])
        return Fidelity(
            name=name,
            label=names.FIDELITIES.get(name, name),
            lower=lower,
            upper=upper,
            full=upper,
            integer=entry["type"] == "uniform_int",
            useful=names.USEFUL_RANGES.get((self.name, name), (lower, upper)),
            resumable=name in names.RESUMABLE,
        )

    @cached_property
    def space(self) -> SearchSpace:
        """Return the published space without the instance and the fidelities."""
        gone = {self.facts.instance, *self.facts.fidelities}
        entries = [
            # An older ConfigSpace wrote the file. Its "default" is "default_value" now.
            without_step(
                {("default_value" if key == "default" else key): value for key, value in entry.items()},
                self.name,
            )
            for name, entry in self.published_entries.items()
            if name not in gone
        ]
        published = {**self._space_file, "hyperparameters": entries}
        return SearchSpace(ConfigurationSpace.from_serialized_dict(published))

    @cached_property
    def _inputs(self) -> Inputs:
        return Inputs(self, self.facts, read_json(self.folder / self.name / ENCODING))

    @cached_property
    def _network(self) -> Network:
        data = read_model(self.folder, self.name)
        # These rows are the ones that the padding is checked with.
        rng = stream("yahpo padding", self.key)
        X = self.space.sample(CHUNK, rng)
        lower, upper = (np.array([getattr(f, end) for f in self.fidelities]) for end in ("lower", "upper"))
        at = lower + rng.random((CHUNK, len(self.fidelities))) * (upper - lower)
        at = np.where([f.integer for f in self.fidelities], np.rint(at), at)
        probe = self._inputs.encode(X, rng.integers(len(self.instances), size=CHUNK), at)
        try:
            network = Network(data, len(self.objectives))
            network.choose_padding(*probe, self.key)
        except NoNetwork as error:
            raise damaged_model(self.folder, self.name) from error
        return network

    def prepare(self) -> None:
        """Load the network, so that a damaged one is refused before a study starts."""
        _ = self._network

    @cached_property
    def version(self) -> int | str:  # type: ignore[override] # nobody sets it
        """Return 1 for a scenario that is published, and the digits of its files for any other."""
        return 1 if is_published(self.folder, self.name) else self.content() or self.version_1

    def content(self) -> str:
        """Return the digits of the scenario's files."""
        return content_digits(self.folder, self.name)

    @cached_property
    def checksum(self) -> str:
        """Return the SHA-256 of the network, 16 hexadecimal digits.

        Cached reference values belong to it.
        """
        return hashlib.sha256(read_model(self.folder, self.name)).hexdigest()[:16]

    def evaluate(
        self,
        X: Matrix,
        instances: NDArray[np.intp],
        noise: Keys | None,
        fidelity: Matrix | None = None,
    ) -> Columns:
        """Evaluate configurations by one pass through the network, see ``Scenario.evaluate``.

        The network is a function, so there is no noise.
        """
        if fidelity is None:
            fidelity = np.tile(self.full_fidelity, (len(X), 1))
        values = self._network(*self._inputs.encode(X, instances, fidelity)).astype(np.float64)
        return Columns(
            values, values[:, self.target_index].copy(), np.maximum(values[:, self.runtime], 0.0), fidelity
        )

    def default(self) -> Matrix:
        """Return the space's own default configuration."""
        return self.space.default.copy()

    def card(self, instance: str) -> TaskCard:
        """Return the task card, with the data set's name if it is known.

        The size of the data set is not published with the surrogates.
        """
        objective = self.objectives[self.target_index]
        short = self.name.rpartition("_")[2]
        return TaskCard(
            learner=names.LEARNERS.get(self.name) or names.LEARNERS.get(short, self.name),
            dataset=names.dataset(self.name, instance),
            task="classification",
            rows=None,
            features=None,
            classes=None,
            metric=objective.label,
            minimize=objective.minimize,
        )

    def reference(self, instance: str, objective: str | None = None) -> Reference:
        """Return reference values of an instance at full fidelity, of the target or of another objective.

        They are computed once, in about a second, and cached with the network's checksum, see ``reference``.
        """
        return cached_reference(self, instance, objective or self.target)

    @cached_property
    def published(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Return (instance, objective) -> the smallest and the largest value published, over all fidelities.

        The values come from a random search of half a million points, see ``target_stats`` of ``yahpo-gym``.
        """
        ends: dict[tuple[str, str], dict[str, float]] = {}
        try:
            with (self.folder / STATISTICS).open(newline="") as file:
                for row in csv.DictReader(file):
                    if row["scenario"] == self.name:
                        ends.setdefault((row["instance"], row["metric"]), {})[row["statistic"]] = float(
                            row["value"]
                        )
            return {names: (found["min"], found["max"]) for names, found in ends.items()}
        except FileNotFoundError:
            return {}  # the values found by search are used alone
        except (OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{self.folder / STATISTICS} is damaged.", "Fetch or unpack the data again."
            ) from error
