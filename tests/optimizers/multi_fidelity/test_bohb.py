import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest
from statsmodels.nonparametric.kernel_density import KDEMultivariate

from surrobench.optimizers.multi_fidelity import bohb as module
from surrobench.optimizers.multi_fidelity.bohb import Density, bohb
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace
from tests.contracts.test_optimizers import place
from tests.optimizers.driving import epochs, rungs
from tests.optimizers.multi_fidelity.test_brackets import LCBENCH, run, square, task_with

KINDS = np.array([0, 3, 0, 2])  # numbers, and categories with so many values


def mixed_data(n, seed):
    rng = np.random.default_rng(seed)
    return np.where(KINDS > 0, rng.integers(np.maximum(KINDS, 1), size=(n, 4)), rng.random((n, 4)))


# ---------------------------------------------------------------------- the density


@pytest.mark.filterwarnings(
    "ignore:After 0.17:FutureWarning"
)  # of its default generator, which draws nothing
def test_the_density_is_that_of_statsmodels():
    data, points = mixed_data(30, 0), mixed_data(200, 1)
    assert [len(set(data[:, j])) for j in (1, 3)] == [3, 2]  # statsmodels knows the values that occur only
    theirs = KDEMultivariate(data, var_type="cucu", bw="normal_reference")
    ours = Density(data, KINDS, 1e-3)
    assert ours.bandwidths == pytest.approx(theirs.bw)
    assert ours(points) == pytest.approx(theirs.pdf(points), rel=1e-10)


def test_a_column_without_spread_has_the_smallest_bandwidth():
    data = mixed_data(10, 0)
    data[:, 0] = 0.25
    assert Density(data, KINDS, 1e-3).bandwidths[0] == 1e-3


def test_a_category_that_does_not_occur_is_possible_and_none_is_more_likely_than_those_that_do():
    data = np.array([[0.0], [0.0], [9.0], [9.0]])  # of ten values; the rule would give a width above 1
    density = Density(data, np.array([10]), 1e-3)
    p = density(np.arange(10.0)[:, None])
    assert p == pytest.approx(np.full(10, 0.1))
    p = Density(data[:2], np.array([10]), 1e-3)(np.arange(10.0)[:, None])
    assert p == pytest.approx([0.999, *[0.001 / 9] * 9])


def test_draws_are_legal_and_spread_as_the_widened_kernels():
    data = np.array([[0.5, 1.0, 0.0, 0.0], [0.5, 1.0, 0.0, 0.0]])
    density = Density(data, KINDS, 0.05)
    drawn = density.draw(20000, 3.0, np.random.default_rng(0))
    assert ((drawn >= 0) & (drawn <= 1))[:, [0, 2]].all()
    assert set(drawn[:, 1]) == {0, 1, 2}
    assert drawn[:, 0].std() == pytest.approx(0.15, rel=0.03)  # the bounds are far: a normal, 3 * 0.05 wide
    # At the bound half a normal is left, whose mean is sigma sqrt(2 / pi).
    assert drawn[:, 2].mean() == pytest.approx(0.15 * np.sqrt(2 / np.pi), rel=0.03)
    # A category stays with 1 - width, and else is any of its values, itself included.
    assert (drawn[:, 1] == 1).mean() == pytest.approx(0.95 + 0.05 / 3, abs=0.005)


# ---------------------------------------------------------------------- the model


def model(space, observed, levels=3, top_percent=15):
    fitted = module._Model(space, levels, top_percent, 1e-3)
    for level, losses in observed.items():
        X = space.sample(len(losses), np.random.default_rng(level))
        fitted.add(level, Evaluated(X, np.asarray(losses, dtype=float)))
    return fitted, fitted.fit(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("counts", "used"),
    [
        ((5, 5, 0), None),  # two hyperparameters: three good and three bad are the least
        ((6, 5, 0), 0),
        ((20, 6, 5), 1),
        ((20, 6, 6), 2),
    ],
)
def test_the_largest_fidelity_with_enough_observations_is_used(counts, used):
    fitted, densities = model(square(), {level: np.arange(n) for level, n in enumerate(counts)})
    if used is None:
        assert densities is None
    else:
        good, bad = densities
        assert np.array_equal(good.data, fitted._data[used][:3])
        assert np.array_equal(bad.data, fitted._data[used][3:])


def test_fifteen_of_a_hundred_are_good_and_failed_ones_are_bad():
    losses = np.arange(40.0)[::-1]
    losses[:10] = np.nan
    fitted, (good, bad) = model(square(), {0: losses})
    assert np.array_equal(good.data, fitted._data[0][::-1][:6])
    assert len(bad.data) == 34
    assert {tuple(row) for row in fitted._data[0][:10]} <= {tuple(row) for row in bad.data}


def test_inactive_values_are_those_of_rows_where_they_are_active():
    space = place("mixed").space
    fitted = module._Model(space, 1, 15, 1e-3)
    X = space.sample(40, np.random.default_rng(0))
    fitted.add(0, Evaluated(X, np.arange(40.0)))
    searched = [name for name in space.names if name != "threads"]
    j = searched.index("skip")
    data = fitted._data[0]
    full = fitted._impute(data, np.random.default_rng(0))
    inactive = np.isnan(data)
    assert inactive[:, j].any()
    assert np.array_equal(full[~inactive], data[~inactive])
    assert set(full[:, j]) == set(data[~inactive[:, j], j])
    data = data[inactive[:, j]]  # where it is never active, any value will do
    assert not np.isnan(fitted._impute(data, np.random.default_rng(0))).any()


def test_proposals_are_where_good_is_likely_and_bad_is_not():
    space = square()
    rng = np.random.default_rng(0)
    good = Density(0.2 + 0.05 * rng.standard_normal((20, 2)), np.zeros(2, dtype=int), 1e-3)
    bad = Density(np.array([0.2, 0.6]) + 0.05 * rng.standard_normal((20, 2)), np.zeros(2, dtype=int), 1e-3)
    X = module._propose(space, (good, bad), 50, 64, 3.0, rng)
    assert X.shape == (50, 2)
    assert (X[:, 1] < 0.3).all()


def test_categories_with_unequal_probabilities_are_found_in_the_unit_cube():
    config_space = CS.ConfigurationSpace()
    config_space.add(
        CS.CategoricalHyperparameter("kind", ["a", "b", "c"], weights=[8, 1, 1]),
        CS.Constant("threads", 4),
    )
    space, categories = SearchSpace(config_space), np.array([3])
    good, bad = (Density(np.full((5, 1), index), categories, 1e-3) for index in (1.0, 0.0))
    X = module._propose(space, (good, bad), 20, 64, 3.0, np.random.default_rng(0))
    assert space.legal(X).all()
    assert {row["kind"] for row in space.decode(X)} <= {"b", "c"}


# ---------------------------------------------------------------------- the method


def test_the_schedule_is_that_of_hyperband_the_lowest_rung_a_worker_at_a_time():
    trials = run(bohb, task_with(LCBENCH, workers=4), 22)
    assert rungs(trials) == [
        *[(4, 6), (4, 6), (1, 6), (3, 17), (1, 52)],
        *[(4, 17), (1, 17), (1, 52)],
        (3, 52),
    ]
    assert {trial.continued_from for trial in trials} == {None, 6, 17}


def test_it_finds_what_random_draws_do_not():
    def loss(X, fidelity):
        return ((X - 0.7) ** 2).sum(axis=1)

    def mean(**parameters):
        found = [trial.loss for trial in run(bohb, task_with(epochs(9)), 200, loss=loss, **parameters)]
        return np.mean(found[100:])

    assert mean() < 0.5 * mean(random_fraction=1.0)


def test_the_granted_design_is_data_at_full_fidelity(monkeypatch):
    seen = []

    class Spy(module._Model):
        def add(self, level, answer):
            seen.append((level, len(answer.losses)))
            super().add(level, answer)

    monkeypatch.setattr(module, "_Model", Spy)
    X = square().sample(7, stream("optimizer", "granted"))
    trials = run(bohb, task_with(epochs(9), Evaluated(X, X[:, 0] + 1), workers=9), 20)
    assert seen[:4] == [(2, 7), (0, 9), (1, 3), (2, 1)]
    best = X[X[:, 0].argsort()]
    assert [trial.x.tolist() for trial in trials[:3]] == best[:3].tolist()
