import ConfigSpace as CS  # noqa: N817 - as its documentation does
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from surrobench.benchmarks.registry import benchmark
from surrobench.optimizers.base import Task, computed
from surrobench.optimizers.classical.optuna_study import OptunaStudy
from surrobench.optimizers.classical.tpe import tpe, tpe_multivariate, tpe_univariate
from surrobench.protocol.requests import Evaluated
from surrobench.seeding import stream
from surrobench.space.search_space import SearchSpace

N = 30


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def rng():
    return stream("optimizer", "test_tpe")


def table(id):  # noqa: A002
    where = benchmark(id)

    def loss(X):
        return where.objective.sign * where.evaluate(X)[where.objective.name]

    return where, loss


def ours(space, loss, n=N, initial=None, method=tpe, **parameters):
    """Shape (n, d): what our adapter proposes."""
    initial = initial or Evaluated(np.empty((0, space.d)), np.empty(0))
    task = Task(space, None, None, space.default, initial, horizon=n)
    program, answer, rows = computed(method(task, rng(), **parameters)), None, []
    while len(rows) < n:
        request = program.send(answer)
        assert request.source == method.__name__.replace("_", "-")
        assert len(request.configurations) == 1
        rows.append(request.configurations[0])
        answer = Evaluated(request.configurations, loss(request.configurations))
    return np.array(rows)


def study(**settings):
    """Optuna as its users drive it, with the seed that our adapter gives it."""
    return optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=int(rng().integers(2**32)), **settings)
    )


def distribution(space, j):
    """For tables: ordinal hyperparameters are integers, categorical ones their indices."""
    last = int(space.levels[j]) - 1
    return CategoricalDistribution(range(last + 1)) if space.is_categorical[j] else IntDistribution(0, last)


def by_hand(space, loss, driven, n=N):
    rows = []
    for _ in range(n):
        trial = driven.ask({name: distribution(space, j) for j, name in enumerate(space.names)})
        rows.append([float(trial.params[name]) for name in space.names])
        driven.tell(trial, loss(np.array(rows[-1:]))[0])
    return np.array(rows)


@pytest.mark.parametrize("id", ["hpobench/mlp/australian", "hpolib/fcnet/naval_propulsion"])
def test_the_trials_are_those_of_optuna_driven_by_hand(id):  # noqa: A002
    where, loss = table(id)
    assert np.array_equal(ours(where.space, loss), by_hand(where.space, loss, study()))


def test_the_trials_are_those_of_optuna_driven_by_hand_on_a_conditional_space():
    config_space = CS.ConfigurationSpace()
    kind = CS.CategoricalHyperparameter("kind", ["a", "b"])
    rate = CS.UniformFloatHyperparameter("rate", 0.25, 0.75)
    config_space.add(
        kind,
        CS.UniformFloatHyperparameter("lr", 1e-5, 1.0, log=True),
        CS.UniformIntegerHyperparameter("depth", 1, 12),
        CS.UniformIntegerHyperparameter("width", 4, 512, log=True),
        rate,
        CS.Constant("threads", 2),
    )
    config_space.add(CS.EqualsCondition(rate, kind, "b"))
    space = SearchSpace(config_space)

    def loss(X):
        [row] = space.decode(X)
        return np.array([(np.log(row["lr"]) + 4) ** 2 + row["depth"] / row["width"] + row.get("rate", 0.5)])

    driven, expected = study(), []
    for _ in range(N):
        trial, row = driven.ask(), {}
        for name in space.names:
            if name == "kind":
                row[name] = ["a", "b"][trial.suggest_categorical(name, range(2))]
            elif name == "lr":
                row[name] = trial.suggest_float(name, 1e-5, 1.0, log=True)
            elif name == "depth":
                row[name] = trial.suggest_int(name, 1, 12)
            elif name == "width":
                row[name] = trial.suggest_int(name, 4, 512, log=True)
            elif name == "threads":
                row[name] = [2][trial.suggest_int(name, 0, 0)]
            elif row["kind"] == "b":
                row[name] = trial.suggest_float(name, 0.25, 0.75)
        expected.append(row)
        driven.tell(trial, loss(space.encode([row]))[0])
    proposed = ours(space, loss)
    assert np.allclose(proposed, space.encode(expected), rtol=0, atol=1e-12, equal_nan=True)
    assert 0 < np.isnan(proposed).sum() < N


VARIANTS = {
    tpe: {},
    tpe_multivariate: {"multivariate": True, "group": True},
    tpe_univariate: {"multivariate": False},
}


@pytest.mark.yahpo
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("method", VARIANTS)
def test_the_trials_are_those_of_optuna_driven_by_hand_on_rbv2_xgboost(method):
    where, loss = table("yahpo/rbv2_xgboost/3")
    trees, darts = {"gbtree", "dart"}, {"dart"}
    ranges = {  # lowest, highest, whether on a log scale, and of which boosters
        "alpha": (9.118819656e-4, 1096.6331584284585, True, None),
        "colsample_bylevel": (0.01, 1.0, False, trees),
        "colsample_bytree": (0.01, 1.0, False, trees),
        "eta": (9.118819656e-4, 1.0, True, trees),
        "gamma": (4.53999298e-5, 7.3890560989306, True, trees),
        "lambda": (9.118819656e-4, 1096.6331584284585, True, None),
        "max_depth": (1, 15, False, trees),
        "min_child_weight": (2.718281828459, 148.4131591025766, True, trees),
        "nrounds": (7, 2981, True, None),
        "rate_drop": (0.0, 1.0, False, darts),
        "skip_drop": (0.0, 1.0, False, darts),
        "subsample": (0.1, 1.0, False, None),
    }
    choices = {
        "booster": ["gblinear", "gbtree", "dart"],
        "num.impute.selected.cpo": ["impute.mean", "impute.median", "impute.hist"],
    }
    assert set(where.space.names) == {*ranges, *choices}
    driven, expected = study(**VARIANTS[method]), []
    for _ in range(N):
        trial, row = driven.ask(), {}
        for name in where.space.names:  # in ConfigSpace's order, parents first
            if name in choices:
                row[name] = choices[name][trial.suggest_categorical(name, range(3))]
                continue
            low, high, log, boosters = ranges[name]
            if boosters is None or row["booster"] in boosters:
                suggest = trial.suggest_int if isinstance(low, int) else trial.suggest_float
                row[name] = suggest(name, low, high, log=log)
        expected.append(row)
        driven.tell(trial, loss(where.space.encode([row]))[0])
    proposed = ours(where.space, loss, method=method)
    assert np.allclose(proposed, where.space.encode(expected), rtol=0, atol=1e-9, equal_nan=True)


def test_the_default_is_multivariate_and_the_variants_are_what_they_say():
    """Of a space without conditions Optuna 5.0 makes the same of its defaults and of the joint variant."""
    where, loss = table("hpobench/mlp/car")
    assert np.array_equal(ours(where.space, loss), ours(where.space, loss, method=tpe_multivariate))
    alone = ours(where.space, loss, method=tpe_univariate)
    assert np.array_equal(alone, by_hand(where.space, loss, study(multivariate=False)))
    assert not np.array_equal(alone, ours(where.space, loss))


@pytest.mark.parametrize("granted", [3, 12])
def test_granted_trials_are_in_the_study_and_count_as_start_up_trials(granted):
    where, loss = table("hpolib/fcnet/protein_structure")
    X = where.space.sample(granted, np.random.default_rng(0))
    initial = Evaluated(X, loss(X))
    driven = study()
    for x, value in zip(X, initial.losses, strict=True):
        distributions = {name: distribution(where.space, j) for j, name in enumerate(where.space.names)}
        params = {name: int(index) for name, index in zip(where.space.names, x, strict=True)}
        driven.add_trial(create_trial(params=params, distributions=distributions, value=value))
    proposed = ours(where.space, loss, initial=initial)
    assert np.array_equal(proposed, by_hand(where.space, loss, driven))
    assert not np.array_equal(proposed, ours(where.space, loss))


def test_a_failed_granted_trial_is_not_in_the_study():
    where, loss = table("hpobench/mlp/car")
    X = where.space.sample(12, np.random.default_rng(0))
    losses = loss(X)
    losses[[2, 7]] = np.nan
    kept = np.isfinite(losses)
    with_failed = ours(where.space, loss, initial=Evaluated(X, losses))
    without = ours(where.space, loss, initial=Evaluated(X[kept], losses[kept]))
    assert np.array_equal(with_failed, without)


def test_a_failed_evaluation_is_told_as_such():
    where, loss = table("hpobench/mlp/car")
    space, seen = where.space, 0

    def failing(X):
        nonlocal seen
        seen += 1
        return loss(X) if seen % 4 else np.array([np.nan])

    proposed = ours(space, failing)
    driven, expected = study(), []
    for i in range(N):
        trial = driven.ask({name: distribution(space, j) for j, name in enumerate(space.names)})
        expected.append([float(trial.params[name]) for name in space.names])
        if (i + 1) % 4:
            driven.tell(trial, loss(np.array(expected[-1:]))[0])
        else:
            driven.tell(trial, state=TrialState.FAIL)
    assert np.array_equal(proposed, expected)


def test_the_start_up_trials_do_not_depend_on_what_is_observed_and_the_others_do():
    where, loss = table("hpobench/mlp/car")
    one, other = ours(where.space, loss), ours(where.space, lambda X: -loss(X))
    assert np.array_equal(one[:10], other[:10])
    assert not np.array_equal(one, other)
    longer = ours(where.space, lambda X: -loss(X), startup=20)
    assert np.array_equal(longer[:20], ours(where.space, loss, startup=20)[:20])


def test_a_configuration_that_a_table_with_gaps_had_no_row_for_is_told_as_the_one_evaluated():
    where, loss = table("hpobench/mlp/car")
    none = Evaluated(np.empty((0, where.space.d)), np.empty(0))
    task = Task(where.space, None, None, where.space.default, none, horizon=9)
    library = OptunaStudy(task, optuna.samplers.TPESampler(seed=0))
    asked = library.ask()
    near = asked.copy()
    near[0, 0] = (near[0, 0] + 1) % where.space.levels[0]
    library.tell(near, loss(near))
    proposed, evaluated = library._study.trials
    assert (proposed.state, evaluated.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert [evaluated.params[name] for name in where.space.names] == near[0].tolist()
    assert evaluated.value == loss(near)[0]
