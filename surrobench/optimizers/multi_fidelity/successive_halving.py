"""Successive halving: Jamieson & Talwalkar, AISTATS 2016 (arXiv 1502.07943)."""

from __future__ import annotations

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.multi_fidelity.brackets import Ladder, run_brackets


def successive_halving(
    task: Task, rng: Generator, *, eta: int = 3, min_fidelity: float | None = None
) -> Steps:
    """Start many configurations at the lowest fidelity; the best 1/eta of a rung go on to the next.

    The paper halves one set of configurations within one budget. Here brackets of eta^s_max configurations
    follow each other until the budget ends. One configuration of each bracket reaches the full fidelity. This
    is Hyperband's widest bracket, repeated, and eta = 3 as there. Each rung is one request, and training is
    continued from the rung below where that is possible. The best of the granted initial design take part in
    the first bracket, and are not evaluated again at full fidelity. Failed evaluations are never promoted.
    Ties go to the earlier draw.
    """
    ladder = Ladder.of(task, "successive-halving", eta, min_fidelity)
    yield from run_brackets(task, rng, ladder, ladder.brackets()[:1], "successive-halving")
