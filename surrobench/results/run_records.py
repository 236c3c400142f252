"""Hold what a results file says of its runs, beside their trials, as columns.

A record object is built only on demand. Ranking needs the ids, states and budgets of a hundred thousand runs;
parsing and building an object for each would take longer than reading their trials. A column whose values
repeat is stored as the different values and a code per run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.engine.outcome import RunState
from surrobench.plan.run import OPTIONAL, Run
from surrobench.protocol.budget import Budget
from surrobench.results.stored import check_records

_LIMITS = ("trials", "equivalents", "seconds", "tokens")


class Ending(NamedTuple):
    """Says how a recorded run ended, and which budget it had."""

    state: RunState
    error: str
    budget: Budget

    def finishes(self, budget: Budget) -> bool:
        """Return whether nothing is left to do within ``budget``, which may be more than when recorded.

        An optimizer that stopped by itself has not seen its budget (one that makes use of it is another run
        with another budget) and would stop there again.
        """
        return self.state == "exhausted" or self.budget.covers(budget)


@dataclass(frozen=True)
class RunRecord:
    """Holds what a results folder says of a run, beside its trials."""

    run: Run
    state: RunState
    error: str
    trials: int
    """How many trials the run has spent."""
    thinking: tuple[float, ...] = ()
    answers: Mapping[str, int] = field(default_factory=dict)
    served: tuple[tuple[str, str], ...] = ()
    """For ``thinking``, ``answers`` and ``served``, see ``engine.outcome.Outcome``."""

    def finishes(self, budget: Budget) -> bool:
        """Return whether nothing is left to do within a budget, see ``Ending``."""
        return Ending(self.state, self.error, self.run.budget).finishes(budget)


class Records(Sequence[RunRecord]):
    """Holds the records of one file, in the order of its rows.

    Args:
        columns: field of a run (and ``state``, ``error``, ``spent``) -> its values, one per run.
    """

    def __init__(self, columns: Mapping[str, list[Any]]) -> None:
        self._columns = columns
        self.ids: list[str] = columns["id"]

    @staticmethod
    def of(records: Sequence[RunRecord]) -> Records:
        """Make the columns of record objects."""
        return Records(_transposed([_entry(record) for record in records]))

    @staticmethod
    def from_json(stored: Any) -> Records:
        """Read the records from the metadata of a file: a list of records up to version 2, columns since.

        Raises:
            ValueError, KeyError, TypeError, IndexError, AttributeError: the metadata is neither, or what it
                says of a run is not what is said of runs.
        """
        if isinstance(stored, list):
            columns = _transposed(stored)
        else:
            columns = {name: _decoded(column, stored["n"]) for name, column in stored["columns"].items()}
        check_records(columns)
        return Records(columns)

    def shown_in_full(self) -> Records:
        """Return the records with the one prompt variant that there was before there were others."""
        models = self._columns.get("model", [])
        return Records({**self._columns, "variant": ["full" if model else None for model in models]})

    def as_json(self) -> dict[str, Any]:
        """Return the columns as JSON values, each as short as it can be."""
        return {"n": len(self), "columns": {name: _encoded(column) for name, column in self._columns.items()}}

    @property
    def is_newer(self) -> bool:
        """Return whether a record says what older versions of surrobench do not know."""
        return any(name in self._columns for name in _OPTIONAL if name != "prompts")

    def made_with(self) -> pl.DataFrame:
        """Return per run what is no part of its id: run, versions and served, as JSON; null where unknown."""
        return pl.DataFrame(
            {
                "run": pl.Series(self.ids, dtype=pl.String),
                **{
                    name: pl.Series(_as_texts(self._columns.get(name), len(self)), dtype=pl.String)
                    for name in ("versions", "served")
                },
            }
        )

    def versions(self) -> list[Mapping[str, str]]:
        """Return the versions of the libraries of each run; empty where they are unknown."""
        return self._columns.get("versions") or [{}] * len(self)

    @cached_property
    def spent(self) -> NDArray[np.int64]:
        """How many trials, and so many rows in the file, each run has, shape (n,)."""
        return np.array(self._columns["spent"], dtype=np.int64)

    @property
    def benchmarks(self) -> list[str]:
        """The benchmark of each run."""
        return self._columns["benchmark"]

    def frame(self) -> pl.DataFrame:
        """Return per run: run, state, error, spent, and its budget: trials, equivalents, seconds, tokens."""
        limits = {"trials": pl.UInt32, "equivalents": pl.Float64, "seconds": pl.Float64, "tokens": pl.UInt64}
        nothing = [None] * len(self)
        return pl.DataFrame(
            {
                "run": self.ids,
                "state": self._columns["state"],
                "error": self._columns["error"],
                "spent": self.spent,
                **{name: pl.Series(self._columns.get(name, nothing), dtype=t) for name, t in limits.items()},
            },
            schema_overrides={"run": pl.String, "state": pl.String, "error": pl.String},
        )

    def settings(self) -> pl.DataFrame:
        """Return per run the settings that all runs of a comparison should share.

        The columns are run, initial, noise, workers, overhead, and invalid, which is null without a model.
        """
        n, of = len(self), self._columns
        kinds = {"initial": pl.String, "noise": pl.String, "workers": pl.Int64, "overhead": pl.Boolean}
        before = {"workers": 1, "overhead": False}  # of records that older versions wrote
        return pl.DataFrame(
            {
                "run": pl.Series(self.ids, dtype=pl.String),
                **{
                    name: pl.Series(of.get(name, [before.get(name)] * n), dtype=kind)
                    for name, kind in kinds.items()
                },
                "invalid": pl.Series(
                    [
                        policy if model else None
                        for policy, model in zip(
                            of.get("invalid", [None] * n), of.get("model", [None] * n), strict=True
                        )
                    ],
                    dtype=pl.String,
                ),
            }
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        entry = {name: column[index] for name, column in self._columns.items()}
        entry["prompts"] = entry.get("prompts") or {}  # null in older records
        state, error, spent = entry.pop("state"), entry.pop("error"), entry.pop("spent")
        thinking, answers = tuple(entry.pop("thinking", ())), entry.pop("answers", {})
        served = tuple((model, fingerprint) for model, fingerprint in entry.pop("served", None) or ())
        return RunRecord(Run(**entry), state, error, spent, thinking, answers, served)

    def endings(self, indices: Iterable[int]) -> Iterator[tuple[str, Ending]]:
        """Yield the id and the ending of some of the runs, without building their records.

        Runs that ended alike share one ending.
        """
        states, errors, nothing = self._columns["state"], self._columns["error"], [None] * len(self)
        trials, equivalents, seconds, tokens = (self._columns.get(name, nothing) for name in _LIMITS)
        shared: dict[tuple[Any, ...], Ending] = {}
        for i in indices:
            key = states[i], errors[i], trials[i], equivalents[i], seconds[i], tokens[i]
            if key not in shared:
                shared[key] = Ending(key[0], key[1], Budget(*key[2:]))
            yield self.ids[i], shared[key]

    def budget(self, index: int) -> Budget:
        """Return the budget of one of the runs."""
        return Budget(*(self._columns[name][index] if name in self._columns else None for name in _LIMITS))

    def __iter__(self) -> Iterator[RunRecord]:
        return (self[i] for i in range(len(self)))


def _entry(record: RunRecord) -> dict[str, Any]:
    entry = {**record.run.as_dict(), "state": record.state, "error": record.error, "spent": record.trials}
    entry |= {"thinking": list(record.thinking), "answers": dict(record.answers)}
    return {**entry, "served": [list(one) for one in record.served]} if record.served else entry


_OPTIONAL = {**OPTIONAL, "served": []}
"""Fields that records leave out where they have these values; older records have none of them."""


def _transposed(entries: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = entries[0] if entries else ("id", "benchmark", "state", "error", "spent")
    columns = {name: [entry[name] for entry in entries] for name in names if name not in _OPTIONAL}
    for name, default in _OPTIONAL.items():  # no column for what no run has
        if any(name in entry for entry in entries):
            columns[name] = [entry.get(name, default) for entry in entries]
    return columns


def _as_texts(column: list[Any] | None, n: int) -> list[str | None]:
    """Return values as JSON, and null for those that are empty; equal objects are written once."""
    texts: dict[int, str | None] = {}
    for value in column or []:
        if id(value) not in texts:
            texts[id(value)] = json.dumps(value, sort_keys=True) if value else None
    return [None] * n if column is None else [texts[id(value)] for value in column]


def _encoded(column: list[Any]) -> Any:
    codes: dict[str, int] = {}
    values: list[Any] = []
    coded = []
    for value in column:
        key = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        key = f"{type(value).__name__} {key}"  # 1, 1.0, "1" and True are different
        if key not in codes:
            codes[key] = len(values)
            values.append(value)
        coded.append(codes[key])
    if len(values) == 1:
        return {"value": values[0]}
    return column if 2 * len(values) > len(column) else {"values": values, "codes": coded}


def _decoded(column: Any, n: int) -> list[Any]:
    if isinstance(column, list):
        return column
    if "value" in column:
        return [column["value"]] * n
    values = column["values"]
    return [values[code] for code in column["codes"]]
