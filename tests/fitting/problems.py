"""Past trials whose true objective is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    Float,
    Integer,
)
from numpy.typing import NDArray

from surrobench.past_trials.trials import PastTrials

CENTRE = np.array([0.3, 0.6, 0.45, 0.2, 0.7, 0.5, 0.55])
WEIGHTS = np.array([3, 2, 1.5, 1, 0.8, 0.4, 0.2])


def smooth(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth loss of up to seven numbers in [0, 1], shape (m,), that random search has no hold on."""
    d = X.shape[1]
    Z = X - CENTRE[:d]
    return np.asarray((WEIGHTS[:d] * Z**2).sum(axis=1) + 0.8 * Z[:, 0] * Z[:, 1])


def smooth_trials(n: int, d: int = 7, noise: float = 0.02, seed: int = 0) -> PastTrials:
    """Random trials of the smooth loss with noise."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    space = ConfigurationSpace()
    space.add([Float(f"x{j}", (0.0, 1.0)) for j in range(d)])
    columns: dict[str, Any] = {f"config.x{j}": X[:, j] for j in range(d)}
    columns |= {
        "minimize.loss": smooth(X) + rng.normal(0, noise, n),
        "cost": np.exp(1 + X[:, 0]),
        "failed": np.zeros(n, dtype=bool),
        "repetition": np.zeros(n, dtype=int),
    }
    return PastTrials("smooth", space, pl.DataFrame(columns), {}, ())


def conditional_trials(n: int, seed: int = 0) -> PastTrials:
    """Random trials of a conditional space at three fidelities, some of them failed."""
    rng = np.random.default_rng(seed)
    space = ConfigurationSpace()
    kind, depth, rate = (
        Categorical("kind", ["tree", "line"]),
        Integer("depth", (1, 9)),
        Float("rate", (1e-4, 1.0), log=True),
    )
    space.add(kind, depth, rate)
    space.add(EqualsCondition(depth, kind, "tree"))
    rows = []
    for _ in range(n):
        tree, level, step = rng.random() < 0.5, int(rng.integers(1, 10)), float(10 ** rng.uniform(-4, 0))
        config = {
            "config.kind": "tree" if tree else "line",
            "config.depth": level if tree else None,
            "config.rate": step,
        }
        loss = (np.log10(step) + 2) ** 2 / 4 + (abs(level - 5) / 5 if tree else 0.7)
        failed = step > 0.8
        for epoch in (1, 3, 9):
            measured = None if failed else loss + 1 / epoch
            rows.append(
                config
                | {
                    "minimize.loss": measured,
                    "maximize.score": None if failed else -loss,
                    "fidelity.epoch": epoch,
                }
                | {"cost": float(epoch), "failed": failed, "repetition": 0}
            )
    return PastTrials("conditional", space, pl.DataFrame(rows, infer_schema_length=None), {}, ())
