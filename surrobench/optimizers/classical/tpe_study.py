"""A study with TPE whose proposals are computed together with those of all other runs on the same space.

The trials are those of Optuna's ``TPESampler``, to the last bit, at a small part of its time. They are so for
the Optuna that is installed, on the machine that runs: Optuna's own sequence differs in last bits between
processors with AVX-512 and without, and without AVX2 equal integers are sorted in another order. The tests
compare both where they run. Not covered are Optuna before version 5 or after it, and spaces with so many
numbers that Optuna takes another error function. There Optuna itself proposes, which is counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from functools import cache, partial
from importlib.metadata import version
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from surrobench.optimizers.base import Stopwatch, Task
from surrobench.optimizers.classical.optuna_study import OptunaStudy, to_value, to_vector
from surrobench.optimizers.kernels.tpe import propose
from surrobench.optimizers.kernels.tpe_history import Block, TpeHistory, TpeProposal, TpeState, draws_needed
from surrobench.optimizers.kernels.tpe_space import Column, TpeSpace
from surrobench.protocol.requests import Compute
from surrobench.space.hyperparameter import Matrix, bounds_of, is_integer, is_log, values_of
from surrobench.space.search_space import SearchSpace

MAJOR = "5"
"""The version of Optuna whose trials the kernel makes."""
FEWEST_FOR_ANOTHER_ERF = 2000
"""With so many candidates times numbers, Optuna takes another error function."""


class Study(Protocol):
    """A study with TPE, in the vector encoding and in losses."""

    def ask(self) -> Generator[Compute, Any, Matrix]:
        """Return the next configuration, shape (1, d), after asking for what has to be computed."""

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Finish the trial that was asked for."""

    def add(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Add trials that were not asked for here, except those that failed or have no configuration."""

    def abandon(self) -> None:
        """Leave the trial that was asked for."""


def suggestion(study: Study) -> Matrix:
    """Return what a study would try next, shape (d,), and leave no trial pending."""
    steps, answer = study.ask(), None
    while True:
        try:
            answer = steps.send(answer).alone()
        except StopIteration as end:
            x: Matrix = end.value[0]
            study.abandon()
            return x


def open_study(
    task: Task, seed: int, *, startup: int, candidates: int, multivariate: bool, group: bool
) -> Study:
    """Return a study with TPE that has been told the granted initial design.

    Args:
        task: the task.
        seed: of Optuna's sampler.
        startup: the number of random trials before TPE's model; granted ones count.
        candidates: how many are compared.
        multivariate: whether hyperparameters are proposed jointly.
        group: whether those that are active together are, conditional ones included.
    """
    space = tpe_space(task.space)
    numbers = int((space.choices == 0).sum())
    covered = _installed() == MAJOR and candidates * numbers < FEWEST_FOR_ANOTHER_ERF
    kind = LockstepStudy if covered else LibraryStudy
    return kind(task, seed, startup=startup, candidates=candidates, multivariate=multivariate, group=group)


@cache
def _installed() -> str:
    """Return the major version of the Optuna that is installed."""
    return version("optuna").split(".")[0]


class LibraryStudy(OptunaStudy):
    """A study whose proposals are Optuna's own."""

    def __init__(
        self, task: Task, seed: int, *, startup: int, candidates: int, multivariate: bool, group: bool
    ) -> None:
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # The default of other versions is not the same, and stays as it is.
            joint: dict[str, Any] = {} if multivariate else {"multivariate": False}
            if group:
                joint = {"multivariate": True, "group": True}
            sampler = TPESampler(seed=seed, n_startup_trials=startup, n_ei_candidates=candidates, **joint)
        self._library = task.library
        super().__init__(task, sampler)

    def ask(self) -> Generator[Compute, Any, Matrix]:  # type: ignore[override]
        """See ``Study``."""
        self._library.proposals += 1
        self._library.referred += 1
        with self._library.running():
            return super().ask()
        yield  # a generator that asks for nothing


class LockstepStudy:
    """A study whose proposals are computed by ``kernels.tpe``; see ``open_study`` for the arguments."""

    def __init__(
        self, task: Task, seed: int, *, startup: int, candidates: int, multivariate: bool, group: bool
    ) -> None:
        self._space, self._columns = task.space, tpe_space(task.space)
        self._startup, self._candidates = startup, candidates
        self._library: Stopwatch = task.library
        self._start, self._draws = RandomState(seed), RandomState(seed)
        self._history = TpeHistory(self._columns)
        self._joint: _Joint = _Groups() if group else _Common() if multivariate else _Joint()
        singles = [j for j, column in enumerate(self._columns.columns) if column.single]
        self._single_values = np.full(task.space.d, np.nan)
        self._single_values[singles] = np.where(self._columns.choices, 0.0, self._columns.low)[singles]
        self._single = np.full(task.space.d, np.nan)
        if singles:
            self._single[singles] = self._columns.encode(singles, self._single_values[None, singles])[0]
        self._all_at_once = not task.space.is_conditional and self._joint.everything
        self._asked = self._values = np.empty(0)
        self._scaled: Matrix | None = None
        self.add(task.initial.configurations, task.initial.losses)

    # ------------------------------------------------------------------ asking

    def ask(self) -> Generator[Compute, Any, Matrix]:
        """See ``Study``."""
        history, library = self._history, self._library
        library.proposals += 1
        random = history.n < self._startup
        blocks = () if random else self._joint.blocks(history)
        if not blocks:
            return (yield from self._one_by_one(random, {}, 0))
        proposal: TpeProposal = yield self._compute(blocks)
        if self._all_at_once and proposal.inside:
            order = _columns_of(blocks)
            self._asked = x = self._single.copy()
            self._values, self._scaled = self._single_values.copy(), self._single_values.copy()
            x[order], self._values[order] = proposal.encoded, proposal.values
            self._scaled[order] = proposal.scaled
            library.referred += proposal.referred > 0
            return x[None, :]
        joint = _by_column(self._columns, blocks, proposal)
        return (yield from self._one_by_one(random, joint, proposal.referred))

    def _one_by_one(
        self, random: bool, joint: dict[int, tuple[float, float]], referred: int
    ) -> Generator[Compute, Any, Matrix]:
        """Go through the hyperparameters in their order; only those are proposed that are active.

        Args:
            random: whether this is one of the random trials at the start.
            joint: column -> value and code of what was proposed jointly.
            referred: how many blocks Optuna has decided.
        """
        columns, alone = self._columns, list[int]()
        d = len(columns.columns)
        self._asked, self._values, self._scaled = x, values, _ = np.full(d, np.nan), np.full(d, np.nan), None
        for j in range(d):
            if self._space.conditions(j):
                if self._space.parents(j).intersection(alone):
                    referred += yield from self._independent(alone)
                if not self._space.is_active(j, x):
                    continue
            if columns.columns[j].single:
                values[j], x[j] = self._single_values[j], self._single[j]
            elif j in joint:
                values[j], x[j] = joint[j]
            elif random:
                values[j] = columns.draw(j, self._start)
                x[j] = columns.encode([j], values[None, j : j + 1])[0, 0]
            else:
                alone.append(j)
        referred += yield from self._independent(alone)
        self._library.referred += referred > 0
        return x[None, :]

    def _compute(self, blocks: tuple[Block, ...]) -> Compute:
        draws = self._draws.random_sample(draws_needed(blocks, self._candidates))
        return Compute(propose, TpeState(self._history, blocks, self._candidates, draws))

    def _independent(self, columns: list[int]) -> Generator[Compute, Any, int]:
        """Propose columns one by one, and empty the list; returns how many Optuna decided."""
        if not columns:
            return 0
        proposal: TpeProposal = yield self._compute(tuple((j,) for j in columns))
        self._values[columns], self._asked[columns] = proposal.values, proposal.encoded
        columns.clear()
        return proposal.referred

    # ------------------------------------------------------------------ telling

    def abandon(self) -> None:
        """See ``Study``: nothing remembers a trial before it is told."""

    def tell(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Finish the trial that was asked for."""
        told, asked = configurations[0], self._asked
        same = told.tobytes() == asked.tobytes() or np.allclose(
            told, asked, rtol=0, atol=1e-9, equal_nan=True
        )
        if not same:
            # A table with gaps evaluated its nearest configuration. That is another trial, instead of this.
            self.add(configurations, losses)
        elif np.isfinite(losses[0]):
            self._history.add(self._values, float(losses[0]), self._scaled)

    def add(self, configurations: Matrix, losses: NDArray[np.float64]) -> None:
        """Add trials that were not asked for here, except those that failed or have no configuration."""
        for x, loss in zip(configurations, losses, strict=True):
            if np.isfinite(loss):
                values = np.full(self._space.d, np.nan)
                for j in np.flatnonzero(~np.isnan(x)).tolist():
                    values[j] = to_value(self._space, j, x[j])
                self._history.add(values, float(loss))


@cache
def _columns_of(blocks: tuple[Block, ...]) -> NDArray[np.intp]:
    """Return the columns of blocks, one block after the other."""
    return np.array([j for block in blocks for j in block], dtype=np.intp)


def _by_column(
    columns: TpeSpace, blocks: tuple[Block, ...], proposal: TpeProposal
) -> dict[int, tuple[float, float]]:
    """Return the jointly proposed values that lie in their range, with their codes.

    The last bit may be outside. Optuna then proposes that hyperparameter for itself.
    """
    order = _columns_of(blocks)
    inside = (proposal.values >= columns.low[order]) & (proposal.values <= columns.high[order])
    inside |= columns.choices[order] > 0
    listed = zip(
        order.tolist(), proposal.values.tolist(), proposal.encoded.tolist(), inside.tolist(), strict=True
    )
    return {j: (value, code) for j, value, code, is_inside in listed if is_inside}


# ---------------------------------------------------------------------- what is proposed jointly


class _Joint:
    """Nothing is proposed jointly.

    Attributes:
        everything: whether all that varies is proposed jointly where there are no conditions.
    """

    everything = False

    def blocks(self, history: TpeHistory) -> tuple[Block, ...]:
        """Return the blocks of columns that are proposed jointly, given the finished trials."""
        return ()

    @staticmethod
    def sorted_block(space: TpeSpace, columns: set[int]) -> Block:
        """Return the columns that are worth proposing, sorted by name."""
        kept = [j for j in columns if not space.columns[j].single]
        return tuple(sorted(kept, key=lambda j: space.names[j]))


class _Common(_Joint):
    """What all finished trials have in common is proposed jointly."""

    everything = True

    def __init__(self) -> None:
        self._of: tuple[bytes, tuple[Block, ...]] = (b"", ())

    def blocks(self, history: TpeHistory) -> tuple[Block, ...]:
        """See ``_Joint``."""
        if not history.n:
            return ()
        common = history.common.tobytes()
        if self._of[0] != common:
            block = self.sorted_block(history.space, set(np.flatnonzero(history.common).tolist()))
            self._of = common, (block,) if block else ()
        return self._of[1]


class _Groups(_Joint):
    """What was always active together is proposed jointly, in groups that trials split further."""

    everything = True

    def __init__(self) -> None:
        self._groups: list[set[int]] = []
        self._seen: set[bytes] = set()
        self._read = 0
        self._blocks: tuple[Block, ...] = ()

    def blocks(self, history: TpeHistory) -> tuple[Block, ...]:
        """See ``_Joint``."""
        for values in history.values[self._read :]:
            active = ~np.isnan(values)
            if active.tobytes() not in self._seen:
                self._seen.add(active.tobytes())
                self._split(set(np.flatnonzero(active).tolist()))
                found = (self.sorted_block(history.space, group) for group in self._groups)
                self._blocks = tuple(block for block in found if block)
        self._read = history.n
        return self._blocks

    def _split(self, active: set[int]) -> None:
        """Split every group into what a trial has and what it lacks; the rest is a group of its own."""
        parts = []
        for group in self._groups:
            parts += [group & active, group - active]
            active = active - group
        self._groups = [part for part in [*parts, active] if part]


# ---------------------------------------------------------------------- spaces

_spaces: WeakKeyDictionary[SearchSpace, TpeSpace] = WeakKeyDictionary()


def tpe_space(space: SearchSpace) -> TpeSpace:
    """Return a search space as TPE works on it: one object for all runs on it."""
    if space not in _spaces:
        columns = [_column(space, j) for j in range(space.d)]
        # The encoders must not keep the space itself, or it would never be forgotten.
        _spaces[space] = TpeSpace(columns, [_encoder(space, j) for j in range(space.d)])
    return _spaces[space]


def _column(space: SearchSpace, j: int) -> Column:
    hp, name = space.hyperparameters[j], space.names[j]
    if space.is_categorical[j]:
        return Column(name, choices=int(space.levels[j]))
    if values_of(hp) is not None:
        return Column(name, 0, int(space.levels[j]) - 1, step=1, integer=True)
    low, high = bounds_of(hp)
    if is_integer(hp):
        return Column(name, int(low), int(high), log=is_log(hp), step=1, integer=True)
    return Column(name, float(low), float(high), log=is_log(hp))


def _encoder(space: SearchSpace, j: int) -> Callable[[Matrix], Matrix]:
    return partial(to_vector, space.hyperparameters[j], float(space.origin[j]))
