"""Tree-structured Parzen estimator: Bergstra et al., NeurIPS 2011, as Optuna implements it.

Watanabe, arXiv 2304.11127, describes what Optuna really does.
"""

from __future__ import annotations

from typing import Any

from numpy.random import Generator

from surrobench.optimizers.base import Steps, Task
from surrobench.optimizers.classical.tpe_study import Study, open_study
from surrobench.protocol.requests import Evaluate, Evaluated


def tpe(task: Task, rng: Generator, *, startup: int = 10, candidates: int = 24) -> Steps:
    """Run Optuna's ``TPESampler`` with its defaults.

    Optuna 5.0 replaces arguments that are None by default. With one objective it uses these values:

    - ``multivariate`` is True. Hyperparameters that all finished trials have in common are proposed jointly.
      Those that depend on conditions are proposed one by one.
    - ``gamma`` is ceil(n / 10), at most 25, of n finished trials.
    - ``weights`` are 1 for the newest 25 trials and fall linearly to 1/n for the oldest.
    - ``consider_prior`` and ``consider_magic_clip`` are True.
    - ``prior_weight`` is 1, and ``consider_endpoints`` is False.
    - ``group`` is False.
    - ``constant_liar`` is True, which has no effect where one trial runs at a time.

    Ordinal hyperparameters are integers over their index, so their order is kept. The granted initial design
    is told as finished trials and counts towards the ``startup`` random ones, as in Optuna itself. A failed
    evaluation is told as ``FAIL``, which TPE leaves out of its model.
    """
    yield from _tpe(task, rng, "tpe", startup=startup, candidates=candidates)


def tpe_multivariate(task: Task, rng: Generator, *, startup: int = 10, candidates: int = 24) -> Steps:
    """Run ``tpe`` with ``multivariate=True, group=True``.

    Hyperparameters that are active together are proposed jointly. Optuna 5.0 is multivariate by default. This
    method therefore differs from ``tpe`` only where there are conditions, and by its random stream, which is
    named after the method.
    """
    yield from _tpe(task, rng, "tpe-multivariate", startup=startup, candidates=candidates, group=True)


def tpe_univariate(task: Task, rng: Generator, *, startup: int = 10, candidates: int = 24) -> Steps:
    """Run ``tpe`` with ``multivariate=False``, which proposes each hyperparameter for itself.

    The paper of 2011 does this too. It was Optuna's default before 5.0, and is the TPE of most published
    comparisons.
    """
    yield from _tpe(task, rng, "tpe-univariate", startup=startup, candidates=candidates, multivariate=False)


def _tpe(task: Task, rng: Generator, source: str, **settings: Any) -> Steps:
    study = tpe_study(task, rng, **settings)
    while True:
        configurations = yield from study.ask()
        answer: Evaluated = yield Evaluate(configurations, source=source)
        study.tell(answer.configurations, answer.losses)


def tpe_study(
    task: Task,
    rng: Generator,
    *,
    startup: int = 10,
    candidates: int = 24,
    multivariate: bool = True,
    group: bool = False,
) -> Study:
    """Return a study with TPE that has been told the granted initial design.

    Args:
        task: the task.
        rng: draws the sampler's seed.
        startup: see ``open_study``, like the other arguments.
        candidates: see there.
        multivariate: see there.
        group: see there.
    """
    return open_study(
        task,
        int(rng.integers(2**32)),
        startup=startup,
        candidates=candidates,
        multivariate=multivariate,
        group=group,
    )
