import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest
from cmaes import CMA, CatCMAwM, CMAwM

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.base import Task
from surrobench.optimizers.classical.cma_es import cma_es
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace

HPOBENCH, HPOLIB = "hpobench/mlp/phoneme", "hpolib/fcnet/protein_structure"


def rng():
    return stream("optimizer", "test_cma_es")


def seed():
    """What our adapter gives to the library."""
    return int(rng().integers(2**32))


def table(id):  # noqa: A002
    where = benchmark(id)

    def loss(X):
        return where.objective.sign * where.evaluate(X)[where.objective.name]

    return where.space, where.scenario.default(), loss


def continuous(d=4):
    return SearchSpace(CS.ConfigurationSpace({f"x{j}": (0.0, 1.0) for j in range(d)}))


def sphere(X):
    return np.sum((X - 0.3) ** 2, axis=1)


def generations(space, loss, n, initial=None):
    """The matrices of the first n generations that our adapter proposes."""
    initial = initial or Evaluated(np.empty((0, space.d)), np.empty(0))
    task = Task(space, None, None, space.default, initial, horizon=1000)
    program, answer, asked = cma_es(task, rng()), None, []
    while len(asked) < n:
        request = program.send(answer)
        assert request.source == "cma-es"
        asked.append(request.configurations)
        answer = Evaluated(request.configurations, loss(request.configurations))
    return asked


def with_margin(space, mean):
    """The library as its users call it, on a grid of the levels' middles."""
    margin = 0.5 / space.levels
    bounds = np.stack([margin, 1 - margin], axis=1)
    population = 4 + int(3 * np.log(space.d))
    mean = np.clip(mean, *bounds.T)
    return CMAwM(mean, 1 / 6, bounds, 1 / space.levels, seed=seed(), population_size=population)


def by_hand_with_margin(space, loss, mean, n=3):
    library, asked = with_margin(space, mean), []
    for _ in range(n):
        pairs = [library.ask() for _ in range(library.population_size)]
        asked.append(np.floor(np.array([evaluated for evaluated, _ in pairs]) * space.levels))
        losses = loss(asked[-1])
        library.tell([(told, value) for (_, told), value in zip(pairs, losses, strict=True)])
    return asked


def test_the_trials_are_those_of_cmaes_driven_by_hand_on_a_grid():
    space, _, loss = table(HPOBENCH)
    proposed = generations(space, loss, 3)
    assert [len(X) for X in proposed] == [8, 8, 8]
    assert np.array_equal(proposed, by_hand_with_margin(space, loss, np.full(5, 0.5)))


@pytest.mark.yahpo
def test_the_trials_are_those_of_cmaes_driven_by_hand_on_lcbench():
    space, _, loss = table("yahpo/lcbench/3945")

    def middles(low, high):
        """Of the parts of the logarithmic range that the integers take, as ConfigSpace cuts it."""
        n = high - low + 1
        edges = np.log1p(np.arange(n + 1) / n * (high / low - 1)) / np.log(high / low)
        return (edges[1:] + edges[:-1]) / 2

    grids = {
        "batch_size": middles(16, 512),
        "max_units": middles(64, 1024),
        "num_layers": (np.arange(5) + 0.5) / 5,
    }
    whole = [j for j, name in enumerate(space.names) if name in grids]
    real = [j for j in range(7) if j not in whole]
    population = 4 + int(3 * np.log(7))
    library = CatCMAwM(
        x_space=[[0.0, 1.0]] * 4,
        z_space=[grids[space.names[j]] for j in whole],
        mean=np.full(7, 0.5),
        sigma=1 / 6,
        cov=np.eye(7),
        population_size=population,
        seed=seed(),
    )
    for X in generations(space, loss, 4):
        solutions = [library.ask() for _ in range(population)]
        U = np.empty((population, 7))
        U[:, real], U[:, whole] = [s.x for s in solutions], [s.z for s in solutions]
        assert np.allclose(X, space.from_unit(U), rtol=0, atol=1e-9)  # the middles differ by rounding
        library.tell(list(zip(solutions, loss(X), strict=True)))


def test_the_trials_are_those_of_cmaes_driven_by_hand_on_a_grid_with_categories():
    space, _, loss = table(HPOLIB)
    population = 4 + int(3 * np.log(9))
    categorical, numeric = np.flatnonzero(space.is_categorical), np.flatnonzero(~space.is_categorical)
    library = CatCMAwM(
        z_space=[(np.arange(n) + 0.5) / n for n in space.levels[numeric]],
        c_space=space.levels[categorical],
        mean=np.full(len(numeric), 0.5),
        sigma=1 / 6,
        cov=np.eye(len(numeric)),
        population_size=population,
        seed=seed(),
    )
    proposed = generations(space, loss, 3)
    for X in proposed:
        solutions = [library.ask() for _ in range(population)]
        expected = np.empty((population, 9))
        expected[:, numeric] = np.floor(np.array([s.z for s in solutions]) * space.levels[numeric])
        expected[:, categorical] = [np.argmax(s.c, axis=1) for s in solutions]
        assert np.array_equal(X, expected)
        library.tell(list(zip(solutions, loss(X), strict=True)))


def test_the_trials_are_those_of_cmaes_driven_by_hand_in_a_continuous_space():
    library = CMA(np.full(4, 0.5), 1 / 6, np.array([[0.0, 1.0]] * 4), seed=seed(), population_size=8)
    for X in generations(continuous(), sphere, 5):
        solutions = [library.ask() for _ in range(8)]
        assert np.array_equal(X, solutions)
        library.tell(list(zip(solutions, sphere(X), strict=True)))


def test_a_granted_design_moves_the_mean_to_its_best_configuration():
    space, default, loss = table(HPOBENCH)
    X = np.concatenate([space.sample(4, np.random.default_rng(0)), default[None, :]])
    losses = np.array([0.5, np.nan, 0.2, 0.4, 0.3])
    proposed = generations(space, loss, 2, Evaluated(X, losses))
    assert np.array_equal(proposed, by_hand_with_margin(space, loss, space.to_unit(X)[2], 2))
    assert not np.array_equal(proposed, generations(space, loss, 2))


def test_a_granted_design_gives_half_of_the_probability_to_its_categories():
    space, default, loss = table("nasbench201/cell/cifar100")
    initial = Evaluated(default[None, :], loss(default[None, :]))
    [first] = generations(space, loss, 1, initial)
    alone = generations(space, loss, 1)[0]
    # Of five operations the granted one has the probability 0.5 + 0.5 / 5.
    assert 0.4 < np.mean(first == default) < 0.8
    assert np.mean(alone == default) < 0.4


@pytest.mark.parametrize(("scale", "offset"), [(1e5, 0.0), (1.0, -10.0)], ids=["large", "negative"])
def test_a_failed_evaluation_counts_as_the_worst_value_seen(scale, offset):
    def some_fail(X):
        losses = scale * sphere(X) + offset
        losses[[1, 5]] = np.nan
        return losses

    library = CMA(np.full(4, 0.5), 1 / 6, np.array([[0.0, 1.0]] * 4), seed=seed(), population_size=8)
    worst = -np.inf
    for X in generations(continuous(), some_fail, 6):
        solutions = [library.ask() for _ in range(8)]
        assert np.array_equal(X, solutions)
        losses = some_fail(X)
        worst = max(worst, np.nanmax(losses))
        library.tell(list(zip(solutions, np.nan_to_num(losses, nan=worst), strict=True)))


@pytest.mark.parametrize("space", [continuous(), table(HPOBENCH)[0]], ids=["continuous", "grid"])
def test_a_restart_doubles_the_population(space):
    population = 4 + int(3 * np.log(space.d))
    sizes = [len(X) for X in generations(space, lambda X: np.ones(len(X)), 80)]
    assert sizes == sorted(sizes)
    seen = list(dict.fromkeys(sizes))
    assert seen == [population * 2**i for i in range(len(seen))]
    assert len(seen) >= 3


def test_a_restart_starts_from_another_mean():
    space = continuous()
    asked = generations(space, lambda X: np.ones(len(X)), 80)
    at = [len(X) for X in asked].index(16)
    generator = rng()
    generator.integers(2**32)
    mean, again = generator.random(4), int(generator.integers(2**32))
    library = CMA(mean, 1 / 6, np.array([[0.0, 1.0]] * 4), seed=again, population_size=16)
    assert np.array_equal(asked[at], [library.ask() for _ in range(16)])


def test_it_finds_the_minimum_of_a_bowl():
    best = min(sphere(X).min() for X in generations(continuous(), sphere, 40))
    assert best < 1e-3


def weighted():
    config_space = CS.ConfigurationSpace()
    config_space.add(
        CS.CategoricalHyperparameter("c", ["often", "rare", "rarer"], weights=[0.9, 0.06, 0.04]),
        CS.UniformFloatHyperparameter("x", 0.0, 1.0),
    )
    return SearchSpace(config_space)


def test_the_category_evaluated_is_the_one_that_the_library_chose_whatever_its_weight():
    space = weighted()
    library = CatCMAwM(
        x_space=[[0.0, 1.0]],
        c_space=[3],
        mean=np.full(1, 0.5),
        sigma=1 / 6,
        cov=np.eye(1),
        population_size=6,
        seed=seed(),
    )
    for X in generations(space, lambda X: -X[:, 0], 4):
        solutions = [library.ask() for _ in range(6)]
        assert X[:, 0].tolist() == [int(np.argmax(s.c)) for s in solutions]
        library.tell(list(zip(solutions, -X[:, 0], strict=True)))


def test_a_granted_category_is_the_one_that_is_favoured_whatever_its_weight():
    space = weighted()
    granted = Evaluated(np.array([[1.0, 0.5]]), np.array([0.0]))
    [first] = generations(space, sphere, 1, granted)
    q = np.array([[1 / 6, 0.5 + 1 / 6, 1 / 6]])
    library = CatCMAwM(
        x_space=[[0.0, 1.0]],
        c_space=[3],
        mean=np.full(1, 0.5),
        sigma=1 / 6,
        cov=np.eye(1),
        cat_param=q,
        population_size=6,
        seed=seed(),
    )
    assert first[:, 0].tolist() == [int(np.argmax(library.ask().c)) for _ in range(6)]


def test_integers_on_a_log_scale_stand_where_the_prior_has_them():
    config_space = CS.ConfigurationSpace()
    config_space.add(
        CS.UniformIntegerHyperparameter("n", 1, 10, log=True), CS.UniformFloatHyperparameter("x", 0.0, 1.0)
    )
    space = SearchSpace(config_space)
    # Integer i has the numbers whose share of the range is between i - 1 and i tenths.
    edges = np.log10(1 + 0.9 * np.arange(11))
    library = CatCMAwM(
        x_space=[[0.0, 1.0]],
        z_space=[((edges[1:] + edges[:-1]) / 2).tolist()],
        mean=np.full(2, 0.5),
        sigma=1 / 6,
        cov=np.eye(2),
        population_size=6,
        seed=seed(),
    )

    def loss(X):
        return sphere(space.to_unit(X))

    for X in generations(space, loss, 4):
        solutions = [library.ask() for _ in range(6)]
        assert np.allclose(space.to_unit(X)[:, 0], [s.z[0] for s in solutions])
        assert np.allclose(X[:, 1], [s.x[0] for s in solutions])
        library.tell(list(zip(solutions, loss(X), strict=True)))


def test_every_integer_of_a_log_scale_can_be_found():
    space = SearchSpace(
        CS.ConfigurationSpace(
            space={"n": CS.UniformIntegerHyperparameter("n", 1, 10, log=True), "x": (0.0, 1.0)}
        )
    )
    for n in (1, 2, 5, 8, 10):  # the middles of equal bins missed 5, 8 and 10

        def distance(X, n=n):
            return np.array([abs(row["n"] - n) for row in space.decode(X)]) + X[:, 1]

        assert min(np.floor(distance(X)).min() for X in generations(space, distance, 20)) == 0


def test_constants_are_left_out_of_the_search():
    config_space = CS.ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0), "z": (0.0, 1.0), "w": (0.0, 1.0)})
    config_space.add(CS.Constant("k", 7))
    with_constant = SearchSpace(config_space)
    column = with_constant.column("k")

    def loss(X):
        return sphere(np.delete(X, column, axis=1))

    for X, expected in zip(
        generations(with_constant, loss, 3), generations(continuous(), sphere, 3), strict=True
    ):
        assert np.array_equal(np.delete(X, column, axis=1), expected)
        assert with_constant.legal(X).all()
