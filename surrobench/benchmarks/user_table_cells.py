"""Group the rows of a user's table into cells: a cell is a configuration on an instance at a fidelity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.benchmarks.base import Fidelity
from surrobench.benchmarks.user_table_files import named
from surrobench.errors import DataError
from surrobench.space.hyperparameter import Matrix


@dataclass(frozen=True)
class Cells:
    """A table's rows, grouped by cells.

    The last column of ``values`` and ``means`` is the cost in seconds.

    Attributes:
        first: the cell at the lowest fidelities, shape (instances, configurations). The cells at the other
            fidelities follow it. -1 says that the configuration is not in the table.
        number: how many cells a configuration has, the same shape. It is the number of fidelities, or fewer
            where its learning curve ends before.
        start, repetitions: where a cell's repetitions are in ``values``, and how many there are, shape
            (cells,).
        values: the values, shape (rows, objectives + 1), in the order of the cells.
        means: the means, shape (cells, objectives + 1).
    """

    first: NDArray[np.intp]
    number: NDArray[np.intp]
    start: NDArray[np.intp]
    repetitions: NDArray[np.intp]
    values: NDArray[np.float64]
    means: NDArray[np.float64]


@dataclass(frozen=True)
class Grouping:
    """What the rows of a table are grouped by.

    Attributes:
        title: what messages call the table.
        instances: the names of the instances.
        listed: the different configurations, each with its number ``row``.
        fidelities: the fidelities with their values.
    """

    title: str
    instances: Sequence[str]
    listed: pl.DataFrame
    fidelities: Sequence[Fidelity]

    @property
    def levels(self) -> int:
        """Return the number of combinations of fidelities."""
        return int(np.prod([len(known.values or ()) for known in self.fidelities]))

    def level(self, at: Matrix) -> NDArray[np.intp]:
        """Return the number of each combination of fidelities, shape (m,)."""
        level = np.zeros(len(at), dtype=np.intp)
        for j, known in enumerate(self.fidelities):
            values = known.values or ()
            level = level * len(values) + np.searchsorted(values, at[:, j])
        return level

    def configuration(self, row: int) -> str:
        """Return a listed configuration as JSON."""
        values = self.listed.drop("row").row(row, named=True)
        return json.dumps({name.partition(".")[2]: value for name, value in values.items()})

    def cells(self, frame: pl.DataFrame) -> Cells:
        """Return the cells of a table.

        Raises:
            DataError: a configuration is not evaluated at all fidelities, and is no curve that ends early; or
                every curve of an instance ends early.
        """
        rows = frame.join(self.listed, on=named(frame, "config"), how="left", maintain_order="left")["row"]
        instances = np.zeros(len(frame), dtype=np.intp)
        if "instance" in frame.columns:
            numbers = {name: i for i, name in enumerate(self.instances)}
            instances = np.array([numbers[name] for name in frame["instance"].cast(pl.String)], dtype=np.intp)
        at = [frame[f"fidelity.{known.name}"].cast(pl.Float64).to_numpy() for known in self.fidelities]
        level = self.level(np.stack(at, axis=1) if at else np.empty((len(frame), 0)))
        repetition = (
            frame["repetition"].cast(pl.String).rank("dense").to_numpy()
            if "repetition" in frame.columns
            else np.zeros(len(frame))
        )
        order = np.lexsort((repetition, level, rows.to_numpy(), instances))
        place = (instances * len(self.listed) + rows.to_numpy().astype(np.intp)) * self.levels + level
        cell, start, repetitions = np.unique(place[order], return_index=True, return_counts=True)
        first, number = self._by_configuration(cell)
        measured = [_floats(frame, column) for column in named(frame, "minimize", "maximize")]
        values = np.stack([*measured, self._cost(frame, at)], axis=1)[order]
        means = np.add.reduceat(values, start, axis=0) / repetitions[:, None]
        return Cells(first, number, start, repetitions, values, means)

    def _cost(self, frame: pl.DataFrame, at: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the cost of each row, shape (rows,).

        It is in seconds. If the file has no cost, it is the share of a trial at full fidelity.
        """
        if "cost" in frame.columns:
            return _floats(frame, "cost")
        shares = [z / known.full for z, known in zip(at, self.fidelities, strict=True)]
        return np.asarray(np.prod([np.ones(len(frame)), *shares], axis=0))

    def _by_configuration(self, cell: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the first cell of each configuration, and how many it has; see ``Cells``.

        Gaps are refused: a method could otherwise ask for a value that the table does not have. A learning
        curve may end early, since a method that asks for more of it can be told so.
        """
        levels = self.levels
        known, begins, found = np.unique(cell // levels, return_index=True, return_counts=True)
        gaps = found < levels
        curves = len(self.fidelities) == 1 and self.fidelities[0].resumable
        if curves:
            gaps = cell[begins + found - 1] % levels != found - 1
        if gaps.any():
            self._refuse(int(known[np.argmax(gaps)]))
        shape = len(self.instances), len(self.listed)
        first, number = np.full(shape, -1, dtype=np.intp), np.zeros(shape, dtype=np.intp)
        first.ravel()[known], number.ravel()[known] = begins, found
        without = ~(number == levels).any(axis=1)
        if without.any():
            one = self.fidelities[0]
            raise DataError(
                f"{self.title}: no configuration on {self.instances[int(np.argmax(without))]} has a value at "
                f"the full {one.name}, {one.full:g}.",
                "Leave out the largest values of the fidelity.",
            )
        return first, number

    def _refuse(self, place: int) -> None:
        instance, row = divmod(place, len(self.listed))
        names = " x ".join(fidelity.name for fidelity in self.fidelities)
        raise DataError(
            f"{self.title}: {self.configuration(row)} on {self.instances[instance]} lacks some of the "
            f"{self.levels} values of {names}.",
            "Leave configurations out that were not evaluated at every fidelity, or fidelities. Where "
            "learning curves end early, a TOML file can say resumable = true.",
        )


def _floats(frame: pl.DataFrame, column: str) -> NDArray[np.float64]:
    return np.asarray(frame[column].cast(pl.Float64), dtype=np.float64)
