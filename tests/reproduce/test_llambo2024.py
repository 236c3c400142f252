"""LLAMBO's recorded runs: the orientation figures that came with them, and its place among our methods."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.errors import ResultsError
from surrobench.paths import data_dir
from surrobench.reproduce import Means, llambo2024
from surrobench.suite.loading import load_suite
from surrobench.suite.schema import Suite
from tests.studies import trials

# Source: the note that came with the trials, computed independently from the authors' files: mean normalised
# regret after the start, of the first proposal, after 30 trials, and of random search (200 repetitions of
# each seed); then the share of better configurations of the first proposal and after 30 trials.
ORIENTATION = {
    "australian": (0.0221, 0.2944, 0.0113, 0.0145, 0.422, 0.0113),
    "blood_transfusion": (0.2257, 0.1996, 0.0717, 0.1460, 0.067, 0.0020),
    "car": (0.0021, 0.1771, 0.0010, 0.0011, 0.404, 0.0188),
    "credit_g": (0.0317, 0.0430, 0.0160, 0.0207, 0.177, 0.0081),
    "kc1": (0.1157, 0.2146, 0.0222, 0.0526, 0.191, 0.0022),
    "phoneme": (0.0665, 0.1452, 0.0065, 0.0296, 0.173, 0.0016),
    "segment": (0.0119, 0.3477, 0.0057, 0.0078, 0.413, 0.0091),
    "vehicle": (0.0143, 0.4356, 0.0051, 0.0082, 0.544, 0.0100),
}
KEPT = ("llambo", "random", "sobol", "tpe", "cma-es")
"""Methods that the tests run: the dear ones are left out."""


@pytest.fixture(scope="module")
def data() -> dict[str, llambo2024.DataSet]:
    return {one.name: one for one in llambo2024.data_sets()}


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, float]]:
    sheet = next(llambo2024.reproduce(Means()))
    keys = [column.key for column in sheet.columns]
    return {str(row[0].value): {k: c.value for k, c in zip(keys, row, strict=True)} for row in sheet.rows}


def test_the_figures_are_those_of_the_orientation_table(recorded):
    assert set(recorded) == set(ORIENTATION)
    for name, (start, first, llambo, _, first_better, llambo_better) in ORIENTATION.items():
        row = recorded[name]
        regrets = [row["after_start"], row["first"], row["llambo"]]
        assert np.round(regrets, 4).tolist() == [start, first, llambo], name
        assert row["first_better"] == pytest.approx(first_better, abs=6e-4)
        assert row["llambo_better"] == pytest.approx(llambo_better, abs=6e-5)


def test_random_searchs_expectation_is_what_simulation_and_the_orientation_table_give(data, recorded):
    rng = np.random.default_rng(0)
    for name, one in data.items():
        draws = rng.integers(len(one.reference), size=(2000, 5, 25))
        simulated = one.regret(np.minimum(one.reference[draws].min(axis=2), one.after_start)).mean(axis=1)
        spread, expected = simulated.std(), recorded[name]["random"]
        assert expected == pytest.approx(simulated.mean(), abs=4 * spread / 2000**0.5)
        # Over 200 repetitions; printed with four digits.
        assert expected == pytest.approx(ORIENTATION[name][3], abs=4 * spread / 200**0.5 + 5e-5), name


def test_the_trials_are_the_published_ones(data):
    assert {one.start.shape for one in data.values()} == {(5, 5)}
    assert {one.proposed.shape for one in data.values()} == {(5, 25)}
    start = pl.read_csv(data_dir("results/published") / "llambo2024" / "start.csv")
    # The starts are shared across data sets, as the notes say.
    per_seed = start.select("seed", "trial", pl.col("^config.*$")).unique()
    assert len(per_seed) == 25


def test_plain_and_balanced_accuracy_agree_where_classes_are_balanced(data):
    order = [one.name for one in llambo2024.data_sets()]
    assert tuple(order[:3]) == llambo2024.NEARLY_BALANCED
    assert data["australian"].agreement == pytest.approx(0.996, abs=5e-4)
    assert data["segment"].agreement > 0.9995
    assert data["vehicle"].agreement > 0.9995
    assert data["car"].agreement < 0.97


# ---------------------------------------------------------------------- our side


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The sheets by name, with the cheap methods only, and the results folder."""
    out = tmp_path_factory.mktemp("llambo") / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llambo2024, "load_suite", _cheap)
        yield {sheet.key: sheet for sheet in llambo2024.reproduce(Means(out))}, out


def _cheap(name: str) -> tuple[Suite, str]:
    suite, text = load_suite(name)
    return suite.model_copy(update={"optimizers": {label: suite.optimizers[label] for label in KEPT}}), text


def test_every_method_starts_from_the_very_same_configurations(ran, data):
    got = trials(ran[1], "hpobench/mlp")
    assert len(got) == 8 * 5 * 30 * len(KEPT)
    start = got.filter(pl.col("trial") < 5)
    assert set(start["source"]) == {"initial"}
    assert start.select("benchmark", "seed", "trial", pl.col("^config.*$")).n_unique() == 8 * 5 * 5
    for name, one in data.items():
        mine = start.filter(pl.col("benchmark") == f"hpobench/mlp/{name}", pl.col("optimizer") == "tpe")
        assert np.array_equal(-mine.sort("seed", "trial")["value"].to_numpy().reshape(5, 5), one.start)


def test_the_suites_llambo_is_the_published_one(ran, data):
    sheet = ran[0]["all"]
    [row] = [row for row in sheet.rows if row[0].value == "llambo"]
    assert row[0].text == "LLAMBO (GPT-3.5)"
    assert row[1].value == pytest.approx(np.mean([one.regret(one.final).mean() for one in data.values()]))
    assert {str(row[0].value) for row in sheet.rows} == set(KEPT)


def test_groups_of_data_sets_are_apart_and_add_up(ran):
    everyone, balanced, others = (ran[0][key] for key in ("all", "balanced", "others"))
    for method in KEPT:
        a, b, c = (
            next(row[3].value for row in sheet.rows if row[0].value == method)
            for sheet in (everyone, balanced, others)
        )
        assert 8 * a == pytest.approx(3 * b + 5 * c)


def test_intervals_are_over_starts_and_there_is_no_p(ran):
    from scipy import stats

    got = trials(ran[1], "hpobench/mlp").with_columns(loss=-pl.col("score"))
    best = got.group_by("optimizer", "benchmark", "seed").agg(pl.col("loss").min())
    per_seed = {}
    for method in ("tpe", "llambo"):
        seeds = []
        for seed in range(5):
            mine = best.filter(pl.col("optimizer") == method, pl.col("seed") == seed)
            values = []
            for name, loss in mine.select("benchmark", "loss").iter_rows():
                losses = benchmark(name).reference.sorted_losses
                better, ties = (losses < loss).sum(), (losses == loss).sum()
                values.append(100 * (better + ties / 2 + 1) / (len(losses) + 1))
            seeds.append(np.mean(values))
        per_seed[method] = np.array(seeds)
    difference = per_seed["tpe"] - per_seed["llambo"]
    low, high = stats.ttest_1samp(difference, 0.0).confidence_interval()
    [row] = [row for row in ran[0]["all"].rows if row[0].value == "tpe"]
    assert row[3].value == pytest.approx(per_seed["tpe"].mean())
    assert row[6].value == pytest.approx(difference.mean())
    assert row[7].value == pytest.approx((high - low) / 2)
    assert not any(
        column.key == "p" or "p_" in column.key for sheet in ran[0].values() for column in sheet.columns
    )


def test_what_differs_for_llambo_is_said(ran):
    for key in ("recorded", "by_data_set"):
        assert any("LLAMBO optimized plain accuracy" in note for note in ran[0][key].notes)
    assert any("same on every data set" in note and "no p-values" in note for note in ran[0]["all"].notes)


def test_a_second_time_nothing_is_run(ran, monkeypatch):
    monkeypatch.setattr(llambo2024, "load_suite", _cheap)

    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("it runs again")

    monkeypatch.setattr("surrobench.execution.shards.drive", refuse)
    again = list(llambo2024.reproduce(Means(ran[1])))
    assert again == list(ran[0].values())


def test_failed_runs_are_one_line(tmp_path, monkeypatch):
    def failing(name: str) -> tuple[Suite, str]:
        suite, text = _cheap(name)
        return suite.model_copy(update={"benchmarks": ["hpobench/mlp/car"]}), text

    monkeypatch.setattr(llambo2024, "load_suite", failing)
    monkeypatch.setattr("surrobench.optimizers.classical.sobol._BATCH", None)
    with pytest.raises(ResultsError, match="5 runs failed: ") as caught:
        list(llambo2024.reproduce(Means(tmp_path / "out")))
    assert "\n" not in str(caught.value)
