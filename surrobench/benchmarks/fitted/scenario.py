"""Offer a surrogate that ``surrobench fit`` made: ``fitted:FOLDER`` in a suite and on the command line.

The folder is copied into the cache under its name and the digits of its content: ``fitted/ours@1f00ab12``.
The id is thus part of every run's identity, and worker processes need nothing but the id.

A surrogate has several instances. ``surrogate`` is the chosen model, fitted to all trials. ``refit-1``,
``refit-2`` and so on are the same model, fitted to trials that were drawn with replacement. How much a
verdict differs between them says how much it depends on trials that were not made.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns, Fidelity, Objective, Reference, Scenario, TaskCard
from surrobench.benchmarks.fitted.features import Features
from surrobench.benchmarks.fitted.folder import FACTS, MEAN, Facts, identity, read_facts, read_file
from surrobench.benchmarks.fitted.model import Model
from surrobench.benchmarks.listed_configurations import row_digest
from surrobench.benchmarks.yahpo.reference import cached_reference
from surrobench.errors import DataError, UnknownName
from surrobench.paths import cache_dir, find_folder
from surrobench.seeding import Keys, mix
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace

FAMILY = "fitted"
SCHEME = "fitted:"


def available() -> list[str]:
    """Return no scenario, because a surrogate that was brought once is not listed for ever."""
    return []


def open_scenario(name: str) -> Fitted:
    """Return the scenario ``fitted/NAME`` from the cache.

    Raises:
        DataError: the surrogate is not in the cache.
    """
    folder = _cached(name)
    if not (folder / FACTS).is_file():
        raise DataError(
            f"The fitted surrogate {name!r} is not in the cache ({folder.parent}).",
            "Name its folder once more: repeat the run command, or surrobench evaluate fitted:FOLDER ...",
        )
    return Fitted(name, folder, read_facts(folder))


def resolve(reference: str, folder: Path | None) -> str:
    """Return ``fitted:FOLDER[#INSTANCE]`` with the absolute path of its folder; see ``paths.find_folder``."""
    place, mark, instance = reference.removeprefix(SCHEME).partition("#")
    return f"{SCHEME}{find_folder(place, folder)}{mark}{instance}"


def ids(reference: str) -> list[str]:
    """Return the ids of ``fitted:FOLDER`` or ``fitted:FOLDER#PATTERN``, and put the folder into the cache.

    Without a pattern, the only instance is ``surrogate``.

    Raises:
        DataError: the folder holds no surrogate, or a damaged one; the message is one line.
        UnknownName: no instance matches the pattern.
    """
    from surrobench.benchmarks.registry import scenario

    place, _, pattern = reference.removeprefix(SCHEME).partition("#")
    opened = scenario(f"{FAMILY}/{_import(find_folder(place))}")
    instances = fnmatch.filter(opened.instances, pattern or MEAN)
    if not instances:
        raise UnknownName(f"instance of {place}", pattern, opened.instances)
    return [f"{opened.key}/{instance}" for instance in instances]


def _import(folder: Path) -> str:
    """Put a folder into the cache unless it is there, and return its name in the cache."""
    facts = read_facts(folder)
    name = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', folder.name)}@{identity(facts)}"
    target = _cached(name)
    contents = {file: read_file(folder, facts, file) for file in facts.files}
    if (target / FACTS).is_file():
        return name
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        unfinished.mkdir(parents=True)
        for file, content in contents.items():
            (unfinished / Path(file).name).write_bytes(content)
        (unfinished / FACTS).write_text(facts.model_dump_json(), encoding="utf-8")
        unfinished.rename(target)
    except OSError as error:
        if not (target / FACTS).is_file():  # another process may have been faster
            raise DataError(
                f"{folder} cannot be cached in {target.parent}: {error.strerror}.",
                "Free some space or name another folder in SURROBENCH_CACHE.",
            ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return name


def _cached(name: str) -> Path:
    return cache_dir() / FAMILY / name


class Fitted(Scenario):
    """A scenario made of a folder in the form of ``folder``."""

    version = 1  # a folder's content is part of its name
    default_origin = "the measured configuration nearest to the middle of all ranges; nobody's recommendation"
    published: Mapping[tuple[str, str], tuple[float, float]] = MappingProxyType({})

    def __init__(self, name: str, folder: Path, facts: Facts) -> None:
        self.key = f"{FAMILY}/{name}"
        self.name, self.facts, self._folder = name, facts, folder
        self.instances = tuple(facts.models)
        self.objectives = tuple(Objective(one.name, one.minimize, one.name) for one in facts.objectives)
        self.target = self.objectives[0].name
        self.checksum = name.rpartition("@")[2]
        self._models: dict[str, Model] = {}
        if (known := facts.fidelity) is not None:
            self.fidelities = (
                Fidelity(
                    name=known.name,
                    label=known.name,
                    lower=known.lower,
                    upper=known.upper,
                    full=known.upper,
                    integer=known.integer,
                    useful=(known.lower, known.upper),
                ),
            )

    @cached_property
    def space(self) -> SearchSpace:
        """Return the search space of the trials."""
        return SearchSpace(self.facts.config_space())

    @cached_property
    def _features(self) -> Features:
        return Features(self.space, self.facts.fidelity)

    def _model(self, file: str) -> Model:
        if file not in self._models:
            self._models[file] = Model(read_file(self._folder, self.facts, file), file)
        return self._models[file]

    def prepare(self) -> None:
        """Load all models, so that a damaged one is refused before a study starts."""
        for file in self.facts.files:
            self._model(file)

    def evaluate(
        self,
        X: Matrix,
        instances: NDArray[np.intp],
        noise: Keys | None,
        fidelity: Matrix | None = None,
    ) -> Columns:
        """Evaluate configurations by one pass through each model, see ``Scenario.evaluate``.

        An observation is the prediction plus normal noise, whose draw the key and the configuration fix.
        """
        at = None if fidelity is None or not self.fidelities else fidelity[:, 0]
        features = self._features(X, at)
        means = np.empty((len(X), len(self.objectives)))
        for number in np.unique(instances).tolist():
            mine = instances == number
            for column, file in enumerate(self.facts.models[self.instances[number]]):
                means[mine, column] = self._model(file)(features[mine])
        values = means if noise is None else means + self._noise(X, features, noise)
        shown = fidelity if fidelity is not None else np.tile(self.full_fidelity, (len(X), 1))
        return Columns(
            values,
            means[:, self.target_index].copy(),
            self._cost(features, shown),
            shown if self.fidelities else None,
        )

    def _noise(self, X: Matrix, features: Matrix, keys: Keys) -> Matrix:
        """Return the noise of each observation, shape (m, objectives)."""
        from scipy.special import ndtri

        rows = row_digest(np.nan_to_num(X, nan=-1.0))
        noise = np.empty((len(X), len(self.objectives)))
        for column, one in enumerate(self.facts.objectives):
            drawn = mix(keys, rows + np.uint64(column))
            normal = ndtri(((drawn >> np.uint64(11)) + 0.5) * 2.0**-53)
            sigma = np.full(len(X), one.sigma)
            if one.noise_model is not None:
                sigma = np.maximum(self._model(one.noise_model)(features), 0.0)
            noise[:, column] = sigma * normal
        return noise

    def _cost(self, features: Matrix, at: Matrix) -> NDArray[np.float64]:
        """Return seconds, shape (m,), or shares of a trial at full fidelity where they are not known."""
        if self.facts.cost_model is not None:
            return np.asarray(np.exp(self._model(self.facts.cost_model)(features)))
        return np.ones(len(features)) if not self.fidelities else at[:, 0] / self.fidelities[0].full

    def default(self) -> Matrix:
        """Return the measured configuration that is nearest to the middle."""
        return np.array([np.nan if value is None else value for value in self.facts.default])

    def card(self, instance: str) -> TaskCard:
        """Return what the folder says of the task, which is little."""
        objective = self.objectives[self.target_index]
        return TaskCard(
            learner=self.facts.learner or f"learner called {self.facts.title}",
            dataset=self.facts.title,
            task="task not stated",
            rows=None,
            features=None,
            classes=None,
            metric=objective.label,
            minimize=objective.minimize,
        )

    def data_set(self, instance: str) -> str:
        """Return one name for all instances: they are guesses at one problem."""
        return self.key

    def reference(self, instance: str) -> Reference:
        """Return reference values at full fidelity from a frozen sample and a search, as for YAHPO Gym."""
        return cached_reference(self, instance, self.target)
