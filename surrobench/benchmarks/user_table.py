"""Offer a table that the user brings: ``table:FILE`` in a suite and on the command line.

The file (see ``user_table_files``) is read once and brought into one form. It is kept in the cache under its
name and the digits of its content: ``table/grid@1f00ab12``. The id is thus part of every run's identity.
Worker processes and ``rank`` need nothing but the id, and results of a file that was edited are never mixed
up.

The columns of the table span the search space. A numeric column with few values is an ordered grid, and one
with many values is a range. Words and truth values are categories.

The table may have gaps: only listed configurations exist. A proposal between them is snapped to the nearest
one, and the optimizer is told so (``Scenario.snap``). The distance is that in the unit cube, where two
different categories have the distance 1. Of equally near configurations, the first in the file is taken.

The file is long because a table of a user is one class that keeps the whole contract of a scenario.
"""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from ConfigSpace import (
    CategoricalHyperparameter,
    ConfigurationSpace,
    Constant,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns, Fidelity, Objective, Reference, Scenario, TaskCard
from surrobench.benchmarks.listed_configurations import ListedConfigurations
from surrobench.benchmarks.tables import draw_repetition
from surrobench.benchmarks.user_table_cells import Cells, Grouping
from surrobench.benchmarks.user_table_files import (
    GRID_VALUES,
    SUFFIXES,
    Facts,
    fingerprint,
    named,
    read_table,
)
from surrobench.errors import DataError, UnknownName, UsageError
from surrobench.past_trials.infer import looks_logarithmic
from surrobench.paths import cache_dir, find_file
from surrobench.plain_files import parquet_metadata, read_parquet
from surrobench.seeding import Keys
from surrobench.space.hyperparameter import Mask, Matrix
from surrobench.space.search_space import SearchSpace

FAMILY = "table"
SCHEME = "table:"
_LAYOUT = 1  # The version of the cached file's form. It counts up when the form changes.


def available() -> list[str]:
    """Return no scenario, because a table that was brought once is not listed for ever."""
    return []


def open_scenario(name: str) -> UserTable:
    """Return the scenario ``table/NAME`` from the cache.

    Raises:
        DataError: the table is not in the cache.
    """
    path = _cached(name)
    try:
        facts = Facts.model_validate_json(parquet_metadata(path)["surrobench"])
        return UserTable(name, read_parquet(path), facts)
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError):
        raise DataError(
            f"The table {name!r} is not in the cache ({path.parent}).",
            "Name its file once more: repeat the run command, or surrobench evaluate table:FILE ...",
        ) from None


def resolve(reference: str, folder: Path | None) -> str:
    """Return ``table:FILE[/INSTANCE]`` with the absolute path of its file; see ``paths.find_file``."""
    try:
        file, instance = _split(reference)
    except UsageError:
        return reference  # the error is reported where the table is used
    return f"{SCHEME}{find_file(file, folder)}{'/' if instance else ''}{instance}"


def ids(reference: str) -> list[str]:
    """Return the ids of ``table:FILE`` or ``table:FILE/PATTERN``, and put the file into the cache.

    Raises:
        UsageError: the reference names no file of a known kind, or an unknown instance.
        DataError: the file is missing, damaged or unclear; the message is one line.
    """
    from surrobench.benchmarks.registry import scenario

    file, pattern = _split(reference)
    table = scenario(f"{FAMILY}/{_import(find_file(file))}")
    instances = fnmatch.filter(table.instances, pattern) if pattern else list(table.instances)
    if not instances:
        raise UnknownName(f"instance of {Path(file).name}", pattern, table.instances)
    return [f"{table.key}/{instance}" for instance in instances]


def _split(reference: str) -> tuple[str, str]:
    """Return the file and the instance of ``table:FILE/INSTANCE``."""
    kinds = "|".join(re.escape(suffix) for suffix in SUFFIXES)
    match = re.fullmatch(rf"{SCHEME}(.+?(?:{kinds}))(?:/(.*))?", reference)
    if match is None:
        raise UsageError(
            f"{reference!r} names no table.", f"Write table:FILE, FILE ending in {', '.join(SUFFIXES)}."
        )
    return match[1], match[2] or ""


def _import(path: Path) -> str:
    """Put a user's file into the cache unless it is there, and return its name in the cache."""
    name = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', path.stem)}@{fingerprint(path)}"
    target = _cached(name)
    try:
        parquet_metadata(target)["surrobench"]
    except (OSError, KeyError, pl.exceptions.PolarsError):
        frame, facts = read_table(path)
        UserTable(name, frame, facts).prepare()  # refuse gaps in fidelities before the table is kept
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(unfinished, metadata={"surrobench": facts.model_dump_json()})
            unfinished.replace(target)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{path.name} cannot be cached in {target.parent}: {error}.",
                "Free some space or name another folder in SURROBENCH_CACHE.",
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)
    return name


def _cached(name: str) -> Path:
    return cache_dir() / "tables" / f"own-{_LAYOUT}" / f"{name}.parquet"


class UserTable(Scenario):
    """A scenario made of a table in the form of ``user_table_files``."""

    version = 1  # a file's content is part of its name
    default_origin = (
        "the listed configuration nearest to the middle of all numeric ranges; nobody's recommendation"
    )

    def __init__(self, name: str, frame: pl.DataFrame, facts: Facts) -> None:
        self.key = f"{FAMILY}/{name}"
        self._frame, self._facts = frame, facts
        self._title = name.rpartition("@")[0] or name
        self.noisy = "repetition" in frame.columns
        if "instance" in frame.columns:
            self.instances = tuple(frame["instance"].cast(pl.String).unique(maintain_order=True))
        else:
            self.instances = (self._title,)
        objectives = [column.partition(".") for column in named(frame, "minimize", "maximize")]
        self.objectives = tuple(Objective(name, way == "minimize", name) for way, _, name in objectives)
        self.target = self.objectives[0].name
        self.test_counterpart = facts.test
        fidelities = [_fidelity(frame[column]) for column in named(frame, "fidelity")]
        # Only the first fidelity is varied by methods, and can be that of a learning curve.
        varied = [replace(known, resumable=facts.resumable) for known in fidelities[:1]]
        self.fidelities = (*varied, *fidelities[1:])

    @cached_property
    def space(self) -> SearchSpace:
        """Return the search space that the columns span."""
        log = self._facts.log
        config_space = ConfigurationSpace()
        for column in named(self._frame, "config"):
            name = column.partition(".")[2]
            forced = None if log is None else name in log
            config_space.add(_hyperparameter(name, self._frame[column], forced, self.key))
        return SearchSpace(config_space)

    def prepare(self) -> None:
        """Check what only the grouped rows and the search space show.

        Raises:
            DataError: a fidelity is missing, or the space takes two configurations for one.
        """
        _ = self._cells
        snapped = np.ascontiguousarray(self.space.check(self._configurations)[1])
        rows = snapped.view(f"V{snapped.shape[1] * snapped.itemsize}").ravel()
        _, first = np.unique(rows, return_index=True)
        if len(first) < len(rows):
            twin = int(np.setdiff1d(np.arange(len(rows)), first)[0])
            raise DataError(
                f"{self._title}: {self._grouping.configuration(twin)} has a neighbour so near that the "
                "search space takes both for one.",
                "Count in larger units, leave out log, or write the values as words.",
            )

    def evaluate(
        self,
        X: Matrix,
        instances: NDArray[np.intp],
        noise: Keys | None,
        fidelity: Matrix | None = None,
    ) -> Columns:
        """Look up the nearest listed configurations, then their values by two array look-ups.

        See ``Scenario.evaluate``.
        """
        cells = self._cells
        rows = self._known.rows(X, instances)
        at = np.tile(self.full_fidelity, (len(rows), 1)) if fidelity is None else fidelity
        level, last = self._grouping.level(at), cells.number[instances, rows] - 1
        where = cells.first[instances, rows] + np.minimum(level, last)
        means = cells.means[where]
        observed = means
        if noise is not None:
            # The configuration alone decides the draw, so that the seed of the training is the same at every
            # fidelity.
            drawn = draw_repetition(noise, rows, cells.repetitions[where])
            observed = cells.values[cells.start[where] + drawn]
        if (ended := level > last).any():
            # Training ended there, and cost what it had cost until then.
            observed, means = observed.copy(), means.copy()
            observed[ended, :-1] = means[ended, :-1] = np.nan
        return Columns(
            observed[:, :-1],
            means[:, self.target_index],
            observed[:, -1],
            np.array(at) if self.fidelities else None,
        )

    def snap(self, X: Matrix, instances: NDArray[np.intp]) -> tuple[Mask, Matrix]:
        """Return the nearest configurations that the instances have, see ``Scenario.snap``."""
        legal, snapped = self.space.check(X)
        return legal, np.asarray(self._configurations[self._known.rows(snapped, instances)])

    def default(self) -> Matrix:
        """Return the configuration that is nearest to the middle.

        It is one of those that all instances have, if there are any.
        """
        everywhere = self._whole.all(axis=0)
        candidates = np.flatnonzero(everywhere if everywhere.any() else self._whole.any(axis=0))
        U = self.space.to_unit(self._configurations[candidates])[:, ~self.space.is_categorical]
        middle = candidates[np.argmin(((U - 0.5) ** 2).sum(axis=1))]
        return np.array(self._configurations[middle])

    def card(self, instance: str) -> TaskCard:
        """Return what the file says of the task, which is little."""
        objective = self.objectives[self.target_index]
        return TaskCard(
            learner=self._facts.learner or f"learner called {self._title}",
            dataset=instance,
            task="task not stated",
            rows=None,
            features=None,
            classes=None,
            metric=objective.label,
            minimize=objective.minimize,
        )

    def data_set(self, instance: str) -> str:
        """Return a data set name that no other scenario has.

        A name in a file does not say that the data set is the one that others call by this name.
        """
        return f"{self.key}/{instance}"

    def reference(self, instance: str) -> Reference:
        """Return exact reference values, at full fidelity.

        They are the sorted mean losses of all configurations that the instance has at full fidelity.
        """
        first = self._cells.first[self.instances.index(instance)]
        whole = self._whole[self.instances.index(instance)]
        cells = first[whole] + self._grouping.level(self.full_fidelity[None, :])
        losses = np.sort(
            self.objectives[self.target_index].sign * self._cells.means[cells, self.target_index]
        )
        return Reference(float(losses[0]), float(np.median(losses)), float(losses[-1]), losses, exact=True)

    # ------------------------------------------------------------------ rows and cells

    @cached_property
    def _listed(self) -> pl.DataFrame:
        """Return the different configurations in the file's order, each with its number ``row``."""
        return (
            self._frame.select(named(self._frame, "config")).unique(maintain_order=True).with_row_index("row")
        )

    @cached_property
    def _configurations(self) -> Matrix:
        """Return the listed configurations, shape (configurations, d)."""
        columns = {
            column.partition(".")[2]: self._listed[column].to_list()
            for column in named(self._listed, "config")
        }
        return np.asarray(self.space.from_columns(columns))

    @cached_property
    def _known(self) -> ListedConfigurations:
        return ListedConfigurations(self.space, self._configurations, self._cells.first >= 0)

    @cached_property
    def _grouping(self) -> Grouping:
        return Grouping(self._title, self.instances, self._listed, self.fidelities)

    @cached_property
    def _cells(self) -> Cells:
        return self._grouping.cells(self._frame)

    @cached_property
    def _whole(self) -> NDArray[np.bool_]:
        """Return which configurations were evaluated at full fidelity, shape (instances, configurations)."""
        return np.asarray(self._cells.number == self._grouping.levels)

    # ------------------------------------------------------------------ what the table does not have

    def lacks(self, X: Matrix, instances: NDArray[np.intp], fidelity: Matrix | None = None) -> str:
        """Say which value the table does not have, see ``Scenario.lacks``."""
        rows = self._known.rows(X, instances)
        at = np.tile(self.full_fidelity, (len(rows), 1)) if fidelity is None else fidelity
        number = self._cells.number[instances, rows]
        ended = np.flatnonzero(self._grouping.level(at) >= number)
        if not len(ended):
            return ""
        i, known = int(ended[0]), self.fidelities[0]
        end = (known.values or ())[int(number[i]) - 1]
        listed = self._grouping.configuration(int(rows[i]))
        return f"The learning curve of {listed} ends at {known.name} = {end:g}."

    def remarks(self, instance: str) -> list[str]:
        """Say what a study on an instance should know beforehand, see ``Scenario.remarks``."""
        said = super().remarks(instance)
        i = self.instances.index(instance)
        listed, whole = int((self._cells.number[i] > 0).sum()), int(self._whole[i].sum())
        if whole < listed:
            known = self.fidelities[0]
            said.append(
                f"{listed - whole:,} of {listed:,} learning curves end before {known.name} = {known.full:g}: "
                "a trial that asks for more of one observes nothing."
            )
        reference = self.reference(instance)
        if reference.best == reference.worst:
            said.append("All configurations are as good: no method can be better than another.")
        elif reference.best == reference.median:
            said.append(
                "The best loss is as large as the median: there is no normalised regret, and half of all "
                "random configurations are among the best."
            )
        return said


# ---------------------------------------------------------------------- one column


def _hyperparameter(name: str, column: pl.Series, log: bool | None, table: str) -> Any:
    """Return the hyperparameter that a column spans; with ``log`` None, its values decide about the scale."""
    values = column.unique().sort().to_list()
    if len(values) == 1:
        return Constant(name, values[0])
    if not column.dtype.is_numeric():
        return CategoricalHyperparameter(name, values)
    if log and values[0] <= 0:
        raise DataError(f"{table}: {name} has the value {values[0]}, which no log scale has.")
    log = looks_logarithmic(values) if log is None else log
    if len(values) <= GRID_VALUES:
        return OrdinalHyperparameter(name, values, meta={"log": log})
    kind = UniformIntegerHyperparameter if column.dtype.is_integer() else UniformFloatHyperparameter
    try:
        return kind(name, values[0], values[-1], log=log)
    except ValueError as error:  # of a table that an earlier version put into the cache
        raise DataError(
            f"{table}: {name} from {values[0]} to {values[-1]} is no range: {' '.join(str(error).split())}.",
            "Count in other units, or write the values as words.",
        ) from None


def _fidelity(column: pl.Series) -> Fidelity:
    name = column.name.partition(".")[2]
    values = tuple(float(value) for value in column.unique().sort())
    return Fidelity(
        name=name,
        label=name,
        lower=values[0],
        upper=values[-1],
        full=values[-1],
        integer=column.dtype.is_integer(),
        useful=(values[0], values[-1]),
        values=values,
    )
