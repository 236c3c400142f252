import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest
from cmaes import CMA, CatCMAwM, CMAwM

from surrobench.benchmarks import benchmark
from surrobench.optimizers.base import Task
from surrobench.optimizers.cma_es import cma_es
from surrobench.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space import SearchSpace

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
    whole = np.array([name in ("batch_size", "max_units", "num_layers") for name in space.names])
    count = np.where(whole, [{"batch_size": 497, "max_units": 961}.get(name, 5) for name in space.names], 1)
    margin = np.where(whole, 0.5 / count, 0.0)
    library = CMAwM(
        np.full(7, 0.5),
        1 / 6,
        np.stack([margin, 1 - margin], axis=1),
        np.where(whole, 1 / count, 0.0),
        seed=seed(),
        population_size=4 + int(3 * np.log(7)),
    )
    for X in generations(space, loss, 4):
        pairs = [library.ask() for _ in range(library.population_size)]
        assert np.array_equal(X, space.from_unit(np.array([evaluated for evaluated, _ in pairs])))
        library.tell([(told, value) for (_, told), value in zip(pairs, loss(X), strict=True)])


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
