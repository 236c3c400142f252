import sys

import numpy as np
import pytest
from scipy.stats import qmc

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.base import Task
from surrobench.optimizers.classical.sobol import sobol
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from tests.optimizers.driving import batches, task


def rng(seed=0):
    return stream("optimizer", "test_sobol", seed)


def design(space, horizon, seed=0):
    none = Evaluated(np.empty((0, space.d)), np.empty(0))
    request = next(sobol(Task(space, None, None, space.default, none, horizon), rng(seed)))
    assert request.source == "sobol"
    return request.configurations


@pytest.mark.parametrize(
    "id", ["hpobench/mlp/car", "hpolib/fcnet/protein_structure", "nasbench201/cell/cifar10"]
)
@pytest.mark.parametrize("horizon", [1, 2, 30, 64])
# Not a power of two is allowed, and said.
@pytest.mark.filterwarnings("ignore:The balance properties of Sobol:UserWarning")
def test_the_points_are_those_of_scipy(id, horizon):  # noqa: A002
    space = benchmark(id).space
    expected = qmc.Sobol(space.d, scramble=True, rng=rng()).random(horizon)
    assert np.array_equal(design(space, horizon), space.from_unit(expected))


@pytest.mark.filterwarnings("ignore:The balance properties of Sobol:UserWarning")
@pytest.mark.parametrize("horizon", [3000, sys.maxsize])
def test_a_long_sequence_comes_in_parts(horizon):
    space = benchmark("hpolib/fcnet/protein_structure").space
    asked, _ = batches(sobol(task(space, horizon), rng()), lambda X: X[:, 0], 3000)
    assert [len(X) for X in asked] == [1024, 1024, 2048]
    expected = qmc.Sobol(space.d, scramble=True, rng=rng()).random(4096)
    assert np.array_equal(np.concatenate(asked), space.from_unit(expected))


def test_a_power_of_two_is_balanced():
    space = benchmark("nasbench201/cell/cifar10").space
    X = design(space, 256)
    for column in X.T:
        counts = np.bincount(column.astype(int), minlength=5)
        assert np.abs(counts - 256 / 5).max() <= 2


def test_the_seed_scrambles():
    space = benchmark("hpobench/mlp/car").space
    assert not np.array_equal(design(space, 16, 0), design(space, 16, 1))
