"""Define what a reader finds in a source, and what all of it comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl
from ConfigSpace import ConfigurationSpace

State = Literal["complete", "pruned", "failed"]

COST, FAILED, REPETITION = "cost", "failed", "repetition"
"""The columns of ``PastTrials.frame`` whose names have no prefix."""


@dataclass(frozen=True)
class PastTrial:
    """One trial as its tool has kept it.

    Attributes:
        configuration: hyperparameter -> value; one that is not named was inactive.
        state: whether the trial ended by itself, was stopped early by a pruner, or failed.
        curve: what was measured, in the order of time: the fidelity, and objective -> value. The last entry
            of a complete trial is its result. The fidelity is 0 where the tool has none.
        seconds: how long the trial took; None if the tool does not say.
    """

    configuration: Mapping[str, Any]
    state: State
    curve: Sequence[tuple[float, Mapping[str, float]]]
    seconds: float | None = None


@dataclass(frozen=True)
class Found:
    """All that a reader found in one source.

    Attributes:
        title: a short name of the source, for tables and file names.
        trials: the trials that ended, in their order.
        objectives: what was measured -> whether smaller is better; None if the source does not say so.
        space: the search space, if the source has it.
        fidelity: the name of what the curves are over; empty if there is none.
        dropped: why trials were left out -> how many.
        inferred: what the reader concluded about the space, a sentence each.
    """

    title: str
    trials: Sequence[PastTrial]
    objectives: Mapping[str, bool | None]
    space: ConfigurationSpace | None = None
    fidelity: str = ""
    dropped: Mapping[str, int] = field(default_factory=dict)
    inferred: Sequence[str] = ()


@dataclass(frozen=True)
class Asked:
    """What a user says of a source beyond its name.

    Attributes:
        objectives: objective -> whether smaller is better; the first one is optimized. None are named if the
            source is to say it.
        hyperparameters: the columns that are hyperparameters, where a table does not say it.
        fidelity: the column of epochs or the like, where a table does not say it.
        seconds: the column of the trials' durations in seconds, where a table does not say it.
    """

    objectives: Mapping[str, bool] = field(default_factory=dict)
    hyperparameters: tuple[str, ...] = ()
    fidelity: str = ""
    seconds: str = ""


@dataclass(frozen=True)
class PastTrials:
    """Past trials of one problem as a table.

    Attributes:
        title: a short name.
        space: the search space, with conditions.
        frame: a row for each measurement. The columns are ``config.NAME`` (null where inactive),
            ``minimize.NAME`` or ``maximize.NAME`` (null where the trial failed), ``fidelity.NAME`` (if there
            is one), ``cost`` (seconds; null where it is not known), ``failed`` and ``repetition`` (the number
            of the trial among those of the same configuration, from 0).
        dropped: why trials were left out -> how many.
        inferred: what was concluded from the trials and is for the user to confirm, a sentence each.
    """

    title: str
    space: ConfigurationSpace
    frame: pl.DataFrame
    dropped: Mapping[str, int]
    inferred: Sequence[str]

    def columns(self, *prefixes: str) -> list[str]:
        """Return the columns with one of these prefixes, in the table's order."""
        return [name for name in self.frame.columns if name.partition(".")[0] in prefixes and "." in name]

    @property
    def trials(self) -> int:
        """Return the number of trials; one that was measured at several fidelities is one."""
        return int(self.frame.select(pl.struct(*self.columns("config"), REPETITION).n_unique()).item())

    def summary(self) -> list[str]:
        """Return what was read and what was left out, a sentence each."""
        failed = self.frame[FAILED].sum()
        lines = [f"{self.title}: {self.trials:,} trials of {len(self.space)} hyperparameters."]
        if failed:
            lines.append(f"{failed:,} of them failed.")
        if names := self.columns("fidelity"):
            levels = self.frame[names[0]].n_unique()
            lines.append(f"{names[0].partition('.')[2]} has {levels} values.")
        configurations = self.frame.select(pl.struct(self.columns("config")).n_unique()).item()
        if repeated := self.trials - configurations:
            lines.append(f"{repeated:,} trials repeat the configuration of another one.")
        lines += [f"{count:,} left out: {reason}." for reason, count in self.dropped.items()]
        return [*lines, *self.inferred]
