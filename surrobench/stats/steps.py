"""Turn trials into step curves: each change of a run's incumbent, and what the run had spent by then.

The incumbent is chosen by what was observed: it has the smallest loss, the first among equals, at the highest
fidelity reached. It is scored by its configuration's mean. Under noise, the best mean among a run's trials
would reward having visited a good configuration that the run itself could not tell from others. Losses are
lower-is-better. A curve holds its value until the next change; nothing is interpolated. A run changes its
incumbent a few times in a hundred trials, so that all later code works on a few per cent of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.arrays import Floats

Unit = Literal["trials", "equivalents", "seconds", "tokens"]
"""What a run spends, as in ``protocol.budget.Budget``."""
UNITS: tuple[Unit, ...] = get_args(Unit)
_SUMMED: dict[Unit, str] = {"equivalents": "share", "tokens": "tokens"}
"""The units in which trials have different costs, and the column with the cost of each trial."""
_CELLS = 1 << 20
"""The number of trials that are worked on at a time, as a matrix of runs."""


@dataclass(frozen=True)
class Steps:
    """The incumbents of r runs in m steps, run after run, by one unit of what was spent.

    Attributes:
        first: shape (r + 1,); the steps of run i are ``first[i]:first[i + 1]``, none if it observed nothing.
        spent: shape (m,), what the run had spent when the incumbent was known; ascending within a run.
        score: shape (m,), the mean loss of the incumbent's configuration; under noise it may rise.
        trial: shape (m,), the incumbent's trial, from 0.
        end: shape (r,), what the run has spent in all.
    """

    first: NDArray[np.int64]
    spent: Floats
    score: Floats
    trial: NDArray[np.int64]
    end: Floats

    @property
    def of_run(self) -> NDArray[np.int64]:
        """Return the run of each step, shape (m,)."""
        return np.repeat(np.arange(len(self.end)), np.diff(self.first))

    def at(self, limit: float) -> NDArray[np.int64]:
        """Return each run's last step within ``limit``, shape (r,); -1 where there is none."""
        within = np.concatenate([[0], np.cumsum(self.spent <= limit)])
        counts = within[self.first[1:]] - within[self.first[:-1]]
        return np.where(counts > 0, self.first[:-1] + counts - 1, -1)

    def take(self, runs: NDArray[np.integer[Any]]) -> Steps:
        """Return the steps of some of the runs, in the order given."""
        counts = np.diff(self.first)[runs]
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.repeat(self.first[runs] - first[:-1], counts) + np.arange(first[-1])
        return Steps(first, self.spent[rows], self.score[rows], self.trial[rows], self.end[runs])

    @staticmethod
    def concat(parts: Sequence[Steps]) -> Steps:
        """Return the runs of several objects, one after the other."""
        counts = np.concatenate([np.diff(part.first) for part in parts])
        return Steps(
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("spent", "score", "trial", "end")
            ),
        )


def incumbent_steps(
    trials: pl.DataFrame, units: Sequence[Unit] = ("trials",), most: int | None = None
) -> tuple[pl.Series, dict[Unit, Steps]]:
    """Return the steps of every run.

    Args:
        trials: one row per trial, in any order; it is fastest where each run's rows stand together, by trial.
            The columns are ``run``, ``trial`` (from 0), ``loss`` (null or NaN where nothing was observed) and
            ``score``; and, where it varies, ``fidelity`` (the share of the full fidelity). Some units need a
            column of their own: ``share`` for equivalents, ``finished`` for seconds, ``tokens`` for tokens
            (the cost of the trial).
        units: the units to return.
        most: how many of each run's first trials count; None for all trials.

    Returns:
        The runs, and the steps of each by unit, in the same order. In seconds the trials count in the order
        they finished, in the other units in the order of ``trial``.
    """
    if not len(trials):
        return pl.Series("run", [], pl.String), steps_of(trials, np.zeros(1, np.int64), units)
    trials, first = _by_run(trials)
    return trials["run"].gather(first[:-1]), steps_of(trials, first, units, most)


def steps_of(
    trials: pl.DataFrame,
    first: NDArray[np.int64],
    units: Sequence[Unit] = ("trials",),
    most: int | None = None,
) -> dict[Unit, Steps]:
    """Return the steps of runs whose rows are known to stand together, by trial; see ``incumbent_steps``.

    Args:
        trials: see ``incumbent_steps``; the column ``run`` is not needed.
        first: shape (r + 1,), where each run begins, and the end. A run may have no trial.
        units: the units to return.
        most: how many of each run's first trials count, as if the run had ended there; None for all trials.
            The cut needs the trials: a step does not say what a run that has gone on had spent by then, and
            in time a later trial may have finished first.
    """
    if most is not None:
        within = trials["trial"].to_numpy() < most
        trials, first = trials.filter(pl.Series(within)), np.concatenate([[0], np.cumsum(within)])[first]
    out: dict[Unit, Steps] = {}
    in_order: list[Unit] = [unit for unit in units if unit != "seconds"]
    if "seconds" in units:
        finished = _floats(trials["finished"])
        later = np.ones(len(trials), dtype=bool)
        np.greater_equal(finished[1:], finished[:-1], out=later[1:])
        later[_begins(first)] = True
        if later.all():
            in_order = list(units)
        else:
            order = np.lexsort((trials["trial"].to_numpy(), finished, np.repeat(first[:-1], np.diff(first))))
            out = _steps(trials[order], first, ["seconds"])
    out |= _steps(trials, first, in_order)
    return {unit: out[unit] for unit in units}


def _by_run(trials: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Return the trials with each run's rows together, by trial, and where each run begins, and the end."""
    first = _starts(trials)
    trial = trials["trial"].to_numpy()
    ascending = np.diff(trial.astype(np.int64)) > 0
    ascending[first[1:-1] - 1] = True
    if trials["run"].gather(first[:-1]).n_unique() == len(first) - 1 and ascending.all():
        return trials, first
    trials = trials.sort("run", "trial")
    return trials, _starts(trials)


def _starts(trials: pl.DataFrame) -> NDArray[np.int64]:
    lengths = trials["run"].rle().struct.field("len").to_numpy()
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _steps(trials: pl.DataFrame, first: NDArray[np.int64], units: Sequence[Unit]) -> dict[Unit, Steps]:
    """Return the steps of runs whose rows stand together."""
    if not units:
        return {}
    rows = np.flatnonzero(improvements(_keys(trials), first))
    begins = np.searchsorted(rows, first)
    trial, score = trials["trial"].to_numpy()[rows].astype(np.int64), _floats(trials["score"])[rows]
    ends = first[1:][np.diff(first) > 0] - 1
    out: dict[Unit, Steps] = {}
    for unit in units:
        end = np.zeros(len(first) - 1)
        spent, end[np.diff(first) > 0] = _spent_at((rows, ends), trials, first, unit)
        out[unit] = Steps(begins, spent, score, trial, end)
    return out


def _keys(trials: pl.DataFrame) -> Floats:
    """Return a key for each row, shape (rows,); the smallest is the incumbent, NaN is nothing observed."""
    loss = _floats(trials["loss"])
    if "fidelity" not in trials.columns and not np.isinf(loss).any():
        return loss
    fidelity = _floats(trials["fidelity"]) if "fidelity" in trials.columns else np.ones(len(loss))
    if (fidelity == fidelity[:1]).all() and not np.isinf(loss).any():
        return loss
    # Any higher fidelity beats all lower ones: the key is the place in the order by fidelity, then loss.
    order = np.lexsort((loss, -fidelity))
    in_order = np.stack([loss, fidelity])[:, order]
    differs = (in_order[:, 1:] != in_order[:, :-1]).any(axis=0)
    keys = np.empty(len(loss))
    keys[order] = np.concatenate([[0], np.cumsum(differs)])
    keys[np.isnan(loss)] = np.nan
    return keys


def improvements(keys: Floats, first: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each row is smaller than all earlier rows of its run, shape (rows,).

    Args:
        keys: shape (rows,), finite, or NaN where nothing was observed.
        first: shape (r + 1,), where each run begins, and the end.
    """
    best = _along(np.minimum.accumulate, np.where(np.isnan(keys), np.inf, keys), first)
    improved = np.zeros(len(keys), dtype=bool)
    np.less(best[1:], best[:-1], out=improved[1:])
    begins = _begins(first)
    improved[begins] = np.isfinite(best[begins])
    return improved


def _begins(first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the runs begin that have a trial."""
    return first[:-1][np.diff(first) > 0]


def _spent_at(
    places: tuple[NDArray[np.int64], NDArray[np.int64]],
    trials: pl.DataFrame,
    first: NDArray[np.int64],
    unit: Unit,
) -> tuple[Floats, Floats]:
    """Return ``spent_by`` at two sets of rows, computed for all rows only where that is needed."""
    one, other = places
    if unit == "trials":
        trial = trials["trial"].to_numpy()
        return trial[one] + 1.0, trial[other] + 1.0
    if unit in _SUMMED and len(trials):
        each = _floats(trials[_SUMMED[unit]])
        # Where all costs are equal whole numbers, as at full fidelity or without a model, a sum is a product,
        # and exact.
        if each[0].is_integer() and (each == each[0]).all():
            number = np.arange(1, len(each) + 1) - np.repeat(first[:-1], np.diff(first))
            return number[one] * each[0], number[other] * each[0]
    spent = spent_by(trials, first, unit)
    return spent[one], spent[other]


def spent_by(trials: pl.DataFrame, first: NDArray[np.int64], unit: Unit) -> Floats:
    """Return what each run had spent when each of its trials had finished, shape (rows,)."""
    match unit:
        case "trials":
            return trials["trial"].to_numpy().astype(np.float64) + 1
        case "seconds":
            return _floats(trials["finished"])
        case _:
            return _along(np.cumsum, _floats(trials[_SUMMED[unit]]), first)


def _along(function: Any, values: Floats, first: NDArray[np.int64]) -> Floats:
    """Return a running minimum or sum over each run separately, with runs as rows of a matrix."""
    lengths = np.diff(first)
    if not len(values):
        return values
    if (lengths == lengths[0]).all():
        matrix = values.reshape(len(lengths), -1)
        return np.asarray(function(matrix, axis=1)).reshape(-1)
    out = np.empty(len(values))
    longest_first = np.argsort(-lengths, kind="stable")
    begin = 0
    while begin < len(lengths):
        width = int(lengths[longest_first[begin]])
        if not width:
            break
        runs = longest_first[begin : begin + max(1, _CELLS // width)]
        begin += len(runs)
        inside = np.arange(width) < lengths[runs, None]
        rows = np.minimum(first[runs, None] + np.arange(width), len(values) - 1)
        out[rows[inside]] = function(values[rows], axis=1)[inside]
    return out


def _floats(column: pl.Series) -> Floats:
    """Return a column as an array of floats, NaN where there is no value."""
    return np.asarray(column.cast(pl.Float64).fill_null(np.nan).to_numpy())
