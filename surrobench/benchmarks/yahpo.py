"""YAHPO Gym: neural networks fitted to millions of real evaluations, asked in batches.

The only file that imports onnxruntime. A scenario is a folder of the published data (see ``yahpo_data``); any
folder that holds a space, an encoding and a network works, without a line here.

A configuration becomes the network's input as in the reference, ``yahpo-gym`` 1.0.2: numbers on their own
scale as 32-bit floats, categories by their published code, an inactive hyperparameter as 0 or as the code of
``#na#``. ``surrobench verify yahpo`` compares the two.

Source: Pfisterer, Schneider, Moosbauer, Binder & Bischl, AutoML 2022, arXiv 2109.03670.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray

from surrobench.benchmarks import yahpo_names as names
from surrobench.benchmarks.base import Columns, Fidelity, Objective, Reference, Scenario, TaskCard
from surrobench.benchmarks.yahpo_data import (
    ENCODING,
    SPACE,
    STATISTICS,
    VERSION,
    Facts,
    damaged_model,
    data_version,
    find_folder,
    read_facts,
    read_json,
    read_model,
    require_folder,
    require_model,
    scenario_names,
)
from surrobench.errors import DataError
from surrobench.machine import usable_cores, usable_threads
from surrobench.seeding import Keys, stream
from surrobench.space import Hyperparameter, Matrix, SearchSpace, bounds_of, is_integer, is_log, values_of

Floats = NDArray[np.float32]
Codes = NDArray[np.int32]
Array = TypeVar("Array", Floats, Codes)

MISSING = "#na#"
"""The category that stands for an inactive hyperparameter in an encoding."""
CHUNK = 512
"""Rows in one call of the network. Larger batches leave the core's cache: 4,096 rows at once cost up to half
as much again per row, 64 rows up to a third."""
SMALLEST_SHARE = 128
"""Rows that are worth a thread of their own."""
PADDINGS = (8, 16, 32, 64, 128, CHUNK)
"""Row counts that a batch may be a multiple of. Not 1: with odd counts some rows come out differently, but so
few that a quick check may not meet one."""


def available() -> list[str]:
    """Names of the scenarios whose data is here; empty, and quickly so, where there is none."""
    folder = find_folder()
    if folder is None or data_version(folder) != VERSION:
        return []
    return scenario_names(folder)


def open_scenario(name: str) -> Surrogate:
    """The scenario called ``yahpo/NAME``.

    Raises:
        DataError: its data is missing, damaged, or of another version; the message says what would help.
        UnknownName: there is no such scenario.
    """
    folder = require_folder(name)
    facts = read_facts(folder, name)
    require_model(folder, name)
    return Surrogate(name, folder, facts)


class Surrogate(Scenario):
    """A scenario of YAHPO Gym.

    Opening it reads small JSON files; the search space and the network are loaded when first used.

    Raises:
        DataError: a file is missing or damaged.
    """

    version = 1
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
        # YAHPO's suites optimize what comes first after the time.
        self.target = next(target for target in facts.objectives if target != facts.runtime)
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
        """The published space without the instance and the fidelities."""
        gone = {self.facts.instance, *self.facts.fidelities}
        entries = [
            # An older ConfigSpace wrote the file: "default" is "default_value" now.
            {("default_value" if key == "default" else key): value for key, value in entry.items()}
            for name, entry in self.published_entries.items()
            if name not in gone
        ]
        published = {**self._space_file, "hyperparameters": entries}
        return SearchSpace(ConfigurationSpace.from_serialized_dict(published))

    @cached_property
    def _inputs(self) -> _Inputs:
        return _Inputs(self, read_json(self.folder / self.name / ENCODING))

    @cached_property
    def _network(self) -> _Network:
        data = read_model(self.folder, self.name)
        # The rows that the padding is checked with.
        rng = stream("yahpo padding", self.key)
        X = self.space.sample(CHUNK, rng)
        lower, upper = (np.array([getattr(f, end) for f in self.fidelities]) for end in ("lower", "upper"))
        at = lower + rng.random((CHUNK, len(self.fidelities))) * (upper - lower)
        at = np.where([f.integer for f in self.fidelities], np.rint(at), at)
        probe = self._inputs.encode(X, rng.integers(len(self.instances), size=CHUNK), at)
        try:
            network = _Network(data, len(self.objectives))
            network.choose_padding(*probe, self.key)
        except _NoNetwork as error:
            raise damaged_model(self.folder, self.name) from error
        return network

    def prepare(self) -> None:
        """Load the network: one that is damaged is refused before a study starts."""
        _ = self._network

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the network, 16 hexadecimal digits: what cached reference values belong to."""
        return hashlib.sha256(read_model(self.folder, self.name)).hexdigest()[:16]

    def evaluate(
        self,
        X: Matrix,
        instances: NDArray[np.intp],
        noise: Keys | None,
        fidelity: Matrix | None = None,
    ) -> Columns:
        """See ``Scenario.evaluate``: one pass through the network. It is a function: there is no noise."""
        if fidelity is None:
            fidelity = np.tile(self.full_fidelity, (len(X), 1))
        values = self._network(*self._inputs.encode(X, instances, fidelity)).astype(np.float64)
        return Columns(
            values, values[:, self.target_index].copy(), np.maximum(values[:, self.runtime], 0.0), fidelity
        )

    def default(self) -> Matrix:
        """The space's own default configuration."""
        return self.space.default.copy()

    def card(self, instance: str) -> TaskCard:
        """The data set by name where it is known; its size is not published with the surrogates."""
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
        """Reference values of an instance, of the target or of another objective, at full fidelity.

        See ``yahpo_reference``; computed once (about a second) and cached with the network's checksum.
        """
        from surrobench.benchmarks.yahpo_reference import cached_reference

        return cached_reference(self, instance, objective or self.target)

    @cached_property
    def published(self) -> dict[tuple[str, str], tuple[float, float]]:
        """(instance, objective) -> smallest and largest value published, over all fidelities.

        From a random search of half a million points, see ``target_stats`` of ``yahpo-gym``.
        """
        ends: dict[tuple[str, str], dict[str, float]] = {}
        try:
            with (self.folder / STATISTICS).open(newline="") as file:
                for row in csv.DictReader(file):
                    if row["scenario"] == self.name:
                        ends.setdefault((row["instance"], row["metric"]), {})[row["statistic"]] = float(
                            row["value"]
                        )
            return {where: (found["min"], found["max"]) for where, found in ends.items()}
        except FileNotFoundError:
            return {}  # what is found by search is used alone
        except (OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{self.folder / STATISTICS} is damaged.", "Fetch or unpack the data again."
            ) from error


class _Inputs:
    """From configurations to a network's two input matrices."""

    def __init__(self, scenario: Surrogate, encoding: dict[str, dict[str, int]]) -> None:
        facts, space = scenario.facts, scenario.space
        fidelity_names = list(facts.fidelities)
        self.shape = len(facts.continuous), len(facts.categorical)
        # Numbers: ranges are affine in the vector encoding, after the logarithm where they have one.
        ranged = [
            (position, space.column(name))
            for position, name in enumerate(facts.continuous)
            if name not in fidelity_names and values_of(space[name]) is None
        ]
        self.to, self.of = (
            np.array(part, dtype=np.intp) for part in (zip(*ranged, strict=True) if ranged else ((), ()))
        )
        hyperparameters = [space.hyperparameters[j] for j in self.of]
        self.log = np.array([is_log(hp) for hp in hyperparameters], dtype=bool)
        self.integer = np.array([is_integer(hp) for hp in hyperparameters], dtype=bool)
        self.bounds = np.array([bounds_of(hp) for hp in hyperparameters], dtype=np.float64).reshape(-1, 2).T
        ends = self.bounds.copy()
        ends[:, self.log] = np.log(ends[:, self.log])
        self.offset, self.scale = ends[0], ends[1] - ends[0]
        # Numbers that are a list of values: looked up.
        self.listed = [
            (position, space.column(name), _numbers(space[name], name))
            for position, name in enumerate(facts.continuous)
            if name not in fidelity_names and values_of(space[name]) is not None
        ]
        self.at = [
            (position, fidelity_names.index(name))
            for position, name in enumerate(facts.continuous)
            if name in fidelity_names
        ]
        # Categories: codes by index, the last one for inactive.
        self.codes: list[tuple[int, int, Codes]] = []
        self.instance: tuple[int, Codes] | None = None
        for position, name in enumerate(facts.categorical):
            if name == facts.instance:
                self.instance = position, _codes(encoding, name, list(scenario.instances), scenario)
            else:
                choices = list(map(str, values_of(space[name]) or ()))
                self.codes.append(
                    (position, space.column(name), _codes(encoding, name, [*choices, MISSING], scenario))
                )
        self.origin = space.origin

    def encode(self, X: Matrix, instances: NDArray[np.intp], fidelity: Matrix) -> tuple[Codes, Floats]:
        """Shape (m, categorical) and (m, continuous): the network's inputs for m configurations."""
        n_continuous, n_categorical = self.shape
        numbers = np.empty((len(X), n_continuous))
        values = X[:, self.of] * self.scale + self.offset
        if self.log.any():
            values[:, self.log] = np.exp(values[:, self.log])
        if self.integer.any():
            values[:, self.integer] = np.rint(values[:, self.integer])
        # As ConfigSpace does it: rounding must not leave the range.
        numbers[:, self.to] = np.clip(values, *self.bounds)
        for position, j, listed in self.listed:
            active = ~np.isnan(X[:, j])
            numbers[:, position] = listed[
                np.rint(np.where(active, X[:, j] - self.origin[j], 0.0)).astype(np.intp)
            ]
            numbers[~active, position] = np.nan
        for position, which in self.at:
            numbers[:, position] = fidelity[:, which]
        categories = np.empty((len(X), n_categorical), dtype=np.int32)
        if self.instance is not None:
            position, codes = self.instance
            categories[:, position] = codes[instances]
        for position, j, codes in self.codes:
            index = np.where(np.isnan(X[:, j]), len(codes) - 1.0, X[:, j] - self.origin[j])
            categories[:, position] = codes[np.rint(index).astype(np.intp)]
        return categories, np.nan_to_num(numbers, copy=False, nan=0.0).astype(np.float32)


def _numbers(hp: Hyperparameter, name: str) -> Matrix:
    """The values of a list of numbers.

    Raises:
        DataError: they are no numbers.
    """
    try:
        return np.array([float(value) for value in values_of(hp) or ()])
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name} is a numeric input of the network, but its values are no numbers."
        ) from error


def _codes(
    encoding: dict[str, dict[str, int]], name: str, categories: list[str], scenario: Scenario
) -> Codes:
    """The published codes of some categories.

    Raises:
        DataError: one has none. ``#na#`` may lack one where it is never needed; -1 then.
    """
    known = encoding.get(name, {})
    unknown = [category for category in categories if category not in known and category != MISSING]
    if unknown:
        raise DataError(
            f"The encoding of {scenario.key} lacks {name} = {unknown[0]!r}.", "Its data is damaged."
        )
    return np.array([known.get(category, -1) for category in categories], dtype=np.int32)


class _NoNetwork(Exception):
    """The bytes are no network with the expected inputs and outputs."""


class _Network:
    """A network in onnxruntime: two matrices in, one out, in chunks of at most ``CHUNK`` rows.

    A chunk is computed by one thread: inside of one, a second thread of onnxruntime gained little on an idle
    machine and cost threefold on a busy one. Several chunks are computed by as many threads as there are
    cores, or as ``OMP_NUM_THREADS`` says: 1 in a study, which uses the cores by running in processes.
    """

    def __init__(self, data: bytes, outputs: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise DataError(
                "onnxruntime is not installed.", "Install it with: pip install onnxruntime"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            # By position, as the reference does: categories first.
            self._categories, self._numbers = (part.name for part in session.get_inputs())
            self._output = session.get_outputs()[0].name
        except Exception as error:  # onnxruntime's own errors share no base class
            raise _NoNetwork(str(error)) from error
        self._session: Any = session
        self._outputs = outputs
        self.padding = CHUNK

    def __call__(self, categories: Codes, numbers: Floats) -> Floats:
        """Shape (m, outputs): predictions for inputs of shape (m, categorical) and (m, continuous)."""
        m = len(numbers)
        out = np.empty((m, self._outputs), dtype=np.float32)

        def predict(start: int) -> None:
            part = slice(start, min(start + size, m))
            more = -(part.stop - start) % self.padding
            out[part] = self._run(_padded(categories[part], more), _padded(numbers[part], more))[
                : part.stop - start
            ]

        threads = min(usable_threads(), m // SMALLEST_SHARE)
        if threads > 1:
            share = -(-m // threads)
            size = min(CHUNK, share + -share % self.padding)
            # This thread takes its share, too: others are woken only for the rest.
            parts = deque(range(0, m, size))

            def predict_all() -> None:
                with contextlib.suppress(IndexError):
                    while True:
                        predict(parts.popleft())

            others = [_helpers().submit(predict_all) for _ in range(threads - 1)]
            predict_all()
            for other in others:
                other.result()
        else:
            size = CHUNK
            for start in range(0, m, size):
                predict(start)
        return out

    def _run(self, categories: Codes, numbers: Floats) -> Floats:
        found: list[Floats] = self._session.run(
            [self._output], {self._categories: categories, self._numbers: numbers}
        )
        return found[0]

    def choose_padding(self, categories: Codes, numbers: Floats, key: str) -> None:
        """Choose the smallest padding with which a row's value does not depend on its batch.

        Args:
            categories: shape (CHUNK, categorical), rows to try it with.
            numbers: shape (CHUNK, continuous).
            key: the scenario, for the error.

        Raises:
            DataError: there is none on this machine, or the network has other outputs than expected.
        """
        try:
            whole = self._run(categories, numbers)
        except Exception as error:
            raise _NoNetwork(str(error)) from error
        if whole.shape != (CHUNK, self._outputs):
            raise _NoNetwork(f"its output has shape {whole.shape}")
        for padding in PADDINGS:
            if self._independent(padding, categories, numbers, whole):
                self.padding = padding
                return
        raise DataError(
            f"On this machine a value of {key} depends on the batch it is asked in.",
            "Another version of onnxruntime may help.",
        )

    def _independent(self, padding: int, categories: Codes, numbers: Floats, whole: Floats) -> bool:
        multiples = {padding * k for k in (1, 2, 3, 4, 5, 6, 7, 8, 13, 21, 34) if padding * k <= CHUNK}
        for size in sorted(multiples):
            for start in {0, (CHUNK - size) // 3, CHUNK - size}:
                rows = (np.arange(size) + start) % CHUNK
                if not np.array_equal(
                    self._run(categories[rows], numbers[rows]), whole[rows], equal_nan=True
                ):
                    return False
        turned = np.roll(np.arange(CHUNK), 3)
        return np.array_equal(self._run(categories[turned], numbers[turned]), whole[turned], equal_nan=True)


@cache
def _helpers() -> ThreadPoolExecutor:
    """Threads that wait for chunks."""
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="surrogate")


def _padded(rows: Array, more: int) -> Array:
    """The rows with ``more`` others after them: the last one, repeated."""
    return np.concatenate([rows, np.repeat(rows[-1:], more, axis=0)]) if more else np.ascontiguousarray(rows)
