import warnings

import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.base import Task
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace

ng = pytest.importorskip(
    "nevergrad", reason="nevergrad is not installed: pip install 'surrobench[nevergrad]'"
)

from surrobench.optimizers.classical.ngopt import ngopt  # noqa: E402 - after the skip


def rng():
    return stream("optimizer", "test_ngopt")


def continuous(d=2):
    return SearchSpace(CS.ConfigurationSpace({f"x{j}": (0.0, 1.0) for j in range(d)}))


def sphere(X):
    return np.sum((X - 0.3) ** 2, axis=1)


def ours(space, loss, n, initial=None, horizon=None):
    """Shape (n, d): what our adapter proposes."""
    initial = initial or Evaluated(np.empty((0, space.d)), np.empty(0))
    program = ngopt(Task(space, None, None, space.default, initial, horizon=horizon or n), rng())
    answer, rows = None, []
    for _ in range(n):
        request = program.send(answer)
        rows.extend(request.configurations)
        answer = Evaluated(request.configurations, loss(request.configurations))
    return np.array(rows)


def test_the_trials_are_those_of_nevergrad_driven_by_hand_on_a_table():
    where = benchmark("hpolib/fcnet/protein_structure")
    space = where.space

    def loss(X):
        return where.objective.sign * where.evaluate(X)[where.objective.name]

    proposed = ours(space, loss, 20)
    seeds = rng().integers(2**32, size=2).tolist()
    parameters = {
        str(j): ng.p.Choice(list(range(levels)))
        if space.is_categorical[j]
        else ng.p.Scalar(lower=0, upper=levels - 1).set_integer_casting()
        for j, levels in enumerate(space.levels.tolist())
    }
    parametrization = ng.p.Dict(**parameters)
    parametrization.random_state = np.random.RandomState(seeds[0])
    np.random.seed(seeds[1])  # noqa: NPY002 - some of its methods draw from there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library, expected = ng.optimizers.NGOpt(parametrization, budget=20), []
        for _ in range(20):
            candidate = library.ask()
            expected.append([float(candidate.value[str(j)]) for j in range(space.d)])
            library.tell(candidate, loss(np.array(expected[-1:]))[0])
    assert np.array_equal(proposed, expected)


def test_numpys_global_generator_is_neither_used_nor_moved():
    np.random.seed(1)  # noqa: NPY002
    one = ours(continuous(), sphere, 30, horizon=200)
    np.random.seed(2)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert np.array_equal(ours(continuous(), sphere, 30, horizon=200), one)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_best_granted_configuration_is_where_cobyla_starts():
    space = continuous(4)
    X = np.array([[0.1, 0.2, 0.3, 0.4], [0.9, 0.9, 0.9, 0.9]])
    proposed = ours(space, sphere, 10, Evaluated(X, sphere(X)))
    assert np.allclose(proposed[0], X[0])
    assert np.allclose(ours(space, sphere, 10)[0], 0.5)


def test_a_budget_for_its_surrogate_is_survived_beside_a_new_numpy():
    """Nevergrad 1.0.12 calls float() on an array there, which numpy 2.4 refuses."""
    assert sphere(ours(continuous(3), sphere, 200)).min() < 1e-4
