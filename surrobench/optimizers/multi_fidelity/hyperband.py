"""Hyperband: Li et al., JMLR 18, 2018 (arXiv 1603.06560), algorithm 1."""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.multi_fidelity.brackets import Ladder, run_brackets


def hyperband(task: Task, rng: Generator, *, eta: int = 3, min_fidelity: float | None = None) -> Steps:
    """Run brackets of successive halving, over and over.

    A bracket goes from many configurations at low fidelity to few at full fidelity. The default, eta = 3, is
    the paper's. The method is synchronous. Each rung is one request, and training is continued from the rung
    below where that is possible. The best of the granted initial design take part in the first bracket, and
    are not evaluated again at full fidelity. Failed evaluations are never promoted. Ties go to the earlier
    draw.
    """
    ladder = Ladder.of(task, "hyperband", eta, min_fidelity)
    yield from run_brackets(task, rng, ladder, ladder.brackets(), "hyperband")
