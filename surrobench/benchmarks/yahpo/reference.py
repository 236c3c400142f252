"""Compute reference values of a surrogate: a frozen sample of its space, and a search for its best value.

The published extremes are no bound: random search finds better configurations on most instances. Therefore

- the *sample* is ``SAMPLE`` draws from the space's prior with a fixed seed, at full fidelity, the same for
  every instance of a scenario; it gives the median and the quantiles;
- the *best* is the best of three: the published value, the sample, and a fixed, seeded evolutionary search
  that starts from the sample;
- the *worst* is the worse of the published value and the sample.

All of it is a function of the network. Computed values are cached with the network's checksum.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from surrobench.benchmarks.base import FittedScenario, Reference
from surrobench.paths import cache_dir
from surrobench.seeding import stream
from surrobench.space.hyperparameter import Matrix

SAMPLE = 20_000
"""The size of the frozen sample: quantile regret resolves 1 in 20,000."""
ROUNDS, CHILDREN, PARENTS = 30, 512, 64
_LAYOUT = 1  # The version of the cached files' form. It counts up when anything above changes.


def cached_reference(scenario: FittedScenario, instance: str, objective: str) -> Reference:
    """Return reference values of one objective on one instance, as losses.

    They come from the cache if it has them.
    """
    folder = cache_dir() / "yahpo-reference" / f"{scenario.name}-{scenario.checksum}-{_LAYOUT}"
    path = folder / f"{instance}-{objective}.npy"
    try:
        found = np.load(path).astype(np.float64)
        if found.shape != (SAMPLE + 1,):
            raise ValueError
    except (OSError, ValueError, EOFError):
        found = search(scenario, instance, objective)
        _store(path, found)
    return reference(scenario, instance, objective, found)


def reference(
    scenario: FittedScenario, instance: str, objective: str, found: NDArray[np.float64]
) -> Reference:
    """Return reference values from what was found and what was published.

    Args:
        scenario: the scenario.
        instance: the scenario's instance.
        objective: the name of the objective.
        found: the losses that were found, shape (SAMPLE + 1,), see ``search``.
    """
    index = [known.name for known in scenario.objectives].index(objective)
    sign = scenario.objectives[index].sign
    best, sample = found[0], found[1:]
    extremes = [sign * value for value in scenario.published.get((instance, objective), ())]
    return Reference(
        best=float(min([best, *extremes])),
        median=float(np.median(sample)),
        worst=float(max([sample[-1], *extremes])),
        sorted_losses=sample,
        exact=False,
    )


def search(scenario: FittedScenario, instance: str, objective: str) -> NDArray[np.float64]:
    """Return the best loss found by search, then the sample's losses, ascending; shape (SAMPLE + 1,)."""
    index = scenario.instances.index(instance)
    column = [known.name for known in scenario.objectives].index(objective)
    sign = scenario.objectives[column].sign

    def losses(U: Matrix) -> NDArray[np.float64]:
        X = scenario.space.from_unit(U)
        values = scenario.evaluate(X, np.full(len(X), index, dtype=np.intp), None).values
        return np.asarray(sign * values[:, column])

    # The search is in the unit cube and keeps inactive coordinates: a child may inherit a value that its
    # parent had no use for.
    U = stream("yahpo sample", scenario.key).random((SAMPLE, scenario.space.d))
    sample = losses(U)
    order = np.argsort(sample, kind="stable")[:PARENTS]
    parents, scores = U[order], sample[order]
    rng = stream("yahpo search", scenario.key, instance, objective)
    for progress in np.linspace(0.0, 1.0, ROUNDS):
        children = _children(parents, 0.2 * 0.02**progress, scenario.space.is_categorical, rng)
        pool, pool_scores = np.concatenate([parents, children]), np.concatenate([scores, losses(children)])
        order = np.argsort(pool_scores, kind="stable")[:PARENTS]
        parents, scores = pool[order], pool_scores[order]
    return np.concatenate([scores[:1], np.sort(sample)])


def _children(parents: Matrix, step: float, is_categorical: NDArray[np.bool_], rng: Generator) -> Matrix:
    """Return children of the parents, shape (CHILDREN, d).

    They are partly crossed. A few coordinates are moved by ``step``; categories are redrawn.
    """
    d = parents.shape[1]
    # A better parent gets more children: the square of a uniform number is most often small.
    mothers, fathers = (parents[(rng.random(CHILDREN) ** 2 * len(parents)).astype(np.intp)] for _ in range(2))
    children = np.where(rng.random((CHILDREN, d)) < 0.25, fathers, mothers)
    moved = rng.random((CHILDREN, d)) < max(0.2, 1.5 / d)
    steps = children + step * rng.standard_normal((CHILDREN, d))
    redrawn = rng.random((CHILDREN, d))
    changed = np.where(is_categorical, redrawn, np.clip(steps, 0.0, 1.0))
    return np.where(moved, changed, children)


def _store(path: Path, found: NDArray[np.float64]) -> None:
    """Keep what was found. If that fails, it is computed again next time."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                # the network's own precision, so that nothing is lost
                np.save(file, found.astype(np.float32))
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
