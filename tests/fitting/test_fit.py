"""From past trials to a benchmark: what is fitted, what is said of it, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import surrobench
from surrobench.benchmarks.fitted.features import Features
from surrobench.errors import DataError
from surrobench.fitting.candidates import Fit, candidates
from surrobench.fitting.export import as_onnx, differs
from surrobench.fitting.fit import Surrogate, fit, refuse_if_poor
from surrobench.fitting.selection import folds, rank_correlation
from surrobench.past_trials import description
from surrobench.space.search_space import SearchSpace
from tests.fitting.problems import conditional_trials, smooth, smooth_trials
from tests.studies import surrobench as command

pytest.importorskip("skl2onnx")


@pytest.fixture(scope="module")
def of_smooth() -> Surrogate:
    return fit(smooth_trials(80, 2))


@pytest.fixture(scope="module")
def smooth_folder(of_smooth: Surrogate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "ours"
    of_smooth.write(folder)
    return folder


@pytest.fixture(scope="module")
def conditional_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "cond"
    fit(conditional_trials(70)).write(folder)
    return folder


# ---------------------------------------------------------------------- models


@pytest.mark.parametrize("name", candidates(1))
def test_the_onnx_model_is_the_fitted_one(name: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.random((150, 3))
    fitted = Fit(candidates(1)[name](3, 0), X, 50 + 7 * smooth(X))
    assert differs(fitted, as_onnx(fitted, 3), rng.random((10_000, 3))) < 1e-5


def test_a_configuration_is_never_on_both_sides() -> None:
    group = np.repeat(np.arange(20), [1, 2, 3, 4] * 5)
    tested = []
    for train, test in folds(group, 5, seed=3):
        assert not set(group[train]) & set(group[test])
        tested += test.tolist()
    assert sorted(tested) == list(range(len(group)))


def test_rank_correlation_is_spearmans() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 50).astype(float), rng.random(50)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(a, np.ones(50)) == 0.0


def test_features_say_what_is_inactive() -> None:
    space = SearchSpace(conditional_trials(1).space)
    X = space.encode([{"kind": "tree", "depth": 5, "rate": 1e-2}, {"kind": "line", "rate": 1e-2}])
    found = Features(space, None)(X)
    assert found.shape == (2, 5)  # depth, rate, two kinds, and whether depth is inactive
    assert np.isfinite(found).all()
    assert found[:, -1].tolist() == [0.0, 1.0]


# ---------------------------------------------------------------------- quality


def test_the_report_is_true_of_a_smooth_loss(of_smooth: Surrogate) -> None:
    found = of_smooth.quality
    assert found.rank_correlation.value > 0.95
    assert found.rank_correlation.low <= found.rank_correlation.value <= found.rank_correlation.high
    assert found.r2.value > 0.9
    assert 0.75 <= found.coverage.value <= 1.0
    assert found.noise == pytest.approx(0.02, rel=0.6)
    assert found.choice <= 0.05
    refuse_if_poor(of_smooth, accept=False)


def test_pure_noise_is_refused_unless_it_is_accepted_by_name() -> None:
    trials = smooth_trials(60, 2)
    noise = np.random.default_rng(5).normal(size=60)
    surrogate = fit(replace(trials, frame=trials.frame.with_columns(pl.Series("minimize.loss", noise))))
    assert surrogate.quality.rank_correlation.value < 0.5
    with pytest.raises(DataError, match="would mislead"):
        refuse_if_poor(surrogate, accept=False)
    refuse_if_poor(surrogate, accept=True)


def test_repetitions_say_what_is_noise() -> None:
    once, again = smooth_trials(40, 2, seed=1), smooth_trials(40, 2, seed=1)
    shifted = again.frame.with_columns(
        pl.col("minimize.loss") + pl.Series(np.random.default_rng(9).normal(0, 0.1, 40)), repetition=1
    )
    frame = pl.concat([once.frame.with_columns(repetition=pl.lit(0)), shifted], how="vertical_relaxed")
    found = fit(replace(once, frame=frame)).quality
    assert found.noise_source == "repetitions"
    assert found.noise == pytest.approx(0.1 / np.sqrt(2), rel=0.35)


def test_noise_that_differs_from_place_to_place_is_noticed() -> None:
    trials = smooth_trials(300, 2, noise=0.0)
    x = trials.frame["config.x0"].to_numpy()
    noisy = trials.frame["minimize.loss"].to_numpy() + np.random.default_rng(2).normal(
        0, 0.01 + 0.5 * (x > 0.5)
    )
    surrogate = fit(replace(trials, frame=trials.frame.with_columns(pl.Series("minimize.loss", noisy))))
    assert surrogate.facts.objectives[0].noise_model is not None


# ---------------------------------------------------------------------- what is refused


def test_too_few_trials() -> None:
    with pytest.raises(DataError, match="20 usable trials, and a surrogate needs 30"):
        fit(smooth_trials(20))


def test_a_constant_objective() -> None:
    trials = smooth_trials(50)
    with pytest.raises(DataError, match="have the same loss: 3"):
        fit(replace(trials, frame=trials.frame.with_columns(pl.lit(3.0).alias("minimize.loss"))))


def test_all_failed() -> None:
    trials = smooth_trials(50)
    frame = trials.frame.with_columns(
        pl.lit(True).alias("failed"), pl.lit(None, pl.Float64).alias("minimize.loss")
    )
    with pytest.raises(DataError, match=r"0 usable trials.*50 failed"):
        fit(replace(trials, frame=frame))


# ---------------------------------------------------------------------- the benchmark


def test_the_benchmark_predicts_the_loss(smooth_folder: Path) -> None:
    where = surrobench.benchmark(f"fitted:{smooth_folder}")
    X = np.random.default_rng(7).random((200, 2))
    answer = where.evaluate(X)
    assert rank_correlation(answer["loss"], smooth(X)) > 0.97
    assert np.corrcoef(answer["cost"], np.exp(1 + X[:, 0]))[0, 1] > 0.9


def test_noise_belongs_to_the_key_and_the_configuration(smooth_folder: Path) -> None:
    where = surrobench.benchmark(f"fitted:{smooth_folder}")
    X, keys = np.random.default_rng(7).random((400, 2)), np.full(400, 11, dtype=np.uint64)
    one = where.evaluate(X, keys)["loss"]
    assert np.array_equal(where.evaluate(X[::-1], keys)["loss"][::-1], one)
    assert not np.array_equal(where.evaluate(X, keys + np.uint64(1))["loss"], one)
    assert np.std(one - where.evaluate(X)["loss"]) == pytest.approx(0.02, rel=0.7)


def test_the_same_trials_give_the_same_surrogate(of_smooth: Surrogate) -> None:
    assert fit(smooth_trials(80, 2)).files == of_smooth.files


def test_a_conditional_multi_fidelity_surrogate(conditional_folder: Path) -> None:
    where = surrobench.benchmark(f"fitted:{conditional_folder}")
    assert [fidelity.name for fidelity in where.scenario.fidelities] == ["epoch"]
    good, bad = {"kind": "tree", "depth": 5, "rate": 1e-2}, {"kind": "line", "rate": 0.5}
    answer = where.evaluate([good, bad])
    assert answer["loss"][0] < answer["loss"][1]
    assert answer["score"][0] > answer["score"][1]
    assert where.evaluate(good, fidelity={"epoch": 1})["loss"][0] > answer["loss"][0]
    assert where.evaluate(good, fidelity={"epoch": 1})["cost"][0] < answer["cost"][0]


def test_a_study_on_a_surrogate_and_its_refits(smooth_folder: Path, tmp_path: Path) -> None:
    suite = {
        "name": "ours",
        "benchmarks": [f"fitted:{smooth_folder}", f"fitted:{smooth_folder}#refit-*"],
        "trials": 12,
        "seeds": 2,
        "optimizers": {"random": {}, "cma-es": {}},
    }
    one = surrobench.run(suite, tmp_path / "one", jobs=1, progress=False)
    two = surrobench.run(suite, tmp_path / "two", jobs=2, progress=False)
    assert one.runs().height == 11 * 2 * 2
    assert one.trials().equals(two.trials())


@pytest.mark.parametrize("spoilt", ["surrogate-0.onnx", "surrogate.json", "missing"])
def test_a_damaged_folder_is_one_line(of_smooth: Surrogate, tmp_path: Path, spoilt: str) -> None:
    of_smooth.write(tmp_path / "ours")
    if spoilt == "missing":
        (tmp_path / "ours/refit-1-0.onnx").unlink()
    else:
        content = bytearray((tmp_path / "ours" / spoilt).read_bytes())
        content[len(content) // 2] ^= 255
        (tmp_path / "ours" / spoilt).write_bytes(bytes(content))
    with pytest.raises(DataError) as caught:
        surrobench.benchmark(f"fitted:{tmp_path / 'ours'}")
    assert "\n" not in str(caught.value)


def test_an_edited_folder_is_another_benchmark(of_smooth: Surrogate, tmp_path: Path) -> None:
    of_smooth.write(tmp_path / "ours")
    before = surrobench.benchmark(f"fitted:{tmp_path / 'ours'}").id
    file = tmp_path / "ours/surrogate.json"
    sigma = f'"sigma": {of_smooth.facts.objectives[0].sigma}'
    assert sigma in file.read_text()
    file.write_text(file.read_text().replace(sigma, '"sigma": 0.5'))
    assert surrobench.benchmark(f"fitted:{tmp_path / 'ours'}").id != before


def test_the_command(tmp_path: Path) -> None:
    description.write(smooth_trials(40, 2), tmp_path / "t.toml")
    done = command("fit", tmp_path / "t.toml", "--out", tmp_path / "ours")
    assert done.status == 0, done.err
    assert "Its rank correlation with trials that it has not seen is" in done.out
    assert (tmp_path / "ours/surrogate.json").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("x")
    refused = command("fit", tmp_path / "t.toml", "--out", tmp_path / "full")
    assert refused.status == 1
    assert "holds something else" in refused.err
