"""What every scenario promises: those of the registry, and a table that a user brings."""

import numpy as np
import pytest

from surrobench.benchmarks.registry import FAMILIES, benchmark, known, scenario, scenarios
from surrobench.seeding import stream
from tests.own_tables import own_ids

M = 60
OWN = own_ids()


def marked(name):
    """A scenario or benchmark as a test's parameter."""
    family = name.partition("/")[0]
    return pytest.param(name, marks=[pytest.mark.yahpo] if family == "yahpo" else [])


def examples():
    """The ids of all tables, and of a few instances of each surrogate: there are hundreds."""
    ids = [*OWN]
    for key in scenarios():
        mine = [f"{key}/{instance}" for instance in scenario(key).instances]
        ids += mine[:: max(1, len(mine) // 3)] if key.partition("/")[0] in FAMILIES else mine
    return [marked(id_) for id_ in ids]


@pytest.fixture(params=map(marked, [*scenarios(), OWN[0].rpartition("/")[0]]))
def opened(request):
    return scenario(request.param)


def batch(opened, m=M, seed=0):
    """Random configurations on all instances in turn, with their noise keys."""
    rng = np.random.default_rng(seed)
    keys = stream("test", seed).integers(2**64, size=m, dtype=np.uint64)
    return opened.space.sample(m, rng), np.arange(m) % len(opened.instances), keys


def test_a_scenario_is_named_as_it_is_registered():
    for key in scenarios():
        assert scenario(key).key == key
        assert scenario(key) is scenario(key)
    assert [benchmark(id).id for id in known()] == known()  # noqa: A001
    assert len(set(known())) == len(known())


def test_columns_have_a_row_for_each_configuration(opened):
    X, instances, keys = batch(opened)
    for noise in (None, keys):
        columns = opened.evaluate(X, instances, noise)
        assert columns.values.shape == (M, len(opened.objectives))
        assert columns.score.shape == columns.cost.shape == (M,)


def test_an_empty_batch_has_no_rows(opened):
    X, instances, keys = batch(opened, m=0)
    for noise in (None, keys):
        columns = opened.evaluate(X, instances, noise)
        assert columns.values.shape == (0, len(opened.objectives))
        assert columns.score.shape == columns.cost.shape == (0,)


def test_values_are_finite_and_cost_is_positive(opened):
    X, instances, keys = batch(opened, m=1000)
    for noise in (None, keys):
        columns = opened.evaluate(X, instances, noise)
        assert np.isfinite(columns.values).all()
        assert np.isfinite(columns.score).all()
        assert (columns.cost > 0).all()
        assert np.isfinite(columns.cost).all()


@pytest.mark.parametrize("noisy", [False, True], ids=["mean", "noise"])
def test_a_value_does_not_depend_on_what_else_is_in_the_batch(opened, noisy):
    X, instances, keys = batch(opened)

    def evaluate(rows):
        columns = opened.evaluate(X[rows], instances[rows], keys[rows] if noisy else None)
        return np.column_stack([columns.values, columns.score, columns.cost])

    together = evaluate(np.arange(M))
    order = np.random.default_rng(1).permutation(M)
    assert np.array_equal(evaluate(order), together[order])
    assert np.array_equal(evaluate(np.repeat(order, 2)), together[np.repeat(order, 2)])
    for sizes in ([1] * 5, [2, 7, 3]):
        parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
        assert np.array_equal(np.concatenate([evaluate(part) for part in parts]), together[: sum(sizes)])


def test_what_is_told_back_is_legal_and_is_what_was_evaluated(opened):
    X, instances, keys = batch(opened)
    legal, told = opened.snap(X, instances)
    assert legal.all()
    assert opened.space.legal(told).all()
    assert np.array_equal(opened.snap(told, instances)[1], told, equal_nan=True)
    for noise in (None, keys):
        asked, again = opened.evaluate(X, instances, noise), opened.evaluate(told, instances, noise)
        assert np.array_equal(asked.values, again.values)
    illegal = X.copy()
    illegal[0], illegal[1] = np.nan, np.inf
    assert opened.snap(illegal, instances)[0].tolist()[:3] == [False, False, True]


def test_evaluating_changes_nothing_in_its_arguments(opened):
    X, instances, keys = batch(opened)
    before = X.copy(), instances.copy(), keys.copy()
    opened.evaluate(X, instances, keys)
    for now, then in zip((X, instances, keys), before, strict=True):
        assert np.array_equal(now, then, equal_nan=True)


def test_values_can_be_changed_without_changing_the_benchmark(opened):
    X, instances, _ = batch(opened)
    columns = opened.evaluate(X, instances, None)
    expected = columns.values.copy()
    for array in (columns.values, columns.score, columns.cost):
        array[:] = -1.0
    assert np.array_equal(opened.evaluate(X, instances, None).values, expected)


def test_instances_differ(opened):
    X = np.repeat(opened.space.sample(1, np.random.default_rng(0)), len(opened.instances), axis=0)
    columns = opened.evaluate(X, np.arange(len(X)), None)
    assert len(set(columns.score.tolist())) > 1 or len(X) == 1


def test_the_version_is_a_whole_number(opened):
    assert type(opened.version) is int
    assert opened.version >= 1


def test_the_default_is_a_legal_configuration_of_stated_origin(opened):
    default = opened.default()
    assert default.shape == (opened.space.d,)
    assert opened.space.legal(default[None, :]).all()
    assert opened.default_origin.strip()


def test_objectives_have_different_names_and_labels(opened):
    names = [objective.name for objective in opened.objectives]
    assert len(set(names)) == len(names)
    assert "cost" not in names
    assert opened.objectives[opened.target_index].name == opened.target
    assert all(objective.label.strip() for objective in opened.objectives)


def test_a_test_counterpart_is_another_objective_of_the_same_direction(opened):
    known = {objective.name: objective.minimize for objective in opened.objectives}
    for name, test in opened.test_counterpart.items():
        assert name != test
        assert known[name] == known[test]
    assert opened.test_objective in {None, *known}


@pytest.mark.parametrize("id", examples())
def test_the_task_card_is_filled(id):  # noqa: A002
    where = benchmark(id)
    card = where.card
    assert card.learner.strip()
    assert card.dataset.strip()
    assert card.rows is None or card.rows > 0
    assert card.features is None or card.features > 0
    if card.classes is None:
        assert card.task in {"regression", "classification", "task not stated"}
    else:
        assert card.classes >= 2
        assert card.task == f"classification with {card.classes} classes"
    assert (card.metric, card.minimize) == (where.objective.label, where.objective.minimize)


@pytest.mark.parametrize("id", examples())
def test_reference_values_are_losses_that_enclose_every_score(id):  # noqa: A002
    where = benchmark(id)
    reference = where.reference
    assert reference.best < reference.median < reference.worst
    assert (np.diff(reference.sorted_losses) >= 0).all()
    X = where.space.sample(500, np.random.default_rng(0))
    losses = where.objective.sign * where.evaluate(X)[where.objective.name]
    if reference.exact:
        assert reference.best <= np.min(losses)
        assert np.max(losses) <= reference.worst
    # About half of the space is better than the median: in losses, whatever the direction.
    assert 0.4 < np.mean(losses <= reference.median) < 0.6


@pytest.mark.parametrize("id", examples())
def test_configurations_may_be_given_by_name(id):  # noqa: A002
    where = benchmark(id)
    X = where.space.sample(5, np.random.default_rng(0))
    by_name, by_vector = where.evaluate(where.space.decode(X)), where.evaluate(X)
    assert list(by_name) == [objective.name for objective in where.scenario.objectives] + ["cost"]
    assert all(np.array_equal(by_name[column], by_vector[column]) for column in by_vector)


def test_fidelities_are_legal_and_full_by_default(opened):
    assert [f.name for f in opened.fidelities] == list(dict.fromkeys(f.name for f in opened.fidelities))
    for fidelity in opened.fidelities:
        assert fidelity.lower <= fidelity.useful[0] < fidelity.useful[1] <= fidelity.upper
        assert fidelity.full in {fidelity.lower, fidelity.upper}
        assert fidelity.label.strip()
    X, instances, keys = batch(opened)
    default, full = (
        opened.evaluate(X, instances, keys, at) for at in (None, np.tile(opened.full_fidelity, (M, 1)))
    )
    assert np.array_equal(default.values, full.values)
    if opened.fidelities:
        assert np.array_equal(default.fidelity, np.tile(opened.full_fidelity, (M, 1)))
    else:
        assert default.fidelity is None


def test_a_fidelity_is_evaluated_row_by_row(opened):
    if not opened.fidelities:
        pytest.skip("it has none")
    X, instances, keys = batch(opened)
    low = opened.fidelity_row({f.name: f.useful[0] for f in opened.fidelities})
    mixed = np.where(np.arange(M)[:, None] % 2, low, opened.full_fidelity)
    together = opened.evaluate(X, instances, keys, mixed)
    assert np.array_equal(together.fidelity, mixed)
    for row in (low, opened.full_fidelity):
        rows = (mixed == row).all(axis=1)
        alone = opened.evaluate(X[rows], instances[rows], keys[rows], mixed[rows])
        assert np.array_equal(alone.values, together.values[rows])
        assert np.array_equal(alone.cost, together.cost[rows])
    assert not np.array_equal(together.cost, opened.evaluate(X, instances, keys, None).cost)
