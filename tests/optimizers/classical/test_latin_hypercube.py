import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest
from scipy.stats import qmc

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.classical.latin_hypercube import latin_hypercube
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace
from tests.optimizers.driving import task


def rng(seed=0):
    return stream("optimizer", "test_latin_hypercube", seed)


def design(space, horizon, seed=0, initial=None):
    [request] = latin_hypercube(task(space, horizon, initial), rng(seed))
    assert request.source == "latin-hypercube"
    return request.configurations


@pytest.mark.parametrize("horizon", [1, 2, 30, 64])
def test_the_points_are_those_of_scipy(horizon):
    space = benchmark("hpolib/fcnet/protein_structure").space
    expected = qmc.LatinHypercube(space.d, rng=rng()).random(horizon)
    assert np.array_equal(design(space, horizon), space.from_unit(expected))


@pytest.mark.parametrize("horizon", [1, 7, 50])
def test_every_part_of_every_range_holds_one_point(horizon):
    space = SearchSpace(CS.ConfigurationSpace({"x": (0.0, 1.0), "y": (-5.0, 5.0), "z": (1.0, 2.0)}))
    X = design(space, horizon)
    assert [sorted(np.floor(column * horizon)) for column in X.T] == [list(range(horizon))] * 3


def test_values_occur_as_often_as_their_weights_say():
    config_space = CS.ConfigurationSpace()
    config_space.add(
        CS.CategoricalHyperparameter("c", list("abc"), weights=[0.7, 0.2, 0.1]),
        CS.OrdinalHyperparameter("o", [1, 2, 4, 8, 16]),
    )
    X = design(SearchSpace(config_space), 20)
    assert np.bincount(X[:, 0].astype(int)).tolist() == [14, 4, 2]
    assert np.bincount(X[:, 1].astype(int)).tolist() == [4] * 5


def test_the_seed_draws_and_the_granted_design_does_not_matter():
    space = benchmark("hpobench/mlp/car").space
    granted = Evaluated(space.default[None, :], np.zeros(1))
    assert np.array_equal(design(space, 16, initial=granted), design(space, 16))
    assert not np.array_equal(design(space, 16), design(space, 16, seed=1))
