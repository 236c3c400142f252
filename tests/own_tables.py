"""A made-up table, as a user would bring it: two data sets, two repetitions, three epochs, and gaps."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from surrobench.benchmarks.registry import expand

LEARNING_RATES = (1e-4, 1e-3, 1e-2, 1e-1)


def made_up(*, gaps: bool = True) -> pl.DataFrame:
    """In the form of ``user_table_files``; of every 17 configurations of a data set, one is missing."""
    settings = product(LEARNING_RATES, (1, 2, 3, 4, 5), ("relu", "tanh", "gelu"), (False, True))
    rows: list[dict[str, Any]] = []
    for i, (lr, depth, activation, nesterov) in enumerate(settings):
        for instance, best, gap in (("iris", -2.0, 4), ("wine", -3.0, 5)):
            if gaps and i % 17 == gap:
                continue
            far = abs(math.log10(lr) - best) + 0.3 * abs(depth - 3) + 0.07 * len(activation) * (1 + nesterov)
            for repetition, epoch in product((1, 2), (1, 3, 9)):
                wobble = math.sin(i * 7 + repetition * 3 + gap) / 20
                rows.append(
                    {
                        "config.lr": lr,
                        "config.depth": depth,
                        "config.activation": activation,
                        "config.nesterov": nesterov,
                        "instance": instance,
                        "repetition": repetition,
                        "fidelity.epoch": epoch,
                        "minimize.val_loss": far * (1 + 1 / epoch) + wobble,
                        "maximize.val_accuracy": math.exp(-far) * (1 - 1 / (2 * epoch)),
                        "cost": epoch * depth * 1.5,
                    }
                )
    return pl.DataFrame(rows)


def own_ids() -> list[str]:
    """The ids of the made-up table's benchmarks; the file itself is not needed any more."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made_up.csv"
        made_up().write_csv(path)
        return expand([f"table:{path}"])
