"""Hyperband: Li et al., JMLR 18, 2018 (arXiv 1603.06560), algorithm 1."""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.multi_fidelity.brackets import Ladder, run_brackets


def hyperband(task: Task, rng: Generator, *, eta: int = 3, min_fidelity: float | None = None) -> Steps:
    """Successive halving in brackets from many configurations at low fidelity to few at full, over and over.

    The paper's default, eta = 3. Synchronous: each rung is one request, continued from the rung below where
    training can be. Of the granted initial design the best take part in the first bracket, and are not
    evaluated again at full fidelity. Failed evaluations are never promoted; ties go to the earlier draw.
    """
    ladder = Ladder.of(task, "hyperband", eta, min_fidelity)
    yield from run_brackets(task, rng, ladder, ladder.brackets(), "hyperband")
